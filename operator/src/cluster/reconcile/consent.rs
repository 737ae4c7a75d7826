//! Which changes of a cluster there are, and which of them may be made now. What is decided without
//! brokers is in [`gate`] and in [`approval`](crate::approval); they are asked how much is copied.

use std::collections::{BTreeMap, BTreeSet};

use super::super::desired::{desired, keep_controllers, keep_who_exists};
use super::super::gate;
use super::super::scale_up::known;
use super::Reconciler;
use crate::admin::Error;
use crate::approval::{APPROVE, Asked, Change, Consent, What, decide};
use crate::condition::{ClusterReason, Verdict};
use crate::crd::KafkaCluster;
use crate::crd::cluster::PlanStatus;
use crate::platform::{BrokerState, Endpoints, Platform, Properties, There};
use crate::topic::moves::{Situation, bytes, concerned};
use crate::validated::ValidatedCluster;

/// What may be done now.
pub(super) struct Passed {
    /// The changes that were consented to, and the plan of the others.
    pub consent: Consent,
    /// The settings in force, where a restart waits.
    pub held: Option<BTreeMap<i32, Properties>>,
    /// Whether brokers are about to be restarted.
    pub restarts: bool,
    /// What is waited for.
    pub verdict: Option<Verdict>,
}

impl Passed {
    /// What brokers are to run with now, given what the spec wants.
    pub(super) fn settings(&self, desired: BTreeMap<i32, Properties>) -> BTreeMap<i32, Properties> {
        match &self.held {
            Some(in_force) => gate::held(in_force, &desired),
            None => desired,
        }
    }

    /// The same without the brokers of which nothing is in force that is known: while a restart
    /// waits they stay as they are.
    pub(super) fn compared(
        &self,
        desired: &BTreeMap<i32, Properties>,
    ) -> BTreeMap<i32, Properties> {
        let mut compared = desired.clone();
        if let Some(in_force) = &self.held {
            compared.retain(|id, _| in_force.get(id).is_none_or(|known| !known.is_empty()));
        }
        compared
    }
}

impl<P: Platform> Reconciler<P> {
    /// Takes out of the spec what waits.
    pub(super) async fn pass_gate(
        &mut self,
        cluster: &KafkaCluster,
        valid: &mut ValidatedCluster,
        there: There<'_>,
        everywhere: &mut BTreeMap<i32, Endpoints>,
    ) -> Passed {
        let before = cluster.status.as_ref();
        let told = before.map_or(&[][..], |before| &before.leaving);
        let in_force = self.in_force(there.nodes);
        let states = there.brokers;
        let laid_out = self.platform.listeners_laid_out();
        let running = gate::listeners(&in_force, &valid.listeners, &laid_out);
        let running = running.unwrap_or_else(|| valid.listeners.clone());
        let now = self.lay_out_with(valid, &running);
        self.reach(&now, states);
        let wanted = desired(valid, everywhere, there.nodes);
        let restart = gate::restart(
            &in_force,
            &wanted,
            &self.platform.remake(),
            (&valid.listeners, valid.max_unavailable),
        );
        // Those that are known longer, and so were looked at.
        let mut newcomers = known(Some(valid), states, before, told);
        newcomers.retain(|id| before.is_some_and(|before| before.newcomers.contains(id)));
        let short = before.and_then(|before| before.rebalance.as_ref());
        newcomers.extend(short.iter().flat_map(|short| &short.brokers));
        let mut changes = gate::comings_and_goings(valid, told, &newcomers);
        changes.extend(restart.clone());
        let consent = self.ask(cluster, valid, &mut changes).await;
        let allows = |what: What, id: i32| consent.allows(&what.id(&id.to_string()));
        let may_go = |id: &i32| told.contains(id) || allows(What::Remove, *id);
        valid.leaving.retain(may_go);
        let mut verdict = consent.plan.as_ref().map(waits_for_consent);
        let observed = before.map(|before| before.observed_generation);
        if observed != cluster.metadata.generation {
            self.asked = cluster.metadata.generation;
        }
        let mut is_held = false;
        if let Some(change) = &restart {
            is_held = !consent.allows(&change.id);
            let made_for = self.platform.generation_in_force();
            let is_older = made_for.is_some_and(|made_for| made_for < valid.generation);
            let is_ours = self.asked != cluster.metadata.generation && !is_older;
            if consent.approved.is_none() && is_ours {
                let other = self.turn.take();
                is_held = other.is_some();
                verdict = verdict.or(other.map(|other| {
                    let message = format!(
                        "Another version of the operator changes brokers, one cluster after the \
                         other; this one waits for {other}. {}",
                        change.step
                    );
                    Verdict::new(ClusterReason::RollingRestart, message)
                }));
            }
        }
        self.keep_away(valid, there.nodes, is_held);
        if is_held {
            gate::hold_listeners(valid, running);
        }
        self.platform.hold(is_held);
        self.platform.follow(valid);
        if is_held {
            *everywhere = self.lay_out(valid);
        } else {
            self.reach(everywhere, states);
        }
        Passed {
            restarts: restart.is_some() && !is_held,
            held: is_held.then_some(in_force),
            consent,
            verdict,
        }
    }

    /// Has nobody come while a restart waits; and no controller that brokers would not admit before
    /// they have restarted: those of a version without controllers.
    fn keep_away(
        &self,
        valid: &mut ValidatedCluster,
        states: &BTreeMap<i32, BrokerState>,
        is_held: bool,
    ) {
        if is_held {
            keep_who_exists(valid, states);
        } else if self.platform.has_older_brokers() {
            keep_controllers(valid);
        }
    }

    /// The settings with which the brokers that exist would start again, without any where they are
    /// not known.
    pub(super) fn in_force(
        &self,
        states: &BTreeMap<i32, BrokerState>,
    ) -> BTreeMap<i32, Properties> {
        let mut known = self.platform.in_force(states);
        let exist = states.keys();
        exist
            .map(|id| (*id, known.remove(id).unwrap_or_default()))
            .collect()
    }

    async fn ask(
        &mut self,
        cluster: &KafkaCluster,
        valid: &ValidatedCluster,
        changes: &mut [Change],
    ) -> Consent {
        let annotations = cluster.metadata.annotations.as_ref();
        let annotation = annotations.and_then(|all| all.get(APPROVE));
        let topics = self.topics.clone();
        let decided = |changes: &[Change]| {
            decide(&Asked {
                uid: &valid.uid,
                policy: valid.change_policy,
                changes,
                topics: topics.as_ref(),
                before: cluster.status.as_ref(),
                annotation: annotation.map(String::as_str),
            })
        };
        let consent = decided(changes);
        let plan = consent.plan.as_ref();
        if plan.is_none_or(|plan| plan.bytes.is_some()) {
            return consent;
        }
        let of = |what: What| -> BTreeSet<i32> {
            let waits = |change: &&Change| change.what == what && !consent.allows(&change.id);
            let waiting = changes.iter().filter(waits);
            waiting.flat_map(|change| change.brokers.clone()).collect()
        };
        let (leaving, newcomers) = (of(What::Remove), of(What::Fill));
        // Without an answer the plan has no figure, and it is asked for again.
        if let Ok(copied) = self.weigh(&leaving, &newcomers).await {
            let waiting = changes.iter_mut().filter(|change| {
                [What::Remove, What::Fill].contains(&change.what) && !consent.allows(&change.id)
            });
            // They are weighed together.
            let figures = std::iter::once(copied).chain(std::iter::repeat(Some(0)));
            for (change, figure) in waiting.zip(figures) {
                change.bytes = figure;
            }
        }
        decided(changes)
    }

    /// How many bytes are copied so that these brokers hold nothing and those their share.
    async fn weigh(
        &mut self,
        leaving: &BTreeSet<i32>,
        newcomers: &BTreeSet<i32>,
    ) -> Result<Option<u64>, Error> {
        if leaving.is_empty() && newcomers.is_empty() {
            return Ok(Some(0));
        }
        let cluster = self.admin.describe_moves(None).await?;
        let brokers = self.admin.brokers().await?;
        let situation = Situation {
            topics: &cluster.topics,
            wanted: &BTreeMap::new(),
            brokers: &brokers,
            leaving,
            newcomers,
        };
        let concerned = concerned(&situation, true).into_iter();
        let mut asked = brokers.clone();
        let sizes = self.admin.sizes(&mut asked, concerned).await;
        let situation = Situation {
            brokers: &asked,
            ..situation
        };
        Ok(bytes(&situation, &sizes))
    }
}

fn waits_for_consent(plan: &PlanStatus) -> Verdict {
    let message = format!(
        "A plan waits for consent: {}. Read status.plan; to consent, annotate the object with \
         {APPROVE}: \"{}\".",
        plan.summary, plan.hash
    );
    Verdict::new(ClusterReason::WaitingForApproval, message)
}
