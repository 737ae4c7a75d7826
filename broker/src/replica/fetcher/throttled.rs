//! Copies that are held to follower.replication.throttled.rate.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ottla_core::image::{ConfigResource, MetadataImage};
use ottla_core::throttle::is_throttled;
use ottla_protocol::ids::TopicIdPartition;

use super::super::{Shared, lock};

const RATE: &str = "follower.replication.throttled.rate";
const REPLICAS: &str = "follower.replication.throttled.replicas";

/// A partition that is held back looks this often at least whether it still is: the rate changes.
const WAIT_MAX: Duration = Duration::from_millis(500);

impl Shared {
    /// Follows what the configs say.
    pub(in super::super) fn follow_copy_rate(&self, image: &MetadataImage) {
        let layers = image.layers(Some(self.settings.node_id), &self.settings.statics);
        let rate = u64::try_from(layers.number(RATE)).unwrap_or(u64::MAX);
        self.copy_rate.store(rate, Ordering::Release);
    }

    /// For how long each partition is held back now.
    pub(super) fn held_back(&self) -> impl Fn(TopicIdPartition) -> Option<Duration> + '_ {
        let rate = self.copy_rate();
        let image = rate.map(|rate| (rate, self.controller.image()));
        move |id| {
            let (rate, image) = image.as_ref()?;
            if !self.is_held(image, id) {
                return None;
            }
            let wait = lock(&self.throttle).wait(self.env.now(), *rate)?;
            Some(wait.min(WAIT_MAX))
        }
    }

    /// So many bytes of a partition were copied.
    pub(super) fn copied(&self, image: &MetadataImage, id: TopicIdPartition, bytes: usize) {
        if bytes > 0
            && let Some(rate) = self.copy_rate()
            && self.is_held(image, id)
        {
            lock(&self.throttle).spend(self.env.now(), rate, bytes as u64);
        }
    }

    /// The rate that copies are held to; `None` where nobody set one, which is nearly always.
    fn copy_rate(&self) -> Option<u64> {
        let rate = self.copy_rate.load(Ordering::Acquire);
        (rate < i64::MAX.unsigned_abs()).then_some(rate)
    }

    /// Whether copying this partition is held to the rate.
    fn is_held(&self, image: &MetadataImage, id: TopicIdPartition) -> bool {
        let here = self.settings.node_id;
        let Some(topic) = image.topic_by_id(id.topic_id) else {
            return false;
        };
        let Some(partition) = topic.partition(id.partition) else {
            return false;
        };
        let own = image.configs_of(&ConfigResource::Topic(topic.name.clone()));
        let listed = own.and_then(|own| own.get(REPLICAS));
        let listed = listed.map_or(&[][..], |listed| listed.items());
        is_throttled(here, id.partition, partition, listed)
    }
}
