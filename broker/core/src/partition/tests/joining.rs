//! Who joins the ISR holds what is committed, and gets the whole lag limit for the rest.

use super::*;

/// A leader that has committed 10 of 20 records, and a follower that has come to the tenth.
fn with_joining() -> Partition {
    let mut partition = leader(&[0, 1]);
    produce(&mut partition, Acks::Leader, 1);
    step(&mut partition, 0, Input::Flushed(Offset(10)));
    fetch(&mut partition, 0, 1, 10);
    let produced = Input::Produce {
        batch: batch(10),
        origin: CLIENT,
        acks: Acks::Leader,
        token: Token(2),
    };
    step(&mut partition, 35, produced);
    step(&mut partition, 35, Input::Flushed(Offset(20)));
    let effects = fetch(&mut partition, 40, 2, 10);
    assert_eq!(wanted_isr(&effects), Some(vec![0, 1, 2]));
    partition
}

fn leaves_only_after_the_lag_limit(mut partition: Partition) {
    let lag_checked = |partition: &mut Partition, at| {
        let effects = step(partition, at, Input::LagChecked);
        wanted_isr(&effects)
    };
    assert_eq!(partition.isr(), [NodeId(0), NodeId(1), NodeId(2)]);
    assert_eq!(lag_checked(&mut partition, 41), None);
    fetch(&mut partition, 60, 1, 20);
    assert_eq!(lag_checked(&mut partition, 70), None);
    assert_eq!(lag_checked(&mut partition, 71), Some(vec![0, 1]));
}

#[test]
fn who_joins_by_the_controllers_answer_is_caught_up_as_of_then() {
    let mut partition = with_joining();
    step(&mut partition, 40, altered(&[0, 1, 2]));
    leaves_only_after_the_lag_limit(partition);
}

#[test]
fn who_joins_by_an_image_is_caught_up_as_of_then() {
    let mut partition = with_joining();
    let mut assigned = assignment(0, 1, &[0, 1, 2]);
    assigned.partition_epoch = PartitionEpoch(11);
    step(&mut partition, 40, Input::Assigned(assigned));
    leaves_only_after_the_lag_limit(partition);
}
