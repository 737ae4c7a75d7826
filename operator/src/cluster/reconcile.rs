//! One step of a cluster: observe → validate → prepare → start or change → roll → status.
//!
//! A step never waits for a broker: what takes time is looked at again in the next step.
//!
//! Invariant: only those are asked to restart that the plan of
//! [`rolling_restart`](super::rolling_restart) names.

mod certified;
mod consent;
mod controllers;
mod identity;
mod members;
mod replace;
mod roll;
mod voters;

use std::collections::{BTreeMap, BTreeSet};

pub use self::certified::{Reach, listeners};
use super::certificates::Certificates;
use super::desired::{checked, desired, differences, existing, keep_what_runs, settings_of_start};
use super::gate::unheeded;
use super::rebalance::rebalance;
use super::scale_down::Departures;
use super::scale_up::{known, newcomers};
use super::settings::{Difference, VOTERS, is_dynamic};
use super::status::{Seen, status};
use super::turns::Turn;
use super::validate::validate;
use crate::admin::{Admin, ConfigChanges};
use crate::approval::TopicChanges;
use crate::condition::{ClusterReason, Verdict};
use crate::crd::cluster::ChangePolicy;
use crate::crd::{KafkaCluster, KafkaClusterStatus};
use crate::object::{PAUSED, is_paused};
use crate::platform::{BrokerState, Endpoints, NotYet, Platform, Properties, There, brokers};
use crate::secrets::Secrets;
use crate::spoken::node;
use crate::validated::ValidatedCluster;

/// Reconciles one cluster on one platform.
pub struct Reconciler<P> {
    /// Where the brokers run.
    pub platform: P,
    /// What the topics told last of their changes.
    pub topics: Option<TopicChanges>,
    /// Its turn among the clusters of the operator.
    pub turn: Turn,
    /// The generation that was the newest one when it was first seen: what it changes is what
    /// somebody wants of this cluster alone, however many steps it takes.
    asked: Option<i64>,
    certificates: Certificates,
    /// The last spec that was valid, by which certificates are renewed while none is.
    last: Option<ValidatedCluster>,
    admin: Admin,
    /// Where the brokers are reached, those that serve first.
    addresses: Vec<String>,
    /// The id that the brokers told when all of them served, until one does not.
    cluster_id: Option<String>,
    /// A change of settings that the brokers refused, so that they are not asked again and again.
    refused: Option<(ConfigChanges, Verdict)>,
    /// A volume that is not given up, so that the brokers are not asked again and again.
    refused_volume: Option<replace::Refused>,
    /// Brokers whose start has been told of.
    started: BTreeSet<i32>,
    /// The nodes that an earlier cluster has left data of, once that was looked for.
    left: Option<BTreeSet<i32>>,
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
    /// The changes that were consented to; none stands for all.
    pub approved: Option<BTreeSet<String>>,
    /// Whether no more replicas are to be moved, because brokers are to be restarted.
    pub holds_moves: bool,
    /// How brokers are reached that ask who the operator is; none where that is not known.
    pub reach: Option<Reach>,
    /// Where the brokers are reached, those that serve first; none where that was not looked at.
    pub addresses: Vec<String>,
}

impl<P: Platform> Reconciler<P> {
    /// A reconciler that has yet to look.
    #[must_use]
    pub fn new(platform: P, secrets: Secrets) -> Self {
        Self {
            platform,
            certificates: Certificates::new(secrets),
            last: None,
            topics: None,
            turn: Turn::default(),
            asked: None,
            admin: Admin::new(Vec::new()),
            addresses: Vec::new(),
            cluster_id: None,
            refused: None,
            refused_volume: None,
            started: BTreeSet::new(),
            left: None,
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
        let nodes = self.platform.observe().await;
        let brokers = brokers(&nodes);
        let there = There {
            nodes: &nodes,
            brokers: &brokers,
        };
        self.admin
            .set_cluster_id(identity::lasting_id(cluster).cloned());
        let mut step = self.step_from(cluster, there, &is_current, now).await;
        step.addresses.clone_from(&self.addresses);
        self.turn.look();
        step
    }

    async fn step_from(
        &mut self,
        cluster: &KafkaCluster,
        there: There<'_>,
        is_current: &dyn Fn() -> bool,
        now: &str,
    ) -> Step {
        let paused = is_paused(&cluster.metadata);
        let states = there.brokers;
        let left = self.left_behind(cluster, states).await;
        let exist = |left: BTreeSet<i32>| existing(cluster, there.nodes, &left);
        let valid = left.and_then(|left| validate(cluster, exist(left)));
        let mut valid = match valid {
            Ok(valid) if !paused => valid,
            other => {
                let verdict = match &other {
                    Err(verdict) if !paused => verdict.clone(),
                    _ => left_alone(),
                };
                self.turn.note(false);
                let seen = Seen::new(there, verdict);
                let mut step = conclude(cluster, None, &seen, Vec::new(), now);
                step.valid = other.ok();
                let renewed = self.renew(step.valid.as_ref(), states, now).await;
                return renewed.told(step);
            }
        };
        self.last = Some(valid.clone());
        self.platform.follow(&valid);
        let (certified, wait) = self.certify(&mut valid, states, now).await;
        let step = if let Some(verdict) = wait {
            self.turn.note(false);
            let seen = Seen::new(there, verdict);
            conclude(cluster, Some(valid), &seen, Vec::new(), now)
        } else {
            self.await_addresses(&mut valid, there.nodes);
            self.act(cluster, valid, there, is_current, now).await
        };
        certified.told(step)
    }

    /// A cluster that is made again has all nodes that have data, or else their partitions had no
    /// leader, and votes no majority; those that are not wanted give them away first.
    async fn left_behind(
        &mut self,
        cluster: &KafkaCluster,
        states: &BTreeMap<i32, BrokerState>,
    ) -> Result<BTreeSet<i32>, Verdict> {
        let dedicated = cluster.spec.dedicated_controllers.as_ref();
        let of_controllers = dedicated.and_then(|dedicated| dedicated.storage.as_ref());
        let is_kept = cluster.spec.storage.is_some() || of_controllers.is_some();
        if !states.is_empty() || !is_kept {
            return Ok(BTreeSet::new());
        }
        if self.left.is_none() {
            let left = self.platform.left_behind().await;
            self.left = Some(left.map_err(|why| not_yet_verdict(&why))?);
        }
        Ok(self.left.clone().unwrap_or_default())
    }

    async fn act(
        &mut self,
        cluster: &KafkaCluster,
        mut valid: ValidatedCluster,
        there: There<'_>,
        is_current: &dyn Fn() -> bool,
        now: &str,
    ) -> Step {
        let states = there.brokers;
        let mut everywhere = self.lay_out(&valid);
        let mut verdicts = valid.refused.clone();
        if let Err(refusal) = checked(&valid, &everywhere) {
            verdicts.push(refused_config(&refusal, states.is_empty()));
            if states.is_empty() {
                let verdict = Verdict::worst(verdicts).expect("one was added");
                let seen = Seen::new(there, verdict);
                return conclude(cluster, Some(valid), &seen, Vec::new(), now);
            }
            keep_what_runs(&mut valid, there.nodes);
        }
        let passed = self.pass_gate(cluster, &mut valid, there, &mut everywhere);
        let passed = passed.await;
        verdicts.extend(passed.verdict.clone());
        let mut done: Vec<String> = passed.consent.done.iter().cloned().collect();
        let members = self.settle_members(cluster, &mut valid, there).await;
        verdicts.extend(members.verdicts);
        done.extend(members.done);
        let nodes = valid.nodes();
        everywhere.retain(|id, _| nodes.contains(id));
        let desired = passed.settings(desired(&valid, &everywhere, there.nodes));
        let mut compared = passed.compared(&desired);
        let prepared = self.platform.prepare(&desired, is_dynamic).await;
        let is_prepared = prepared.is_ok();
        let (Ok(missing) | Err(missing)) = prepared;
        verdicts.extend(missing.iter().map(not_yet_verdict));
        let (open, note) = unheeded(&valid.listeners, self.platform.allowed_from());
        verdicts.extend(open);
        let mut seen = Seen {
            verdicts,
            bootstrap: self.platform.bootstrap(&everywhere),
            pending: self.platform.pending(),
            note,
            leaving: members.leaving,
            voters: members.voting,
            dedicated: members.dedicated,
            consent: Some(passed.consent),
            version: self.platform.version(),
            ..Seen::unplanned(there)
        };
        if !is_prepared {
            return conclude(cluster, Some(valid), &seen, done, now);
        }
        let of = (cluster, &valid);
        let replaced = self.replace(of, there.nodes, &desired, is_current);
        let goes = replaced.await.tell(&mut seen, &mut done);
        let comes = desired.iter().filter(|(id, _)| Some(**id) != goes);
        self.start(there.nodes, comes, &mut done).await;
        let differences = differences(there.nodes, &compared);
        if is_current() {
            let refused = self.change(there.nodes, &differences, &mut done).await;
            seen.verdicts.extend(refused);
        }
        // Its pod would come back as it was: nothing is made for one that is to go.
        compared.retain(|id, _| !valid.controllers.leaves(*id));
        let (brokers, plan) = self.roll(of, there.nodes, &compared, goes).await;
        let turn = (passed.restarts, passed.held.is_some());
        self.note_turn(cluster, turn, &brokers, &seen.pending);
        let restarted = self.restart((&plan, is_current), &desired, &brokers, &mut done);
        seen.verdicts.extend(restarted.await);
        let inconsistent = self.ask_cluster_id(cluster, states, &valid).await;
        seen.verdicts.extend(inconsistent);
        self.even_out((cluster, &valid), &mut seen).await;
        seen.cluster_id.clone_from(&self.cluster_id);
        seen.brokers = &brokers;
        seen.plan = &plan;
        conclude(cluster, Some(valid), &seen, done, now)
    }

    /// Looks how far those are that have just come, and how far replicas are made even.
    async fn even_out(
        &mut self,
        (cluster, valid): (&KafkaCluster, &ValidatedCluster),
        seen: &mut Seen<'_>,
    ) {
        let before = cluster.status.as_ref();
        let known = known(Some(valid), seen.states, before, &seen.leaving);
        let (newcomers, verdict) = newcomers(&mut self.admin, valid, known).await;
        seen.verdicts.extend(verdict);
        seen.newcomers = Some(newcomers);
        let (even, verdict) = rebalance(&mut self.admin, cluster, valid).await;
        seen.verdicts.extend(verdict);
        seen.rebalance = Some(even);
    }

    fn lay_out(&self, valid: &ValidatedCluster) -> BTreeMap<i32, Endpoints> {
        self.lay_out_with(valid, &valid.listeners)
    }

    fn lay_out_with(
        &self,
        valid: &ValidatedCluster,
        with: &[crate::crd::cluster::Listener],
    ) -> BTreeMap<i32, Endpoints> {
        let listeners = listeners(with, valid.mutual_tls);
        self.platform.lay_out(&valid.nodes(), &listeners)
    }

    /// Starts the nodes of `desired` that are not there; one that goes is started by whoever has it
    /// go.
    async fn start(
        &mut self,
        states: &BTreeMap<i32, BrokerState>,
        desired: impl Iterator<Item = (&i32, &Properties)>,
        done: &mut Vec<String>,
    ) {
        let is_down = |id: &i32| states.get(id).is_none_or(|state| state.is_stopped);
        for (id, settings) in desired.filter(|(id, _)| is_down(id)) {
            let before = states.get(id).map(|state| &state.running_with);
            let settings = settings_of_start(before, settings);
            self.platform.start(*id, &settings).await;
            if self.started.insert(*id) {
                done.push(format!("{} is started", node(*id)));
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
        let mut changes: ConfigChanges = differences
            .values()
            .flat_map(|difference| difference.dynamic.clone())
            .collect();
        // Only their files say that.
        let is_kept = changes.remove(VOTERS).is_some();
        if changes.is_empty() {
            self.refused = None;
            if is_kept {
                self.keep(states, differences).await;
            }
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
                self.keep(states, differences).await;
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

    /// Writes what needs no restart into the files of running brokers.
    async fn keep(
        &mut self,
        states: &BTreeMap<i32, BrokerState>,
        differences: &BTreeMap<i32, Difference>,
    ) {
        for (id, difference) in differences {
            if difference.dynamic.is_empty() {
                continue;
            }
            let mut settings = states[id].running_with.clone();
            for (key, value) in &difference.dynamic {
                match value {
                    Some(value) => settings.insert(key.clone(), value.clone()),
                    None => settings.remove(key),
                };
            }
            self.platform.keep(*id, &settings).await;
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
    let approved = match (&seen.consent, cluster.spec.change_policy) {
        (Some(consent), _) => consent.approved.clone(),
        (None, ChangePolicy::Apply) => None,
        (None, ChangePolicy::Plan) => {
            let before = cluster.status.iter();
            Some(before.flat_map(|before| before.approved.clone()).collect())
        }
    };
    Step {
        approved,
        holds_moves: seen.holds_moves || seen.plan.holds_moves(),
        reach: None,
        status: status(cluster, valid.as_ref(), seen, now),
        valid,
        done,
        paused: is_paused(&cluster.metadata),
        addresses: Vec::new(),
    }
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
