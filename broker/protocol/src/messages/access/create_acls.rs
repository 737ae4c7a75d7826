//! CreateAcls: the request and its answer.

use crate::codec::Kafka;

/// Creates ACLs.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = CreateAcls, versions = "1-3", flexible = "2+", response = CreateAclsResponse)]
pub struct CreateAclsRequest {
    pub creations: Vec<AclCreation>,
}

/// One entry of [`CreateAclsRequest::creations`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct AclCreation {
    pub resource_type: i8,
    pub resource_name: String,
    #[kafka(default = 3)]
    pub resource_pattern_type: i8,
    pub principal: String,
    pub host: String,
    pub operation: i8,
    pub permission_type: i8,
}

/// What became of each ACL.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "1-3", flexible = "2+")]
pub struct CreateAclsResponse {
    pub throttle_time_ms: i32,
    pub results: Vec<AclCreationResult>,
}

/// One entry of [`CreateAclsResponse::results`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct AclCreationResult {
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<String>,
}
