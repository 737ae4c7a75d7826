//! What the nodes of a cluster are to run with, and what lies between that and what they do.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::rolling_restart::ObservedBroker;
use super::settings::security::is_mutual_tls;
use super::settings::{Difference, check, difference, is_dynamic, properties, voters_named};
use super::validate::{Observed, is_own_setting};
use crate::crd::{KafkaCluster, KafkaClusterStatus};
use crate::platform::{BrokerState, Endpoints, Properties};
use crate::validated::{CONTROLLERS_MAX, FIRST_CONTROLLER, ValidatedCluster};

/// What exists of the cluster, and what was decided when it was created: by its status, or by the
/// nodes that exist. `left` are those that an earlier cluster has left data of.
pub(super) fn existing(
    cluster: &KafkaCluster,
    states: &BTreeMap<i32, BrokerState>,
    left: &BTreeSet<i32>,
) -> Observed {
    // all that may have voted: files are where voters are looked for
    let named = states.values().map(|state| &state.running_with);
    let mut voters: BTreeSet<i32> = named.flat_map(voters_named).collect();
    if voters.is_empty() {
        voters = cluster
            .status
            .as_ref()
            .map_or_else(BTreeSet::new, voters_told);
    }
    if voters.is_empty() {
        let may_vote = |id: &&i32| !(CONTROLLERS_MAX..FIRST_CONTROLLER).contains(*id);
        voters = left.iter().copied().filter(|id| may_vote(&id)).collect();
    }
    let mut running = states.values().map(|state| &state.running_with);
    let mutual_tls = running.find_map(is_mutual_tls);
    // One that is not there at the moment, as between two pods, holds its replicas still.
    let told = cluster.status.iter().flat_map(|status| &status.brokers);
    let told = told.map(|broker| broker.id);
    let mut brokers: BTreeSet<i32> = told.chain(states.keys().copied()).collect();
    let mut controllers = brokers.split_off(&FIRST_CONTROLLER);
    if brokers.is_empty() {
        brokers.extend(left.range(..FIRST_CONTROLLER));
        controllers.extend(left.range(FIRST_CONTROLLER..));
    }
    // without those that files name, those that know no others have no majority
    controllers.extend(voters.range(FIRST_CONTROLLER..));
    Observed {
        brokers: brokers.last().map_or(0, |last| last + 1),
        controllers,
        voters,
        mutual_tls: mutual_tls.or_else(|| cluster.status.as_ref()?.mutual_tls),
    }
}

/// Who voted when that was last seen. A status of before dedicated controllers has their number.
pub(super) fn voters_told(status: &KafkaClusterStatus) -> BTreeSet<i32> {
    if status.voters.is_empty() {
        return (0..status.controllers.unwrap_or(0)).collect();
    }
    status.voters.iter().copied().collect()
}

/// The nodes as the plan of the restarts takes them.
pub(super) fn observed_brokers(
    states: &BTreeMap<i32, BrokerState>,
    desired: &BTreeMap<i32, Properties>,
) -> Vec<ObservedBroker> {
    let differences = differences(states, desired);
    let brokers = states.iter().map(|(id, state)| ObservedBroker {
        id: *id,
        ready: state.ready,
        settles: state.settles,
        runs: state.runs,
        fails: state.failure.is_some(),
        message: state.message.clone(),
        restart: restart_reason(state, differences.get(id)),
    });
    brokers.collect()
}

pub(super) fn differences(
    states: &BTreeMap<i32, BrokerState>,
    desired: &BTreeMap<i32, Properties>,
) -> BTreeMap<i32, Difference> {
    let running = states.iter().filter(|(_, state)| !state.is_stopped);
    let both = running.filter_map(|(id, state)| {
        let mut difference = difference(&state.running_with, desired.get(id)?);
        if state.running_with.is_empty() {
            // Not known: what it takes without a restart it has when it comes back.
            difference.dynamic.clear();
        }
        Some((*id, difference))
    });
    both.collect()
}

/// The settings of all brokers. Those that are managed elsewhere stay as they run.
pub(super) fn desired(
    valid: &ValidatedCluster,
    everywhere: &BTreeMap<i32, Endpoints>,
    states: &BTreeMap<i32, BrokerState>,
) -> BTreeMap<i32, Properties> {
    let settings = |id: i32| {
        let mut settings = properties(valid, id, everywhere);
        let running = states.get(&id).map(|state| &state.running_with);
        for (key, value) in running.into_iter().flatten() {
            if valid.unmanaged.contains(key) {
                settings.insert(key.clone(), value.clone());
            }
        }
        settings
    };
    valid
        .nodes()
        .into_iter()
        .map(|id| (id, settings(id)))
        .collect()
}

/// Whether the nodes will take the settings of the spec. One broker is as good as all, and one
/// controller: they differ in ids and addresses only.
pub(super) fn checked(
    valid: &ValidatedCluster,
    everywhere: &BTreeMap<i32, Endpoints>,
) -> Result<(), String> {
    let firsts = [0, FIRST_CONTROLLER];
    let mut firsts = firsts.iter().filter(|id| everywhere.contains_key(id));
    firsts.try_for_each(|id| check(&properties(valid, *id, everywhere), valid.image.is_none()))
}

/// Has the brokers stay as many as they are, with the spec.config that they have, for as long as
/// another cannot be carried out.
pub(super) fn keep_what_runs(valid: &mut ValidatedCluster, states: &BTreeMap<i32, BrokerState>) {
    let settings = states.values().map(|state| &state.running_with);
    let mut settings = settings.filter(|settings| !settings.is_empty());
    let mut config = settings.next().cloned().unwrap_or_default();
    config.retain(|key, _| !is_own_setting(key));
    valid.config = config;
    keep_who_exists(valid, states);
}

/// Has no node come that is not there. Controllers that may vote are there, whatever became of
/// their processes.
pub(super) fn keep_who_exists(valid: &mut ValidatedCluster, states: &BTreeMap<i32, BrokerState>) {
    let last = states.range(..FIRST_CONTROLLER).next_back();
    let exist = last.map_or(0, |(last, _)| last + 1);
    valid.replicas = valid.replicas.min(exist);
    valid.leaving.retain(|id| *id < exist);
    keep_controllers(valid);
}

/// Has no controller come that is not there.
pub(super) fn keep_controllers(valid: &mut ValidatedCluster) {
    let controllers = &mut valid.controllers;
    controllers.ids.retain(|id| controllers.known.contains(id));
}

/// What a broker starts with. One that ran before keeps what is changed without a restart: the
/// metadata may hold that too and would win over the file, so it is changed there, once it is up.
pub(super) fn settings_of_start(before: Option<&Properties>, desired: &Properties) -> Properties {
    let Some(before) = before else {
        return desired.clone();
    };
    let kept = before.iter().filter(|(key, _)| is_dynamic(key));
    let new = desired.iter().filter(|(key, _)| !is_dynamic(key));
    let all = kept.chain(new);
    all.map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

pub(super) fn restart_reason(
    state: &BrokerState,
    difference: Option<&Difference>,
) -> Option<String> {
    let keys = difference.map(|difference| &difference.restart);
    match keys.filter(|keys| !keys.is_empty()) {
        Some(keys) => {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            Some(format!("{} changed", keys.join(", ")))
        }
        None => state.restart.clone(),
    }
}
