//! [`ValidatedCluster`] → what a platform applies. Pure.
//!
//! On Kubernetes these objects, applied in the order of the fields of [`Resources`]: a pod finds
//! its Services and its ConfigMap when it starts, and the PodDisruptionBudget guards it from then.

pub mod config;
pub mod network;
pub mod pods;
pub mod services;

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::validate::ValidatedCluster;
use crate::crd::API_VERSION;

/// What is known of the surroundings when objects are built.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The uid of the KafkaCluster, which owns all objects.
    pub uid: String,
    /// The broker's image where the spec names none.
    pub image: String,
    /// The size that the StatefulSet was created with, which it cannot change.
    pub volume_size: Option<String>,
    /// Whether all brokers have been placed on nodes once.
    pub placed: bool,
    /// The ConfigMap that new pods take their settings from.
    pub config_map: String,
}

/// The objects of a cluster, but for the ConfigMaps, which follow the brokers' settings.
#[derive(Clone, Debug)]
pub struct Resources {
    /// How brokers and clients find each other.
    pub services: Vec<Service>,
    /// The brokers' pods and volumes.
    pub stateful_set: StatefulSet,
    /// Who may connect to the brokers.
    pub network_policy: NetworkPolicy,
    /// How many brokers may be evicted at a time.
    pub disruption_budget: PodDisruptionBudget,
}

/// Builds all objects.
#[must_use]
pub fn build(cluster: &ValidatedCluster, around: &Surroundings) -> Resources {
    Resources {
        services: services::build(cluster, around),
        stateful_set: pods::build_stateful_set(cluster, around),
        network_policy: network::build(cluster, around),
        disruption_budget: pods::build_disruption_budget(cluster, around),
    }
}

/// The labels by which the objects of a cluster are found.
#[must_use]
pub fn labels(cluster: &str) -> BTreeMap<String, String> {
    let mut labels = selector(cluster);
    let managed = "app.kubernetes.io/managed-by".to_owned();
    labels.insert(managed, crate::crd::FIELD_MANAGER.to_owned());
    labels
}

/// The labels by which Services and the StatefulSet choose the pods of a cluster.
#[must_use]
pub fn selector(cluster: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("app.kubernetes.io/name".to_owned(), "ottla".to_owned()),
        ("app.kubernetes.io/instance".to_owned(), cluster.to_owned()),
        (
            "app.kubernetes.io/component".to_owned(),
            "broker".to_owned(),
        ),
    ])
}

/// The metadata of an object that belongs to a cluster.
#[must_use]
pub fn metadata(cluster: &ValidatedCluster, uid: &str, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(cluster.key.namespace.clone()),
        labels: Some(labels(&cluster.key.name)),
        owner_references: Some(vec![OwnerReference {
            api_version: API_VERSION.to_owned(),
            kind: "KafkaCluster".to_owned(),
            name: cluster.key.name.clone(),
            uid: uid.to_owned(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests;
