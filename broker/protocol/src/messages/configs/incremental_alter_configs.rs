//! IncrementalAlterConfigs: the request and its answer.

use crate::codec::Kafka;

/// Sets, deletes, appends to or subtracts from single configs (KIP-339).
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = IncrementalAlterConfigs,
    versions = "0-1",
    flexible = "1+",
    response = IncrementalAlterConfigsResponse
)]
pub struct IncrementalAlterConfigsRequest {
    pub resources: Vec<IncrementalAlterConfigsResource>,
    pub validate_only: bool,
}

/// One entry of [`IncrementalAlterConfigsRequest::resources`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct IncrementalAlterConfigsResource {
    pub resource_type: i8,
    pub resource_name: String,
    pub configs: Vec<IncrementalAlterableConfig>,
}

/// One entry of [`IncrementalAlterConfigsResource::configs`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct IncrementalAlterableConfig {
    pub name: String,
    pub config_operation: i8,
    #[kafka(nullable = "0+")]
    pub value: Option<String>,
}

/// What became of each resource.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-1", flexible = "1+")]
pub struct IncrementalAlterConfigsResponse {
    pub throttle_time_ms: i32,
    pub responses: Vec<IncrementalAlterConfigsResourceResponse>,
}

/// One entry of [`IncrementalAlterConfigsResponse::responses`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct IncrementalAlterConfigsResourceResponse {
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<String>,
    pub resource_type: i8,
    pub resource_name: String,
}
