use expect_test::expect;

use super::script::{check, check_with, without_delay};
use crate::group::Settings;

#[test]
fn offsets_without_members() {
    check(
        "A commit t-0=5 anonymous meta=Ünï
         A commit t-1=6 anonymous
         fetch t-0 t-1 t-2
         fetch
         list
         describe
         reload
         fetch
         list state=empty
         list state=Stable
         list type=consumer
         delete-offset t-1
         fetch
         delete-group
         fetch t-0
         list",
        expect![[r#"
            A commit t-0=5 anonymous meta=Ünï
                log: t-0=5 "Ünï"
                A: NONE
            A commit t-1=6 anonymous
                log: t-1=6 ""
                A: NONE
            fetch t-0 t-1 t-2
                answer: NONE t-0=5 "Ünï" t-1=6 "" t-2=-1 ""
            fetch
                answer: NONE t-0=5 "Ünï" t-1=6 ""
            list
                answer: [g Empty "" classic]
            describe
                answer: NONE Empty "" ""
            reload
            fetch
                answer: NONE t-0=5 "Ünï" t-1=6 ""
            list state=empty
                answer: [g Empty "" classic]
            list state=Stable
                answer: []
            list type=consumer
                answer: []
            delete-offset t-1
                log: t-1 tombstone
                answer: NONE
            fetch
                answer: NONE t-0=5 "Ünï"
            delete-group
                log: t-0 tombstone
                answer: NONE
            fetch t-0
                answer: NONE t-0=-1 ""
            list
                answer: []
        "#]],
    );
}

#[test]
fn metadata_that_is_too_long_is_refused() {
    check_with(
        Settings {
            offset_metadata_bytes_max: 3,
            ..Settings::default()
        },
        "A commit t-0=5 anonymous meta=abcd
         A commit t-0=5 anonymous meta=abc
         A commit t-0=6 anonymous meta=üü
         fetch",
        expect![[r#"
            A commit t-0=5 anonymous meta=abcd
                A: OFFSET_METADATA_TOO_LARGE
            A commit t-0=5 anonymous meta=abc
                log: t-0=5 "abc"
                A: NONE
            A commit t-0=6 anonymous meta=üü
                A: OFFSET_METADATA_TOO_LARGE
            fetch
                answer: NONE t-0=5 "abc"
        "#]],
    );
}

#[test]
fn a_deleted_topic_takes_its_offsets_along() {
    check(
        "A commit t-0=5 anonymous
         A commit u-0=6 anonymous
         topics-deleted t
         fetch
         topics-deleted u
         list",
        expect![[r#"
            A commit t-0=5 anonymous
                log: t-0=5 ""
                A: NONE
            A commit u-0=6 anonymous
                log: u-0=6 ""
                A: NONE
            topics-deleted t
                log: t-0 tombstone
            fetch
                answer: NONE u-0=6 ""
            topics-deleted u
                log: u-0 tombstone
            list
                answer: []
        "#]],
    );
}

#[test]
fn offsets_of_a_simple_group_expire_after_their_commit() {
    check_with(
        retention(),
        "A commit t-0=5 anonymous
         wait 40000
         A commit t-1=5 anonymous
         wait 40000
         fetch
         wait 40000
         fetch
         list",
        expect![[r#"
            A commit t-0=5 anonymous
                log: t-0=5 ""
                A: NONE
            wait 40000
            A commit t-1=5 anonymous
                log: t-1=5 ""
                A: NONE
            wait 40000
                log: t-0 tombstone
            fetch
                answer: NONE t-1=5 ""
            wait 40000
                log: t-1 tombstone
            fetch
                answer: NONE
            list
                answer: []
        "#]],
    );
}

#[test]
fn a_clock_that_is_set_forward_expires_no_offset() {
    check_with(
        retention(),
        "A commit t-0=5 anonymous
         set-clock-forward 31536000000
         wait 40000
         fetch
         wait 40000
         fetch",
        expect![[r#"
            A commit t-0=5 anonymous
                log: t-0=5 ""
                A: NONE
            set-clock-forward 31536000000
            wait 40000
            fetch
                answer: NONE t-0=5 ""
            wait 40000
                log: t-0 tombstone
            fetch
                answer: NONE
        "#]],
    );
}

#[test]
fn offsets_of_a_group_expire_after_its_last_member_left() {
    check_with(
        retention(),
        "A join session=500000
         wait 0
         A sync A=0
         A commit t-0=5
         A commit u-0=5
         wait 90000
         fetch
         A leave
         wait 70000
         fetch
         reload
         wait 20000
         fetch
         list",
        expect![[r#"
            A join session=500000
            wait 0
                A: A1 in generation 1, range, leads A1 [A1]
            A sync A=0
                log: generation 1: A1=0
                A: assigned 0
            A commit t-0=5
                log: t-0=5 ""
                A: NONE
            A commit u-0=5
                log: u-0=5 ""
                A: NONE
            wait 90000
                log: u-0 tombstone
            fetch
                answer: NONE t-0=5 ""
            A leave
                log: generation 2:
                A: NONE
            wait 70000
            fetch
                answer: NONE t-0=5 ""
            reload
            wait 20000
                log: t-0 tombstone
                log: group tombstone
            fetch
                answer: NONE
            list
                answer: []
        "#]],
    );
}

#[test]
fn what_the_log_refuses_leaves_no_trace() {
    check_with(
        without_delay(),
        "A commit t-0=5 anonymous
         refused A commit t-0=6 anonymous
         refused A commit u-0=6 anonymous
         fetch
         refused delete-offset t-0
         fetch
         refused delete-group
         fetch
         A commit t-0=7 anonymous
         reload
         fetch",
        expect![[r#"
            A commit t-0=5 anonymous
                log: t-0=5 ""
                A: NONE
            refused A commit t-0=6 anonymous
                refused: t-0=6 ""
                A: refused
            refused A commit u-0=6 anonymous
                refused: u-0=6 ""
                A: refused
            fetch
                answer: NONE t-0=5 ""
            refused delete-offset t-0
                refused: t-0 tombstone
                answer: refused
            fetch
                answer: NONE t-0=5 ""
            refused delete-group
                refused: t-0 tombstone
                answer: refused
            fetch
                answer: NONE t-0=5 ""
            A commit t-0=7 anonymous
                log: t-0=7 ""
                A: NONE
            reload
            fetch
                answer: NONE t-0=7 ""
        "#]],
    );
}

#[test]
fn a_generation_that_the_log_refuses_was_never_there() {
    check_with(
        without_delay(),
        "A join
         wait 0
         refused A sync A=0
         describe
         A beat
         A join id=none
         wait 0
         A sync A=0
         A join protocols=range:u
         B join
         wait 0
         A join
         B sync
         refused A sync A=1 B=2
         describe
         A beat
         B beat",
        expect![[r#"
            A join
            wait 0
                A: A1 in generation 1, range, leads A1 [A1]
            refused A sync A=0
                refused: generation 1: A1=0
                A: refused
            describe
                answer: NONE Dead "" ""
            A beat
                A: UNKNOWN_MEMBER_ID
            A join id=none
            wait 0
                A: A2 in generation 1, range, leads A2 [A2]
            A sync A=0
                log: generation 1: A2=0
                A: assigned 0
            A join protocols=range:u
                A: A2 in generation 2, range, leads A2 [A2]
            B join
            wait 0
            A join
                A: A2 in generation 3, range, leads A2 [A2 B4]
                B: B4 in generation 3, range, follows A2 []
            B sync
            refused A sync A=1 B=2
                refused: generation 3: A2=1 B4=2
                A: refused
                B: refused
            describe
                answer: NONE Stable "consumer" "range" A2=0
            A beat
                A: ILLEGAL_GENERATION
            B beat
                B: UNKNOWN_MEMBER_ID
        "#]],
    );
}

#[test]
fn an_offset_is_of_a_partition_that_is_there() {
    check(
        "A commit t-2=5 anonymous
         A commit t-3=5 anonymous
         A commit x-0=5 anonymous
         topics-created x
         A commit x-0=5 anonymous
         topics-deleted x
         A commit x-0=6 anonymous
         fetch",
        expect![[r#"
            A commit t-2=5 anonymous
                log: t-2=5 ""
                A: NONE
            A commit t-3=5 anonymous
                A: UNKNOWN_TOPIC_OR_PARTITION
            A commit x-0=5 anonymous
                A: UNKNOWN_TOPIC_OR_PARTITION
            topics-created x
            A commit x-0=5 anonymous
                log: x-0=5 ""
                A: NONE
            topics-deleted x
                log: x-0 tombstone
            A commit x-0=6 anonymous
                A: UNKNOWN_TOPIC_OR_PARTITION
            fetch
                answer: NONE t-2=5 ""
        "#]],
    );
}

#[test]
fn a_namesake_of_a_deleted_topic_has_no_offsets() {
    check(
        "A commit t-0=5 anonymous
         A commit u-0=6 anonymous
         unseen topics-deleted t
         unseen topics-created t
         reload
         fetch
         reload
         fetch",
        expect![[r#"
            A commit t-0=5 anonymous
                log: t-0=5 ""
                A: NONE
            A commit u-0=6 anonymous
                log: u-0=6 ""
                A: NONE
            unseen topics-deleted t
            unseen topics-created t
            reload
                log: t-0 tombstone
            fetch
                answer: NONE u-0=6 ""
            reload
            fetch
                answer: NONE u-0=6 ""
        "#]],
    );
}

#[test]
fn offsets_of_a_transaction_count_once_it_is_committed() {
    check(
        "transaction 7 t-0=5
         transaction 8 t-1=6
         fetch
         marker 7 commit
         marker 8 abort
         fetch
         transaction 7 t-0=7
         A commit t-0=8 anonymous
         refused A commit t-0=9 anonymous
         marker 7 commit
         fetch
         transaction 7 t-0=10
         refused A commit t-0=9 anonymous
         marker 7 commit
         fetch
         transaction 7 u-0=1
         transaction 8 u-0=2
         marker 8 commit
         marker 7 commit
         fetch u-0",
        expect![[r#"
            transaction 7 t-0=5
            transaction 8 t-1=6
            fetch
                answer: NONE
            marker 7 commit
            marker 8 abort
            fetch
                answer: NONE t-0=5 ""
            transaction 7 t-0=7
            A commit t-0=8 anonymous
                log: t-0=8 ""
                A: NONE
            refused A commit t-0=9 anonymous
                refused: t-0=9 ""
                A: refused
            marker 7 commit
            fetch
                answer: NONE t-0=8 ""
            transaction 7 t-0=10
            refused A commit t-0=9 anonymous
                refused: t-0=9 ""
                A: refused
            marker 7 commit
            fetch
                answer: NONE t-0=10 ""
            transaction 7 u-0=1
            transaction 8 u-0=2
            marker 8 commit
            marker 7 commit
            fetch u-0
                answer: NONE u-0=2 ""
        "#]],
    );
}

fn retention() -> Settings {
    Settings {
        initial_rebalance_delay_ms: 0,
        offsets_retention_ms: 80_000,
        offsets_retention_check_interval_ms: 10_000,
        ..Settings::default()
    }
}
