//! AddPartitionsToTxn and EndTxn, by the rules of all versions.

use expect_test::expect;

use super::script::check;

#[test]
fn a_transaction_by_the_first_rules() {
    check(
        "
        init
        commit 1/0
        abort 1/0
        add 1/0 t-0 u-1
        add 1/0 t-0
        verify 1/0 t-0 u-1
        verify 1/0 t-0 u-2
        verify 1/1 t-0
        verify 2/0 t-0
        commit 1/0
        commit 1/0
        abort 1/0
        add 1/0 t-1
        wait 50
        verify 1/0 t-0
        ",
        expect![[r#"
            init
              [1/0 Empty]
              1/0
            commit 1/0
              INVALID_TXN_STATE
            abort 1/0
              INVALID_TXN_STATE
            add 1/0 t-0 u-1
              [1/0 Ongoing t-0 u-1]
              NONE
            add 1/0 t-0
              NONE
            verify 1/0 t-0 u-1
              missing:
            verify 1/0 t-0 u-2
              missing: u-2
            verify 1/1 t-0
              PRODUCER_FENCED
            verify 2/0 t-0
              INVALID_PRODUCER_ID_MAPPING
            commit 1/0
              [1/0 PrepareCommit t-0 u-1]
              NONE
              write commit 1/0 t-0 u-1 level 0
            commit 1/0
              CONCURRENT_TRANSACTIONS
            abort 1/0
              INVALID_TXN_STATE
            add 1/0 t-1
            wait 50
              CONCURRENT_TRANSACTIONS
            verify 1/0 t-0
              CONCURRENT_TRANSACTIONS
        "#]],
    );
}

#[test]
fn its_end_may_be_asked_for_again_by_the_first_rules() {
    check(
        "
        init
        add 1/0 t-0
        commit 1/0
        written
        commit 1/0
        abort 1/0
        add 1/0 t-1
        abort 1/0
        commit 1/0
        written
        abort 1/0
        commit 1/0
        ",
        expect![[r#"
            init
              [1/0 Empty]
              1/0
            add 1/0 t-0
              [1/0 Ongoing t-0]
              NONE
            commit 1/0
              [1/0 PrepareCommit t-0]
              NONE
              write commit 1/0 t-0 level 0
            written
              [1/0 CompleteCommit]
            commit 1/0
              NONE
            abort 1/0
              INVALID_TXN_STATE
            add 1/0 t-1
              [1/0 Ongoing t-1]
              NONE
            abort 1/0
              [1/0 PrepareAbort t-1]
              NONE
              write abort 1/0 t-1 level 0
            commit 1/0
              INVALID_TXN_STATE
            written
              [1/0 CompleteAbort]
            abort 1/0
              NONE
            commit 1/0
              INVALID_TXN_STATE
        "#]],
    );
}

#[test]
fn a_transaction_by_the_second_rules() {
    check(
        "
        level 2
        init
        commit v=5 1/0
        add v=5 1/0 t-0
        commit v=5 1/0
        commit v=5 1/0
        abort v=5 1/0
        abort v=5 1/1
        commit v=5 1/1
        add v=5 1/1 t-0
        wait 50
        verify 1/1 t-0
        written
        commit v=5 1/0
        abort v=5 1/0
        commit v=5 1/1
        add v=5 1/0 t-0
        abort v=5 1/1
        ",
        expect![[r#"
            level 2
            init
              [1/0 Empty]
              1/0
            commit v=5 1/0
              INVALID_TXN_STATE
            add v=5 1/0 t-0
              [1/0 Ongoing t-0]
              NONE
            commit v=5 1/0
              [1/1 PrepareCommit t-0 last epoch 0]
              1/1
              write commit 1/1 t-0 level 2
            commit v=5 1/0
              CONCURRENT_TRANSACTIONS
            abort v=5 1/0
              CONCURRENT_TRANSACTIONS
            abort v=5 1/1
              CONCURRENT_TRANSACTIONS
            commit v=5 1/1
              CONCURRENT_TRANSACTIONS
            add v=5 1/1 t-0
            wait 50
              CONCURRENT_TRANSACTIONS
            verify 1/1 t-0
              CONCURRENT_TRANSACTIONS
            written
              [1/1 CompleteCommit last epoch 0]
            commit v=5 1/0
              1/1
            abort v=5 1/0
              INVALID_TXN_STATE
            commit v=5 1/1
              INVALID_TXN_STATE
            add v=5 1/0 t-0
              PRODUCER_FENCED
            abort v=5 1/1
              [1/2 CompleteAbort last epoch 1]
              1/2
        "#]],
    );
}

#[test]
fn an_abort_by_the_second_rules() {
    check(
        "
        level 2
        init
        add v=5 1/0 t-0
        abort v=5 1/0
        abort v=5 1/0
        commit v=5 1/0
        written
        abort v=5 1/0
        ",
        expect![[r#"
            level 2
            init
              [1/0 Empty]
              1/0
            add v=5 1/0 t-0
              [1/0 Ongoing t-0]
              NONE
            abort v=5 1/0
              [1/1 PrepareAbort t-0 last epoch 0]
              1/1
              write abort 1/1 t-0 level 2
            abort v=5 1/0
              CONCURRENT_TRANSACTIONS
            commit v=5 1/0
              CONCURRENT_TRANSACTIONS
            written
              [1/1 CompleteAbort last epoch 0]
            abort v=5 1/0
              1/1
        "#]],
    );
}

#[test]
fn a_late_end_does_not_end_the_next_transaction() {
    check(
        "
        level 2
        init
        add v=5 1/0 t-0
        commit v=5 1/0
        written
        add v=5 1/1 t-0
        commit v=5 1/0
        abort v=5 1/0
        describe
        ",
        expect![[r#"
            level 2
            init
              [1/0 Empty]
              1/0
            add v=5 1/0 t-0
              [1/0 Ongoing t-0]
              NONE
            commit v=5 1/0
              [1/1 PrepareCommit t-0 last epoch 0]
              1/1
              write commit 1/1 t-0 level 2
            written
              [1/1 CompleteCommit last epoch 0]
            add v=5 1/1 t-0
              [1/1 Ongoing t-0 last epoch 0]
              NONE
            commit v=5 1/0
              PRODUCER_FENCED
            abort v=5 1/0
              PRODUCER_FENCED
            describe
              Ongoing since 1000000 t[0]
        "#]],
    );
}

#[test]
fn an_abort_of_nothing_bumps_the_epoch_and_needs_no_markers() {
    check(
        "
        level 2
        init
        abort v=5 1/0
        abort v=5 1/0
        abort v=5 1/1
        add v=5 1/2 t-0
        commit v=5 1/2
        written
        abort v=5 1/3
        commit v=5 1/3
        ",
        expect![[r#"
            level 2
            init
              [1/0 Empty]
              1/0
            abort v=5 1/0
              [1/1 CompleteAbort last epoch 0]
              1/1
            abort v=5 1/0
              1/1
            abort v=5 1/1
              [1/2 CompleteAbort last epoch 1]
              1/2
            add v=5 1/2 t-0
              [1/2 Ongoing t-0 last epoch 1]
              NONE
            commit v=5 1/2
              [1/3 PrepareCommit t-0 last epoch 2]
              1/3
              write commit 1/3 t-0 level 2
            written
              [1/3 CompleteCommit last epoch 2]
            abort v=5 1/3
              [1/4 CompleteAbort last epoch 3]
              1/4
            commit v=5 1/3
              INVALID_TXN_STATE
        "#]],
    );
}

#[test]
fn what_the_log_refused_did_not_happen() {
    check(
        "
        init
        refused add 1/0 t-0
        commit 1/0
        add 1/0 t-0
        refused commit 1/0
        abort 1/0
        refused written
        add 1/0 t-0
        wait 50
        written
        add 1/0 t-0
        ",
        expect![[r#"
            init
              [1/0 Empty]
              1/0
            refused add 1/0 t-0
              [1/0 Ongoing t-0]
              refused
            commit 1/0
              INVALID_TXN_STATE
            add 1/0 t-0
              [1/0 Ongoing t-0]
              NONE
            refused commit 1/0
              [1/0 PrepareCommit t-0]
              refused
            abort 1/0
              [1/0 PrepareAbort t-0]
              NONE
              write abort 1/0 t-0 level 0
            refused written
              [1/0 CompleteAbort]
              refused
            add 1/0 t-0
            wait 50
              CONCURRENT_TRANSACTIONS
            written
              [1/0 CompleteAbort]
            add 1/0 t-0
              [1/0 Ongoing t-0]
              NONE
        "#]],
    );
}

#[test]
fn a_coordinator_that_fails_between_prepare_and_markers_is_followed_by_one_that_writes_them() {
    check(
        "
        init
        add 1/0 t-0
        commit 1/0
        reload
        abort 1/0
        written
        reload
        commit 1/0
        ",
        expect![[r#"
            init
              [1/0 Empty]
              1/0
            add 1/0 t-0
              [1/0 Ongoing t-0]
              NONE
            commit 1/0
              [1/0 PrepareCommit t-0]
              NONE
              write commit 1/0 t-0 level 0
            reload
              write commit 1/0 t-0 level 0
            abort 1/0
              INVALID_TXN_STATE
            written
              [1/0 CompleteCommit]
            reload
            commit 1/0
              NONE
        "#]],
    );
}

#[test]
fn transactions_are_listed_by_state_producer_and_duration() {
    check(
        "
        describe
        init
        list
        add 1/0 t-0 u-1
        wait 1000
        list state=Ongoing
        list state=Empty
        list pid=1
        list pid=2
        list longer=999
        list longer=1000
        describe
        ",
        expect![[r#"
            describe
              TRANSACTIONAL_ID_NOT_FOUND
            init
              [1/0 Empty]
              1/0
            list
              1 listed
            add 1/0 t-0 u-1
              [1/0 Ongoing t-0 u-1]
              NONE
            wait 1000
            list state=Ongoing
              1 listed
            list state=Empty
              0 listed
            list pid=1
              1 listed
            list pid=2
              0 listed
            list longer=999
              1 listed
            list longer=1000
              0 listed
            describe
              Ongoing since 1000000 t[0] u[1]
        "#]],
    );
}

/// The same producer and epoch end one transaction after the other, by the first rules.
#[test]
fn that_one_transaction_is_over_ends_no_later_one() {
    check(
        "
        init
        add 1/0 t-0
        commit 1/0
        written
        add 1/0 t-0
        commit 1/0
        told-late
        written
        ",
        expect![[r#"
            init
              [1/0 Empty]
              1/0
            add 1/0 t-0
              [1/0 Ongoing t-0]
              NONE
            commit 1/0
              [1/0 PrepareCommit t-0]
              NONE
              write commit 1/0 t-0 level 0
            written
              [1/0 CompleteCommit]
            add 1/0 t-0
              [1/0 Ongoing t-0]
              NONE
            commit 1/0
              [1/0 PrepareCommit t-0]
              NONE
              write commit 1/0 t-0 level 0
            told-late
              Complete(false)
            written
              [1/0 CompleteCommit]
        "#]],
    );
}
