//! What a restart of a broker would harm now: asked before whoever restarts brokers takes one, by
//! the page `/pre-restart-check`. It is on the port that probes reach already, changes nothing and
//! needs no client; a broker answers for any, from its own metadata.

use std::fmt;

use ottla_protocol::ids::{NodeId, TopicName};

use crate::config::ConfigMap;
use crate::image::{MetadataImage, PartitionRegistration, Topic};

/// A partition that would suffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Harm {
    /// Its topic.
    pub topic: TopicName,
    /// Its index.
    pub partition: i32,
    /// How it would suffer.
    pub why: Why,
}

/// How a partition would suffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It has no other replica: nobody can write or read it meanwhile.
    OnlyReplica,
    /// No other replica is in sync: nobody can write or read it meanwhile.
    OnlyInSync,
    /// Producers with acks=all are refused meanwhile.
    UnderMinIsr,
    /// Replicas are being added or removed, and this broker is one of them or they copy from it.
    Reassigning,
}

impl Why {
    /// A word for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OnlyReplica => "OnlyReplica",
            Self::OnlyInSync => "OnlyInSync",
            Self::UnderMinIsr => "UnderMinIsr",
            Self::Reassigning => "Reassigning",
        }
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// The partitions that a restart of `node` would harm, in order; `statics` is what the asked
/// broker's file sets.
#[must_use]
pub fn harms(image: &MetadataImage, statics: &ConfigMap, node: NodeId) -> Vec<Harm> {
    let mut harms = Vec::new();
    for topic in image.topics.values() {
        let min_isr = min_isr(image, statics, topic);
        for (index, partition) in topic.indexed() {
            if let Some(why) = why(partition, node, min_isr) {
                harms.push(Harm {
                    topic: topic.name.clone(),
                    partition: index.0,
                    why,
                });
            }
        }
    }
    harms
}

fn min_isr(image: &MetadataImage, statics: &ConfigMap, topic: &Topic) -> usize {
    let factor = topic.replication_factor();
    let layers = image.topic_layers(None, statics, &topic.name);
    layers.min_insync_replicas(factor).min(factor)
}

fn why(partition: &PartitionRegistration, node: NodeId, min_isr: usize) -> Option<Why> {
    if !partition.replicas.contains(&node) {
        return None;
    }
    if partition.replicas == [node] {
        return Some(Why::OnlyReplica);
    }
    if partition.isr == [node] {
        return Some(Why::OnlyInSync);
    }
    if partition.is_reassigning() {
        return Some(Why::Reassigning);
    }
    let in_sync = partition.isr.len();
    let is_last_straw = in_sync >= min_isr && in_sync - 1 < min_isr;
    (partition.isr.contains(&node) && is_last_straw).then_some(Why::UnderMinIsr)
}

#[cfg(test)]
mod tests;
