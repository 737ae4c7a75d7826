//! SyncGroup: the request and its answer.

use bytes::Bytes;

use crate::codec::Kafka;

/// Asks for a member's assignment; the leader brings those of all.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = SyncGroup, versions = "0-5", flexible = "4+", response = SyncGroupResponse)]
pub struct SyncGroupRequest {
    pub group_id: String,
    pub generation_id: i32,
    pub member_id: String,
    #[kafka(versions = "3+", nullable = "3+", default = null)]
    pub group_instance_id: Option<String>,
    #[kafka(versions = "5+", nullable = "5+", default = null, ignorable)]
    pub protocol_type: Option<String>,
    #[kafka(versions = "5+", nullable = "5+", default = null, ignorable)]
    pub protocol_name: Option<String>,
    pub assignments: Vec<SyncGroupRequestAssignment>,
}

/// One entry of [`SyncGroupRequest::assignments`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct SyncGroupRequestAssignment {
    pub member_id: String,
    pub assignment: Bytes,
}

/// The member's assignment.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-5", flexible = "4+")]
pub struct SyncGroupResponse {
    #[kafka(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[kafka(versions = "5+", nullable = "5+", default = null, ignorable)]
    pub protocol_type: Option<String>,
    #[kafka(versions = "5+", nullable = "5+", default = null, ignorable)]
    pub protocol_name: Option<String>,
    pub assignment: Bytes,
}
