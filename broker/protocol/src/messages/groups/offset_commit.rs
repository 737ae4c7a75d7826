//! OffsetCommit: the request and its answer.

use crate::codec::Kafka;
use crate::ids::Uuid;

/// Commits offsets for a group.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = OffsetCommit, versions = "2-10", flexible = "8+", response = OffsetCommitResponse)]
pub struct OffsetCommitRequest {
    pub group_id: String,
    #[kafka(default = -1)]
    pub generation_id_or_member_epoch: i32,
    pub member_id: String,
    #[kafka(versions = "7+", nullable = "7+", default = null)]
    pub group_instance_id: Option<String>,
    #[kafka(versions = "2-4", default = -1, ignorable)]
    pub retention_time_ms: i64,
    pub topics: Vec<OffsetCommitRequestTopic>,
}

/// One entry of [`OffsetCommitRequest::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct OffsetCommitRequestTopic {
    #[kafka(versions = "0-9", ignorable)]
    pub name: String,
    #[kafka(versions = "10+", ignorable)]
    pub topic_id: Uuid,
    pub partitions: Vec<OffsetCommitRequestPartition>,
}

/// One entry of [`OffsetCommitRequestTopic::partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct OffsetCommitRequestPartition {
    pub partition_index: i32,
    pub committed_offset: i64,
    #[kafka(versions = "6+", default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    #[kafka(nullable = "0+")]
    pub committed_metadata: Option<String>,
}

/// What became of each partition.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "2-10", flexible = "8+")]
pub struct OffsetCommitResponse {
    #[kafka(versions = "3+", ignorable)]
    pub throttle_time_ms: i32,
    pub topics: Vec<OffsetCommitResponseTopic>,
}

/// One entry of [`OffsetCommitResponse::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct OffsetCommitResponseTopic {
    #[kafka(versions = "0-9", ignorable)]
    pub name: String,
    #[kafka(versions = "10+", ignorable)]
    pub topic_id: Uuid,
    pub partitions: Vec<OffsetCommitResponsePartition>,
}

/// One entry of [`OffsetCommitResponseTopic::partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct OffsetCommitResponsePartition {
    pub partition_index: i32,
    pub error_code: i16,
}
