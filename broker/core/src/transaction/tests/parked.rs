//! AddPartitionsToTxn while the markers of the transaction before are being written.

use expect_test::expect;

use super::script::check;

#[test]
fn the_next_transaction_begins_with_the_end_of_the_one_before() {
    check(
        "
        level 2
        init
        add 1/0 v=5 t-0
        commit 1/0 v=5
        add 1/1 v=5 t-1
        add 1/1 v=5 u-0
        add 1/1 v=5 t-1
        add 1/0 v=5 t-2
        add 2/0 v=5 t-2
        wait 49
        written
        wait 1000
        commit 1/1 v=5
        ",
        expect![[r#"
            level 2
            init
              [1/0 Empty]
              1/0
            add 1/0 v=5 t-0
              [1/0 Ongoing t-0]
              NONE
            commit 1/0 v=5
              [1/1 PrepareCommit t-0 last epoch 0]
              1/1
              write commit 1/1 t-0 level 2
            add 1/1 v=5 t-1
            add 1/1 v=5 u-0
            add 1/1 v=5 t-1
            add 1/0 v=5 t-2
            add 2/0 v=5 t-2
            wait 49
            written
              [1/1 CompleteCommit last epoch 0]
              [1/1 Ongoing t-1 last epoch 0]
              [1/1 Ongoing t-1 u-0 last epoch 0]
              NONE
              NONE
              NONE
              PRODUCER_FENCED
              INVALID_PRODUCER_ID_MAPPING
            wait 1000
            commit 1/1 v=5
              [1/2 PrepareCommit t-1 u-0 last epoch 1]
              1/2
              write commit 1/2 t-1 u-0 level 2
        "#]],
    );
}

#[test]
fn by_the_first_rules_too() {
    check(
        "
        init
        add 1/0 t-0
        abort 1/0
        add 1/0 t-1
        verify 1/0 t-1
        written
        verify 1/0 t-1
        ",
        expect![[r#"
            init
              [1/0 Empty]
              1/0
            add 1/0 t-0
              [1/0 Ongoing t-0]
              NONE
            abort 1/0
              [1/0 PrepareAbort t-0]
              NONE
              write abort 1/0 t-0 level 0
            add 1/0 t-1
            verify 1/0 t-1
              CONCURRENT_TRANSACTIONS
            written
              [1/0 CompleteAbort]
              [1/0 Ongoing t-1]
              NONE
            verify 1/0 t-1
              missing:
        "#]],
    );
}

#[test]
fn markers_that_take_long_are_not_waited_for() {
    check(
        "
        level 2
        init
        add 1/0 v=5 t-0
        commit 1/0 v=5
        add 1/1 v=5 t-1
        wait 30
        add 1/1 v=5 t-2
        wait 20
        wait 29
        written
        ",
        expect![[r#"
            level 2
            init
              [1/0 Empty]
              1/0
            add 1/0 v=5 t-0
              [1/0 Ongoing t-0]
              NONE
            commit 1/0 v=5
              [1/1 PrepareCommit t-0 last epoch 0]
              1/1
              write commit 1/1 t-0 level 2
            add 1/1 v=5 t-1
            wait 30
            add 1/1 v=5 t-2
            wait 20
              CONCURRENT_TRANSACTIONS
            wait 29
            written
              [1/1 CompleteCommit last epoch 0]
              [1/1 Ongoing t-2 last epoch 0]
              NONE
        "#]],
    );
}

#[test]
fn what_waits_goes_with_the_end_that_the_log_refuses() {
    check(
        "
        level 2
        init
        add 1/0 v=5 t-0
        commit 1/0 v=5
        add 1/1 v=5 t-1
        refused written
        add 1/1 v=5 t-2
        written
        ",
        expect![[r#"
            level 2
            init
              [1/0 Empty]
              1/0
            add 1/0 v=5 t-0
              [1/0 Ongoing t-0]
              NONE
            commit 1/0 v=5
              [1/1 PrepareCommit t-0 last epoch 0]
              1/1
              write commit 1/1 t-0 level 2
            add 1/1 v=5 t-1
            refused written
              [1/1 CompleteCommit last epoch 0]
              [1/1 Ongoing t-1 last epoch 0]
              refused
            add 1/1 v=5 t-2
            written
              [1/1 CompleteCommit last epoch 0]
              [1/1 Ongoing t-2 last epoch 0]
              NONE
        "#]],
    );
}

#[test]
fn another_coordinator_knows_nothing_of_what_waited() {
    check(
        "
        level 2
        init
        add 1/0 v=5 t-0
        commit 1/0 v=5
        add 1/1 v=5 t-1
        reload
        written
        wait 1000
        ",
        expect![[r#"
            level 2
            init
              [1/0 Empty]
              1/0
            add 1/0 v=5 t-0
              [1/0 Ongoing t-0]
              NONE
            commit 1/0 v=5
              [1/1 PrepareCommit t-0 last epoch 0]
              1/1
              write commit 1/1 t-0 level 2
            add 1/1 v=5 t-1
            reload
              write commit 1/1 t-0 level 2
            written
              [1/1 CompleteCommit last epoch 0]
            wait 1000
        "#]],
    );
}

#[test]
fn no_more_wait_than_a_producer_and_its_leaders_ask_for() {
    let asked = "add 1/1 v=5 t-1\n".repeat(17);
    check(
        &format!("level 2\ninit\nadd 1/0 v=5 t-0\ncommit 1/0 v=5\n{asked}"),
        expect![[r#"
            level 2
            init
              [1/0 Empty]
              1/0
            add 1/0 v=5 t-0
              [1/0 Ongoing t-0]
              NONE
            commit 1/0 v=5
              [1/1 PrepareCommit t-0 last epoch 0]
              1/1
              write commit 1/1 t-0 level 2
            add 1/1 v=5 t-1
            add 1/1 v=5 t-1
            add 1/1 v=5 t-1
            add 1/1 v=5 t-1
            add 1/1 v=5 t-1
            add 1/1 v=5 t-1
            add 1/1 v=5 t-1
            add 1/1 v=5 t-1
            add 1/1 v=5 t-1
            add 1/1 v=5 t-1
            add 1/1 v=5 t-1
            add 1/1 v=5 t-1
            add 1/1 v=5 t-1
            add 1/1 v=5 t-1
            add 1/1 v=5 t-1
            add 1/1 v=5 t-1
            add 1/1 v=5 t-1
              CONCURRENT_TRANSACTIONS
        "#]],
    );
}
