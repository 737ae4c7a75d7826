//! InitProducerId, timeouts, and ids that expire.

use expect_test::expect;

use super::script::check;

#[test]
fn every_start_of_a_producer_bumps_the_epoch() {
    check(
        "
        init
        init
        init as=1/1
        init as=1/1
        init as=1/0
        init as=9/2
        init v=3 as=9/2
        ",
        expect![[r#"
            init
              [1/0 Empty]
              1/0
            init
              [1/1 Empty]
              1/1
            init as=1/1
              [1/2 Empty last epoch 1]
              1/2
            init as=1/1
              [1/2 Empty last epoch 1]
              1/2
            init as=1/0
              PRODUCER_FENCED
            init as=9/2
              PRODUCER_FENCED
            init v=3 as=9/2
              INVALID_PRODUCER_EPOCH
        "#]],
    );
}

#[test]
fn a_retry_is_the_same_producer_also_after_a_fail_over() {
    check(
        "
        init
        init as=1/0
        reload
        init as=1/0
        init
        init as=1/0
        ",
        expect![[r#"
            init
              [1/0 Empty]
              1/0
            init as=1/0
              [1/1 Empty last epoch 0]
              1/1
            reload
            init as=1/0
              [1/1 Empty last epoch 0]
              1/1
            init
              [1/2 Empty]
              1/2
            init as=1/0
              PRODUCER_FENCED
        "#]],
    );
}

#[test]
fn what_is_wrong_with_the_request_itself_is_said_first() {
    check(
        "
        init timeout=0
        init timeout=900001
        init timeout=900000
        init two-phase
        init as=5/-1
        init as=-1/5
        ",
        expect![[r#"
            init timeout=0
              INVALID_TRANSACTION_TIMEOUT
            init timeout=900001
              INVALID_TRANSACTION_TIMEOUT
            init timeout=900000
              [1/0 Empty]
              1/0
            init two-phase
              TRANSACTIONAL_ID_AUTHORIZATION_FAILED
            init as=5/-1
              INVALID_REQUEST
            init as=-1/5
              INVALID_REQUEST
        "#]],
    );
}

#[test]
fn a_new_producer_ends_the_transaction_of_the_one_before() {
    check(
        "
        init
        add 1/0 t-0
        init
        init
        written
        init
        add 1/0 t-0
        add v=1 1/0 t-0
        commit 1/0
        commit v=1 1/0
        ",
        expect![[r#"
            init
              [1/0 Empty]
              1/0
            add 1/0 t-0
              [1/0 Ongoing t-0]
              NONE
            init
              [1/1 PrepareAbort t-0]
              CONCURRENT_TRANSACTIONS
              write abort 1/1 t-0 level 0
            init
              CONCURRENT_TRANSACTIONS
            written
              [1/1 CompleteAbort]
            init
              [1/2 Empty]
              1/2
            add 1/0 t-0
              PRODUCER_FENCED
            add v=1 1/0 t-0
              INVALID_PRODUCER_EPOCH
            commit 1/0
              PRODUCER_FENCED
            commit v=1 1/0
              INVALID_PRODUCER_EPOCH
        "#]],
    );
}

#[test]
fn a_fence_that_the_log_refused_costs_no_epoch() {
    check(
        "
        init
        add 1/0 t-0
        refused init
        refused init
        init
        written
        init
        ",
        expect![[r#"
            init
              [1/0 Empty]
              1/0
            add 1/0 t-0
              [1/0 Ongoing t-0]
              NONE
            refused init
              [1/1 PrepareAbort t-0]
              refused
            refused init
              [1/1 PrepareAbort t-0]
              refused
            init
              [1/1 PrepareAbort t-0]
              CONCURRENT_TRANSACTIONS
              write abort 1/1 t-0 level 0
            written
              [1/1 CompleteAbort]
            init
              [1/2 Empty]
              1/2
        "#]],
    );
}

#[test]
fn a_fence_by_the_second_rules_bumps_once() {
    check(
        "
        level 2
        init
        add v=5 1/0 t-0
        init
        written
        init
        ",
        expect![[r#"
            level 2
            init
              [1/0 Empty]
              1/0
            add v=5 1/0 t-0
              [1/0 Ongoing t-0]
              NONE
            init
              [1/1 PrepareAbort t-0 last epoch 0]
              CONCURRENT_TRANSACTIONS
              write abort 1/1 t-0 level 2
            written
              [1/1 CompleteAbort last epoch 0]
            init
              [1/2 Empty]
              1/2
        "#]],
    );
}

#[test]
fn a_transaction_whose_producer_is_gone_ends_by_itself() {
    check(
        "
        init timeout=5000
        add 1/0 t-0
        wait 4000
        add 1/0 t-1
        wait 999
        describe
        wait 2
        written
        commit 1/0
        wait 100000
        ",
        expect![[r#"
            init timeout=5000
              [1/0 Empty]
              1/0
            add 1/0 t-0
              [1/0 Ongoing t-0]
              NONE
            wait 4000
            add 1/0 t-1
              [1/0 Ongoing t-0 t-1]
              NONE
            wait 999
            describe
              Ongoing since 1000000 t[0, 1]
            wait 2
              [1/1 PrepareAbort t-0 t-1]
              write abort 1/1 t-0 t-1 level 0
            written
              [1/1 CompleteAbort]
            commit 1/0
              PRODUCER_FENCED
            wait 100000
        "#]],
    );
}

#[test]
fn its_time_goes_on_with_the_next_coordinator() {
    check(
        "
        init timeout=5000
        add 1/0 t-0
        wait 3000
        reload
        wait 1999
        describe
        wait 2
        ",
        expect![[r#"
            init timeout=5000
              [1/0 Empty]
              1/0
            add 1/0 t-0
              [1/0 Ongoing t-0]
              NONE
            wait 3000
            reload
            wait 1999
            describe
              Ongoing since 1000000 t[0]
            wait 2
              [1/1 PrepareAbort t-0]
              write abort 1/1 t-0 level 0
        "#]],
    );
}

#[test]
fn an_abort_that_the_log_refused_is_tried_again() {
    check(
        "
        level 2
        init timeout=5000
        add v=5 1/0 t-0
        refused wait 5001
        wait 500
        ",
        expect![[r#"
            level 2
            init timeout=5000
              [1/0 Empty]
              1/0
            add v=5 1/0 t-0
              [1/0 Ongoing t-0]
              NONE
            refused wait 5001
              [1/1 PrepareAbort t-0 last epoch 0]
              refused
            wait 500
              [1/1 PrepareAbort t-0 last epoch 0]
              write abort 1/1 t-0 level 2
        "#]],
    );
}

#[test]
fn an_id_that_is_not_used_is_forgotten_but_not_in_a_transaction() {
    check(
        "
        init
        wait 604800000
        wait 3600000
        init timeout=900000
        reload
        add 2/0 t-0
        commit 2/0
        wait 700000000
        written
        wait 700000000
        ",
        expect![[r#"
            init
              [1/0 Empty]
              1/0
            wait 604800000
              [forgotten]
            wait 3600000
            init timeout=900000
              [2/0 Empty]
              2/0
            reload
            add 2/0 t-0
              [2/0 Ongoing t-0]
              NONE
            commit 2/0
              [2/0 PrepareCommit t-0]
              NONE
              write commit 2/0 t-0 level 0
            wait 700000000
            written
              [2/0 CompleteCommit]
            wait 700000000
              [forgotten]
        "#]],
    );
}
