//! `KafkaUser` → [`ValidatedUser`], or the reason why not.

use std::collections::BTreeSet;

use ottla_core::acl::{
    Acl, CLUSTER_NAME, Entry, Operation, PatternType, Permission, ResourceType, WILDCARD, is_host,
};
use ottla_core::quota::{Key, Rate};

use crate::admin::Rates;
use crate::condition::{UserReason, Verdict};
use crate::crd::KafkaUser;
use crate::crd::cluster::AuthenticationType;
use crate::crd::user::{AclOperation, AclPattern, AclPermission, AclResourceType, UserAcl};
use crate::object::ObjectKey;

/// The longest name of a user: it is the common name of its certificate.
pub const NAME_LENGTH_MAX: usize = 64;
/// The annotation that has new credentials made with each new value.
pub const ROTATE: &str = "ottla.io/rotate";

/// A user that can be planned for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatedUser {
    /// Its name.
    pub name: String,
    /// How it shows who it is.
    pub authentication: AuthenticationType,
    /// The ACLs it is to have.
    pub acls: BTreeSet<Acl>,
    /// How much it may take.
    pub quotas: Rates,
    /// What the annotation [`ROTATE`] has.
    pub rotate: String,
}

impl ValidatedUser {
    /// What it is called in ACLs.
    #[must_use]
    pub fn principal(&self) -> String {
        principal(&self.name, self.authentication)
    }
}

/// What a user is called in ACLs that shows so who it is.
#[must_use]
pub fn principal(name: &str, authentication: AuthenticationType) -> String {
    match authentication {
        AuthenticationType::Scram => format!("User:{name}"),
        AuthenticationType::MutualTls => format!("User:CN={name}"),
    }
}

/// What an object would have its user be called.
#[must_use]
pub fn own_principal(user: &KafkaUser) -> String {
    let name = user.metadata.name.as_deref().unwrap_or_default();
    principal(name, user.spec.authentication.type_)
}

/// What brokers were told that its user is called, by its status, where that is one of its two
/// principals.
#[must_use]
pub fn told_principal(user: &KafkaUser) -> Option<String> {
    let name = user.metadata.name.as_deref().unwrap_or_default();
    let told = &user.status.as_ref()?.principal;
    let own = [AuthenticationType::Scram, AuthenticationType::MutualTls];
    let mut own = own.into_iter().map(|how| principal(name, how));
    own.find(|own| own == told)
}

/// Both.
#[must_use]
pub fn principals(user: &KafkaUser) -> Vec<String> {
    let own = own_principal(user);
    let told = told_principal(user).filter(|told| *told != own);
    std::iter::once(own).chain(told).collect()
}

/// The user of a principal, as quotas name it.
#[must_use]
pub fn user_of(principal: &str) -> &str {
    principal.strip_prefix("User:").unwrap_or(principal)
}

/// The name by which a principal logs in with a password; none of one that shows a certificate.
#[must_use]
pub fn name_of(principal: &str) -> Option<String> {
    let name = principal.strip_prefix("User:")?;
    (!name.starts_with("CN=")).then(|| name.to_owned())
}

/// The cluster that an object refers to.
#[must_use]
pub fn cluster_key(user: &KafkaUser) -> ObjectKey {
    let reference = &user.spec.cluster_ref;
    let own = || ObjectKey::of(&user.metadata).namespace;
    ObjectKey {
        namespace: reference.namespace.clone().unwrap_or_else(own),
        name: reference.name.clone(),
    }
}

/// Checks a user by itself.
///
/// # Errors
/// A [`Verdict`] that names the field and how to mend it.
pub fn validate(user: &KafkaUser) -> Result<ValidatedUser, Verdict> {
    let name = user.metadata.name.clone().unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    if name.is_empty() || name.len() > NAME_LENGTH_MAX || !name.chars().all(is_plain) {
        return Err(invalid(format!(
            "metadata.name is \"{name}\"; a user's name has at most {NAME_LENGTH_MAX} lower-case \
             letters, digits, dashes and dots."
        )));
    }
    let authentication = user.spec.authentication.type_;
    let mut acls = BTreeSet::new();
    for (place, given) in user.spec.acls.iter().enumerate() {
        acls.extend(check(place, given, &principal(&name, authentication))?);
    }
    let annotations = user.metadata.annotations.as_ref();
    let rotate = annotations.and_then(|all| all.get(ROTATE));
    Ok(ValidatedUser {
        name,
        authentication,
        acls,
        quotas: rates(user)?,
        rotate: rotate.cloned().unwrap_or_default(),
    })
}

/// How much a user may take, by its spec.
fn rates(user: &KafkaUser) -> Result<Rates, Verdict> {
    let Some(quotas) = &user.spec.quotas else {
        return Ok(Rates::new());
    };
    let given = [
        (
            "producerByteRate",
            Key::ProducerByteRate,
            quotas.producer_byte_rate,
        ),
        (
            "consumerByteRate",
            Key::ConsumerByteRate,
            quotas.consumer_byte_rate,
        ),
        (
            "requestPercentage",
            Key::RequestPercentage,
            quotas.request_percentage,
        ),
        (
            "controllerMutationRate",
            Key::ControllerMutationRate,
            quotas.controller_mutation_rate,
        ),
    ];
    let mut rates = Rates::new();
    for (field, key, number) in given {
        let Some(number) = number else {
            continue;
        };
        let rate = Rate::new(number as f64).ok_or_else(|| {
            invalid(format!(
                "spec.quotas.{field} is {number}; give 1 or more, or leave it out for no bound."
            ))
        })?;
        rates.insert(key, rate);
    }
    Ok(rates)
}

fn invalid(message: String) -> Verdict {
    Verdict::new(UserReason::InvalidSpec, message)
}

fn check(place: usize, given: &UserAcl, principal: &str) -> Result<Vec<Acl>, Verdict> {
    let resource = &given.resource;
    let (resource_type, pattern_type) = kind(resource.type_, resource.pattern);
    let name = match (resource_type, resource.name.as_str()) {
        (ResourceType::Cluster, "" | CLUSTER_NAME) => CLUSTER_NAME,
        (ResourceType::Cluster, _) => {
            return Err(invalid(format!(
                "spec.acls[{place}].resource.name is not needed: there is one cluster; remove it."
            )));
        }
        (_, "") => {
            return Err(invalid(format!(
                "spec.acls[{place}].resource.name is missing; give a name, or \"*\" for all."
            )));
        }
        (_, name) => name,
    };
    if pattern_type == PatternType::Prefixed
        && (name == WILDCARD || resource_type == ResourceType::Cluster)
    {
        return Err(invalid(format!(
            "spec.acls[{place}].resource.pattern is Prefixed, which goes with the beginning of a \
             name; make it Literal."
        )));
    }
    if !is_host(&given.host) {
        return Err(invalid(format!(
            "spec.acls[{place}].host is {}; give an address, a network as 10.0.0.0/8, or \"*\".",
            given.host
        )));
    }
    let operations = given.operations.iter().map(|operation| {
        let operation = done(*operation);
        let can_be = resource_type.operations();
        if operation != Operation::All && !can_be.contains(&operation) {
            let known: Vec<&str> = can_be.iter().map(|one| one.name()).collect();
            return Err(invalid(format!(
                "spec.acls[{place}].operations has {}, which nobody does with a {}; give All, or \
                 some of {}.",
                operation.name(),
                resource_type.name(),
                known.join(", ")
            )));
        }
        Ok(Acl {
            resource_type,
            resource_name: name.to_owned(),
            pattern_type,
            entry: Entry {
                principal: principal.to_owned(),
                host: given.host.clone(),
                operation,
                permission: match given.permission {
                    AclPermission::Allow => Permission::Allow,
                    AclPermission::Deny => Permission::Deny,
                },
            },
        })
    });
    operations.collect()
}

fn kind(resource: AclResourceType, pattern: AclPattern) -> (ResourceType, PatternType) {
    let resource = match resource {
        AclResourceType::Topic => ResourceType::Topic,
        AclResourceType::Group => ResourceType::Group,
        AclResourceType::Cluster => ResourceType::Cluster,
        AclResourceType::TransactionalId => ResourceType::TransactionalId,
    };
    let pattern = match pattern {
        AclPattern::Literal => PatternType::Literal,
        AclPattern::Prefixed => PatternType::Prefixed,
    };
    (resource, pattern)
}

fn done(operation: AclOperation) -> Operation {
    match operation {
        AclOperation::All => Operation::All,
        AclOperation::Read => Operation::Read,
        AclOperation::Write => Operation::Write,
        AclOperation::Create => Operation::Create,
        AclOperation::Delete => Operation::Delete,
        AclOperation::Alter => Operation::Alter,
        AclOperation::Describe => Operation::Describe,
        AclOperation::ClusterAction => Operation::ClusterAction,
        AclOperation::DescribeConfigs => Operation::DescribeConfigs,
        AclOperation::AlterConfigs => Operation::AlterConfigs,
        AclOperation::IdempotentWrite => Operation::IdempotentWrite,
        AclOperation::TwoPhaseCommit => Operation::TwoPhaseCommit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, acl: &str) -> Result<ValidatedUser, Verdict> {
        let user: KafkaUser = serde_yaml::from_str(&format!(
            "metadata: {{ name: {name} }}\nspec: {{ clusterRef: {{ name: orders }}, \
             authentication: {{ type: MutualTls }}, acls: [{acl}] }}"
        ))
        .unwrap();
        validate(&user)
    }

    #[test]
    fn acls_are_those_of_the_principal_one_an_operation() {
        let acl = "{ resource: { type: Topic, name: pay, pattern: Prefixed }, \
                   operations: [Read, Write], host: 10.0.0.0/8 }, \
                   { resource: { type: Cluster }, operations: [Create] }";
        let valid = user("billing", acl).unwrap();
        assert_eq!(valid.principal(), "User:CN=billing");
        let written: Vec<String> = valid
            .acls
            .iter()
            .map(|acl| {
                let Entry {
                    host, operation, ..
                } = &acl.entry;
                let (what, how) = (acl.resource_type.name(), acl.pattern_type.name());
                format!(
                    "{what} {how} {} {} {host}",
                    acl.resource_name,
                    operation.name()
                )
            })
            .collect();
        let wanted = [
            "Topic Prefixed pay Read 10.0.0.0/8",
            "Topic Prefixed pay Write 10.0.0.0/8",
            "Cluster Literal kafka-cluster Create *",
        ];
        assert_eq!(written, wanted);
        assert!(
            valid
                .acls
                .iter()
                .all(|acl| acl.entry.principal == "User:CN=billing")
        );
    }

    #[test]
    fn quotas_are_by_kafkas_keys_and_none_is_zero() {
        let with = |quotas: &str| {
            user("billing", &format!("], quotas: {{ {quotas} }}, x: [")).map(|user| user.quotas)
        };
        let valid = with("producerByteRate: 1048576, controllerMutationRate: 10").unwrap();
        let told = valid.iter().map(|(key, rate)| (key.name(), rate.value()));
        let told: Vec<_> = told.collect();
        let wanted = [
            ("producer_byte_rate", 1_048_576.0),
            ("controller_mutation_rate", 10.0),
        ];
        assert_eq!(told, wanted);
        let verdict = with("requestPercentage: 0").unwrap_err();
        assert!(
            verdict
                .message
                .contains("spec.quotas.requestPercentage is 0; give 1 or more"),
            "{}",
            verdict.message
        );
    }

    #[test]
    fn what_makes_no_sense_is_named_with_its_place() {
        let acl = |resource: &str, rest: &str| format!("{{ resource: {resource}, {rest} }}");
        let read = "operations: [Read]";
        for (acl, says) in [
            (
                acl("{ type: Topic }", read),
                "spec.acls[0].resource.name is missing",
            ),
            (
                acl("{ type: Cluster, name: x }", read),
                "there is one cluster",
            ),
            (acl("{ type: Cluster }", read), "some of Create, Alter"),
            (
                acl("{ type: Topic, name: '*', pattern: Prefixed }", read),
                "make it Literal",
            ),
            (
                acl(
                    "{ type: Topic, name: x }",
                    "operations: [Read], host: 10.0.0.0/99",
                ),
                "spec.acls[0].host is 10.0.0.0/99",
            ),
        ] {
            let verdict = user("billing", &acl).unwrap_err();
            assert!(verdict.message.contains(says), "{}", verdict.message);
        }
        let verdict = user("Billing", "").unwrap_err();
        assert!(
            verdict.message.contains("metadata.name"),
            "{}",
            verdict.message
        );
    }
}
