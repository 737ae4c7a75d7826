//! Which changes of topics need consent, and what they say while they wait.

use std::collections::{BTreeMap, BTreeSet};

use crate::admin::Admin;
use crate::approval::{Change, TOPIC_CHANGES_MAX, TOPIC_CHANGES_UNDER_WAY_MAX, What};
use crate::condition::{TopicReason, Verdict};
use crate::object::ObjectKey;
use crate::observed::{ObservedPartition, ObservedTopic, PartitionKey, Sizes};
use crate::topic::moves::copied;
use crate::topic::moves::driver::Changing;

/// The deletion of a topic whose object was deleted.
pub(super) fn deletion(object: &ObjectKey, topic: &str, topic_id: &str) -> Change {
    Change {
        what: What::Delete,
        id: What::Delete.id(&format!("{topic}:{topic_id}")),
        step: format!(
            "Delete the topic {topic} with its records: the KafkaTopic {object} was deleted."
        ),
        brokers: BTreeSet::new(),
        bytes: Some(0),
    }
}

/// What a topic says whose change waits.
pub(super) fn waits(what: &str) -> Verdict {
    let message =
        format!("{what} once the plan is consented to that the KafkaCluster has in status.plan.");
    Verdict::new(TopicReason::WaitingForApproval, message)
}

/// A change of a replication factor; none where it is there, or comes of what is cancelled.
fn refactored(name: &str, topic: &ObservedTopic, wanted: i32, sizes: &Sizes) -> Option<Change> {
    let count = usize::try_from(wanted).ok()?;
    let is_due = |p: &ObservedPartition| p.target().len() != count && p.original().len() != count;
    if !topic.partitions.iter().any(is_due) {
        return None;
    }
    let partitions = (0..).zip(&topic.partitions).filter(|(_, p)| is_due(p));
    let each = partitions.map(|(index, partition)| {
        let copies = count.saturating_sub(partition.target().len()) as u64;
        copied(sizes, &(name.to_owned(), index), copies)
    });
    let bytes = each.reduce(|all, one| Some(all?.saturating_add(one?)));
    Some(Change {
        what: What::Factor,
        id: What::Factor.id(&format!("{name}:{wanted}")),
        step: format!(
            "Give the topic {name} {wanted} replicas, where it has {}.",
            topic.replication_factor()
        ),
        brokers: BTreeSet::new(),
        bytes: bytes.flatten(),
    })
}

/// The brokers' own topics that have fewer replicas than they should, or more than there are
/// brokers that stay. What somebody made more is left so.
pub(super) fn internal(
    observed: &BTreeMap<String, ObservedTopic>,
    wanted: &BTreeMap<String, i32>,
    brokers: i32,
) -> BTreeMap<String, i32> {
    let brokers = usize::try_from(brokers).unwrap_or(0);
    let needed = wanted.iter().filter(|(name, factor)| {
        let fits = |p: &ObservedPartition| {
            let replicas = p.target().len();
            usize::try_from(**factor).is_ok_and(|factor| (factor..=brokers).contains(&replicas))
        };
        let observed = observed.get(*name);
        observed.is_some_and(|topic| !topic.partitions.iter().all(fits))
    });
    let needed = needed.map(|(name, factor)| (name.clone(), *factor));
    needed.collect()
}

/// Of those, the ones that get fewer replicas because brokers go, and the others. Who consents to
/// the removal of a broker consents to the former.
pub(super) fn implied(
    internal: BTreeMap<String, i32>,
    observed: &BTreeMap<String, ObservedTopic>,
    leaving: &BTreeSet<i32>,
) -> (BTreeMap<String, i32>, BTreeMap<String, i32>) {
    internal.into_iter().partition(|(name, factor)| {
        let topic = observed.get(name);
        !leaving.is_empty() && topic.is_some_and(|topic| topic.replication_factor() > *factor)
    })
}

/// The changes of replication factors that need consent, and the topics of which it is not there:
/// those are taken out of `wanted`. Where all may be done nothing is looked at.
pub(super) async fn hold(
    admin: &mut Admin,
    wanted: &mut BTreeMap<String, i32>,
    observed: &BTreeMap<String, ObservedTopic>,
    changing: Changing<'_>,
) -> (Vec<Change>, BTreeSet<String>) {
    if changing.approved.is_none() {
        return (Vec::new(), BTreeSet::new());
    }
    let changes = |sizes: &Sizes| -> BTreeMap<&String, Change> {
        let topics = wanted.iter().filter_map(|(name, factor)| {
            let topic = observed.get(name)?;
            Some((name, refactored(name, topic, *factor, sizes)?))
        });
        topics.collect()
    };
    let waits = |change: &Change| !changing.allows(&change.id);
    let mut found = changes(&Sizes::new());
    if found.values().any(waits) {
        let topics = found
            .keys()
            .filter_map(|name| Some((*name, observed.get(*name)?)));
        let keys = topics.flat_map(|(name, topic)| {
            let indices = (0..).zip(&topic.partitions);
            indices.map(|(index, _)| -> PartitionKey { (name.clone(), index) })
        });
        let keys: Vec<PartitionKey> = keys.collect();
        if let Ok(mut brokers) = admin.brokers().await {
            found = changes(&admin.sizes(&mut brokers, keys.into_iter()).await);
        }
    }
    let waiting = found.iter().filter(|(_, change)| waits(change));
    let waiting: BTreeSet<String> = waiting.map(|(name, _)| (*name).clone()).collect();
    let found = found.into_values().collect();
    wanted.retain(|name, _| !waiting.contains(name));
    (found, waiting)
}

/// Those that are told: all that were consented to, which would be forgotten else, and the first of
/// the others.
pub(super) fn told(mut changes: Vec<Change>, changing: Changing<'_>) -> Vec<Change> {
    changes.sort();
    let under_way = changes
        .iter()
        .filter(|change| changing.allows(&change.id))
        .count();
    let left = TOPIC_CHANGES_UNDER_WAY_MAX.saturating_sub(under_way);
    let mut left = left.min(TOPIC_CHANGES_MAX);
    changes.retain(|change| {
        let is_allowed = changing.allows(&change.id);
        let is_told = is_allowed || left > 0;
        left -= usize::from(is_told && !is_allowed);
        is_told
    });
    changes
}
