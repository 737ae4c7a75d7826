//! Heartbeat: the request and its answer.

use crate::codec::Kafka;

/// Says that a member of a classic group lives.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = Heartbeat, versions = "0-4", flexible = "4+", response = HeartbeatResponse)]
pub struct HeartbeatRequest {
    pub group_id: String,
    pub generation_id: i32,
    pub member_id: String,
    #[kafka(versions = "3+", nullable = "3+", default = null)]
    pub group_instance_id: Option<String>,
}

/// Whether the generation still holds.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-4", flexible = "4+")]
pub struct HeartbeatResponse {
    #[kafka(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    pub error_code: i16,
}
