//! ListOffsets: the request and its answer.

use crate::codec::Kafka;

/// Asks for the first offset at or after a timestamp, or for a special one.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = ListOffsets, versions = "1-11", flexible = "6+", response = ListOffsetsResponse)]
pub struct ListOffsetsRequest {
    pub replica_id: i32,
    #[kafka(versions = "2+")]
    pub isolation_level: i8,
    pub topics: Vec<ListOffsetsTopic>,
    #[kafka(versions = "10+", ignorable)]
    pub timeout_ms: i32,
}

/// One entry of [`ListOffsetsRequest::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct ListOffsetsTopic {
    pub name: String,
    pub partitions: Vec<ListOffsetsPartition>,
}

/// One entry of [`ListOffsetsTopic::partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct ListOffsetsPartition {
    pub partition_index: i32,
    #[kafka(versions = "4+", default = -1, ignorable)]
    pub current_leader_epoch: i32,
    pub timestamp: i64,
}

/// The offsets found.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "1-11", flexible = "6+")]
pub struct ListOffsetsResponse {
    #[kafka(versions = "2+", ignorable)]
    pub throttle_time_ms: i32,
    pub topics: Vec<ListOffsetsTopicResponse>,
}

/// One entry of [`ListOffsetsResponse::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct ListOffsetsTopicResponse {
    pub name: String,
    pub partitions: Vec<ListOffsetsPartitionResponse>,
}

/// One entry of [`ListOffsetsTopicResponse::partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct ListOffsetsPartitionResponse {
    pub partition_index: i32,
    pub error_code: i16,
    #[kafka(default = -1)]
    pub timestamp: i64,
    #[kafka(default = -1)]
    pub offset: i64,
    #[kafka(versions = "4+", default = -1)]
    pub leader_epoch: i32,
}
