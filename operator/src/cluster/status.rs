//! What a KafkaCluster's status says. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::replacement::remembered;
use super::rolling_restart::{ObservedBroker, Plan};
use super::scale_up::known;
use crate::approval::Consent;
use crate::condition::{ClusterReason, Verdict, conditions};
use crate::crd::cluster::{BrokerStatus, RebalanceStatus, ReplacementStatus};
use crate::crd::{KafkaCluster, KafkaClusterStatus};
use crate::platform::{BrokerState, Failure, There};
use crate::spoken::{node_first, nodes};
use crate::validated::ValidatedCluster;

/// What a step saw.
#[derive(Debug)]
pub struct Seen<'a> {
    /// The brokers as their platform sees them.
    pub states: &'a BTreeMap<i32, BrokerState>,
    /// The brokers and the dedicated controllers.
    pub nodes: &'a BTreeMap<i32, BrokerState>,
    /// The same as the rolling restart sees them.
    pub brokers: &'a [ObservedBroker],
    /// Who is restarted, and why the others wait.
    pub plan: &'a Plan,
    /// What is not carried out.
    pub verdicts: Vec<Verdict>,
    /// Kafka's own id of the cluster.
    pub cluster_id: Option<String>,
    /// Bootstrap addresses by listener.
    pub bootstrap: BTreeMap<String, String>,
    /// What was asked for and is not there yet.
    pub pending: Vec<String>,
    /// What is said beside that all is as it should be, if anything; a sentence.
    pub note: Option<String>,
    /// Brokers that are to go.
    pub leaving: Vec<i32>,
    /// Who votes; none where that is not known.
    pub voters: Option<BTreeSet<i32>>,
    /// Dedicated controllers that are to go and have not been forgotten.
    pub dedicated: BTreeSet<i32>,
    /// Brokers that are to get their share; none where that was not looked at.
    pub newcomers: Option<Vec<i32>>,
    /// How far replicas are made even; none where that was not looked at.
    pub rebalance: Option<Option<RebalanceStatus>>,
    /// The node that gets an empty volume; none where that was not looked at.
    pub replacement: Option<Option<ReplacementStatus>>,
    /// Whether no more replicas are to be moved for its sake.
    pub holds_moves: bool,
    /// What was consented to, and what waits; none where that was not looked at.
    pub consent: Option<Consent>,
    /// The version that brokers start with; empty where it is not known.
    pub version: String,
}

const NO_PLAN: &Plan = &Plan {
    restart: None,
    beside: BTreeSet::new(),
    waiting: BTreeMap::new(),
};

impl<'a> Seen<'a> {
    /// What is seen of a cluster whose spec cannot be carried out at all.
    #[must_use]
    pub fn new(there: There<'a>, verdict: Verdict) -> Self {
        Self {
            verdicts: vec![verdict],
            ..Self::unplanned(there)
        }
    }

    /// What is seen while no restart can be planned.
    #[must_use]
    pub fn unplanned(there: There<'a>) -> Self {
        Self {
            states: there.brokers,
            nodes: there.nodes,
            brokers: &[],
            plan: NO_PLAN,
            verdicts: Vec::new(),
            cluster_id: None,
            bootstrap: BTreeMap::new(),
            pending: Vec::new(),
            note: None,
            leaving: Vec::new(),
            voters: None,
            dedicated: BTreeSet::new(),
            newcomers: None,
            rebalance: None,
            replacement: None,
            holds_moves: false,
            consent: None,
            version: String::new(),
        }
    }
}

/// The status.
#[must_use]
pub fn status(
    cluster: &KafkaCluster,
    valid: Option<&ValidatedCluster>,
    seen: &Seen<'_>,
    now: &str,
) -> KafkaClusterStatus {
    let mut status = cluster.status.clone().unwrap_or_default();
    let generation = cluster.metadata.generation.unwrap_or_default();
    let mut verdicts = seen.verdicts.clone();
    if let Some(valid) = valid {
        verdicts.extend(broker_verdicts(valid, seen));
        let pending = seen.pending.iter();
        verdicts.extend(pending.map(|what| Verdict::new(ClusterReason::Applying, what.clone())));
        if let Some(voters) = &seen.voters {
            status.controllers = i32::try_from(voters.len()).ok();
            status.voters = voters.iter().copied().collect();
        }
        tell_controllers(&mut status, valid, seen);
        keep_addresses(&mut status, valid, seen);
    }
    let verdict = Verdict::worst(verdicts).unwrap_or_else(|| {
        let note = seen.note.iter().map(|note| format!(" {note}"));
        let note: String = note.collect();
        let all = seen.states.len();
        Verdict::new(
            ClusterReason::BrokersReady,
            format!("All {all} brokers serve.{note}"),
        )
    });
    let ready = seen.states.values().filter(|state| state.ready).count();
    let wanted = valid.map_or(cluster.spec.replicas, |valid| valid.replicas);
    status.observed_generation = generation;
    status.conditions = conditions(&status.conditions, &verdict, generation, now);
    status.replicas = i32::try_from(seen.states.len()).unwrap_or(i32::MAX);
    status.brokers_ready = format!("{ready}/{wanted}");
    status.selector = format!(
        "app.kubernetes.io/name=ottla,app.kubernetes.io/instance={},\
         app.kubernetes.io/component=broker",
        cluster.metadata.name.as_deref().unwrap_or_default()
    );
    if seen.cluster_id.is_some() {
        status.cluster_id.clone_from(&seen.cluster_id);
    }
    let before = std::mem::take(&mut status.brokers);
    status.brokers = brokers(seen, &before, valid);
    if valid.is_some() {
        status.leaving.clone_from(&seen.leaving);
    }
    if let Some(consent) = &seen.consent {
        status.approved = consent.told();
        status.plan.clone_from(&consent.plan);
        status.plans_approved = consent.plans_approved;
    }
    let replacement = seen.replacement.clone();
    status.replacement = replacement.unwrap_or_else(|| remembered(cluster));
    if let Some(rebalance) = &seen.rebalance {
        status.rebalance.clone_from(rebalance);
    }
    if !seen.version.is_empty() {
        status.broker_version.clone_from(&seen.version);
    }
    let leaving = &status.leaving;
    let known = || known(valid, seen.states, cluster.status.as_ref(), leaving);
    let newcomers = seen.newcomers.clone();
    status.newcomers = newcomers.unwrap_or_else(|| known().into_iter().collect());
    status
}

/// An address that is not known at the moment is what it was: clients and topics go by it.
fn keep_addresses(status: &mut KafkaClusterStatus, valid: &ValidatedCluster, seen: &Seen<'_>) {
    let before = std::mem::take(&mut status.listeners);
    let names = valid.listeners.iter().map(|listener| &listener.name);
    let known = names.filter_map(|name| {
        let address = seen.bootstrap.get(name).or_else(|| before.get(name))?;
        Some((name.clone(), address.clone()))
    });
    status.listeners = known.collect();
    let plain = valid.listeners.iter().filter(|one| one.tls.is_none());
    status.plain_listeners = plain.map(|listener| listener.name.clone()).collect();
    status.mutual_tls = Some(valid.mutual_tls);
    let first = valid.listeners.first();
    if let Some(address) = first.and_then(|first| status.listeners.get(&first.name)) {
        status.bootstrap_servers.clone_from(address);
    }
}

/// What is told of one node.
fn told(seen: &Seen<'_>, id: i32, state: &BrokerState) -> BrokerStatus {
    let message = match seen.plan.waiting.get(&id) {
        Some(why) => format!("waits to be restarted: {why}"),
        None if seen.plan.going().any(|going| going == id) => "restarts".to_owned(),
        None => state.message.clone(),
    };
    let node = seen.brokers.iter().find(|node| node.id == id);
    BrokerStatus {
        id,
        ready: state.ready,
        message,
        restart_reason: node
            .and_then(|node| node.restart.clone())
            .unwrap_or_default(),
    }
}

fn away(id: i32) -> BrokerStatus {
    BrokerStatus {
        id,
        message: "is not there".to_owned(),
        ..BrokerStatus::default()
    }
}

/// Those that there are to be, and those that are to go and have not been forgotten: they stand
/// there before they are started, so that none is ever forgotten here first.
fn tell_controllers(status: &mut KafkaClusterStatus, valid: &ValidatedCluster, seen: &Seen<'_>) {
    let wanted = &valid.controllers.ids;
    let ready = |id: &&i32| seen.nodes.get(id).is_some_and(|state| state.ready);
    status.controllers_ready = match wanted.len() {
        0 => String::new(),
        count => format!("{}/{count}", wanted.iter().filter(ready).count()),
    };
    let all = wanted | &seen.dedicated;
    let all = all.into_iter().map(|id| match seen.nodes.get(&id) {
        Some(state) => told(seen, id, state),
        None => away(id),
    });
    status.dedicated_controllers = all.collect();
}

/// Why the dedicated controllers are not all ready, where they are not.
fn controllers_verdict(valid: &ValidatedCluster, seen: &Seen<'_>) -> Option<Verdict> {
    let wanted = &valid.controllers.ids;
    let state = |id: &i32| seen.nodes.get(id);
    let is_unready = |id: &&i32| state(id).is_none_or(|state| !state.ready);
    let unready: Vec<&i32> = wanted.iter().filter(is_unready).collect();
    let first = **unready.first()?;
    let what = state(&first).map_or("is being started", |state| &state.message);
    let message = format!(
        "{} of {} controllers are ready; controller {first} {what}.",
        wanted.len() - unready.len(),
        wanted.len()
    );
    Some(Verdict::new(ClusterReason::ControllerNotReady, message))
}

/// One that is not there is still one of the cluster's.
fn brokers(
    seen: &Seen<'_>,
    before: &[BrokerStatus],
    valid: Option<&ValidatedCluster>,
) -> Vec<BrokerStatus> {
    let brokers = seen.states.iter();
    let brokers = brokers.map(|(id, state)| told(seen, *id, state));
    let wanted = valid.map_or(i32::MAX, |valid| valid.replicas);
    let others = before
        .iter()
        .filter(|broker| !seen.states.contains_key(&broker.id) && broker.id < wanted);
    let others = others.map(|broker| away(broker.id));
    let mut brokers: Vec<BrokerStatus> = brokers.chain(others).collect();
    brokers.sort_by_key(|broker| broker.id);
    brokers
}

/// The status of one that is being deleted.
#[must_use]
pub fn deleting(cluster: &KafkaCluster, now: &str) -> KafkaClusterStatus {
    let message = "The cluster is being deleted.";
    let verdict = Verdict::new(ClusterReason::Deleting, message);
    let mut status = cluster.status.clone().unwrap_or_default();
    let generation = cluster.metadata.generation.unwrap_or_default();
    status.conditions = conditions(&status.conditions, &verdict, generation, now);
    status
}

fn broker_verdicts(valid: &ValidatedCluster, seen: &Seen<'_>) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for (id, state) in seen.nodes {
        if let Some(failure) = state.failure {
            let reason = match failure {
                Failure::CrashLooping => ClusterReason::BrokerCrashLooping,
                Failure::PortInUse => ClusterReason::PortInUse,
                Failure::Unschedulable => ClusterReason::BrokerUnschedulable,
                Failure::ImagePull => ClusterReason::ImagePullFailed,
                Failure::Storage => ClusterReason::StorageUnavailable,
                Failure::Growth => ClusterReason::VolumeCannotGrow,
                Failure::Refused => ClusterReason::PodRefused,
            };
            verdicts.push(Verdict::new(
                reason,
                format!("{}: {}.", node_first(*id), state.message),
            ));
        }
    }
    verdicts.extend(roll_verdict(seen));
    verdicts.extend(controllers_verdict(valid, seen));
    let exist = seen.states.len();
    let wanted = usize::try_from(valid.replicas).unwrap_or(0);
    let down = seen.states.iter().find(|(_, state)| !state.ready);
    if let Some((id, state)) = down {
        let unready = seen.states.values().filter(|state| !state.ready).count();
        let reason = if unready == exist {
            ClusterReason::BrokersStarting
        } else {
            ClusterReason::BrokerNotReady
        };
        let message = format!(
            "{} of {wanted} brokers serve; broker {id} {}.",
            exist - unready,
            state.message
        );
        verdicts.push(Verdict::new(reason, message));
    } else if exist < wanted {
        verdicts.push(Verdict::new(
            ClusterReason::BrokersStarting,
            format!("{exist} of {wanted} brokers serve; the others are being started."),
        ));
    }
    verdicts
}

fn roll_verdict(seen: &Seen<'_>) -> Option<Verdict> {
    let going: BTreeSet<i32> = seen.plan.going().collect();
    let left = seen.plan.waiting.len();
    let message = match (going.first(), going.len()) {
        (Some(one), 1) => Some(format!(
            "{} is being restarted; {left} more follow it.",
            node_first(*one)
        )),
        (Some(_), _) => Some(format!(
            "They are being restarted, {}; {left} more follow them.",
            nodes(&going)
        )),
        (None, _) => None,
    };
    if let Some(message) = message {
        return Some(Verdict::new(ClusterReason::RollingRestart, message));
    }
    let (id, why) = seen.plan.waiting.iter().next()?;
    Some(Verdict::new(
        ClusterReason::RollingRestart,
        format!("{} waits to be restarted: {why}.", node_first(*id)),
    ))
}
