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
        verify 1/0 t-0
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
              CONCURRENT_TRANSACTIONS
            verify 1/0 t-0
              CONCURRENT_TRANSACTIONS
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
        commit v=5 1/1
        written
        commit v=5 1/0
        abort v=5 1/0
        commit v=5 1/1
        add v=5 1/0 t-0
        add v=5 1/1 t-0
        abort v=5 1/1
        abort v=5 1/1
        commit v=5 1/1
        written
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
              INVALID_TXN_STATE
            commit v=5 1/1
              PRODUCER_FENCED
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
            add v=5 1/1 t-0
              [1/1 Ongoing t-0 last epoch 0]
              NONE
            abort v=5 1/1
              [1/2 PrepareAbort t-0 last epoch 1]
              1/2
              write abort 1/2 t-0 level 2
            abort v=5 1/1
              CONCURRENT_TRANSACTIONS
            commit v=5 1/1
              INVALID_TXN_STATE
            written
              [1/2 CompleteAbort last epoch 1]
            abort v=5 1/1
              1/2
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
              DescribeTransaction(DescribedTransaction { error_code: 0, transactional_id: "x", transaction_state: "Ongoing", transaction_timeout_ms: 60000, transaction_start_time_ms: 1000000, producer_id: 1, producer_epoch: 1, topics: [TopicData { topic: "t", partitions: [0] }] })
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
fn clients_of_all_versions_use_one_id_in_turn() {
    check(
        "
        level 2
        init v=0
        add v=0 1/0 t-0
        commit v=1 1/0
        written
        init v=5
        add v=5 1/1 t-0
        commit v=5 1/1
        written
        add v=3 1/2 t-0
        abort v=4 1/2
        written
        add v=5 1/2 t-0
        abort v=5 1/2
        written
        init v=1
        add v=0 1/4 t-0
        init v=1
        written
        init v=1
        ",
        expect![[r#"
            level 2
            init v=0
              [1/0 Empty]
              1/0
            add v=0 1/0 t-0
              [1/0 Ongoing t-0]
              NONE
            commit v=1 1/0
              [1/0 PrepareCommit t-0]
              NONE
              write commit 1/0 t-0 level 0
            written
              [1/0 CompleteCommit]
            init v=5
              [1/1 Empty]
              1/1
            add v=5 1/1 t-0
              [1/1 Ongoing t-0]
              NONE
            commit v=5 1/1
              [1/2 PrepareCommit t-0 last epoch 1]
              1/2
              write commit 1/2 t-0 level 2
            written
              [1/2 CompleteCommit last epoch 1]
            add v=3 1/2 t-0
              [1/2 Ongoing t-0 last epoch 1]
              NONE
            abort v=4 1/2
              [1/2 PrepareAbort t-0 last epoch 1]
              NONE
              write abort 1/2 t-0 level 0
            written
              [1/2 CompleteAbort last epoch 1]
            add v=5 1/2 t-0
              [1/2 Ongoing t-0 last epoch 1]
              NONE
            abort v=5 1/2
              [1/3 PrepareAbort t-0 last epoch 2]
              1/3
              write abort 1/3 t-0 level 2
            written
              [1/3 CompleteAbort last epoch 2]
            init v=1
              [1/4 Empty]
              1/4
            add v=0 1/4 t-0
              [1/4 Ongoing t-0]
              NONE
            init v=1
              [1/5 PrepareAbort t-0 last epoch 4]
              CONCURRENT_TRANSACTIONS
              write abort 1/5 t-0 level 2
            written
              [1/5 CompleteAbort last epoch 4]
            init v=1
              [1/6 Empty]
              1/6
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
              DescribeTransaction(DescribedTransaction { error_code: 105, transactional_id: "x", transaction_state: "", transaction_timeout_ms: 0, transaction_start_time_ms: 0, producer_id: 0, producer_epoch: 0, topics: [] })
            init
              [1/0 Empty]
              1/0
            list
              ListTransactions([ListedTransaction { transactional_id: "x", producer_id: 1, transaction_state: "Empty" }])
            add 1/0 t-0 u-1
              [1/0 Ongoing t-0 u-1]
              NONE
            wait 1000
            list state=Ongoing
              ListTransactions([ListedTransaction { transactional_id: "x", producer_id: 1, transaction_state: "Ongoing" }])
            list state=Empty
              ListTransactions([])
            list pid=1
              ListTransactions([ListedTransaction { transactional_id: "x", producer_id: 1, transaction_state: "Ongoing" }])
            list pid=2
              ListTransactions([])
            list longer=999
              ListTransactions([ListedTransaction { transactional_id: "x", producer_id: 1, transaction_state: "Ongoing" }])
            list longer=1000
              ListTransactions([])
            describe
              DescribeTransaction(DescribedTransaction { error_code: 0, transactional_id: "x", transaction_state: "Ongoing", transaction_timeout_ms: 60000, transaction_start_time_ms: 1000000, producer_id: 1, producer_epoch: 0, topics: [TopicData { topic: "t", partitions: [0] }, TopicData { topic: "u", partitions: [1] }] })
        "#]],
    );
}
