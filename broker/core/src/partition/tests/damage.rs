//! Logs that failed or are damaged.

use super::*;

fn empties_its_log(effects: &[Effect]) -> bool {
    let empties = |effect: &Effect| *effect == Effect::TruncateFullyAndStartAt(Offset::ZERO);
    effects.iter().any(empties)
}

#[test]
fn a_log_that_failed_leads_nothing_whatever_is_assigned() {
    let mut partition = leader(&[0, 1, 2]);
    produce(&mut partition, Acks::All, 1);
    let effects = step(&mut partition, 0, Input::Failed);
    let refused = Err(ErrorCode::NotLeaderOrFollower);
    assert_eq!(acknowledged(&effects), [(1, refused)]);
    for (leader, epoch, isr) in [(0, 1, &[0, 1, 2][..]), (0, 2, &[0]), (1, 3, &[1, 2])] {
        let assigned = Input::Assigned(assignment(leader, epoch, isr));
        let effects = step(&mut partition, 0, assigned);
        assert!(partition.is_offline() && !empties_its_log(&effects));
        assert_eq!(partition.fetch_position(), None);
    }
}

#[test]
fn a_lost_log_is_made_anew_once_nobody_counts_on_it() {
    let mut partition = leader(&[0, 1, 2]);
    produce(&mut partition, Acks::All, 1);
    step(&mut partition, 0, Input::Flushed(Offset(10)));
    step(&mut partition, 0, Input::Lost(LeaderEpoch(5)));
    step(&mut partition, 0, Input::Failed);
    for (leader, epoch, isr) in [
        (1, 2, &[1, 2][..]),
        (0, 3, &[0, 1]),
        (1, 4, &[1]),
        (1, 5, &[1, 0]),
    ] {
        let assigned = Input::Assigned(assignment(leader, epoch, isr));
        let effects = step(&mut partition, 0, assigned);
        assert!(
            partition.is_offline() && !empties_its_log(&effects),
            "epoch {epoch}"
        );
    }
    let assigned = Input::Assigned(assignment(2, 6, &[1, 2]));
    assert!(empties_its_log(&step(&mut partition, 0, assigned)));
    let position = partition.fetch_position().unwrap();
    assert_eq!(
        (position.leader, position.fetch_offset),
        (NodeId(2), Offset::ZERO)
    );
    assert_eq!(position.last_fetched_epoch, None);
    let assigned = Input::Assigned(assignment(0, 7, &[0, 1, 2]));
    step(&mut partition, 0, assigned);
    assert!(partition.is_leader());
}

#[test]
fn a_full_disk_keeps_a_log_that_ends_before_the_leaders_begins() {
    let mut partition = follower(false);
    let end = partition.marks().log_end_offset;
    let answer = Fetched {
        leader_epoch: LeaderEpoch(1),
        fetch_offset: end,
        error: None,
        diverging: None,
        high_watermark: Offset(20),
        log_start_offset: Offset(15),
        batches: &[batch_at(10)],
    };
    step(&mut partition, 0, Input::Fetched(answer));
    step(&mut partition, 0, Input::AppendFailed(end));
    step(&mut partition, 0, Input::LagChecked);
    let marks = partition.marks();
    assert_eq!((marks.log_start_offset, marks.log_end_offset), (end, end));
}

/// The epoch in which nobody counts on it may be heard of before the answer that says so.
#[test]
fn a_log_in_doubt_is_told_to_no_leader_before_it_is_spared_or_lost() {
    for answer in [Input::Spared, Input::Lost(LeaderEpoch(2))] {
        let mut partition = follower(false);
        let end = partition.fetch_position().map(|at| at.fetch_offset);
        step(&mut partition, 0, Input::Doubted);
        assert_eq!(partition.fetch_position(), None);
        step(&mut partition, 0, Input::Assigned(assignment(1, 2, &[1])));
        assert_eq!(
            partition.fetch_position(),
            None,
            "epoch 2 is the one in which it is lost"
        );
        let is_spared = matches!(answer, Input::Spared);
        let effects = step(&mut partition, 0, answer);
        if is_spared {
            assert!(effects.contains(&Effect::ResumeFetch));
            assert_eq!(partition.fetch_position().map(|at| at.fetch_offset), end);
        } else {
            assert_eq!(partition.fetch_position(), None);
            let effects = step(&mut partition, 0, Input::Assigned(assignment(1, 2, &[1])));
            assert!(empties_its_log(&effects));
            let position = partition.fetch_position().map(|at| at.fetch_offset);
            assert_eq!(position, Some(Offset::ZERO));
        }
    }
}

#[test]
fn an_image_of_the_past_empties_nothing() {
    let mut partition = leader(&[0, 1, 2]);
    step(&mut partition, 0, Input::Lost(LeaderEpoch(2)));
    for (partition_epoch, isr) in [(22, &[0, 1][..]), (21, &[1])] {
        let mut assigned = assignment(1, 2, isr);
        assigned.partition_epoch = PartitionEpoch(partition_epoch);
        let effects = step(&mut partition, 0, Input::Assigned(assigned));
        assert!(partition.is_offline() && !empties_its_log(&effects));
    }
}
