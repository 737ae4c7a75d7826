//! The restarts of a step: planned, heeded, asked for, and told to the other clusters.

use std::collections::BTreeMap;

use super::super::desired::observed_brokers;
use super::super::rolling_restart::{Advice, Health, ObservedBroker, Plan, heed, plan};
use super::{Reconciler, not_yet_verdict};
use crate::condition::{ClusterReason, Verdict, spoken};
use crate::crd::KafkaCluster;
use crate::platform::{BrokerState, Platform, Properties};
use crate::spoken::node;
use crate::validated::ValidatedCluster;

impl<P: Platform> Reconciler<P> {
    pub(super) async fn roll(
        &mut self,
        (cluster, valid): (&KafkaCluster, &ValidatedCluster),
        states: &BTreeMap<i32, BrokerState>,
        desired: &BTreeMap<i32, Properties>,
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
        let plan = plan(&brokers, &health, has_served);
        let plan = self.heed(plan, valid, &brokers).await;
        (brokers, plan)
    }

    /// One that was told to go, and is not gone yet, comes back with nothing.
    pub(super) async fn restart(
        &mut self,
        id: i32,
        desired: &BTreeMap<i32, Properties>,
        brokers: &[ObservedBroker],
        done: &mut Vec<String>,
    ) -> Result<(), Verdict> {
        let Some(settings) = desired.get(&id) else {
            return Ok(());
        };
        let answer = self.platform.restart(id, settings).await;
        answer.map_err(|refused| not_yet_verdict(&refused))?;
        done.push(restarted(id, brokers));
        Ok(())
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

    /// Asks the broker that would go what its restart would harm, where it has a process.
    async fn heed(
        &mut self,
        plan: Plan,
        valid: &ValidatedCluster,
        brokers: &[ObservedBroker],
    ) -> Plan {
        let going = brokers
            .iter()
            .find(|broker| Some(broker.id) == plan.restart);
        match going.filter(|broker| broker.runs) {
            Some(broker) => {
                let advice = Advice {
                    check: self.platform.restart_check(broker.id, broker.id).await,
                    allow_unavailable: valid.allow_unavailable || valid.replicas == 1,
                };
                heed(plan, &advice)
            }
            None => plan,
        }
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
