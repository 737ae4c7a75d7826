//! Objects that no broker needs any more are deleted.

use std::collections::BTreeSet;
use std::fmt::Debug;

use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams};
use serde::de::DeserializeOwned;
use tracing::warn;

use super::apply::not_taken;
use super::build::pods::CONFIG_MAP;
use super::build::services;
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
        let template = self
            .seen
            .stateful_set
            .as_ref()
            .and_then(state::template_config_map);
        let config_maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let is_idle = |name: &&String| {
            let current = **name == self.config_map || Some(*name) == template.as_ref();
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

    /// Deletes the Services of listeners that are gone and of brokers that are no more, once no
    /// broker tells clients of them.
    pub(super) async fn prune_services(&mut self) {
        let Some(spec) = &self.spec else {
            return;
        };
        let config_map = Some(&self.config_map);
        let mut pods = self.seen.pods.values();
        if !pods.all(|pod| pod.annotations().get(CONFIG_MAP) == config_map) {
            return;
        }
        let wanted = services::build(spec);
        let wanted: BTreeSet<String> = wanted.iter().map(ResourceExt::name_any).collect();
        let is_ours = |service: &Service| {
            let mut owners = service.owner_references().iter();
            owners.any(|one| one.kind == "KafkaCluster" && one.name == self.cluster)
        };
        let seen = self.seen.services.iter();
        let idle = seen.filter(|(name, service)| !wanted.contains(*name) && is_ours(service));
        let idle: Vec<String> = idle.map(|(name, _)| name.clone()).collect();
        let all: Api<Service> = Api::namespaced(self.client.clone(), &self.namespace);
        for name in idle {
            if self.delete("Service", &name, &all).await {
                self.applier.forget("Service", &name);
                self.seen.services.remove(&name);
            }
        }
    }

    /// Deletes an object; says whether it is gone. Where it cannot be deleted it is tried again,
    /// less and less often: nobody needs to wait for that.
    async fn delete<K>(&mut self, kind: &str, name: &str, all: &Api<K>) -> bool
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
