//! What a KafkaRebalance goes by, and what is decided of it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{Facts, Proposal, Wish, propose};
use super::status::concluded;
use crate::admin::moves::Targets;
use crate::cluster::rebalance::REBALANCE;
use crate::condition::{RebalanceReason, Verdict};
use crate::crd::rebalance::RebalanceMode;
use crate::crd::{KafkaRebalance, KafkaRebalanceStatus};
use crate::observed::{ObservedTopic, RegisteredBroker, Sizes};
use crate::spoken;

/// The cluster as it is.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// All topics.
    pub topics: BTreeMap<String, ObservedTopic>,
    /// The brokers that are registered.
    pub brokers: BTreeMap<i32, RegisteredBroker>,
    /// How large replicas are.
    pub sizes: Sizes,
}

/// What one of them goes by.
#[derive(Clone, Debug)]
pub struct Around<'a> {
    /// The cluster.
    pub look: &'a Look,
    /// The brokers that are to go.
    pub leaving: &'a BTreeSet<i32>,
    /// Why no moves begin now, and no plan is made; half a sentence.
    pub busy: Option<&'a str>,
    /// What time it is.
    pub now: &'a str,
}

/// What is done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// What it says then.
    pub status: KafkaRebalanceStatus,
    /// Reassignments to begin, or to cancel.
    pub targets: Targets,
    /// The brokers that copy no faster than this.
    pub throttle: Option<(Vec<i32>, i64)>,
    /// The brokers that copy as they are set to again.
    pub lifted: Vec<i32>,
    /// What was done, as a sentence.
    pub done: Option<String>,
}

/// The decision to do nothing but to say so.
#[must_use]
pub fn conclude(
    object: &KafkaRebalance,
    status: KafkaRebalanceStatus,
    verdict: Verdict,
    around: &Around<'_>,
) -> Decision {
    Decision {
        status: concluded(object, status, &verdict, around.now),
        ..Decision::default()
    }
}

/// A plan from how the cluster is now.
#[must_use]
pub fn proposal(object: &KafkaRebalance, around: &Around<'_>) -> Proposal {
    let facts = Facts {
        topics: &around.look.topics,
        brokers: &around.look.brokers,
        leaving: around.leaving,
        sizes: &around.look.sizes,
    };
    let wish = Wish {
        mode: object.spec.mode,
        named: &object.spec.brokers.iter().copied().collect(),
        goals: &object.spec.goals,
    };
    propose(facts, &wish)
}

/// The brokers that are to have no replicas keep some.
#[must_use]
pub fn remaining(object: &KafkaRebalance, partitions: usize) -> Option<Verdict> {
    let is_emptied = object.spec.mode == RebalanceMode::RemoveBrokers && partitions > 0;
    is_emptied.then(|| {
        let message = format!(
            "{} of {} cannot move: no other broker can take them. Lower replication factors or \
             add brokers, or wait for moves of others.",
            spoken::count(partitions, "partition"),
            spoken::brokers(&object.spec.brokers)
        );
        Verdict::new(RebalanceReason::ReplicasRemain, message)
    })
}

/// It is as the plan has it.
#[must_use]
pub fn rebalanced(status: &KafkaRebalanceStatus) -> Verdict {
    let message = match status.plan.as_ref().filter(|plan| plan.partitions > 0) {
        Some(plan) if status.missed > 0 => format!(
            "It is done: {}. But {} came to be elsewhere, since others moved or deleted them or \
             brokers have gone; set the annotation {REBALANCE} to refresh for a new plan.",
            plan.summary,
            spoken::count(usize::try_from(status.missed).unwrap_or(0), "partition")
        ),
        Some(plan) => format!("It is done: {}.", plan.summary),
        None => "Brokers are even; there is nothing to move.".to_owned(),
    };
    Verdict::new(RebalanceReason::Rebalanced, message)
}
