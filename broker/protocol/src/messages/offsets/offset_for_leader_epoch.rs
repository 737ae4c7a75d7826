//! OffsetForLeaderEpoch: the request and its answer.

use crate::codec::Kafka;

/// Asks where a leader epoch ended, so as to find where two logs part (KIP-101, KIP-320).
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = OffsetForLeaderEpoch,
    versions = "2-4",
    flexible = "4+",
    response = OffsetForLeaderEpochResponse
)]
pub struct OffsetForLeaderEpochRequest {
    #[kafka(versions = "3+", default = -2, ignorable)]
    pub replica_id: i32,
    pub topics: Vec<OffsetForLeaderTopic>,
}

/// One entry of [`OffsetForLeaderEpochRequest::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct OffsetForLeaderTopic {
    pub topic: String,
    pub partitions: Vec<OffsetForLeaderPartition>,
}

/// One entry of [`OffsetForLeaderTopic::partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct OffsetForLeaderPartition {
    pub partition: i32,
    #[kafka(default = -1)]
    pub current_leader_epoch: i32,
    pub leader_epoch: i32,
}

/// The end offset of each epoch asked for.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "2-4", flexible = "4+")]
pub struct OffsetForLeaderEpochResponse {
    pub throttle_time_ms: i32,
    pub topics: Vec<OffsetForLeaderTopicResult>,
}

/// One entry of [`OffsetForLeaderEpochResponse::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct OffsetForLeaderTopicResult {
    pub topic: String,
    pub partitions: Vec<EpochEndOffset>,
}

/// One entry of [`OffsetForLeaderTopicResult::partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct EpochEndOffset {
    pub error_code: i16,
    pub partition: i32,
    #[kafka(default = -1)]
    pub leader_epoch: i32,
    #[kafka(default = -1)]
    pub end_offset: i64,
}
