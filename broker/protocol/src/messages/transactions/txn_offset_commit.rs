//! TxnOffsetCommit: the request and its answer.

use crate::codec::Kafka;

/// Commits offsets as part of a transaction.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = TxnOffsetCommit,
    versions = "0-5",
    flexible = "3+",
    response = TxnOffsetCommitResponse
)]
pub struct TxnOffsetCommitRequest {
    pub transactional_id: String,
    pub group_id: String,
    pub producer_id: i64,
    pub producer_epoch: i16,
    #[kafka(versions = "3+", default = -1)]
    pub generation_id: i32,
    #[kafka(versions = "3+")]
    pub member_id: String,
    #[kafka(versions = "3+", nullable = "3+", default = null)]
    pub group_instance_id: Option<String>,
    pub topics: Vec<TxnOffsetCommitRequestTopic>,
}

/// One entry of [`TxnOffsetCommitRequest::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct TxnOffsetCommitRequestTopic {
    pub name: String,
    pub partitions: Vec<TxnOffsetCommitRequestPartition>,
}

/// One entry of [`TxnOffsetCommitRequestTopic::partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct TxnOffsetCommitRequestPartition {
    pub partition_index: i32,
    pub committed_offset: i64,
    #[kafka(versions = "2+", default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    #[kafka(nullable = "0+")]
    pub committed_metadata: Option<String>,
}

/// What became of each partition.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-5", flexible = "3+")]
pub struct TxnOffsetCommitResponse {
    pub throttle_time_ms: i32,
    pub topics: Vec<TxnOffsetCommitResponseTopic>,
}

/// One entry of [`TxnOffsetCommitResponse::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct TxnOffsetCommitResponseTopic {
    pub name: String,
    pub partitions: Vec<TxnOffsetCommitResponsePartition>,
}

/// One entry of [`TxnOffsetCommitResponseTopic::partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct TxnOffsetCommitResponsePartition {
    pub partition_index: i32,
    pub error_code: i16,
}
