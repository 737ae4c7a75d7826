//! Followers whose logs begin anew.

use super::changes::half_committed;
use super::*;

/// The leader has deleted what this follower lacks, up to an offset within a batch.
fn behind(log_start_offset: i64) -> Partition {
    let mut partition = follower(false);
    let out_of_range = Fetched {
        leader_epoch: LeaderEpoch(1),
        fetch_offset: Offset(10),
        error: Some(ErrorCode::OffsetOutOfRange),
        diverging: None,
        high_watermark: Offset(100),
        log_start_offset: Offset(log_start_offset),
        batches: &[],
    };
    let effects = step(&mut partition, 0, Input::Fetched(out_of_range));
    let start = Offset(log_start_offset);
    assert_eq!(effects, [Effect::TruncateFullyAndStartAt(start)]);
    partition
}

#[test]
fn a_log_that_begins_anew_is_told_of_once_that_is_on_disk() {
    let mut partition = behind(57);
    assert_eq!(asks_from(&partition), None);
    step(&mut partition, 0, Input::Flushed(Offset(57)));
    assert_eq!(asks_from(&partition), Some(57));
}

#[test]
fn a_log_may_begin_within_a_batch_of_the_leader() {
    let mut partition = behind(57);
    step(&mut partition, 0, Input::Flushed(Offset(57)));
    let answer = Fetched {
        leader_epoch: LeaderEpoch(1),
        fetch_offset: Offset(57),
        error: None,
        diverging: None,
        high_watermark: Offset(70),
        log_start_offset: Offset(57),
        batches: &[batch_at(50), batch_at(60)],
    };
    step(&mut partition, 0, Input::Fetched(answer));
    let marks = partition.marks();
    assert_eq!(marks.log_end_offset, Offset(70));
    assert_eq!(marks.log_start_offset, Offset(57));
    assert_eq!(marks.high_watermark, Offset(70));
}

/// A follower tells that its log ends at an offset, and begins there.
fn fetch_of_empty(partition: &mut Partition, offset: i64) -> Effects {
    let fetch = FollowerFetch {
        node: NodeId(2),
        broker_epoch: Some(BrokerEpoch(1)),
        fetch_offset: Offset(offset),
        log_start_offset: Offset(offset),
    };
    step(partition, 0, Input::FollowerFetched(fetch))
}

#[test]
fn who_holds_nothing_is_not_in_sync_by_where_its_log_begins() {
    let mut partition = half_committed();
    assert_eq!(partition.marks().high_watermark, Offset(10));
    assert_eq!(wanted_isr(&fetch_of_empty(&mut partition, 10)), None);
    assert_eq!(
        partition.follower_ends().collect::<Vec<_>>(),
        [(NodeId(1), Offset(10))]
    );
    let effects = fetch(&mut partition, 0, 2, 20);
    assert_eq!(wanted_isr(&effects), Some(vec![0, 1, 2]));
}

#[test]
fn who_holds_nothing_is_in_sync_where_there_is_nothing() {
    let mut partition = leader(&[0, 1]);
    produce(&mut partition, Acks::Leader, 1);
    step(&mut partition, 0, Input::Flushed(Offset(10)));
    fetch(&mut partition, 0, 1, 10);
    let effects = fetch_of_empty(&mut partition, 10);
    assert_eq!(wanted_isr(&effects), Some(vec![0, 1, 2]));
}

#[test]
fn a_log_that_was_cut_before_the_place_ends_there() {
    let mut partition = follower(false);
    fetched(&mut partition, &[batch_at(10)]);
    step(&mut partition, 0, Input::Assigned(assignment(1, 2, &[1])));
    let diverging = Fetched {
        leader_epoch: LeaderEpoch(2),
        fetch_offset: Offset(20),
        error: None,
        diverging: Some((LeaderEpoch(1), Offset(13))),
        high_watermark: Offset(0),
        log_start_offset: Offset(13),
        batches: &[],
    };
    let effects = step(&mut partition, 0, Input::Fetched(diverging));
    assert_eq!(effects[0], Effect::TruncateTo(Offset(13)));
    assert_eq!(asks_from(&partition), None);
    let effects = step(&mut partition, 0, Input::TruncatedTo(Offset(10)));
    assert_eq!(effects, [Effect::ResumeFetch]);
    assert_eq!(asks_from(&partition), Some(10));
}
