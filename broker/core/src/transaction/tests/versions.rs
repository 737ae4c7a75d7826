//! One transactional id, and clients of all versions in turn.

use expect_test::expect;

use super::script::check;

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
        "#]],
    );
}

#[test]
fn clients_of_old_and_new_versions_fence_each_other() {
    check(
        "
        level 2
        init v=5
        add v=5 1/0 t-0
        init v=1
        written
        init v=1
        add v=0 1/2 t-0
        abort v=5 1/0
        init v=5
        written
        init v=5
        commit v=1 1/2
        ",
        expect![[r#"
            level 2
            init v=5
              [1/0 Empty]
              1/0
            add v=5 1/0 t-0
              [1/0 Ongoing t-0]
              NONE
            init v=1
              [1/1 PrepareAbort t-0 last epoch 0]
              CONCURRENT_TRANSACTIONS
              write abort 1/1 t-0 level 2
            written
              [1/1 CompleteAbort last epoch 0]
            init v=1
              [1/2 Empty]
              1/2
            add v=0 1/2 t-0
              [1/2 Ongoing t-0]
              NONE
            abort v=5 1/0
              PRODUCER_FENCED
            init v=5
              [1/3 PrepareAbort t-0 last epoch 2]
              CONCURRENT_TRANSACTIONS
              write abort 1/3 t-0 level 2
            written
              [1/3 CompleteAbort last epoch 2]
            init v=5
              [1/4 Empty]
              1/4
            commit v=1 1/2
              INVALID_PRODUCER_EPOCH
        "#]],
    );
}

#[test]
fn an_end_of_long_ago_is_no_retry_of_what_another_producer_did() {
    check(
        "
        level 2
        init v=5
        init v=1
        add v=0 1/1 t-0
        commit v=1 1/1
        written
        commit v=5 1/0
        abort v=5 1/0
        ",
        expect![[r#"
            level 2
            init v=5
              [1/0 Empty]
              1/0
            init v=1
              [1/1 Empty]
              1/1
            add v=0 1/1 t-0
              [1/1 Ongoing t-0]
              NONE
            commit v=1 1/1
              [1/1 PrepareCommit t-0]
              NONE
              write commit 1/1 t-0 level 0
            written
              [1/1 CompleteCommit]
            commit v=5 1/0
              PRODUCER_FENCED
            abort v=5 1/0
              PRODUCER_FENCED
        "#]],
    );
}
