//! What a KafkaTopic's status says. Pure.

use super::validate::ValidatedTopic;
use crate::condition::{TopicReason, Verdict, conditions};
use crate::crd::{KafkaTopic, KafkaTopicStatus};
use crate::observed::ObservedTopic;

/// The status of a topic that was looked at. `refused` is what was not carried out.
#[must_use]
pub fn status(
    object: &KafkaTopic,
    topic: &ValidatedTopic,
    observed: Option<&ObservedTopic>,
    refused: Vec<Verdict>,
    now: &str,
) -> KafkaTopicStatus {
    let verdict = Verdict::worst(refused).unwrap_or_else(|| verdict(observed));
    let before = object.status.clone().unwrap_or_default();
    let mut status = said(object, &verdict, now);
    status.topic_name.clone_from(&topic.topic);
    let waiting = observed.map_or_else(Default::default, |observed| {
        let released = topic.released.iter();
        released
            .filter(|key| observed.config.contains_key(*key))
            .cloned()
            .collect::<Vec<_>>()
    });
    status.managed_config = topic.config.keys().cloned().chain(waiting).collect();
    status.managed_config.sort();
    status.managed_config.dedup();
    if let Some(observed) = observed {
        status.topic_id = Some(observed.topic_id.clone());
        status.partitions = Some(observed.partition_count());
        status.replication_factor = Some(observed.replication_factor());
        status.in_sync = in_sync(observed);
    } else if before.topic_id.is_some() {
        status.topic_id = None;
        status.partitions = None;
        status.replication_factor = None;
        status.in_sync.clear();
    }
    status
}

/// The status before, with only the verdict new: what is said where nothing could be looked at.
#[must_use]
pub fn said(object: &KafkaTopic, verdict: &Verdict, now: &str) -> KafkaTopicStatus {
    let mut status = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation.unwrap_or_default();
    status.observed_generation = generation;
    status.conditions = conditions(&status.conditions, verdict, generation, now);
    status
}

fn verdict(observed: Option<&ObservedTopic>) -> Verdict {
    let Some(observed) = observed else {
        return Verdict::new(TopicReason::Applying, "The topic is being created.");
    };
    let waiting = observed.partitions.iter().filter(|p| !p.has_leader).count();
    if waiting > 0 {
        return Verdict::new(
            TopicReason::WaitingForLeaders,
            format!(
                "{waiting} of {} partitions have no leader, because no replica that is in sync is \
                 running.",
                observed.partitions.len()
            ),
        );
    }
    Verdict::new(
        TopicReason::TopicReady,
        format!(
            "The topic has {} partitions of {} replicas.",
            observed.partition_count(),
            observed.replication_factor()
        ),
    )
}

fn in_sync(observed: &ObservedTopic) -> String {
    let isr: usize = observed.partitions.iter().map(|p| p.isr.len()).sum();
    let all: usize = observed.partitions.iter().map(|p| p.replicas.len()).sum();
    format!("{isr}/{all}")
}
