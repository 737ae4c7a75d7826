//! How brokers and clients find each other.
//!
//! - `<cluster>-brokers`, headless: a name for every pod, ready or not, since brokers must find
//!   each other to become ready.
//! - `<cluster>-controllers`, the same for dedicated controllers.
//! - `<cluster>-bootstrap`: any broker that is ready, for a client's first connection.
//! - for each listener of type NodePort `<cluster>-<listener>-bootstrap`, and one Service per
//!   broker, `<cluster>-<listener>-<ordinal>`, since a client must reach each broker by itself. It
//!   has the pod ready or not: a broker leads partitions as soon as it is unfenced, and kube-proxy
//!   learns of a pod's readiness a second or more later.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::super::pool::Pool;
use super::{extend, metadata, selector};
use crate::crd::cluster::{Listener, ListenerType};
use crate::validated::{BROKER_PORT, BROKERS, HTTP_PORT, PEER_PORT, ValidatedCluster};

/// The label that the StatefulSet controller puts on each of its pods.
const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";

/// The name of the bootstrap Service inside the Kubernetes cluster.
#[must_use]
pub fn bootstrap(cluster: &str) -> String {
    format!("{cluster}-bootstrap")
}

/// The name of the bootstrap Service of a NodePort listener.
#[must_use]
pub fn external_bootstrap(cluster: &str, listener: &str) -> String {
    format!("{cluster}-{listener}-bootstrap")
}

/// The name of the Service of one broker for a NodePort listener.
#[must_use]
pub fn external(cluster: &str, listener: &str, broker: i32) -> String {
    format!("{cluster}-{listener}-{broker}")
}

/// All Services.
#[must_use]
pub fn build(cluster: &ValidatedCluster) -> Vec<Service> {
    let name = &cluster.key.name;
    let mut services = vec![build_headless(cluster), build_bootstrap(cluster)];
    if !cluster.controllers.ids.is_empty() {
        services.push(build_controllers(cluster));
    }
    for listener in &cluster.listeners {
        if listener.type_ != ListenerType::NodePort {
            continue;
        }
        let all = external_bootstrap(name, &listener.name);
        services.push(node_port(
            cluster,
            listener,
            all,
            selector(name, Pool::Brokers),
            false,
        ));
        for broker in 0..cluster.replicas {
            let one = external(name, &listener.name, broker);
            let pod = (POD_NAME_LABEL.to_owned(), cluster.pod(broker));
            let chosen = selector(name, Pool::Brokers)
                .into_iter()
                .chain([pod])
                .collect();
            services.push(node_port(cluster, listener, one, chosen, true));
        }
    }
    for service in &mut services {
        extend::service(service, cluster);
    }
    services
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

fn node_port(
    cluster: &ValidatedCluster,
    listener: &Listener,
    name: String,
    chosen: BTreeMap<String, String>,
    also_not_ready: bool,
) -> Service {
    Service {
        metadata: metadata(cluster, Pool::Brokers, name),
        spec: Some(ServiceSpec {
            type_: Some("NodePort".to_owned()),
            publish_not_ready_addresses: also_not_ready.then_some(true),
            selector: Some(chosen),
            ports: Some(vec![service_port(listener)]),
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
