//! A node that gets an empty volume in place of its own: when that may be, and when it has what the
//! others have. Pure.
//!
//! Whoever wants it sets the annotation [`REPLACE`] to the id of a broker or a dedicated
//! controller, whose disk is lost or is to be another one. What the node holds is gone with its
//! volume, so it is judged by what the others hold, whether it runs or not:
//!
//! - every other broker, and every other voter, serves, and the voters that stay are a majority;
//! - each of its partitions is in sync on all its other brokers, and there is one;
//! - if it runs, the brokers say of its restart what they say in a rolling restart.
//!
//! What is under way stands in the status before it is done ([`ReplacementStatus`]), with the
//! volume that goes: one that has come in its place is another, and is never taken for it. What was
//! done stays there for as long as the annotation does, so one that is still there, as out of a
//! repository, asks for nothing anew; nor does one that comes back before another was done, or that
//! an object has from its beginning.
//!
//! No replica begins to move while a volume goes: its broker may serve still, and what it got would
//! be gone with it. Replicas may move while a node catches up: where it cannot, that is the way
//! out.
//!
//! Invariant: no volume goes but the one that the status names, and not while a [`Hindrance`] is
//! there.

use std::fmt;

use super::rolling_restart::{Health, ObservedBroker, Obstacle, objection, quorum_lost};
use crate::condition::ClusterReason;
use crate::crd::KafkaCluster;
use crate::crd::cluster::{ReplacementPhase, ReplacementStatus};
use crate::observed::{ObservedCluster, ObservedPartition, RestartCheck, Why};
use crate::spoken::node;
use crate::validated::{FIRST_CONTROLLER, ValidatedCluster};

/// The annotation that has a node get an empty volume, by its id.
pub const REPLACE: &str = "ottla.io/replace-broker";

/// Why a volume is not given up now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hindrance {
    /// Somebody has to act; a sentence without its beginning and its full stop.
    Refused(String),
    /// It passes.
    Waits(Obstacle),
}

/// What the annotation and the status ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nothing, and nothing is remembered.
    Nothing,
    /// Nothing now, and this stays remembered: it is done, or its node is not there.
    Done(ReplacementStatus),
    /// What cannot be done, because of this.
    Refused(String),
    /// That this node gets an empty volume.
    Begin(i32),
    /// That it goes on; `is_wanted` is whether the annotation asks for it still.
    GoOn(ReplacementStatus, bool),
}

/// What the annotation and the status ask for. `keeps_data` is whether nodes have something to give
/// up without `spec.storage` too.
#[must_use]
pub fn order(
    annotation: Option<&str>,
    before: Option<&ReplacementStatus>,
    valid: &ValidatedCluster,
    keeps_data: bool,
) -> Order {
    if let Some(before) = before.filter(|before| before.phase != ReplacementPhase::Replaced) {
        let is_wanted = annotation == Some(&before.asked);
        return match valid.nodes().contains(&before.id) {
            true => Order::GoOn(before.clone(), is_wanted),
            // between two StatefulSets, say
            false if is_of_spec(before.id, valid) => Order::Done(before.clone()),
            // it is scaled away, and with that what was asked for it is done
            false => {
                let done = match is_wanted {
                    true => Some(ReplacementStatus {
                        phase: ReplacementPhase::Replaced,
                        done: String::new(),
                        ..before.clone()
                    }),
                    false => done_before(before),
                };
                order(annotation, done.as_ref(), valid, keeps_data)
            }
        };
    }
    let Some(asked) = annotation else {
        return Order::Nothing;
    };
    if let Some(before) = before.filter(|before| before.asked == asked) {
        return Order::Done(before.clone());
    }
    match id_of(asked) {
        Some(id) if valid.leaving.contains(&id) => {
            Order::Refused(format!("{} is to go anyway", node(id)))
        }
        Some(id) if valid.nodes().contains(&id) => match keeps_data || has_volume(id, valid) {
            true => Order::Begin(id),
            false => Order::Refused(format!(
                "without spec.storage {} has no volume: delete its pod",
                node(id)
            )),
        },
        _ => Order::Refused(format!(
            "there is no broker or dedicated controller \"{}\" (their ids are in status.brokers \
             and status.dedicatedControllers)",
            asked.escape_default()
        )),
    }
}

/// The id that an annotation names. There is one way to write it, since what was asked is known by
/// its text.
fn id_of(asked: &str) -> Option<i32> {
    let id = asked.parse::<i32>().ok()?;
    (id.to_string() == asked).then_some(id)
}

/// What is remembered of a replacement. What an object asks for that has no status yet was asked of
/// one of its name before it, as out of a repository or a backup: that counts as done.
#[must_use]
pub fn remembered(cluster: &KafkaCluster) -> Option<ReplacementStatus> {
    if let Some(status) = &cluster.status {
        return status.replacement.clone();
    }
    let asked = cluster.metadata.annotations.as_ref()?.get(REPLACE)?;
    Some(ReplacementStatus {
        id: id_of(asked)?,
        asked: asked.clone(),
        volume: String::new(),
        phase: ReplacementPhase::Replaced,
        done: String::new(),
    })
}

/// What is remembered of a replacement that is asked for no more: what was done before it, if any.
#[must_use]
pub fn done_before(status: &ReplacementStatus) -> Option<ReplacementStatus> {
    Some(ReplacementStatus {
        id: id_of(&status.done)?,
        asked: status.done.clone(),
        volume: String::new(),
        phase: ReplacementPhase::Replaced,
        done: String::new(),
    })
}

fn is_of_spec(id: i32, valid: &ValidatedCluster) -> bool {
    match id < FIRST_CONTROLLER {
        true => id < valid.ways,
        false => !valid.controllers.leaves(id),
    }
}

fn has_volume(id: i32, valid: &ValidatedCluster) -> bool {
    let storage = match id < FIRST_CONTROLLER {
        true => &valid.storage,
        false => &valid.controllers.storage,
    };
    storage.is_some()
}

/// Why the volume of a node is not given up now; none: it may go. `check` is what the brokers say
/// of its restart.
#[must_use]
pub fn hindrance(
    id: i32,
    nodes: &[ObservedBroker],
    health: &Health,
    (check, allow_unavailable): (&Result<RestartCheck, String>, bool),
) -> Option<Hindrance> {
    let (cluster, quorum) = match health {
        Health::Unknown(why) => return waits(Obstacle::NoAnswer(why.clone())),
        Health::Known {
            quorum: Err(why), ..
        } => return waits(Obstacle::NoQuorum(why.clone())),
        Health::Known {
            cluster,
            quorum: Ok(quorum),
        } => (cluster, quorum),
    };
    let voters = &quorum.voters;
    if voters.len() == 1 && voters.contains_key(&id) {
        return Some(Hindrance::Refused(
            "it is the only voter, and the metadata would be gone with it: have more nodes vote"
                .to_owned(),
        ));
    }
    let runs = nodes.iter().any(|node| node.id == id && node.runs);
    if let Some(lost) = lost(id, runs, cluster) {
        return Some(Hindrance::Refused(lost));
    }
    let counts = |id: i32| id < FIRST_CONTROLLER || voters.contains_key(&id);
    let others = nodes.iter().filter(|one| one.id != id && counts(one.id));
    if let Some(away) = others.clone().find(|one| !one.ready) {
        return waits(Obstacle::Away {
            broker: away.id,
            message: away.message.clone(),
        });
    }
    // one that runs hands its leaderships over, and clients go there at once
    if let Some(settling) = others.clone().find(|one| one.settles && runs) {
        return waits(Obstacle::Settles(settling.id));
    }
    let obstacle = quorum_lost(id, quorum).or_else(|| out_of_sync(id, cluster));
    if let Some(obstacle) = obstacle {
        return waits(obstacle);
    }
    match check {
        Err(why) => waits(Obstacle::NoAnswer(why.clone())),
        Ok(check) => judged(check, allow_unavailable),
    }
}

fn waits(obstacle: Obstacle) -> Option<Hindrance> {
    Some(Hindrance::Waits(obstacle))
}

/// What the brokers say. They know topics too that the operator may not describe.
fn judged(check: &RestartCheck, allow_unavailable: bool) -> Option<Hindrance> {
    let is_lost = |why: Why| [Why::OnlyReplica, Why::OnlyInSync].contains(&why);
    let mut lost = check.harmed.iter().filter(|harmed| is_lost(harmed.why));
    if let Some(first) = lost.next() {
        let more = lost.count() + check.more;
        return Some(Hindrance::Refused(sentence_of_lost(&first.partition, more)));
    }
    // of those that the page has no room for nobody here knows why
    let allows = allow_unavailable && check.more == 0;
    objection(check, allows).map(Hindrance::Waits)
}

/// What would be lost: while it runs, others may yet catch up with what it alone has.
fn lost(id: i32, runs: bool, cluster: &ObservedCluster) -> Option<String> {
    let is_lost = |partition: &ObservedPartition| {
        let mut others = partition.isr.iter().filter(|other| **other != id);
        let is_alone = partition.replicas == [id];
        others.next().is_none() && (is_alone || !runs)
    };
    let mut lost = partitions(id, cluster).filter(|(_, partition)| is_lost(partition));
    let (first, _) = lost.next()?;
    Some(sentence_of_lost(&first, lost.count()))
}

fn sentence_of_lost(partition: &str, more: usize) -> String {
    let more = match more {
        0 => String::new(),
        count => format!(", and of {count} more partitions"),
    };
    format!(
        "the records of {partition}{more} would be gone, no other replica has all of them; give \
         the topic more replicas, bring other replicas up, or delete the topic"
    )
}

fn out_of_sync(id: i32, cluster: &ObservedCluster) -> Option<Obstacle> {
    let lacks_others = |partition: &ObservedPartition| partition.missing().any(|one| one != id);
    let mut behind = partitions(id, cluster).filter(|(_, partition)| lacks_others(partition));
    let (partition, first) = behind.next()?;
    let more = behind.count();
    let missing = first.missing().filter(|one| *one != id).collect();
    Some(Obstacle::behind(partition, first, missing, more))
}

/// The partitions that a node holds, by name.
fn partitions(
    id: i32,
    cluster: &ObservedCluster,
) -> impl Iterator<Item = (String, &ObservedPartition)> {
    let partitions = cluster.topics.iter().flat_map(|(topic, observed)| {
        let partitions = observed.partitions.iter().enumerate();
        partitions.map(move |(index, partition)| (format!("{topic}-{index}"), partition))
    });
    partitions.filter(move |(_, partition)| partition.replicas.contains(&id))
}

/// What a node with an empty volume lacks yet of what the others have; none: nothing. What is being
/// moved to it or away from it is another matter.
#[must_use]
pub fn lacks(id: i32, nodes: &[ObservedBroker], health: &Health) -> Option<String> {
    let there = nodes.iter().find(|node| node.id == id);
    if let Some(away) = there.filter(|node| !node.ready) {
        return Some(format!("it does not serve yet ({})", away.message));
    }
    let (cluster, quorum) = match health {
        Health::Unknown(why) => return Some(Obstacle::NoAnswer(why.clone()).to_string()),
        Health::Known {
            quorum: Err(why), ..
        } => return Some(Obstacle::NoQuorum(why.clone()).to_string()),
        Health::Known {
            cluster,
            quorum: Ok(quorum),
        } => (cluster, quorum),
    };
    if there.is_none() {
        return Some("it is not there yet".to_owned());
    }
    let is_behind = |partition: &ObservedPartition| {
        let is_moved = partition.adding.contains(&id) || partition.removing.contains(&id);
        !is_moved && !partition.isr.contains(&id)
    };
    let mut behind = partitions(id, cluster).filter(|(_, partition)| is_behind(partition));
    if let Some((partition, _)) = behind.next() {
        let obstacle = Obstacle::OutOfSync {
            partition,
            missing: vec![id],
            more: behind.count(),
        };
        return Some(obstacle.to_string());
    }
    let votes = quorum.voters.get(&id);
    votes
        .filter(|is_close| !**is_close)
        .map(|_| "it votes, and does not follow the active controller closely yet".to_owned())
}

impl Hindrance {
    /// What a cluster says that waits for it.
    #[must_use]
    pub fn reason(&self) -> ClusterReason {
        match self {
            Self::Refused(_) => ClusterReason::ReplacementRefused,
            Self::Waits(_) => ClusterReason::ReplacingBroker,
        }
    }
}

/// A sentence without its beginning and its full stop.
impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => f.write_str(why),
            Self::Waits(obstacle) => obstacle.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
