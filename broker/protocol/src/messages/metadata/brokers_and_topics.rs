//! Metadata: the request and its answer.

use crate::codec::Kafka;
use crate::ids::Uuid;

/// Asks for brokers, topics and their leaders; may create topics.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = Metadata, versions = "0-13", flexible = "9+", response = MetadataResponse)]
pub struct MetadataRequest {
    #[kafka(nullable = "1+")]
    pub topics: Option<Vec<MetadataRequestTopic>>,
    #[kafka(versions = "4+", default = true)]
    pub allow_auto_topic_creation: bool,
    #[kafka(versions = "8-10")]
    pub include_cluster_authorized_operations: bool,
    #[kafka(versions = "8+")]
    pub include_topic_authorized_operations: bool,
}

/// One entry of [`MetadataRequest::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct MetadataRequestTopic {
    #[kafka(versions = "10+", ignorable)]
    pub topic_id: Uuid,
    #[kafka(nullable = "10+")]
    pub name: Option<String>,
}

/// Brokers, topics and their leaders.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-13", flexible = "9+")]
pub struct MetadataResponse {
    #[kafka(versions = "3+", ignorable)]
    pub throttle_time_ms: i32,
    pub brokers: Vec<MetadataResponseBroker>,
    #[kafka(versions = "2+", nullable = "2+", default = null, ignorable)]
    pub cluster_id: Option<String>,
    #[kafka(versions = "1+", default = -1, ignorable)]
    pub controller_id: i32,
    pub topics: Vec<MetadataResponseTopic>,
    #[kafka(versions = "8-10", default = i32::MIN)]
    pub cluster_authorized_operations: i32,
    #[kafka(versions = "13+", ignorable)]
    pub error_code: i16,
}

/// One entry of [`MetadataResponse::brokers`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct MetadataResponseBroker {
    pub node_id: i32,
    pub host: String,
    pub port: i32,
    #[kafka(versions = "1+", nullable = "1+", default = null, ignorable)]
    pub rack: Option<String>,
}

/// One entry of [`MetadataResponse::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct MetadataResponseTopic {
    pub error_code: i16,
    #[kafka(nullable = "12+")]
    pub name: Option<String>,
    #[kafka(versions = "10+", ignorable)]
    pub topic_id: Uuid,
    #[kafka(versions = "1+", ignorable)]
    pub is_internal: bool,
    pub partitions: Vec<MetadataResponsePartition>,
    #[kafka(versions = "8+", default = i32::MIN)]
    pub topic_authorized_operations: i32,
}

/// One entry of [`MetadataResponseTopic::partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct MetadataResponsePartition {
    pub error_code: i16,
    pub partition_index: i32,
    pub leader_id: i32,
    #[kafka(versions = "7+", default = -1, ignorable)]
    pub leader_epoch: i32,
    pub replica_nodes: Vec<i32>,
    pub isr_nodes: Vec<i32>,
    #[kafka(versions = "5+", ignorable)]
    pub offline_replicas: Vec<i32>,
}
