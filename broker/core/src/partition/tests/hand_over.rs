use super::*;

const LEADER: i32 = 0;
const SUCCESSOR: i32 = 1;

fn successor_named(partition_epoch: i32, successor: Option<i32>) -> Input<'static> {
    let mut named = assignment(LEADER, 1, &[0, 1, 2]);
    named.partition_epoch = PartitionEpoch(partition_epoch);
    named.successor = successor.map(NodeId);
    Input::Assigned(named)
}

fn is_asked(effects: &[Effect]) -> bool {
    effects.contains(&Effect::HandOver(LeaderEpoch(1)))
}

/// What becomes of a batch now, and what the core says to one that comes all the same.
fn reception(
    partition: &mut Partition,
    at: u64,
) -> (Reception, Vec<(u32, Result<i64, ErrorCode>)>) {
    let reception = partition.reception(seconds(at));
    let produce = Input::Produce {
        batch: batch(1),
        origin: CLIENT,
        acks: Acks::None,
        token: Token(9),
    };
    let mut told = acknowledged(&step(partition, at, produce));
    if told.is_empty() {
        let flushed = Input::Flushed(partition.marks().log_end_offset);
        told = acknowledged(&step(partition, at, flushed));
    }
    (reception, told)
}

#[test]
fn a_leader_hands_over_once_the_isr_has_every_byte() {
    let mut partition = leader(&[0, 1, 2]);
    produce(&mut partition, Acks::All, 1);
    assert!(!is_asked(&step(
        &mut partition,
        0,
        successor_named(11, Some(SUCCESSOR))
    )));
    let refused = vec![(9, Err(ErrorCode::NotLeaderOrFollower))];
    assert_eq!(reception(&mut partition, 0), (Reception::Park, refused));
    step(&mut partition, 0, Input::Flushed(Offset(10)));
    assert!(!is_asked(&fetch(&mut partition, 0, SUCCESSOR, 10)));
    let effects = fetch(&mut partition, 0, 2, 10);
    assert_eq!(acknowledged(&effects), [(1, Ok(0))]);
    assert!(is_asked(&effects));
    assert!(!is_asked(&fetch(&mut partition, 0, 2, 10)), "asked once");
    let effects = step(
        &mut partition,
        1,
        Input::Assigned(assignment(SUCCESSOR, 2, &[0, 1, 2])),
    );
    assert_eq!(acknowledged(&effects), []);
    let forward = Reception::Forward(NodeId(SUCCESSOR), LeaderEpoch(2));
    assert_eq!(partition.reception(seconds(1)), forward);
    let later = seconds(1) + FORWARD_MAX;
    assert_eq!(partition.reception(later), Reception::Step);
}

#[test]
fn an_idle_leader_hands_over_at_once() {
    let mut partition = leader(&[0, 1, 2]);
    fetch(&mut partition, 0, SUCCESSOR, 0);
    assert!(is_asked(&step(
        &mut partition,
        0,
        successor_named(11, Some(SUCCESSOR))
    )));
}

#[test]
fn a_hand_over_that_is_called_off_is_as_if_it_had_never_begun() {
    let mut partition = leader(&[0, 1, 2]);
    step(&mut partition, 0, successor_named(11, Some(SUCCESSOR)));
    step(&mut partition, 0, successor_named(12, None));
    assert_eq!(
        reception(&mut partition, 0),
        (Reception::Step, vec![(9, Ok(0))])
    );
    // whoever is elected then has not been handed over to
    step(
        &mut partition,
        0,
        Input::Assigned(assignment(2, 2, &[0, 1, 2])),
    );
    assert_eq!(partition.reception(seconds(0)), Reception::Step);
}

#[test]
fn a_successor_that_lags_holds_up_nobody_for_long() {
    let mut partition = leader(&[0, 1, 2]);
    produce(&mut partition, Acks::All, 1);
    step(&mut partition, 0, successor_named(11, Some(SUCCESSOR)));
    assert_eq!(reception(&mut partition, 0).0, Reception::Park);
    assert_eq!(reception(&mut partition, 1).0, Reception::Step);
    // it is tried again, and the controller may fail it too
    step(&mut partition, 2, Input::LagChecked);
    assert_eq!(reception(&mut partition, 2).0, Reception::Park);
    step(&mut partition, 2, failed(true));
    assert_eq!(reception(&mut partition, 2).0, Reception::Step);
}

/// The controller's answer to the leader of epoch 1.
fn failed(is_refused: bool) -> Input<'static> {
    Input::HandOverFailed {
        leader_epoch: LeaderEpoch(1),
        is_refused,
    }
}

#[test]
fn what_the_controller_says_of_an_earlier_epoch_ends_no_hand_over() {
    let mut partition = leader(&[0, 1, 2]);
    fetch(&mut partition, 5, SUCCESSOR, 0);
    fetch(&mut partition, 5, 2, 0);
    step(&mut partition, 5, successor_named(11, Some(SUCCESSOR)));
    let late = Input::HandOverFailed {
        leader_epoch: LeaderEpoch(0),
        is_refused: true,
    };
    step(&mut partition, 5, late);
    assert_eq!(partition.reception(seconds(5)), Reception::Park);
    step(&mut partition, 5, failed(true));
    assert_eq!(partition.reception(seconds(5)), Reception::Step);
}

/// A leader that was asked for its leadership, and has asked for the change itself.
fn about_to_go() -> Partition {
    let mut partition = leader(&[0, 1, 2]);
    fetch(&mut partition, 0, SUCCESSOR, 0);
    fetch(&mut partition, 0, 2, 0);
    assert!(is_asked(&step(
        &mut partition,
        0,
        successor_named(11, Some(SUCCESSOR))
    )));
    partition
}

#[test]
fn who_leads_after_the_successor_is_sent_the_rest_too() {
    let mut partition = about_to_go();
    let next = assignment(2, 3, &[0, 1, 2]);
    step(&mut partition, 0, Input::Assigned(next));
    let forward = Reception::Forward(NodeId(2), LeaderEpoch(3));
    assert_eq!(partition.reception(seconds(0)), forward);
}

#[test]
fn nothing_is_sent_on_past_what_a_late_hand_over_refuses() {
    let mut partition = about_to_go();
    // it took too long: this leader appends again, and goes while a producer waits
    let waits = Input::Produce {
        batch: batch(1),
        origin: CLIENT,
        acks: Acks::All,
        token: Token(1),
    };
    assert_eq!(acknowledged(&step(&mut partition, 1, waits)), []);
    let late = assignment(SUCCESSOR, 2, &[0, 1, 2]);
    let effects = step(&mut partition, 1, Input::Assigned(late));
    let refused = [(1, Err(ErrorCode::NotLeaderOrFollower))];
    assert_eq!(acknowledged(&effects), refused);
    assert_eq!(partition.reception(seconds(1)), Reception::Step);
}

#[test]
fn a_leader_that_has_asked_to_go_tells_clients_nothing_until_it_knows() {
    let told = |partition: &Partition| {
        partition.answers_as_leader(Asker::Client { has_lease: true }, None)
    };
    let mut partition = leader(&[0, 1, 2]);
    fetch(&mut partition, 5, SUCCESSOR, 0);
    assert_eq!(told(&partition), Ok(()));
    step(&mut partition, 5, successor_named(11, Some(SUCCESSOR)));
    let refused = Err(ErrorCode::NotLeaderOrFollower);
    assert_eq!(told(&partition), refused);
    assert_eq!(partition.answers_as_leader(Asker::Replica, None), Ok(()));
    step(&mut partition, 5, failed(false));
    assert_eq!(told(&partition), refused, "the controller may have done it");
    step(&mut partition, 5, failed(true));
    assert_eq!(told(&partition), Ok(()), "it has not");
}

#[test]
fn a_leader_that_has_asked_to_go_acknowledges_nothing_by_itself_until_it_knows() {
    let mut partition = leader(&[0, 1, 2]);
    fetch(&mut partition, 5, SUCCESSOR, 0);
    step(&mut partition, 5, successor_named(11, Some(SUCCESSOR)));
    assert_eq!(reception(&mut partition, 5).0, Reception::Park);
    // a second later nothing is kept any more, and the controller may have done it
    let refused = vec![(9, Err(ErrorCode::NotLeaderOrFollower))];
    assert_eq!(reception(&mut partition, 6), (Reception::Step, refused));
    assert_eq!(
        acknowledged(&step(
            &mut partition,
            6,
            Input::Produce {
                batch: batch(1),
                origin: CLIENT,
                acks: Acks::All,
                token: Token(9),
            }
        )),
        [],
        "which its followers will vouch for"
    );
}
