//! UpdateFeatures: the request and its answer.

use crate::codec::Kafka;

/// Raises or lowers finalized features.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = UpdateFeatures, versions = "0-2", flexible = "0+", response = UpdateFeaturesResponse)]
pub struct UpdateFeaturesRequest {
    #[kafka(default = 60000)]
    pub timeout_ms: i32,
    pub feature_updates: Vec<FeatureUpdateKey>,
    #[kafka(versions = "1+")]
    pub validate_only: bool,
}

/// One entry of [`UpdateFeaturesRequest::feature_updates`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct FeatureUpdateKey {
    pub feature: String,
    pub max_version_level: i16,
    #[kafka(versions = "0")]
    pub allow_downgrade: bool,
    #[kafka(versions = "1+", default = 1)]
    pub upgrade_type: i8,
}

/// Whether they were changed.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-2", flexible = "0+")]
pub struct UpdateFeaturesResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<String>,
    #[kafka(versions = "0-1", ignorable)]
    pub results: Vec<UpdatableFeatureResult>,
}

/// One entry of [`UpdateFeaturesResponse::results`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct UpdatableFeatureResult {
    pub feature: String,
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<String>,
}
