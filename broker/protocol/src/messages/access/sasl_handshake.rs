//! SaslHandshake: the request and its answer.

use crate::codec::Kafka;

/// Names the mechanism a client will authenticate with.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = SaslHandshake, versions = "0-1", response = SaslHandshakeResponse)]
pub struct SaslHandshakeRequest {
    pub mechanism: String,
}

/// Whether the mechanism is enabled, and which are.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-1")]
pub struct SaslHandshakeResponse {
    pub error_code: i16,
    pub mechanisms: Vec<String>,
}
