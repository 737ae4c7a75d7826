//! How rebalances begin and end.

use expect_test::expect;

use super::script::{check, check_with, without_delay};

#[test]
fn two_members_share() {
    check(
        "A join
         B join
         wait 5999
         wait 1
         B sync
         A sync A=0 B=1
         A beat
         wait 3000
         B beat
         describe
         list",
        expect![[r#"
            A join
            B join
            wait 5999
            wait 1
                A: A1 in generation 1, range, leads A1 [A1 B2]
                B: B2 in generation 1, range, follows A1 []
            B sync
            A sync A=0 B=1
                log: generation 1: A1=0 B2=1
                A: assigned 0
                B: assigned 1
            A beat
                A: NONE
            wait 3000
            B beat
                B: NONE
            describe
                answer: NONE Stable "consumer" "range" A1=0 B2=1
            list
                answer: [g Stable "consumer" classic]
        "#]],
    );
}

#[test]
fn a_member_is_first_given_its_id() {
    check_with(
        without_delay(),
        "A join v=5
         A join v=5
         wait 0
         A sync A=0
         B join v=9
         wait 9999
         A beat
         wait 1
         describe",
        expect![[r#"
            A join v=5
                A: MEMBER_ID_REQUIRED
            A join v=5
            wait 0
                A: A1 in generation 1, range, leads A1 [A1]
            A sync A=0
                log: generation 1: A1=0
                A: assigned 0
            B join v=9
                B: MEMBER_ID_REQUIRED
            wait 9999
            A beat
                A: NONE
            wait 1
            describe
                answer: NONE Stable "consumer" "range" A1=0
        "#]],
    );
}

#[test]
fn a_pending_member_that_comes_is_waited_for_and_one_that_does_not_is_forgotten() {
    check_with(
        without_delay(),
        "A join
         wait 0
         A sync A=0
         B join v=4
         C join
         A join
         wait 9999
         wait 1
         describe",
        expect![[r#"
            A join
            wait 0
                A: A1 in generation 1, range, leads A1 [A1]
            A sync A=0
                log: generation 1: A1=0
                A: assigned 0
            B join v=4
                B: MEMBER_ID_REQUIRED
            C join
            A join
            wait 9999
            wait 1
                A: A1 in generation 2, range, leads A1 [A1 C3]
                C: C3 in generation 2, range, follows A1 []
            describe
                answer: NONE CompletingRebalance "consumer" "" A1= C3=
        "#]],
    );
}

#[test]
fn a_third_member_makes_a_rebalance() {
    check_with(
        without_delay(),
        "A join
         wait 0
         A sync A=0
         A beat
         B join
         A beat
         A join
         A sync A=0 B=1
         B sync
         C join
         wait 9000
         A beat
         B beat
         A join
         wait 9000
         B beat
         wait 11000
         describe",
        expect![[r#"
            A join
            wait 0
                A: A1 in generation 1, range, leads A1 [A1]
            A sync A=0
                log: generation 1: A1=0
                A: assigned 0
            A beat
                A: NONE
            B join
            A beat
                A: REBALANCE_IN_PROGRESS
            A join
                A: A1 in generation 2, range, leads A1 [A1 B2]
                B: B2 in generation 2, range, follows A1 []
            A sync A=0 B=1
                log: generation 2: A1=0 B2=1
                A: assigned 0
            B sync
                B: assigned 1
            C join
            wait 9000
            A beat
                A: REBALANCE_IN_PROGRESS
            B beat
                B: REBALANCE_IN_PROGRESS
            A join
            wait 9000
            B beat
                B: REBALANCE_IN_PROGRESS
            wait 11000
                A: A1 in generation 3, range, leads A1 [A1 C4]
                C: C4 in generation 3, range, follows A1 []
            describe
                answer: NONE CompletingRebalance "consumer" "" A1= C4=
        "#]],
    );
}

#[test]
fn the_slow_are_removed_at_the_rebalance_timeout() {
    check_with(
        without_delay(),
        "A join session=100000 rebalance=20000
         wait 0
         A sync A=0
         B join session=100000 rebalance=20000
         wait 19999
         wait 1
         B sync B=0
         A beat
         A join
         describe",
        expect![[r#"
            A join session=100000 rebalance=20000
            wait 0
                A: A1 in generation 1, range, leads A1 [A1]
            A sync A=0
                log: generation 1: A1=0
                A: assigned 0
            B join session=100000 rebalance=20000
            wait 19999
            wait 1
                B: B2 in generation 2, range, leads B2 [B2]
            B sync B=0
                log: generation 2: B2=0
                B: assigned 0
            A beat
                A: UNKNOWN_MEMBER_ID
            A join
                A: UNKNOWN_MEMBER_ID
            describe
                answer: NONE Stable "consumer" "range" B2=0
        "#]],
    );
}

#[test]
fn who_does_not_sync_is_removed() {
    check_with(
        without_delay(),
        "A join session=100000 rebalance=20000
         B join session=100000 rebalance=20000
         wait 0
         A sync A=0 B=1
         wait 19999
         A beat
         wait 1
         A beat
         A join
         A sync A=0
         B beat",
        expect![[r#"
            A join session=100000 rebalance=20000
            B join session=100000 rebalance=20000
            wait 0
                A: A1 in generation 1, range, leads A1 [A1 B2]
                B: B2 in generation 1, range, follows A1 []
            A sync A=0 B=1
                log: generation 1: A1=0 B2=1
                A: assigned 0
            wait 19999
            A beat
                A: NONE
            wait 1
            A beat
                A: REBALANCE_IN_PROGRESS
            A join
                A: A1 in generation 2, range, leads A1 [A1]
            A sync A=0
                log: generation 2: A1=0
                A: assigned 0
            B beat
                B: UNKNOWN_MEMBER_ID
        "#]],
    );
}

#[test]
fn a_leader_that_does_not_sync_is_replaced() {
    check_with(
        without_delay(),
        "A join session=6000 rebalance=60000
         B join session=6000 rebalance=60000
         wait 0
         B sync
         wait 6000
         B join
         B sync B=0",
        expect![[r#"
            A join session=6000 rebalance=60000
            B join session=6000 rebalance=60000
            wait 0
                A: A1 in generation 1, range, leads A1 [A1 B2]
                B: B2 in generation 1, range, follows A1 []
            B sync
            wait 6000
                B: REBALANCE_IN_PROGRESS
            B join
                B: B2 in generation 2, range, leads B2 [B2]
            B sync B=0
                log: generation 2: B2=0
                B: assigned 0
        "#]],
    );
}

#[test]
fn leaving_makes_a_rebalance_and_the_last_one_leaves_an_empty_group() {
    check_with(
        without_delay(),
        "A join
         B join
         wait 0
         A sync A=0 B=1
         B sync
         B leave
         A beat
         A join
         A sync A=0
         A leave
         A leave
         describe
         reload
         describe
         A join id=none
         wait 0
         A sync A=0",
        expect![[r#"
            A join
            B join
            wait 0
                A: A1 in generation 1, range, leads A1 [A1 B2]
                B: B2 in generation 1, range, follows A1 []
            A sync A=0 B=1
                log: generation 1: A1=0 B2=1
                A: assigned 0
            B sync
                B: assigned 1
            B leave
                B: NONE
            A beat
                A: REBALANCE_IN_PROGRESS
            A join
                A: A1 in generation 2, range, leads A1 [A1]
            A sync A=0
                log: generation 2: A1=0
                A: assigned 0
            A leave
                log: generation 3:
                A: NONE
            A leave
                A: UNKNOWN_MEMBER_ID
            describe
                answer: NONE Empty "consumer" ""
            reload
            describe
                answer: NONE Empty "consumer" ""
            A join id=none
            wait 0
                A: A4 in generation 4, range, leads A4 [A4]
            A sync A=0
                log: generation 4: A4=0
                A: assigned 0
        "#]],
    );
}

#[test]
fn a_coordinator_that_fails_in_a_rebalance_leaves_the_last_generation() {
    check_with(
        without_delay(),
        "A join
         wait 0
         A sync A=0
         B join
         A join
         reload
         A beat
         A join id=none
         describe
         wait 10000
         describe",
        expect![[r#"
            A join
            wait 0
                A: A1 in generation 1, range, leads A1 [A1]
            A sync A=0
                log: generation 1: A1=0
                A: assigned 0
            B join
            A join
                A: A1 in generation 2, range, leads A1 [A1 B2]
                B: B2 in generation 2, range, follows A1 []
            reload
            A beat
                A: ILLEGAL_GENERATION
            A join id=none
            describe
                answer: NONE PreparingRebalance "consumer" "" A1= A4=
            wait 10000
                A: A4 in generation 2, range, leads A4 [A4]
            describe
                answer: NONE CompletingRebalance "consumer" "" A4=
        "#]],
    );
}

#[test]
fn a_new_member_whose_client_is_gone_does_not_block_for_ever() {
    check_with(
        without_delay(),
        "A join rebalance=600000
         wait 0
         A sync A=0
         A beat
         B join rebalance=600000
         wait 9000
         A beat
         wait 9000
         A beat
         wait 9000
         A beat
         wait 10000
         wait 300000
         list",
        expect![[r#"
            A join rebalance=600000
            wait 0
                A: A1 in generation 1, range, leads A1 [A1]
            A sync A=0
                log: generation 1: A1=0
                A: assigned 0
            A beat
                A: NONE
            B join rebalance=600000
            wait 9000
            A beat
                A: REBALANCE_IN_PROGRESS
            wait 9000
            A beat
                A: REBALANCE_IN_PROGRESS
            wait 9000
            A beat
                A: REBALANCE_IN_PROGRESS
            wait 10000
                B: B2 in generation 2, range, leads B2 [B2]
            wait 300000
                log: generation 3:
            list
                answer: [g Empty "consumer" classic]
        "#]],
    );
}
