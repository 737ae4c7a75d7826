//! How brokers and clients find each other.
//!
//! - `<cluster>-brokers`, headless: a name for every pod, ready or not, since brokers must find
//!   each other to become ready.
//! - `<cluster>-controllers`, the same for dedicated controllers.
//! - `<cluster>-bootstrap`: any broker that is ready, for a client's first connection.
//! - for each listener that is not Internal `<cluster>-<listener>-bootstrap`, and one Service per
//!   broker, `<cluster>-<listener>-<ordinal>`, since a client must reach each broker by itself. It
//!   has the pod ready or not: a broker leads partitions as soon as it is unfenced, and kube-proxy
//!   learns of a pod's readiness a second or more later.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::super::pool::Pool;
use super::{extend, metadata, selector};
use crate::crd::cluster::{Listener, ListenerType};
use crate::crd::reach::{BROKER, ExternalTrafficPolicy, HOST};
use crate::validated::{BROKER_PORT, BROKERS, HTTP_PORT, PEER_PORT, ValidatedCluster};

/// The label that the StatefulSet controller puts on each of its pods.
const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";

/// The name of the bootstrap Service inside the Kubernetes cluster.
#[must_use]
pub fn bootstrap(cluster: &str) -> String {
    format!("{cluster}-bootstrap")
}

/// The annotation of a listener's bootstrap Service that says how the listener is reached: while a
/// restart waits, all of it stays so.
pub const LISTENER: &str = "ottla.io/listener";

/// The name of the Service for a client's first connection to a listener.
#[must_use]
pub fn bootstrap_of(cluster: &str, listener: &Listener) -> String {
    match listener.type_.has_services() {
        true => format!("{}{BOOTSTRAP}", prefix(cluster, &listener.name)),
        false => bootstrap(cluster),
    }
}

/// The name of the Service of one broker for a listener that is not Internal.
#[must_use]
pub fn of_broker(cluster: &str, listener: &str, broker: i32) -> String {
    format!("{}{broker}", prefix(cluster, listener))
}

/// What the name of a listener's own bootstrap Service ends with.
const BOOTSTRAP: &str = "bootstrap";

/// What the names of a listener's own Services begin with.
#[must_use]
pub fn prefix(cluster: &str, listener: &str) -> String {
    format!("{cluster}-{listener}-")
}

/// Whether the name of a Service is one of those that begin so.
#[must_use]
pub fn is_of(prefix: &str, name: &str) -> bool {
    let which = name.strip_prefix(prefix);
    which.is_some_and(|which| which == BOOTSTRAP || which.parse::<i32>().is_ok())
}

/// One of the ways into a listener: that of a broker, or the first.
pub struct Way<'a> {
    /// The listener.
    pub listener: &'a Listener,
    /// The broker; none for a client's first connection.
    pub broker: Option<i32>,
}

impl Way<'_> {
    /// All ways into a listener; none where it has no Services of its own.
    pub fn all<'a>(
        cluster: &ValidatedCluster,
        listener: &'a Listener,
    ) -> impl Iterator<Item = Way<'a>> {
        let brokers = listener.type_.has_services().then_some(cluster.ways);
        let brokers = brokers.into_iter().flat_map(|ways| 0..ways);
        let first = listener.type_.has_services().then_some(None);
        let all = first.into_iter().chain(brokers.map(Some));
        all.map(move |broker| Way { listener, broker })
    }

    /// The name of its objects.
    pub fn name(&self, cluster: &str) -> String {
        match self.broker {
            Some(broker) => of_broker(cluster, &self.listener.name, broker),
            None => bootstrap_of(cluster, self.listener),
        }
    }

    /// The host that clients are told; none where Kubernetes assigns it.
    pub fn host(&self) -> Option<String> {
        let advertised = &self.listener.reach.advertised;
        match self.broker {
            Some(broker) => advertised.host_of(broker),
            None => Some(advertised.bootstrap_host.clone()).filter(|host| !host.is_empty()),
        }
    }

    /// The metadata of its objects.
    pub fn metadata(&self, cluster: &ValidatedCluster) -> ObjectMeta {
        let mut metadata = metadata(cluster, Pool::Brokers, self.name(&cluster.key.name));
        let broker = self
            .broker
            .map_or("bootstrap".to_owned(), |broker| broker.to_string());
        let host = self.host().unwrap_or_default();
        let given = &self.listener.reach.service.added;
        let filled = |map: &BTreeMap<String, String>| {
            let filled = map.iter().map(|(key, value)| {
                let value = value.replace(BROKER, &broker).replace(HOST, &host);
                (key.clone(), value)
            });
            filled.collect::<Vec<_>>()
        };
        let labels = filled(&given.labels);
        metadata.labels.get_or_insert_default().extend(labels);
        let annotations = filled(&given.annotations);
        if !annotations.is_empty() {
            metadata
                .annotations
                .get_or_insert_default()
                .extend(annotations);
        }
        metadata
    }
}

/// All Services.
#[must_use]
pub fn build(cluster: &ValidatedCluster) -> Vec<Service> {
    let mut services = vec![build_headless(cluster), build_bootstrap(cluster)];
    if !cluster.controllers.ids.is_empty() {
        services.push(build_controllers(cluster));
    }
    for listener in cluster.all_listeners() {
        let ways = Way::all(cluster, listener);
        services.extend(ways.map(|way| build_way(cluster, &way)));
    }
    for service in &mut services {
        extend::service(service, cluster);
    }
    services
}

/// The names of all of them.
#[must_use]
pub fn names(cluster: &ValidatedCluster) -> BTreeSet<String> {
    let name = &cluster.key.name;
    let pools = Pool::ALL.into_iter().filter(|pool| pool.is_needed(cluster));
    let pools = pools.map(|pool| pool.headless(name));
    let ways = cluster
        .all_listeners()
        .flat_map(|one| Way::all(cluster, one));
    let ways = ways.map(|way| way.name(name));
    pools.chain([bootstrap(name)]).chain(ways).collect()
}

fn build_headless(cluster: &ValidatedCluster) -> Service {
    let mut ports: Vec<ServicePort> = cluster.listeners.iter().map(service_port).collect();
    if cluster.mutual_tls {
        ports.push(named_port(BROKERS, BROKER_PORT));
    }
    ports.extend(build_own_ports());
    build_names(cluster, Pool::Brokers, ports)
}

fn build_controllers(cluster: &ValidatedCluster) -> Service {
    build_names(cluster, Pool::Controllers, build_own_ports().into())
}

fn build_own_ports() -> [ServicePort; 2] {
    [named_port("peer", PEER_PORT), named_port("http", HTTP_PORT)]
}

/// A name for every pod of a pool.
fn build_names(cluster: &ValidatedCluster, pool: Pool, ports: Vec<ServicePort>) -> Service {
    let name = &cluster.key.name;
    Service {
        metadata: metadata(cluster, pool, pool.headless(name)),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(selector(name, pool)),
            ports: Some(ports),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn build_bootstrap(cluster: &ValidatedCluster) -> Service {
    let name = &cluster.key.name;
    let internal = cluster.listeners.iter();
    let internal = internal.filter(|listener| listener.type_ == ListenerType::Internal);
    Service {
        metadata: metadata(cluster, Pool::Brokers, bootstrap(name)),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(selector(name, Pool::Brokers)),
            ports: Some(internal.map(service_port).collect()),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn build_way(cluster: &ValidatedCluster, way: &Way<'_>) -> Service {
    let listener = way.listener;
    let given = &listener.reach.service;
    let mut chosen = selector(&cluster.key.name, Pool::Brokers);
    let mut port = service_port(listener);
    let mut metadata = way.metadata(cluster);
    if let Some(broker) = way.broker {
        chosen.insert(POD_NAME_LABEL.to_owned(), cluster.pod(broker));
        let first = given.node_ports.first_broker;
        port.node_port = first.map(|first| first.saturating_add(broker));
    } else {
        port.node_port = given.node_ports.bootstrap;
        let told = Listener {
            tls: None,
            authentication: None,
            ..listener.clone()
        };
        if let Ok(told) = serde_json::to_string(&told) {
            let annotations = metadata.annotations.get_or_insert_default();
            annotations.insert(LISTENER.to_owned(), told);
        }
    }
    let type_ = match listener.type_ {
        ListenerType::NodePort | ListenerType::LoadBalancer => listener.type_.name(),
        _ => "ClusterIP",
    };
    let policy = given.external_traffic_policy.map(|policy| match policy {
        ExternalTrafficPolicy::Cluster => "Cluster".to_owned(),
        ExternalTrafficPolicy::Local => "Local".to_owned(),
    });
    let class = given.load_balancer_class.clone();
    let ranges = given.source_ranges.clone();
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(type_.to_owned()),
            publish_not_ready_addresses: way.broker.map(|_| true),
            selector: Some(chosen),
            ports: Some(vec![port]),
            external_traffic_policy: policy,
            load_balancer_class: Some(class).filter(|class| !class.is_empty()),
            load_balancer_source_ranges: Some(ranges).filter(|ranges| !ranges.is_empty()),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn service_port(listener: &Listener) -> ServicePort {
    named_port(&listener.name, listener.port)
}

fn named_port(name: &str, port: i32) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port,
        target_port: Some(IntOrString::Int(port)),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    }
}
