//! FindCoordinator: the request and its answer.

use crate::codec::Kafka;

/// Asks who coordinates groups, transactional ids or share partitions.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = FindCoordinator,
    versions = "0-6",
    flexible = "3+",
    response = FindCoordinatorResponse
)]
pub struct FindCoordinatorRequest {
    #[kafka(versions = "0-3")]
    pub key: String,
    #[kafka(versions = "1+")]
    pub key_type: i8,
    #[kafka(versions = "4+")]
    pub coordinator_keys: Vec<String>,
}

/// The coordinators.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-6", flexible = "3+")]
pub struct FindCoordinatorResponse {
    #[kafka(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    #[kafka(versions = "0-3")]
    pub error_code: i16,
    #[kafka(versions = "1-3", nullable = "1-3", ignorable)]
    pub error_message: Option<String>,
    #[kafka(versions = "0-3")]
    pub node_id: i32,
    #[kafka(versions = "0-3")]
    pub host: String,
    #[kafka(versions = "0-3")]
    pub port: i32,
    #[kafka(versions = "4+")]
    pub coordinators: Vec<Coordinator>,
}

/// One entry of [`FindCoordinatorResponse::coordinators`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct Coordinator {
    pub key: String,
    pub node_id: i32,
    pub host: String,
    pub port: i32,
    pub error_code: i16,
    #[kafka(nullable = "4+")]
    pub error_message: Option<String>,
}
