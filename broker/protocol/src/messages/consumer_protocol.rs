//! The bytes that consumers of a classic group pass to each other through the broker.

use bytes::Bytes;

use crate::codec::Kafka;

/// What a consumer tells its group in JoinGroup; the version, an `i16`, stands before it.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-3")]
pub struct ConsumerProtocolSubscription {
    pub topics: Vec<String>,
    #[kafka(nullable = "0+", default = null)]
    pub user_data: Option<Bytes>,
    #[kafka(versions = "1+", ignorable)]
    pub owned_partitions: Vec<OwnedPartitions>,
    #[kafka(versions = "2+", default = -1, ignorable)]
    pub generation_id: i32,
    #[kafka(versions = "3+", nullable = "3+", default = null, ignorable)]
    pub rack_id: Option<String>,
}

/// One entry of [`ConsumerProtocolSubscription::owned_partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct OwnedPartitions {
    pub topic: String,
    pub partitions: Vec<i32>,
}

/// What a consumer is told in SyncGroup; the version, an `i16`, stands before it.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-3")]
pub struct ConsumerProtocolAssignment {
    pub assigned_partitions: Vec<AssignedPartitions>,
    #[kafka(nullable = "0+", default = null)]
    pub user_data: Option<Bytes>,
}

/// One entry of [`ConsumerProtocolAssignment::assigned_partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct AssignedPartitions {
    pub topic: String,
    pub partitions: Vec<i32>,
}
