//! Offsets of groups whose coordinator assigns.

use expect_test::expect;

use super::world::check;

#[test]
fn offsets_are_committed_and_fetched_by_the_epoch_that_is_known() {
    check(
        "
        topic t 2
        A join topics=t
        B join topics=t
        A commit t-0=5
        A commit t-1=5 epoch=3
        A commit t-1=5 v=8
        A commit t-1=5 epoch=-1
        C commit t-1=5
        A has t-0,t-1
        A has t-0
        B beat
        A commit t-0=6 epoch=2
        A commit t-1=6 epoch=2
        A fetch
        A fetch epoch=2
        A leave
        B leave
        C commit t-1=7 epoch=-1
        ",
        &expect![[r#"
            topic t 2
            A join topics=t
                A: epoch 2 has [t-0,t-1]
            B join topics=t
                B: epoch 3 has []
            A commit t-0=5
                A: NONE
            A commit t-1=5 epoch=3
                A: STALE_MEMBER_EPOCH
            A commit t-1=5 v=8
                A: UNSUPPORTED_VERSION
            A commit t-1=5 epoch=-1
                A: STALE_MEMBER_EPOCH
            C commit t-1=5
                C: UNKNOWN_MEMBER_ID
            A has t-0,t-1
                A: epoch 2 has [t-0]
            A has t-0
                A: epoch 3
            B beat
                B: epoch 3 has [t-1]
            A commit t-0=6 epoch=2
                A: NONE
            A commit t-1=6 epoch=2
                A: STALE_MEMBER_EPOCH
            A fetch
                A: NONE t-0=6
            A fetch epoch=2
                A: STALE_MEMBER_EPOCH
            A leave
                A: epoch -1
            B leave
                B: epoch -1
            C commit t-1=7 epoch=-1
                C: NONE
        "#]],
    );
}

#[test]
fn producers_of_transactions_commit_by_an_epoch_that_gave_them_the_partition() {
    check(
        "
        topic t 2
        A join topics=t
        B join topics=t
        A beat
        A has
        A txn-commit t-0=5 epoch=2
        A txn-commit t-1=5 epoch=2
        A txn-commit t-0=5 epoch=4
        C txn-commit t-0=5 epoch=2
        C txn-commit t-0=5 epoch=-1
        ",
        &expect![[r#"
            topic t 2
            A join topics=t
                A: epoch 2 has [t-0,t-1]
            B join topics=t
                B: epoch 3 has []
            A beat
                A: epoch 2 has [t-0]
            A has
                A: epoch 3
            A txn-commit t-0=5 epoch=2
                A: NONE
            A txn-commit t-1=5 epoch=2
                A: ILLEGAL_GENERATION
            A txn-commit t-0=5 epoch=4
                A: ILLEGAL_GENERATION
            C txn-commit t-0=5 epoch=2
                C: UNKNOWN_MEMBER_ID
            C txn-commit t-0=5 epoch=-1
                C: UNKNOWN_MEMBER_ID
        "#]],
    );
}
