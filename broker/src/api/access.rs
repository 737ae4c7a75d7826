//! ACLs, quotas and SCRAM users, of which a broker without an authorizer has none.
//!
//! The answers are those that Apache Kafka gives where none is configured: tools that look before
//! they leap (kafka-configs, MirrorMaker) go on. What would change something is refused, or not
//! served at all.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::access::{
    AclCreationResult, CreateAclsRequest, CreateAclsResponse, DeleteAclsFilterResult,
    DeleteAclsRequest, DeleteAclsResponse, DescribeAclsRequest, DescribeAclsResponse,
    DescribeClientQuotasRequest, DescribeClientQuotasResponse, DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse, DescribeUserScramCredentialsResult,
};

use super::{Context, RequestContext};

const NO_AUTHORIZER: &str = "No Authorizer is configured.";

/// DescribeAcls.
pub async fn describe_acls(
    _: &Context,
    _: &RequestContext,
    _: DescribeAclsRequest,
) -> DescribeAclsResponse {
    DescribeAclsResponse {
        error_code: ErrorCode::SecurityDisabled.code(),
        error_message: Some(NO_AUTHORIZER.to_owned()),
        ..DescribeAclsResponse::default()
    }
}

/// CreateAcls.
pub async fn create_acls(
    _: &Context,
    _: &RequestContext,
    body: CreateAclsRequest,
) -> CreateAclsResponse {
    let refused = |_| AclCreationResult {
        error_code: ErrorCode::SecurityDisabled.code(),
        error_message: Some(NO_AUTHORIZER.to_owned()),
    };
    CreateAclsResponse {
        throttle_time_ms: 0,
        results: body.creations.iter().map(refused).collect(),
    }
}

/// DeleteAcls.
pub async fn delete_acls(
    _: &Context,
    _: &RequestContext,
    body: DeleteAclsRequest,
) -> DeleteAclsResponse {
    let refused = |_| DeleteAclsFilterResult {
        error_code: ErrorCode::SecurityDisabled.code(),
        error_message: Some(NO_AUTHORIZER.to_owned()),
        matching_acls: Vec::new(),
    };
    DeleteAclsResponse {
        throttle_time_ms: 0,
        filter_results: body.filters.iter().map(refused).collect(),
    }
}

/// DescribeClientQuotas: nobody has a quota.
pub async fn describe_client_quotas(
    _: &Context,
    _: &RequestContext,
    _: DescribeClientQuotasRequest,
) -> DescribeClientQuotasResponse {
    DescribeClientQuotasResponse {
        entries: Some(Vec::new()),
        ..DescribeClientQuotasResponse::default()
    }
}

/// DescribeUserScramCredentials: there are no users.
pub async fn describe_user_scram_credentials(
    _: &Context,
    _: &RequestContext,
    body: DescribeUserScramCredentialsRequest,
) -> DescribeUserScramCredentialsResponse {
    let asked = body.users.unwrap_or_default();
    let unknown = asked
        .into_iter()
        .map(|user| DescribeUserScramCredentialsResult {
            error_code: ErrorCode::ResourceNotFound.code(),
            error_message: Some(format!(
                "Attempt to describe a user credential that does not exist: {}",
                user.name
            )),
            user: user.name,
            credential_infos: Vec::new(),
        });
    DescribeUserScramCredentialsResponse {
        results: unknown.collect(),
        ..DescribeUserScramCredentialsResponse::default()
    }
}
