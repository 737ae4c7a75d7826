//! What is refused, and what is repeated without harm.

use expect_test::expect;

use super::script::{check, check_with, without_delay};
use crate::group::Settings;

#[test]
fn the_protocol_with_the_most_votes_that_all_support_is_chosen() {
    check_with(
        without_delay(),
        "A join protocols=a,b,c
         B join protocols=b,c
         C join protocols=c,b
         D join protocols=x
         E join protocols=a type=connect
         E join type=
         wait 0
         A sync protocol=c
         A sync protocol=b A=0 B=1 C=2",
        expect![[r#"
            A join protocols=a,b,c
            B join protocols=b,c
            C join protocols=c,b
            D join protocols=x
                D: INCONSISTENT_GROUP_PROTOCOL
            E join protocols=a type=connect
                E: INCONSISTENT_GROUP_PROTOCOL
            E join type=
                E: INCONSISTENT_GROUP_PROTOCOL
            wait 0
                A: A1 in generation 1, b, leads A1 [A1 B2 C3]
                B: B2 in generation 1, b, follows A1 []
                C: C3 in generation 1, b, follows A1 []
            A sync protocol=c
                A: INCONSISTENT_GROUP_PROTOCOL
            A sync protocol=b A=0 B=1 C=2
                log: generation 1: A1=0 B2=1 C3=2
                A: assigned 0
        "#]],
    );
}

#[test]
fn a_lost_answer_is_repeated_without_a_rebalance() {
    check_with(
        without_delay(),
        "A join
         B join
         wait 0
         A join
         B join
         A sync A=0 B=1
         B join
         B sync
         B join protocols=range:other
         A join
         describe",
        expect![[r#"
            A join
            B join
            wait 0
                A: A1 in generation 1, range, leads A1 [A1 B2]
                B: B2 in generation 1, range, follows A1 []
            A join
                A: A1 in generation 1, range, leads A1 [A1 B2]
            B join
                B: B2 in generation 1, range, follows A1 []
            A sync A=0 B=1
                log: generation 1: A1=0 B2=1
                A: assigned 0
            B join
                B: B2 in generation 1, range, follows A1 []
            B sync
                B: assigned 1
            B join protocols=range:other
            A join
                A: A1 in generation 2, range, leads A1 [A1 B2]
                B: B2 in generation 2, range, follows A1 []
            describe
                answer: NONE CompletingRebalance "consumer" "" A1= B2=
        "#]],
    );
}

#[test]
fn a_full_group_takes_no_more() {
    check_with(
        Settings {
            group_size_max: 1,
            ..without_delay()
        },
        "A join
         B join
         wait 0
         B join
         A sync A=0
         B join
         B join v=5
         C join v=5
         A join",
        expect![[r#"
            A join
            B join
                B: GROUP_MAX_SIZE_REACHED
            wait 0
                A: A1 in generation 1, range, leads A1 [A1]
            B join
                B: GROUP_MAX_SIZE_REACHED
            A sync A=0
                log: generation 1: A1=0
                A: assigned 0
            B join
                B: GROUP_MAX_SIZE_REACHED
            B join v=5
                B: GROUP_MAX_SIZE_REACHED
            C join v=5
                C: GROUP_MAX_SIZE_REACHED
            A join
                A: A1 in generation 2, range, leads A1 [A1]
        "#]],
    );
}

#[test]
fn limits_of_the_session_timeout() {
    check(
        "A join session=5999
         A join session=1800001
         list",
        expect![[r#"
            A join session=5999
                A: INVALID_SESSION_TIMEOUT
            A join session=1800001
                A: INVALID_SESSION_TIMEOUT
            list
                answer: []
        "#]],
    );
}

#[test]
fn requests_to_a_group_that_is_not_there() {
    check(
        "A sync
         A beat
         A leave
         describe
         describe v=6
         delete-group
         delete-offset t-0
         list",
        expect![[r#"
            A sync
                A: UNKNOWN_MEMBER_ID
            A beat
                A: UNKNOWN_MEMBER_ID
            A leave
                A: UNKNOWN_MEMBER_ID
            describe
                answer: NONE Dead "" ""
            describe v=6
                answer: GROUP_ID_NOT_FOUND Dead "" ""
            delete-group
                answer: GROUP_ID_NOT_FOUND
            delete-offset t-0
                answer: GROUP_ID_NOT_FOUND
            list
                answer: []
        "#]],
    );
}

#[test]
fn generations_that_are_not_the_one() {
    check_with(
        without_delay(),
        "A join
         wait 0
         A sync A=0
         A commit t-0=1 generation=0
         B commit t-0=1 generation=1
         B commit t-0=1 generation=1 v=9
         B commit t-0=1 anonymous
         A commit t-0=1
         B join
         A commit t-0=2
         A join
         A commit t-0=3
         A sync A=0
         A commit t-0=4",
        expect![[r#"
            A join
            wait 0
                A: A1 in generation 1, range, leads A1 [A1]
            A sync A=0
                log: generation 1: A1=0
                A: assigned 0
            A commit t-0=1 generation=0
                A: ILLEGAL_GENERATION
            B commit t-0=1 generation=1
                B: UNKNOWN_MEMBER_ID
            B commit t-0=1 generation=1 v=9
                B: UNKNOWN_MEMBER_ID
            B commit t-0=1 anonymous
                B: UNKNOWN_MEMBER_ID
            A commit t-0=1
                log: t-0=1 ""
                A: NONE
            B join
            A commit t-0=2
                log: t-0=2 ""
                A: NONE
            A join
                A: A1 in generation 2, range, leads A1 [A1 B2]
                B: B2 in generation 2, range, follows A1 []
            A commit t-0=3
                A: REBALANCE_IN_PROGRESS
            A sync A=0
                log: generation 2: A1=0 B2=
                A: assigned 0
            A commit t-0=4
                log: t-0=4 ""
                A: NONE
        "#]],
    );
}

#[test]
fn only_an_empty_group_can_be_deleted() {
    check_with(
        without_delay(),
        "A join
         wait 0
         A sync A=0
         A commit t-0=1
         A commit u-0=1
         delete-group
         delete-offset t-0
         delete-offset u-0
         delete-offset t-9
         delete-offset nowhere-0
         A leave
         delete-group
         list
         reload
         list",
        expect![[r#"
            A join
            wait 0
                A: A1 in generation 1, range, leads A1 [A1]
            A sync A=0
                log: generation 1: A1=0
                A: assigned 0
            A commit t-0=1
                log: t-0=1 ""
                A: NONE
            A commit u-0=1
                log: u-0=1 ""
                A: NONE
            delete-group
                answer: NON_EMPTY_GROUP
            delete-offset t-0
                answer: GROUP_SUBSCRIBED_TO_TOPIC
            delete-offset u-0
                log: u-0 tombstone
                answer: NONE
            delete-offset t-9
                answer: UNKNOWN_TOPIC_OR_PARTITION
            delete-offset nowhere-0
                answer: UNKNOWN_TOPIC_OR_PARTITION
            A leave
                log: generation 2:
                A: NONE
            delete-group
                log: t-0 tombstone
                log: group tombstone
                answer: NONE
            list
                answer: []
            reload
            list
                answer: []
        "#]],
    );
}
