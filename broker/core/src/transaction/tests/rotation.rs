//! A producer id whose epochs are used up: the next one, and retries, with a fail-over between any
//! two steps.

use expect_test::expect;
use ottla_protocol::ids::ProducerEpoch;

use super::script::Runner;
use crate::transaction::Settings;

/// Runs `before`, exhausts the epochs, then runs `script`: once as it is, and once with a fail-over
/// after each line, which must not change an answer.
fn check(before: &str, epoch: i16, script: &str, expected: &expect_test::Expect) {
    let seen = run(before, epoch, script, false);
    expected.assert_eq(&seen);
    assert_eq!(run(before, epoch, script, true), seen);
}

fn run(before: &str, epoch: i16, script: &str, fails_over: bool) -> String {
    let mut runner = Runner::new(Settings::default());
    runner.run(before);
    runner.put(|transaction| transaction.producer.epoch = ProducerEpoch(epoch));
    let mut seen = String::new();
    for line in script.lines() {
        let from = runner.seen().len();
        runner.run(line);
        seen.push_str(&runner.seen()[from..]);
        if fails_over && !line.trim().is_empty() {
            runner.run("reload");
        }
    }
    seen
}

#[test]
fn an_init_rotates_and_knows_its_retry() {
    check(
        "init",
        32_766,
        "
        init as=1/32766
        init as=1/32766
        init as=1/32766
        init as=1/32765
        init as=2/0
        init as=2/0
        ",
        &expect![[r#"
            init as=1/32766
              [2/0 Empty was 1 last epoch 32766]
              2/0
            init as=1/32766
              [2/0 Empty was 1 last epoch 32766]
              2/0
            init as=1/32766
              [2/0 Empty was 1 last epoch 32766]
              2/0
            init as=1/32765
              PRODUCER_FENCED
            init as=2/0
              [2/1 Empty last epoch 0]
              2/1
            init as=2/0
              [2/1 Empty last epoch 0]
              2/1
        "#]],
    );
}

#[test]
fn an_end_rotates_and_knows_its_retry() {
    check(
        "level 2\ninit",
        32_766,
        "
        add v=5 1/32766 t-0
        commit v=5 1/32766
        commit v=5 1/32766
        written
        commit v=5 1/32766
        abort v=5 1/32766
        add v=5 1/32766 t-0
        add v=5 2/0 t-0
        commit v=5 1/32766
        commit v=5 2/0
        ",
        &expect![[r#"
            add v=5 1/32766 t-0
              [1/32766 Ongoing t-0]
              NONE
            commit v=5 1/32766
              [1/32767 PrepareCommit t-0 then 2 last epoch 32766]
              2/0
              write commit 1/32767 t-0 level 2
            commit v=5 1/32766
              CONCURRENT_TRANSACTIONS
            written
              [2/0 CompleteCommit was 1 last epoch 32766]
            commit v=5 1/32766
              2/0
            abort v=5 1/32766
              INVALID_TXN_STATE
            add v=5 1/32766 t-0
              INVALID_PRODUCER_ID_MAPPING
            add v=5 2/0 t-0
              [2/0 Ongoing t-0 last epoch 32766]
              NONE
            commit v=5 1/32766
              INVALID_PRODUCER_ID_MAPPING
            commit v=5 2/0
              [2/1 PrepareCommit t-0 last epoch 0]
              2/1
              write commit 2/1 t-0 level 2
        "#]],
    );
}

#[test]
fn who_goes_on_with_the_next_id_before_the_markers_are_written_is_told_to_wait() {
    check(
        "level 2\ninit",
        32_766,
        "
        add v=5 1/32766 t-0
        commit v=5 1/32766
        verify 2/0 t-0
        abort v=5 2/0
        init as=2/0
        written
        add v=5 2/0 t-0
        abort v=5 2/0
        ",
        &expect![[r#"
            add v=5 1/32766 t-0
              [1/32766 Ongoing t-0]
              NONE
            commit v=5 1/32766
              [1/32767 PrepareCommit t-0 then 2 last epoch 32766]
              2/0
              write commit 1/32767 t-0 level 2
            verify 2/0 t-0
              CONCURRENT_TRANSACTIONS
            abort v=5 2/0
              CONCURRENT_TRANSACTIONS
            init as=2/0
              CONCURRENT_TRANSACTIONS
            written
              [2/0 CompleteCommit was 1 last epoch 32766]
            add v=5 2/0 t-0
              [2/0 Ongoing t-0 last epoch 32766]
              NONE
            abort v=5 2/0
              [2/1 PrepareAbort t-0 last epoch 0]
              2/1
              write abort 2/1 t-0 level 2
        "#]],
    );
}

#[test]
fn a_producer_that_missed_the_rotation_goes_on_by_an_init() {
    check(
        "level 2\ninit",
        32_766,
        "
        add v=5 1/32766 t-0
        abort v=5 1/32766
        init as=1/32766
        written
        init as=1/32766
        init as=2/0
        ",
        &expect![[r#"
            add v=5 1/32766 t-0
              [1/32766 Ongoing t-0]
              NONE
            abort v=5 1/32766
              [1/32767 PrepareAbort t-0 then 2 last epoch 32766]
              2/0
              write abort 1/32767 t-0 level 2
            init as=1/32766
              CONCURRENT_TRANSACTIONS
            written
              [2/0 CompleteAbort was 1 last epoch 32766]
            init as=1/32766
              [2/0 Empty was 1 last epoch 32766]
              2/0
            init as=2/0
              [2/1 Empty last epoch 0]
              2/1
        "#]],
    );
}

#[test]
fn the_coordinator_itself_can_fence_and_abort_at_the_last_epochs() {
    for epoch in [32_766, 32_767] {
        let mut runner = Runner::new(Settings::default());
        runner.run("level 2\ninit timeout=1000\nadd v=5 1/0 t-0");
        runner.put(|transaction| transaction.producer.epoch = ProducerEpoch(epoch));
        runner.run("wait 1001\nwritten\ninit");
        let seen = runner.seen();
        assert!(seen.contains("write abort 1/32767"), "{seen}");
        assert!(seen.ends_with("[2/1 Empty]\n  2/1\n"), "{seen}");
    }
}

#[test]
fn the_first_rules_too() {
    check(
        "init timeout=1000",
        32_766,
        "
        add 1/32766 t-0
        wait 1001
        written
        init
        ",
        &expect![[r#"
            add 1/32766 t-0
              [1/32766 Ongoing t-0]
              NONE
            wait 1001
              [1/32767 PrepareAbort t-0]
              write abort 1/32767 t-0 level 0
            written
              [1/32767 CompleteAbort]
            init
              [2/0 Empty was 1]
              2/0
        "#]],
    );
}
