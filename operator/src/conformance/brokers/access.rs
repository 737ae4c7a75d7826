//! Users that brokers know, and what those may do.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use ottla_core::acl::{Acl, Entry, Operation, PatternType, Permission, ResourceType};
use ottla_core::metadata::client_quotas::{answered, changes, describe};
use ottla_core::quota::{ClientQuotas, Entity, Key, Rate};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::access::{
    AclCreationResult, AclDescription, AlterClientQuotasRequest, AlterClientQuotasResponse,
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse,
    AlterUserScramCredentialsResult, CreateAclsRequest, CreateAclsResponse, CredentialInfo,
    DeleteAclsFilterResult, DeleteAclsRequest, DeleteAclsResponse, DescribeAclsResource,
    DescribeAclsResponse, DescribeClientQuotasRequest, DescribeClientQuotasResponse,
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
    DescribeUserScramCredentialsResult, ScramCredentialUpsertion,
};
use ring::pbkdf2;

use super::{Brokers, Kafka};

/// Kafka's number of SCRAM-SHA-512.
const SHA_512: i8 = 2;

/// What there is of users.
#[derive(Default)]
pub struct Users {
    acls: BTreeSet<Acl>,
    credentials: BTreeMap<String, ScramCredentialUpsertion>,
    keeps_credentials: bool,
    quotas: ClientQuotas,
}

impl Brokers {
    /// The ACLs, one sentence each.
    pub fn acls(&self) -> Vec<String> {
        let users = self.kafka.users.borrow();
        let sentences = users.acls.iter().map(|acl| {
            let Entry {
                principal,
                host,
                operation,
                permission,
            } = &acl.entry;
            let (permission, operation) = (permission.name(), operation.name());
            let (what, how) = (acl.resource_type.name(), acl.pattern_type.name());
            let name = &acl.resource_name;
            format!("{permission} {principal} {operation} {what} {how} {name} from {host}")
        });
        sentences.collect()
    }

    /// The quotas, one sentence each.
    pub fn quotas(&self) -> Vec<String> {
        let users = self.kafka.users.borrow();
        let all = users.quotas.iter().flat_map(|(entity, rates)| {
            let of = format!("{:?}", entity.parts().collect::<Vec<_>>());
            let rates = rates.iter();
            rates.map(move |(key, rate)| format!("{of} {}={}", key.name(), rate.value()))
        });
        all.collect()
    }

    /// Has somebody set a quota.
    pub fn set_quota(&self, kind: &str, name: Option<&str>, key: Key, rate: f64) {
        let entity = Entity::of_parts([(kind, name)]).unwrap();
        let mut users = self.kafka.users.borrow_mut();
        users.quotas.set(entity, key, Rate::new(rate).unwrap());
    }

    /// Who has a password.
    pub fn scram_users(&self) -> Vec<String> {
        let users = self.kafka.users.borrow();
        users.credentials.keys().cloned().collect()
    }

    /// Whether a user logs in by this password.
    pub fn knows(&self, user: &str, password: &str) -> bool {
        let users = self.kafka.users.borrow();
        users.credentials.get(user).is_some_and(|known| {
            let rounds = NonZeroU32::new(known.iterations.unsigned_abs()).unwrap();
            let (salt, salted) = (&known.salt, &known.salted_password);
            let algorithm = pbkdf2::PBKDF2_HMAC_SHA512;
            pbkdf2::verify(algorithm, rounds, salt, password.as_bytes(), salted).is_ok()
        })
    }

    /// Has deletions of credentials refused, or carried out.
    pub fn keep_credentials(&self, keeps: bool) {
        self.kafka.users.borrow_mut().keeps_credentials = keeps;
    }

    /// Has somebody take all ACLs and credentials away.
    pub fn forget_users(&self) {
        *self.kafka.users.borrow_mut() = Users::default();
    }
}

impl Kafka {
    pub(super) fn describe_quotas(
        &self,
        request: DescribeClientQuotasRequest,
    ) -> DescribeClientQuotasResponse {
        let users = self.users.borrow();
        DescribeClientQuotasResponse {
            entries: Some(describe(&users.quotas, &request).unwrap()),
            ..DescribeClientQuotasResponse::default()
        }
    }

    pub(super) fn alter_quotas(
        &self,
        request: AlterClientQuotasRequest,
    ) -> AlterClientQuotasResponse {
        let mut users = self.users.borrow_mut();
        let entries = request.entries.iter().map(|asked| {
            let (entity, rates) = changes(asked).unwrap();
            for (key, rate) in rates {
                match rate {
                    Some(rate) => users.quotas.set(entity.clone(), key, rate),
                    None => users.quotas.remove(&entity, key),
                }
            }
            answered(asked, None)
        });
        AlterClientQuotasResponse {
            entries: entries.collect(),
            ..AlterClientQuotasResponse::default()
        }
    }

    pub(super) fn create_acls(&self, request: CreateAclsRequest) -> CreateAclsResponse {
        assert!(self.has_acls(), "ACLs of brokers that keep none");
        let mut users = self.users.borrow_mut();
        let results = request.creations.into_iter().map(|one| {
            users.acls.insert(acl(
                (
                    one.resource_type,
                    one.resource_name,
                    one.resource_pattern_type,
                ),
                (one.principal, one.host, one.operation, one.permission_type),
            ));
            AclCreationResult::default()
        });
        CreateAclsResponse {
            results: results.collect(),
            ..CreateAclsResponse::default()
        }
    }

    pub(super) fn delete_acls(&self, request: DeleteAclsRequest) -> DeleteAclsResponse {
        assert!(self.has_acls(), "ACLs of brokers that keep none");
        let mut users = self.users.borrow_mut();
        let filter_results = request.filters.into_iter().map(|one| {
            let resource = one.resource_name_filter.unwrap();
            let (principal, host) = (one.principal_filter.unwrap(), one.host_filter.unwrap());
            users.acls.remove(&acl(
                (one.resource_type_filter, resource, one.pattern_type_filter),
                (principal, host, one.operation, one.permission_type),
            ));
            DeleteAclsFilterResult::default()
        });
        DeleteAclsResponse {
            filter_results: filter_results.collect(),
            ..DeleteAclsResponse::default()
        }
    }

    /// Whether ACLs are kept; brokers that ask nobody who they are keep none.
    fn has_acls(&self) -> bool {
        self.settings.borrow().contains_key("authorizer.class.name")
    }

    pub(super) fn describe_acls(&self) -> DescribeAclsResponse {
        if !self.has_acls() {
            return DescribeAclsResponse {
                error_code: ErrorCode::SecurityDisabled.code(),
                error_message: Some("No Authorizer is configured.".to_owned()),
                ..DescribeAclsResponse::default()
            };
        }
        let users = self.users.borrow();
        let resources = users.acls.iter().map(|acl| DescribeAclsResource {
            resource_type: acl.resource_type.to_wire(),
            resource_name: acl.resource_name.clone(),
            pattern_type: acl.pattern_type.to_wire(),
            acls: vec![AclDescription {
                principal: acl.entry.principal.clone(),
                host: acl.entry.host.clone(),
                operation: acl.entry.operation.to_wire(),
                permission_type: acl.entry.permission.to_wire(),
            }],
        });
        DescribeAclsResponse {
            resources: resources.collect(),
            ..DescribeAclsResponse::default()
        }
    }

    pub(super) fn describe_scram(
        &self,
        request: DescribeUserScramCredentialsRequest,
    ) -> DescribeUserScramCredentialsResponse {
        let users = self.users.borrow();
        let asked = request.users.unwrap_or_default().into_iter();
        let results = asked.map(|asked| match users.credentials.get(&asked.name) {
            Some(known) => DescribeUserScramCredentialsResult {
                user: asked.name,
                credential_infos: vec![CredentialInfo {
                    mechanism: SHA_512,
                    iterations: known.iterations,
                }],
                ..DescribeUserScramCredentialsResult::default()
            },
            None => DescribeUserScramCredentialsResult {
                user: asked.name,
                error_code: ErrorCode::ResourceNotFound.code(),
                ..DescribeUserScramCredentialsResult::default()
            },
        });
        DescribeUserScramCredentialsResponse {
            results: results.collect(),
            ..DescribeUserScramCredentialsResponse::default()
        }
    }

    pub(super) fn alter_scram(
        &self,
        request: AlterUserScramCredentialsRequest,
    ) -> AlterUserScramCredentialsResponse {
        let mut users = self.users.borrow_mut();
        let mut results = Vec::new();
        for one in request.upsertions {
            assert_eq!(one.mechanism, SHA_512);
            results.push((one.name.clone(), ErrorCode::None));
            users.credentials.insert(one.name.clone(), one);
        }
        for one in request.deletions {
            if users.keeps_credentials {
                results.push((one.name, ErrorCode::ClusterAuthorizationFailed));
                continue;
            }
            users.credentials.remove(&one.name);
            results.push((one.name, ErrorCode::None));
        }
        let results = results.into_iter();
        let results = results.map(|(user, error)| AlterUserScramCredentialsResult {
            user,
            error_code: error.code(),
            ..AlterUserScramCredentialsResult::default()
        });
        AlterUserScramCredentialsResponse {
            results: results.collect(),
            ..AlterUserScramCredentialsResponse::default()
        }
    }
}

fn acl(
    (resource_type, resource_name, pattern_type): (i8, String, i8),
    (principal, host, operation, permission): (String, String, i8, i8),
) -> Acl {
    Acl {
        resource_type: ResourceType::from_wire(resource_type).unwrap(),
        resource_name,
        pattern_type: PatternType::from_wire(pattern_type).unwrap(),
        entry: Entry {
            principal,
            host,
            operation: Operation::from_wire(operation).unwrap(),
            permission: Permission::from_wire(permission).unwrap(),
        },
    }
}
