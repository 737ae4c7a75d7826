//! How a spec has clients reach brokers, and whether it goes together.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicyPeer};

use super::invalid;
use super::template::{check_annotations, check_labels};
use crate::condition::Verdict;
use crate::crd::KafkaClusterSpec;
use crate::crd::cluster::{Listener, ListenerType};
use crate::crd::reach::{BROKER, ListenerService};
use crate::validated::{HTTP_PORT, PEER_PORT, REPLICAS_MAX};

/// Ports of pods that are not of the spec.
const LISTENER_NAMES_TAKEN: [&str; 3] = ["controller", "peer", "http"];

/// The longest names of a cluster and of a listener with a Service of its own, together: a Service
/// has at most 63 letters, `-bootstrap` among them.
const SERVICE_NAMES_LENGTH_MAX: usize = 52;

/// What annotations of a Service may come to, with room for those of others.
const ANNOTATIONS_BYTES_MAX: usize = 230 * 1024;

/// Checks the listeners of a spec.
///
/// # Errors
/// The verdict names the listener and the field.
pub(super) fn check(cluster: &str, spec: &KafkaClusterSpec) -> Result<(), Verdict> {
    let listeners = &spec.listeners;
    let Some(first) = listeners.first() else {
        return Err(invalid(
            "spec.listeners is empty; remove the field or name a listener of type Internal."
                .to_owned(),
        ));
    };
    if first.type_ != ListenerType::Internal {
        return Err(invalid(format!(
            "spec.listeners[0] ({}) must be of type Internal, because brokers replicate over it.",
            first.name
        )));
    }
    for (place, listener) in listeners.iter().enumerate() {
        check_listener_name(cluster, place, listener)?;
        let wrong = check_reach(listener, spec.replicas);
        let wrong = wrong.and_then(|()| check_size(listener));
        let wrong =
            wrong.and_then(|()| check_node_ports(listener, &listeners[..place], spec.replicas));
        wrong.map_err(|why| {
            let name = &listener.name;
            invalid(format!("spec.listeners[{place}] ({name}) {why}"))
        })?;
        let added = &listener.reach.service.added;
        let path = format!("spec.listeners[{place}].service");
        check_labels(&path, &added.labels)?;
        check_annotations(&path, &added.annotations)?;
        let taken = |port: i32| port == PEER_PORT || port == HTTP_PORT;
        if taken(listener.port) {
            return Err(invalid(format!(
                "spec.listeners[{place}].port is {}, which brokers use themselves; choose another.",
                listener.port
            )));
        }
        if !(1024..=65535).contains(&listener.port) {
            return Err(invalid(format!(
                "spec.listeners[{place}].port is {}; it must be from 1024 to 65535.",
                listener.port
            )));
        }
        for other in &listeners[..place] {
            if other.name == listener.name || other.port == listener.port {
                return Err(invalid(format!(
                    "spec.listeners[{place}] has the name or the port of another listener; each \
                     needs its own."
                )));
            }
        }
    }
    Ok(())
}

fn check_listener_name(cluster: &str, place: usize, listener: &Listener) -> Result<(), Verdict> {
    let name = &listener.name;
    let length = cluster.len() + name.len();
    let why = if LISTENER_NAMES_TAKEN.contains(&name.as_str()) {
        "brokers have a port of that name themselves; choose another".to_owned()
    } else if name.contains("--") {
        "the name of a port has no two dashes in a row".to_owned()
    } else if listener.type_.has_services() && length > SERVICE_NAMES_LENGTH_MAX {
        format!(
            "Services are named after it and the cluster, which have {length} letters together, \
             and {SERVICE_NAMES_LENGTH_MAX} at most are allowed; choose a shorter one"
        )
    } else {
        return Ok(());
    };
    let field = format!("spec.listeners[{place}].name");
    Err(invalid(format!("{field} is \"{name}\": {why}.")))
}

/// Whether what is said of how a listener is reached goes with its type; or what is wrong, as the
/// end of a sentence.
fn check_reach(listener: &Listener, brokers: i32) -> Result<(), String> {
    let (type_, reach) = (listener.type_, &listener.reach);
    let advertised = &reach.advertised;
    let name = type_.name();
    let is_inside = matches!(type_, ListenerType::Internal | ListenerType::ClusterIp);
    let is_advertised = *advertised != Default::default();
    if is_inside && is_advertised {
        return Err(format!(
            "is of type {name} and has advertised, which is for those that lead outside; remove it."
        ));
    }
    if type_ == ListenerType::Internal && reach.service != ListenerService::default() {
        return Err(
            "is of type Internal and has service: it has no Services of its own; remove it, or \
             make it a ClusterIP."
                .to_owned(),
        );
    }
    if type_.is_by_name() {
        check_names(listener)?;
    }
    if type_ == ListenerType::NodePort
        && advertised.port.is_some()
        && !advertised.host.contains(BROKER)
    {
        return Err(format!(
            "tells one advertised.port of all brokers, and no advertised.host with {BROKER} in it: \
             they would have one address."
        ));
    }
    if type_ == ListenerType::LoadBalancer
        && !advertised.host.is_empty()
        && !advertised.host.contains(BROKER)
    {
        return Err(format!(
            "is of type {name} and tells the same advertised.host of all brokers; write {BROKER} \
             where their ids go."
        ));
    }
    if (type_ == ListenerType::TlsRoute) == reach.gateways.is_empty() {
        return Err("needs gateways where it is a TLSRoute, and only there.".to_owned());
    }
    if type_ != ListenerType::Ingress && !reach.ingress_class.is_empty() {
        return Err("has ingressClass, which is for the type Ingress alone; remove it.".to_owned());
    }
    for peer in &reach.allowed_from {
        check_peer(peer)?;
    }
    check_service(type_, &reach.service, brokers)
}

/// Whether each broker is found by a name of its own; or what is wrong.
fn check_names(listener: &Listener) -> Result<(), String> {
    let (advertised, name) = (&listener.reach.advertised, listener.type_.name());
    if listener.tls.is_none() {
        return Err(format!(
            "is of type {name} and has no tls: a broker is found by the name in its handshake; \
             add `tls: {{}}`."
        ));
    }
    if !advertised.host.contains(BROKER) || advertised.bootstrap_host.is_empty() {
        return Err(format!(
            "is of type {name} and needs advertised.bootstrapHost, and advertised.host with \
             {BROKER} in it: each broker is found by a name of its own."
        ));
    }
    let is_of_broker =
        |broker: i32| advertised.host_of(broker).as_ref() == Some(&advertised.bootstrap_host);
    if (0..REPLICAS_MAX).any(is_of_broker) {
        return Err("has one host for a broker and for the first connection.".to_owned());
    }
    let hosts = [
        advertised.host.replace(BROKER, "0"),
        advertised.bootstrap_host.clone(),
    ];
    if let Some(host) = hosts.iter().find(|host| !is_domain(host)) {
        return Err(format!(
            "has the host {host} in advertised; names that clients ask for in TLS are \
             lower-case letters, digits and dashes between dots."
        ));
    }
    Ok(())
}

/// The API server would refuse the whole NetworkPolicy.
fn check_peer(peer: &NetworkPolicyPeer) -> Result<(), String> {
    let selectors = [&peer.pod_selector, &peer.namespace_selector];
    let selectors: Vec<_> = selectors.into_iter().flatten().collect();
    let is_block = peer.ip_block.is_some();
    if is_block != selectors.is_empty() {
        return Err(
            "has allowedFrom with an entry that is neither an ipBlock alone nor selectors alone."
                .to_owned(),
        );
    }
    if let Some(block) = &peer.ip_block {
        check_block(block)?;
    }
    let mut expressions = selectors
        .iter()
        .flat_map(|one| one.match_expressions.iter().flatten());
    let wrong = expressions.find(|one| {
        let has_values = one.values.as_ref().is_some_and(|values| !values.is_empty());
        match one.operator.as_str() {
            "In" | "NotIn" => !has_values,
            "Exists" | "DoesNotExist" => has_values,
            _ => true,
        }
    });
    match wrong {
        Some(one) => Err(format!(
            "has allowedFrom with the operator {} for {}; In and NotIn have values, Exists and \
             DoesNotExist have none.",
            one.operator, one.key
        )),
        None => Ok(()),
    }
}

fn check_block(block: &IPBlock) -> Result<(), String> {
    let cidr = &block.cidr;
    let read = |text: &str| {
        network(text).ok_or_else(|| {
            format!("has \"{text}\" in allowedFrom; write networks as 203.0.113.0/24.")
        })
    };
    let whole = read(cidr)?;
    for except in block.except.iter().flatten() {
        let part = read(except)?;
        if part.has(&whole) {
            return Err(format!(
                "has {cidr} in allowedFrom: without {except} nothing of it is left; remove one of \
                 the two."
            ));
        }
        if !whole.has(&part) {
            return Err(format!(
                "has {cidr} in allowedFrom, which does not have all of {except}; what is excepted \
                 is a part of it."
            ));
        }
    }
    Ok(())
}

/// A name as TLS and Kubernetes have it (RFC 1123), and no address.
fn is_domain(host: &str) -> bool {
    let is_label = |label: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.split('.').all(is_label) && host.parse::<IpAddr>().is_err()
}

fn check_service(
    type_: ListenerType,
    service: &ListenerService,
    brokers: i32,
) -> Result<(), String> {
    let ports = service.node_ports;
    let has_ports = ports.bootstrap.is_some() || ports.first_broker.is_some();
    let leads_outside = matches!(type_, ListenerType::NodePort | ListenerType::LoadBalancer);
    if !leads_outside && (has_ports || service.external_traffic_policy.is_some()) {
        return Err(
            "has service.nodePorts or service.externalTrafficPolicy, which are for the types \
             NodePort and LoadBalancer; remove them."
                .to_owned(),
        );
    }
    let is_balanced = type_ == ListenerType::LoadBalancer;
    let has_balancing =
        !service.load_balancer_class.is_empty() || !service.source_ranges.is_empty();
    if has_balancing && !is_balanced {
        return Err(
            "has service.loadBalancerClass or service.sourceRanges, which are for the type \
             LoadBalancer; remove them, or see allowedFrom."
                .to_owned(),
        );
    }
    let range = ports
        .first_broker
        .map(|first| first..=first.saturating_add(brokers - 1));
    let last = range.as_ref().map(|range| *range.end());
    for port in [ports.bootstrap, ports.first_broker, last]
        .into_iter()
        .flatten()
    {
        if !(1..=65535).contains(&port) {
            return Err(format!(
                "has the port {port} in service.nodePorts; 1 to 65535 are ports."
            ));
        }
    }
    if let (Some(range), Some(bootstrap)) = (&range, ports.bootstrap)
        && range.contains(&bootstrap)
    {
        let (first, last) = (range.start(), range.end());
        return Err(format!(
            "has service.nodePorts.bootstrap {bootstrap}, which is among those of the brokers, \
             {first} to {last}; choose another."
        ));
    }
    match service
        .source_ranges
        .iter()
        .find(|range| !is_network(range))
    {
        Some(range) => Err(format!(
            "has \"{range}\" in service.sourceRanges; write networks as 203.0.113.0/24."
        )),
        None => Ok(()),
    }
}

/// Kubernetes refuses a Service with more, and the one for the first connection has them twice.
fn check_size(listener: &Listener) -> Result<(), String> {
    let added = listener.reach.service.added.annotations.iter();
    let bytes: usize = added.map(|(key, value)| key.len() + value.len()).sum();
    let told = serde_json::to_string(listener).map_or(0, |told| told.len());
    match bytes + told <= ANNOTATIONS_BYTES_MAX {
        true => Ok(()),
        false => Err(format!(
            "has {bytes} bytes of annotations in service; a Service takes 256 KiB, and the one for \
             the first connection has them twice: use fewer."
        )),
    }
}

/// The ports of the nodes that a listener is to have.
fn node_ports(listener: &Listener, brokers: i32) -> impl Iterator<Item = RangeInclusive<i32>> {
    let ports = listener.reach.service.node_ports;
    let of_brokers = ports
        .first_broker
        .map(|first| first..=first.saturating_add(brokers - 1));
    let bootstrap = ports.bootstrap.map(|port| port..=port);
    of_brokers.into_iter().chain(bootstrap)
}

/// A port of the nodes leads to one Service.
fn check_node_ports(listener: &Listener, others: &[Listener], brokers: i32) -> Result<(), String> {
    for other in others {
        for taken in node_ports(other, brokers) {
            let both = |own: RangeInclusive<i32>| {
                let first = *own.start().max(taken.start());
                (first <= *own.end().min(taken.end())).then_some(first)
            };
            if let Some(port) = node_ports(listener, brokers).find_map(both) {
                return Err(format!(
                    "has the port {port} in service.nodePorts, which listener {} has too; choose \
                     others.",
                    other.name
                ));
            }
        }
    }
    Ok(())
}

/// Addresses that begin with the same bits.
struct Network {
    address: IpAddr,
    bits: u32,
}

fn network(text: &str) -> Option<Network> {
    let (address, bits) = text.split_once('/')?;
    let (address, bits): (IpAddr, u32) = (address.parse().ok()?, bits.parse().ok()?);
    let all = if address.is_ipv4() { 32 } else { 128 };
    (bits <= all).then_some(Network { address, bits })
}

fn is_network(text: &str) -> bool {
    network(text).is_some()
}

impl Network {
    /// Whether all of another one lies within it.
    fn has(&self, part: &Self) -> bool {
        let (differ, all) = match (self.address, part.address) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                (u128::from(one.to_bits() ^ other.to_bits()), 32)
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits(), 128),
            _ => return false,
        };
        self.bits <= part.bits && differ.checked_shr(all - self.bits).unwrap_or(0) == 0
    }
}

#[cfg(test)]
mod tests;
