//! Brokers as pods of a StatefulSet, dedicated controllers as pods of another.
//!
//! What exists is seen through watches ([`Seen`]), not asked for; what is applied goes through
//! [`apply`], which writes only what changed. Settings live in ConfigMaps ([`settings`]): a pod
//! names the one it was started with, so what a broker runs with is known, and a pod that starts
//! anew takes exactly the settings it was meant to.
//!
//! Invariant: a pod is deleted only by [`Platform::restart`] and [`Platform::replace`], or with the
//! StatefulSet of the controllers that vote no more; and a volume only by [`Platform::replace`].

pub mod addresses;
pub mod apply;
pub mod build;
mod config_maps;
mod disks;
mod evictions;
mod held;
mod leftovers;
mod listeners;
mod objects;
pub mod pool;
pub mod quantity;
mod racks;
pub mod refusals;
mod replaced;
mod reports;
mod routes;
mod settings;
mod settling;
mod state;
mod volumes;
pub mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use kube::api::Api;
use kube::{Client, ResourceExt};

use self::addresses::{anywhere, api_server};
use self::apply::Applier;
pub use self::apply::apply_params;
use self::build::pods::GENERATION;
use self::build::pods::{CERTIFICATES_DIR, CONFIG_MAP, DATA_DIR, DATA_VOLUME};
use self::build::services;
use self::pool::Pool;
use self::refusals::Refusals;
use self::reports::Reports;
use self::routes::Routes;
use self::settling::Settling;
use self::volumes::Volumes;
use self::watched::{Seen, Watched};
use super::{
    AllowedFrom, BrokerState, ClientEndpoint, Endpoints, Listener, NotYet, Platform, Properties,
    Remake, Volume, pages,
};
use crate::crd;
use crate::crd::cluster::{ChangePolicy, Storage};
use crate::object::ObjectKey;
use crate::observed::RestartCheck;
use crate::spoken::node_first;
use crate::validated::{HTTP_PORT, PEER_PORT, ValidatedCluster};

/// What the operator's own options say about pods.
#[derive(Clone, Debug)]
pub struct PodOptions {
    /// The brokers' image where a spec names none.
    pub image: String,
    /// Whether brokers get a NetworkPolicy.
    pub has_network_policy: bool,
    /// The namespaces whose pods may fetch brokers' metrics; none: all.
    pub metrics_namespaces: Vec<String>,
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
    /// The disks of controllers that are to go and have no StatefulSet, once those were looked for.
    disks: Option<Option<Storage>>,
    /// The templates that were written last.
    templates: BTreeMap<Pool, PodTemplateSpec>,
    is_held: bool,
    /// The templates that stay while a change is held.
    held: BTreeMap<Pool, PodTemplateSpec>,
    /// The racks of nodes, as far as they are known.
    racks: BTreeMap<String, String>,
    annotated: BTreeSet<String>,
    /// The uids of pods that were deleted here, until the watch tells of it: until then they look
    /// as if they served, and another could be chosen to go.
    deleted: BTreeSet<String>,
    volumes: Volumes,
    routes: Routes,
    /// Writes beside those of whole objects.
    refusals: Refusals,
    reports: Reports,
    settling: Settling,
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
            disks: None,
            templates: BTreeMap::new(),
            is_held: false,
            held: BTreeMap::new(),
            racks: BTreeMap::new(),
            annotated: BTreeSet::new(),
            deleted: BTreeSet::new(),
            volumes: Volumes::default(),
            routes: Routes::default(),
            refusals: Refusals::default(),
            reports: Reports::default(),
            settling: Settling::default(),
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

    fn pod(&self, node: i32) -> String {
        pool::pod(&self.cluster, node)
    }

    /// The host name of a node's pod.
    fn host(&self, node: i32) -> String {
        format!("{}.{}.svc", pool::host(&self.cluster, node), self.namespace)
    }
}

impl Platform for Pods {
    fn follow(&mut self, cluster: &ValidatedCluster) {
        let mut spec = cluster.clone();
        self.keep_disks(&mut spec);
        self.spec = Some(spec);
    }

    fn in_force(&self, _: &BTreeMap<i32, BrokerState>) -> BTreeMap<i32, Properties> {
        self.files_in_force().cloned().unwrap_or_default()
    }

    fn remake(&self) -> Vec<Remake> {
        let pools = Pool::ALL.into_iter();
        pools.filter_map(|pool| self.remade(pool)).collect()
    }

    fn has_older_brokers(&self) -> bool {
        self.has_remade_brokers()
    }

    fn generation_in_force(&self) -> Option<i64> {
        let set = self.seen.sets.get(&Pool::Brokers)?;
        set.annotations().get(GENERATION)?.parse().ok()
    }

    fn hold(&mut self, is_held: bool) {
        self.is_held = is_held;
        if !is_held {
            self.held.clear();
        }
        for pool in Pool::ALL.into_iter().filter(|_| is_held) {
            if let Some(template) = self.template_in_force(pool) {
                self.held.entry(pool).or_insert(template);
            }
        }
    }

    fn version(&self) -> String {
        self.version_in_force()
    }

    fn lay_out(&self, nodes: &BTreeSet<i32>, listeners: &[Listener]) -> BTreeMap<i32, Endpoints> {
        let endpoints = |broker: i32| {
            let host = self.host(broker);
            let is_broker = Pool::of(broker) == Pool::Brokers;
            let clients = listeners.iter().filter(|_| is_broker).map(|listener| {
                let advertised = self.told(listener, broker);
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
        nodes.iter().map(|node| (*node, endpoints(*node))).collect()
    }

    fn hosts(&self) -> Vec<String> {
        let local = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let has_controllers = |spec: &ValidatedCluster| !spec.controllers.ids.is_empty();
        let has_controllers = self.spec.as_ref().is_some_and(has_controllers);
        let pools = Pool::ALL.into_iter();
        let pools = pools.filter(|pool| *pool == Pool::Brokers || has_controllers);
        let mut services = vec![services::bootstrap(&self.cluster)];
        services.splice(
            0..0,
            pools.map(|pool| format!("*.{}", pool.headless(&self.cluster))),
        );
        let services = services.iter().flat_map(|name| self.service_names(name));
        let mut hosts: Vec<String> = local.into_iter().chain(services).collect();
        if let Some(spec) = &self.spec {
            let listeners = spec.all_listeners();
            let of_each = listeners.flat_map(|one| self.hosts_of(one, spec.ways));
            for host in of_each {
                if !hosts.contains(&host) {
                    hosts.push(host);
                }
            }
        }
        hosts
    }

    fn unassigned(
        &self,
        listeners: &[crd::cluster::Listener],
        brokers: Range<i32>,
    ) -> BTreeMap<String, String> {
        self.without_address(listeners, brokers)
    }

    fn listeners_laid_out(&self) -> BTreeMap<String, crd::cluster::Listener> {
        self.told_by_services()
    }

    fn allowed_from(&self) -> AllowedFrom {
        match self.options.has_network_policy {
            true => AllowedFrom::Held,
            false => AllowedFrom::Open,
        }
    }

    fn bootstrap(&self, _: &BTreeMap<i32, Endpoints>) -> BTreeMap<String, String> {
        let listeners = self.spec.iter().flat_map(|spec| &spec.listeners);
        let addresses = listeners.filter_map(|one| {
            let address = self.bootstrap_address(one)?;
            Some((one.name.clone(), address))
        });
        addresses.collect()
    }

    async fn prepare(
        &mut self,
        desired: &BTreeMap<i32, Properties>,
        is_dynamic: fn(&str) -> bool,
    ) -> Result<Vec<NotYet>, Vec<NotYet>> {
        self.find_disks()
            .await
            .map_err(|not_known| vec![not_known])?;
        let unknown = self.missing_address(desired.keys().copied());
        let mut missing = Vec::new();
        let mut config_map = String::new();
        if let Some(message) = unknown {
            missing.push(NotYet {
                is_stuck: false,
                message,
            });
        } else {
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
        }
        let routes = self.look_for_routes().await;
        missing.extend(routes.err());
        // Pods find their settings when they start, or are not there yet.
        let is_settled = !config_map.is_empty();
        let applied = self.apply_objects(config_map).await;
        let refused = applied.refused;
        let is_set_refused = refused.iter().any(|(kind, _)| kind == "StatefulSet");
        let is_set_taken = !is_set_refused && !applied.is_withheld;
        missing.extend(refused.into_iter().map(|(_, not_taken)| not_taken));
        if !is_settled || !is_set_taken {
            return Err(missing);
        }
        missing.extend(self.tell_racks().await);
        self.grow_volumes().await;
        self.prune_config_maps().await;
        self.prune_services().await;
        self.prune_controllers().await;
        Ok(missing)
    }

    fn pending(&self) -> Vec<String> {
        let mut pending = self.sets_pending();
        let growing = self.volumes.growing();
        pending.extend(growing.map(|(id, what)| format!("{}: {what}.", node_first(*id))));
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
        self.settling
            .tell(&self.seen.pods, &mut states, tokio::time::Instant::now());
        states
    }

    async fn left_behind(&mut self) -> Result<BTreeSet<i32>, NotYet> {
        let claims = Api::namespaced(self.client.clone(), &self.namespace);
        let claim = |node: i32| format!("{DATA_VOLUME}-{}", self.pod(node));
        let mut left = BTreeSet::new();
        for pool in Pool::ALL {
            left.extend(volumes::left(&claims, (&self.cluster, pool), claim).await?);
        }
        Ok(left)
    }

    /// The StatefulSet brings the pod into being; its settings were written by `prepare`.
    async fn start(&mut self, _: i32, _: &Properties) {}

    async fn restart(&mut self, broker: i32, _: &Properties) -> Result<(), NotYet> {
        self.evict(broker, true).await
    }

    async fn restart_beside(&mut self, broker: i32, _: &Properties) -> Result<(), NotYet> {
        self.evict(broker, false).await
    }

    async fn restart_check(&mut self, asked: i32, of: i32) -> Result<RestartCheck, String> {
        let address = format!("{}:{HTTP_PORT}", self.host(asked));
        pages::restart_check(&address, of, asked == of).await
    }

    async fn volume(&mut self, node: i32) -> Result<Option<Volume>, NotYet> {
        self.volume_of(node).await
    }

    async fn replace(
        &mut self,
        node: i32,
        volume: Option<&Volume>,
        _: &Properties,
    ) -> Result<bool, NotYet> {
        self.give_up_volume(node, volume).await
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
