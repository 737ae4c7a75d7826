//! ListConfigResources: the request and its answer.

use crate::codec::Kafka;

/// Asks which resources of some types have configs.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = ListConfigResources,
    versions = "0-1",
    flexible = "0+",
    response = ListConfigResourcesResponse
)]
pub struct ListConfigResourcesRequest {
    #[kafka(versions = "1+")]
    pub resource_types: Vec<i8>,
}

/// The resources.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-1", flexible = "0+")]
pub struct ListConfigResourcesResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    pub config_resources: Vec<ConfigResource>,
}

/// One entry of [`ListConfigResourcesResponse::config_resources`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct ConfigResource {
    pub resource_name: String,
    #[kafka(versions = "1+", default = 16, ignorable)]
    pub resource_type: i8,
}
