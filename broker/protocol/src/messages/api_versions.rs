//! ApiVersions: the request and its answer.

use crate::codec::Kafka;

/// A client's hello.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = ApiVersions, versions = "0-4", flexible = "3+", response = ApiVersionsResponse)]
pub struct ApiVersionsRequest {
    #[kafka(versions = "3+", ignorable)]
    pub client_software_name: String,
    #[kafka(versions = "3+", ignorable)]
    pub client_software_version: String,
}

/// The APIs, versions and features that this broker serves.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-4", flexible = "3+")]
pub struct ApiVersionsResponse {
    pub error_code: i16,
    pub api_keys: Vec<ApiVersion>,
    #[kafka(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    #[kafka(versions = "3+", tag = 0, ignorable)]
    pub supported_features: Vec<SupportedFeatureKey>,
    #[kafka(versions = "3+", default = -1, tag = 1, ignorable)]
    pub finalized_features_epoch: i64,
    #[kafka(versions = "3+", tag = 2, ignorable)]
    pub finalized_features: Vec<FinalizedFeatureKey>,
    #[kafka(versions = "3+", tag = 3, ignorable)]
    pub zk_migration_ready: bool,
}

/// One entry of [`ApiVersionsResponse::api_keys`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct ApiVersion {
    pub api_key: i16,
    pub min_version: i16,
    pub max_version: i16,
}

/// One entry of [`ApiVersionsResponse::supported_features`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct SupportedFeatureKey {
    pub name: String,
    pub min_version: i16,
    pub max_version: i16,
}

/// One entry of [`ApiVersionsResponse::finalized_features`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct FinalizedFeatureKey {
    pub name: String,
    pub max_version_level: i16,
    pub min_version_level: i16,
}
