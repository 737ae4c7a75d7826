//! The settings file of a broker, and what it takes to get from one file to another.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::validate::ValidatedCluster;
use crate::crd::cluster::Durability;
use crate::platform::{Endpoints, Properties};

/// The name of the listener that brokers use among themselves.
pub const PEER_LISTENER: &str = "CONTROLLER";

/// The settings of broker `node`, given where every broker lives.
///
/// # Panics
/// If `node` is not one of `everywhere`: a platform lays out all brokers of the cluster.
#[must_use]
pub fn properties(
    cluster: &ValidatedCluster,
    node: i32,
    everywhere: &BTreeMap<i32, Endpoints>,
) -> Properties {
    let here = &everywhere[&node];
    let mut listeners: Vec<String> = Vec::new();
    let mut advertised: Vec<String> = Vec::new();
    for client in &here.clients {
        let name = listener_name(&client.name);
        listeners.push(format!("{name}://{}", client.bind));
        advertised.push(format!("{name}://{}", client.advertised));
    }
    listeners.push(format!("{PEER_LISTENER}://{}", here.peer_bind));
    let voters: Vec<String> = everywhere
        .iter()
        .filter(|(id, _)| **id < cluster.controllers)
        .map(|(id, voter)| format!("{id}@{}", voter.peer_advertised))
        .collect();
    let durability = match cluster.durability {
        Durability::Fsync => "Fsync",
        Durability::Replicated => "Replicated",
    };
    let mut properties = cluster.config.clone();
    let mut set = |key: &str, value: String| drop(properties.insert(key.to_owned(), value));
    set("node.id", node.to_string());
    set("listeners", listeners.join(","));
    set("advertised.listeners", advertised.join(","));
    set("controller.listener.names", PEER_LISTENER.to_owned());
    set("controller.quorum.voters", voters.join(","));
    set("log.dirs", here.log_dir.display().to_string());
    set("ottla.http.listener", here.http_bind.clone());
    set("ottla.durability", durability.to_owned());
    if let Some(first) = here.clients.first() {
        set("inter.broker.listener.name", listener_name(&first.name));
    }
    if let Some(rack) = &here.rack {
        set("broker.rack", rack.clone());
    }
    properties
}

fn listener_name(name: &str) -> String {
    name.to_ascii_uppercase()
}

/// What lies between the settings a broker runs with and those it should run with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Settings that only a restart brings into force.
    pub restart: BTreeSet<String>,
    /// Settings that are changed while the broker runs; none stands for: back to the default.
    pub dynamic: BTreeMap<String, Option<String>>,
}

/// Compares the settings that run with those that should.
#[must_use]
pub fn difference(running: &Properties, desired: &Properties) -> Difference {
    let mut difference = Difference::default();
    for key in running.keys().chain(desired.keys()) {
        if running.get(key) == desired.get(key) {
            continue;
        }
        if is_dynamic(key) {
            let value = desired.get(key).cloned();
            difference.dynamic.insert(key.clone(), value);
        } else {
            difference.restart.insert(key.clone());
        }
    }
    difference
}

/// Whether a running broker takes a change of this setting: the broker-wide defaults of topic
/// configs.
#[must_use]
pub fn is_dynamic(key: &str) -> bool {
    const LOG_BUT_STATIC: &[&str] = &["log.dirs", "log.dir", "log.retention.check.interval.ms"];
    let topic_default = key.starts_with("log.") && !LOG_BUT_STATIC.contains(&key);
    topic_default
        || [
            "compression.type",
            "message.max.bytes",
            "min.insync.replicas",
            "unclean.leader.election.enable",
        ]
        .contains(&key)
}

#[cfg(test)]
mod tests;
