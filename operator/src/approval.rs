//! Changes that wait for consent, and what was consented to. Pure.
//!
//! With `spec.changePolicy: Plan` whatever takes something from clients for a while or for good
//! (restarts, replicas that are copied, topics that are deleted) is a [`Change`] first. All of them
//! together are a plan with a hash, in the cluster's status. Whoever annotates the object with that
//! hash consents to those changes and to no other: the hash stands for the changes and for how many
//! plans were consented to before, so an annotation that is still there never consents to a later
//! plan, be it for the same changes.
//!
//! What was consented to stands in the status until it is done or not wanted any more; so consent
//! outlives the operator, and a change that is withdrawn and made again needs another one.
//!
//! Invariant: with the policy Plan nothing is allowed that is not in the status as consented to, or
//! consented to by the annotation now.

use std::collections::BTreeSet;

use crate::crd::KafkaClusterStatus;
use crate::crd::cluster::{ChangePolicy, PlanStatus};
use crate::fingerprint::fingerprint;
use crate::spoken::{bytes, count};

/// The annotation that consents to a plan, by its hash.
pub const APPROVE: &str = "ottla.io/approve-plan";
/// At most so many changes of topics are in one plan; others are in the next one.
pub const TOPIC_CHANGES_MAX: usize = 100;
/// At most so many are under way or in a plan.
pub const TOPIC_CHANGES_UNDER_WAY_MAX: usize = 300;

/// What a change does. The order is that of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Brokers restart.
    Restart,
    /// A broker is emptied and removed.
    Remove,
    /// A broker that has come gets its share of the replicas.
    Fill,
    /// A topic gets another replication factor.
    Factor,
    /// A topic is deleted with its records.
    Delete,
}

/// Something that needs consent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// What it does.
    pub what: What,
    /// What it is known by: the same for as long as it is the same change.
    pub id: String,
    /// The same for people.
    pub step: String,
    /// The brokers that are known to be concerned.
    pub brokers: BTreeSet<i32>,
    /// How many bytes are copied; none where that is not known yet.
    pub bytes: Option<u64>,
}

impl What {
    /// What a change is known by, given what tells it from others that do the same.
    #[must_use]
    pub fn id(self, of: &str) -> String {
        let word = match self {
            Self::Restart => "restart",
            Self::Remove => "remove",
            Self::Fill => "fill",
            Self::Factor => "factor",
            Self::Delete => "delete",
        };
        format!("{word}:{of}")
    }
}

/// What the topics of a cluster told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicChanges {
    /// Their changes that are not carried out yet.
    pub changes: Vec<Change>,
    /// Whether they could be looked at.
    pub is_known: bool,
}

/// What is asked for, and what was said before.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// What tells the object from others of its name.
    pub uid: &'a str,
    /// When changes are carried out.
    pub policy: ChangePolicy,
    /// The changes of brokers that are not carried out yet.
    pub changes: &'a [Change],
    /// Those of topics; none before they told anything: no plan is made then, and none consented
    /// to.
    pub topics: Option<&'a TopicChanges>,
    /// What was said last.
    pub before: Option<&'a KafkaClusterStatus>,
    /// The annotation.
    pub annotation: Option<&'a str>,
}

/// What may be carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consent {
    /// The changes that may; none stands for all.
    pub approved: Option<BTreeSet<String>>,
    /// What waits.
    pub plan: Option<PlanStatus>,
    /// How many plans were consented to.
    pub plans_approved: i64,
    /// What was consented to just now, as a sentence.
    pub done: Option<String>,
}

impl Consent {
    /// Whether a change may be carried out.
    #[must_use]
    pub fn allows(&self, id: &str) -> bool {
        self.approved.as_ref().is_none_or(|all| all.contains(id))
    }

    /// The changes that were consented to, for the status.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        self.approved.iter().flatten().cloned().collect()
    }
}

/// Decides.
#[must_use]
pub fn decide(asked: &Asked<'_>) -> Consent {
    let plans_approved = asked.before.map_or(0, |before| before.plans_approved);
    if asked.policy == ChangePolicy::Apply {
        return Consent {
            plans_approved,
            ..Consent::default()
        };
    }
    let told = asked.before.iter().flat_map(|before| &before.approved);
    let plan_before = asked.before.and_then(|before| before.plan.clone());
    let Some(topics) = asked.topics else {
        return Consent {
            approved: Some(told.cloned().collect()),
            plan: plan_before,
            plans_approved,
            done: None,
        };
    };
    let changes = || asked.changes.iter().chain(&topics.changes);
    let stands = |id: &str| {
        let is_of_topic = [What::Factor, What::Delete].map(|what| what.id(""));
        let is_unknown = !topics.is_known && is_of_topic.iter().any(|kind| id.starts_with(kind));
        is_unknown || changes().any(|change| change.id == id)
    };
    let mut approved: BTreeSet<String> = told.filter(|id| stands(id)).cloned().collect();
    let pending = changes().filter(|change| !approved.contains(&change.id));
    let mut pending: Vec<&Change> = pending.collect();
    pending.sort();
    let mut consent = Consent {
        plans_approved,
        ..Consent::default()
    };
    if !pending.is_empty() {
        let hash = hash(asked.uid, plans_approved, &pending);
        // Its figures stay as they were when it was made: else each record would be news. What was
        // not known then may be now.
        let plan = plan_before.filter(|before| before.hash == hash && before.bytes.is_some());
        let plan = plan.unwrap_or_else(|| plan_of(hash, &pending));
        if asked.annotation == Some(&plan.hash) {
            approved.extend(pending.iter().map(|change| change.id.clone()));
            consent.plans_approved += 1;
            consent.done = Some(format!("plan {} is approved: {}", plan.hash, plan.summary));
        } else {
            consent.plan = Some(plan);
        }
    }
    consent.approved = Some(approved);
    consent
}

fn hash(uid: &str, number: i64, changes: &[&Change]) -> String {
    let ids: Vec<&str> = changes.iter().map(|change| change.id.as_str()).collect();
    let text = format!("{uid}\n{number}\n{}", ids.join("\n"));
    // A letter first: digits alone would be a number in YAML.
    format!("p{:016x}", fingerprint(&text))
}

fn plan_of(hash: String, changes: &[&Change]) -> PlanStatus {
    let brokers: BTreeSet<i32> = changes.iter().flat_map(|c| c.brokers.clone()).collect();
    let mut copied = changes.iter().map(|change| change.bytes);
    let copied = copied.try_fold(0, |all: u64, one| Some(all.saturating_add(one?)));
    let mut plan = PlanStatus {
        hash,
        summary: String::new(),
        steps: changes.iter().map(|change| change.step.clone()).collect(),
        brokers: brokers.into_iter().collect(),
        bytes: copied.map(|all| all.try_into().unwrap_or(i64::MAX)),
    };
    plan.summary = summary(changes, plan.bytes);
    plan
}

/// A plan in one line.
fn summary(changes: &[&Change], copied: Option<i64>) -> String {
    let of = |what: What| changes.iter().filter(move |change| change.what == what);
    let restarted: BTreeSet<i32> = of(What::Restart).flat_map(|c| c.brokers.clone()).collect();
    let (removed, filled) = (of(What::Remove).count(), of(What::Fill).count());
    let (topics, deleted) = (of(What::Factor).count(), of(What::Delete).count());
    let mut parts = Vec::new();
    let mut part = |number: usize, before: &str, noun: &str, after: &str| {
        if number > 0 {
            parts.push(format!("{before} {}{after}", count(number, noun)));
        }
    };
    part(restarted.len(), "restart", "broker", "");
    part(removed, "remove", "broker", "");
    part(filled, "fill", "broker", "");
    part(topics, "change replicas of", "topic", "");
    part(deleted, "delete", "topic", " with all records");
    match copied {
        Some(0) => {}
        Some(copied) => parts.push(format!("copy {}", bytes(copied))),
        None => parts.push("copy what brokers do not yet say the size of".to_owned()),
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests;
