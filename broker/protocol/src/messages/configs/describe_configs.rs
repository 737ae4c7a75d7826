//! DescribeConfigs: the request and its answer.

use crate::codec::Kafka;

/// Asks for the configs of resources.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = DescribeConfigs,
    versions = "1-4",
    flexible = "4+",
    response = DescribeConfigsResponse
)]
pub struct DescribeConfigsRequest {
    pub resources: Vec<DescribeConfigsResource>,
    pub include_synonyms: bool,
    #[kafka(versions = "3+")]
    pub include_documentation: bool,
}

/// One entry of [`DescribeConfigsRequest::resources`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribeConfigsResource {
    pub resource_type: i8,
    pub resource_name: String,
    #[kafka(nullable = "0+")]
    pub configuration_keys: Option<Vec<String>>,
}

/// Configs with their sources, synonyms and types.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "1-4", flexible = "4+")]
pub struct DescribeConfigsResponse {
    pub throttle_time_ms: i32,
    pub results: Vec<DescribeConfigsResult>,
}

/// One entry of [`DescribeConfigsResponse::results`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribeConfigsResult {
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<String>,
    pub resource_type: i8,
    pub resource_name: String,
    pub configs: Vec<DescribeConfigsResourceResult>,
}

/// One entry of [`DescribeConfigsResult::configs`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribeConfigsResourceResult {
    pub name: String,
    #[kafka(nullable = "0+")]
    pub value: Option<String>,
    pub read_only: bool,
    #[kafka(default = -1)]
    pub config_source: i8,
    pub is_sensitive: bool,
    pub synonyms: Vec<DescribeConfigsSynonym>,
    #[kafka(versions = "3+", ignorable)]
    pub config_type: i8,
    #[kafka(versions = "3+", nullable = "0+", ignorable)]
    pub documentation: Option<String>,
}

/// One entry of [`DescribeConfigsResourceResult::synonyms`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribeConfigsSynonym {
    pub name: String,
    #[kafka(nullable = "0+")]
    pub value: Option<String>,
    pub source: i8,
}
