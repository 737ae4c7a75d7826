//! The restarts of a step: planned, heeded, asked for, and told to the other clusters.

use std::collections::{BTreeMap, BTreeSet};

use super::super::desired::observed_brokers;
use super::super::rolling_restart::{Advice, Health, ObservedBroker, Plan, heed, plan};
use super::super::scale_down::held;
use super::{Reconciler, not_yet_verdict};
use crate::condition::{ClusterReason, Verdict, spoken};
use crate::crd::KafkaCluster;
use crate::platform::{BrokerState, Platform, Properties};
use crate::spoken::node;
use crate::validated::{FIRST_CONTROLLER, ValidatedCluster};

impl<P: Platform> Reconciler<P> {
    /// Plans the restarts. While a node goes for another reason nobody does.
    pub(super) async fn roll(
        &mut self,
        (cluster, valid): (&KafkaCluster, &ValidatedCluster),
        states: &BTreeMap<i32, BrokerState>,
        desired: &BTreeMap<i32, Properties>,
        goes: Option<i32>,
    ) -> (Vec<ObservedBroker>, Plan) {
        let brokers = observed_brokers(states, desired);
        if brokers.iter().all(|broker| broker.restart.is_none()) {
            return (brokers, Plan::default());
        }
        let before = cluster.status.as_ref();
        let known = before.and_then(|status| status.cluster_id.as_ref());
        let has_served = known.or(self.cluster_id.as_ref()).is_some();
        let health = self.health().await;
        // The brokers had time to change while they were asked.
        let brokers = observed_brokers(&self.platform.observe().await, desired);
        // One stays, whatever has no partition in common: clients have to connect first to someone.
        let most = usize::try_from(valid.replicas - 1).unwrap_or(0).max(1);
        let most = valid.max_unavailable.min(most);
        let plan = plan(&brokers, &health, (has_served, most)).after(goes);
        let plan = self.keep_apart(plan, &health).await;
        let plan = self.heed(plan, valid, &brokers).await;
        (brokers, self.look_again(plan).await)
    }

    /// Has those go later with which others have something in common by now: partitions may have
    /// come, or moved, while all were asked.
    async fn look_again(&mut self, mut plan: Plan) -> Plan {
        if plan.beside.is_empty() {
            return plan;
        }
        let health = self.health().await;
        for id in plan.beside.clone() {
            if !plan.is_apart(id, &health) {
                plan.goes_alone(id);
            }
        }
        plan
    }

    /// Restarts those that go, the others only with the first one. One that was told to go, and is
    /// not gone yet, comes back with nothing.
    pub(super) async fn restart(
        &mut self,
        (plan, is_current): (&Plan, &dyn Fn() -> bool),
        desired: &BTreeMap<i32, Properties>,
        brokers: &[ObservedBroker],
        done: &mut Vec<String>,
    ) -> Option<Verdict> {
        // Brokers and dedicated controllers have budgets of their own, which have their say of the
        // first that goes.
        let mut asked = BTreeSet::new();
        for id in plan.going() {
            let settings = desired.get(&id).filter(|_| is_current())?;
            let answer = match asked.insert(id < FIRST_CONTROLLER) {
                true => self.platform.restart(id, settings).await,
                false => self.platform.restart_beside(id, settings).await,
            };
            if let Err(refused) = answer {
                return Some(not_yet_verdict(&refused));
            }
            done.push(restarted(id, brokers));
        }
        None
    }

    /// Has those that hold what the operator may not see go alone: with whom they share it nobody
    /// here knows.
    async fn keep_apart(&mut self, mut plan: Plan, health: &Health) -> Plan {
        let Health::Known { cluster, .. } = health else {
            return plan;
        };
        if plan.beside.is_empty() {
            return plan;
        }
        let registered = self.admin.brokers().await.unwrap_or_default();
        let going: Vec<i32> = plan.going().filter(|id| *id < FIRST_CONTROLLER).collect();
        for id in going {
            let seen = held(cluster, id);
            let counted = match registered.get(&id) {
                Some(broker) => self.admin.count_replicas(&broker.address).await.ok(),
                None => None,
            };
            if counted != Some(seen) {
                plan.goes_alone(id);
            }
        }
        plan
    }

    /// Has the others of the operator's clusters know whether brokers of this one are restarted.
    pub(super) fn note_turn(
        &self,
        cluster: &KafkaCluster,
        (restarts, is_held): (bool, bool),
        brokers: &[ObservedBroker],
        pending: &[String],
    ) {
        let is_due = restarts || brokers.iter().any(|broker| broker.restart.is_some());
        let is_back = pending.is_empty() && brokers.iter().all(|broker| broker.ready);
        // The last one that an earlier operator restarted may be on its way back.
        let before = cluster.status.as_ref();
        let said = before.and_then(|status| spoken(&status.conditions));
        let was_restarting = self.turn.is_unseen()
            && !is_held
            && said.is_some_and(|(why, _)| why == ClusterReason::RollingRestart.word());
        let is_taken = self.turn.is_taken() || was_restarting;
        self.turn.note(is_due || is_taken && !is_back);
    }

    /// Asks the brokers that would go what their restarts would harm, where they have a process.
    async fn heed(
        &mut self,
        mut plan: Plan,
        valid: &ValidatedCluster,
        brokers: &[ObservedBroker],
    ) -> Plan {
        let going: Vec<i32> = plan.going().collect();
        let is_asked = |broker: &&ObservedBroker| broker.runs && going.contains(&broker.id);
        for broker in brokers.iter().filter(is_asked) {
            let advice = Advice {
                check: self.platform.restart_check(broker.id, broker.id).await,
                allow_unavailable: valid.allow_unavailable || valid.replicas == 1,
            };
            plan = heed(plan, broker.id, &advice);
        }
        plan
    }

    pub(super) async fn health(&mut self) -> Health {
        let unknown = |error: crate::admin::Error| Health::Unknown(error.to_string());
        let cluster = match self.admin.describe_moves(None).await {
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
}

fn restarted(id: i32, brokers: &[ObservedBroker]) -> String {
    let broker = brokers.iter().find(|broker| broker.id == id);
    let reason = broker.and_then(|broker| broker.restart.as_deref());
    let reason = reason.unwrap_or_default();
    format!("{} is restarted: {reason}", node(id))
}
