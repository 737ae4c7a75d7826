//! All objects of one kind that belong to clusters, by those and by age. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::crd::{KafkaRebalance, KafkaTopic, KafkaUser};
use crate::object::{Desired, ObjectKey};
use crate::world::Age;
use crate::{rebalance, topic, user};

/// What belongs to a cluster.
pub trait OfCluster {
    /// Which.
    fn cluster(&self) -> ObjectKey;
}

impl OfCluster for KafkaTopic {
    fn cluster(&self) -> ObjectKey {
        topic::validate::cluster_key(self)
    }
}

impl OfCluster for KafkaUser {
    fn cluster(&self) -> ObjectKey {
        user::validate::cluster_key(self)
    }
}

impl OfCluster for KafkaRebalance {
    fn cluster(&self) -> ObjectKey {
        rebalance::cluster_key(self)
    }
}

/// The objects of a cluster.
type Members<K> = BTreeMap<(Age, ObjectKey), (ObjectKey, Desired<K>)>;

/// The objects, shared with the world and the tasks.
///
/// Invariant: every object stands in `places`, and under that cluster and age in `clusters`.
#[derive(Debug)]
pub struct Index<K> {
    places: BTreeMap<ObjectKey, (ObjectKey, Age)>,
    clusters: BTreeMap<ObjectKey, Members<K>>,
    /// Clusters whose objects changed since their tasks were told.
    dirty: BTreeSet<ObjectKey>,
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        Self {
            places: BTreeMap::new(),
            clusters: BTreeMap::new(),
            dirty: BTreeSet::new(),
        }
    }
}

impl<K: OfCluster> Index<K> {
    /// Takes an object that came, changed or went.
    pub fn apply(&mut self, key: &ObjectKey, object: Option<(Age, Desired<K>)>) {
        if let Some((cluster, age)) = self.places.remove(key) {
            if let Some(topics) = self.clusters.get_mut(&cluster) {
                topics.remove(&(age, key.clone()));
                if topics.is_empty() {
                    self.clusters.remove(&cluster);
                }
            }
            self.dirty.insert(cluster);
        }
        if let Some((age, desired)) = object {
            let cluster = desired.object.cluster();
            self.places.insert(key.clone(), (cluster.clone(), age));
            let topics = self.clusters.entry(cluster.clone()).or_default();
            topics.insert((age, key.clone()), (key.clone(), desired));
            self.dirty.insert(cluster);
        }
    }

    /// Takes an object with another status, which changes nothing for its cluster.
    pub fn replace(&mut self, key: &ObjectKey, object: Arc<K>) {
        if let Some((cluster, age)) = self.places.get(key)
            && let Some(topics) = self.clusters.get_mut(cluster)
            && let Some((_, desired)) = topics.get_mut(&(*age, key.clone()))
        {
            desired.object = object;
        }
    }

    /// The objects of a cluster, the oldest first.
    pub fn of(&self, cluster: &ObjectKey) -> impl Iterator<Item = &(ObjectKey, Desired<K>)> {
        let topics = self.clusters.get(cluster);
        topics.into_iter().flat_map(BTreeMap::values)
    }

    /// Has the task of a cluster told of its objects.
    pub fn mark(&mut self, cluster: &ObjectKey) {
        self.dirty.insert(cluster.clone());
    }

    /// Has whoever has objects of these clusters told of them.
    pub fn mark_where(&mut self, is_marked: impl Fn(&ObjectKey) -> bool) {
        let marked = self.clusters.keys().filter(|cluster| is_marked(cluster));
        self.dirty.extend(marked.cloned());
    }

    /// Whether any task is yet to be told of its objects.
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// The clusters whose tasks are yet to be told.
    pub fn take_dirty(&mut self) -> BTreeSet<ObjectKey> {
        std::mem::take(&mut self.dirty)
    }
}
