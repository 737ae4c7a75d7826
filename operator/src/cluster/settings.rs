//! The settings file of a broker, and what it takes to get from one file to another.

pub mod security;

use std::collections::{BTreeMap, BTreeSet};

use ottla_core::config::settings::properties::expand;
use ottla_core::config::settings::{Error, Settings};
use ottla_core::config::{Scope, Update, find};

use crate::crd::cluster::Durability;
use crate::platform::{Endpoints, Properties};
use crate::validated::{FIRST_CONTROLLER, ValidatedCluster};

/// The name of the listener that brokers use among themselves.
pub const PEER_LISTENER: &str = "CONTROLLER";

/// The setting with the voters of the metadata quorum. It says where to look for them: who votes,
/// the brokers agree on themselves, so a change of it takes no restart.
pub const VOTERS: &str = "controller.quorum.voters";

/// The voters that a file names.
#[must_use]
pub fn voters_named(settings: &Properties) -> BTreeSet<i32> {
    let voters = settings.get(VOTERS).map_or("", String::as_str).split(',');
    let ids = voters.filter_map(|voter| voter.split_once('@')?.0.parse().ok());
    ids.collect()
}

/// Whether a voter that both name has moved: brokers know each where their files said at the start.
fn has_moved_voters(running: &Properties, desired: &Properties) -> bool {
    let of = |settings: &Properties| -> BTreeMap<String, String> {
        let voters = settings.get(VOTERS).map_or("", String::as_str).split(',');
        let voters = voters.filter_map(|voter| voter.split_once('@'));
        voters
            .map(|(id, at)| (id.to_owned(), at.to_owned()))
            .collect()
    };
    let (running, desired) = (of(running), of(desired));
    let mut both = running
        .iter()
        .filter_map(|(id, at)| Some((at, desired.get(id)?)));
    both.any(|(before, now)| before != now)
}

/// The settings of a node, given where every node lives.
///
/// # Panics
/// If `node` is not one of `everywhere`: a platform lays out all nodes of the cluster.
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
    let is_broker = node < FIRST_CONTROLLER;
    let voters: Vec<String> = everywhere
        .iter()
        .filter(|(id, _)| cluster.voters.contains(id))
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
    if is_broker {
        set("advertised.listeners", advertised.join(","));
    } else {
        set("process.roles", "controller".to_owned());
    }
    set("controller.listener.names", PEER_LISTENER.to_owned());
    set(VOTERS, voters.join(","));
    set("log.dirs", here.log_dir.display().to_string());
    set("ottla.http.listener", here.http_bind.clone());
    set("ottla.durability", durability.to_owned());
    if let Some(first) = here.clients.first() {
        set("inter.broker.listener.name", listener_name(&first.name));
    }
    if let Some(rack) = &here.rack {
        set("broker.rack", rack.clone());
    }
    properties.extend(security::properties(cluster, &here.certificates, is_broker));
    properties
}

/// How the spec's name of a listener stands in a broker's settings.
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
        if is_dynamic(key) && !(key == VOTERS && has_moved_voters(running, desired)) {
            let value = desired.get(key).cloned();
            difference.dynamic.insert(key.clone(), value);
        } else {
            difference.restart.insert(key.clone());
        }
    }
    difference
}

/// Whether a change of this setting takes no restart: as the broker's own table says.
#[must_use]
pub fn is_dynamic(key: &str) -> bool {
    key == VOTERS || find(Scope::Broker, key).is_some_and(|name| name.update == Update::Dynamic)
}

/// Whether a broker takes these settings; if not, what it refuses. Another version than ours may
/// know settings that ours does not: those are its own affair.
///
/// # Errors
/// A sentence without a full stop, in the broker's own words.
pub fn check(settings: &Properties, is_our_version: bool) -> Result<(), String> {
    let mut settings = settings.clone();
    loop {
        let lines = settings.iter().map(|(k, v)| format!("{k}={v}\n"));
        let text: String = lines.collect();
        // What a pod's environment will say is some address or other.
        let text = expand(&text, |_| Some("127.0.0.1".to_owned()));
        let text = text.unwrap_or_else(|name| name);
        match Settings::from_properties("", &text) {
            Ok(_) => return Ok(()),
            Err(Error::UnknownKey { key, .. }) if !is_our_version => {
                settings.remove(&key);
            }
            Err(error) => return Err(error.sentence()),
        }
    }
}

#[cfg(test)]
mod tests;
