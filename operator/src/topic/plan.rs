//! What lies between a topic as it is and as it should be.
//!
//! Changes are independent of each other: a part that is refused does not hold up the rest.
//!
//! Invariant: no change takes records away but [`Change::Delete`], and that only for an object that
//! somebody deleted under a policy that says so.

use std::collections::{BTreeMap, BTreeSet};

use super::validate::ValidatedTopic;
use crate::condition::{TopicReason, Verdict};
use crate::observed::ObservedTopic;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Create the topic; none stands for the cluster's default.
    Create {
        /// How many partitions.
        partitions: Option<i32>,
        /// How many replicas of each.
        replication_factor: Option<i32>,
        /// The configs to begin with.
        config: BTreeMap<String, String>,
    },
    /// Add partitions until there are so many.
    AddPartitions {
        /// How many there will be.
        total: i32,
    },
    /// Change configs.
    AlterConfig {
        /// To these values.
        set: BTreeMap<String, String>,
        /// Back to the defaults.
        delete: BTreeSet<String>,
    },
    /// Delete the topic and its records.
    Delete,
}

/// What to do, and what is refused. The replication factor of a topic that exists is the affair of
/// [`moves`](super::moves), which looks at all topics at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub changes: Vec<Change>,
    /// Parts of the spec that cannot be carried out, with the reason.
    pub refused: Vec<Verdict>,
}

/// Plans for one topic. `brokers` is how many brokers the cluster has.
#[must_use]
pub fn plan(topic: &ValidatedTopic, observed: Option<&ObservedTopic>, brokers: i32) -> Plan {
    let mut plan = Plan::default();
    let Some(observed) = observed else {
        match topic.replication_factor {
            Some(wanted) if wanted > brokers => {
                plan.refused.push(above_brokers(wanted, brokers));
            }
            replication_factor => plan.changes.push(Change::Create {
                partitions: topic.partitions,
                replication_factor,
                config: topic.config.clone(),
            }),
        }
        return plan;
    };
    plan_partitions(topic, observed, &mut plan);
    if let Some(wanted) = topic.replication_factor.filter(|wanted| *wanted > brokers) {
        plan.refused.push(above_brokers(wanted, brokers));
    }
    plan_config(topic, observed, &mut plan);
    plan
}

/// Plans for an object that was deleted.
#[must_use]
pub fn plan_deletion(topic: &ValidatedTopic, observed: Option<&ObservedTopic>) -> Plan {
    use crate::crd::topic::DeletionPolicy;
    let delete = topic.deletion_policy == DeletionPolicy::Delete && observed.is_some();
    Plan {
        changes: if delete { vec![Change::Delete] } else { vec![] },
        refused: vec![],
    }
}

fn plan_partitions(topic: &ValidatedTopic, observed: &ObservedTopic, plan: &mut Plan) {
    let exist = observed.partition_count();
    match topic.partitions {
        Some(wanted) if wanted > exist => {
            plan.changes.push(Change::AddPartitions { total: wanted });
        }
        Some(wanted) if wanted < exist => plan.refused.push(Verdict::new(
            TopicReason::PartitionsDecreased,
            format!(
                "spec.partitions is {wanted} but the topic has {exist}, and partitions cannot be \
                 removed without losing their records; set it to {exist} or more."
            ),
        )),
        _ => {}
    }
}

fn above_brokers(wanted: i32, brokers: i32) -> Verdict {
    Verdict::new(
        TopicReason::ReplicationFactorAboveBrokers,
        format!(
            "spec.replicationFactor is {wanted} but the cluster has {brokers} brokers; lower it or \
             raise spec.replicas of the KafkaCluster."
        ),
    )
}

fn plan_config(topic: &ValidatedTopic, observed: &ObservedTopic, plan: &mut Plan) {
    let set: BTreeMap<String, String> = topic
        .config
        .iter()
        .filter(|(key, value)| observed.config.get(*key) != Some(value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let delete: BTreeSet<String> = topic
        .released
        .iter()
        .filter(|key| observed.config.contains_key(*key))
        .cloned()
        .collect();
    if !set.is_empty() || !delete.is_empty() {
        plan.changes.push(Change::AlterConfig { set, delete });
    }
}

#[cfg(test)]
mod tests;
