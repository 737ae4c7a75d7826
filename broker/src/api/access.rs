//! ACLs, users' credentials and client quotas.
//!
//! Without an authorizer ACLs are neither kept nor shown, and the answers are those that Apache
//! Kafka gives where none is configured.

mod client_quotas;
mod delegation_tokens;
mod scram_credentials;

use ottla_core::acl::{Acl, Filter, Operation};
use ottla_core::image::MetadataImage;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::access::{
    AclCreation, AclCreationResult, AclDescription, CreateAclsRequest, CreateAclsResponse,
    DeleteAclsFilter, DeleteAclsFilterResult, DeleteAclsRequest, DeleteAclsResponse,
    DescribeAclsRequest, DescribeAclsResource, DescribeAclsResponse,
};

pub use self::client_quotas::{alter_client_quotas, describe_client_quotas};
pub use self::delegation_tokens::{
    create_delegation_token, describe_delegation_token, expire_delegation_token,
    renew_delegation_token,
};
pub use self::scram_credentials::{alter_user_scram_credentials, describe_user_scram_credentials};
use super::forward::{submit_with, until};
use super::{Context, RequestContext};
use crate::authorizer::sentence;

/// Whether there are ACLs at all, and the client may do `operation` with the cluster that they
/// belong to.
fn permission(
    context: &Context,
    request: &RequestContext,
    operation: Operation,
) -> Result<(), (ErrorCode, String)> {
    if !context.settings.authorizer {
        let message = "No Authorizer is configured.".to_owned();
        return Err((ErrorCode::SecurityDisabled, message));
    }
    let asked = context.access(request).cluster(operation);
    asked.map_err(|error| (error, sentence(error)))
}

/// DescribeAcls.
pub async fn describe_acls(
    context: &Context,
    request: &RequestContext,
    body: DescribeAclsRequest,
) -> DescribeAclsResponse {
    let filter = Filter::from(&body);
    let fault = filter
        .fault()
        .map(|f| (ErrorCode::InvalidRequest, f.to_owned()));
    let refusal = permission(context, request, Operation::Describe)
        .err()
        .or(fault);
    if let Some((error, message)) = refusal {
        return DescribeAclsResponse {
            error_code: error.code(),
            error_message: Some(message),
            ..DescribeAclsResponse::default()
        };
    }
    let image = context.controller.image();
    let mut resources: Vec<DescribeAclsResource> = Vec::new();
    for acl in image.acls.iter().filter(|acl| filter.matches(acl)) {
        let resource = DescribeAclsResource {
            resource_type: acl.resource_type.to_wire(),
            resource_name: acl.resource_name,
            pattern_type: acl.pattern_type.to_wire(),
            acls: Vec::new(),
        };
        // they come by resource
        let is_another = resources.last().is_none_or(|last| {
            let key = |r: &DescribeAclsResource| (r.resource_type, r.pattern_type);
            key(last) != key(&resource) || last.resource_name != resource.resource_name
        });
        if is_another {
            resources.push(resource);
        }
        if let Some(last) = resources.last_mut() {
            last.acls.push(AclDescription {
                principal: acl.entry.principal,
                host: acl.entry.host,
                operation: acl.entry.operation.to_wire(),
                permission_type: acl.entry.permission.to_wire(),
            });
        }
    }
    DescribeAclsResponse {
        resources,
        ..DescribeAclsResponse::default()
    }
}

/// CreateAcls; answers once the ACLs are in force here.
pub async fn create_acls(
    context: &Context,
    request: &RequestContext,
    body: CreateAclsRequest,
) -> CreateAclsResponse {
    let asked = body.creations.clone();
    let submitted = match permission(context, request, Operation::Alter) {
        Ok(()) => submit_with(context, Ok(()), body).await,
        Err(refusal) => Err(refusal),
    };
    match submitted {
        Ok(response) => {
            let results = response.results.iter().zip(&asked);
            let made = results.filter(|(result, _)| result.error_code == 0);
            let made: Vec<&AclCreation> = made.map(|(_, creation)| creation).collect();
            until(context, |image| {
                made.iter().all(|creation| has(image, creation))
            })
            .await;
            response
        }
        Err((error, message)) => {
            let refused = |_| AclCreationResult {
                error_code: error.code(),
                error_message: Some(message.clone()),
            };
            CreateAclsResponse {
                results: asked.iter().map(refused).collect(),
                ..CreateAclsResponse::default()
            }
        }
    }
}

fn has(image: &MetadataImage, creation: &AclCreation) -> bool {
    Acl::from_creation(creation).is_none_or(|acl| image.acls.contains(&acl))
}

/// DeleteAcls; answers once the ACLs are in force no more, here too.
pub async fn delete_acls(
    context: &Context,
    request: &RequestContext,
    body: DeleteAclsRequest,
) -> DeleteAclsResponse {
    let asked = body.filters.clone();
    let submitted = match permission(context, request, Operation::Alter) {
        Ok(()) => submit_with(context, Ok(()), body).await,
        Err(refusal) => Err(refusal),
    };
    match submitted {
        Ok(response) => {
            until(context, |image| {
                asked.iter().all(|filter| !finds(image, filter))
            })
            .await;
            response
        }
        Err((error, message)) => {
            let refused = |_| DeleteAclsFilterResult {
                error_code: error.code(),
                error_message: Some(message.clone()),
                matching_acls: Vec::new(),
            };
            DeleteAclsResponse {
                filter_results: asked.iter().map(refused).collect(),
                ..DeleteAclsResponse::default()
            }
        }
    }
}

fn finds(image: &MetadataImage, filter: &DeleteAclsFilter) -> bool {
    let filter = Filter::from(filter);
    filter.fault().is_none() && image.acls.iter().any(|acl| filter.matches(&acl))
}
