//! What a KafkaRebalance says of itself. Pure.

use std::collections::BTreeMap;

use super::plan::{Proposal, TURN_MAX};
use crate::condition::{RebalanceReason, Verdict, conditions};
use crate::crd::rebalance::{RebalanceGoal, RebalanceMove, RebalancePlan, RebalanceSkew};
use crate::crd::{KafkaRebalance, KafkaRebalanceStatus};
use crate::fingerprint::fingerprint;
use crate::observed::ObservedTopic;
use crate::spoken::{bytes, count};

/// The status before, with only the verdict new.
#[must_use]
pub fn said(object: &KafkaRebalance, verdict: &Verdict, now: &str) -> KafkaRebalanceStatus {
    let before = object.status.clone().unwrap_or_default();
    concluded(object, before, verdict, now)
}

/// A status with this verdict.
#[must_use]
pub fn concluded(
    object: &KafkaRebalance,
    mut status: KafkaRebalanceStatus,
    verdict: &Verdict,
    now: &str,
) -> KafkaRebalanceStatus {
    let generation = object.metadata.generation.unwrap_or_default();
    status.observed_generation = generation;
    status.conditions = conditions(&status.conditions, verdict, generation, now);
    status
}

/// Puts a new plan into the status; says whether it moves anything. Its hash stands for the object,
/// all the moves, and how many plans there were before: so consent is to this one alone.
pub fn put_plan(
    status: &mut KafkaRebalanceStatus,
    object: &KafkaRebalance,
    proposal: &Proposal,
    topics: &BTreeMap<String, ObservedTopic>,
) -> bool {
    status.plans += 1;
    (status.moved, status.missed) = (0, 0);
    status.progress = None;
    put_turn(status, proposal, topics, usize::MAX);
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    let ids = proposal.moves.keys().map(|(topic, _)| id(topics, topic));
    let ids: Vec<&str> = ids.collect();
    let text = format!("{uid}\n{}\n{:?}\n{ids:?}", status.plans, proposal.moves);
    let copied = proposal
        .bytes
        .map(|all| i64::try_from(all).unwrap_or(i64::MAX));
    let skew = proposal.skew.iter();
    let skew = skew.map(|(goal, before, after)| RebalanceSkew {
        goal: *goal,
        before: range(*goal, *before),
        after: range(*goal, *after),
    });
    status.plan = Some(RebalancePlan {
        // A letter first: digits alone would be a number in YAML.
        hash: format!("p{:016x}", fingerprint(&text)),
        spec: made_for(object),
        summary: summary(proposal, copied),
        partitions: i32::try_from(proposal.moves.len()).unwrap_or(i32::MAX),
        bytes: copied,
        skew: skew.collect(),
    });
    !status.moves.is_empty()
}

/// Lists what is moved first of a proposal, no more partitions than these and than one turn has.
pub fn put_turn(
    status: &mut KafkaRebalanceStatus,
    proposal: &Proposal,
    topics: &BTreeMap<String, ObservedTopic>,
    partitions_max: usize,
) {
    let first = proposal.order.iter().take(partitions_max.min(TURN_MAX));
    let moves = first.filter_map(|key| {
        let (from, to) = proposal.moves.get(key)?;
        Some(RebalanceMove {
            topic: key.0.clone(),
            topic_id: id(topics, &key.0).to_owned(),
            partition: key.1,
            from: from.clone(),
            to: to.clone(),
        })
    });
    status.moves = moves.collect();
    status
        .moves
        .sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
}

fn id<'a>(topics: &'a BTreeMap<String, ObservedTopic>, name: &str) -> &'a str {
    topics.get(name).map_or("", |topic| &topic.topic_id)
}

/// What stands for a spec, as far as plans are made by it.
#[must_use]
pub fn made_for(object: &KafkaRebalance) -> String {
    let spec = &object.spec;
    let text = format!("{:?} {:?} {:?}", spec.mode, spec.brokers, spec.goals);
    format!("s{:016x}", fingerprint(&text))
}

/// The partitions of a plan that no turn has listed yet.
#[must_use]
pub fn later(status: &KafkaRebalanceStatus) -> usize {
    let all = status.plan.as_ref().map_or(0, |plan| plan.partitions);
    let all = usize::try_from(all.saturating_sub(status.moved)).unwrap_or(0);
    all.saturating_sub(status.moves.len())
}

fn range(goal: RebalanceGoal, (least, most): (u64, u64)) -> String {
    let shown = |number: u64| match goal {
        RebalanceGoal::Bytes => bytes(i64::try_from(number).unwrap_or(i64::MAX)),
        _ => number.to_string(),
    };
    format!("{}–{}", shown(least), shown(most))
}

/// A plan in one line.
fn summary(proposal: &Proposal, copied: Option<i64>) -> String {
    if proposal.moves.is_empty() {
        return "nothing to move".to_owned();
    }
    let is_copied = |(from, to): &&(Vec<i32>, Vec<i32>)| to.iter().any(|id| !from.contains(id));
    let moved = proposal.moves.values().filter(is_copied).count();
    let led = proposal.moves.len() - moved;
    let mut parts = Vec::new();
    if moved > 0 {
        let size = copied.map_or("bytes unknown".to_owned(), bytes);
        parts.push(format!("move {}, copy {size}", count(moved, "partition")));
    }
    if led > 0 {
        parts.push(format!(
            "change the preferred leader of {}",
            count(led, "partition")
        ));
    }
    if proposal.fewer_racks > 0 {
        parts.push(format!(
            "leave {} in fewer racks",
            count(proposal.fewer_racks, "partition")
        ));
    }
    if proposal.remaining > 0 {
        parts.push(format!(
            "leave {} where no other broker can take them",
            count(proposal.remaining, "partition")
        ));
    }
    if proposal.moves.len() > TURN_MAX {
        parts.push(format!("{TURN_MAX} at a time"));
    }
    parts.join(", ")
}

/// Who waits for what, before anything is done.
#[must_use]
pub fn waiting(plan: &RebalancePlan) -> Verdict {
    let message = format!(
        "The plan waits for consent: {}. Set the annotation {} to {} to have it carried out.",
        plan.summary,
        crate::approval::APPROVE,
        plan.hash
    );
    Verdict::new(RebalanceReason::WaitingForApproval, message)
}
