//! Creating and deleting ACLs.
//!
//! Each ACL of a request stands for itself: a wrong one is refused, the others become so.

use std::collections::BTreeSet;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::access::{
    AclCreation, AclCreationResult, CreateAclsRequest, CreateAclsResponse, DeleteAclsFilterResult,
    DeleteAclsMatchingAcl, DeleteAclsRequest, DeleteAclsResponse,
};

use super::request::{Refusal, Response};
use super::{Decision, Metadata};
use crate::acl::{
    Acl, CLUSTER_NAME, Entry, Filter, Operation, PatternType, Permission, ResourceType, is_host,
};
use crate::image::record::Record;

impl Metadata {
    pub(super) fn create_acls(&self, request: &CreateAclsRequest) -> Decision {
        let mut new = BTreeSet::new();
        let mut results = Vec::with_capacity(request.creations.len());
        for creation in &request.creations {
            let refusal = match checked(creation) {
                // one that is there already is created once more, without a trace
                Ok(acl) if self.image.acls.contains(&acl) => None,
                Ok(acl) => {
                    new.insert(acl);
                    None
                }
                Err(refusal) => Some(refusal),
            };
            results.push(AclCreationResult {
                error_code: refusal.as_ref().map_or(0, |r| r.error_code),
                error_message: refusal.map(|r| r.message),
            });
        }
        Decision {
            records: new.iter().map(|acl| Record::Acl(acl.into())).collect(),
            response: Response::CreateAcls(CreateAclsResponse {
                throttle_time_ms: 0,
                results,
            }),
        }
    }

    pub(super) fn delete_acls(&self, request: &DeleteAclsRequest) -> Decision {
        let mut gone = BTreeSet::new();
        let mut filter_results = Vec::with_capacity(request.filters.len());
        for filter in &request.filters {
            let filter = Filter::from(filter);
            let mut result = DeleteAclsFilterResult::default();
            if let Some(fault) = filter.fault() {
                result.error_code = ErrorCode::InvalidRequest.code();
                result.error_message = Some(fault.to_owned());
            } else {
                for acl in self.image.acls.iter().filter(|acl| filter.matches(acl)) {
                    result.matching_acls.push(deleted(&acl));
                    gone.insert(acl);
                }
            }
            filter_results.push(result);
        }
        Decision {
            records: gone
                .iter()
                .map(|acl| Record::RemoveAcl(acl.into()))
                .collect(),
            response: Response::DeleteAcls(DeleteAclsResponse {
                throttle_time_ms: 0,
                filter_results,
            }),
        }
    }
}

/// The ACL that is asked for, or why there can be no such one.
fn checked(asked: &AclCreation) -> Result<Acl, Refusal> {
    let invalid = |message: String| Refusal::new(ErrorCode::InvalidRequest, message);
    let wrong = |what: &str, number: i8| invalid(format!("Invalid {what} {number}"));
    let resource_type = ResourceType::from_wire(asked.resource_type)
        .ok_or_else(|| wrong("resourceType", asked.resource_type))?;
    let pattern_type = PatternType::from_wire(asked.resource_pattern_type)
        .ok_or_else(|| wrong("patternType", asked.resource_pattern_type))?;
    let operation =
        Operation::from_wire(asked.operation).ok_or_else(|| wrong("operation", asked.operation))?;
    let permission = Permission::from_wire(asked.permission_type)
        .ok_or_else(|| wrong("permissionType", asked.permission_type))?;
    if resource_type == ResourceType::Cluster && asked.resource_name != CLUSTER_NAME {
        return Err(invalid(format!(
            "The only valid name for the CLUSTER resource is {CLUSTER_NAME}"
        )));
    }
    if asked.resource_name.is_empty() {
        return Err(invalid("Invalid empty resource name".to_owned()));
    }
    if !asked.principal.contains(':') {
        return Err(invalid(format!(
            "Could not parse principal from `{}` (no colon is present separating the principal \
             type from the principal name)",
            asked.principal
        )));
    }
    if !is_host(&asked.host) {
        return Err(invalid(format!(
            "Invalid host {}: give an address, a network (10.0.0.0/8) or *",
            asked.host
        )));
    }
    Ok(Acl {
        resource_type,
        resource_name: asked.resource_name.clone(),
        pattern_type,
        entry: Entry {
            principal: asked.principal.clone(),
            host: asked.host.clone(),
            operation,
            permission,
        },
    })
}

impl Acl {
    /// The ACL that is asked for; none where there can be no such one.
    #[must_use]
    pub fn from_creation(asked: &AclCreation) -> Option<Self> {
        checked(asked).ok()
    }
}

fn deleted(acl: &Acl) -> DeleteAclsMatchingAcl {
    DeleteAclsMatchingAcl {
        error_code: 0,
        error_message: None,
        resource_type: acl.resource_type.to_wire(),
        resource_name: acl.resource_name.clone(),
        pattern_type: acl.pattern_type.to_wire(),
        principal: acl.entry.principal.clone(),
        host: acl.entry.host.clone(),
        operation: acl.entry.operation.to_wire(),
        permission_type: acl.entry.permission.to_wire(),
    }
}
