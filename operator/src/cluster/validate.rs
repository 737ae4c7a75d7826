//! `KafkaCluster` → [`ValidatedCluster`], or the reason why not.
//!
//! The rules that the CRD states in CEL are stated here again, because local mode has no API
//! server, and because an object may be older than a rule.

mod lifetimes;
mod listeners;
mod security;
mod template;

pub use self::security::is_secured;

use std::collections::{BTreeMap, BTreeSet};

use super::quorum::wanted;
use crate::condition::{ClusterReason, Verdict};
use crate::crd::cluster::{ReclaimPolicy, Storage};
use crate::crd::nodes::ControllersStorage;
use crate::crd::{KafkaCluster, KafkaClusterSpec};
use crate::object::ObjectKey;
use crate::validated::template::PodExtension;
use crate::validated::{REPLICAS_MAX, dedicated};
use crate::validated::{ValidatedCluster, ValidatedControllers};

/// The longest name of a cluster.
pub const NAME_LENGTH_MAX: usize = 40;

/// Settings that the operator itself writes into every broker's file.
const OWN_SETTINGS: &[(&str, &str)] = &[
    ("node.id", "it is the ordinal of the pod"),
    ("broker.id", "it is the ordinal of the pod"),
    (
        "process.roles",
        "spec.controllers and spec.dedicatedControllers say who votes",
    ),
    ("listeners", "use spec.listeners"),
    ("advertised.listeners", "use spec.listeners"),
    (
        "inter.broker.listener.name",
        "it is the first of spec.listeners",
    ),
    (
        "controller.listener.names",
        "brokers use port 9091 among themselves",
    ),
    (
        "controller.quorum.voters",
        "use spec.controllers or spec.dedicatedControllers",
    ),
    ("log.dirs", "use spec.storage"),
    ("log.dir", "use spec.storage"),
    ("broker.rack", "use spec.rack"),
    ("cluster.id", "it is drawn when the cluster is created"),
    ("ottla.http.listener", "it is port 9404"),
    ("ottla.durability", "use spec.durability"),
];

/// Whether the operator itself writes this setting into every broker's file.
#[must_use]
pub fn is_own_setting(key: &str) -> bool {
    OWN_SETTINGS.iter().any(|(own, _)| *own == key)
}

/// The most brokers that restart at a time.
const MAX_UNAVAILABLE_MAX: usize = 50;

/// At less skew replicas would move for every topic that comes and goes.
const SKEW_PERCENT_MIN: i32 = 5;

/// What exists of a cluster, and what was decided when it was created and holds for its life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// How many brokers exist, or have left data behind.
    pub brokers: i32,
    /// The dedicated controllers that do.
    pub controllers: BTreeSet<i32>,
    /// The voters that the nodes' files name.
    pub voters: BTreeSet<i32>,
    /// Whether they know one another by certificates.
    pub mutual_tls: Option<bool>,
}

/// Checks a cluster as a whole. `observed` is what exists of it already.
///
/// # Errors
/// A [`Verdict`] that names the field and how to mend it; nothing of the spec is carried out then.
pub fn validate(cluster: &KafkaCluster, observed: Observed) -> Result<ValidatedCluster, Verdict> {
    let spec = &cluster.spec;
    let key = ObjectKey::of(&cluster.metadata);
    check_name(&key.name)?;
    if !(1..=REPLICAS_MAX).contains(&spec.replicas) {
        return Err(invalid(format!(
            "spec.replicas is {}; it must be from 1 to {REPLICAS_MAX}.",
            spec.replicas
        )));
    }
    let replicas = spec.replicas.max(observed.brokers);
    check_controllers(spec)?;
    check_skew(spec.rebalance_at_skew_percent)?;
    let dedicated = spec.dedicated_controllers.as_ref();
    let are_dedicated = dedicated.map_or(0, |dedicated| dedicated.replicas);
    let voters = wanted(are_dedicated, spec.controllers, spec.replicas);
    listeners::check(&key.name, spec)?;
    let security = security::check(spec, observed.mutual_tls)?;
    let (config, unmanaged) = check_config(&spec.config)?;
    let template = template::check(spec.template.as_ref(), &config)?;
    let controllers = controllers(spec, &observed, (&template.pod, &config))?;
    let (lifetimes, refused) = lifetimes::check(&spec.certificates);
    Ok(ValidatedCluster {
        uid: cluster.metadata.uid.clone().unwrap_or_default(),
        generation: cluster.metadata.generation.unwrap_or_default(),
        replicas,
        ways: replicas,
        leaving: (spec.replicas..replicas).collect(),
        voters: &observed.voters | &voters,
        controllers_wanted: spec.controllers,
        controllers,
        image: Some(spec.image.clone()).filter(|image| !image.is_empty()),
        durability: spec.durability,
        storage: spec.storage.clone(),
        rack: spec.rack.clone(),
        listeners: security::listeners(spec),
        awaited: Vec::new(),
        lifetimes,
        config,
        unmanaged,
        resources: spec.resources.clone().unwrap_or_default(),
        template,
        mutual_tls: security.mutual_tls,
        super_users: security.super_users,
        topic_namespaces: spec.topic_namespaces.match_names.clone(),
        user_namespaces: spec.user_namespaces.match_names.clone(),
        change_policy: spec.change_policy,
        allow_unavailable: spec.allow_unavailable,
        max_unavailable: max_unavailable(spec.max_unavailable)?,
        rebalance_at_skew_percent: spec.rebalance_at_skew_percent,
        refused,
        key,
    })
}

fn invalid(message: String) -> Verdict {
    Verdict::new(ClusterReason::InvalidSpec, message)
}

fn check_skew(percent: Option<i32>) -> Result<(), Verdict> {
    match percent {
        Some(percent) if !(SKEW_PERCENT_MIN..=100).contains(&percent) => Err(invalid(format!(
            "spec.rebalanceAtSkewPercent is {percent}; it must be from {SKEW_PERCENT_MIN} to 100: \
             so many percent of its share a broker lacks before replicas are made even."
        ))),
        _ => Ok(()),
    }
}

fn max_unavailable(count: i32) -> Result<usize, Verdict> {
    let fits = usize::try_from(count).ok();
    let fits = fits.filter(|count| (1..=MAX_UNAVAILABLE_MAX).contains(count));
    fits.ok_or_else(|| {
        invalid(format!(
            "spec.maxUnavailable is {count}; it must be from 1 to {MAX_UNAVAILABLE_MAX}."
        ))
    })
}

fn check_name(name: &str) -> Result<(), Verdict> {
    let bytes = name.as_bytes();
    let fits = (1..=NAME_LENGTH_MAX).contains(&bytes.len())
        && bytes[0].is_ascii_lowercase()
        && bytes[bytes.len() - 1] != b'-'
        && bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
    if fits {
        return Ok(());
    }
    Err(invalid(format!(
        "metadata.name is \"{name}\"; a cluster's name is at most {NAME_LENGTH_MAX} lower-case \
         letters, digits and dashes and starts with a letter."
    )))
}

fn check_controllers(spec: &KafkaClusterSpec) -> Result<(), Verdict> {
    let replicas = spec.replicas;
    let dedicated = spec.dedicated_controllers.as_ref();
    for (field, count) in [
        ("controllers", spec.controllers),
        (
            "dedicatedControllers.replicas",
            dedicated.map(|dedicated| dedicated.replicas),
        ),
    ] {
        if let Some(count) = count.filter(|count| ![1, 3, 5].contains(count)) {
            return Err(invalid(format!(
                "spec.{field} is {count}; it must be 1, 3 or 5."
            )));
        }
    }
    let Some(controllers) = spec.controllers else {
        return Ok(());
    };
    if dedicated.is_some() {
        return Err(invalid(
            "spec.controllers has brokers vote and spec.dedicatedControllers has others vote; \
             remove one of the two."
                .to_owned(),
        ));
    }
    if controllers > replicas {
        return Err(invalid(format!(
            "spec.controllers is {controllers} but there are only {replicas} brokers; controllers \
             are brokers, so raise spec.replicas or lower spec.controllers."
        )));
    }
    Ok(())
}

/// The dedicated controllers: those wanted and those that exist, with what the spec has for them,
/// or for brokers where it has nothing for them any more.
fn controllers(
    spec: &KafkaClusterSpec,
    observed: &Observed,
    (pod, config): (&PodExtension, &BTreeMap<String, String>),
) -> Result<ValidatedControllers, Verdict> {
    let given = spec.dedicated_controllers.as_ref();
    let wanted = given.map_or(0, |given| given.replicas);
    let template = given.and_then(|given| given.template.as_ref());
    let storage = match given.and_then(|given| given.storage.as_ref()) {
        Some(storage) => Some(own_storage(storage, spec.storage.as_ref())?),
        None => spec.storage.clone(),
    };
    Ok(ValidatedControllers {
        wanted,
        ids: &observed.controllers | &dedicated(wanted),
        known: observed.controllers.clone(),
        vote_beside_brokers: false,
        storage,
        resources: given
            .and_then(|given| given.resources.clone())
            .unwrap_or_default(),
        pod: match template {
            Some(template) => template::check_controllers(template, config)?,
            None => pod.clone(),
        },
    })
}

/// The disk of each controller where the spec has one for them, beside that of each broker.
fn own_storage(own: &ControllersStorage, of_brokers: Option<&Storage>) -> Result<Storage, Verdict> {
    let brokers = of_brokers.map(|storage| storage.reclaim_policy);
    let policy = own.reclaim_policy.or(brokers).unwrap_or_default();
    if policy == ReclaimPolicy::Delete && brokers == Some(ReclaimPolicy::Retain) {
        return Err(invalid(
            "spec.dedicatedControllers.storage.reclaimPolicy is Delete but spec.storage keeps the \
             records, which nobody can read without what the controllers have; leave it out, or \
             set both to Delete."
                .to_owned(),
        ));
    }
    Ok(Storage {
        size: own.size.clone(),
        storage_class_name: own.storage_class_name.clone(),
        reclaim_policy: policy,
    })
}

type Settings = (BTreeMap<String, String>, BTreeSet<String>);

fn check_config(config: &crate::crd::KafkaConfig) -> Result<Settings, Verdict> {
    let mut managed = BTreeMap::new();
    let mut unmanaged = BTreeSet::new();
    for (key, value) in config {
        if let Some((_, instead)) = OWN_SETTINGS.iter().find(|(own, _)| own == key) {
            return Err(invalid(format!(
                "spec.config may not set {key}: {instead}."
            )));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if key.is_empty() || !key.chars().all(plain) {
            return Err(invalid(format!(
                "spec.config has the key \"{}\", which is not a setting of Kafka's.",
                key.escape_default()
            )));
        }
        match value {
            Some(value) if value.chars().any(char::is_control) => {
                return Err(invalid(format!(
                    "spec.config.{key} has a line break or another control character; values are \
                     one line."
                )));
            }
            Some(value) => drop(managed.insert(key.clone(), value.clone())),
            None => drop(unmanaged.insert(key.clone())),
        }
    }
    Ok((managed, unmanaged))
}

#[cfg(test)]
mod tests;
