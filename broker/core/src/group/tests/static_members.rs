//! Members with an instance id (KIP-345).

use expect_test::expect;

use super::script::{check_with, without_delay};

#[test]
fn a_static_member_comes_back_without_a_rebalance() {
    check_with(
        without_delay(),
        "A join static=one v=5
         B join static=two v=5
         wait 0
         A sync A=0 B=1
         B sync
         B join id=none v=5
         B sync
         B beat
         A join id=none v=8
         A sync
         A join id=none v=9
         A sync
         reload
         A beat
         A join id=none v=9 protocols=range:u
         describe",
        expect![[r#"
            A join static=one v=5
            B join static=two v=5
            wait 0
                A: one1 in generation 1, range, leads one1 [one1 two2]
                B: two2 in generation 1, range, follows one1 []
            A sync A=0 B=1
                log: generation 1: one1=0 two2=1
                A: assigned 0
            B sync
                B: assigned 1
            B join id=none v=5
                log: generation 1: one1=0 two3=1
                B: two3 in generation 1, range, follows one1 []
            B sync
                B: assigned 1
            B beat
                B: NONE
            A join id=none v=8
                log: generation 1: one4=0 two3=1
                A: one4 in generation 1, range, follows one1 []
            A sync
                A: assigned 0
            A join id=none v=9
                log: generation 1: one5=0 two3=1
                A: one5 in generation 1, range, leads one5 [one5 two3] skip
            A sync
                A: assigned 0
            reload
            A beat
                A: NONE
            A join id=none v=9 protocols=range:u
                log: generation 1: one6=0 two3=1
                A: one6 in generation 1, range, leads one6 [one6 two3] skip
            describe
                answer: NONE Stable "consumer" "range" one6=0 two3=1
        "#]],
    );
}

#[test]
fn a_static_member_with_an_older_id_is_fenced() {
    check_with(
        without_delay(),
        "A join static=one v=5
         wait 0
         A sync A=0
         B join static=one v=5
         A beat
         A join v=5
         A commit t-0=3
         A leave
         B beat
         B leave static=two
         B leave static=one
         describe",
        expect![[r#"
            A join static=one v=5
            wait 0
                A: one1 in generation 1, range, leads one1 [one1]
            A sync A=0
                log: generation 1: one1=0
                A: assigned 0
            B join static=one v=5
                log: generation 1: one2=0
                B: one2 in generation 1, range, follows one1 []
            A beat
                A: FENCED_INSTANCE_ID
            A join v=5
                A: FENCED_INSTANCE_ID
            A commit t-0=3
                A: FENCED_INSTANCE_ID
            A leave
                A: FENCED_INSTANCE_ID
            B beat
                B: NONE
            B leave static=two
                B: UNKNOWN_MEMBER_ID
            B leave static=one
                log: generation 2:
                B: NONE
            describe
                answer: NONE Empty "consumer" ""
        "#]],
    );
}

#[test]
fn a_parked_static_member_is_fenced_by_its_successor() {
    check_with(
        without_delay(),
        "A join static=one v=5
         B join static=one v=5
         wait 0
         C join static=two v=5
         B join v=5
         C sync
         D join static=two v=5
         B join v=5
         B sync B=0 D=1
         D sync",
        expect![[r#"
            A join static=one v=5
            B join static=one v=5
                A: FENCED_INSTANCE_ID
            wait 0
                B: one2 in generation 1, range, leads one2 [one2]
            C join static=two v=5
            B join v=5
                B: one2 in generation 2, range, leads one2 [one2 two3]
                C: two3 in generation 2, range, follows one2 []
            C sync
            D join static=two v=5
                C: FENCED_INSTANCE_ID
            B join v=5
                B: one2 in generation 3, range, leads one2 [one2 two5]
                D: two5 in generation 3, range, follows one2 []
            B sync B=0 D=1
                log: generation 3: one2=0 two5=1
                B: assigned 0
            D sync
                D: assigned 1
        "#]],
    );
}

#[test]
fn absent_static_members_keep_their_place_until_their_session_is_over() {
    check_with(
        without_delay(),
        "A join static=one v=5 session=30000 rebalance=6000
         B join static=two v=5 session=30000 rebalance=6000
         wait 0
         A sync A=0 B=1
         B sync
         wait 1000
         A join v=5 session=30000 rebalance=6000
         wait 6000
         A sync A=0 B=1
         describe
         wait 6000
         A beat
         describe
         A join v=5",
        expect![[r#"
            A join static=one v=5 session=30000 rebalance=6000
            B join static=two v=5 session=30000 rebalance=6000
            wait 0
                A: one1 in generation 1, range, leads one1 [one1 two2]
                B: two2 in generation 1, range, follows one1 []
            A sync A=0 B=1
                log: generation 1: one1=0 two2=1
                A: assigned 0
            B sync
                B: assigned 1
            wait 1000
            A join v=5 session=30000 rebalance=6000
            wait 6000
                A: one1 in generation 2, range, leads one1 [one1 two2]
            A sync A=0 B=1
                log: generation 2: one1=0 two2=1
                A: assigned 0
            describe
                answer: NONE Stable "consumer" "range" one1=0 two2=1
            wait 6000
            A beat
                A: REBALANCE_IN_PROGRESS
            describe
                answer: NONE PreparingRebalance "consumer" "" one1=
            A join v=5
                A: one1 in generation 3, range, leads one1 [one1]
        "#]],
    );
}
