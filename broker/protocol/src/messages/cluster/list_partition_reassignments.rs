//! ListPartitionReassignments: the request and its answer.

use crate::codec::Kafka;

/// Asks for reassignments under way.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = ListPartitionReassignments,
    versions = "0",
    flexible = "0+",
    response = ListPartitionReassignmentsResponse
)]
pub struct ListPartitionReassignmentsRequest {
    #[kafka(default = 60000)]
    pub timeout_ms: i32,
    #[kafka(nullable = "0+", default = null)]
    pub topics: Option<Vec<ListPartitionReassignmentsTopics>>,
}

/// One entry of [`ListPartitionReassignmentsRequest::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct ListPartitionReassignmentsTopics {
    pub name: String,
    pub partition_indexes: Vec<i32>,
}

/// The reassignments under way.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct ListPartitionReassignmentsResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<String>,
    pub topics: Vec<OngoingTopicReassignment>,
}

/// One entry of [`ListPartitionReassignmentsResponse::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct OngoingTopicReassignment {
    pub name: String,
    pub partitions: Vec<OngoingPartitionReassignment>,
}

/// One entry of [`OngoingTopicReassignment::partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct OngoingPartitionReassignment {
    pub partition_index: i32,
    pub replicas: Vec<i32>,
    pub adding_replicas: Vec<i32>,
    pub removing_replicas: Vec<i32>,
}
