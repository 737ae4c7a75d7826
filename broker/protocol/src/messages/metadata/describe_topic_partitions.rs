//! DescribeTopicPartitions: the request and its answer.

use crate::codec::Kafka;
use crate::ids::Uuid;

/// Asks for topics page by page (KIP-966).
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = DescribeTopicPartitions,
    versions = "0",
    flexible = "0+",
    response = DescribeTopicPartitionsResponse
)]
pub struct DescribeTopicPartitionsRequest {
    pub topics: Vec<TopicRequest>,
    #[kafka(default = 2000)]
    pub response_partition_limit: i32,
    #[kafka(nullable = "0+", default = null)]
    pub cursor: Option<Cursor>,
}

/// One entry of [`DescribeTopicPartitionsRequest::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct TopicRequest {
    pub name: String,
}

/// The value of [`DescribeTopicPartitionsRequest::cursor`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct Cursor {
    pub topic_name: String,
    pub partition_index: i32,
}

/// One page of topics.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct DescribeTopicPartitionsResponse {
    pub throttle_time_ms: i32,
    pub topics: Vec<DescribeTopicPartitionsResponseTopic>,
    #[kafka(nullable = "0+", default = null)]
    pub next_cursor: Option<NextCursor>,
}

/// One entry of [`DescribeTopicPartitionsResponse::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribeTopicPartitionsResponseTopic {
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub name: Option<String>,
    pub topic_id: Uuid,
    pub is_internal: bool,
    pub partitions: Vec<DescribeTopicPartitionsResponsePartition>,
    #[kafka(default = i32::MIN)]
    pub topic_authorized_operations: i32,
}

/// One entry of [`DescribeTopicPartitionsResponseTopic::partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribeTopicPartitionsResponsePartition {
    pub error_code: i16,
    pub partition_index: i32,
    pub leader_id: i32,
    #[kafka(default = -1)]
    pub leader_epoch: i32,
    pub replica_nodes: Vec<i32>,
    pub isr_nodes: Vec<i32>,
    #[kafka(nullable = "0+", default = null)]
    pub eligible_leader_replicas: Option<Vec<i32>>,
    #[kafka(nullable = "0+", default = null)]
    pub last_known_elr: Option<Vec<i32>>,
    pub offline_replicas: Vec<i32>,
}

/// The value of [`DescribeTopicPartitionsResponse::next_cursor`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct NextCursor {
    pub topic_name: String,
    pub partition_index: i32,
}
