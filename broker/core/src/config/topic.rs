//! The configs of one topic as a broker works with them.

use super::ConfigMap;
use super::agreed::DURABILITY;
use super::layers::Layers;
use super::value::Value;
use crate::compaction::Policy;
use ottla_protocol::error::ErrorCode;

/// When a record counts as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Once it was flushed to the disk of every replica that acknowledges it.
    Fsync,
    /// Once it is in the memory of every replica that acknowledges it: copies are what keeps it.
    Replicated,
}

/// The configs of one topic: looked up once, when they change.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// Whether old segments go by age and size.
    pub is_deleted: bool,
    /// Whether old records go by key.
    pub is_compacted: bool,
    /// How long records are kept; none for ever.
    pub retention_ms: Option<i64>,
    /// How large a partition grows; none without limit.
    pub retention_bytes: Option<u64>,
    /// When old records go by key.
    pub compaction: Policy,
    /// How long a compacted topic keeps tombstones.
    pub delete_retention_ms: i64,
    /// How large a segment grows.
    pub segment_bytes: u64,
    /// How old a segment grows.
    pub segment_ms: i64,
    /// The largest record batch.
    pub max_message_bytes: usize,
    /// Whether timestamps are those of the append.
    pub is_log_append_time: bool,
    /// How far behind the clock a timestamp may be.
    pub message_timestamp_before_max_ms: i64,
    /// How far ahead of the clock a timestamp may be.
    pub message_timestamp_after_max_ms: i64,
    /// How many replicas must hold a record before acks=all is answered.
    pub min_insync_replicas: usize,
    /// Whether a replica that may lack acknowledged records may lead.
    pub unclean_leader_election_enable: bool,
    /// What an acknowledgement waits for.
    pub durability: Durability,
}

impl TopicConfig {
    /// What the layers come to for a topic of that replication factor.
    pub fn new(layers: &Layers<'_>, replication_factor: usize) -> Self {
        let policy = layers.get("cleanup.policy");
        Self {
            is_deleted: policy.has("delete"),
            is_compacted: policy.has("compact"),
            retention_ms: Some(layers.number("retention.ms")).filter(|ms| *ms >= 0),
            retention_bytes: u64::try_from(layers.number("retention.bytes")).ok(),
            compaction: Policy {
                min_cleanable_dirty_ratio: layers.get("min.cleanable.dirty.ratio").double(),
                min_compaction_lag_ms: layers.number("min.compaction.lag.ms"),
                max_compaction_lag_ms: layers.number("max.compaction.lag.ms"),
            },
            delete_retention_ms: layers.number("delete.retention.ms"),
            segment_bytes: u64::try_from(layers.number("segment.bytes")).unwrap_or(u64::MAX),
            segment_ms: layers.number("segment.ms"),
            max_message_bytes: usize::try_from(layers.number("max.message.bytes")).unwrap_or(0),
            is_log_append_time: layers.get("message.timestamp.type").has("LogAppendTime"),
            message_timestamp_before_max_ms: layers.number("message.timestamp.before.max.ms"),
            message_timestamp_after_max_ms: layers.number("message.timestamp.after.max.ms"),
            min_insync_replicas: layers.min_insync_replicas(replication_factor),
            unclean_leader_election_enable: layers.get("unclean.leader.election.enable").flag(),
            durability: layers.durability(),
        }
    }

    /// Whether somebody may delete records by their offsets: not where brokers keep what they know
    /// in the topic, and not where records go by their keys alone.
    ///
    /// # Errors
    /// Kafka's.
    pub fn may_delete_records(&self, is_internal: bool) -> Result<(), ErrorCode> {
        if is_internal {
            return Err(ErrorCode::InvalidTopicException);
        }
        match self.is_deleted || !self.is_compacted {
            true => Ok(()),
            false => Err(ErrorCode::PolicyViolation),
        }
    }
}

impl Layers<'_> {
    /// What an acknowledgement waits for.
    pub fn durability(&self) -> Durability {
        match self.get(DURABILITY).has("Replicated") {
            true => Durability::Replicated,
            false => Durability::Fsync,
        }
    }
}

/// Why a topic's configs cannot stand together; `None` where they can.
pub fn conflict(configs: &ConfigMap) -> Option<String> {
    if configs
        .get("remote.storage.enable")
        .is_some_and(Value::flag)
    {
        return Some("Tiered storage is not available: remote.storage.enable must be false".into());
    }
    let min = configs
        .get("min.compaction.lag.ms")
        .map_or(0, Value::number);
    let max = configs
        .get("max.compaction.lag.ms")
        .map_or(i64::MAX, Value::number);
    (min > max).then(|| {
        format!(
            "conflict topic config setting min.compaction.lag.ms ({min}) > \
             max.compaction.lag.ms ({max})"
        )
    })
}
