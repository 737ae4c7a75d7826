//! What becomes of a KafkaRebalance now. Pure.
//!
//! ```text
//! (new, or `refresh`) ─▶ ProposalReady ─consent─▶ Approved ─its turn─▶ Rebalancing ─▶ Ready
//!                              └──────────── `stop` ──────────┴───────────┴──▶ Stopped
//! ```
//! The plan stands in the status, move by move, and nothing else is remembered: which of them are
//! done, the replicas tell. A partition that somebody else has moved meanwhile is left alone.
//!
//! A status has room for so many moves. A larger plan is carried out in turns: once the moves that
//! are listed are done, the next ones are planned by the same spec from where replicas are by then.
//!
//! Invariant: nothing moves but by a plan that was consented to by its own hash, and no more
//! partitions than it has; of all KafkaRebalances of a cluster one is carried out at a time, and
//! none begins a move while brokers come or go.

use std::collections::BTreeSet;

use super::around::{Around, Decision, conclude, proposal, rebalanced, remaining};
use super::carry_out::{Stage, carry_on, hold_to_rate, stage};
use super::status::{made_for, put_plan, waiting};
use crate::admin::moves::Targets;
use crate::approval::APPROVE;
use crate::cluster::rebalance::REBALANCE;
use crate::condition::{RebalanceReason, Verdict};
use crate::crd::rebalance::{RebalanceMode, RebalanceState};
use crate::crd::{KafkaRebalance, KafkaRebalanceStatus};
use crate::spoken;

/// What somebody asks of it by the annotation.
struct Asked<'a> {
    value: &'a str,
    stops: bool,
    /// Whether a new plan is asked for, by a value that was not heeded yet.
    refreshes: bool,
    approved: Option<&'a str>,
}

fn asked<'a>(object: &'a KafkaRebalance, before: &KafkaRebalanceStatus) -> Asked<'a> {
    let annotations = object.metadata.annotations.as_ref();
    let get = |key: &str| annotations.and_then(|all| all.get(key)).map(|v| v.trim());
    let value = get(REBALANCE).unwrap_or_default();
    Asked {
        value,
        stops: value == "stop",
        refreshes: value.starts_with("refresh") && value != before.asked,
        approved: get(APPROVE),
    }
}

/// Whether the cluster has to be looked at for this one now.
#[must_use]
pub fn is_due(object: &KafkaRebalance) -> bool {
    let before = object.status.clone().unwrap_or_default();
    let asked = asked(object, &before);
    let is_old = is_outdated(object, &before);
    match before.state {
        RebalanceState::Rebalancing | RebalanceState::Approved => true,
        RebalanceState::NotReady => !asked.stops,
        RebalanceState::ProposalReady => {
            let hash = before.plan.as_ref().map(|plan| plan.hash.as_str());
            asked.refreshes || is_old || asked.approved == hash
        }
        RebalanceState::Ready | RebalanceState::Stopped => {
            !asked.stops && (asked.refreshes || is_old)
        }
    }
}

/// Whether its plan was made for another spec.
fn is_outdated(object: &KafkaRebalance, before: &KafkaRebalanceStatus) -> bool {
    let plan = before.plan.as_ref();
    plan.is_none_or(|plan| plan.spec != made_for(object))
}

/// Decides.
#[must_use]
pub fn decide(object: &KafkaRebalance, around: &Around<'_>) -> Decision {
    let before = object.status.clone().unwrap_or_default();
    let asked = asked(object, &before);
    let is_new = asked.refreshes || is_outdated(object, &before);
    let mut status = before.clone();
    if asked.stops || asked.refreshes || asked.value.is_empty() {
        asked.value.clone_into(&mut status.asked);
    }
    match before.state {
        RebalanceState::Rebalancing if asked.stops || is_new => {
            stop(object, status, is_new && !asked.stops, around)
        }
        RebalanceState::Rebalancing => carry_on(object, status, around),
        RebalanceState::Ready if asked.stops => {
            conclude(object, status, rebalanced(&before), around)
        }
        _ if asked.stops => {
            status.state = RebalanceState::Stopped;
            conclude(object, status, stopped(), around)
        }
        _ if is_new => plan_anew(object, status, around),
        RebalanceState::ProposalReady | RebalanceState::Approved => {
            let plan = before.plan.as_ref();
            let hash = plan.map(|plan| plan.hash.as_str());
            if asked.approved.is_some_and(|by| Some(by) == hash) {
                return begin(object, status, around);
            }
            status.state = RebalanceState::ProposalReady;
            let verdict = plan.map_or_else(|| proposing("A plan is made."), waiting);
            conclude(object, status, verdict, around)
        }
        RebalanceState::Ready => conclude(object, status, rebalanced(&before), around),
        RebalanceState::Stopped => conclude(object, status, stopped(), around),
        RebalanceState::NotReady => plan_anew(object, status, around),
    }
}

fn proposing(message: impl Into<String>) -> Verdict {
    Verdict::new(RebalanceReason::Proposing, message.into())
}

fn stopped() -> Verdict {
    let message = format!(
        "It is stopped; what was copied stays. Set the annotation {REBALANCE} to refresh for a new \
         plan."
    );
    Verdict::new(RebalanceReason::Stopped, message)
}

/// Makes a plan.
fn plan_anew(
    object: &KafkaRebalance,
    mut status: KafkaRebalanceStatus,
    around: &Around<'_>,
) -> Decision {
    status.state = RebalanceState::NotReady;
    status.plan = None;
    status.moves.clear();
    let named: BTreeSet<i32> = object.spec.brokers.iter().copied().collect();
    if (object.spec.mode == RebalanceMode::Full) != named.is_empty() {
        let message = "spec.brokers is for the modes AddBrokers and RemoveBrokers, which need it; \
                       name brokers, or set spec.mode to Full.";
        let verdict = Verdict::new(RebalanceReason::InvalidSpec, message);
        return conclude(object, status, verdict, around);
    }
    if let Some(why) = around.busy {
        let verdict = proposing(format!("A plan waits: {why}."));
        return conclude(object, status, verdict, around);
    }
    for id in &named {
        let verdict = match around.look.brokers.get(id) {
            None => {
                let message = format!("spec.brokers has {id}, and the cluster has no such broker.");
                Verdict::new(RebalanceReason::InvalidSpec, message)
            }
            Some(broker) if broker.is_fenced && object.spec.mode == RebalanceMode::AddBrokers => {
                proposing(format!("A plan waits: broker {id} does not serve."))
            }
            Some(_) => continue,
        };
        return conclude(object, status, verdict, around);
    }
    let proposal = proposal(object, around);
    if proposal.moves.is_empty()
        && let Some(verdict) = remaining(object, proposal.remaining)
    {
        return conclude(object, status, verdict, around);
    }
    let moves_any = put_plan(&mut status, object, &proposal, &around.look.topics);
    let verdict = match status.plan.as_ref().filter(|_| moves_any) {
        Some(plan) => {
            status.state = RebalanceState::ProposalReady;
            waiting(plan)
        }
        None => {
            status.state = RebalanceState::Ready;
            rebalanced(&status)
        }
    };
    conclude(object, status, verdict, around)
}

/// Has a plan carried out that was consented to, once it is its turn.
fn begin(
    object: &KafkaRebalance,
    mut status: KafkaRebalanceStatus,
    around: &Around<'_>,
) -> Decision {
    if let Some(why) = around.busy {
        status.state = RebalanceState::Approved;
        let message = format!("The plan is approved and waits: {why}.");
        let verdict = Verdict::new(RebalanceReason::Rebalancing, message);
        return conclude(object, status, verdict, around);
    }
    let mut moves = status.moves.iter();
    if !moves.all(|one| stage(one, around) == Stage::Due) {
        // What was consented to would be something else by now.
        return plan_anew(object, status, around);
    }
    status.state = RebalanceState::Rebalancing;
    hold_to_rate(object, &mut status);
    let plan = status.plan.clone().unwrap_or_default();
    let message = format!("The plan is carried out: {}.", plan.summary);
    let verdict = Verdict::new(RebalanceReason::Rebalancing, message);
    Decision {
        done: Some(format!("plan {} is approved: {}", plan.hash, plan.summary)),
        ..conclude(object, status, verdict, around)
    }
}

/// Cancels what is under way. What was moved stays.
fn stop(
    object: &KafkaRebalance,
    mut status: KafkaRebalanceStatus,
    is_planned_anew: bool,
    around: &Around<'_>,
) -> Decision {
    let moves = status.moves.iter();
    let under_way = moves.filter(|one| matches!(stage(one, around), Stage::UnderWay(_)));
    let targets: Targets = under_way
        .map(|one| ((one.topic.clone(), one.partition), None))
        .collect();
    let lifted = std::mem::take(&mut status.throttled);
    status.progress = None;
    status.state = RebalanceState::Stopped;
    let mut verdict = stopped();
    if is_planned_anew {
        status.state = RebalanceState::NotReady;
        status.plan = None;
        status.moves.clear();
        verdict = proposing("Another plan is asked for; moves that are under way are cancelled.");
    }
    Decision {
        done: Some(format!(
            "it is stopped; the move of {} is cancelled",
            spoken::count(targets.len(), "partition")
        )),
        targets,
        lifted,
        ..conclude(object, status, verdict, around)
    }
}

#[cfg(test)]
mod tests;
