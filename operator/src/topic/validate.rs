//! `KafkaTopic` → [`ValidatedTopic`], or the reason why not.

use std::collections::{BTreeMap, BTreeSet};

use ottla_core::config::{Scope, find};

use crate::condition::{TopicReason, Verdict};
use crate::crd::KafkaTopic;
use crate::crd::topic::DeletionPolicy;
use crate::object::ObjectKey;

/// The longest name of a topic, as in Kafka.
pub const NAME_LENGTH_MAX: usize = 249;

/// A topic that can be planned for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatedTopic {
    /// Which object it is.
    pub key: ObjectKey,
    /// The generation of its spec.
    pub generation: i64,
    /// The cluster that holds it.
    pub cluster: ObjectKey,
    /// Its name in Kafka.
    pub topic: String,
    /// Partitions wanted; none: whatever the cluster's default is.
    pub partitions: Option<i32>,
    /// Replicas wanted; none: whatever the cluster's default is.
    pub replication_factor: Option<i32>,
    /// Configs to set.
    pub config: BTreeMap<String, String>,
    /// Configs that the object set before and no longer names: they return to their defaults.
    pub released: BTreeSet<String>,
    /// Whether the topic goes with its object.
    pub deletion_policy: DeletionPolicy,
}

/// The name in Kafka that an object stands for.
#[must_use]
pub fn topic_name(topic: &KafkaTopic) -> &str {
    if topic.spec.topic_name.is_empty() {
        topic.metadata.name.as_deref().unwrap_or_default()
    } else {
        &topic.spec.topic_name
    }
}

/// The cluster that an object refers to.
#[must_use]
pub fn cluster_key(topic: &KafkaTopic) -> ObjectKey {
    let reference = &topic.spec.cluster_ref;
    ObjectKey {
        namespace: reference
            .namespace
            .clone()
            .unwrap_or_else(|| ObjectKey::of(&topic.metadata).namespace),
        name: reference.name.clone(),
    }
}

/// Checks a topic by itself.
///
/// # Errors
/// A [`Verdict`] that names the field and how to mend it.
pub fn validate(topic: &KafkaTopic) -> Result<ValidatedTopic, Verdict> {
    let name = topic_name(topic);
    check_name(name)?;
    check_unchanged(topic, name)?;
    let mut config = BTreeMap::new();
    for (key, value) in &topic.spec.config {
        if let Some(value) = value {
            config.insert(key.clone(), as_kafka_writes(key, value));
        }
    }
    let managed = topic.status.iter().flat_map(|s| &s.managed_config);
    let released = managed
        .filter(|key| !topic.spec.config.contains_key(*key))
        .cloned()
        .collect();
    Ok(ValidatedTopic {
        key: ObjectKey::of(&topic.metadata),
        generation: topic.metadata.generation.unwrap_or_default(),
        cluster: cluster_key(topic),
        topic: name.to_owned(),
        partitions: topic.spec.partitions,
        replication_factor: topic.spec.replication_factor,
        config,
        released,
        deletion_policy: topic.spec.deletion_policy,
    })
}

/// The value in the form that brokers report it in, or else it would be set again for ever.
fn as_kafka_writes(key: &str, value: &str) -> String {
    let parsed = find(Scope::Topic, key).and_then(|known| known.parse(value).ok());
    parsed.map_or_else(|| value.to_owned(), |value| value.to_string())
}

fn check_name(name: &str) -> Result<(), Verdict> {
    let refuse = |message: String| Err(Verdict::new(TopicReason::InvalidName, message));
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > NAME_LENGTH_MAX || !name.chars().all(legal) {
        return refuse(format!(
            "\"{name}\" is not a topic's name: those have at most {NAME_LENGTH_MAX} letters, \
             digits, dots, underscores and dashes; set spec.topicName."
        ));
    }
    if name == "." || name == ".." {
        return refuse(format!(
            "A topic cannot be named \"{name}\"; set spec.topicName."
        ));
    }
    if name.starts_with("__") {
        return refuse(format!(
            "{name} belongs to Kafka itself, as all names that begin with two underscores; choose \
             another."
        ));
    }
    Ok(())
}

fn check_unchanged(topic: &KafkaTopic, name: &str) -> Result<(), Verdict> {
    let before = topic.status.as_ref().map_or("", |s| s.topic_name.as_str());
    if before.is_empty() || before == name {
        return Ok(());
    }
    Err(Verdict::new(
        TopicReason::ImmutableField,
        format!(
            "spec.topicName is {name} but the object stands for the topic {before}, and Kafka has \
             no rename; set it back and create a second KafkaTopic."
        ),
    ))
}
