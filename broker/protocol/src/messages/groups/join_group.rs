//! JoinGroup: the request and its answer.

use bytes::Bytes;

use crate::codec::Kafka;

/// Joins a classic group, or joins it again for a rebalance.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = JoinGroup, versions = "0-9", flexible = "6+", response = JoinGroupResponse)]
pub struct JoinGroupRequest {
    pub group_id: String,
    pub session_timeout_ms: i32,
    #[kafka(versions = "1+", default = -1, ignorable)]
    pub rebalance_timeout_ms: i32,
    pub member_id: String,
    #[kafka(versions = "5+", nullable = "5+", default = null)]
    pub group_instance_id: Option<String>,
    pub protocol_type: String,
    pub protocols: Vec<JoinGroupRequestProtocol>,
    #[kafka(versions = "8+", nullable = "8+", default = null, ignorable)]
    pub reason: Option<String>,
}

/// One entry of [`JoinGroupRequest::protocols`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct JoinGroupRequestProtocol {
    pub name: String,
    pub metadata: Bytes,
}

/// The generation joined; to its leader, also the members.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-9", flexible = "6+")]
pub struct JoinGroupResponse {
    #[kafka(versions = "2+", ignorable)]
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[kafka(default = -1)]
    pub generation_id: i32,
    #[kafka(versions = "7+", nullable = "7+", default = null, ignorable)]
    pub protocol_type: Option<String>,
    #[kafka(nullable = "7+")]
    pub protocol_name: Option<String>,
    pub leader: String,
    #[kafka(versions = "9+")]
    pub skip_assignment: bool,
    pub member_id: String,
    pub members: Vec<JoinGroupResponseMember>,
}

/// One entry of [`JoinGroupResponse::members`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct JoinGroupResponseMember {
    pub member_id: String,
    #[kafka(versions = "5+", nullable = "5+", default = null, ignorable)]
    pub group_instance_id: Option<String>,
    pub metadata: Bytes,
}
