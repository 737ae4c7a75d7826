//! Where clients reach brokers: what Kubernetes, or somebody for it, has assigned.

use std::collections::BTreeMap;
use std::ops::Range;

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
    fn advertised(&self, listener: &platform::Listener, broker: i32) -> Option<String> {
        let given = &listener.advertised;
        let own = i32::from(listener.port);
        let service = || services::of_broker(&self.cluster, &listener.name, broker);
        let seen = || self.seen.services.get(&service());
        let address = match listener.type_ {
            ListenerType::Internal => host_and_port(&self.host(broker), own),
            ListenerType::ClusterIp => host_and_port(&self.service_host(&service()), own),
            ListenerType::NodePort => {
                let pinned = listener
                    .first_node_port
                    .map(|first| first.saturating_add(broker));
                let assigned = || seen().and_then(state::node_port);
                self.of_node(listener, broker, given.port.or(pinned).or_else(assigned)?)
            }
            ListenerType::LoadBalancer => {
                let port = given.port.unwrap_or(own);
                let assigned = || {
                    let all = seen().map_or_else(Vec::new, state::balancers);
                    // One of several that is told already stays, wherever it stands.
                    let before = self.told_before(listener, broker).unwrap_or_default();
                    let is_told = |host: &&String| before == host_and_port(host, port);
                    all.iter().find(is_told).or(all.first()).cloned()
                };
                let host = given.host_of(broker).or_else(assigned)?;
                host_and_port(&host, port)
            }
            ListenerType::Ingress | ListenerType::TlsRoute => {
                host_and_port(&given.host_of(broker)?, given.port.unwrap_or(TLS_PORT))
            }
        };
        Some(address)
    }

    fn of_node(&self, listener: &platform::Listener, broker: i32, port: i32) -> String {
        match listener.advertised.host_of(broker) {
            Some(host) => host_and_port(&host, port),
            None => of_own_node(self.anywhere, port),
        }
    }

    /// What clients are told by the settings in force.
    fn told_before(&self, listener: &platform::Listener, broker: i32) -> Option<String> {
        let in_force = self.files_in_force()?;
        let advertised = in_force.get(&broker)?.get("advertised.listeners")?;
        let name = listener.name.to_ascii_uppercase();
        let mut all = advertised
            .split(',')
            .filter_map(|one| one.split_once("://"));
        let (_, address) = all.find(|(other, _)| *other == name)?;
        Some(address.to_owned())
    }

    /// What clients are told of a broker now: while that is not known, what they were told; and
    /// whether there is anything.
    fn advertised_now(&self, listener: &platform::Listener, broker: i32) -> (String, bool) {
        let known = self.advertised(listener, broker);
        match known.or_else(|| self.told_before(listener, broker)) {
            Some(address) => (address, true),
            None if listener.type_ == ListenerType::NodePort => {
                (self.of_node(listener, broker, 0), false)
            }
            None => (format!("{UNASSIGNED}:0"), false),
        }
    }

    /// What the settings of a broker have clients told.
    pub(super) fn told(&self, listener: &platform::Listener, broker: i32) -> String {
        self.advertised_now(listener, broker).0
    }

    /// What is missing for the addresses of these nodes; none where nothing is.
    pub(super) fn missing_address(&self, nodes: impl Iterator<Item = i32>) -> Option<String> {
        let listeners = self.spec.as_ref().map_or(&[][..], |spec| &spec.listeners);
        let mut brokers = nodes.filter(|node| Pool::of(*node) == Pool::Brokers);
        brokers.find_map(|broker| {
            let is_unknown = |one: &&Listener| !self.advertised_now(&(*one).into(), broker).1;
            let listener = listeners.iter().find(is_unknown)?;
            Some(self.waits_for(listener, broker))
        })
    }

    /// Listeners of which some broker has no address that others assign, or to which nothing can
    /// lead.
    pub(super) fn without_address(
        &self,
        listeners: &[Listener],
        brokers: Range<i32>,
    ) -> BTreeMap<String, String> {
        let missing = listeners.iter().filter_map(|listener| {
            let mut brokers = brokers.clone();
            let is_unknown = |broker: &i32| match listener.type_ {
                ListenerType::LoadBalancer => self.advertised(&listener.into(), *broker).is_none(),
                ListenerType::TlsRoute => self.routes.version.is_empty(),
                _ => false,
            };
            let broker = brokers.find(is_unknown)?;
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
            ListenerType::TlsRoute => format!(
                "Whether this Kubernetes cluster has TLSRoutes for spec.listeners ({}) is being \
                 looked for.",
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
                let host = host.or_else(|| {
                    service.and_then(|seen| state::balancers(seen).into_iter().next())
                })?;
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
                let first = services::bootstrap_of(&self.cluster, listener);
                hosts.extend(self.service_names(&first));
                // what clients are told of each, and no more: certificates have to stay small
                let each = each.iter().map(|name| self.service_host(name));
                hosts.extend(each);
            }
            ListenerType::LoadBalancer => {
                let seen = each.iter().filter_map(|name| self.seen.services.get(name));
                hosts.extend(seen.flat_map(state::balancers));
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

    /// With what the names of those Services begin that TLSRoutes may lead to.
    pub(super) fn routed_services(&self) -> Vec<String> {
        let told = self.told_by_services().into_values();
        let routed = told.filter(|one| one.type_ == ListenerType::TlsRoute);
        let prefix = |one: Listener| services::prefix(&self.cluster, &one.name);
        routed.map(prefix).collect()
    }
}
