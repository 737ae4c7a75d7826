//! What there is: the data directory, sizes, producers, leaders.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ottla_core::hanging::Place;
use ottla_core::partition::producers::{Open, Producer};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, NodeId, ProducerId, TopicName};

use super::Replicas;
use super::partition::{Replica, State};
use super::place::TopicKey;
use crate::threads;

/// The data directory.
#[derive(Debug)]
pub struct LogDirectory {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it failed, and takes nothing until a restart.
    pub is_offline: bool,
    /// Bytes free on its file system, -1 where that is not known.
    pub usable_bytes: i64,
    /// Its partitions.
    pub partitions: Vec<PartitionSize>,
}

/// How large a partition is.
#[derive(Clone, Debug)]
pub struct PartitionSize {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: i32,
    /// Bytes in its segments.
    pub size_bytes: i64,
    /// How far the log is ahead of the high watermark, on a follower behind it.
    pub offset_lag: i64,
}

impl Replica {
    /// The leader and its epoch, as far as they are known here.
    pub(super) fn known_leader(&self) -> Option<(NodeId, LeaderEpoch)> {
        self.leader_to_name(&self.lock())
    }

    /// The same, under the lock. Without a lease this broker is no leader to name.
    pub(super) fn leader_to_name(&self, state: &State) -> Option<(NodeId, LeaderEpoch)> {
        let leader = state.partition.leader()?;
        let is_other = leader != self.shared.settings.node_id;
        (is_other || self.shared.controller.has_lease())
            .then_some((leader, state.partition.leader_epoch()))
    }
}

impl Replicas {
    /// Why nothing is written to the data directory any more, where it failed.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let error = self.shared.store.offline()?;
        Some(format!("{error}; mend the disk and start again"))
    }

    /// Why records are not taken at the moment, where the disk is full.
    #[must_use]
    pub fn full_disk(&self) -> Option<String> {
        let store = &self.shared.store;
        store.is_full().then(|| {
            let dir = store.dir().display();
            format!("the disk of {dir} is full, free some space or lower retention")
        })
    }

    /// The data directory and the partitions in it.
    pub async fn describe_log_dir(&self) -> LogDirectory {
        let store = Arc::clone(&self.shared.store);
        let look = move || store.free_bytes().ok();
        let free = threads::blocking(self.shared.inline, look).await.flatten();
        let store = &self.shared.store;
        let partitions = self.shared.index.all().into_iter().map(|replica| {
            let marks = replica.lock().partition.marks();
            PartitionSize {
                topic: replica.topic.clone(),
                partition: replica.id.partition.0,
                size_bytes: i64::try_from(replica.reader.size_bytes()).unwrap_or(i64::MAX),
                offset_lag: (marks.high_watermark.0 - marks.log_end_offset.0).max(0),
            }
        });
        LogDirectory {
            path: store.dir().to_path_buf(),
            is_offline: store.offline().is_some(),
            usable_bytes: free.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
            partitions: partitions.collect(),
        }
    }

    /// How many records each follower lacks in the partition that is led here and in which it is
    /// furthest behind, where it has fetched from this leader.
    #[must_use]
    pub fn follower_lag(&self) -> BTreeMap<NodeId, i64> {
        let mut lag = BTreeMap::new();
        for replica in self.shared.index.all() {
            let partition = &replica.lock().partition;
            let end = partition.marks().log_end_offset;
            for (follower, held) in partition.follower_ends() {
                let most = lag.entry(follower).or_insert(0);
                *most = (end.0 - held.0).max(*most);
            }
        }
        lag
    }

    /// The transactions that are open on the partitions that are led here.
    #[must_use]
    pub fn open_transactions(&self) -> Vec<(Place, Open)> {
        let mut all = Vec::new();
        for replica in self.shared.index.all() {
            let state = replica.lock();
            if !state.partition.is_leader() {
                continue;
            }
            all.extend(state.partition.producers().open().map(|open| {
                let place = Place {
                    topic: replica.topic.clone(),
                    partition: replica.id.partition.0,
                    producer_id: open.producer_id,
                };
                (place, open)
            }));
        }
        all
    }

    /// Whether the partition is held here.
    #[must_use]
    pub fn holds(&self, topic: &TopicKey, partition: i32) -> bool {
        self.shared.index.find(topic, partition).is_some()
    }

    /// The producers that a partition remembers.
    ///
    /// # Errors
    /// Kafka's: this broker must hold the partition, as its leader or not.
    pub fn describe_producers(
        &self,
        topic: &TopicKey,
        partition: i32,
    ) -> Result<Vec<(ProducerId, Producer)>, ErrorCode> {
        let replica = self.find(topic, partition)?;
        let state = replica.lock();
        let producers = state.partition.producers().iter();
        Ok(producers
            .map(|(id, producer)| (id, producer.clone()))
            .collect())
    }
}
