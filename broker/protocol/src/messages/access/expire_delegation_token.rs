//! ExpireDelegationToken: the request and its answer.

use bytes::Bytes;

use crate::codec::Kafka;

/// Ends a token, at once or later.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = ExpireDelegationToken,
    versions = "1-2",
    flexible = "2+",
    response = ExpireDelegationTokenResponse
)]
pub struct ExpireDelegationTokenRequest {
    pub hmac: Bytes,
    pub expiry_time_period_ms: i64,
}

/// When it ends.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "1-2", flexible = "2+")]
pub struct ExpireDelegationTokenResponse {
    pub error_code: i16,
    pub expiry_timestamp_ms: i64,
    pub throttle_time_ms: i32,
}
