//! RenewDelegationToken: the request and its answer.

use bytes::Bytes;

use crate::codec::Kafka;

/// Has a token live on.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = RenewDelegationToken,
    versions = "1-2",
    flexible = "2+",
    response = RenewDelegationTokenResponse
)]
pub struct RenewDelegationTokenRequest {
    pub hmac: Bytes,
    pub renew_period_ms: i64,
}

/// When it ends.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "1-2", flexible = "2+")]
pub struct RenewDelegationTokenResponse {
    pub error_code: i16,
    pub expiry_timestamp_ms: i64,
    pub throttle_time_ms: i32,
}
