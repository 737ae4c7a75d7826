//! DeleteAcls: the request and its answer.

use crate::codec::Kafka;

/// Deletes the ACLs that match filters.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = DeleteAcls, versions = "1-3", flexible = "2+", response = DeleteAclsResponse)]
pub struct DeleteAclsRequest {
    pub filters: Vec<DeleteAclsFilter>,
}

/// One entry of [`DeleteAclsRequest::filters`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DeleteAclsFilter {
    pub resource_type_filter: i8,
    #[kafka(nullable = "0+")]
    pub resource_name_filter: Option<String>,
    #[kafka(default = 3)]
    pub pattern_type_filter: i8,
    #[kafka(nullable = "0+")]
    pub principal_filter: Option<String>,
    #[kafka(nullable = "0+")]
    pub host_filter: Option<String>,
    pub operation: i8,
    pub permission_type: i8,
}

/// What each filter deleted.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "1-3", flexible = "2+")]
pub struct DeleteAclsResponse {
    pub throttle_time_ms: i32,
    pub filter_results: Vec<DeleteAclsFilterResult>,
}

/// One entry of [`DeleteAclsResponse::filter_results`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DeleteAclsFilterResult {
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<String>,
    pub matching_acls: Vec<DeleteAclsMatchingAcl>,
}

/// One entry of [`DeleteAclsFilterResult::matching_acls`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DeleteAclsMatchingAcl {
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<String>,
    pub resource_type: i8,
    pub resource_name: String,
    #[kafka(default = 3)]
    pub pattern_type: i8,
    pub principal: String,
    pub host: String,
    pub operation: i8,
    pub permission_type: i8,
}
