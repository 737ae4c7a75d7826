//! What the brokers of a cluster are to run with, and what lies between that and what they do.
//! Pure.

use std::collections::BTreeMap;

use super::rolling_restart::ObservedBroker;
use super::settings::security::is_mutual_tls;
use super::settings::{Difference, check, difference, is_dynamic, properties, voters_named};
use super::validate::{Observed, is_own_setting};
use crate::crd::KafkaCluster;
use crate::platform::{BrokerState, Endpoints, Properties};
use crate::validated::{CONTROLLERS_MAX, ValidatedCluster};

/// What was decided when the cluster was created: by its status, or by the brokers that exist.
/// `left` is how many an earlier cluster has left data of.
pub(super) fn existing(
    cluster: &KafkaCluster,
    states: &BTreeMap<i32, BrokerState>,
    left: i32,
) -> Observed {
    let voters = |state: &BrokerState| voters_named(&state.running_with);
    let said = cluster
        .status
        .as_ref()
        .and_then(|status| status.controllers);
    let mut running = states.values().map(|state| &state.running_with);
    let mutual_tls = running.find_map(is_mutual_tls);
    // One that is not there at the moment, as between two pods, holds its replicas still.
    let told = cluster.status.iter().flat_map(|status| &status.brokers);
    let told = told.map(|broker| broker.id);
    Observed {
        brokers: told
            .chain(states.keys().copied())
            .max()
            .map_or(left, |last| last + 1),
        // all that may have voted: files are where voters are looked for
        controllers: (states.values().filter_map(voters).max())
            .or(said)
            .or((left > 0).then_some(left.min(CONTROLLERS_MAX))),
        mutual_tls: mutual_tls.or_else(|| cluster.status.as_ref()?.mutual_tls),
    }
}

/// The brokers as the plan of the restarts takes them.
pub(super) fn observed_brokers(
    states: &BTreeMap<i32, BrokerState>,
    desired: &BTreeMap<i32, Properties>,
) -> Vec<ObservedBroker> {
    let differences = differences(states, desired);
    let brokers = states.iter().map(|(id, state)| ObservedBroker {
        id: *id,
        ready: state.ready,
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
    (0..valid.replicas).map(|id| (id, settings(id))).collect()
}

/// Whether the brokers will take the settings of the spec. One is as good as all: they differ in
/// ids and addresses only.
pub(super) fn checked(
    valid: &ValidatedCluster,
    everywhere: &BTreeMap<i32, Endpoints>,
) -> Result<(), String> {
    let first = everywhere.keys().next();
    first.map_or(Ok(()), |id| {
        check(&properties(valid, *id, everywhere), valid.image.is_none())
    })
}

/// Has the brokers stay as many as they are, with the spec.config that they have, for as long as
/// another cannot be carried out.
pub(super) fn keep_what_runs(valid: &mut ValidatedCluster, states: &BTreeMap<i32, BrokerState>) {
    let settings = states.values().map(|state| &state.running_with);
    let mut settings = settings.filter(|settings| !settings.is_empty());
    let mut config = settings.next().cloned().unwrap_or_default();
    config.retain(|key, _| !is_own_setting(key));
    valid.config = config;
    let exist = states.keys().next_back().map_or(0, |last| last + 1);
    valid.replicas = valid.replicas.min(exist);
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
