//! A cluster and its topics as the brokers describe them.

use std::collections::BTreeMap;

use serde::Deserialize;

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
    /// Those of them that a reassignment adds.
    pub adding: Vec<i32>,
    /// Those of them that a reassignment removes.
    pub removing: Vec<i32>,
}

/// A broker as the cluster has it registered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegisteredBroker {
    /// Where it is reached.
    pub address: String,
    /// Its failure domain.
    pub rack: Option<String>,
    /// Whether it is registered and does not serve.
    pub is_fenced: bool,
    /// Whether it has said, where it was asked how large its replicas are, that it is to get none.
    pub is_cordoned: bool,
}

/// A partition, by its topic's name and its index.
pub type PartitionKey = (String, i32);

/// How large each replica is, in bytes, by broker, for partitions that were asked about; a broker
/// that did not answer is not among them.
pub type Sizes = BTreeMap<PartitionKey, BTreeMap<i32, u64>>;

/// The metadata quorum as the active controller has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedQuorum {
    /// The active controller.
    pub leader: i32,
    /// The voters, and whether each follows the leader closely.
    pub voters: BTreeMap<i32, bool>,
}

/// What a broker says of a restart of itself or of another one: its page `/pre-restart-check`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RestartCheck {
    /// The voters that follow closely without that broker.
    pub voters_left: Option<usize>,
    /// All voters.
    pub voters: Option<usize>,
    /// The partitions that would suffer, the first of them.
    pub harmed: Vec<Harmed>,
    /// How many more there are.
    pub more: usize,
}

/// A partition that a restart would harm.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Harmed {
    /// Its topic and index.
    pub partition: String,
    /// How.
    pub why: Why,
}

/// How a partition would suffer from a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Why {
    /// It has no other replica.
    OnlyReplica,
    /// No other replica is in sync.
    OnlyInSync,
    /// Producers with acks=all are refused meanwhile.
    UnderMinIsr,
    /// Replicas of it are being added or removed.
    Reassigning,
    /// What this operator does not know.
    #[serde(other)]
    Other,
}

impl ObservedPartition {
    /// The replicas that are not in sync.
    pub fn missing(&self) -> impl Iterator<Item = i32> {
        let replicas = self.replicas.iter().copied();
        replicas.filter(|id| !self.isr.contains(id))
    }

    /// Whether a reassignment is under way.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        !self.adding.is_empty() || !self.removing.is_empty()
    }

    /// The replicas that a reassignment under way, if any, brings. One that is being added and
    /// removed stays only for a while: it is of a move that was cancelled.
    pub fn arriving(&self) -> impl Iterator<Item = i32> {
        let adding = self.adding.iter().copied();
        adding.filter(|id| !self.removing.contains(id))
    }

    /// Whether these are all being brought.
    #[must_use]
    pub fn are_arriving(&self, mut ids: impl Iterator<Item = i32>) -> bool {
        ids.all(|id| self.arriving().any(|one| one == id))
    }

    /// The replicas once the reassignment under way, if any, is done.
    #[must_use]
    pub fn target(&self) -> Vec<i32> {
        let replicas = self.replicas.iter().copied();
        replicas.filter(|id| !self.removing.contains(id)).collect()
    }

    /// The replicas that a reassignment under way, if any, began with.
    #[must_use]
    pub fn original(&self) -> Vec<i32> {
        let replicas = self.replicas.iter().copied();
        replicas.filter(|id| !self.adding.contains(id)).collect()
    }
}

impl ObservedTopic {
    /// How many replicas each partition has at least, those not counted that a reassignment is
    /// still adding.
    #[must_use]
    pub fn replication_factor(&self) -> i32 {
        let sizes = self.partitions.iter().map(|p| p.original().len());
        i32::try_from(sizes.min().unwrap_or(0)).unwrap_or(i32::MAX)
    }

    /// Whether every partition has so many replicas, and none is being moved.
    #[must_use]
    pub fn has_replication_factor(&self, wanted: i32) -> bool {
        let wanted = usize::try_from(wanted).unwrap_or(0);
        let is_there = |p: &ObservedPartition| !p.is_moving() && p.replicas.len() == wanted;
        self.partitions.iter().all(is_there)
    }

    /// How many partitions there are.
    #[must_use]
    pub fn partition_count(&self) -> i32 {
        i32::try_from(self.partitions.len()).unwrap_or(i32::MAX)
    }
}
