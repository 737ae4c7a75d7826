//! What is asked for and what was said before in, what may be done and what waits out.

use std::collections::BTreeSet;

use super::{Asked, Change, Consent, TopicChanges, What, decide};
use crate::crd::KafkaClusterStatus;
use crate::crd::cluster::ChangePolicy;

/// A change by its id; what is copied where it has a size.
fn change(id: &str, bytes: impl Into<Option<u64>>) -> Change {
    let (what, object) = id.split_once(':').unwrap();
    let (what, brokers) = match what {
        "restart" => (What::Restart, BTreeSet::from([0, 1, 2])),
        "remove" => (What::Remove, BTreeSet::from([object.parse().unwrap()])),
        "fill" => (What::Fill, BTreeSet::from([object.parse().unwrap()])),
        "factor" => (What::Factor, BTreeSet::new()),
        _ => (What::Delete, BTreeSet::new()),
    };
    Change {
        what,
        id: id.to_owned(),
        step: format!("{id}."),
        brokers,
        bytes: bytes.into(),
    }
}

fn changes(ids: &str) -> Vec<Change> {
    let ids = ids.split_whitespace();
    ids.map(|id| change(id, 0)).collect()
}

/// Topics that told of no change beside those that are given.
const NO_MORE: Option<&TopicChanges> = Some(&TopicChanges {
    changes: Vec::new(),
    is_known: true,
});

/// A cluster over several steps: what is said in one is what was said before in the next.
#[derive(Default)]
struct Story {
    status: KafkaClusterStatus,
    annotation: String,
}

impl Story {
    fn decide(
        &mut self,
        policy: ChangePolicy,
        changes: &[Change],
        topics: Option<&TopicChanges>,
    ) -> Consent {
        let consent = decide(&Asked {
            uid: "uid",
            policy,
            changes,
            topics,
            before: Some(&self.status),
            annotation: Some(&self.annotation),
        });
        self.status.plan.clone_from(&consent.plan);
        self.status.approved = consent.told();
        self.status.plans_approved = consent.plans_approved;
        consent
    }

    /// What waits and what may be done.
    fn step(&mut self, ids: &str) -> String {
        let consent = self.decide(ChangePolicy::Plan, &changes(ids), NO_MORE);
        let waits = consent
            .plan
            .map_or(String::new(), |plan| plan.steps.join(" "));
        format!("{} | {}", self.status.approved.join(" "), waits)
    }

    fn hash(&self) -> String {
        let plan = self.status.plan.as_ref();
        plan.map_or(String::new(), |plan| plan.hash.clone())
    }

    fn approve(&mut self) {
        self.annotation = self.hash();
    }
}

#[test]
fn a_plan_waits_for_its_own_hash_and_what_was_consented_to_is_done() {
    let mut story = Story::default();
    assert_eq!(story.step("restart:a"), " | restart:a.");
    story.annotation = "yes".to_owned();
    assert_eq!(story.step("restart:a"), " | restart:a.");
    story.approve();
    assert_eq!(story.step("restart:a"), "restart:a | ");
    // The same operator, or another one, in the middle of it.
    assert_eq!(story.step("restart:a"), "restart:a | ");
    assert_eq!(story.step(""), " | ");
    assert_eq!(story.status.plans_approved, 1);
}

#[test]
fn an_old_consent_is_none_to_a_later_plan() {
    let mut story = Story::default();
    story.step("restart:a");
    story.approve();
    assert_eq!(story.step("restart:a"), "restart:a | ");
    // Done, or in the middle of it: another version comes.
    assert_eq!(story.step("restart:b"), " | restart:b.");
    // Back again, and the same change once more.
    assert_eq!(story.step("restart:a"), " | restart:a.");
    assert_ne!(story.hash(), story.annotation);
}

#[test]
fn what_comes_later_waits_beside_what_is_under_way() {
    let mut story = Story::default();
    story.step("remove:4 factor:t:3");
    story.approve();
    assert_eq!(story.step("factor:t:3 remove:4"), "factor:t:3 remove:4 | ");
    assert_eq!(
        story.step("delete:u factor:t:3 remove:4"),
        "factor:t:3 remove:4 | delete:u."
    );
    assert_eq!(story.step("delete:u factor:t:3"), "factor:t:3 | delete:u.");
}

#[test]
fn nothing_is_planned_or_forgotten_before_the_topics_have_told_theirs() {
    let mut story = Story::default();
    story.step("restart:a delete:t");
    story.approve();
    story.step("restart:a delete:t");
    let consent = story.decide(ChangePolicy::Plan, &changes("restart:a"), None);
    assert!(consent.allows("delete:t") && consent.plan.is_none());
    let consent = story.decide(ChangePolicy::Plan, &changes("restart:b"), None);
    assert!(!consent.allows("restart:b") && consent.plan.is_none());

    // A cluster that cannot be asked may need another image to come up.
    let unknown = TopicChanges::default();
    let consent = story.decide(ChangePolicy::Plan, &changes("restart:b"), Some(&unknown));
    assert!(consent.allows("delete:t") && consent.plan.is_some());
    let topics = TopicChanges {
        changes: changes("delete:t"),
        is_known: true,
    };
    let consent = story.decide(ChangePolicy::Plan, &[], Some(&topics));
    assert!(consent.allows("delete:t") && consent.plan.is_none());
}

#[test]
fn a_plan_is_the_same_in_any_order_and_keeps_its_figures() {
    let mut story = Story::default();
    let of = |bytes: u64| {
        let mut all = changes("delete:t delete:u restart:a fill:4 remove:5");
        all.push(change("factor:v:3", bytes));
        all
    };
    let first = story.decide(ChangePolicy::Plan, &of(3 << 30), NO_MORE);
    let plan = first.plan.unwrap();
    assert_eq!(
        plan.summary,
        "restart 3 brokers, remove 1 broker, fill 1 broker, change replicas of 1 topic, delete 2 \
         topics with all records, copy 3.0 GiB"
    );
    assert_eq!(plan.brokers, [0, 1, 2, 4, 5]);
    let mut turned = of(4 << 30);
    turned.reverse();
    let again = story.decide(ChangePolicy::Plan, &turned, NO_MORE);
    assert_eq!(again.plan, Some(plan));
}

#[test]
fn without_the_policy_all_may_be_done_and_nothing_waits() {
    let mut story = Story::default();
    story.step("restart:a");
    let consent = story.decide(ChangePolicy::Apply, &changes("restart:a"), NO_MORE);
    assert!(consent.allows("restart:a") && consent.plan.is_none());
    assert!(story.status.approved.is_empty());
}

#[test]
fn a_plan_is_told_again_once_it_is_known_what_is_copied() {
    let mut story = Story::default();
    let mut plan = |bytes: Option<u64>| {
        let consent = story.decide(ChangePolicy::Plan, &[change("fill:4", bytes)], NO_MORE);
        story.status.plan.clone_from(&consent.plan);
        consent.plan.unwrap()
    };
    let unknown = plan(None);
    assert_eq!(unknown.bytes, None);
    assert_eq!(
        unknown.summary,
        "fill 1 broker, copy what brokers do not yet say the size of"
    );
    let known = plan(Some(1 << 30));
    assert_eq!(known.hash, unknown.hash);
    assert_eq!(known.summary, "fill 1 broker, copy 1.0 GiB");
    assert_eq!(plan(Some(2 << 30)), known);
    assert_eq!(plan(None), known);
}
