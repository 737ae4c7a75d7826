//! DescribeDelegationToken: the request and its answer.

use bytes::Bytes;

use crate::codec::Kafka;

/// Asks for the tokens of these owners, or of all.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = DescribeDelegationToken,
    versions = "1-3",
    flexible = "2+",
    response = DescribeDelegationTokenResponse
)]
pub struct DescribeDelegationTokenRequest {
    #[kafka(nullable = "1+")]
    pub owners: Option<Vec<DescribeDelegationTokenOwner>>,
}

/// One entry of [`DescribeDelegationTokenRequest::owners`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribeDelegationTokenOwner {
    pub principal_type: String,
    pub principal_name: String,
}

/// The tokens.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "1-3", flexible = "2+")]
pub struct DescribeDelegationTokenResponse {
    pub error_code: i16,
    pub tokens: Vec<DescribedDelegationToken>,
    pub throttle_time_ms: i32,
}

/// One entry of [`DescribeDelegationTokenResponse::tokens`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribedDelegationToken {
    pub principal_type: String,
    pub principal_name: String,
    #[kafka(versions = "3+")]
    pub token_requester_principal_type: String,
    #[kafka(versions = "3+")]
    pub token_requester_principal_name: String,
    pub issue_timestamp: i64,
    pub expiry_timestamp: i64,
    pub max_timestamp: i64,
    pub token_id: String,
    pub hmac: Bytes,
    pub renewers: Vec<DescribedDelegationTokenRenewer>,
}

/// One entry of [`DescribedDelegationToken::renewers`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribedDelegationTokenRenewer {
    pub principal_type: String,
    pub principal_name: String,
}
