//! Copies that are held to follower.replication.throttled.rate.

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
    /// For how long each partition is held back now.
    pub(super) fn held_back(&self) -> impl Fn(TopicIdPartition) -> Option<Duration> + '_ {
        let image = self.controller.image();
        move |id| {
            let rate = self.throttled_rate(&image, id)?;
            let wait = lock(&self.throttle).wait(self.env.now(), rate)?;
            Some(wait.min(WAIT_MAX))
        }
    }

    /// So many bytes of a partition were copied.
    pub(super) fn copied(&self, image: &MetadataImage, id: TopicIdPartition, bytes: usize) {
        if bytes > 0
            && let Some(rate) = self.throttled_rate(image, id)
        {
            lock(&self.throttle).spend(self.env.now(), rate, bytes as u64);
        }
    }

    /// The rate that copying this partition is held to.
    fn throttled_rate(&self, image: &MetadataImage, id: TopicIdPartition) -> Option<u64> {
        let here = self.settings.node_id;
        let topic = image.topic_by_id(id.topic_id)?;
        let partition = topic.partition(id.partition)?;
        // whoever is in sync is not looked up any further: that is nearly always
        if partition.isr.contains(&here) {
            return None;
        }
        let own = image.configs_of(&ConfigResource::Topic(topic.name.clone()));
        let listed = own.and_then(|own| own.get(REPLICAS));
        let listed = listed.map_or(&[][..], |listed| listed.items());
        if !is_throttled(here, id.partition, partition, listed) {
            return None;
        }
        let layers = image.layers(Some(here), &self.settings.statics);
        let rate = layers.number(RATE);
        u64::try_from(rate).ok().filter(|_| rate < i64::MAX)
    }
}
