//! Calls about users: their credentials, and what they may do.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use bytes::Bytes;
use ottla_core::acl::{Acl, Entry, Operation, PatternType, Permission, ResourceType};
use ottla_core::authentication::Mechanism;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::access::{
    AclCreation, AlterUserScramCredentialsRequest, CreateAclsRequest, DeleteAclsFilter,
    DeleteAclsRequest, DescribeAclsRequest, DescribeUserScramCredentialsRequest,
    ScramCredentialDeletion, ScramCredentialUpsertion, UserName,
};
use ring::pbkdf2;
use ring::rand::{SecureRandom, SystemRandom};

use super::{Admin, Answers, Error, Refusal, refusal};

/// Kafka's number for any type, pattern, operation or permission.
const ANY: i8 = 1;
/// How often the operator hashes a password. Another number tells that somebody else set it.
pub const ITERATIONS: i32 = 8192;
/// Bytes of a salt.
const SALT_BYTES: usize = 24;
/// At most so many ACLs or users in one request.
const BATCH_MAX: usize = 500;
/// At most so many passwords: each takes milliseconds to hash, on the thread that keeps the Lease.
const BATCH_PASSWORDS_MAX: usize = 20;

const MECHANISM: Mechanism = Mechanism::ScramSha512;

/// ACLs by their principals.
pub type Acls = BTreeMap<String, BTreeSet<Acl>>;

impl Admin {
    /// All ACLs, by their principals; none where brokers keep no ACLs.
    ///
    /// # Errors
    /// See [`Error`]; this holds for every call.
    pub async fn acls(&mut self) -> Result<Option<Acls>, Error> {
        let request = DescribeAclsRequest {
            resource_type_filter: ANY,
            resource_name_filter: None,
            pattern_type_filter: ANY,
            principal_filter: None,
            host_filter: None,
            operation: ANY,
            permission_type: ANY,
        };
        let answer = self.call(&request).await?;
        match refusal(answer.error_code, answer.error_message) {
            Err(why) if why.code == ErrorCode::SecurityDisabled => return Ok(None),
            told => told.map_err(Error::Refused)?,
        }
        let mut acls = Acls::new();
        for resource in answer.resources {
            for one in resource.acls {
                let acl = (|| {
                    Some(Acl {
                        resource_type: ResourceType::from_wire(resource.resource_type)?,
                        resource_name: resource.resource_name.clone(),
                        pattern_type: PatternType::from_wire(resource.pattern_type)?,
                        entry: Entry {
                            principal: one.principal,
                            host: one.host,
                            operation: Operation::from_wire(one.operation)?,
                            permission: Permission::from_wire(one.permission_type)?,
                        },
                    })
                })();
                if let Some(acl) = acl {
                    let principal = acl.entry.principal.clone();
                    acls.entry(principal).or_default().insert(acl);
                }
            }
        }
        Ok(Some(acls))
    }

    /// Creates ACLs; tells what was refused of which principal.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_acls(&mut self, acls: &[Acl]) -> Result<Vec<(String, Refusal)>, Error> {
        let mut refused = Vec::new();
        for batch in acls.chunks(BATCH_MAX) {
            let creations = batch.iter().map(creation).collect();
            let answer = self.call(&CreateAclsRequest { creations }).await?;
            for (acl, result) in batch.iter().zip(answer.results) {
                if let Err(why) = refusal(result.error_code, result.error_message) {
                    refused.push((acl.entry.principal.clone(), why));
                }
            }
        }
        Ok(refused)
    }

    /// Deletes ACLs; tells what was refused of which principal.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_acls(&mut self, acls: &[Acl]) -> Result<Vec<(String, Refusal)>, Error> {
        let mut refused = Vec::new();
        for batch in acls.chunks(BATCH_MAX) {
            let filters = batch.iter().map(filter).collect();
            let answer = self.call(&DeleteAclsRequest { filters }).await?;
            for (acl, result) in batch.iter().zip(answer.filter_results) {
                if let Err(why) = refusal(result.error_code, result.error_message) {
                    refused.push((acl.entry.principal.clone(), why));
                }
            }
        }
        Ok(refused)
    }

    /// Which of these users have a credential, and whether that looks like one of the operator's.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn scram_users(
        &mut self,
        users: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, bool>, Error> {
        let mut found = BTreeMap::new();
        let users: Vec<&String> = users.iter().collect();
        for batch in users.chunks(BATCH_MAX) {
            let named = batch.iter().map(|name| UserName {
                name: (*name).clone(),
            });
            let request = DescribeUserScramCredentialsRequest {
                users: Some(named.collect()),
            };
            let answer = self.call(&request).await?;
            refusal(answer.error_code, answer.error_message).map_err(Error::Refused)?;
            for user in answer.results {
                let mut infos = user.credential_infos.iter();
                let info = infos.find(|info| Some(info.mechanism) == MECHANISM.scram_number());
                if let Some(info) = info {
                    found.insert(user.user, info.iterations == ITERATIONS);
                }
            }
        }
        Ok(found)
    }

    /// Sets the passwords of users, and deletes the credentials of others.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn alter_scram_users(
        &mut self,
        passwords: &BTreeMap<String, String>,
        gone: &BTreeSet<String>,
    ) -> Result<Answers, Error> {
        let mechanism = MECHANISM.scram_number().unwrap_or_default();
        let mut answers = Answers::new();
        let set = passwords
            .iter()
            .map(|(name, password)| (name, Some(password)));
        let all: Vec<(&String, Option<&String>)> =
            set.chain(gone.iter().map(|name| (name, None))).collect();
        for batch in all.chunks(BATCH_PASSWORDS_MAX) {
            let mut request = AlterUserScramCredentialsRequest {
                deletions: Vec::new(),
                upsertions: Vec::new(),
            };
            for (name, password) in batch {
                match password {
                    Some(password) => request
                        .upsertions
                        .push(upsertion(name, password, mechanism)?),
                    None => request.deletions.push(ScramCredentialDeletion {
                        name: (*name).clone(),
                        mechanism,
                    }),
                }
            }
            for one in self.call(&request).await?.results {
                let answer = refusal(one.error_code, one.error_message);
                answers.insert(one.user, answer);
            }
        }
        Ok(answers)
    }
}

fn upsertion(name: &str, password: &str, mechanism: i8) -> Result<ScramCredentialUpsertion, Error> {
    let mut salt = [0; SALT_BYTES];
    let drawn = SystemRandom::new().fill(&mut salt);
    drawn.map_err(|_| {
        Error::Refused(Refusal {
            code: ErrorCode::UnknownServerError,
            message: "the system gives no random bytes for a salt".to_owned(),
        })
    })?;
    let mut salted = [0; 64];
    let rounds = NonZeroU32::new(ITERATIONS.unsigned_abs()).unwrap_or(NonZeroU32::MIN);
    let algorithm = pbkdf2::PBKDF2_HMAC_SHA512;
    pbkdf2::derive(algorithm, rounds, &salt, password.as_bytes(), &mut salted);
    Ok(ScramCredentialUpsertion {
        name: name.to_owned(),
        mechanism,
        iterations: ITERATIONS,
        salt: Bytes::copy_from_slice(&salt),
        salted_password: Bytes::copy_from_slice(&salted),
    })
}

fn creation(acl: &Acl) -> AclCreation {
    AclCreation {
        resource_type: acl.resource_type.to_wire(),
        resource_name: acl.resource_name.clone(),
        resource_pattern_type: acl.pattern_type.to_wire(),
        principal: acl.entry.principal.clone(),
        host: acl.entry.host.clone(),
        operation: acl.entry.operation.to_wire(),
        permission_type: acl.entry.permission.to_wire(),
    }
}

fn filter(acl: &Acl) -> DeleteAclsFilter {
    DeleteAclsFilter {
        resource_type_filter: acl.resource_type.to_wire(),
        resource_name_filter: Some(acl.resource_name.clone()),
        pattern_type_filter: acl.pattern_type.to_wire(),
        principal_filter: Some(acl.entry.principal.clone()),
        host_filter: Some(acl.entry.host.clone()),
        operation: acl.entry.operation.to_wire(),
        permission_type: acl.entry.permission.to_wire(),
    }
}
