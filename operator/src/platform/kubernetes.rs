//! Brokers as pods of a StatefulSet.
//!
//! What exists is seen through watches ([`Seen`]), not asked for; what is applied goes through
//! [`apply`], which writes only what changed. Settings live in ConfigMaps ([`settings`]): a pod
//! names the one it was started with, so what a broker runs with is known, and a pod that starts
//! anew takes exactly the settings it was meant to.
//!
//! Invariant: a pod is deleted only by [`Platform::restart`], and a volume never.

pub mod addresses;
pub mod apply;
pub mod build;
mod config_maps;
mod evictions;
mod held;
mod leftovers;
pub mod quantity;
mod racks;
pub mod refusals;
mod reports;
mod settings;
mod state;
mod volumes;
pub mod watched;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec, Service};
use kube::api::{Api, PatchParams};
use kube::{Client, ResourceExt};
use ottla_core::config::settings::listener::host_and_port;

use self::addresses::{anywhere, of_own_node};
use self::apply::Applier;
use self::build::pods::{CERTIFICATES_DIR, CONFIG_MAP, DATA_DIR, DATA_VOLUME};
use self::build::pods::{GENERATION, build_template};
use self::build::{Surroundings, services};
use self::refusals::Refusals;
use self::reports::Reports;
use self::volumes::Volumes;
use self::watched::{Seen, Watched};
use super::{
    BrokerState, ClientEndpoint, Endpoints, Listener, NotYet, Platform, Properties, Remake, pages,
};
use crate::crd::cluster::{ChangePolicy, ListenerType};
use crate::crd::{self, FIELD_MANAGER};
use crate::object::ObjectKey;
use crate::observed::RestartCheck;
use crate::validated::{HTTP_PORT, PEER_PORT, ValidatedCluster};

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
    /// What listens on all addresses of a pod.
    anywhere: &'static str,
    seen: Seen,
    spec: Option<ValidatedCluster>,
    applier: Applier,
    /// Settings in ConfigMaps: what was written, until the watch tells of it.
    settings: BTreeMap<String, BTreeMap<i32, Properties>>,
    /// Where settings were put last: not in force before a template that names it is taken.
    config_map: String,
    /// The template that was written last.
    template: Option<PodTemplateSpec>,
    is_held: bool,
    /// The template that stays while a change is held.
    held: Option<PodTemplateSpec>,
    /// The racks of nodes, as far as they are known.
    racks: BTreeMap<String, String>,
    annotated: BTreeSet<String>,
    /// The uids of pods that were deleted here, until the watch tells of it: until then they look
    /// as if they served, and another could be chosen to go.
    deleted: BTreeSet<String>,
    volumes: Volumes,
    /// Writes beside those of whole objects.
    refusals: Refusals,
    reports: Reports,
}

impl Pods {
    /// The pods of a cluster, of which nothing has been seen yet.
    #[must_use]
    pub fn new(client: Client, watched: Watched, cluster: &ObjectKey, options: PodOptions) -> Self {
        Self {
            watched,
            applier: Applier::new(client.clone(), &cluster.namespace, &cluster.name),
            client,
            namespace: cluster.namespace.clone(),
            cluster: cluster.name.clone(),
            options,
            anywhere: anywhere(api_server().as_deref()),
            seen: Seen::default(),
            spec: None,
            settings: BTreeMap::new(),
            config_map: String::new(),
            template: None,
            is_held: false,
            held: None,
            racks: BTreeMap::new(),
            annotated: BTreeSet::new(),
            deleted: BTreeSet::new(),
            volumes: Volumes::default(),
            refusals: Refusals::default(),
            reports: Reports::default(),
        }
    }

    /// Takes what the watches told.
    fn see(&mut self) {
        let seen = self.watched.of(&self.namespace, &self.cluster);
        // What is known was read or written here: what somebody else wrote since is put back.
        for (name, config_map) in &seen.config_maps {
            if !self.settings.contains_key(name) {
                self.settings.insert(name.clone(), self.read(config_map));
            }
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

    /// Asks for larger volumes where the spec does.
    async fn grow_volumes(&mut self) {
        let Some(storage) = self.spec.as_ref().and_then(|spec| spec.storage.as_ref()) else {
            return;
        };
        for (broker, pod) in &self.seen.pods {
            let claim = format!("{DATA_VOLUME}-{}", pod.name_any());
            let claims = Api::namespaced(self.client.clone(), &self.namespace);
            let refusals = &mut self.refusals;
            let grow = self
                .volumes
                .grow(&claims, refusals, (*broker, &claim), &storage.size);
            grow.await;
        }
    }

    /// Applies all objects, each for itself; what is refused is told with its kind. Without a
    /// ConfigMap there is no StatefulSet.
    async fn apply_objects(&mut self, config_map: String) -> Vec<(String, NotYet)> {
        let Some(spec) = &self.spec else {
            return Vec::new();
        };
        let around = Surroundings {
            config_map,
            held: self.held.clone(),
            ..self.around()
        };
        let mut refused = Vec::new();
        // Pods of a StatefulSet that is gone go on; another template would be in force at once.
        let is_set_held = self.is_held && around.held.is_none();
        for object in build::build(spec, &around) {
            let kind = object
                .types
                .as_ref()
                .map_or(String::new(), |types| types.kind.clone());
            let key = (kind, object.name_any());
            if is_set_held && key.0 == "StatefulSet" {
                continue;
            }
            let version = self.seen.versions.get(&key).cloned();
            match self.applier.apply(object, version).await {
                // Its node ports are needed before the watch tells of them.
                Ok(Some(applied)) if key.0 == "Service" => {
                    if let Ok(service) = applied.try_parse::<Service>() {
                        self.seen.services.insert(key.1, service);
                    }
                }
                Ok(_) if key.0 == "StatefulSet" && self.held.is_none() => {
                    self.template = self.spec.as_ref().map(|spec| build_template(spec, &around));
                }
                Ok(_) => {}
                Err(not_taken) => refused.push((key.0, not_taken)),
            }
        }
        refused
    }
}

impl Platform for Pods {
    fn follow(&mut self, cluster: &ValidatedCluster) {
        self.spec = Some(cluster.clone());
    }

    fn in_force(&self, _: &BTreeMap<i32, BrokerState>) -> BTreeMap<i32, Properties> {
        self.settings_in_force()
    }

    fn remake(&self) -> Option<Remake> {
        self.remade()
    }

    fn generation_in_force(&self) -> Option<i64> {
        let set = self.seen.stateful_set.as_ref()?;
        set.annotations().get(GENERATION)?.parse().ok()
    }

    fn hold(&mut self, is_held: bool) {
        self.is_held = is_held;
        if !is_held {
            self.held = None;
        } else if self.held.is_none() {
            self.held = self.template_in_force();
        }
    }

    fn version(&self) -> String {
        self.version_in_force()
    }

    fn lay_out(&self, brokers: i32, listeners: &[Listener]) -> BTreeMap<i32, Endpoints> {
        let headless = services::headless(&self.cluster);
        let endpoints = |broker: i32| {
            let host = format!("{}.{headless}.{}.svc", self.pod(broker), self.namespace);
            let clients = listeners.iter().map(|listener| {
                let advertised = if listener.is_external {
                    let port = self.node_port(&listener.name, broker);
                    of_own_node(self.anywhere, port.unwrap_or(0))
                } else {
                    format!("{host}:{}", listener.port)
                };
                ClientEndpoint {
                    name: listener.name.clone(),
                    bind: format!("{}:{}", self.anywhere, listener.port),
                    advertised,
                }
            });
            Endpoints {
                clients: clients.collect(),
                peer_bind: format!("{}:{PEER_PORT}", self.anywhere),
                peer_advertised: format!("{host}:{PEER_PORT}"),
                http_bind: format!("{}:{HTTP_PORT}", self.anywhere),
                log_dir: DATA_DIR.into(),
                certificates: CERTIFICATES_DIR.into(),
                // The broker learns it when its pod has been placed.
                rack: None,
            }
        };
        (0..brokers)
            .map(|broker| (broker, endpoints(broker)))
            .collect()
    }

    fn hosts(&self) -> Vec<String> {
        let namespace = &self.namespace;
        let local = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let brokers = format!("*.{}", services::headless(&self.cluster));
        let services = [brokers, services::bootstrap(&self.cluster)];
        let services = services.iter().flat_map(|name| {
            let full = format!("{name}.{namespace}.svc");
            [
                name.clone(),
                format!("{name}.{namespace}"),
                format!("{full}.cluster.local"),
                full,
            ]
        });
        let listeners = self.spec.iter().flat_map(|spec| &spec.listeners);
        let mut external = listeners.filter(|one| one.type_ == ListenerType::NodePort);
        // Nodes that brokers come to later are added then.
        let nodes = external.next().map(|_| state::hosts(&self.seen));
        let all = local.into_iter().chain(services);
        all.chain(nodes.into_iter().flatten()).collect()
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
                let hosts = hosts.iter().map(|host| host_and_port(host, port));
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
        is_dynamic: fn(&str) -> bool,
    ) -> Result<Vec<NotYet>, Vec<NotYet>> {
        let all_known = self.has_all_node_ports(desired.keys());
        let mut missing = Vec::new();
        let mut config_map = String::new();
        if all_known {
            let place = self.place(desired, is_dynamic);
            let seen = self.seen.config_maps.get(&place.name);
            let is_new = self.settings.get(&place.name) != Some(&place.files)
                || seen.is_none_or(|seen| self.read(seen) != place.files);
            let before = self.settings.insert(place.name.clone(), place.files);
            let written = match is_new {
                true => self.write_settings(&place.name).await,
                false => Ok(()),
            };
            match written {
                Ok(()) => config_map = place.name,
                Err(not_taken) => {
                    match before {
                        Some(files) => self.settings.insert(place.name, files),
                        None => self.settings.remove(&place.name),
                    };
                    missing.push(not_taken);
                }
            }
            self.config_map.clone_from(&config_map);
        } else {
            missing.push(NotYet {
                is_stuck: false,
                message: "Ports of the nodes are being assigned to the brokers.".to_owned(),
            });
        }
        // Pods find their settings when they start, or are not there yet.
        let is_settled = !config_map.is_empty();
        let refused = self.apply_objects(config_map).await;
        let is_set_taken = !refused.iter().any(|(kind, _)| kind == "StatefulSet");
        missing.extend(refused.into_iter().map(|(_, not_taken)| not_taken));
        if !is_settled || !is_set_taken {
            return Err(missing);
        }
        missing.extend(self.tell_racks().await);
        self.grow_volumes().await;
        self.prune_config_maps().await;
        self.prune_services().await;
        Ok(missing)
    }

    fn pending(&self) -> Vec<String> {
        let mut pending = Vec::new();
        let set = self.seen.stateful_set.as_ref();
        let applied = self.applier.applied("StatefulSet", &self.cluster);
        let is_seen = set.is_some_and(|set| applied.is_none_or(|v| *v == apply::version(set)));
        let is_taken_up = set.is_some_and(|set| {
            let status = set.status.as_ref();
            status.and_then(|s| s.observed_generation) == set.metadata.generation
        });
        if !is_seen || !is_taken_up {
            pending.push(format!(
                "The StatefulSet {} is being changed.",
                self.cluster
            ));
        }
        let growing = self.volumes.growing();
        pending.extend(growing.map(|(broker, what)| format!("Broker {broker}: {what}.")));
        pending
    }

    fn take_news(&mut self) -> bool {
        self.volumes.take_news()
    }

    async fn observe(&mut self) -> BTreeMap<i32, BrokerState> {
        self.see();
        let policy = self.spec.as_ref().map(|spec| spec.change_policy);
        let heeds_all = policy == Some(ChangePolicy::Apply);
        let mut states = state::observe(&self.seen, &self.settings, heeds_all);
        for (broker, why) in self.volumes.refused() {
            // A broker with another failure says that one first.
            if let Some(state) = states.get_mut(broker)
                && state.failure.is_none()
            {
                state.failure = Some(super::Failure::Growth);
                state.message.clone_from(why);
            }
        }
        let events = Api::namespaced(self.client.clone(), &self.namespace);
        let nodes = Api::all(self.client.clone());
        let complete = self.reports.complete(
            (&events, &nodes),
            &self.cluster,
            &self.seen.pods,
            &mut states,
        );
        complete.await;
        states
    }

    async fn left_behind(&mut self) -> Result<i32, NotYet> {
        let claims = Api::namespaced(self.client.clone(), &self.namespace);
        volumes::count(&claims, |broker| {
            format!("{DATA_VOLUME}-{}", self.pod(broker))
        })
        .await
    }

    /// The StatefulSet brings the pod into being; its settings were written by `prepare`.
    async fn start(&mut self, _: i32, _: &Properties) {}

    async fn restart(&mut self, broker: i32, _: &Properties) -> Result<(), NotYet> {
        self.evict(broker).await
    }

    async fn restart_check(&mut self, broker: i32) -> Result<RestartCheck, String> {
        let headless = services::headless(&self.cluster);
        let (pod, namespace) = (self.pod(broker), &self.namespace);
        let address = format!("{pod}.{headless}.{namespace}.svc:{HTTP_PORT}");
        pages::restart_check(&address, broker).await
    }

    async fn keep(&mut self, broker: i32, settings: &Properties) {
        let pod = self.seen.pods.get(&broker);
        let named = pod
            .and_then(|pod| pod.annotations().get(CONFIG_MAP))
            .cloned();
        let Some(name) = named.or_else(|| self.current_config_map()) else {
            return;
        };
        let before = self.settings.get(&name).cloned();
        let known = self.settings.entry(name.clone()).or_default();
        known.insert(broker, settings.clone());
        if self.write_settings(&name).await.is_err() {
            // The change is made again.
            self.settings.insert(name, before.unwrap_or_default());
        }
    }
}

/// Where pods reach the API server, as Kubernetes tells each of them.
#[must_use]
pub fn api_server() -> Option<String> {
    std::env::var("KUBERNETES_SERVICE_HOST").ok()
}

/// The parameters of every server-side apply: ours is the only hand on the fields we name.
#[must_use]
pub fn apply_params() -> PatchParams {
    PatchParams::apply(FIELD_MANAGER).force()
}
