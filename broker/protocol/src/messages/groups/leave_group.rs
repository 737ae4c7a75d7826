//! LeaveGroup: the request and its answer.

use crate::codec::Kafka;

/// Takes members out of a classic group.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = LeaveGroup, versions = "0-5", flexible = "4+", response = LeaveGroupResponse)]
pub struct LeaveGroupRequest {
    pub group_id: String,
    #[kafka(versions = "0-2")]
    pub member_id: String,
    #[kafka(versions = "3+")]
    pub members: Vec<MemberIdentity>,
}

/// One entry of [`LeaveGroupRequest::members`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct MemberIdentity {
    pub member_id: String,
    #[kafka(nullable = "3+", default = null)]
    pub group_instance_id: Option<String>,
    #[kafka(versions = "5+", nullable = "5+", default = null, ignorable)]
    pub reason: Option<String>,
}

/// What became of each member.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-5", flexible = "4+")]
pub struct LeaveGroupResponse {
    #[kafka(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[kafka(versions = "3+")]
    pub members: Vec<MemberResponse>,
}

/// One entry of [`LeaveGroupResponse::members`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct MemberResponse {
    pub member_id: String,
    #[kafka(nullable = "3+")]
    pub group_instance_id: Option<String>,
    pub error_code: i16,
}
