//! What changed from one image to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla_protocol::ids::{NodeId, PartitionIndex, TopicId, TopicName};

use super::{ConfigResource, MetadataImage, Topic};

/// What changed from one image to the next: consumers look only at what is named here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataDelta {
    /// Brokers that registered, changed or left.
    pub brokers: BTreeSet<NodeId>,
    /// Whether controllers that are no brokers came, changed or left.
    pub controllers: bool,
    /// Topics created, changed or deleted.
    pub topics: BTreeMap<TopicId, TopicDelta>,
    /// Resources whose dynamic configs changed.
    pub configs: BTreeSet<ConfigResource>,
    /// Whether finalized features changed.
    pub features: bool,
    /// Whether ACLs changed.
    pub acls: bool,
    /// Whether credentials of SCRAM changed.
    pub scram_credentials: bool,
    /// Whether client quotas changed.
    pub client_quotas: bool,
    /// Whether delegation tokens changed.
    pub delegation_tokens: bool,
}

/// What changed in one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDelta {
    /// The topic's name, also after its deletion.
    pub name: TopicName,
    /// Whether the topic is gone from the new image.
    pub deleted: bool,
    /// Partitions that are new or changed; after a deletion, all that there were.
    pub partitions: BTreeSet<PartitionIndex>,
}

impl MetadataDelta {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What differs between two images: for a snapshot that replaces all one had.
    pub fn between(old: &MetadataImage, new: &MetadataImage) -> Self {
        let mut delta = Self {
            controllers: old.controllers != new.controllers,
            features: old.features != new.features,
            acls: old.acls != new.acls,
            scram_credentials: old.scram_credentials != new.scram_credentials,
            client_quotas: old.client_quotas != new.client_quotas,
            delegation_tokens: old.delegation_tokens != new.delegation_tokens,
            ..Self::default()
        };
        delta.brokers = differing_keys(&old.brokers, &new.brokers);
        delta.configs = differing_keys(&old.configs, &new.configs);
        if old.agreed != new.agreed {
            delta.configs.insert(ConfigResource::Cluster);
        }
        for topic in old.topics.values() {
            if !new.topic_names.contains_key(&topic.id) {
                delta.touch_deleted(topic);
            }
        }
        for topic in new.topics.values() {
            let before = old.topic_by_id(topic.id);
            if before.is_some_and(|b| Arc::ptr_eq(b, topic) || b == topic) {
                continue;
            }
            let entry = delta.touch(topic.id, &topic.name);
            for (index, partition) in topic.indexed() {
                if before.and_then(|b| b.partition(index)) != Some(partition) {
                    entry.partitions.insert(index);
                }
            }
        }
        delta
    }

    pub(crate) fn touch(&mut self, id: TopicId, name: &TopicName) -> &mut TopicDelta {
        self.topics.entry(id).or_insert_with(|| TopicDelta {
            name: name.clone(),
            deleted: false,
            partitions: BTreeSet::new(),
        })
    }

    pub(crate) fn touch_deleted(&mut self, topic: &Topic) {
        let entry = self.touch(topic.id, &topic.name);
        entry.deleted = true;
        entry.partitions = topic.indexed().map(|(index, _)| index).collect();
    }

    /// Adds what a later delta names.
    pub fn merge(&mut self, later: Self) {
        self.brokers.extend(later.brokers);
        self.configs.extend(later.configs);
        self.controllers |= later.controllers;
        self.features |= later.features;
        self.acls |= later.acls;
        self.scram_credentials |= later.scram_credentials;
        self.client_quotas |= later.client_quotas;
        self.delegation_tokens |= later.delegation_tokens;
        for (id, topic) in later.topics {
            let entry = self.touch(id, &topic.name);
            entry.deleted |= topic.deleted;
            entry.partitions.extend(topic.partitions);
        }
    }
}

fn differing_keys<K: Ord + Clone, V: PartialEq>(
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
) -> BTreeSet<K> {
    let gone = old.keys().filter(|k| !new.contains_key(*k));
    let changed = new
        .iter()
        .filter(|(k, v)| old.get(*k) != Some(*v))
        .map(|(k, _)| k);
    gone.chain(changed).cloned().collect()
}
