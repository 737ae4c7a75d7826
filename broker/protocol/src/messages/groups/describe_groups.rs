//! DescribeGroups: the request and its answer.

use bytes::Bytes;

use crate::codec::Kafka;

/// Asks for classic groups.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = DescribeGroups, versions = "0-6", flexible = "5+", response = DescribeGroupsResponse)]
pub struct DescribeGroupsRequest {
    pub groups: Vec<String>,
    #[kafka(versions = "3+")]
    pub include_authorized_operations: bool,
}

/// Their states and members.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-6", flexible = "5+")]
pub struct DescribeGroupsResponse {
    #[kafka(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    pub groups: Vec<DescribedGroup>,
}

/// One entry of [`DescribeGroupsResponse::groups`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribedGroup {
    pub error_code: i16,
    #[kafka(versions = "6+", nullable = "6+", default = null)]
    pub error_message: Option<String>,
    pub group_id: String,
    pub group_state: String,
    pub protocol_type: String,
    pub protocol_data: String,
    pub members: Vec<DescribedGroupMember>,
    #[kafka(versions = "3+", default = i32::MIN)]
    pub authorized_operations: i32,
}

/// One entry of [`DescribedGroup::members`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribedGroupMember {
    pub member_id: String,
    #[kafka(versions = "4+", nullable = "4+", default = null, ignorable)]
    pub group_instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub member_metadata: Bytes,
    pub member_assignment: Bytes,
}
