//! What a KafkaRebalance says of itself. Pure.

use super::plan::Proposal;
use crate::condition::{RebalanceReason, Verdict, conditions};
use crate::crd::rebalance::{RebalanceGoal, RebalanceMove, RebalancePlan, RebalanceSkew};
use crate::crd::{KafkaRebalance, KafkaRebalanceStatus};
use crate::fingerprint::fingerprint;
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
/// the moves, and how many plans there were before: so consent is to this one alone.
pub fn put_plan(
    status: &mut KafkaRebalanceStatus,
    object: &KafkaRebalance,
    proposal: &Proposal,
) -> bool {
    status.plans += 1;
    status.progress = None;
    let moves = proposal.moves.iter();
    let moves = moves.map(|((topic, partition), (from, to))| RebalanceMove {
        topic: topic.clone(),
        partition: *partition,
        from: from.clone(),
        to: to.clone(),
    });
    status.moves = moves.collect();
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    let text = format!("{uid}\n{}\n{:?}", status.plans, status.moves);
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
        generation: object.metadata.generation.unwrap_or_default(),
        summary: summary(proposal, copied),
        partitions: i32::try_from(status.moves.len()).unwrap_or(i32::MAX),
        bytes: copied,
        skew: skew.collect(),
    });
    !status.moves.is_empty()
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
