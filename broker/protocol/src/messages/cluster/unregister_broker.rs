//! UnregisterBroker: the request and its answer.

use crate::codec::Kafka;

/// Takes a broker that is gone for good out of the cluster.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = UnregisterBroker,
    versions = "0",
    flexible = "0+",
    response = UnregisterBrokerResponse
)]
pub struct UnregisterBrokerRequest {
    pub broker_id: i32,
}

/// Whether it was taken out.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct UnregisterBrokerResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<String>,
}
