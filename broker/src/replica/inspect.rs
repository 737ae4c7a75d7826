//! What a simulation sees of the partitions, which no client may.

use std::sync::atomic::Ordering;

use ottla_core::partition::{Asker, Marks};
use ottla_protocol::ids::{LeaderEpoch, NodeId, Offset, TopicIdPartition, TopicName};

use super::Replicas;
use super::partition::Replica;

/// One replica as it is between two steps of a simulation.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: i32,
    /// Whether this broker leads it.
    pub is_leader: bool,
    /// The epoch of the leader that this broker knows.
    pub leader_epoch: LeaderEpoch,
    /// The marks of its log.
    pub marks: Marks,
    /// Everything before it survives a power cut.
    pub durable_end_offset: Offset,
    /// Where the newest epoch of its log begins.
    pub epoch_start_offset: Offset,
    /// The in-sync replicas, where this broker leads.
    pub isr: Vec<NodeId>,
    /// What followers have said to hold, where this broker leads.
    pub follower_ends: Vec<(NodeId, Offset)>,
    /// Whether this broker answers clients as the leader, as long as its lease stands.
    pub answers_clients: bool,
    /// Where the last batch ends that is remembered of any producer.
    pub producers_end: Offset,
}

impl Inspected {
    fn of(replica: &Replica) -> Self {
        let state = replica.peek();
        let epochs = state.partition.leader_epochs().entries();
        let asker = Asker::Client { has_lease: true };
        let producers = state.partition.producers().iter();
        let last = producers.filter_map(|(_, producer)| producer.batches.back());
        let producers_end = last.map(|batch| batch.last_offset.plus(1)).max();
        Self {
            topic: replica.topic.clone(),
            partition: replica.id.partition.0,
            is_leader: state.partition.is_leader(),
            leader_epoch: state.partition.leader_epoch(),
            marks: state.partition.marks(),
            durable_end_offset: replica.reader.durable_end_offset(),
            epoch_start_offset: epochs.last().map_or(Offset::ZERO, |e| e.start_offset),
            isr: state.partition.isr().to_vec(),
            follower_ends: state.partition.follower_ends().collect(),
            answers_clients: state.partition.answers_as_leader(asker, None).is_ok(),
            producers_end: producers_end.unwrap_or(Offset::ZERO),
        }
    }
}

/// What is new of a broker's replicas.
#[derive(Debug)]
pub struct Changes {
    /// Whether it is all of them, since one came or went; else those that may have changed.
    pub is_all: bool,
    /// They, sorted by topic and partition.
    pub replicas: Vec<Inspected>,
}

impl Replicas {
    /// What may have changed since the last look, of which `looked` is what this left there.
    #[must_use]
    pub fn inspect_changes(&self, looked: &mut Option<u64>) -> Changes {
        let index = &self.shared.index;
        let version = index.version();
        let is_all = looked.replace(version) != Some(version);
        let found = index.filtered(|replica| {
            let is_touched = replica.is_touched.swap(false, Ordering::Relaxed);
            is_touched || is_all
        });
        let mut replicas: Vec<_> = found.iter().map(|found| Inspected::of(found)).collect();
        replicas.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        Changes { is_all, replicas }
    }

    /// One replica, where this broker has it.
    #[must_use]
    pub fn inspect(&self, topic: &str, partition: i32) -> Option<Inspected> {
        let topic = super::TopicKey::Name(topic.into());
        let replica = self.shared.index.find(&topic, partition)?;
        Some(Inspected::of(&replica))
    }

    /// Whether this broker has the replica.
    #[must_use]
    pub fn inspect_held(&self, id: TopicIdPartition) -> bool {
        self.shared.index.get(id).is_some()
    }

    /// Whole batches of a replica from `from` on, none that begins at or after `end`; empty where
    /// the disk has failed or the log is shorter.
    #[must_use]
    pub fn inspect_log(&self, at: &Inspected, from: Offset, end: Offset) -> bytes::Bytes {
        let topic = super::TopicKey::Name(at.topic.clone());
        let Some(replica) = self.shared.index.find(&topic, at.partition) else {
            return bytes::Bytes::new();
        };
        let read = replica.reader.read(from, 1 << 20, end);
        let chunks = read.and_then(ottla_storage::Read::perform);
        chunks.map_or_else(
            |_| bytes::Bytes::new(),
            |chunks| ottla_protocol::codec::Records::from(chunks).into_bytes(),
        )
    }
}
