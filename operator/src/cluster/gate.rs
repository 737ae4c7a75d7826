//! What of a spec is carried out now, and what waits: for consent, or for its turn. Pure.
//!
//! What waits is taken out of the spec, so that nothing after it has to know: brokers that are to
//! go stay, brokers keep the listeners, the settings and the pod with which they would start again
//! now, and no broker is added that would start with others.

use std::collections::{BTreeMap, BTreeSet};

use super::settings::security::{BROKER_LISTENER, read};
use super::settings::{PEER_LISTENER, difference, is_dynamic};
use crate::approval::{Change, What};
use crate::condition::{ClusterReason, Verdict};
use crate::crd::cluster::{Listener, ListenerType, Reach};
use crate::fingerprint::fingerprint;
use crate::platform::{AllowedFrom, Properties, Remake};
use crate::spoken;
use crate::validated::ValidatedCluster;

/// The setting with the addresses that clients are told.
const ADVERTISED: &str = "advertised.listeners";

/// The change that restarts brokers; none where those that start now are as they should be. It is
/// judged by what is in force, not by what runs: a roll that was consented to goes on. `in_force`
/// has all brokers that exist, without settings where they are not known: those may be any;
/// `at_once_max` is how many may restart at a time.
#[must_use]
pub fn restart(
    in_force: &BTreeMap<i32, Properties>,
    desired: &BTreeMap<i32, Properties>,
    remakes: &[Remake],
    (listeners, at_once_max): (&[Listener], usize),
) -> Option<Change> {
    let first = in_force.keys().find_map(|id| desired.get(id))?;
    let mut keys = BTreeSet::new();
    let mut brokers = BTreeSet::new();
    let mut is_unknown = false;
    for (id, settings) in in_force {
        let Some(wanted) = desired.get(id) else {
            continue;
        };
        if settings.is_empty() {
            is_unknown = true;
            brokers.insert(*id);
            continue;
        }
        let differs = difference(settings, wanted).restart;
        let is_made_anew = remakes.iter().any(|remake| remake.nodes.contains(id));
        if is_made_anew || !differs.is_empty() {
            brokers.insert(*id);
        }
        keys.extend(differs);
    }
    if brokers.is_empty() {
        return None;
    }
    let mut reasons: Vec<String> = remakes.iter().map(|remake| remake.what.clone()).collect();
    reasons.dedup();
    if !keys.is_empty() {
        let keys: Vec<String> = keys.into_iter().collect();
        reasons.push(format!("{} change", keys.join(", ")));
    }
    if is_unknown {
        reasons.push("the settings in force are not known".to_owned());
    }
    // Brokers differ in ids and addresses only, so the first one's settings stand for all.
    let fixed = first.iter().filter(|(key, _)| !is_dynamic(key));
    let fixed = fixed.map(|(key, value)| match key.as_str() {
        ADVERTISED => format!("{key}={}\n", without_assigned(value, listeners)),
        _ => format!("{key}={value}\n"),
    });
    let remade = remakes.iter().map(|remake| remake.fingerprint.as_str());
    // Who consents to one at a time does not consent to more.
    let together = (at_once_max > 1).then(|| format!("at once {at_once_max}\n"));
    let target: String = fixed
        .chain(remade.map(str::to_owned))
        .chain(together)
        .collect();
    Some(Change {
        what: What::Restart,
        id: What::Restart.id(&format!("{:016x}", fingerprint(&target))),
        step: format!(
            "Restart {}, {} at a time: {}.",
            spoken::nodes(&brokers),
            match at_once_max {
                1 => "one".to_owned(),
                most => format!("at most {most}"),
            },
            reasons.join("; ")
        ),
        brokers,
        bytes: Some(0),
    })
}

/// The addresses that clients are told, without what may be assigned only once the change is
/// carried out: ports of nodes, and the addresses of load balancers.
fn without_assigned(advertised: &str, listeners: &[Listener]) -> String {
    let addresses = advertised.split(',').map(|one| {
        let name = one.split_once("://").map_or("", |(name, _)| name);
        let mut listeners = listeners.iter();
        let Some(listener) = listeners.find(|other| other.name.eq_ignore_ascii_case(name)) else {
            return one.to_owned();
        };
        let given = &listener.reach.advertised;
        let pinned = given
            .port
            .or(listener.reach.service.node_ports.first_broker);
        match listener.type_ {
            ListenerType::LoadBalancer if given.host.is_empty() => {
                format!("{name}://:{}", given.port.unwrap_or(listener.port))
            }
            ListenerType::NodePort if pinned.is_none() => one
                .rsplit_once(':')
                .map_or(one, |(host, _)| host)
                .to_owned(),
            _ => one.to_owned(),
        }
    });
    addresses.collect::<Vec<_>>().join(",")
}

fn host_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

/// The changes by which brokers go, and those by which others are filled. What is under way
/// already is none.
#[must_use]
pub fn comings_and_goings(
    valid: &ValidatedCluster,
    told: &[i32],
    newcomers: &BTreeSet<i32>,
) -> Vec<Change> {
    let change = |what: What, id: i32, step: String| Change {
        what,
        id: what.id(&id.to_string()),
        step,
        brokers: BTreeSet::from([id]),
        // Somebody has to ask.
        bytes: None,
    };
    let going = valid.leaving.iter().filter(|id| !told.contains(id));
    let going = going.map(|id| {
        let step = format!("Copy all replicas of broker {id} to those that stay, and remove it.");
        change(What::Remove, *id, step)
    });
    let coming = newcomers.iter().map(|id| {
        let step = format!("Copy to broker {id} its share of the replicas.");
        change(What::Fill, *id, step)
    });
    going.chain(coming).collect()
}

/// The listeners that brokers have which start again now, as a spec has them; none where that is
/// not known. While a restart waits, clients and Services go on with these. Settings say where a
/// listener listens and who may come; how it is reached is as it is `laid_out`; who may connect to
/// it, and what its Services say beside their ports, is as it is `wanted`, for no broker restarts
/// for that.
#[must_use]
pub fn listeners(
    in_force: &BTreeMap<i32, Properties>,
    wanted: &[Listener],
    laid_out: &BTreeMap<String, Listener>,
) -> Option<Vec<Listener>> {
    let settings = in_force.get(&0).filter(|settings| !settings.is_empty())?;
    let of = |key: &str| {
        let all = settings.get(key).map_or("", String::as_str).split(',');
        all.filter_map(|one| one.split_once("://"))
    };
    let own = [PEER_LISTENER, BROKER_LISTENER];
    let inside = of(ADVERTISED)
        .next()
        .map_or("", |(_, address)| host_of(address));
    let listeners = of("listeners").filter(|(name, _)| !own.contains(name));
    let listeners = listeners.map(|(upper, bind)| {
        let name = upper.to_ascii_lowercase();
        let host = of(ADVERTISED).find(|(other, _)| *other == upper);
        let host = host.map_or("", |(_, address)| host_of(address));
        let is_of_nodes = host.contains("${env:HOST_IP}");
        let wanted = wanted.iter().find(|one| one.name == name);
        // Those that were laid out by an earlier version of the operator say nothing themselves,
        // nor do those whose Service is not there at the moment: whoever is reached otherwise than
        // the first one, which is Internal, is reached as the spec says.
        let (type_, mut reach) = match (laid_out.get(&name), wanted) {
            (Some(known), _) => (known.type_, known.reach.clone()),
            (None, _) if is_of_nodes => (ListenerType::NodePort, Reach::default()),
            (None, Some(wanted)) if host != inside => (wanted.type_, wanted.reach.clone()),
            (None, _) => (ListenerType::Internal, Reach::default()),
        };
        reach.allowed_from = Vec::new();
        if let Some(wanted) = wanted {
            let node_ports = reach.service.node_ports;
            reach.allowed_from.clone_from(&wanted.reach.allowed_from);
            if wanted.type_ == type_ {
                reach.service.clone_from(&wanted.reach.service);
                reach.service.node_ports = node_ports;
            }
        }
        let mut listener = Listener {
            name,
            port: bind.rsplit_once(':')?.1.parse().ok()?,
            type_,
            reach,
            tls: None,
            authentication: None,
        };
        read(settings, &mut listener);
        Some(listener)
    });
    listeners.collect()
}

/// Has listeners that brokers have keep their types: what leads to brokers would be taken away
/// while they still tell of it. One of another name comes beside it.
pub fn keep_types(valid: &mut ValidatedCluster, running: &[Listener]) {
    for listener in &mut valid.listeners {
        let mut same = running.iter().filter(|one| one.name == listener.name);
        let Some(before) = same.find(|one| one.type_ != listener.type_) else {
            continue;
        };
        let message = format!(
            "spec.listeners ({}) was {} and is to be {}: a listener keeps its type; add one of \
             another name, and remove this one once clients have moved.",
            listener.name,
            before.type_.name(),
            listener.type_.name()
        );
        valid
            .refused
            .push(Verdict::new(ClusterReason::InvalidSpec, message));
        listener.type_ = before.type_;
        listener.reach = before.reach.clone();
    }
}

/// Has load balancers keep their class: Kubernetes would refuse the whole Service.
pub fn keep_classes(valid: &mut ValidatedCluster, laid_out: &BTreeMap<String, Listener>) {
    for listener in &mut valid.listeners {
        let is_same = |one: &&Listener| one.type_ == listener.type_;
        let Some(before) = laid_out.get(&listener.name).filter(is_same) else {
            continue;
        };
        let before = &before.reach.service.load_balancer_class;
        let class = &mut listener.reach.service.load_balancer_class;
        if class == before {
            continue;
        }
        let message = format!(
            "spec.listeners ({}) has service.loadBalancerClass \"{class}\" and was made with \
             \"{before}\", which Kubernetes does not let change: put it back, or add a listener of \
             another name and remove this one once clients have moved.",
            listener.name
        );
        class.clone_from(before);
        valid
            .refused
            .push(Verdict::new(ClusterReason::InvalidSpec, message));
    }
}

/// What is said of `allowedFrom` where it does not hold: in a verdict where anybody may connect, in
/// a note where nobody of those may whom it names.
#[must_use]
pub fn unheeded(listeners: &[Listener], is: AllowedFrom) -> (Option<Verdict>, Option<String>) {
    let mut listeners = listeners.iter();
    let Some(narrow) = listeners.find(|one| !one.reach.allowed_from.is_empty()) else {
        return (None, None);
    };
    let has = format!("spec.listeners ({}) has allowedFrom", narrow.name);
    match is {
        AllowedFrom::Held => (None, None),
        AllowedFrom::Open => {
            let message = format!(
                "{has}, and this operator makes no NetworkPolicy, so anybody may connect: set \
                 networkPolicy.brokers of its chart, or remove allowedFrom."
            );
            let verdict = Verdict::new(ClusterReason::ApplyFailed, message);
            (Some(verdict), None)
        }
        AllowedFrom::ThisMachine => {
            let note = "in local mode whoever is on this machine may connect, and nobody else";
            (None, Some(format!("{has}: {note}.")))
        }
    }
}

/// Has brokers keep the listeners that they have while a restart waits. What was made to have the
/// addresses of load balancers assigned stays: without them the restart would be another one.
pub fn hold_listeners(valid: &mut ValidatedCluster, running: Vec<Listener>) {
    let is_new = |one: &Listener| !running.iter().any(|other| other.name == one.name);
    let wanted = std::mem::take(&mut valid.listeners).into_iter();
    let balanced = wanted.filter(|one| one.type_ == ListenerType::LoadBalancer && is_new(one));
    valid.awaited.extend(balanced);
    valid.listeners = running;
}

/// The settings while a restart waits: those in force, but for what needs no restart.
#[must_use]
pub fn held(
    in_force: &BTreeMap<i32, Properties>,
    desired: &BTreeMap<i32, Properties>,
) -> BTreeMap<i32, Properties> {
    let held = desired.iter().map(|(id, desired)| {
        let Some(in_force) = in_force.get(id).filter(|settings| !settings.is_empty()) else {
            return (*id, desired.clone());
        };
        let fixed = in_force.iter().filter(|(key, _)| !is_dynamic(key));
        let dynamic = desired.iter().filter(|(key, _)| is_dynamic(key));
        let settings = fixed.chain(dynamic);
        (*id, settings.map(|(k, v)| (k.clone(), v.clone())).collect())
    });
    held.collect()
}

#[cfg(test)]
mod tests;
