//! All topics, by the cluster they belong to and by age. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::crd::KafkaTopic;
use crate::object::ObjectKey;
use crate::topic::reconcile::Desired;
use crate::topic::validate::cluster_key;
use crate::world::Age;

/// The topics, shared with the world and the tasks.
///
/// Invariant: every topic stands in `places`, and under that cluster and age in `clusters`.
#[derive(Debug, Default)]
pub struct Index {
    places: BTreeMap<ObjectKey, (ObjectKey, Age)>,
    clusters: BTreeMap<ObjectKey, BTreeMap<(Age, ObjectKey), (ObjectKey, Desired)>>,
    /// Clusters whose topics changed since their tasks were told.
    dirty: BTreeSet<ObjectKey>,
}

impl Index {
    /// Takes a topic that came, changed or went.
    pub fn apply(&mut self, key: &ObjectKey, topic: Option<(Age, Desired)>) {
        if let Some((cluster, age)) = self.places.remove(key) {
            if let Some(topics) = self.clusters.get_mut(&cluster) {
                topics.remove(&(age, key.clone()));
                if topics.is_empty() {
                    self.clusters.remove(&cluster);
                }
            }
            self.dirty.insert(cluster);
        }
        if let Some((age, desired)) = topic {
            let cluster = cluster_key(&desired.object);
            self.places.insert(key.clone(), (cluster.clone(), age));
            let topics = self.clusters.entry(cluster.clone()).or_default();
            topics.insert((age, key.clone()), (key.clone(), desired));
            self.dirty.insert(cluster);
        }
    }

    /// Takes a topic's object with another status, which changes nothing for its cluster.
    pub fn replace(&mut self, key: &ObjectKey, object: Arc<KafkaTopic>) {
        if let Some((cluster, age)) = self.places.get(key)
            && let Some(topics) = self.clusters.get_mut(cluster)
            && let Some((_, desired)) = topics.get_mut(&(*age, key.clone()))
        {
            desired.object = object;
        }
    }

    /// The topics of a cluster, the oldest first.
    pub fn of(&self, cluster: &ObjectKey) -> impl Iterator<Item = &(ObjectKey, Desired)> {
        let topics = self.clusters.get(cluster);
        topics.into_iter().flat_map(BTreeMap::values)
    }

    /// Has the task of a cluster told of its topics.
    pub fn mark(&mut self, cluster: &ObjectKey) {
        self.dirty.insert(cluster.clone());
    }

    /// Has whoever has topics of these clusters told of them.
    pub fn mark_where(&mut self, is_marked: impl Fn(&ObjectKey) -> bool) {
        let marked = self.clusters.keys().filter(|cluster| is_marked(cluster));
        self.dirty.extend(marked.cloned());
    }

    /// Whether any task is yet to be told of its topics.
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// The clusters whose tasks are yet to be told.
    pub fn take_dirty(&mut self) -> BTreeSet<ObjectKey> {
        std::mem::take(&mut self.dirty)
    }
}
