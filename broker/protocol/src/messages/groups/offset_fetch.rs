//! OffsetFetch: the request and its answer.

use crate::codec::Kafka;
use crate::ids::Uuid;

/// Asks for committed offsets: of one group up to version 7, of several after.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = OffsetFetch, versions = "1-10", flexible = "6+", response = OffsetFetchResponse)]
pub struct OffsetFetchRequest {
    #[kafka(versions = "0-7")]
    pub group_id: String,
    #[kafka(versions = "0-7", nullable = "2-7")]
    pub topics: Option<Vec<OffsetFetchRequestTopic>>,
    #[kafka(versions = "8+")]
    pub groups: Vec<OffsetFetchRequestGroup>,
    #[kafka(versions = "7+")]
    pub require_stable: bool,
}

/// One entry of [`OffsetFetchRequest::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct OffsetFetchRequestTopic {
    pub name: String,
    pub partition_indexes: Vec<i32>,
}

/// One entry of [`OffsetFetchRequest::groups`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct OffsetFetchRequestGroup {
    pub group_id: String,
    #[kafka(versions = "9+", nullable = "9+", default = null, ignorable)]
    pub member_id: Option<String>,
    #[kafka(versions = "9+", default = -1, ignorable)]
    pub member_epoch: i32,
    #[kafka(nullable = "8+")]
    pub topics: Option<Vec<OffsetFetchRequestTopics>>,
}

/// One entry of [`OffsetFetchRequestGroup::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct OffsetFetchRequestTopics {
    #[kafka(versions = "8-9", ignorable)]
    pub name: String,
    #[kafka(versions = "10+", ignorable)]
    pub topic_id: Uuid,
    pub partition_indexes: Vec<i32>,
}

/// The committed offsets.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "1-10", flexible = "6+")]
pub struct OffsetFetchResponse {
    #[kafka(versions = "3+", ignorable)]
    pub throttle_time_ms: i32,
    #[kafka(versions = "0-7")]
    pub topics: Vec<OffsetFetchResponseTopic>,
    #[kafka(versions = "2-7", ignorable)]
    pub error_code: i16,
    #[kafka(versions = "8+")]
    pub groups: Vec<OffsetFetchResponseGroup>,
}

/// One entry of [`OffsetFetchResponse::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct OffsetFetchResponseTopic {
    pub name: String,
    pub partitions: Vec<OffsetFetchResponsePartition>,
}

/// One entry of [`OffsetFetchResponseTopic::partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct OffsetFetchResponsePartition {
    pub partition_index: i32,
    pub committed_offset: i64,
    #[kafka(versions = "5+", default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    #[kafka(nullable = "0-7")]
    pub metadata: Option<String>,
    pub error_code: i16,
}

/// One entry of [`OffsetFetchResponse::groups`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct OffsetFetchResponseGroup {
    pub group_id: String,
    pub topics: Vec<OffsetFetchResponseTopics>,
    pub error_code: i16,
}

/// One entry of [`OffsetFetchResponseGroup::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct OffsetFetchResponseTopics {
    #[kafka(versions = "8-9", ignorable)]
    pub name: String,
    #[kafka(versions = "10+", ignorable)]
    pub topic_id: Uuid,
    pub partitions: Vec<OffsetFetchResponsePartitions>,
}

/// One entry of [`OffsetFetchResponseTopics::partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct OffsetFetchResponsePartitions {
    pub partition_index: i32,
    pub committed_offset: i64,
    #[kafka(default = -1)]
    pub committed_leader_epoch: i32,
    #[kafka(nullable = "8+")]
    pub metadata: Option<String>,
    pub error_code: i16,
}
