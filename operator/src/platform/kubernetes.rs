//! Brokers as pods of a StatefulSet.
//!
//! What exists is seen through watches ([`Seen`]), not asked for; what is applied goes through
//! [`apply`], which writes only what changed. Settings live in ConfigMaps named after a fingerprint
//! of those that need a restart: a pod names the one it was started with, so what a broker runs
//! with is known, and a pod that starts anew takes exactly the settings it was meant to.
//!
//! Invariant: a pod is deleted only by [`Platform::restart`], and a volume never.

pub mod apply;
pub mod build;
mod state;
mod volumes;
pub mod watched;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, Service};
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::{Client, ResourceExt};

use self::apply::Applier;
use self::build::pods::{CONFIG_MAP, DATA_DIR, DATA_VOLUME, RACK};
use self::build::{Surroundings, services};
use self::volumes::Volumes;
use self::watched::{Seen, Watched};
use super::{BrokerState, ClientEndpoint, Endpoints, Listener, NotYet, Platform, Properties};
use crate::cluster::validate::{HTTP_PORT, PEER_PORT, ValidatedCluster};
use crate::crd::cluster::ListenerType;
use crate::crd::{self, FIELD_MANAGER};
use crate::object::ObjectKey;

/// What the operator's own options say about pods.
#[derive(Clone, Debug)]
pub struct PodOptions {
    /// The brokers' image where a spec names none.
    pub image: String,
    /// Whether brokers get a NetworkPolicy.
    pub has_network_policy: bool,
}

/// The pods of one cluster.
pub struct Pods {
    client: Client,
    watched: Watched,
    namespace: String,
    cluster: String,
    options: PodOptions,
    seen: Seen,
    spec: Option<ValidatedCluster>,
    applier: Applier,
    /// Settings in ConfigMaps: what was written, until the watch tells of it.
    settings: BTreeMap<String, BTreeMap<i32, Properties>>,
    config_map: String,
    racks: BTreeMap<String, Option<String>>,
    annotated: BTreeSet<String>,
    /// The uids of pods that were deleted here, until the watch tells of it: until then they look
    /// as if they served, and another could be chosen to go.
    deleted: BTreeSet<String>,
    volumes: Volumes,
}

impl Pods {
    /// The pods of a cluster, of which nothing has been seen yet.
    #[must_use]
    pub fn new(client: Client, watched: Watched, cluster: &ObjectKey, options: PodOptions) -> Self {
        Self {
            watched,
            applier: Applier::new(client.clone(), &cluster.namespace),
            client,
            namespace: cluster.namespace.clone(),
            cluster: cluster.name.clone(),
            options,
            seen: Seen::default(),
            spec: None,
            settings: BTreeMap::new(),
            config_map: String::new(),
            racks: BTreeMap::new(),
            annotated: BTreeSet::new(),
            deleted: BTreeSet::new(),
            volumes: Volumes::default(),
        }
    }

    /// Takes what the watches told.
    fn see(&mut self) {
        let seen = self.watched.of(&self.namespace, &self.cluster);
        for (name, config_map) in &seen.config_maps {
            self.settings.insert(name.clone(), self.read(config_map));
        }
        self.seen = seen;
        let uids: BTreeSet<String> = self.seen.pods.values().filter_map(Pod::uid).collect();
        self.deleted.retain(|uid| uids.contains(uid));
        let deleted = &self.deleted;
        let is_gone = |pod: &Pod| {
            pod.metadata.deletion_timestamp.is_none()
                && pod.uid().is_some_and(|uid| deleted.contains(&uid))
        };
        self.seen.pods.retain(|_, pod| !is_gone(pod));
    }

    fn pod(&self, broker: i32) -> String {
        format!("{}-{broker}", self.cluster)
    }

    /// The port of every node that leads to one broker; none where it is not known yet.
    fn node_port(&self, listener: &str, broker: i32) -> Option<i32> {
        let service = services::external(&self.cluster, listener, broker);
        self.seen.services.get(&service).and_then(state::node_port)
    }

    fn has_all_node_ports<'a>(&self, mut brokers: impl Iterator<Item = &'a i32>) -> bool {
        let listeners = self.spec.iter().flat_map(|spec| &spec.listeners);
        let external = listeners.filter(|listener| listener.type_ == ListenerType::NodePort);
        let external: Vec<&str> = external.map(|listener| listener.name.as_str()).collect();
        brokers.all(|broker| {
            let mut listeners = external.iter();
            listeners.all(|listener| self.node_port(listener, *broker).is_some())
        })
    }

    fn read(&self, config_map: &ConfigMap) -> BTreeMap<i32, Properties> {
        let data = config_map.data.iter().flatten();
        let brokers = data.filter_map(|(file, text)| {
            let ordinal = file.strip_suffix(".properties")?.rsplit_once('-')?.1;
            Some((ordinal.parse().ok()?, parse(text)))
        });
        brokers.collect()
    }

    /// Writes one ConfigMap with the settings that are known for it.
    async fn write_settings(&mut self, name: &str) -> Result<(), kube::Error> {
        let Some(spec) = &self.spec else {
            return Ok(());
        };
        let settings = self.settings.get(name).into_iter().flatten();
        let files = settings.map(|(broker, settings)| {
            (
                format!("{}.properties", self.pod(*broker)),
                render(settings),
            )
        });
        let config_map = ConfigMap {
            metadata: build::metadata(spec, name.to_owned()),
            data: Some(files.collect()),
            ..ConfigMap::default()
        };
        let object = apply::dynamic("v1", "ConfigMap", &config_map);
        let seen = self.seen.config_maps.get(name).map(apply::version);
        self.applier.apply(object, seen).await.map(drop)
    }

    /// Tells pods that were placed which rack they stand in.
    async fn tell_racks(&mut self) {
        let Some(rack) = self.spec.as_ref().and_then(|spec| spec.rack.as_ref()) else {
            return;
        };
        let key = &rack.topology_key;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        for pod in self.seen.pods.values() {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
            let uid = pod.uid().unwrap_or_default();
            let told = pod.annotations().contains_key(RACK) || self.annotated.contains(&uid);
            let (Some(node), false) = (node, told) else {
                continue;
            };
            if !self.racks.contains_key(&node) {
                let nodes: Api<Node> = Api::all(self.client.clone());
                let Ok(found) = nodes.get(&node).await else {
                    continue;
                };
                self.racks
                    .insert(node.clone(), found.labels().get(key).cloned());
            }
            let Some(Some(rack)) = self.racks.get(&node) else {
                continue;
            };
            let patch = serde_json::json!({ "metadata": { "annotations": { RACK: rack } } });
            let told = pods
                .patch(
                    &pod.name_any(),
                    &PatchParams::default(),
                    &Patch::Merge(patch),
                )
                .await;
            if told.is_ok() {
                self.annotated.insert(uid);
            }
        }
    }

    /// Asks for larger volumes where the spec does.
    async fn grow_volumes(&mut self) {
        let Some(storage) = self.spec.as_ref().and_then(|spec| spec.storage.as_ref()) else {
            return;
        };
        for (broker, pod) in &self.seen.pods {
            let claim = format!("{DATA_VOLUME}-{}", pod.name_any());
            let claims = Api::namespaced(self.client.clone(), &self.namespace);
            let grow = self.volumes.grow(&claims, *broker, &claim, &storage.size);
            grow.await;
        }
    }

    /// Deletes ConfigMaps that no pod takes its settings from any more.
    async fn prune(&mut self) {
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
            let deleted = config_maps.delete(&name, &DeleteParams::default()).await;
            // One that cannot be deleted now is tried again with the next change. One that was may
            // be wanted again, before the watch tells that it is gone.
            if deleted.is_ok() {
                self.applier.forget("ConfigMap", &name);
                self.seen.config_maps.remove(&name);
                self.settings.remove(&name);
            }
        }
    }

    async fn apply_objects(&mut self) -> Result<(), kube::Error> {
        let Some(spec) = &self.spec else {
            return Ok(());
        };
        let around = Surroundings {
            image: self.options.image.clone(),
            volume_size: self.seen.stateful_set.as_ref().and_then(state::volume_size),
            placed: state::is_placed(&self.seen),
            config_map: self.config_map.clone(),
            has_network_policy: self.options.has_network_policy,
        };
        for object in build::build(spec, &around) {
            let kind = object
                .types
                .as_ref()
                .map_or(String::new(), |types| types.kind.clone());
            let key = (kind, object.name_any());
            let version = self.seen.versions.get(&key).cloned();
            let applied = self.applier.apply(object, version).await?;
            // Its node ports are needed before the watch tells of them.
            if let Some(applied) = applied.filter(|_| key.0 == "Service")
                && let Ok(service) = applied.try_parse::<Service>()
            {
                self.seen.services.insert(key.1, service);
            }
        }
        Ok(())
    }
}

impl Platform for Pods {
    fn follow(&mut self, cluster: &ValidatedCluster) {
        self.spec = Some(cluster.clone());
    }

    fn lay_out(&self, brokers: i32, listeners: &[Listener]) -> BTreeMap<i32, Endpoints> {
        let headless = services::headless(&self.cluster);
        let endpoints = |broker: i32| {
            let host = format!("{}.{headless}.{}.svc", self.pod(broker), self.namespace);
            let clients = listeners.iter().map(|listener| {
                let advertised = if listener.is_external {
                    let port = self.node_port(&listener.name, broker);
                    format!("${{env:HOST_IP}}:{}", port.unwrap_or(0))
                } else {
                    format!("{host}:{}", listener.port)
                };
                ClientEndpoint {
                    name: listener.name.clone(),
                    bind: format!("0.0.0.0:{}", listener.port),
                    advertised,
                }
            });
            Endpoints {
                clients: clients.collect(),
                peer_bind: format!("0.0.0.0:{PEER_PORT}"),
                peer_advertised: format!("{host}:{PEER_PORT}"),
                http_bind: format!("0.0.0.0:{HTTP_PORT}"),
                log_dir: DATA_DIR.into(),
                // The broker learns it when its pod has been placed.
                rack: None,
            }
        };
        (0..brokers)
            .map(|broker| (broker, endpoints(broker)))
            .collect()
    }

    fn bootstrap(&self, _: &BTreeMap<i32, Endpoints>) -> BTreeMap<String, String> {
        let hosts = state::hosts(&self.seen);
        let internal = services::bootstrap(&self.cluster);
        let address = |listener: &crd::cluster::Listener| match listener.type_ {
            ListenerType::Internal => {
                let port = listener.port;
                Some(format!("{internal}.{}.svc:{port}", self.namespace))
            }
            ListenerType::NodePort => {
                let service = services::external_bootstrap(&self.cluster, &listener.name);
                let port = state::node_port(self.seen.services.get(&service)?)?;
                // Any node's address will do with this port; those with brokers are there for sure.
                let hosts = hosts.iter().map(|host| format!("{host}:{port}"));
                let hosts: Vec<String> = hosts.collect();
                Some(hosts.join(",")).filter(|hosts| !hosts.is_empty())
            }
        };
        let listeners = self.spec.iter().flat_map(|spec| &spec.listeners);
        let addresses = listeners.filter_map(|one| Some((one.name.clone(), address(one)?)));
        addresses.collect()
    }

    async fn prepare(
        &mut self,
        desired: &BTreeMap<i32, Properties>,
        fingerprint: u64,
    ) -> Result<(), NotYet> {
        let failed = |error: kube::Error| NotYet {
            is_stuck: matches!(&error, kube::Error::Api(status) if status.code < 500),
            message: format!("Kubernetes does not take the objects: {error}."),
        };
        let all_known = self.has_all_node_ports(desired.keys());
        if all_known {
            let name = format!("{}-config-{fingerprint:016x}", self.cluster);
            let known = self.settings.entry(name.clone()).or_default();
            let before = known.len();
            for (broker, settings) in desired {
                known.entry(*broker).or_insert_with(|| settings.clone());
            }
            let is_new = known.len() != before || !self.seen.config_maps.contains_key(&name);
            self.config_map.clone_from(&name);
            if is_new {
                self.write_settings(&name).await.map_err(failed)?;
            }
        }
        if !self.config_map.is_empty() || !all_known {
            self.apply_objects().await.map_err(failed)?;
        }
        if !all_known {
            return Err(NotYet {
                is_stuck: false,
                message: "Ports of the nodes are being assigned to the brokers.".to_owned(),
            });
        }
        self.tell_racks().await;
        self.grow_volumes().await;
        self.prune().await;
        Ok(())
    }

    fn take_news(&mut self) -> bool {
        self.volumes.take_news()
    }

    async fn observe(&mut self) -> BTreeMap<i32, BrokerState> {
        self.see();
        let mut states = state::observe(&self.seen, &self.settings);
        for (broker, why) in self.volumes.refused() {
            // A broker with another failure says that one first.
            if let Some(state) = states.get_mut(broker)
                && state.failure.is_none()
            {
                state.failure = Some(super::Failure::Storage);
                state.message.clone_from(why);
            }
        }
        states
    }

    /// The StatefulSet brings the pod into being; its settings were written by `prepare`.
    async fn start(&mut self, _: i32, _: &Properties) {}

    async fn restart(&mut self, broker: i32, _: &Properties) {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let Some(pod) = self.seen.pods.get(&broker) else {
            return;
        };
        // Only the pod that the plan was made for: not one that has come in its place since.
        let only = DeleteParams {
            preconditions: Some(kube::api::Preconditions {
                uid: pod.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        // One that is gone already is what was wanted; else the next step tries again.
        if pods.delete(&self.pod(broker), &only).await.is_ok() {
            self.deleted.extend(pod.uid());
            self.seen.pods.remove(&broker);
        }
    }

    async fn keep(&mut self, broker: i32, settings: &Properties) {
        let pod = self.seen.pods.get(&broker);
        let named = pod
            .and_then(|pod| pod.annotations().get(CONFIG_MAP))
            .cloned();
        let name = named.unwrap_or_else(|| self.config_map.clone());
        let known = self.settings.entry(name.clone()).or_default();
        known.insert(broker, settings.clone());
        // Where it fails, the watch brings back what is there, and the change is made again.
        let _ = self.write_settings(&name).await;
    }
}

fn render(settings: &Properties) -> String {
    let lines = settings
        .iter()
        .map(|(key, value)| format!("{key}={value}\n"));
    lines.collect()
}

fn parse(text: &str) -> Properties {
    let lines = text.lines().filter_map(|line| line.split_once('='));
    lines
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// The parameters of every server-side apply: ours is the only hand on the fields we name.
#[must_use]
pub fn apply_params() -> PatchParams {
    PatchParams::apply(FIELD_MANAGER).force()
}
