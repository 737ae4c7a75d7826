//! Objects that no broker needs any more are deleted.

use std::collections::BTreeSet;
use std::fmt::Debug;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams};
use serde::de::DeserializeOwned;
use tracing::warn;

use super::apply::{not_taken, stranger};
use super::build::pods::{CONFIG_MAP, has_budget};
use super::build::routes::{self, TLS_ROUTE};
use super::build::services;
use super::pool::Pool;
use super::{Pods, state};

impl Pods {
    /// Deletes ConfigMaps that no pod takes its settings from any more.
    pub(super) async fn prune_config_maps(&mut self) {
        let used: BTreeSet<&String> = self
            .seen
            .pods
            .values()
            .filter_map(|pod| pod.annotations().get(CONFIG_MAP))
            .collect();
        let sets = self.seen.sets.values();
        let templates: BTreeSet<String> = sets.filter_map(state::template_config_map).collect();
        let config_maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let is_idle = |name: &&String| {
            let current = **name == self.config_map || templates.contains(*name);
            !current && !used.contains(*name)
        };
        let idle: Vec<String> = self
            .seen
            .config_maps
            .keys()
            .filter(is_idle)
            .cloned()
            .collect();
        for name in idle {
            // One that was deleted may be wanted again, before the watch tells that it is gone.
            if self.delete("ConfigMap", &name, &config_maps).await {
                self.applier.forget("ConfigMap", &name);
                self.seen.config_maps.remove(&name);
                self.settings.remove(&name);
            }
        }
    }

    /// Deletes the Services of listeners that are gone and of brokers that are no more, and what
    /// leads to them, once no broker tells clients of them.
    pub(super) async fn prune_services(&mut self) {
        let Some(spec) = &self.spec else {
            return;
        };
        let config_map = Some(&self.config_map);
        let mut pods = self.seen.pods.values();
        let tells = |pod: &Pod| pod.annotations().get(CONFIG_MAP) != config_map;
        if self.seen.pods.is_empty() || pods.any(tells) {
            return;
        }
        let wanted = services::names(spec);
        let led: BTreeSet<(&str, String)> = routes::names(spec).collect();
        let is_led = |kind: &str, name: &str| led.iter().any(|(k, n)| *k == kind && n == name);
        // Nobody watches routes: by the Services that they lead to the next operator knows of them.
        let are_gone = self.prune_routes(|name| is_led(TLS_ROUTE, name)).await;
        let is_ours = |found: &ObjectMeta| {
            let (kind, cluster) = ("KafkaCluster", &self.cluster);
            stranger(found, kind, cluster, cluster).is_none()
        };
        let routed = match are_gone {
            true => Vec::new(),
            false => self.routed_services(),
        };
        let stays = |name: &str| routed.iter().any(|of| services::is_of(of, name));
        let seen = self.seen.services.iter().filter(|(name, _)| !stays(name));
        let idle = seen.filter(|(name, one)| !wanted.contains(*name) && is_ours(&one.metadata));
        let idle: Vec<String> = idle.map(|(name, _)| name.clone()).collect();
        let seen = self.seen.ingresses.iter();
        let unled = seen.filter(|(name, one)| !is_led("Ingress", name) && is_ours(&one.metadata));
        let unled: Vec<String> = unled.map(|(name, _)| name.clone()).collect();
        let all: Api<Service> = Api::namespaced(self.client.clone(), &self.namespace);
        for name in idle {
            if self.delete("Service", &name, &all).await {
                self.applier.forget("Service", &name);
                self.seen.services.remove(&name);
            }
        }
        let all: Api<Ingress> = Api::namespaced(self.client.clone(), &self.namespace);
        for name in unled {
            if self.delete("Ingress", &name, &all).await {
                self.applier.forget("Ingress", &name);
                self.seen.ingresses.remove(&name);
            }
        }
    }

    /// Deletes what was made for controllers once none is there to be; their pods go with it. Their
    /// PodDisruptionBudget goes also while they share that of the brokers.
    pub(super) async fn prune_controllers(&mut self) {
        let Some(spec) = &self.spec else {
            return;
        };
        let is_needed = Pool::Controllers.is_needed(spec);
        if is_needed && has_budget(spec, Pool::Controllers) {
            return;
        }
        let name = Pool::Controllers.set(&self.cluster);
        let of = |kind: &str| (kind.to_owned(), name.clone());
        // One of another cluster of that name is not among those seen.
        if !is_needed && self.seen.versions.contains_key(&of("StatefulSet")) {
            let sets: Api<StatefulSet> = Api::namespaced(self.client.clone(), &self.namespace);
            if self.delete("StatefulSet", &name, &sets).await {
                self.applier.forget("StatefulSet", &name);
                self.seen.sets.remove(&Pool::Controllers);
                self.templates.remove(&Pool::Controllers);
            }
        }
        if self.seen.versions.contains_key(&of("PodDisruptionBudget")) {
            let budgets: Api<PodDisruptionBudget> =
                Api::namespaced(self.client.clone(), &self.namespace);
            if self.delete("PodDisruptionBudget", &name, &budgets).await {
                self.applier.forget("PodDisruptionBudget", &name);
            }
        }
    }

    /// Deletes an object; says whether it is gone. Where it cannot be deleted it is tried again,
    /// less and less often: nobody needs to wait for that.
    pub(super) async fn delete<K>(&mut self, kind: &str, name: &str, all: &Api<K>) -> bool
    where
        K: Clone + DeserializeOwned + Debug,
    {
        let target = (kind.to_owned(), name.to_owned());
        if self.refusals.waits(&target, "").is_some() {
            return false;
        }
        let deleted = match all.delete(name, &DeleteParams::default()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(not_taken(
                "deletion of the",
                &format!("{kind} {name}"),
                &error,
            )),
        };
        if let Err(why) = &deleted {
            warn!(
                "KafkaCluster {}/{}: {}",
                self.namespace, self.cluster, why.message
            );
        }
        self.refusals.note(&target, "", deleted.as_ref().copied());
        deleted.is_ok()
    }
}
