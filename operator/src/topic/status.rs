//! What a KafkaTopic's status says. Pure.

use ottla_protocol::error::ErrorCode;

use super::validate::ValidatedTopic;
use crate::admin::Refusal;
use crate::condition::{TopicReason, Verdict, conditions, spoken};
use crate::crd::topic::Reassignment;
use crate::crd::{KafkaTopic, KafkaTopicStatus};
use crate::observed::ObservedTopic;

/// The status of a topic that was looked at. `refused` is what was not carried out, `reassignment`
/// how far its replicas have moved.
#[must_use]
pub fn status(
    object: &KafkaTopic,
    topic: &ValidatedTopic,
    observed: Option<&ObservedTopic>,
    reassignment: Option<Reassignment>,
    refused: Vec<Verdict>,
    now: &str,
) -> KafkaTopicStatus {
    let verdict = Verdict::worst(refused)
        .unwrap_or_else(|| verdict(observed, topic.replication_factor, reassignment.as_ref()));
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
        status.reassignment = reassignment;
    } else if before.topic_id.is_some() {
        status.topic_id = None;
        status.partitions = None;
        status.replication_factor = None;
        status.in_sync.clear();
        status.reassignment = None;
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

/// How it begins what brokers say to what was asked of them.
const SAYS: &str = "The cluster says: ";

/// What follows that while they cannot be asked again.
const NOT_ASKED: &str = " They cannot be asked again now: ";

/// What was refused last, where brokers cannot be asked again because of this.
#[must_use]
pub fn still_refused(before: &Verdict, why: &str) -> Verdict {
    let said = before.message.trim_end_matches('.');
    let message = format!("{said}.{NOT_ASKED}{why}.");
    Verdict {
        message,
        ..before.clone()
    }
}

/// What brokers said last of what is wanted of a topic now, where they did not do it.
#[must_use]
pub fn refused_last(object: &KafkaTopic) -> Option<Verdict> {
    let status = object.status.as_ref()?;
    let generation = object.metadata.generation.unwrap_or_default();
    let (word, message) = spoken(&status.conditions)?;
    if status.observed_generation != generation || !message.starts_with(SAYS) {
        return None;
    }
    let (message, _) = message.split_once(NOT_ASKED).unwrap_or((message, ""));
    let reason = TopicReason::ALL.iter().find(|one| one.word() == word)?;
    Some(Verdict::new(*reason, message))
}

/// Why a broker does not do what was asked of it for a topic.
#[must_use]
pub fn refused_by_broker(refusal: &Refusal) -> Verdict {
    let reason = match refusal.code {
        ErrorCode::InvalidConfig => TopicReason::ConfigRefused,
        // More replicas than the cluster has at all were refused by the plan: some are down now.
        ErrorCode::InvalidReplicationFactor => TopicReason::Applying,
        ErrorCode::InvalidTopicException => TopicReason::InvalidName,
        code if code.is_retriable() => TopicReason::Applying,
        _ => TopicReason::Refused,
    };
    Verdict::new(reason, format!("{SAYS}{}", refusal.message))
}

fn verdict(
    observed: Option<&ObservedTopic>,
    wanted: Option<i32>,
    reassignment: Option<&Reassignment>,
) -> Verdict {
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
    if let Some(reassignment) = reassignment {
        let to = wanted.map_or(String::new(), |wanted| {
            format!(", so that each partition has {wanted} replicas")
        });
        let message = format!("Replicas are being moved{to}: {}.", reassignment.summary);
        return Verdict::new(TopicReason::Reassigning, message);
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

#[cfg(test)]
mod tests;
