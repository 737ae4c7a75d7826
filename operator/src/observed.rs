//! A cluster and its topics as the brokers describe them.

use std::collections::BTreeMap;

/// A cluster as its brokers describe it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedCluster {
    /// Kafka's own id of it.
    pub cluster_id: Option<String>,
    /// The topics asked for that exist, their configs not among it.
    pub topics: BTreeMap<String, ObservedTopic>,
}

/// A topic as the cluster has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedTopic {
    /// Kafka's own id of it.
    pub topic_id: String,
    /// Its partitions by index.
    pub partitions: Vec<ObservedPartition>,
    /// Its configs that differ from the defaults.
    pub config: BTreeMap<String, String>,
}

/// A partition as the cluster has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedPartition {
    /// Whether it has a leader.
    pub has_leader: bool,
    /// The brokers that should hold it.
    pub replicas: Vec<i32>,
    /// Those of them that are in sync.
    pub isr: Vec<i32>,
}

/// The metadata quorum as the active controller has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedQuorum {
    /// The active controller.
    pub leader: i32,
    /// The voters, and whether each follows the leader closely.
    pub voters: BTreeMap<i32, bool>,
}

impl ObservedPartition {
    /// The replicas that are not in sync.
    pub fn missing(&self) -> impl Iterator<Item = i32> {
        let replicas = self.replicas.iter().copied();
        replicas.filter(|id| !self.isr.contains(id))
    }
}

impl ObservedTopic {
    /// How many replicas a partition has; while they differ, what the first one has.
    #[must_use]
    pub fn replication_factor(&self) -> i32 {
        let first = self.partitions.first();
        first.map_or(0, |p| i32::try_from(p.replicas.len()).unwrap_or(i32::MAX))
    }

    /// How many partitions there are.
    #[must_use]
    pub fn partition_count(&self) -> i32 {
        i32::try_from(self.partitions.len()).unwrap_or(i32::MAX)
    }
}
