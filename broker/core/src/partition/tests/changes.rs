//! What marks, epochs and producers are once something was cut, moved or refused.

use super::transactions::with_two_aborted;
use super::*;

/// A follower of broker 1 with ten records, all of them committed.
fn caught_up_follower() -> Partition {
    let mut partition = partition(Durability::Fsync);
    step(
        &mut partition,
        0,
        Input::Assigned(assignment(1, 1, &[0, 1])),
    );
    let batches = [Batch {
        leader_epoch: LeaderEpoch(1),
        ..batch(10)
    }];
    let answer = Fetched {
        leader_epoch: LeaderEpoch(1),
        fetch_offset: Offset(0),
        error: None,
        diverging: None,
        high_watermark: Offset(10),
        log_start_offset: Offset(0),
        batches: &batches,
    };
    step(&mut partition, 0, Input::Fetched(answer));
    assert_eq!(partition.marks().high_watermark, Offset(10));
    partition
}

#[test]
fn a_log_that_was_cut_further_down_ends_there_in_all_its_marks() {
    let mut partition = caught_up_follower();
    step(&mut partition, 0, Input::TruncatedTo(Offset(4)));
    let marks = partition.marks();
    assert_eq!(
        (marks.high_watermark, marks.log_end_offset),
        (Offset(4), Offset(4))
    );
}

#[test]
fn a_follower_goes_by_no_image_of_the_past() {
    let mut partition = caught_up_follower();
    for (partition_epoch, leader) in [(12, 1), (11, 2)] {
        let mut assigned = assignment(leader, 1, &[0, 1]);
        assigned.partition_epoch = PartitionEpoch(partition_epoch);
        step(&mut partition, 0, Input::Assigned(assigned));
        assert_eq!(partition.leader(), Some(NodeId(1)));
    }
}

#[test]
fn a_leader_whose_first_append_was_refused_has_its_epoch_still() {
    let mut partition = leader(&[0, 1]);
    produce(&mut partition, Acks::All, 1);
    step(&mut partition, 0, Input::AppendFailed(Offset(0)));
    assert_eq!(partition.leader_epochs().latest(), Some(LeaderEpoch(1)));
}

#[test]
fn followers_hear_where_the_log_of_their_leader_begins() {
    let mut partition = leader(&[0, 1]);
    produce(&mut partition, Acks::Leader, 1);
    step(&mut partition, 0, Input::Flushed(Offset(10)));
    fetch(&mut partition, 0, 1, 10);
    let effects = step(&mut partition, 0, Input::LogStartMoved(Offset(5)));
    let moved = Effect::SetLogStartOffset(Offset(5));
    assert_eq!(effects, [moved, Effect::WakeFollowers]);
}

#[test]
fn a_follower_that_is_always_one_fetch_behind_is_in_sync() {
    let mut partition = leader(&[0, 1]);
    for (at, fetch_offset) in [(0, 0), (20, 10), (40, 20)] {
        let produced = Input::Produce {
            batch: batch(10),
            origin: CLIENT,
            acks: Acks::Leader,
            token: Token(1),
        };
        step(&mut partition, at, produced);
        fetch(&mut partition, at, 1, fetch_offset);
    }
    let lag_checked = |partition: &mut Partition, at| {
        let effects = step(partition, at, Input::LagChecked);
        wanted_isr(&effects)
    };
    assert_eq!(lag_checked(&mut partition, 45), None);
    assert_eq!(lag_checked(&mut partition, 51), Some(vec![0]));
}

/// The high watermark stands where it stands still, as long as it is in sync: that it has come to
/// it says nothing of it.
#[test]
fn a_follower_that_stands_still_is_not_taken_back_as_soon_as_it_is_put_out() {
    let mut partition = leader(&[0, 1, 2]);
    produce(&mut partition, Acks::Leader, 1);
    step(&mut partition, 0, Input::Flushed(Offset(10)));
    fetch(&mut partition, 0, 1, 10);
    fetch(&mut partition, 0, 2, 10);
    assert_eq!(partition.marks().high_watermark, Offset(10));
    // its disk is full: it goes on fetching, and keeps nothing
    produce(&mut partition, Acks::All, 2);
    step(&mut partition, 0, Input::Flushed(Offset(20)));
    fetch(&mut partition, 1, 1, 20);
    for at in 2..36 {
        fetch(&mut partition, at, 1, 20);
        fetch(&mut partition, at, 2, 10);
    }
    let effects = step(&mut partition, 36, Input::LagChecked);
    assert_eq!(wanted_isr(&effects), Some(vec![0, 1]));
    let effects = step(&mut partition, 36, altered(&[0, 1]));
    assert_eq!(wanted_isr(&effects), None);
    assert_eq!(acknowledged(&effects), [(2, Ok(10))]);
    let effects = fetch(&mut partition, 36, 2, 10);
    assert_eq!(wanted_isr(&effects), None);
}

/// Two batches of which the follower has the first.
pub(super) fn half_committed() -> Partition {
    let mut partition = leader(&[0, 1]);
    produce(&mut partition, Acks::Leader, 1);
    step(&mut partition, 0, Input::Flushed(Offset(10)));
    fetch(&mut partition, 0, 1, 10);
    produce(&mut partition, Acks::Leader, 2);
    step(&mut partition, 0, Input::Flushed(Offset(20)));
    partition
}

/// Below `min.insync.replicas` the high watermark does not go on.
#[test]
fn a_follower_that_stands_still_waits_until_it_has_moved_on_where_too_few_are_in_sync() {
    let mut partition = half_committed();
    let effects = step(&mut partition, 36, Input::LagChecked);
    assert_eq!(wanted_isr(&effects), Some(vec![0]));
    assert_eq!(wanted_isr(&step(&mut partition, 36, altered(&[0]))), None);
    assert_eq!(wanted_isr(&fetch(&mut partition, 36, 1, 10)), None);
    let effects = fetch(&mut partition, 37, 1, 15);
    assert_eq!(wanted_isr(&effects), Some(vec![0, 1]));
}

#[test]
fn a_cut_takes_the_aborted_transactions_along_whose_markers_it_takes() {
    let mut producers = with_two_aborted();
    producers.truncate_from_end(Offset(2));
    let left = producers.transactions().all_aborted().iter();
    let left: Vec<Offset> = left.map(|aborted| aborted.first_offset).collect();
    assert_eq!(left, [Offset(0)]);
}
