//! Partitions by name and by id.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ottla_protocol::ids::{TopicId, TopicIdPartition, TopicName};

use super::partition::Replica;
use super::place::TopicKey;

#[derive(Debug, Default)]
struct Maps {
    by_id: HashMap<TopicId, Vec<Option<Arc<Replica>>>>,
    /// A deleted and recreated topic has the newer id here.
    ids: HashMap<TopicName, TopicId>,
    /// Counts what came and went.
    #[cfg(feature = "simulation")]
    version: u64,
}

/// The partitions this broker holds. The lock is held for a lookup only.
#[derive(Debug, Default)]
pub(super) struct Index {
    maps: RwLock<Maps>,
}

impl Index {
    fn read(&self) -> RwLockReadGuard<'_, Maps> {
        self.maps.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// To change it.
    fn write(&self) -> RwLockWriteGuard<'_, Maps> {
        let maps = self.maps.write().unwrap_or_else(PoisonError::into_inner);
        #[cfg(feature = "simulation")]
        let maps = {
            let mut maps = maps;
            maps.version += 1;
            maps
        };
        maps
    }

    /// How often anything came or went.
    #[cfg(feature = "simulation")]
    pub(super) fn version(&self) -> u64 {
        self.read().version
    }

    /// Those that `wanted` says so of.
    #[cfg(feature = "simulation")]
    pub(super) fn filtered(&self, wanted: impl Fn(&Replica) -> bool) -> Vec<Arc<Replica>> {
        let maps = self.read();
        let all = maps.by_id.values().flatten().flatten();
        all.filter(|replica| wanted(replica)).cloned().collect()
    }

    pub(super) fn find(&self, topic: &TopicKey, partition: i32) -> Option<Arc<Replica>> {
        let maps = self.read();
        let id = match topic {
            TopicKey::Name(name) => maps.ids.get(name)?,
            TopicKey::Id(id) => id,
        };
        let place = usize::try_from(partition).ok()?;
        maps.by_id.get(id)?.get(place)?.clone()
    }

    pub(super) fn get(&self, id: TopicIdPartition) -> Option<Arc<Replica>> {
        self.find(&TopicKey::Id(id.topic_id), id.partition.0)
    }

    pub(super) fn insert(&self, replica: &Arc<Replica>) {
        let Ok(place) = usize::try_from(replica.id.partition.0) else {
            return;
        };
        let mut maps = self.write();
        let topic_id = replica.id.topic_id;
        maps.ids.insert(replica.topic.clone(), topic_id);
        let partitions = maps.by_id.entry(topic_id).or_default();
        if partitions.len() <= place {
            partitions.resize(place + 1, None);
        }
        partitions[place] = Some(Arc::clone(replica));
    }

    pub(super) fn remove(&self, replica: &Replica) {
        let mut maps = self.write();
        let topic_id = replica.id.topic_id;
        let Some(partitions) = maps.by_id.get_mut(&topic_id) else {
            return;
        };
        if let Some(slot) = partitions.get_mut(replica.id.partition.0 as usize) {
            *slot = None;
        }
        if partitions.iter().all(Option::is_none) {
            maps.by_id.remove(&topic_id);
            if maps.ids.get(&replica.topic) == Some(&topic_id) {
                maps.ids.remove(&replica.topic);
            }
        }
    }

    /// The partitions of a topic that are here.
    pub(super) fn topic(&self, id: TopicId) -> Vec<Arc<Replica>> {
        let maps = self.read();
        let partitions = maps.by_id.get(&id);
        partitions.map_or_else(Vec::new, |list| list.iter().flatten().cloned().collect())
    }

    /// All partitions.
    pub(super) fn all(&self) -> Vec<Arc<Replica>> {
        let maps = self.read();
        maps.by_id.values().flatten().flatten().cloned().collect()
    }
}
