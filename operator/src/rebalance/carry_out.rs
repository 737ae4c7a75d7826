//! A plan that was consented to is carried out, move by move and turn by turn. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::around::{Around, Decision, Look, conclude, proposal, rebalanced, remaining};
use super::plan::held;
use super::status::{later, put_turn};
use crate::admin::moves::Targets;
use crate::condition::{RebalanceReason, Verdict};
use crate::crd::rebalance::{RebalanceMove, RebalanceState};
use crate::crd::{KafkaRebalance, KafkaRebalanceStatus};
use crate::observed::{ObservedPartition, PartitionKey};
use crate::spoken;
use crate::topic::moves::progress::{bytes_left, told};
use crate::topic::moves::{BYTES_MAX, PARTITIONS_MAX, size};

/// Notes the brokers that copy no faster than the spec says, those of earlier turns among them.
pub fn hold_to_rate(object: &KafkaRebalance, status: &mut KafkaRebalanceStatus) {
    if object.spec.throttle.is_some() {
        let moves = status.moves.iter();
        let brokers = moves.flat_map(|one| one.from.iter().chain(&one.to));
        let brokers: BTreeSet<i32> = brokers.chain(&status.throttled).copied().collect();
        status.throttled = brokers.into_iter().collect();
    }
}

/// All moves that are listed are done.
fn end_turn(
    object: &KafkaRebalance,
    mut status: KafkaRebalanceStatus,
    missed: i32,
    around: &Around<'_>,
) -> Decision {
    status.missed = status.missed.saturating_add(missed);
    if later(&status) == 0 {
        return finish(object, status, around);
    }
    let moved = i32::try_from(status.moves.len()).unwrap_or(i32::MAX);
    status.moved = status.moved.saturating_add(moved);
    status.moves.clear();
    let message = "The next moves of the plan are planned.";
    let verdict = Verdict::new(RebalanceReason::Rebalancing, message);
    conclude(object, status, verdict, around)
}

/// Lists the moves of the next turn, once none are listed any more.
fn next_turn(
    object: &KafkaRebalance,
    mut status: KafkaRebalanceStatus,
    around: &Around<'_>,
) -> Decision {
    if let Some(why) = around.busy {
        let message = format!("The next moves wait: {why}.");
        let verdict = Verdict::new(RebalanceReason::Rebalancing, message);
        return conclude(object, status, verdict, around);
    }
    let partitions_max = later(&status);
    let proposal = proposal(object, around);
    put_turn(&mut status, &proposal, &around.look.topics, partitions_max);
    if status.moves.is_empty() {
        return finish(object, status, around);
    }
    hold_to_rate(object, &mut status);
    let message = format!(
        "The next {} of the plan move.",
        spoken::count(status.moves.len(), "partition")
    );
    let verdict = Verdict::new(RebalanceReason::Rebalancing, message);
    conclude(object, status, verdict, around)
}

/// Ends one whose moves are all done.
fn finish(
    object: &KafkaRebalance,
    mut status: KafkaRebalanceStatus,
    around: &Around<'_>,
) -> Decision {
    status.progress = None;
    let lifted = std::mem::take(&mut status.throttled);
    let done = match usize::try_from(status.missed) {
        Ok(0) | Err(_) => "all replicas are where the plan has them".to_owned(),
        Ok(missed) => format!(
            "replicas are where the plan has them, but those of {}",
            spoken::count(missed, "partition")
        ),
    };
    let named = object.spec.brokers.iter().copied().collect();
    let kept = held(&around.look.topics, &named, &BTreeMap::new());
    let verdict = match remaining(object, kept) {
        Some(verdict) => {
            status.state = RebalanceState::NotReady;
            verdict
        }
        None => {
            status.state = RebalanceState::Ready;
            rebalanced(&status)
        }
    };
    Decision {
        done: Some(done),
        lifted,
        ..conclude(object, status, verdict, around)
    }
}

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage<'a> {
    /// It has not begun.
    Due,
    /// Replicas are copied.
    UnderWay(&'a ObservedPartition),
    /// Replicas are where it has them.
    Done,
    /// It will not be: others moved the partition, or have deleted it or made it again, or a
    /// broker that was to have it is gone or is to go.
    Missed,
}

/// How far it is.
#[must_use]
pub fn stage<'a>(one: &RebalanceMove, around: &Around<'a>) -> Stage<'a> {
    let set = |ids: &[i32]| ids.iter().copied().collect::<BTreeSet<i32>>();
    let topic = around.look.topics.get(&one.topic);
    let topic = topic.filter(|topic| topic.topic_id == one.topic_id);
    let index = usize::try_from(one.partition).ok();
    let partition = topic
        .zip(index)
        .and_then(|(topic, index)| topic.partitions.get(index));
    let Some(partition) = partition else {
        return Stage::Missed;
    };
    let is_at_target = set(&partition.target()) == set(&one.to);
    let is_there = |id: &i32| around.look.brokers.contains_key(id) && !around.leaving.contains(id);
    match partition.is_moving() {
        true if is_at_target => Stage::UnderWay(partition),
        false if partition.replicas == one.from && new(one).all(is_there) => Stage::Due,
        false if is_at_target && partition.replicas != one.from => Stage::Done,
        _ => Stage::Missed,
    }
}

/// The brokers that get the partition.
fn new(one: &RebalanceMove) -> impl Iterator<Item = &i32> {
    one.to.iter().filter(|id| !one.from.contains(id))
}

/// What moves now.
#[derive(Default)]
struct Moving {
    count: i32,
    bytes_left: u64,
    missed: i32,
    /// Brokers that are to have something, and do not serve.
    absent: BTreeSet<i32>,
    targets: Targets,
}

fn moving(moves: &[RebalanceMove], around: &Around<'_>) -> Moving {
    let look = around.look;
    let (mut copying, mut bytes) = under_way(look);
    let mut all = Moving::default();
    let serves = |id: &i32| look.brokers.get(id).is_some_and(|one| !one.is_fenced);
    for one in moves {
        let key: PartitionKey = (one.topic.clone(), one.partition);
        let stage = stage(one, around);
        let left = match stage {
            Stage::UnderWay(partition) => bytes_left(partition, &key, &look.sizes),
            Stage::Due => size(&look.sizes, &key).saturating_mul(new(one).count() as u64),
            Stage::Done => continue,
            Stage::Missed => {
                all.missed += 1;
                continue;
            }
        };
        all.count += 1;
        all.bytes_left = all.bytes_left.saturating_add(left);
        all.absent.extend(new(one).filter(|id| !serves(id)));
        let fits = bytes == 0 || bytes.saturating_add(left) <= BYTES_MAX;
        let has_room = around.busy.is_none() && copying < PARTITIONS_MAX && fits;
        if stage == Stage::Due && new(one).all(serves) && has_room {
            copying += 1;
            bytes = bytes.saturating_add(left);
            all.targets.insert(key, Some(one.to.clone()));
        }
    }
    all
}

/// One step of a plan that was consented to.
#[must_use]
pub fn carry_on(
    object: &KafkaRebalance,
    mut status: KafkaRebalanceStatus,
    around: &Around<'_>,
) -> Decision {
    if status.moves.is_empty() {
        return next_turn(object, status, around);
    }
    let moving = moving(&status.moves, around);
    if moving.count == 0 {
        return end_turn(object, status, moving.missed, around);
    }
    let later = later(&status);
    let count = moving.count + i32::try_from(later).unwrap_or(i32::MAX);
    let left = moving
        .bytes_left
        .saturating_add(bytes_later(&status, later));
    let before = status.progress.as_ref();
    let progress = told((count, left), Vec::new(), before, around.now);
    let waits = match around.busy {
        Some(why) => format!("The next moves wait: {why}. {}", progress.summary),
        None => format!("Replicas move: {}", progress.summary),
    };
    let message = match moving.absent.len() {
        0 => format!("{waits}."),
        1 => format!(
            "{waits}; {} does not serve, so what it is to have waits.",
            spoken::brokers(&moving.absent)
        ),
        _ => format!(
            "{waits}; {} do not serve, so what they are to have waits.",
            spoken::brokers(&moving.absent)
        ),
    };
    let verdict = Verdict::new(RebalanceReason::Rebalancing, message);
    status.progress = Some(progress);
    // Who is held to a rate stands in the status before it is.
    let noted = status.throttled.clone();
    let (mut throttle, mut lifted) = (None, Vec::new());
    match object.spec.throttle {
        Some(rate) => {
            hold_to_rate(object, &mut status);
            throttle = Some((noted, rate));
        }
        None => lifted = std::mem::take(&mut status.throttled),
    }
    Decision {
        targets: match status.throttled == throttle.as_ref().map_or(&[][..], |(all, _)| all) {
            true => moving.targets,
            false => Targets::new(),
        },
        throttle,
        lifted,
        ..conclude(object, status, verdict, around)
    }
}

/// About how many bytes the turns to come copy: by what all partitions of the plan have.
fn bytes_later(status: &KafkaRebalanceStatus, later: usize) -> u64 {
    let plan = status.plan.as_ref();
    let (all, bytes) = plan.map_or((0, None), |plan| (plan.partitions, plan.bytes));
    let bytes = i128::from(bytes.unwrap_or(0)) * (later as i128) / i128::from(all.max(1));
    u64::try_from(bytes).unwrap_or(0)
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
