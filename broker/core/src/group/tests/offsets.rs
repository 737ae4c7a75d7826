use expect_test::expect;

use super::script::{check, check_with};
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

fn retention() -> Settings {
    Settings {
        initial_rebalance_delay_ms: 0,
        offsets_retention_ms: 80_000,
        offsets_retention_check_interval_ms: 10_000,
        ..Settings::default()
    }
}
