//! What a step makes possible happens in that step: nobody would come by to do it later.

use super::transactions::with_two_aborted;
use super::*;

#[test]
fn a_smaller_min_isr_commits_what_waited_for_it() {
    let mut partition = leader(&[0]);
    produce(&mut partition, Acks::Leader, 1);
    step(&mut partition, 0, Input::Flushed(Offset(10)));
    assert_eq!(partition.marks().high_watermark, Offset(0));
    let config = Config {
        min_insync_replicas: 1,
        ..*partition.config()
    };
    let effects = step(&mut partition, 0, Input::Configured(config));
    assert_eq!(partition.marks().high_watermark, Offset(10));
    assert!(effects.contains(&Effect::WakeConsumers), "{effects:?}");
}

#[test]
fn a_lone_leader_that_promised_memory_answers_at_once() {
    let mut partition = partition(Durability::Replicated);
    let config = Config {
        min_insync_replicas: 1,
        ..*partition.config()
    };
    step(&mut partition, 0, Input::Configured(config));
    step(&mut partition, 0, Input::Assigned(assignment(0, 1, &[0])));
    let effects = produce(&mut partition, Acks::All, 1);
    assert_eq!(acknowledged(&effects), [(1, Ok(0))]);
}

#[test]
fn followers_hear_of_what_is_appended_and_consumers_of_what_is_committed() {
    let mut partition = leader(&[0, 1]);
    let effects = produce(&mut partition, Acks::All, 1);
    assert!(effects.contains(&Effect::WakeFollowers), "{effects:?}");

    let mut follower = super::partition(Durability::Fsync);
    step(&mut follower, 0, Input::Assigned(assignment(1, 1, &[0, 1])));
    let batches = [Batch {
        leader_epoch: LeaderEpoch(1),
        ..batch(10)
    }];
    let mut answer = Fetched {
        leader_epoch: LeaderEpoch(1),
        fetch_offset: Offset(0),
        error: None,
        diverging: None,
        high_watermark: Offset(0),
        log_start_offset: Offset(0),
        batches: &batches,
    };
    step(&mut follower, 0, Input::Fetched(answer));
    (answer.fetch_offset, answer.batches) = (Offset(10), &[]);
    answer.high_watermark = Offset(10);
    let effects = step(&mut follower, 0, Input::Fetched(answer));
    assert_eq!(effects, [Effect::WakeConsumers]);
}

#[test]
fn an_answer_of_an_earlier_epoch_changes_nothing() {
    let mut follower = super::partition(Durability::Fsync);
    step(&mut follower, 0, Input::Assigned(assignment(1, 1, &[0, 1])));
    step(&mut follower, 0, Input::Assigned(assignment(1, 3, &[0, 1])));
    let batches = [batch(10)];
    let answer = Fetched {
        leader_epoch: LeaderEpoch(1),
        fetch_offset: Offset(0),
        error: None,
        diverging: None,
        high_watermark: Offset(0),
        log_start_offset: Offset(0),
        batches: &batches,
    };
    let before = follower.marks();
    assert_eq!(step(&mut follower, 0, Input::Fetched(answer)), []);
    assert_eq!(follower.marks(), before);
}

#[test]
fn who_came_while_the_isr_changed_is_asked_for_next() {
    let mut partition = leader(&[0]);
    let effects = fetch(&mut partition, 0, 1, 0);
    assert_eq!(wanted_isr(&effects), Some(vec![0, 1]));
    assert_eq!(wanted_isr(&fetch(&mut partition, 0, 2, 0)), None);
    let effects = step(&mut partition, 0, altered(&[0, 1]));
    assert_eq!(wanted_isr(&effects), Some(vec![0, 1, 2]));
}

#[test]
fn who_waits_for_deleted_records_waits_for_no_replica_that_died() {
    let mut partition = leader(&[0, 1]);
    produce(&mut partition, Acks::Leader, 1);
    step(&mut partition, 0, Input::Flushed(Offset(10)));
    fetch(&mut partition, 0, 1, 10);
    let delete = Input::DeleteRecords {
        offset: None,
        token: Token(2),
    };
    let told = |effects: Effects| {
        let is_told = |effect: &Effect| matches!(effect, Effect::RecordsDeleted { .. });
        effects.iter().any(is_told)
    };
    assert!(!told(step(&mut partition, 0, delete)));
    let mut died = assignment(0, 1, &[0, 1]);
    died.partition_epoch = PartitionEpoch(11);
    for replica in &mut died.replicas[1..] {
        replica.eligible = None;
    }
    assert!(told(step(&mut partition, 0, Input::Assigned(died))));
}

#[test]
fn an_aborted_transaction_is_forgotten_with_its_marker() {
    let mut producers = with_two_aborted();
    producers.markers_removed(&[Offset(1)]);
    let left = producers.transactions().all_aborted().iter();
    let left: Vec<Offset> = left.map(|aborted| aborted.first_offset).collect();
    assert_eq!(left, [Offset(2)]);
}
