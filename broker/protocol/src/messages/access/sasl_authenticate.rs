//! SaslAuthenticate: the request and its answer.

use bytes::Bytes;

use crate::codec::Kafka;

/// One message of the mechanism, from the client.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = SaslAuthenticate,
    versions = "0-2",
    flexible = "2+",
    response = SaslAuthenticateResponse
)]
pub struct SaslAuthenticateRequest {
    pub auth_bytes: Bytes,
}

/// One message of the mechanism, from the broker.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-2", flexible = "2+")]
pub struct SaslAuthenticateResponse {
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<String>,
    pub auth_bytes: Bytes,
    #[kafka(versions = "1+", ignorable)]
    pub session_lifetime_ms: i64,
}
