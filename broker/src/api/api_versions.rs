//! ApiVersions: what this broker serves, and the features of the cluster.

use std::time::Duration;

use ottla_core::metadata::features::{FEATURES, Feature};
use ottla_protocol::codec::Reader;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::frame::{self, RequestHeader};
use ottla_protocol::messages::api_versions::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};

use super::throttle::millis;
use super::{Call, Context, Error, controllers, row, table};

/// The first version that may tell of features whose lowest level is 0.
const LEVEL_0_VERSION: i16 = 4;

/// Answers at once, and tells for how long the client is to wait. A version that is not known is
/// answered in the form of version 0, which every client reads, with the ranges from which it can
/// choose.
pub fn call(
    context: &Context,
    header: &RequestHeader,
    reader: Reader,
    asks_controller: bool,
    throttle: Duration,
) -> Result<Call, Error> {
    let known = row::<ApiVersionsRequest>();
    let version = header.api_version;
    let (version, error) = if (known.version_min..=known.version_max).contains(&version) {
        let request: ApiVersionsRequest = super::decode(header, reader)?;
        let valid = version < 3
            || (is_name(&request.client_software_name)
                && is_name(&request.client_software_version));
        (
            version,
            if valid {
                ErrorCode::None
            } else {
                ErrorCode::InvalidRequest
            },
        )
    } else {
        (0, ErrorCode::UnsupportedVersion)
    };
    let mut response = match error {
        ErrorCode::InvalidRequest => refusal(error),
        _ => response(context, version, error, asks_controller),
    };
    response.throttle_time_ms = millis(throttle);
    let segments = frame::response(header, version, &response);
    let api = header.api_key;
    segments.map(Call::Done).map_err(|error| Error::Encode {
        api,
        version,
        error,
    })
}

fn refusal(error: ErrorCode) -> ApiVersionsResponse {
    ApiVersionsResponse {
        error_code: error.code(),
        ..Default::default()
    }
}

fn response(
    context: &Context,
    version: i16,
    error: ErrorCode,
    asks_controller: bool,
) -> ApiVersionsResponse {
    let image = context.controller.image();
    let finalized = image
        .features
        .iter()
        .map(|(name, level)| FinalizedFeatureKey {
            name: name.clone(),
            max_version_level: *level,
            min_version_level: *level,
        });
    let served = table().filter(|api| !asks_controller || controllers::serve(api.key));
    let api_keys = served.map(|api| ApiVersion {
        api_key: api.key.key(),
        min_version: api.version_min,
        max_version: api.version_max,
    });
    // older clients cannot read of a feature that may be at level 0 (KAFKA-17492)
    let is_read = |feature: &&Feature| feature.min > 0 || version >= LEVEL_0_VERSION;
    let supported = FEATURES.iter().filter(is_read);
    let supported = supported.map(|feature| SupportedFeatureKey {
        name: feature.name.to_owned(),
        min_version: feature.min,
        max_version: feature.max,
    });
    ApiVersionsResponse {
        error_code: error.code(),
        api_keys: api_keys.collect(),
        supported_features: supported.collect(),
        finalized_features_epoch: i64::try_from(context.controller.applied()).unwrap_or(0),
        finalized_features: finalized.collect(),
        zk_migration_ready: false,
        ..ApiVersionsResponse::default()
    }
}

/// Kafka's rule for the name and the version of a client's software.
fn is_name(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    let inner = |c: char| edge(c) || c == '.' || c == '-';
    text.starts_with(edge) && text.ends_with(edge) && text.chars().all(inner)
}
