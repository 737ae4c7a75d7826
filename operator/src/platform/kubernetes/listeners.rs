//! Where clients reach brokers: what Kubernetes, or somebody for it, has assigned.

use std::collections::BTreeMap;

use kube::ResourceExt;
use ottla_core::config::settings::listener::host_and_port;

use super::addresses::of_own_node;
use super::build::services::{self, LISTENER};
use super::pool::Pool;
use super::{Pods, state};
use crate::crd::cluster::{Listener, ListenerType};
use crate::platform;

/// Where those listen that pass TLS through, unless a spec says otherwise.
const TLS_PORT: i32 = 443;

/// What clients are told of a broker until somebody has assigned it, which no broker is started
/// with.
const UNASSIGNED: &str = "unassigned";

impl Pods {
    /// What clients are told of a broker; none where it is not known yet.
    pub(super) fn advertised(&self, listener: &platform::Listener, broker: i32) -> Option<String> {
        let given = &listener.advertised;
        let own = i32::from(listener.port);
        let service = || services::of_broker(&self.cluster, &listener.name, broker);
        let address = match listener.type_ {
            ListenerType::Internal => host_and_port(&self.host(broker), own),
            ListenerType::ClusterIp => host_and_port(&self.service_host(&service()), own),
            ListenerType::NodePort => {
                let assigned = || {
                    self.seen
                        .services
                        .get(&service())
                        .and_then(state::node_port)
                };
                let port = given.port.or_else(assigned)?;
                match given.host_of(broker) {
                    Some(host) => host_and_port(&host, port),
                    None => of_own_node(self.anywhere, port),
                }
            }
            ListenerType::LoadBalancer => {
                let assigned = || self.seen.services.get(&service()).and_then(state::balancer);
                let host = given.host_of(broker).or_else(assigned)?;
                host_and_port(&host, given.port.unwrap_or(own))
            }
            ListenerType::Ingress | ListenerType::TlsRoute => {
                host_and_port(&given.host_of(broker)?, given.port.unwrap_or(TLS_PORT))
            }
        };
        Some(address)
    }

    /// What clients are told of a broker now: while that is not known, what they were told.
    pub(super) fn advertised_now(&self, listener: &platform::Listener, broker: i32) -> String {
        let before = || {
            let in_force = self.settings_in_force();
            let advertised = in_force.get(&broker)?.get("advertised.listeners")?;
            let name = listener.name.to_ascii_uppercase();
            let mut all = advertised
                .split(',')
                .filter_map(|one| one.split_once("://"));
            let (_, address) = all.find(|(other, _)| *other == name)?;
            Some(address.to_owned())
        };
        self.advertised(listener, broker)
            .or_else(before)
            .unwrap_or_else(|| format!("{UNASSIGNED}:0"))
    }

    /// What is missing for the addresses of these brokers; none where nothing is.
    pub(super) fn missing_address<'a>(
        &self,
        brokers: impl Iterator<Item = &'a i32>,
    ) -> Option<String> {
        let brokers: Vec<i32> = brokers.copied().collect();
        let listeners = self.spec.iter().flat_map(|spec| &spec.listeners);
        let told = |broker: i32, listener: &Listener| {
            self.advertised_now(&as_laid_out(listener), broker)
                .starts_with(UNASSIGNED)
        };
        let mut brokers = brokers
            .into_iter()
            .filter(|one| Pool::of(*one) == Pool::Brokers);
        brokers.find_map(|broker| {
            let mut listeners = listeners.clone();
            let listener = listeners.find(|listener| told(broker, listener))?;
            Some(self.waits_for(listener, broker))
        })
    }

    /// Listeners whose load balancers have no address for some broker.
    pub(super) fn without_address(&self, listeners: &[Listener]) -> BTreeMap<String, String> {
        let brokers = 0..self.spec.as_ref().map_or(0, |spec| spec.replicas);
        let balanced = listeners.iter();
        let balanced = balanced.filter(|one| one.type_ == ListenerType::LoadBalancer);
        let missing = balanced.filter_map(|listener| {
            let laid_out = as_laid_out(listener);
            let mut brokers = brokers.clone();
            let broker = brokers.find(|one| self.advertised(&laid_out, *one).is_none())?;
            Some((listener.name.clone(), self.waits_for(listener, broker)))
        });
        missing.collect()
    }

    fn waits_for(&self, listener: &Listener, broker: i32) -> String {
        let service = services::of_broker(&self.cluster, &listener.name, broker);
        match listener.type_ {
            ListenerType::LoadBalancer => format!(
                "The Service {service} has no address yet: whoever makes load balancers in this \
                 Kubernetes cluster has to assign it, or spec.listeners ({}) has to say it in \
                 advertised.host.",
                listener.name
            ),
            _ => "Ports of the nodes are being assigned to the brokers.".to_owned(),
        }
    }

    /// Where clients of a listener connect first; none where it is not known yet.
    pub(super) fn bootstrap_address(&self, listener: &Listener) -> Option<String> {
        let own = services::bootstrap_of(&self.cluster, listener);
        let service = self.seen.services.get(&own);
        let given = &listener.reach.advertised;
        let host = Some(given.bootstrap_host.clone()).filter(|host| !host.is_empty());
        let address = match listener.type_ {
            ListenerType::Internal | ListenerType::ClusterIp => {
                host_and_port(&self.service_host(&own), listener.port)
            }
            ListenerType::NodePort => {
                let port = given.port.or_else(|| service.and_then(state::node_port))?;
                // Any node's address will do with this port; those with brokers are there for sure.
                let nodes = || state::hosts(&self.seen).into_iter();
                let hosts: Vec<String> = match host {
                    Some(host) => vec![host],
                    None => nodes().collect(),
                };
                let hosts = hosts.iter().map(|host| host_and_port(host, port));
                hosts.collect::<Vec<_>>().join(",")
            }
            ListenerType::LoadBalancer => {
                let host = host.or_else(|| service.and_then(state::balancer))?;
                host_and_port(&host, given.port.unwrap_or(listener.port))
            }
            ListenerType::Ingress | ListenerType::TlsRoute => {
                host_and_port(&host?, given.port.unwrap_or(TLS_PORT))
            }
        };
        Some(address).filter(|address| !address.is_empty())
    }

    /// The hosts by which clients reach a listener that has Services of its own, as far as they are
    /// known, and as certificates have them.
    pub(super) fn hosts_of(&self, listener: &Listener, brokers: i32) -> Vec<String> {
        let first = services::bootstrap_of(&self.cluster, listener);
        let each = (0..brokers).map(|one| services::of_broker(&self.cluster, &listener.name, one));
        let each: Vec<String> = each.chain([first]).collect();
        let given = &listener.reach.advertised;
        let told = (0..brokers).filter_map(|broker| given.host_of(broker));
        let told = told.chain([given.bootstrap_host.clone()]);
        let mut hosts: Vec<String> = told.filter(|host| !host.is_empty()).collect();
        match listener.type_ {
            ListenerType::ClusterIp => {
                hosts.extend(each.iter().flat_map(|name| self.service_names(name)));
            }
            ListenerType::LoadBalancer => {
                let seen = each.iter().filter_map(|name| self.seen.services.get(name));
                hosts.extend(seen.filter_map(state::balancer));
            }
            // Nodes that brokers come to later are added then.
            ListenerType::NodePort => hosts.extend(state::hosts(&self.seen)),
            ListenerType::Internal | ListenerType::Ingress | ListenerType::TlsRoute => {}
        }
        hosts
    }

    /// The names of a Service inside the Kubernetes cluster.
    pub(super) fn service_names(&self, name: &str) -> [String; 4] {
        let full = self.service_host(name);
        [
            name.to_owned(),
            format!("{name}.{}", self.namespace),
            format!("{full}.cluster.local"),
            full,
        ]
    }

    fn service_host(&self, name: &str) -> String {
        format!("{name}.{}.svc", self.namespace)
    }

    /// The listeners as what was made for them says.
    pub(super) fn told_by_services(&self) -> BTreeMap<String, Listener> {
        let services = self.seen.services.values();
        let texts = services.filter_map(|service| service.annotations().get(LISTENER));
        let listeners = texts.filter_map(|text| serde_json::from_str::<Listener>(text).ok());
        listeners.map(|one| (one.name.clone(), one)).collect()
    }
}

fn as_laid_out(listener: &Listener) -> platform::Listener {
    platform::Listener {
        name: listener.name.clone(),
        port: u16::try_from(listener.port).unwrap_or(u16::MAX),
        type_: listener.type_,
        advertised: listener.reach.advertised.clone(),
        is_for_brokers: false,
    }
}
