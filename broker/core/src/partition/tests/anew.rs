//! Followers whose logs begin anew.

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
