//! AlterConfigs: the request and its answer.

use crate::codec::Kafka;

/// Replaces all configs of resources.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = AlterConfigs, versions = "0-2", flexible = "2+", response = AlterConfigsResponse)]
pub struct AlterConfigsRequest {
    pub resources: Vec<AlterConfigsResource>,
    pub validate_only: bool,
}

/// One entry of [`AlterConfigsRequest::resources`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct AlterConfigsResource {
    pub resource_type: i8,
    pub resource_name: String,
    pub configs: Vec<AlterableConfig>,
}

/// One entry of [`AlterConfigsResource::configs`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct AlterableConfig {
    pub name: String,
    #[kafka(nullable = "0+")]
    pub value: Option<String>,
}

/// What became of each resource.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-2", flexible = "2+")]
pub struct AlterConfigsResponse {
    pub throttle_time_ms: i32,
    pub responses: Vec<AlterConfigsResourceResponse>,
}

/// One entry of [`AlterConfigsResponse::responses`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct AlterConfigsResourceResponse {
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<String>,
    pub resource_type: i8,
    pub resource_name: String,
}
