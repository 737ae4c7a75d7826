//! DescribeProducers: the request and its answer.

use crate::codec::Kafka;

/// Asks for the producers that a leader remembers.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = DescribeProducers,
    versions = "0",
    flexible = "0+",
    response = DescribeProducersResponse
)]
pub struct DescribeProducersRequest {
    pub topics: Vec<TopicRequest>,
}

/// One entry of [`DescribeProducersRequest::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct TopicRequest {
    pub name: String,
    pub partition_indexes: Vec<i32>,
}

/// The producers of each partition.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct DescribeProducersResponse {
    pub throttle_time_ms: i32,
    pub topics: Vec<TopicResponse>,
}

/// One entry of [`DescribeProducersResponse::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct TopicResponse {
    pub name: String,
    pub partitions: Vec<PartitionResponse>,
}

/// One entry of [`TopicResponse::partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct PartitionResponse {
    pub partition_index: i32,
    pub error_code: i16,
    #[kafka(nullable = "0+", default = null)]
    pub error_message: Option<String>,
    pub active_producers: Vec<ProducerState>,
}

/// One entry of [`PartitionResponse::active_producers`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct ProducerState {
    pub producer_id: i64,
    pub producer_epoch: i32,
    #[kafka(default = -1)]
    pub last_sequence: i32,
    #[kafka(default = -1)]
    pub last_timestamp: i64,
    pub coordinator_epoch: i32,
    #[kafka(default = -1)]
    pub current_txn_start_offset: i64,
}
