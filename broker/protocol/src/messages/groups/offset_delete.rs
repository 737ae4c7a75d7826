//! OffsetDelete: the request and its answer.

use crate::codec::Kafka;

/// Deletes committed offsets of a group.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = OffsetDelete, versions = "0", response = OffsetDeleteResponse)]
pub struct OffsetDeleteRequest {
    pub group_id: String,
    pub topics: Vec<OffsetDeleteRequestTopic>,
}

/// One entry of [`OffsetDeleteRequest::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct OffsetDeleteRequestTopic {
    pub name: String,
    pub partitions: Vec<OffsetDeleteRequestPartition>,
}

/// One entry of [`OffsetDeleteRequestTopic::partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct OffsetDeleteRequestPartition {
    pub partition_index: i32,
}

/// What became of each partition.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0")]
pub struct OffsetDeleteResponse {
    pub error_code: i16,
    pub throttle_time_ms: i32,
    pub topics: Vec<OffsetDeleteResponseTopic>,
}

/// One entry of [`OffsetDeleteResponse::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct OffsetDeleteResponseTopic {
    pub name: String,
    pub partitions: Vec<OffsetDeleteResponsePartition>,
}

/// One entry of [`OffsetDeleteResponseTopic::partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct OffsetDeleteResponsePartition {
    pub partition_index: i32,
    pub error_code: i16,
}
