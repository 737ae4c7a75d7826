//! One step of a cluster: observe → validate → prepare → start or change → roll → status.
//!
//! A step never waits for a broker: what takes time is looked at again in the next step.
//!
//! Invariant: at most one broker is asked to restart in a step, and only if the plan of
//! [`rolling_restart`](super::rolling_restart) says so.

use std::collections::{BTreeMap, BTreeSet};

use super::desired::{
    checked, desired, differences, existing, keep_what_runs, observed_brokers, settings_of_start,
};
use super::rolling_restart::{Health, ObservedBroker, Obstacle, Plan, plan};
use super::scale_down::{Departure, Departures};
use super::scale_up::{known, newcomers};
use super::settings::{Difference, is_dynamic};
use super::status::{Seen, status};
use super::validate::validate;
use crate::admin::{Admin, ConfigChanges};
use crate::condition::{ClusterReason, Verdict};
use crate::crd::cluster::{ChangePolicy, ListenerType};
use crate::crd::{KafkaCluster, KafkaClusterStatus};
use crate::object::{PAUSED, is_paused};
use crate::platform::{BrokerState, Endpoints, Listener, NotYet, Platform, Properties};
use crate::validated::ValidatedCluster;

/// The annotation that approves the restarts of a generation under changePolicy Plan.
pub const APPROVE: &str = "ottla.io/approve-generation";

/// Reconciles one cluster on one platform.
pub struct Reconciler<P> {
    /// Where the brokers run.
    pub platform: P,
    admin: Admin,
    cluster_id: Option<String>,
    /// A change of settings that the brokers refused, so that they are not asked again and again.
    refused: Option<(ConfigChanges, Verdict)>,
    /// Brokers whose start has been told of.
    started: BTreeSet<i32>,
    departures: Departures,
}

/// What a step found and did.
#[derive(Debug)]
pub struct Step {
    /// The status now.
    pub status: KafkaClusterStatus,
    /// The cluster as it is carried out; none where the spec is invalid.
    pub valid: Option<ValidatedCluster>,
    /// What was done, one sentence each.
    pub done: Vec<String>,
    /// Whether the cluster and its topics are left alone.
    pub paused: bool,
}

impl<P: Platform> Reconciler<P> {
    /// A reconciler that has yet to look.
    #[must_use]
    pub fn new(platform: P) -> Self {
        Self {
            platform,
            admin: Admin::new(Vec::new()),
            cluster_id: None,
            refused: None,
            started: BTreeSet::new(),
            departures: Departures::default(),
        }
    }

    /// Looks, and does what can be done now. `is_current` is asked before each act that running
    /// brokers notice: whether the object is still the newest one that is known.
    pub async fn step(
        &mut self,
        cluster: &KafkaCluster,
        is_current: impl Fn() -> bool,
        now: &str,
    ) -> Step {
        let states = self.platform.observe().await;
        let paused = is_paused(&cluster.metadata);
        let valid = match validate(cluster, existing(cluster, &states)) {
            Ok(valid) if !paused => valid,
            other => {
                let verdict = match &other {
                    Err(verdict) if !paused => verdict.clone(),
                    _ => left_alone(),
                };
                let seen = Seen::new(&states, verdict);
                let mut step = conclude(cluster, None, &seen, Vec::new(), now);
                step.valid = other.ok();
                return step;
            }
        };
        self.platform.follow(&valid);
        self.act(cluster, valid, &states, &is_current, now).await
    }

    async fn act(
        &mut self,
        cluster: &KafkaCluster,
        mut valid: ValidatedCluster,
        states: &BTreeMap<i32, BrokerState>,
        is_current: &dyn Fn() -> bool,
        now: &str,
    ) -> Step {
        let mut everywhere = self.lay_out(&valid);
        let mut done = Vec::new();
        let mut verdicts = valid.refused.clone();
        let departure = self.depart(cluster, &mut valid, states).await;
        verdicts.extend(departure.verdict);
        done.extend(departure.done);
        everywhere.retain(|id, _| *id < valid.replicas);
        if let Err(refusal) = checked(&valid, &everywhere) {
            verdicts.push(refused_config(&refusal, states.is_empty()));
            if states.is_empty() {
                let verdict = Verdict::worst(verdicts).expect("one was added");
                let seen = Seen::new(states, verdict);
                return conclude(cluster, Some(valid), &seen, done, now);
            }
            keep_what_runs(&mut valid, states);
        }
        let desired = desired(&valid, &everywhere, states);
        let prepared = self.platform.prepare(&desired, is_dynamic).await;
        let is_prepared = prepared.is_ok();
        let (Ok(missing) | Err(missing)) = prepared;
        verdicts.extend(missing.iter().map(not_yet_verdict));
        let pending = self.platform.pending();
        let bootstrap = self.platform.bootstrap(&everywhere);
        if !is_prepared {
            let seen = Seen {
                verdicts,
                bootstrap,
                pending,
                leaving: departure.leaving,
                ..Seen::unplanned(states)
            };
            return conclude(cluster, Some(valid), &seen, done, now);
        }
        self.start(states, &desired, &mut done).await;
        let differences = differences(states, &desired);
        if is_current() {
            verdicts.extend(self.change(states, &differences, &mut done).await);
        }
        let (brokers, plan) = self.roll(cluster, &valid, states, &desired).await;
        if let Some(id) = plan.restart.filter(|_| is_current()) {
            match self.platform.restart(id, &desired[&id]).await {
                Ok(()) => done.push(restarted(id, &brokers)),
                Err(refused) => verdicts.push(not_yet_verdict(&refused)),
            }
        }
        self.ask_cluster_id(states, &valid).await;
        let known = known(
            Some(&valid),
            states,
            cluster.status.as_ref(),
            &departure.leaving,
        );
        let (newcomers, verdict) = newcomers(&mut self.admin, &valid, known).await;
        verdicts.extend(verdict);
        let seen = Seen {
            states,
            brokers: &brokers,
            plan: &plan,
            verdicts,
            cluster_id: self.cluster_id.clone(),
            bootstrap,
            pending,
            leaving: departure.leaving,
            newcomers: Some(newcomers),
        };
        conclude(cluster, Some(valid), &seen, done, now)
    }

    /// Where the brokers live; the admin client finds them there.
    fn lay_out(&mut self, valid: &ValidatedCluster) -> BTreeMap<i32, Endpoints> {
        let listeners = listeners(&valid.listeners);
        let everywhere = self.platform.lay_out(valid.replicas, &listeners);
        let first = |endpoints: &Endpoints| Some(endpoints.clients.first()?.advertised.clone());
        let addresses = everywhere.values().filter_map(first);
        self.admin.set_addresses(addresses.collect());
        everywhere
    }

    async fn depart(
        &mut self,
        cluster: &KafkaCluster,
        valid: &mut ValidatedCluster,
        states: &BTreeMap<i32, BrokerState>,
    ) -> Departure {
        let status = cluster.status.as_ref();
        let told = status.map_or(&[][..], |status| &status.leaving);
        let (admin, platform) = (&mut self.admin, &mut self.platform);
        let departures = &mut self.departures;
        departures.step(admin, platform, valid, states, told).await
    }

    async fn start(
        &mut self,
        states: &BTreeMap<i32, BrokerState>,
        desired: &BTreeMap<i32, Properties>,
        done: &mut Vec<String>,
    ) {
        let is_down = |id: &i32| states.get(id).is_none_or(|state| state.is_stopped);
        for (id, settings) in desired.iter().filter(|(id, _)| is_down(id)) {
            let before = states.get(id).map(|state| &state.running_with);
            let settings = settings_of_start(before, settings);
            self.platform.start(*id, &settings).await;
            if self.started.insert(*id) {
                done.push(format!("broker {id} is started"));
            }
        }
    }

    /// Gives running brokers the settings that need no restart.
    async fn change(
        &mut self,
        states: &BTreeMap<i32, BrokerState>,
        differences: &BTreeMap<i32, Difference>,
        done: &mut Vec<String>,
    ) -> Option<Verdict> {
        let changes: ConfigChanges = differences
            .values()
            .flat_map(|difference| difference.dynamic.clone())
            .collect();
        if changes.is_empty() {
            self.refused = None;
            return None;
        }
        if let Some((refused, verdict)) = &self.refused
            && *refused == changes
        {
            return Some(verdict.clone());
        }
        let keys: Vec<&str> = changes.keys().map(String::as_str).collect();
        let keys = keys.join(", ");
        match self.admin.alter_cluster_config(&changes).await {
            Ok(Ok(())) => {
                for (id, difference) in differences {
                    let mut settings = states[id].running_with.clone();
                    for (key, value) in &difference.dynamic {
                        match value {
                            Some(value) => settings.insert(key.clone(), value.clone()),
                            None => settings.remove(key),
                        };
                    }
                    self.platform.keep(*id, &settings).await;
                }
                done.push(format!("{keys} changed without a restart"));
                None
            }
            Ok(Err(refusal)) => {
                let message = format!("The brokers refuse a change of {keys}: {refusal}");
                let verdict = Verdict::new(ClusterReason::ConfigRefused, message);
                self.refused = Some((changes, verdict.clone()));
                Some(verdict)
            }
            Err(error) => Some(Verdict::new(
                ClusterReason::ConfigChanging,
                format!("A change of {keys} waits: {error}."),
            )),
        }
    }

    async fn roll(
        &mut self,
        cluster: &KafkaCluster,
        valid: &ValidatedCluster,
        states: &BTreeMap<i32, BrokerState>,
        desired: &BTreeMap<i32, Properties>,
    ) -> (Vec<ObservedBroker>, Plan) {
        let brokers = observed_brokers(states, desired);
        if brokers.iter().all(|broker| broker.restart.is_none()) {
            return (brokers, Plan::default());
        }
        if valid.change_policy == ChangePolicy::Plan && !is_approved(cluster, valid.generation) {
            let restart = brokers.iter().filter(|broker| broker.restart.is_some());
            let approval = Obstacle::NotApproved {
                annotation: APPROVE,
                value: valid.generation.to_string(),
            };
            let plan = Plan {
                restart: None,
                waiting: restart
                    .map(|broker| (broker.id, approval.clone()))
                    .collect(),
            };
            return (brokers, plan);
        }
        let before = cluster.status.as_ref();
        let known = before.and_then(|status| status.cluster_id.as_ref());
        let has_served = known.or(self.cluster_id.as_ref()).is_some();
        let health = self.health().await;
        // The brokers had time to change while they were asked.
        let brokers = observed_brokers(&self.platform.observe().await, desired);
        let plan = plan(&brokers, &health, has_served);
        (brokers, plan)
    }

    async fn health(&mut self) -> Health {
        let unknown = |error: crate::admin::Error| Health::Unknown(error.to_string());
        let cluster = match self.admin.describe(None).await {
            Ok(cluster) => cluster,
            Err(error) => return unknown(error),
        };
        match self.admin.quorum().await {
            Ok(quorum) => Health::Known {
                cluster,
                quorum: quorum.map_err(|refusal| refusal.message),
            },
            Err(error) => unknown(error),
        }
    }

    async fn ask_cluster_id(
        &mut self,
        states: &BTreeMap<i32, BrokerState>,
        valid: &ValidatedCluster,
    ) {
        let ready = states.values().filter(|state| state.ready).count();
        if self.cluster_id.is_some() || ready < usize::try_from(valid.replicas).unwrap_or(0) {
            return;
        }
        let none = BTreeSet::new();
        if let Ok(cluster) = self.admin.describe(Some(&none)).await {
            self.cluster_id = cluster.cluster_id;
        }
    }
}

fn conclude(
    cluster: &KafkaCluster,
    valid: Option<ValidatedCluster>,
    seen: &Seen<'_>,
    done: Vec<String>,
    now: &str,
) -> Step {
    Step {
        status: status(cluster, valid.as_ref(), seen, now),
        valid,
        done,
        paused: is_paused(&cluster.metadata),
    }
}

fn restarted(id: i32, brokers: &[ObservedBroker]) -> String {
    let broker = brokers.iter().find(|broker| broker.id == id);
    let reason = broker.and_then(|broker| broker.restart.as_deref());
    format!("broker {id} is restarted: {}", reason.unwrap_or_default())
}

fn left_alone() -> Verdict {
    let message =
        format!("The annotation {PAUSED} is set, so the cluster and its topics are left alone.");
    Verdict::new(ClusterReason::Paused, message)
}

fn refused_config(refusal: &str, is_new: bool) -> Verdict {
    let then = if is_new {
        "no broker is started"
    } else {
        "the brokers keep the settings they have"
    };
    let message = format!("spec.config: {refusal}; {then} until that is mended.");
    Verdict::new(ClusterReason::ConfigRefused, message)
}

fn is_approved(cluster: &KafkaCluster, generation: i64) -> bool {
    let annotations = cluster.metadata.annotations.as_ref();
    let approved = annotations.and_then(|all| all.get(APPROVE));
    approved.is_some_and(|approved| *approved == generation.to_string())
}

/// The listeners of a spec as a platform takes them.
#[must_use]
pub fn listeners(listeners: &[crate::crd::cluster::Listener]) -> Vec<Listener> {
    let listeners = listeners.iter().map(|listener| Listener {
        name: listener.name.clone(),
        port: u16::try_from(listener.port).unwrap_or(u16::MAX),
        is_external: listener.type_ == ListenerType::NodePort,
    });
    listeners.collect()
}

fn not_yet_verdict(not_yet: &NotYet) -> Verdict {
    let reason = if not_yet.is_stuck {
        ClusterReason::ApplyFailed
    } else {
        ClusterReason::Applying
    };
    Verdict::new(reason, not_yet.message.clone())
}

#[cfg(test)]
mod tests;
