//! ListGroups: the request and its answer.

use crate::codec::Kafka;

/// Asks which groups this broker coordinates.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = ListGroups, versions = "0-5", flexible = "3+", response = ListGroupsResponse)]
pub struct ListGroupsRequest {
    #[kafka(versions = "4+")]
    pub states_filter: Vec<String>,
    #[kafka(versions = "5+")]
    pub types_filter: Vec<String>,
}

/// The groups.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-5", flexible = "3+")]
pub struct ListGroupsResponse {
    #[kafka(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    pub error_code: i16,
    pub groups: Vec<ListedGroup>,
}

/// One entry of [`ListGroupsResponse::groups`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct ListedGroup {
    pub group_id: String,
    pub protocol_type: String,
    #[kafka(versions = "4+", ignorable)]
    pub group_state: String,
    #[kafka(versions = "5+", ignorable)]
    pub group_type: String,
}
