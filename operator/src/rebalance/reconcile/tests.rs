//! One KafkaRebalance, step by step, on brokers that are not there.

use std::collections::BTreeMap;

use super::*;
use crate::crd::rebalance::RebalanceGoal;
use crate::observed::{ObservedPartition, ObservedTopic, RegisteredBroker};
use crate::rebalance::around::Look;

fn partition(replicas: &[i32]) -> ObservedPartition {
    ObservedPartition {
        has_leader: true,
        replicas: replicas.to_vec(),
        isr: replicas.to_vec(),
        ..ObservedPartition::default()
    }
}

/// Two brokers, of which the first has four partitions.
fn look() -> Look {
    let mut look = Look::default();
    let mut topic = ObservedTopic::default();
    for index in 0..4 {
        topic.partitions.push(partition(&[0]));
        let sizes = BTreeMap::from([(0, 100)]);
        look.sizes.insert(("t".to_owned(), index), sizes);
    }
    look.topics.insert("t".to_owned(), topic);
    for id in [0, 1] {
        look.brokers.insert(id, RegisteredBroker::default());
    }
    look
}

fn object(spec: &str) -> KafkaRebalance {
    let text = format!(
        "metadata: {{ name: even, uid: u, generation: 1 }}\n\
         spec: {{ clusterRef: {{ name: c }}, {spec} }}"
    );
    serde_yaml::from_str(&text).unwrap()
}

fn annotate(object: &mut KafkaRebalance, key: &str, value: &str) {
    let annotations = object.metadata.annotations.get_or_insert_default();
    annotations.insert(key.to_owned(), value.to_owned());
}

fn step(object: &mut KafkaRebalance, look: &Look, busy: Option<&str>) -> Decision {
    step_without(object, look, &[], busy)
}

/// The same while some brokers are to go.
fn step_without(
    object: &mut KafkaRebalance,
    look: &Look,
    leaving: &[i32],
    busy: Option<&str>,
) -> Decision {
    let around = Around {
        look,
        leaving: &leaving.iter().copied().collect(),
        busy,
        now: "2026-01-01T00:00:00Z",
    };
    let decision = decide(object, &around);
    object.status = Some(decision.status.clone());
    decision
}

fn reason(decision: &Decision) -> &str {
    &decision.status.conditions[0].reason
}

fn approve(object: &mut KafkaRebalance) {
    let status = object.status.as_ref().unwrap();
    let hash = status.plan.as_ref().unwrap().hash.clone();
    annotate(object, APPROVE, &hash);
}

#[test]
fn a_plan_is_made_approved_carried_out_and_done() {
    let (mut one, mut look) = (object(""), look());
    assert_eq!(reason(&step(&mut one, &look, None)), "WaitingForApproval");
    assert!(!is_due(&one), "at rest it asks for nothing");
    approve(&mut one);
    assert!(is_due(&one));
    let begun = step(&mut one, &look, None);
    assert_eq!(begun.status.state, RebalanceState::Rebalancing);
    assert!(begun.targets.is_empty(), "it stands in the status first");
    let moves = step(&mut one, &look, None).targets;
    assert_eq!(moves.len(), 2);
    for ((_, index), target) in &moves {
        let index = usize::try_from(*index).unwrap();
        let moved = &mut look.topics.get_mut("t").unwrap().partitions[index];
        moved.replicas = target.clone().unwrap();
    }
    let done = step(&mut one, &look, None);
    assert_eq!(
        (reason(&done), done.status.state),
        ("Rebalanced", RebalanceState::Ready)
    );
}

#[test]
fn what_is_busy_holds_up_a_plan_and_its_moves() {
    let (mut one, look) = (object(""), look());
    assert_eq!(
        reason(&step(&mut one, &look, Some("broker 2 comes"))),
        "Proposing"
    );
    step(&mut one, &look, None);
    approve(&mut one);
    let waits = step(&mut one, &look, Some("broker 2 comes"));
    assert_eq!(waits.status.state, RebalanceState::Approved);
    step(&mut one, &look, None);
    assert!(
        step(&mut one, &look, Some("broker 2 comes"))
            .targets
            .is_empty()
    );
    assert_eq!(step(&mut one, &look, None).targets.len(), 2);
}

#[test]
fn consent_is_to_what_was_planned_and_not_to_what_became_of_it() {
    let (mut one, mut look) = (object(""), look());
    step(&mut one, &look, None);
    approve(&mut one);
    let before = one.status.clone().unwrap().plan.unwrap().hash;
    let topic = look.topics.get_mut("t").unwrap();
    topic.partitions[0] = partition(&[1]);
    topic.partitions[1] = partition(&[1]);
    topic.partitions[2] = partition(&[1]);
    let anew = step(&mut one, &look, None);
    assert_eq!(anew.status.state, RebalanceState::ProposalReady);
    assert_ne!(anew.status.plan.unwrap().hash, before);
}

#[test]
fn a_move_that_somebody_else_has_overtaken_is_left_alone() {
    let (mut one, mut look) = (object(""), look());
    step(&mut one, &look, None);
    approve(&mut one);
    step(&mut one, &look, None);
    let index = usize::try_from(one.status.as_ref().unwrap().moves[0].partition).unwrap();
    look.brokers.insert(2, RegisteredBroker::default());
    look.topics.get_mut("t").unwrap().partitions[index] = partition(&[2]);
    assert_eq!(step(&mut one, &look, None).targets.len(), 1);
}

#[test]
fn a_stop_cancels_what_is_under_way_and_lifts_the_throttle() {
    let (mut one, mut look) = (object("throttle: 1000"), look());
    step(&mut one, &look, None);
    approve(&mut one);
    assert_eq!(step(&mut one, &look, None).status.throttled, [0, 1]);
    let begun = step(&mut one, &look, None);
    assert_eq!(begun.throttle, Some((vec![0, 1], 1000)));
    for (_, index) in begun.targets.keys() {
        let index = usize::try_from(*index).unwrap();
        let moved = &mut look.topics.get_mut("t").unwrap().partitions[index];
        moved.replicas = vec![1, 0];
        moved.adding = vec![1];
        moved.removing = vec![0];
    }
    annotate(&mut one, REBALANCE, "stop");
    let stopped = step(&mut one, &look, None);
    assert_eq!(stopped.status.state, RebalanceState::Stopped);
    assert_eq!(stopped.targets.len(), 2);
    assert!(stopped.targets.values().all(Option::is_none));
    assert_eq!(stopped.lifted, [0, 1]);
    assert!(!is_due(&one));
    annotate(&mut one, REBALANCE, "refresh");
    assert!(is_due(&one));
}

#[test]
fn another_spec_and_each_refresh_have_a_plan_of_their_own() {
    let (mut one, look) = (object(""), look());
    let mut hashes = BTreeSet::new();
    let mut hash = |one: &KafkaRebalance| {
        let plan = one.status.as_ref().unwrap().plan.as_ref().unwrap();
        assert!(hashes.insert(plan.hash.clone()), "it was there before");
    };
    step(&mut one, &look, None);
    hash(&one);
    one.spec.goals = vec![RebalanceGoal::Replicas];
    assert!(is_due(&one));
    step(&mut one, &look, None);
    hash(&one);
    for asked in ["refresh", "refresh again"] {
        annotate(&mut one, REBALANCE, asked);
        assert!(is_due(&one));
        step(&mut one, &look, None);
        assert!(!is_due(&one), "it is asked for once");
        hash(&one);
    }
}

/// Two brokers, of which the first has so many partitions.
fn look_of(partitions: i32) -> Look {
    let mut look = look();
    let topic = look.topics.get_mut("t").unwrap();
    topic.partitions = (0..partitions).map(|_| partition(&[0])).collect();
    look.sizes = (0..partitions)
        .map(|index| (("t".to_owned(), index), BTreeMap::from([(0, 100)])))
        .collect();
    look
}

/// Carries out what is asked for at once, until nothing is; how many partitions have moved.
fn carry_out(one: &mut KafkaRebalance, look: &mut Look) -> usize {
    let mut moved = 0;
    loop {
        let decision = step(one, look, None);
        let topic = look.topics.get_mut("t").unwrap();
        for ((_, index), target) in &decision.targets {
            let index = usize::try_from(*index).unwrap();
            topic.partitions[index].replicas = target.clone().unwrap();
            moved += 1;
        }
        if decision.status.state != RebalanceState::Rebalancing {
            return moved;
        }
    }
}

#[test]
fn a_plan_larger_than_a_status_is_carried_out_in_turns_by_one_consent() {
    let (mut one, mut look) = (object("throttle: 1000"), look_of(2_400));
    let proposed = step(&mut one, &look, None).status;
    assert_eq!(proposed.moves.len(), 500);
    let plan = proposed.plan.unwrap();
    assert_eq!((plan.partitions, plan.bytes), (1_200, Some(120_000)));
    assert!(plan.summary.ends_with("500 at a time"), "{}", plan.summary);
    approve(&mut one);
    step(&mut one, &look, None);
    let begun = step(&mut one, &look, None).status.progress.unwrap();
    assert_eq!((begun.partitions_left, begun.bytes_left), (1_200, 120_000));
    assert_eq!(carry_out(&mut one, &mut look), 1_200);
    let status = one.status.unwrap();
    assert_eq!((status.moved, status.state), (1_000, RebalanceState::Ready));
    assert_eq!(status.plan.unwrap().hash, plan.hash);
    assert!(status.throttled.is_empty());
    let topic = &look.topics["t"];
    let held = topic.partitions.iter().filter(|one| one.replicas == [0]);
    assert_eq!(held.count(), 1_200);
}

#[test]
fn turns_move_no_more_partitions_than_were_consented_to() {
    let (mut one, mut look) = (object(""), look_of(1_400));
    step(&mut one, &look, None);
    approve(&mut one);
    step(&mut one, &look, None);
    // Somebody creates partitions, all on the fuller broker, once the first turn has begun.
    let topic = look.topics.get_mut("t").unwrap();
    topic.partitions.extend((0..1_000).map(|_| partition(&[0])));
    assert_eq!(carry_out(&mut one, &mut look), 700);
    assert_eq!(one.status.unwrap().state, RebalanceState::Ready);
}

#[test]
fn between_turns_it_waits_for_what_is_busy_and_can_be_stopped() {
    let (mut one, mut look) = (object(""), look_of(1_200));
    step(&mut one, &look, None);
    approve(&mut one);
    step(&mut one, &look, None);
    let topic = look.topics.get_mut("t").unwrap();
    for planned in &one.status.as_ref().unwrap().moves {
        let index = usize::try_from(planned.partition).unwrap();
        topic.partitions[index].replicas.clone_from(&planned.to);
    }
    assert!(step(&mut one, &look, None).status.moves.is_empty());
    let waits = step(&mut one, &look, Some("broker 2 comes")).status;
    assert!(waits.moves.is_empty());
    assert_eq!(waits.state, RebalanceState::Rebalancing);
    annotate(&mut one, REBALANCE, "stop");
    let stopped = step(&mut one, &look, None);
    assert_eq!(stopped.status.state, RebalanceState::Stopped);
}

fn message(decision: &Decision) -> &str {
    &decision.status.conditions[0].message
}

/// One whose plan was made and consented to, and has begun.
fn begun(spec: &str, look: &Look) -> KafkaRebalance {
    let mut one = object(spec);
    step(&mut one, look, None);
    approve(&mut one);
    let state = step(&mut one, look, None).status.state;
    assert_eq!(state, RebalanceState::Rebalancing);
    one
}

#[test]
fn a_broker_that_cannot_be_emptied_is_not_said_to_be() {
    let mut look = look();
    look.topics.get_mut("t").unwrap().partitions = vec![partition(&[0, 1])];
    let mut one = object("mode: RemoveBrokers, brokers: [1]");
    let kept = step(&mut one, &look, None);
    assert_eq!(reason(&kept), "ReplicasRemain");
    assert!(message(&kept).starts_with("1 partition of broker 1 cannot move"));
    assert_eq!(step(&mut one, &look, None).status, kept.status, "no news");
    look.brokers.insert(2, RegisteredBroker::default());
    assert_eq!(reason(&step(&mut one, &look, None)), "WaitingForApproval");

    // What comes to it meanwhile has another plan.
    approve(&mut one);
    step(&mut one, &look, None);
    let partitions = &mut look.topics.get_mut("t").unwrap().partitions;
    *partitions = vec![partition(&[0, 2]), partition(&[0, 1])];
    assert_eq!(reason(&step(&mut one, &look, None)), "ReplicasRemain");
    assert_eq!(reason(&step(&mut one, &look, None)), "WaitingForApproval");
}

#[test]
fn new_brokers_that_do_not_serve_are_waited_for() {
    let mut look = look();
    look.brokers.get_mut(&1).unwrap().is_fenced = true;
    let mut one = object("mode: AddBrokers, brokers: [1]");
    let waits = step(&mut one, &look, None);
    assert_eq!(message(&waits), "A plan waits: broker 1 does not serve.");
    look.brokers.get_mut(&1).unwrap().is_fenced = false;
    assert_eq!(reason(&step(&mut one, &look, None)), "WaitingForApproval");
}

#[test]
fn who_is_to_have_replicas_and_does_not_serve_is_named() {
    let mut look = look();
    let mut one = begun("", &look);
    look.brokers.get_mut(&1).unwrap().is_fenced = true;
    let waits = step(&mut one, &look, None);
    assert!(waits.targets.is_empty());
    let told = "; broker 1 does not serve, so what it is to have waits.";
    assert!(message(&waits).ends_with(told), "{}", message(&waits));
}

#[test]
fn moves_to_a_broker_that_is_gone_or_goes_are_not_said_to_be_done() {
    let gone = |one: &mut KafkaRebalance, look: &Look, leaving: &[i32]| {
        let done = step_without(one, look, leaving, None);
        assert_eq!(reason(&done), "Rebalanced");
        assert!(
            message(&done).contains("But 2 partitions"),
            "{}",
            message(&done)
        );
        let event = done.done.unwrap();
        assert!(event.ends_with("but those of 2 partitions"), "{event}");
    };
    let mut look = look();
    gone(&mut begun("", &look), &look, &[1]);
    let mut one = begun("", &look);
    look.brokers.remove(&1);
    gone(&mut one, &look, &[]);
}

#[test]
fn a_topic_that_is_made_again_under_its_name_is_another() {
    let mut look = look();
    let mut planned = object("");
    step(&mut planned, &look, None);
    approve(&mut planned);
    let mut moving = begun("", &look);
    look.topics.get_mut("t").unwrap().topic_id = "another".to_owned();
    let anew = step(&mut planned, &look, None).status;
    assert_eq!(anew.state, RebalanceState::ProposalReady);
    assert_eq!(anew.moves[0].topic_id, "another");
    let missed = step(&mut moving, &look, None);
    assert!(missed.targets.is_empty());
    assert_eq!(missed.status.missed, 2);
}

#[test]
fn a_throttle_may_change_while_replicas_move() {
    let look = look();
    let mut one = begun("", &look);
    assert_eq!(step(&mut one, &look, None).targets.len(), 2);
    one.metadata.generation = Some(2);
    one.spec.throttle = Some(1000);
    let noted = step(&mut one, &look, None);
    assert_eq!(noted.status.throttled, [0, 1]);
    assert!(noted.targets.is_empty(), "not before it is noted");
    let held = step(&mut one, &look, None);
    assert_eq!(held.throttle, Some((vec![0, 1], 1000)));
    one.spec.throttle = Some(2000);
    let faster = step(&mut one, &look, None);
    assert_eq!(faster.throttle, Some((vec![0, 1], 2000)));
    one.spec.throttle = None;
    assert_eq!(step(&mut one, &look, None).lifted, [0, 1]);
}

#[test]
fn the_same_word_counts_again_once_it_was_taken_away() {
    let (mut one, look) = (object(""), look());
    step(&mut one, &look, None);
    annotate(&mut one, REBALANCE, "refresh");
    assert_eq!(step(&mut one, &look, None).status.plans, 2);
    one.metadata.annotations = None;
    step(&mut one, &look, None);
    annotate(&mut one, REBALANCE, "refresh");
    assert!(is_due(&one));
    assert_eq!(step(&mut one, &look, None).status.plans, 3);
}

#[test]
fn what_is_done_is_not_stopped_and_consent_can_be_withdrawn_before_its_turn() {
    let (mut one, mut look) = (object(""), look());
    step(&mut one, &look, None);
    approve(&mut one);
    step(&mut one, &look, Some("broker 2 comes"));
    one.metadata.annotations = None;
    assert_eq!(reason(&step(&mut one, &look, None)), "WaitingForApproval");
    approve(&mut one);
    assert_eq!(carry_out(&mut one, &mut look), 2);
    annotate(&mut one, REBALANCE, "stop");
    assert_eq!(reason(&step(&mut one, &look, None)), "Rebalanced");
}
