//! What `spec.template` adds to the objects of a cluster.
//!
//! Invariant: without a template the objects are what they would be without this file.

use k8s_openapi::api::core::v1::{PodSpec, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::super::pool::Pool;
use super::selector;
use crate::validated::ValidatedCluster;
use crate::validated::template::PodExtension;

/// What is added to the pods of a pool.
pub fn of(cluster: &ValidatedCluster, pool: Pool) -> &PodExtension {
    match pool {
        Pool::Brokers => &cluster.template.pod,
        Pool::Controllers => &cluster.controllers.pod,
    }
}

/// Adds to a pod.
pub fn pod(pod: &mut PodSpec, cluster: &ValidatedCluster, pool: Pool) {
    let given = of(cluster, pool).clone();
    pod.termination_grace_period_seconds = Some(given.termination_grace_seconds);
    pod.image_pull_secrets = some(given.image_pull_secrets);
    pod.tolerations = some(given.tolerations);
    pod.node_selector = Some(given.node_selector).filter(|labels| !labels.is_empty());
    pod.affinity = given.affinity;
    pod.priority_class_name = given.priority_class_name;
    pod.service_account_name = given.service_account_name;
    if let Some(security_context) = given.security_context {
        pod.security_context = Some(security_context);
    }
    let mut spread = given.topology_spread_constraints;
    if !spread.is_empty() {
        for constraint in &mut spread {
            constraint
                .label_selector
                .get_or_insert_with(|| LabelSelector {
                    match_labels: Some(selector(&cluster.key.name, pool)),
                    ..LabelSelector::default()
                });
        }
        pod.topology_spread_constraints = Some(spread);
    }
    if let Some(broker) = pod.containers.first_mut() {
        broker.env.get_or_insert_default().extend(given.env);
        broker
            .volume_mounts
            .get_or_insert_default()
            .extend(given.volume_mounts);
    }
    pod.volumes.get_or_insert_default().extend(given.volumes);
    pod.containers.extend(given.containers);
    pod.init_containers = some(given.init_containers);
}

/// Adds to a Service.
pub fn service(service: &mut Service, cluster: &ValidatedCluster) {
    let (labels, annotations) = cluster.template.service.clone();
    let own = service.metadata.labels.get_or_insert_default();
    for (key, value) in labels {
        own.entry(key).or_insert(value);
    }
    if !annotations.is_empty() {
        // what is for one listener goes before what is for all
        let own = service.metadata.annotations.get_or_insert_default();
        for (key, value) in annotations {
            own.entry(key).or_insert(value);
        }
    }
}

fn some<T>(items: Vec<T>) -> Option<Vec<T>> {
    Some(items).filter(|items| !items.is_empty())
}
