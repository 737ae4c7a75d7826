//! DescribeAcls: the request and its answer.

use crate::codec::Kafka;

/// Asks for the ACLs that match a filter.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = DescribeAcls, versions = "1-3", flexible = "2+", response = DescribeAclsResponse)]
pub struct DescribeAclsRequest {
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

/// The ACLs found, by resource.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "1-3", flexible = "2+")]
pub struct DescribeAclsResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<String>,
    pub resources: Vec<DescribeAclsResource>,
}

/// One entry of [`DescribeAclsResponse::resources`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribeAclsResource {
    pub resource_type: i8,
    pub resource_name: String,
    #[kafka(default = 3)]
    pub pattern_type: i8,
    pub acls: Vec<AclDescription>,
}

/// One entry of [`DescribeAclsResource::acls`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct AclDescription {
    pub principal: String,
    pub host: String,
    pub operation: i8,
    pub permission_type: i8,
}
