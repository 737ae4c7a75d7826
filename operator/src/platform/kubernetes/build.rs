//! [`ValidatedCluster`] → the objects that are applied. Pure.
//!
//! They are applied in the order of [`build`]: a pod finds its Services and its ConfigMap when it
//! starts, and the PodDisruptionBudget guards it from then.

mod extend;
pub mod network;
pub mod pods;
pub mod routes;
pub mod services;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::DynamicObject;

use super::apply::dynamic;
use super::pool::Pool;
use crate::crd::API_VERSION;
use crate::validated::ValidatedCluster;

/// The label that tells brokers and controllers apart.
pub const COMPONENT: &str = "app.kubernetes.io/component";

/// What is known of one StatefulSet when it is built.
#[derive(Clone, Debug, Default)]
pub struct KnownSet {
    /// The size of volumes that it was created with, which it cannot change.
    pub volume_size: Option<String>,
    /// Whether all its pods have been placed on nodes once.
    pub placed: bool,
    /// The template of pods that stays, whatever the spec says, while a change is held.
    pub held: Option<PodTemplateSpec>,
}

/// What is known of the surroundings when objects are built.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The image of brokers and controllers where the spec names none.
    pub image: String,
    /// The StatefulSets as they are.
    pub sets: BTreeMap<Pool, KnownSet>,
    /// The ConfigMap that new pods take their settings from; empty: there is none yet.
    pub config_map: String,
    /// The generation of the spec that pods are made by now.
    pub generation: Option<i64>,
    /// Whether brokers get a NetworkPolicy.
    pub has_network_policy: bool,
    /// The version of TLSRoute that the API server has; empty: none, or nobody needs it.
    pub route_version: String,
    /// The namespaces whose pods may fetch metrics by it; none: all.
    pub metrics_namespaces: Vec<String>,
}

/// Builds all objects but the ConfigMaps, which follow the brokers' settings.
#[must_use]
pub fn build(cluster: &ValidatedCluster, around: &Surroundings) -> Vec<DynamicObject> {
    let services = services::build(cluster);
    let services = services.iter().map(|s| dynamic("v1", "Service", s));
    let mut objects: Vec<_> = services.collect();
    objects.extend(routes::build(cluster, &around.route_version));
    let pools = Pool::ALL.into_iter();
    let pools: Vec<Pool> = pools.filter(|pool| pool.is_needed(cluster)).collect();
    // No pod is without one in between; one that is under both is not evicted meanwhile.
    for pool in pools
        .iter()
        .rev()
        .filter(|pool| pods::has_budget(cluster, **pool))
    {
        let budget = pods::build_disruption_budget(cluster, *pool);
        objects.push(dynamic("policy/v1", "PodDisruptionBudget", &budget));
    }
    if around.has_network_policy {
        let policy = network::build(cluster, &around.metrics_namespaces);
        objects.push(dynamic("networking.k8s.io/v1", "NetworkPolicy", &policy));
    }
    // Without settings there is nothing yet for pods to start with.
    for pool in pools.iter().filter(|_| !around.config_map.is_empty()) {
        let set = pods::build_stateful_set(cluster, *pool, around);
        objects.push(dynamic("apps/v1", "StatefulSet", &set));
    }
    objects
}

/// The labels by which the objects of a cluster are found.
#[must_use]
pub fn labels(cluster: &str, pool: Pool) -> BTreeMap<String, String> {
    let mut labels = selector(cluster, pool);
    let managed = "app.kubernetes.io/managed-by".to_owned();
    labels.insert(managed, crate::crd::FIELD_MANAGER.to_owned());
    labels
}

/// The labels by which Services and the StatefulSet choose the pods of a pool.
#[must_use]
pub fn selector(cluster: &str, pool: Pool) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("app.kubernetes.io/name".to_owned(), "ottla".to_owned()),
        ("app.kubernetes.io/instance".to_owned(), cluster.to_owned()),
        (COMPONENT.to_owned(), pool.component().to_owned()),
    ])
}

/// The metadata of an object that belongs to a cluster, and to a pool of it; what is for all is the
/// brokers'.
#[must_use]
pub fn metadata(cluster: &ValidatedCluster, pool: Pool, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(cluster.key.namespace.clone()),
        labels: Some(labels(&cluster.key.name, pool)),
        owner_references: Some(vec![OwnerReference {
            api_version: API_VERSION.to_owned(),
            kind: "KafkaCluster".to_owned(),
            name: cluster.key.name.clone(),
            uid: cluster.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests;
