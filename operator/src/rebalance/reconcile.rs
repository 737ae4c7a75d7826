//! What becomes of a KafkaRebalance now. Pure.
//!
//! ```text
//! (new, or `refresh`) ─▶ ProposalReady ─consent─▶ Approved ─its turn─▶ Rebalancing ─▶ Ready
//!                              └──────────── `stop` ──────────┴───────────┴──▶ Stopped
//! ```
//! The plan stands in the status, move by move, and nothing else is remembered: which of them are
//! done, the replicas tell. A partition that somebody else has moved meanwhile is left alone.
//!
//! Invariant: nothing moves but by a plan that was consented to by its own hash; of all
//! KafkaRebalances of a cluster one is carried out at a time, and none begins a move while brokers
//! come or go.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{Facts, Wish, propose};
use super::status::{concluded, put_plan, waiting};
use crate::admin::moves::Targets;
use crate::approval::APPROVE;
use crate::cluster::rebalance::REBALANCE;
use crate::condition::{RebalanceReason, Verdict};
use crate::crd::rebalance::{RebalanceMode, RebalanceState};
use crate::crd::{KafkaRebalance, KafkaRebalanceStatus};
use crate::observed::{ObservedPartition, ObservedTopic, PartitionKey, RegisteredBroker, Sizes};
use crate::spoken;
use crate::topic::moves::progress::{bytes_left, told};
use crate::topic::moves::{BYTES_MAX, PARTITIONS_MAX, size};

/// The cluster as it is.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// All topics.
    pub topics: BTreeMap<String, ObservedTopic>,
    /// The brokers that are registered.
    pub brokers: BTreeMap<i32, RegisteredBroker>,
    /// How large replicas are.
    pub sizes: Sizes,
}

/// What one of them goes by.
#[derive(Clone, Debug)]
pub struct Around<'a> {
    /// The cluster.
    pub look: &'a Look,
    /// The brokers that are to go.
    pub leaving: &'a BTreeSet<i32>,
    /// Why no moves begin now, and no plan is made; half a sentence.
    pub busy: Option<&'a str>,
    /// What time it is.
    pub now: &'a str,
}

/// What is done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// What it says then.
    pub status: KafkaRebalanceStatus,
    /// Reassignments to begin, or to cancel.
    pub targets: Targets,
    /// The brokers that copy no faster than this.
    pub throttle: Option<(Vec<i32>, i64)>,
    /// The brokers that copy as they are set to again.
    pub lifted: Vec<i32>,
    /// What was done, as a sentence.
    pub done: Option<String>,
}

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
    plan.is_none_or(|plan| Some(plan.generation) != object.metadata.generation)
}

/// Decides.
#[must_use]
pub fn decide(object: &KafkaRebalance, around: &Around<'_>) -> Decision {
    let before = object.status.clone().unwrap_or_default();
    let asked = asked(object, &before);
    let is_new = asked.refreshes || is_outdated(object, &before);
    let mut status = before.clone();
    if asked.stops || asked.refreshes {
        asked.value.clone_into(&mut status.asked);
    }
    match before.state {
        RebalanceState::Rebalancing if asked.stops || is_new => {
            stop(object, status, is_new && !asked.stops, around)
        }
        RebalanceState::Rebalancing => carry_on(object, status, around),
        _ if asked.stops => {
            status.state = RebalanceState::Stopped;
            conclude(object, status, stopped(), around)
        }
        _ if is_new => plan_anew(object, status, around),
        RebalanceState::ProposalReady | RebalanceState::Approved => {
            let plan = before.plan.as_ref();
            let hash = plan.map(|plan| plan.hash.as_str());
            if before.state == RebalanceState::Approved
                || asked.approved.is_some_and(|by| Some(by) == hash)
            {
                return begin(object, status, around);
            }
            let verdict = plan.map_or_else(|| proposing("A plan is made."), waiting);
            conclude(object, status, verdict, around)
        }
        RebalanceState::Ready => conclude(object, status, rebalanced(&before), around),
        RebalanceState::Stopped => conclude(object, status, stopped(), around),
        RebalanceState::NotReady => plan_anew(object, status, around),
    }
}

fn conclude(
    object: &KafkaRebalance,
    status: KafkaRebalanceStatus,
    verdict: Verdict,
    around: &Around<'_>,
) -> Decision {
    Decision {
        status: concluded(object, status, &verdict, around.now),
        ..Decision::default()
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

fn rebalanced(status: &KafkaRebalanceStatus) -> Verdict {
    let message = match status.plan.as_ref().filter(|_| !status.moves.is_empty()) {
        Some(plan) => format!("It is done: {}.", plan.summary),
        None => "Brokers are even; there is nothing to move.".to_owned(),
    };
    Verdict::new(RebalanceReason::Rebalanced, message)
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
    if let Some(id) = named
        .iter()
        .find(|id| !around.look.brokers.contains_key(id))
    {
        let message = format!("spec.brokers has {id}, and the cluster has no such broker.");
        let verdict = Verdict::new(RebalanceReason::InvalidSpec, message);
        return conclude(object, status, verdict, around);
    }
    if let Some(why) = around.busy {
        let verdict = proposing(format!("A plan waits: {why}."));
        return conclude(object, status, verdict, around);
    }
    let facts = Facts {
        topics: &around.look.topics,
        brokers: &around.look.brokers,
        leaving: around.leaving,
        sizes: &around.look.sizes,
    };
    let wish = Wish {
        mode: object.spec.mode,
        named: &named,
        goals: &object.spec.goals,
    };
    let moves_any = put_plan(&mut status, object, &propose(facts, &wish));
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
    let is_as_planned = |one: &crate::crd::rebalance::RebalanceMove| {
        let partition = partition(around.look, &one.topic, one.partition);
        partition.is_some_and(|partition| partition.target() == one.from)
    };
    if !status.moves.iter().all(is_as_planned) {
        // What was consented to would be something else by now.
        return plan_anew(object, status, around);
    }
    if let Some(why) = around.busy {
        status.state = RebalanceState::Approved;
        let message = format!("The plan is approved and waits: {why}.");
        let verdict = Verdict::new(RebalanceReason::Rebalancing, message);
        return conclude(object, status, verdict, around);
    }
    status.state = RebalanceState::Rebalancing;
    if object.spec.throttle.is_some() {
        let brokers = status
            .moves
            .iter()
            .flat_map(|one| one.from.iter().chain(&one.to));
        let brokers: BTreeSet<i32> = brokers.copied().collect();
        status.throttled = brokers.into_iter().collect();
    }
    let plan = status.plan.clone().unwrap_or_default();
    let message = format!("The plan is carried out: {}.", plan.summary);
    let verdict = Verdict::new(RebalanceReason::Rebalancing, message);
    Decision {
        done: Some(format!("plan {} is approved: {}", plan.hash, plan.summary)),
        ..conclude(object, status, verdict, around)
    }
}

fn partition<'a>(look: &'a Look, topic: &str, index: i32) -> Option<&'a ObservedPartition> {
    let index = usize::try_from(index).ok()?;
    look.topics.get(topic)?.partitions.get(index)
}

/// How far a move is.
enum Stage {
    Due,
    UnderWay,
    /// Or somebody else has moved the partition.
    Done,
}

fn stage(partition: Option<&ObservedPartition>, (from, to): (&[i32], &[i32])) -> Stage {
    let set = |ids: &[i32]| ids.iter().copied().collect::<BTreeSet<i32>>();
    let Some(partition) = partition else {
        return Stage::Done;
    };
    let target = partition.target();
    match partition.is_moving() {
        true if set(&target) == set(to) => Stage::UnderWay,
        false if partition.replicas == from => Stage::Due,
        _ => Stage::Done,
    }
}

fn carry_on(
    object: &KafkaRebalance,
    mut status: KafkaRebalanceStatus,
    around: &Around<'_>,
) -> Decision {
    let look = around.look;
    let (mut copying, mut bytes) = under_way(look);
    let mut decision = Decision::default();
    let (mut count, mut left) = (0, 0_u64);
    for one in &status.moves {
        let key: PartitionKey = (one.topic.clone(), one.partition);
        let found = partition(look, &one.topic, one.partition);
        let new = one.to.iter().filter(|id| !one.from.contains(id));
        let whole = size(&look.sizes, &key).saturating_mul(new.clone().count() as u64);
        match (stage(found, (&one.from, &one.to)), found) {
            (Stage::UnderWay, Some(partition)) => {
                count += 1;
                left = left.saturating_add(bytes_left(partition, &key, &look.sizes));
            }
            (Stage::Due, _) if !new.clone().any(|id| around.leaving.contains(id)) => {
                count += 1;
                left = left.saturating_add(whole);
                let fits = bytes == 0 || bytes.saturating_add(whole) <= BYTES_MAX;
                let serves = |id: &i32| look.brokers.get(id).is_some_and(|one| !one.is_fenced);
                if around.busy.is_none()
                    && copying < PARTITIONS_MAX
                    && fits
                    && new.clone().all(serves)
                {
                    copying += 1;
                    bytes = bytes.saturating_add(whole);
                    decision.targets.insert(key, Some(one.to.clone()));
                }
            }
            _ => {}
        }
    }
    if count == 0 {
        status.state = RebalanceState::Ready;
        status.progress = None;
        decision.lifted = std::mem::take(&mut status.throttled);
        let verdict = rebalanced(&status);
        decision.done = Some("all replicas are where the plan has them".to_owned());
        decision.status = concluded(object, status, &verdict, around.now);
        return decision;
    }
    if let Some(rate) = object.spec.throttle {
        decision.throttle = Some((status.throttled.clone(), rate));
    }
    let progress = told(
        (count, left),
        Vec::new(),
        status.progress.as_ref(),
        around.now,
    );
    let message = match around.busy {
        Some(why) => format!("The next moves wait: {why}. {}.", progress.summary),
        None => format!("Replicas move: {}.", progress.summary),
    };
    let verdict = Verdict::new(RebalanceReason::Rebalancing, message);
    status.progress = Some(progress);
    decision.status = concluded(object, status, &verdict, around.now);
    decision
}

/// How many partitions are moving, whoever began that, and how many bytes are left of it.
fn under_way(look: &Look) -> (usize, u64) {
    let (mut partitions, mut bytes) = (0, 0_u64);
    for (name, topic) in &look.topics {
        for (index, partition) in (0..).zip(&topic.partitions) {
            if partition.is_moving() {
                partitions += 1;
                let left = bytes_left(partition, &(name.clone(), index), &look.sizes);
                bytes = bytes.saturating_add(left);
            }
        }
    }
    (partitions, bytes)
}

/// Cancels what is under way. What was moved stays.
fn stop(
    object: &KafkaRebalance,
    mut status: KafkaRebalanceStatus,
    is_planned_anew: bool,
    around: &Around<'_>,
) -> Decision {
    let under_way = status.moves.iter().filter(|one| {
        let found = partition(around.look, &one.topic, one.partition);
        matches!(stage(found, (&one.from, &one.to)), Stage::UnderWay)
    });
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
