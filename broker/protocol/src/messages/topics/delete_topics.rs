//! DeleteTopics: the request and its answer.

use crate::codec::Kafka;
use crate::ids::Uuid;

/// Deletes topics, by name or by id.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = DeleteTopics, versions = "1-6", flexible = "4+", response = DeleteTopicsResponse)]
pub struct DeleteTopicsRequest {
    #[kafka(versions = "6+")]
    pub topics: Vec<DeleteTopicState>,
    #[kafka(versions = "0-5", ignorable)]
    pub topic_names: Vec<String>,
    pub timeout_ms: i32,
}

/// One entry of [`DeleteTopicsRequest::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DeleteTopicState {
    #[kafka(nullable = "6+", default = null)]
    pub name: Option<String>,
    pub topic_id: Uuid,
}

/// What became of each topic.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "1-6", flexible = "4+")]
pub struct DeleteTopicsResponse {
    pub throttle_time_ms: i32,
    pub responses: Vec<DeletableTopicResult>,
}

/// One entry of [`DeleteTopicsResponse::responses`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DeletableTopicResult {
    #[kafka(nullable = "6+")]
    pub name: Option<String>,
    #[kafka(versions = "6+", ignorable)]
    pub topic_id: Uuid,
    pub error_code: i16,
    #[kafka(versions = "5+", nullable = "5+", default = null, ignorable)]
    pub error_message: Option<String>,
}
