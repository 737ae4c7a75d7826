//! Offsets in transactions: who may commit them, what is told of them until the end.

use expect_test::expect;

use super::script::{check, check_with};
use crate::group::Settings;

#[test]
fn an_offset_that_a_transaction_may_change_is_told_to_nobody_who_asks_for_stable_ones() {
    check(
        "A txn-commit 7 t-0=5 anonymous
         fetch t-0
         fetch-stable t-0 u-0
         fetch-stable
         A commit u-0=3 anonymous
         A txn-commit 7 u-0=4 anonymous
         fetch-stable
         reload
         fetch-stable
         marker 7 commit
         fetch-stable
         A txn-commit 7 t-0=9 anonymous
         marker 7 abort
         fetch-stable
         reload
         fetch-stable",
        expect![[r#"
            A txn-commit 7 t-0=5 anonymous
                log: in 7: t-0=5 ""
                A: NONE
            fetch t-0
                answer: NONE t-0=-1 ""
            fetch-stable t-0 u-0
                answer: NONE t-0 UNSTABLE_OFFSET_COMMIT u-0=-1 ""
            fetch-stable
                answer: NONE
            A commit u-0=3 anonymous
                log: u-0=3 ""
                A: NONE
            A txn-commit 7 u-0=4 anonymous
                log: in 7: u-0=4 ""
                A: NONE
            fetch-stable
                answer: NONE u-0 UNSTABLE_OFFSET_COMMIT
            reload
            fetch-stable
                answer: NONE u-0 UNSTABLE_OFFSET_COMMIT
            marker 7 commit
            fetch-stable
                answer: NONE t-0=5 "" u-0=4 ""
            A txn-commit 7 t-0=9 anonymous
                log: in 7: t-0=9 ""
                A: NONE
            marker 7 abort
            fetch-stable
                answer: NONE t-0=5 "" u-0=4 ""
            reload
            fetch-stable
                answer: NONE t-0=5 "" u-0=4 ""
        "#]],
    );
}

#[test]
fn what_the_log_refuses_of_a_transaction_was_never_there() {
    check(
        "A txn-commit 7 t-0=5 anonymous
         refused A txn-commit 7 t-0=6 anonymous
         refused A txn-commit 8 t-0=7 anonymous
         marker 8 commit
         fetch
         marker 7 commit
         fetch",
        expect![[r#"
            A txn-commit 7 t-0=5 anonymous
                log: in 7: t-0=5 ""
                A: NONE
            refused A txn-commit 7 t-0=6 anonymous
                refused: in 7: t-0=6 ""
                A: refused
            refused A txn-commit 8 t-0=7 anonymous
                refused: in 8: t-0=7 ""
                A: refused
            marker 8 commit
            fetch
                answer: NONE
            marker 7 commit
            fetch
                answer: NONE t-0=5 ""
        "#]],
    );
}

#[test]
fn a_deleted_topic_takes_the_offsets_of_open_transactions_along() {
    check(
        "A txn-commit 7 t-0=5 anonymous
         A txn-commit 7 u-0=6 anonymous
         topics-deleted t
         marker 7 commit
         fetch
         A txn-commit 8 u-1=7 anonymous
         unseen topics-deleted u
         reload
         marker 8 commit
         fetch",
        expect![[r#"
            A txn-commit 7 t-0=5 anonymous
                log: in 7: t-0=5 ""
                A: NONE
            A txn-commit 7 u-0=6 anonymous
                log: in 7: u-0=6 ""
                A: NONE
            topics-deleted t
                log: t-0 tombstone
            marker 7 commit
            fetch
                answer: NONE u-0=6 ""
            A txn-commit 8 u-1=7 anonymous
                log: in 8: u-1=7 ""
                A: NONE
            unseen topics-deleted u
            reload
                log: u-0 tombstone
                log: u-1 tombstone
            marker 8 commit
            fetch
                answer: NONE
        "#]],
    );
}

#[test]
fn a_member_commits_in_its_generation_only() {
    check_with(
        Settings {
            initial_rebalance_delay_ms: 0,
            ..Settings::default()
        },
        "A join
         A join
         wait 1
         A txn-commit 7 t-0=5
         A sync A=0
         A txn-commit 7 t-0=5
         A txn-commit 7 t-0=5 generation=9
         B txn-commit 7 t-0=5 generation=1
         B txn-commit 7 t-0=5 anonymous
         B txn-commit 7 t-5=5 anonymous
         B txn-commit 7 gone-0=5 anonymous",
        expect![[r#"
            A join
            A join
            wait 1
                A: A1 in generation 1, range, leads A1 [A1 A2]
                A: A2 in generation 1, range, follows A1 []
            A txn-commit 7 t-0=5
                log: in 7: t-0=5 ""
                A: NONE
            A sync A=0
            A txn-commit 7 t-0=5
                log: in 7: t-0=5 ""
                A: NONE
            A txn-commit 7 t-0=5 generation=9
                A: ILLEGAL_GENERATION
            B txn-commit 7 t-0=5 generation=1
                B: UNKNOWN_MEMBER_ID
            B txn-commit 7 t-0=5 anonymous
                log: in 7: t-0=5 ""
                B: NONE
            B txn-commit 7 t-5=5 anonymous
                B: UNKNOWN_TOPIC_OR_PARTITION
            B txn-commit 7 gone-0=5 anonymous
                B: UNKNOWN_TOPIC_OR_PARTITION
        "#]],
    );
}

#[test]
fn a_group_that_goes_takes_the_offsets_of_open_transactions_along() {
    check(
        "A commit t-0=3 anonymous
         A txn-commit 7 u-1=5 anonymous
         delete-group
         marker 7 commit
         fetch
         reload
         fetch",
        expect![[r#"
            A commit t-0=3 anonymous
                log: t-0=3 ""
                A: NONE
            A txn-commit 7 u-1=5 anonymous
                log: in 7: u-1=5 ""
                A: NONE
            delete-group
                log: u-1 tombstone
                log: t-0 tombstone
                answer: NONE
            marker 7 commit
            fetch
                answer: NONE
            reload
            fetch
                answer: NONE
        "#]],
    );
}

#[test]
fn what_a_transaction_may_change_does_not_expire() {
    check_with(
        Settings {
            offsets_retention_ms: 80_000,
            offsets_retention_check_interval_ms: 10_000,
            ..Settings::default()
        },
        "A commit t-0=3 anonymous
         A commit u-0=3 anonymous
         A txn-commit 7 t-0=5 anonymous
         wait 100000
         marker 7 abort
         wait 20000",
        expect![[r#"
            A commit t-0=3 anonymous
                log: t-0=3 ""
                A: NONE
            A commit u-0=3 anonymous
                log: u-0=3 ""
                A: NONE
            A txn-commit 7 t-0=5 anonymous
                log: in 7: t-0=5 ""
                A: NONE
            wait 100000
                log: u-0 tombstone
            marker 7 abort
            wait 20000
                log: t-0 tombstone
        "#]],
    );
}
