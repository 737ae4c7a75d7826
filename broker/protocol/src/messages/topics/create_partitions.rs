//! CreatePartitions: the request and its answer.

use crate::codec::Kafka;

/// Adds partitions to topics.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = CreatePartitions,
    versions = "0-3",
    flexible = "2+",
    response = CreatePartitionsResponse
)]
pub struct CreatePartitionsRequest {
    pub topics: Vec<CreatePartitionsTopic>,
    pub timeout_ms: i32,
    pub validate_only: bool,
}

/// One entry of [`CreatePartitionsRequest::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct CreatePartitionsTopic {
    pub name: String,
    pub count: i32,
    #[kafka(nullable = "0+")]
    pub assignments: Option<Vec<CreatePartitionsAssignment>>,
}

/// One entry of [`CreatePartitionsTopic::assignments`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct CreatePartitionsAssignment {
    pub broker_ids: Vec<i32>,
}

/// What became of each topic.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-3", flexible = "2+")]
pub struct CreatePartitionsResponse {
    pub throttle_time_ms: i32,
    pub results: Vec<CreatePartitionsTopicResult>,
}

/// One entry of [`CreatePartitionsResponse::results`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct CreatePartitionsTopicResult {
    pub name: String,
    pub error_code: i16,
    #[kafka(nullable = "0+", default = null)]
    pub error_message: Option<String>,
}
