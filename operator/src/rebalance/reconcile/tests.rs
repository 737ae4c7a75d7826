//! One KafkaRebalance, step by step, on brokers that are not there.

use super::*;

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
    let around = Around {
        look,
        leaving: &BTreeSet::new(),
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
    one.metadata.generation = Some(2);
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
