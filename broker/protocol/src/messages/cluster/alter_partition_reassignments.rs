//! AlterPartitionReassignments: the request and its answer.

use crate::codec::Kafka;

/// Sets or cancels the replicas that partitions shall have (KIP-455).
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = AlterPartitionReassignments,
    versions = "0-1",
    flexible = "0+",
    response = AlterPartitionReassignmentsResponse
)]
pub struct AlterPartitionReassignmentsRequest {
    #[kafka(default = 60000)]
    pub timeout_ms: i32,
    #[kafka(versions = "1+", default = true)]
    pub allow_replication_factor_change: bool,
    pub topics: Vec<ReassignableTopic>,
}

/// One entry of [`AlterPartitionReassignmentsRequest::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct ReassignableTopic {
    pub name: String,
    pub partitions: Vec<ReassignablePartition>,
}

/// One entry of [`ReassignableTopic::partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct ReassignablePartition {
    pub partition_index: i32,
    #[kafka(nullable = "0+", default = null)]
    pub replicas: Option<Vec<i32>>,
}

/// Whether each was taken up.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-1", flexible = "0+")]
pub struct AlterPartitionReassignmentsResponse {
    pub throttle_time_ms: i32,
    #[kafka(versions = "1+", default = true, ignorable)]
    pub allow_replication_factor_change: bool,
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<String>,
    pub responses: Vec<ReassignableTopicResponse>,
}

/// One entry of [`AlterPartitionReassignmentsResponse::responses`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct ReassignableTopicResponse {
    pub name: String,
    pub partitions: Vec<ReassignablePartitionResponse>,
}

/// One entry of [`ReassignableTopicResponse::partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct ReassignablePartitionResponse {
    pub partition_index: i32,
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<String>,
}
