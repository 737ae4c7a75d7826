//! Where objects are: what a session watches, and where it says what it found.
//!
//! A world keeps the objects of our kinds with their statuses, each in one place and nowhere else:
//! what the session and its tasks hold are the same objects, shared. It tells of objects that came,
//! changed or are to go, and writes statuses and events. It decides nothing about clusters and
//! topics.
//!
//! Invariant: an object that cannot be understood has a status or a line that says so, and holds up
//! no other.

pub mod folder;
pub mod kubernetes;

use std::sync::Arc;

use crate::crd::{KafkaCluster, KafkaClusterStatus, KafkaTopic, KafkaTopicStatus};
use crate::crd::{KafkaRebalance, KafkaRebalanceStatus, KafkaUser, KafkaUserStatus};
use crate::object::{Desired, ObjectKey, Wanted};

/// The age of an object among those of its kind: by its creation, or by its place where objects
/// have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age(pub Option<jiff::Timestamp>, pub usize);

/// What happened in a world.
#[derive(Clone, Debug)]
pub enum Event {
    /// A cluster, or what exists of it, changed; none: it is gone, and its brokers are no affair of
    /// ours any more.
    Cluster(ObjectKey, Option<Wanted>),
    /// A topic changed; none: it is gone, or cannot be understood.
    Topic(ObjectKey, Option<(Age, Desired<KafkaTopic>)>),
    /// A user changed; none: it is gone, or cannot be understood.
    User(ObjectKey, Option<(Age, Desired<KafkaUser>)>),
    /// A plan for replicas changed; none: it is gone, or cannot be understood.
    Rebalance(ObjectKey, Option<(Age, Desired<KafkaRebalance>)>),
}

/// The kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// KafkaCluster.
    Cluster,
    /// KafkaTopic.
    Topic,
    /// KafkaUser.
    User,
    /// KafkaRebalance.
    Rebalance,
}

/// A place of objects.
#[allow(
    async_fn_in_trait,
    reason = "a session runs in one thread, so no future needs to be Send"
)]
pub trait World {
    /// Waits until something happened, and tells of all of it. May be dropped while it waits: what
    /// happened is told the next time.
    async fn events(&mut self) -> Vec<Event>;

    /// Keeps the status of a cluster and returns the cluster with it; none where it says nothing
    /// new, or there is no such cluster.
    fn set_cluster_status(
        &mut self,
        key: &ObjectKey,
        status: KafkaClusterStatus,
    ) -> Option<Arc<KafkaCluster>>;

    /// The same of a topic. `is_news`: whether people are told of it by an event as well.
    fn set_topic_status(
        &mut self,
        key: &ObjectKey,
        status: KafkaTopicStatus,
        is_news: bool,
    ) -> Option<Arc<KafkaTopic>>;

    /// Whether the deletion of a topic's object cannot go unnoticed; sees to it where it can.
    fn holds_topic(&mut self, key: &ObjectKey) -> bool;

    /// Lets go of a topic's object that was deleted and is done with.
    fn release_topic(&mut self, key: &ObjectKey);

    /// Keeps the status of a user, as that of a topic.
    fn set_user_status(
        &mut self,
        key: &ObjectKey,
        status: KafkaUserStatus,
    ) -> Option<Arc<KafkaUser>>;

    /// Whether the deletion of a user's object cannot go unnoticed; sees to it where it can.
    fn holds_user(&mut self, key: &ObjectKey) -> bool;

    /// Lets go of a user's object that was deleted and is done with.
    fn release_user(&mut self, key: &ObjectKey);

    /// Keeps the status of a KafkaRebalance, as that of a topic.
    fn set_rebalance_status(
        &mut self,
        key: &ObjectKey,
        status: KafkaRebalanceStatus,
    ) -> Option<Arc<KafkaRebalance>>;

    /// Whether the deletion of a KafkaRebalance cannot go unnoticed; sees to it where it can.
    fn holds_rebalance(&mut self, key: &ObjectKey) -> bool;

    /// Lets go of a KafkaRebalance that was deleted and is done with.
    fn release_rebalance(&mut self, key: &ObjectKey);

    /// Whether the status of a KafkaRebalance that was said last is where the next operator finds
    /// it.
    fn has_written(&self, kind: Kind, key: &ObjectKey) -> bool;

    /// Takes note that the brokers of a cluster have stopped, as was wanted.
    fn release_cluster(&mut self, key: &ObjectKey);

    /// Tells people what was done for an object.
    fn record(&mut self, kind: Kind, key: &ObjectKey, done: String);

    /// Called when all that came together was carried out.
    fn flush(&mut self);
}
