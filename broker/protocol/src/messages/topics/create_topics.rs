//! CreateTopics: the request and its answer.

use crate::codec::Kafka;
use crate::ids::Uuid;

/// Creates topics.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = CreateTopics, versions = "2-7", flexible = "5+", response = CreateTopicsResponse)]
pub struct CreateTopicsRequest {
    pub topics: Vec<CreatableTopic>,
    #[kafka(default = 60000)]
    pub timeout_ms: i32,
    pub validate_only: bool,
}

/// One entry of [`CreateTopicsRequest::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct CreatableTopic {
    pub name: String,
    pub num_partitions: i32,
    pub replication_factor: i16,
    pub assignments: Vec<CreatableReplicaAssignment>,
    pub configs: Vec<CreatableTopicConfig>,
}

/// One entry of [`CreatableTopic::assignments`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct CreatableReplicaAssignment {
    pub partition_index: i32,
    pub broker_ids: Vec<i32>,
}

/// One entry of [`CreatableTopic::configs`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct CreatableTopicConfig {
    pub name: String,
    #[kafka(nullable = "0+")]
    pub value: Option<String>,
}

/// What became of each topic.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "2-7", flexible = "5+")]
pub struct CreateTopicsResponse {
    pub throttle_time_ms: i32,
    pub topics: Vec<CreatableTopicResult>,
}

/// One entry of [`CreateTopicsResponse::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct CreatableTopicResult {
    pub name: String,
    #[kafka(versions = "7+", ignorable)]
    pub topic_id: Uuid,
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<String>,
    #[kafka(versions = "5+", tag = 0, ignorable)]
    pub topic_config_error_code: i16,
    #[kafka(versions = "5+", default = -1, ignorable)]
    pub num_partitions: i32,
    #[kafka(versions = "5+", default = -1, ignorable)]
    pub replication_factor: i16,
    #[kafka(versions = "5+", nullable = "5+", ignorable)]
    pub configs: Option<Vec<CreatableTopicConfigs>>,
}

/// One entry of [`CreatableTopicResult::configs`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct CreatableTopicConfigs {
    pub name: String,
    #[kafka(nullable = "5+")]
    pub value: Option<String>,
    pub read_only: bool,
    #[kafka(default = -1)]
    pub config_source: i8,
    pub is_sensitive: bool,
}
