//! DeleteGroups: the request and its answer.

use crate::codec::Kafka;

/// Deletes empty groups with their offsets.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = DeleteGroups, versions = "0-2", flexible = "2+", response = DeleteGroupsResponse)]
pub struct DeleteGroupsRequest {
    pub groups_names: Vec<String>,
}

/// What became of each group.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-2", flexible = "2+")]
pub struct DeleteGroupsResponse {
    pub throttle_time_ms: i32,
    pub results: Vec<DeletableGroupResult>,
}

/// One entry of [`DeleteGroupsResponse::results`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DeletableGroupResult {
    pub group_id: String,
    pub error_code: i16,
}
