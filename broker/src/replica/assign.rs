//! Metadata images become leaders, followers, new logs and deleted ones.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ottla_core::config::TopicConfig;
use ottla_core::hosting::{self, Step};
use ottla_core::image::delta::MetadataDelta;
use ottla_core::image::{ConfigResource, MetadataImage, PartitionRegistration, Topic};
use ottla_core::partition::{
    Assignment, Config, Input, Loaded, Partition, Producers, ReplicaState,
};
use ottla_core::planted::{self, Planted};
use ottla_protocol::ids::{NodeId, Offset, TopicIdPartition};
use ottla_storage::{Log, LogSettings};
use tracing::{error, info};

use super::partition::Replica;
use super::{Applied, Replicas, Shared, lock, producer_state};
use crate::threads;

impl Replicas {
    /// As [`Self::apply`], away from the threads that serve: logs that are taken into service are
    /// read for their producers.
    pub async fn follow(&self, image: Arc<MetadataImage>, delta: MetadataDelta) {
        let replicas = self.clone();
        let act = move || replicas.apply(&image, &delta);
        threads::blocking(self.shared.inline, act).await;
    }

    /// Follows a change of the metadata.
    ///
    /// While this broker catches up with the quorum's log it sees images of the past, in which it
    /// may lead what another leads by now. So nothing is done before the image that contains this
    /// incarnation's registration: by then the past is over.
    pub fn apply(&self, image: &MetadataImage, delta: &MetadataDelta) {
        let shared = &self.shared;
        if shared.is_stopping() {
            return;
        }
        let mut applied = lock(&shared.applied);
        if !shared.is_current.load(Ordering::Acquire) {
            let node = shared.settings.node_id;
            let registered = image.broker(node).map(|broker| broker.broker_epoch);
            let is_past =
                registered != shared.controller.broker_epoch() && !planted::is(Planted::PastImages);
            if registered.is_none() || is_past {
                return;
            }
            shared.is_current.store(true, Ordering::Release);
            applied.image = image.clone();
            return shared.assign_all(image, &mut applied.missing);
        }
        // configs come first: by a larger min.insync.replicas a shorter ISR commits nothing, and
        // who left it may be elected, so the leader must know of both in this order
        shared.follow_configs(image, delta);
        for id in delta.topics.keys() {
            if let Some(topic) = image.topic_by_id(*id) {
                shared.follow_factor(image, topic);
            }
        }
        let held = |topic| {
            let replicas = shared.index.topic(topic);
            replicas
                .iter()
                .map(|replica| replica.id.partition)
                .collect()
        };
        for step in hosting::steps(shared.settings.node_id, image, delta, held) {
            match step {
                Step::Release(id) => {
                    if let Some(replica) = shared.index.get(id) {
                        shared.delete(&replica);
                    }
                }
                Step::Hold(id) => shared.hold(image, id, &mut applied.missing),
            }
        }
        applied.image = image.clone();
        shared.hold_missing(&mut applied);
        if !delta.brokers.is_empty() {
            shared.follow_brokers(image, &delta.brokers);
        }
    }
}

impl Shared {
    fn assign_all(
        self: &Arc<Self>,
        image: &MetadataImage,
        missing: &mut BTreeSet<TopicIdPartition>,
    ) {
        self.follow_copy_rate(image);
        let marks = self.store.read_high_watermarks().into_iter().collect();
        let marks: std::collections::HashMap<TopicIdPartition, Offset> = marks;
        let node = self.settings.node_id;
        let mut strays = Vec::new();
        for log in std::mem::take(&mut *lock(&self.unassigned)) {
            let id = log.id();
            let registration = image.partition(id);
            if !registration.is_some_and(|r| r.replicas.contains(&node)) {
                strays.push(log);
                continue;
            }
            let Some(topic) = image.topic_by_id(id.topic_id) else {
                continue;
            };
            let config = self.topic_config(image, topic);
            let mark = marks.get(&id).copied().unwrap_or(Offset::ZERO);
            self.open(log, config, mark);
        }
        self.strays.keep(strays, self.env.now());
        for topic in image.topics.values() {
            for (partition, registration) in topic.indexed() {
                if registration.replicas.contains(&node) {
                    let topic_id = topic.id;
                    let id = TopicIdPartition {
                        topic_id,
                        partition,
                    };
                    self.hold(image, id, missing);
                }
            }
        }
    }

    /// Leads or follows a partition as the image says, with a new log where there is none; notes
    /// where none could be made.
    fn hold(
        self: &Arc<Self>,
        image: &MetadataImage,
        id: TopicIdPartition,
        missing: &mut BTreeSet<TopicIdPartition>,
    ) {
        let (Some(topic), Some(registration)) =
            (image.topic_by_id(id.topic_id), image.partition(id))
        else {
            return;
        };
        let here = self.index.get(id);
        match here.or_else(|| self.create(image, topic, id)) {
            Some(replica) => self.assign(image, &replica, registration),
            None => _ = missing.insert(id),
        }
    }

    /// Tries again to make the logs that could not be made.
    pub(super) fn retry_missing(self: &Arc<Self>) {
        self.hold_missing(&mut lock(&self.applied));
    }

    fn hold_missing(self: &Arc<Self>, applied: &mut Applied) {
        if planted::is(Planted::HoldsFirst) {
            return;
        }
        let node = self.settings.node_id;
        let Applied { image, missing } = applied;
        for id in std::mem::take(missing) {
            let registration = image.partition(id);
            if registration.is_some_and(|r| r.replicas.contains(&node)) {
                self.hold(image, id, missing);
            }
        }
    }

    fn assign(
        self: &Arc<Self>,
        image: &MetadataImage,
        replica: &Arc<Replica>,
        registration: &PartitionRegistration,
    ) {
        let racks = registration.replicas.iter().map(|node| {
            let rack = image.broker(*node).and_then(|broker| broker.rack.clone());
            (*node, rack)
        });
        replica.lock().racks = racks.collect();
        replica.tell(Input::Assigned(assignment(image, registration)));
    }

    /// Leads or follows as the newest image says that was acted on.
    pub(super) fn assign_again(self: &Arc<Self>, replica: &Arc<Replica>) {
        let applied = lock(&self.applied);
        if let Some(registration) = applied.image.partition(replica.id) {
            self.assign(&applied.image, replica, registration);
        }
    }

    fn create(
        self: &Arc<Self>,
        image: &MetadataImage,
        topic: &Arc<Topic>,
        id: TopicIdPartition,
    ) -> Option<Arc<Replica>> {
        let config = self.topic_config(image, topic);
        if let Some(log) = self.strays.reclaim(id) {
            info!(topic = %topic.name, partition = %id.partition, "a log is ours again");
            return Some(self.open(log, config, Offset::ZERO));
        }
        if let Some(log) = self.strays.namesake(&topic.name, id) {
            self.delete_stray(log);
        }
        let settings = log_settings(&config);
        match self.store.create(id, topic.name.clone(), settings) {
            Ok(log) => Some(self.open(log, config, Offset::ZERO)),
            Err(error) => {
                error!(topic = %topic.name, partition = %id.partition, %error, "no log was made");
                None
            }
        }
    }

    fn open(
        self: &Arc<Self>,
        mut log: Log,
        config: Arc<TopicConfig>,
        high_watermark: Offset,
    ) -> Arc<Replica> {
        log.set_settings(log_settings(&config));
        let reader = log.reader();
        let (producers, failure) = match producer_state::load(&reader, reader.log_end_offset()) {
            Ok(producers) => (producers, None),
            Err(error) => (Producers::default(), Some(error)),
        };
        let loaded = Loaded {
            log_start_offset: reader.log_start_offset(),
            log_end_offset: reader.log_end_offset(),
            high_watermark,
            leader_epochs: reader.leader_epochs(),
            producers,
        };
        let core_config = self.core_config(&config);
        let partition = Partition::new(self.settings.node_id, core_config, loaded);
        let replica = Replica::new(self, log, partition, config);
        if let Some(error) = failure {
            // served without its producers, it would show what open transactions wrote
            error!(partition = ?replica, %error, "producers could not be read");
            replica.fail(&error);
        }
        self.index.insert(&replica);
        replica
    }

    fn delete(self: &Arc<Self>, replica: &Arc<Replica>) {
        self.index.remove(replica);
        if let Some(log) = replica.delete()
            && let Err(error) = self.store.delete(log)
        {
            error!(partition = ?replica, %error, "a log could not be deleted");
        }
    }

    /// Deletes the logs that nobody claimed in all the time that they were kept.
    pub(super) fn delete_old_strays(&self) {
        for log in self.strays.unclaimed(self.env.now()) {
            self.delete_stray(log);
        }
    }

    fn delete_stray(&self, log: Log) {
        info!(partition = %log.topic_partition(), "deleting a log that is no longer ours");
        if let Err(error) = self.store.delete(log) {
            error!(%error, "a log could not be deleted");
        }
    }

    fn topic_config(&self, image: &MetadataImage, topic: &Topic) -> Arc<TopicConfig> {
        let node = self.settings.node_id;
        Arc::new(image.topic_config(node, &self.settings.statics, topic))
    }

    fn core_config(&self, config: &TopicConfig) -> Config {
        Config {
            min_insync_replicas: config.min_insync_replicas,
            durability: config.durability,
            replica_lag_time_max: self.settings.replica_lag_time_max,
            is_compacted: config.is_compacted,
        }
    }

    /// Topics whose configs changed, or all where a broker-wide default did.
    fn follow_configs(self: &Arc<Self>, image: &MetadataImage, delta: &MetadataDelta) {
        let is_default = |resource: &ConfigResource| match resource {
            ConfigResource::Cluster => true,
            ConfigResource::Broker(node) => *node == self.settings.node_id,
            _ => false,
        };
        if delta.configs.iter().any(is_default) {
            self.follow_copy_rate(image);
            for topic in image.topics.values() {
                self.configure(image, topic);
            }
            return;
        }
        for resource in &delta.configs {
            if let ConfigResource::Topic(name) = resource
                && let Some(topic) = image.topic(name)
            {
                self.configure(image, topic);
            }
        }
    }

    /// Where nobody set min.insync.replicas, it follows from the replication factor.
    fn follow_factor(self: &Arc<Self>, image: &MetadataImage, topic: &Topic) {
        let replicas = self.index.topic(topic.id);
        let Some(replica) = replicas.first() else {
            return;
        };
        let node = self.settings.node_id;
        let layers = image.topic_layers(Some(node), &self.settings.statics, &topic.name);
        let wanted = layers.min_insync_replicas(topic.replication_factor());
        let observed = replica.lock().config.min_insync_replicas;
        if wanted != observed {
            self.configure(image, topic);
        }
    }

    fn configure(self: &Arc<Self>, image: &MetadataImage, topic: &Topic) {
        let replicas = self.index.topic(topic.id);
        if replicas.is_empty() {
            return;
        }
        let config = self.topic_config(image, topic);
        for replica in replicas {
            let mut state = replica.lock();
            if let Some(log) = &mut state.log {
                log.set_settings(log_settings(&config));
            }
            state.config = Arc::clone(&config);
            drop(state);
            replica.tell(Input::Configured(self.core_config(&config)));
        }
    }

    /// Brokers that came, went or changed decide who may join an ISR.
    fn follow_brokers(self: &Arc<Self>, image: &MetadataImage, brokers: &BTreeSet<NodeId>) {
        for replica in self.index.all() {
            let registration = image.partition(replica.id);
            if let Some(registration) = registration
                && registration
                    .replicas
                    .iter()
                    .any(|node| brokers.contains(node))
            {
                self.assign(image, &replica, registration);
            }
        }
        self.fetchers.brokers_changed(brokers);
    }
}

fn assignment(image: &MetadataImage, registration: &PartitionRegistration) -> Assignment {
    let replicas = registration.replicas.iter().map(|node| ReplicaState {
        node: *node,
        eligible: image
            .is_active(*node)
            .then(|| image.broker(*node).map(|broker| broker.broker_epoch))
            .flatten(),
    });
    Assignment {
        leader: registration.leader,
        successor: registration.successor,
        leader_epoch: registration.leader_epoch,
        partition_epoch: registration.partition_epoch,
        replicas: replicas.collect(),
        settled_replicas: registration.settled_replicas(),
        isr: registration.isr.clone(),
    }
}

/// A log that is compacted only keeps everything: nothing goes by age or size.
fn log_settings(config: &TopicConfig) -> LogSettings {
    let unlimited = -1;
    let limit = |value: Option<i64>| match config.is_deleted {
        true => value.unwrap_or(unlimited),
        false => unlimited,
    };
    // what is in the active segment is not compacted
    let segment_ms = match config.is_compacted {
        true => config
            .segment_ms
            .min(config.compaction.max_compaction_lag_ms),
        false => config.segment_ms,
    };
    LogSettings {
        segment_bytes: config.segment_bytes,
        segment_ms,
        retention_ms: limit(config.retention_ms),
        retention_bytes: limit(config.retention_bytes.and_then(|b| i64::try_from(b).ok())),
        ..LogSettings::default()
    }
}

/// How long a leader that was just told of a reading follower keeps telling it at once.
pub(super) const FOLLOWER_READS_REMEMBERED: Duration = Duration::from_secs(60);
