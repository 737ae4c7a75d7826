//! Produce: the request and its answer.

use bytes::BytesMut;

use crate::codec::Kafka;
use crate::ids::Uuid;

/// Appends record batches to partitions.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = Produce, versions = "3-13", flexible = "9+", response = ProduceResponse)]
pub struct ProduceRequest {
    #[kafka(nullable = "3+", default = null)]
    pub transactional_id: Option<String>,
    pub acks: i16,
    pub timeout_ms: i32,
    pub topic_data: Vec<TopicProduceData>,
}

/// One entry of [`ProduceRequest::topic_data`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct TopicProduceData {
    #[kafka(versions = "0-12", ignorable)]
    pub name: String,
    #[kafka(versions = "13+", ignorable)]
    pub topic_id: Uuid,
    pub partition_data: Vec<PartitionProduceData>,
}

/// One entry of [`TopicProduceData::partition_data`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct PartitionProduceData {
    pub index: i32,
    #[kafka(nullable = "0+")]
    pub records: Option<BytesMut>,
}

/// Where they were appended.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "3-13", flexible = "9+")]
pub struct ProduceResponse {
    pub responses: Vec<TopicProduceResponse>,
    pub throttle_time_ms: i32,
    #[kafka(versions = "10+", tag = 0)]
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// One entry of [`ProduceResponse::responses`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct TopicProduceResponse {
    #[kafka(versions = "0-12", ignorable)]
    pub name: String,
    #[kafka(versions = "13+", ignorable)]
    pub topic_id: Uuid,
    pub partition_responses: Vec<PartitionProduceResponse>,
}

/// One entry of [`TopicProduceResponse::partition_responses`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct PartitionProduceResponse {
    pub index: i32,
    pub error_code: i16,
    pub base_offset: i64,
    #[kafka(default = -1)]
    pub log_append_time_ms: i64,
    #[kafka(versions = "5+", default = -1, ignorable)]
    pub log_start_offset: i64,
    #[kafka(versions = "8+", ignorable)]
    pub record_errors: Vec<BatchIndexAndErrorMessage>,
    #[kafka(versions = "8+", nullable = "8+", default = null, ignorable)]
    pub error_message: Option<String>,
    #[kafka(versions = "10+", tag = 0)]
    pub current_leader: LeaderIdAndEpoch,
}

/// One entry of [`PartitionProduceResponse::record_errors`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct BatchIndexAndErrorMessage {
    pub batch_index: i32,
    #[kafka(nullable = "8+", default = null)]
    pub batch_index_error_message: Option<String>,
}

/// The value of [`PartitionProduceResponse::current_leader`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct LeaderIdAndEpoch {
    #[kafka(default = -1)]
    pub leader_id: i32,
    #[kafka(default = -1)]
    pub leader_epoch: i32,
}

/// One entry of [`ProduceResponse::node_endpoints`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct NodeEndpoint {
    pub node_id: i32,
    pub host: String,
    pub port: i32,
    #[kafka(nullable = "10+", default = null)]
    pub rack: Option<String>,
}
