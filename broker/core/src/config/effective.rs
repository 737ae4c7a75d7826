//! What a config comes to: the strongest of the layers that set it.

use std::sync::Arc;

use ottla_protocol::ids::NodeId;

use super::broker::BROKER_CONFIGS;
use super::topic::{DURABILITY, TOPIC_CONFIGS};
use super::{Key, find};
use crate::compaction::Policy;
use crate::image::{ConfigMap, ConfigResource, MetadataImage, Topic};

/// Who set a value; Kafka's numbers in DescribeConfigs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// On the topic.
    Topic = 1,
    /// On this broker, dynamically.
    DynamicBroker = 2,
    /// On all brokers, dynamically.
    DynamicDefaultBroker = 3,
    /// In the broker's file.
    StaticBroker = 4,
    /// Nobody.
    Default = 5,
    /// On the client metrics subscription.
    ClientMetrics = 7,
    /// On the group.
    Group = 8,
}

/// A value, under the name that it was set by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The config's name, or that of the server property.
    pub name: &'static str,
    /// The value, as it was set.
    pub value: String,
    /// Who set it.
    pub source: Source,
}

/// The places where a topic's config may be set, the strongest first.
#[derive(Clone, Copy, Debug)]
pub struct Layers<'a> {
    topic: Option<&'a ConfigMap>,
    broker: Option<&'a ConfigMap>,
    cluster: Option<&'a ConfigMap>,
    statics: &'a ConfigMap,
}

impl<'a> Layers<'a> {
    /// The layers of a broker; `statics` are the properties in its file.
    pub fn of_broker(image: &'a MetadataImage, node: NodeId, statics: &'a ConfigMap) -> Self {
        let set_on = |resource| image.configs_of(&resource).map(Arc::as_ref);
        Self {
            topic: None,
            broker: set_on(ConfigResource::Broker(node)),
            cluster: set_on(ConfigResource::Cluster),
            statics,
        }
    }

    /// The layers that hold for the whole cluster, as the controller sees it.
    pub fn of_cluster(image: &'a MetadataImage, statics: &'a ConfigMap) -> Self {
        Self {
            topic: None,
            broker: None,
            cluster: image.configs_of(&ConfigResource::Cluster).map(Arc::as_ref),
            statics,
        }
    }

    /// The same with a topic's own configs on top.
    #[must_use]
    pub fn with_topic(self, image: &'a MetadataImage, name: &str) -> Self {
        let resource = ConfigResource::Topic(name.into());
        let topic = image.configs_of(&resource).map(Arc::as_ref);
        Self { topic, ..self }
    }

    /// The same with these configs on top.
    #[must_use]
    pub fn with_configs(self, topic: &'a ConfigMap) -> Self {
        Self {
            topic: Some(topic),
            ..self
        }
    }

    /// Every place that sets the topic config, the strongest first; the last is the default.
    pub fn all(&self, key: &'static Key) -> Vec<Found> {
        let mut all = Vec::new();
        let mut add = |map: Option<&ConfigMap>, name: &'static str, source| {
            if let Some(value) = map.and_then(|m| m.get(name)) {
                let value = value.clone();
                all.push(Found {
                    name,
                    value,
                    source,
                });
            }
        };
        add(self.topic, key.name, Source::Topic);
        for synonym in key.synonyms {
            add(self.broker, synonym.name, Source::DynamicBroker);
            add(self.cluster, synonym.name, Source::DynamicDefaultBroker);
            add(Some(self.statics), synonym.name, Source::StaticBroker);
        }
        all.push(default_of(key));
        all
    }

    /// The value that holds, in the topic config's unit, and who set it.
    pub fn value(&self, key: &'static Key) -> (String, Source) {
        let mut all = self.all(key);
        let strongest = all.swap_remove(0);
        let synonym = key.synonyms.iter().find(|s| s.name == strongest.name);
        let scale = match strongest.source {
            Source::Topic => 1,
            _ => synonym.map_or(1, |s| s.scale),
        };
        let value = scaled(&strongest.value, scale).unwrap_or(strongest.value);
        (value, strongest.source)
    }

    fn text(&self, name: &str) -> (String, Source) {
        let key = find(TOPIC_CONFIGS, name).expect("asked for by a name in the table");
        self.value(key)
    }

    fn number<N: std::str::FromStr>(&self, name: &str) -> N
    where
        N::Err: std::fmt::Debug,
    {
        let (text, _) = self.text(name);
        let value = text.trim().parse();
        value.expect("values are validated before they are recorded")
    }

    fn flag(&self, name: &str) -> bool {
        self.text(name).0.trim().eq_ignore_ascii_case("true")
    }

    /// What a broker's own dynamic config comes to.
    pub fn broker_number<N: std::str::FromStr>(&self, name: &str) -> N
    where
        N::Err: std::fmt::Debug,
    {
        let key = find(BROKER_CONFIGS, name).expect("asked for by a name in the table");
        let places = [self.broker, self.cluster, Some(self.statics)];
        let mut found = places.into_iter().flatten().filter_map(|map| map.get(name));
        let text = found.next().map_or(key.default, String::as_str);
        let value = text.trim().parse();
        value.expect("values are validated before they are recorded")
    }

    /// As [`Self::value`], with the default that follows from the topic's replication factor.
    pub fn topic_value(&self, key: &'static Key, replication_factor: usize) -> (String, Source) {
        let (value, source) = self.value(key);
        match source {
            Source::Default => (default_of_topic(key, replication_factor, value), source),
            _ => (value, source),
        }
    }

    /// As [`Self::all`], with the default that follows from the topic's replication factor.
    pub fn topic_all(&self, key: &'static Key, replication_factor: usize) -> Vec<Found> {
        let mut all = self.all(key);
        if let Some(default) = all.last_mut() {
            let value = std::mem::take(&mut default.value);
            default.value = default_of_topic(key, replication_factor, value);
        }
        all
    }

    /// min.insync.replicas of a topic: where nobody set it, 2 from three replicas on, else 1.
    pub fn min_insync_replicas(&self, replication_factor: usize) -> usize {
        let (text, source) = self.text("min.insync.replicas");
        if source == Source::Default {
            return default_min_insync_replicas(replication_factor);
        }
        text.trim().parse().unwrap_or(1)
    }

    /// Whether a replica that may lack acknowledged records may lead.
    pub fn unclean_leader_election(&self) -> bool {
        self.flag("unclean.leader.election.enable")
    }

    /// Whether records count as durable in memory.
    pub fn is_replicated_durability(&self) -> bool {
        self.text(DURABILITY).0 == "Replicated"
    }
}

fn default_of_topic(key: &Key, replication_factor: usize, default: String) -> String {
    if key.name == "min.insync.replicas" {
        return default_min_insync_replicas(replication_factor).to_string();
    }
    default
}

/// How many replicas acks=all waits for where nobody said.
pub fn default_min_insync_replicas(replication_factor: usize) -> usize {
    if replication_factor >= 3 { 2 } else { 1 }
}

/// The default, under the name and in the unit that Kafka shows it: the weakest synonym's.
fn default_of(key: &'static Key) -> Found {
    let weakest = key.synonyms.last();
    let scaled_down = weakest.filter(|s| s.scale > 1).and_then(|s| {
        let number: i64 = key.default.parse().ok()?;
        Some((number / s.scale).to_string())
    });
    Found {
        name: weakest.map_or(key.name, |s| s.name),
        value: scaled_down.unwrap_or_else(|| key.default.to_owned()),
        source: Source::Default,
    }
}

/// `text` times `scale`; a negative number means "without limit" in every unit.
pub(super) fn scaled(text: &str, scale: i64) -> Option<String> {
    let number: i64 = text.trim().parse().ok()?;
    let scaled = if number < 0 {
        number
    } else {
        number.saturating_mul(scale)
    };
    Some(scaled.to_string())
}

/// The configs of one topic as a broker works with them: looked up once, when they change.
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
    /// Whether an acknowledgement waits for memory only, not for the disk.
    pub is_replicated_durability: bool,
}

impl TopicConfig {
    /// The configs of `topic` on the broker `node`, whose file has the properties `statics`.
    pub fn from_image(
        image: &MetadataImage,
        node: NodeId,
        statics: &ConfigMap,
        topic: &Topic,
    ) -> Self {
        let layers = Layers::of_broker(image, node, statics).with_topic(image, &topic.name);
        Self::from_layers(&layers, topic.replication_factor())
    }

    /// What the layers come to for a topic of that replication factor.
    pub fn from_layers(layers: &Layers<'_>, replication_factor: usize) -> Self {
        let (policy, _) = layers.text("cleanup.policy");
        let has = |word| super::value::items(&policy).any(|item| item == word);
        let (timestamp_type, _) = layers.text("message.timestamp.type");
        let max_message_bytes: i32 = layers.number("max.message.bytes");
        Self {
            is_deleted: has("delete"),
            is_compacted: has("compact"),
            retention_ms: Some(layers.number("retention.ms")).filter(|ms| *ms >= 0),
            retention_bytes: u64::try_from(layers.number::<i64>("retention.bytes")).ok(),
            compaction: Policy {
                min_cleanable_dirty_ratio: layers.number("min.cleanable.dirty.ratio"),
                min_compaction_lag_ms: layers.number("min.compaction.lag.ms"),
                max_compaction_lag_ms: layers.number("max.compaction.lag.ms"),
            },
            delete_retention_ms: layers.number("delete.retention.ms"),
            segment_bytes: layers.number("segment.bytes"),
            segment_ms: layers.number("segment.ms"),
            max_message_bytes: usize::try_from(max_message_bytes).unwrap_or(0),
            is_log_append_time: timestamp_type.trim() == "LogAppendTime",
            message_timestamp_before_max_ms: layers.number("message.timestamp.before.max.ms"),
            message_timestamp_after_max_ms: layers.number("message.timestamp.after.max.ms"),
            min_insync_replicas: layers.min_insync_replicas(replication_factor),
            unclean_leader_election_enable: layers.unclean_leader_election(),
            is_replicated_durability: layers.is_replicated_durability(),
        }
    }
}
