//! CreateDelegationToken: the request and its answer.

use bytes::Bytes;

use crate::codec::Kafka;

/// Makes a token by which its owner logs in (KIP-48).
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = CreateDelegationToken,
    versions = "1-3",
    flexible = "2+",
    response = CreateDelegationTokenResponse
)]
pub struct CreateDelegationTokenRequest {
    #[kafka(versions = "3+", nullable = "3+")]
    pub owner_principal_type: Option<String>,
    #[kafka(versions = "3+", nullable = "3+")]
    pub owner_principal_name: Option<String>,
    pub renewers: Vec<CreatableRenewers>,
    pub max_lifetime_ms: i64,
}

/// One entry of [`CreateDelegationTokenRequest::renewers`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct CreatableRenewers {
    pub principal_type: String,
    pub principal_name: String,
}

/// The token.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "1-3", flexible = "2+")]
pub struct CreateDelegationTokenResponse {
    pub error_code: i16,
    pub principal_type: String,
    pub principal_name: String,
    #[kafka(versions = "3+")]
    pub token_requester_principal_type: String,
    #[kafka(versions = "3+")]
    pub token_requester_principal_name: String,
    pub issue_timestamp_ms: i64,
    pub expiry_timestamp_ms: i64,
    pub max_timestamp_ms: i64,
    pub token_id: String,
    pub hmac: Bytes,
    pub throttle_time_ms: i32,
}
