//! Which replicas move now, so that topics have their replication factor, brokers that are to go
//! hold nothing, and brokers that have just come hold their share.
//!
//! Nothing is remembered: partitions that are not yet as wanted and are not being moved are what is
//! left to do, so an operator that begins anew goes on where another one ended. A reassignment
//! whose target is no longer wanted is replaced by another, or cancelled where the partition was as
//! wanted before it. One that somebody else began, and that leaves the replication factor as it is
//! wanted, is left alone.
//!
//! A broker that somebody cordoned keeps what it holds, and gets nothing.
//!
//! What goes in: the cluster's topics and brokers, the replication factors that objects want, the
//! brokers that are to go, and how large partitions are. Where replicas go is decided by the
//! broker's own rules ([`ottla_core::placement`]).
//!
//! Invariant: at most [`PARTITIONS_MAX`] partitions are being copied by our hand, and no more than
//! [`BYTES_MAX`] bytes, or a single partition that is larger. A move that gets nowhere, because a
//! broker does not serve, takes no room from the others.

pub mod driver;
pub mod progress;

use std::collections::{BTreeMap, BTreeSet};

use ottla_core::placement::fill::fill;
use ottla_core::placement::{Candidate, Placed, rearrange};
use ottla_protocol::ids::NodeId;

use crate::fingerprint::fingerprint;
use crate::observed::{ObservedPartition, ObservedTopic, PartitionKey, RegisteredBroker, Sizes};

/// At most so many partitions are moved at a time.
pub const PARTITIONS_MAX: usize = 50;
/// At most so many bytes are on their way to other brokers at a time.
pub const BYTES_MAX: u64 = 4 << 30;

/// What there is, and what is wanted of it.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// All topics of the cluster.
    pub topics: &'a BTreeMap<String, ObservedTopic>,
    /// The replication factors that are wanted, by topic.
    pub wanted: &'a BTreeMap<String, i32>,
    /// The brokers that are registered.
    pub brokers: &'a BTreeMap<i32, RegisteredBroker>,
    /// Those that are to hold nothing any more.
    pub leaving: &'a BTreeSet<i32>,
    /// Those that have just come, and are to get their share.
    pub newcomers: &'a BTreeSet<i32>,
}

/// What to do now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// Reassignments to begin; none as a target cancels.
    pub targets: BTreeMap<PartitionKey, Option<Vec<i32>>>,
    /// Topics that cannot be changed now, and why, as a sentence without its full stop.
    pub waiting: BTreeMap<String, String>,
}

impl Moves {
    /// Has nothing begin, because brokers are to be restarted; what is cancelled still is.
    pub fn hold(&mut self) {
        for ((topic, _), _) in self.targets.iter().filter(|(_, target)| target.is_some()) {
            let waiting = self.waiting.entry(topic.clone());
            waiting.or_insert_with(|| "brokers are restarted first".to_owned());
        }
        self.targets.retain(|_, target| target.is_none());
    }
}

/// A partition that is not as wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Move {
    key: PartitionKey,
    /// None cancels.
    target: Option<Vec<i32>>,
    /// How many copies of the partition it makes.
    copies: u64,
}

/// Whether topics are left whose replication factor is not yet as it is wanted.
#[must_use]
pub fn is_needed(topics: &BTreeMap<String, ObservedTopic>, wanted: &BTreeMap<String, i32>) -> bool {
    topics.iter().any(|(name, topic)| {
        let is_there = |factor: &i32| topic.has_replication_factor(*factor);
        !wanted.get(name).is_none_or(is_there)
    })
}

/// The partitions of which the sizes matter: those that are moved or are to be, now or once `all`
/// has been moved.
#[must_use]
pub fn concerned(situation: &Situation<'_>, all: bool) -> BTreeSet<PartitionKey> {
    let shares_max = if all { usize::MAX } else { PARTITIONS_MAX };
    let (due, _) = due(situation, shares_max);
    let mut keys: BTreeSet<PartitionKey> = due.into_iter().map(|one| one.key).collect();
    for (name, topic) in situation.topics {
        let wanted = situation.wanted.get(name);
        let factor = wanted.and_then(|wanted| usize::try_from(*wanted).ok());
        let partitions = (0..).zip(&topic.partitions);
        let concerned = partitions.filter(|(_, p)| {
            let has_other = factor.is_some_and(|factor| p.replicas.len() != factor);
            p.is_moving() || has_other || leaves(p, situation.leaving)
        });
        keys.extend(concerned.map(|(index, _)| (name.clone(), index)));
    }
    keys
}

/// Chooses.
#[must_use]
pub fn plan(situation: &Situation<'_>, sizes: &Sizes) -> Moves {
    let mut moves = Moves::default();
    let (mut due, waiting) = due(situation, PARTITIONS_MAX);
    moves.waiting = waiting;
    let (mut partitions, mut bytes) = under_way(situation, sizes, &mut moves.waiting);
    // what moves no bytes takes no room from what does
    due.sort_by_key(|one| one.copies > 0);
    for Move {
        key,
        target,
        copies,
    } in due
    {
        let size = size(sizes, &key).saturating_mul(copies);
        let is_free =
            partitions < PARTITIONS_MAX && (bytes == 0 || bytes.saturating_add(size) <= BYTES_MAX);
        if target.is_none() || is_free {
            partitions += 1;
            bytes = bytes.saturating_add(size);
            moves.targets.insert(key, target);
        }
    }
    moves
}

/// How many bytes are copied by all moves that are needed; none where a broker does not say.
#[must_use]
pub fn bytes(situation: &Situation<'_>, sizes: &Sizes) -> Option<u64> {
    let (due, _) = due(situation, usize::MAX);
    let mut copied = due.iter().map(|one| copied(sizes, &one.key, one.copies));
    copied.try_fold(0, |all: u64, one| Some(all.saturating_add(one?)))
}

/// What so many copies of a partition come to; none where its size is not known.
#[must_use]
pub fn copied(sizes: &Sizes, key: &PartitionKey, copies: u64) -> Option<u64> {
    let is_known = copies == 0 || sizes.get(key).is_some_and(|all| !all.is_empty());
    is_known.then(|| size(sizes, key).saturating_mul(copies))
}

/// All moves that are needed, of those to newcomers so many only, and the topics of which none can
/// be made now, with the reason.
fn due(situation: &Situation<'_>, shares_max: usize) -> (Vec<Move>, BTreeMap<String, String>) {
    let mut due = Vec::new();
    let mut waiting = BTreeMap::new();
    for (name, topic) in situation.topics {
        match plan_topic(situation, name, topic) {
            Ok(found) => due.extend(found),
            Err(why) => drop(waiting.insert(name.clone(), why)),
        }
    }
    let waits = |topic: &str| waiting.contains_key(topic);
    due.extend(shares(situation, &due, waits, shares_max));
    (due, waiting)
}

/// The moves that a topic needs; or why there can be none now.
fn plan_topic(
    situation: &Situation<'_>,
    name: &str,
    topic: &ObservedTopic,
) -> Result<Vec<Move>, String> {
    let wanted = situation.wanted.get(name).copied();
    let factor = wanted.and_then(|wanted| usize::try_from(wanted).ok());
    let leaving = situation.leaving;
    if !topic.partitions.iter().any(|p| is_due(p, factor, leaving)) {
        return Ok(Vec::new());
    }
    let placed: Vec<Placed> = topic
        .partitions
        .iter()
        .map(|p| placed(p, factor, leaving))
        .collect();
    let candidates = candidates(situation, &[]);
    check_active(&candidates, &placed, factor)?;
    let seed = fingerprint(&topic.topic_id);
    let plan = rearrange(&candidates, &placed, factor, seed).map_err(|error| {
        let sentence = error.to_string();
        sentence.trim_end_matches('.').to_owned()
    })?;
    let partitions = (0..).zip(topic.partitions.iter().zip(placed).zip(plan));
    let due = partitions.filter_map(|(index, ((observed, placed), target))| {
        let key = (name.to_owned(), index);
        let Some(target) = target else {
            // as it is once the reassignment is cancelled that is not wanted any more
            let is_cancelled = placed.replicas != ids(&observed.target());
            return is_cancelled.then_some(Move {
                key,
                target: None,
                copies: 0,
            });
        };
        let target: Vec<i32> = target.iter().map(|node| node.0).collect();
        let new = target.iter().filter(|id| !observed.replicas.contains(id));
        let copies = new.count() as u64;
        let target = Some(target);
        Some(Move {
            key,
            target,
            copies,
        })
    });
    Ok(due.collect())
}

/// What newcomers get of partitions that stay as they are otherwise.
fn shares(
    situation: &Situation<'_>,
    due: &[Move],
    waits: impl Fn(&str) -> bool,
    shares_max: usize,
) -> Vec<Move> {
    if situation.newcomers.is_empty() {
        return Vec::new();
    }
    let busy: BTreeSet<&PartitionKey> = due.iter().map(|one| &one.key).collect();
    let mut keys = Vec::new();
    let mut topics = Vec::new();
    for (name, topic) in situation.topics {
        let named: Vec<PartitionKey> = (0..)
            .zip(&topic.partitions)
            .map(|(index, _)| (name.clone(), index))
            .collect();
        let free = named.iter().zip(&topic.partitions).map(|(key, partition)| {
            let is_free = !partition.is_moving() && !busy.contains(key) && !waits(name);
            is_free.then(|| placed(partition, None, situation.leaving))
        });
        topics.push(free.collect());
        keys.push(named);
    }
    let newcomers = situation.newcomers.iter().copied().map(NodeId).collect();
    let filled = fill(&candidates(situation, due), &topics, &newcomers, shares_max);
    let moves = filled.into_iter().map(|((topic, index), replicas)| Move {
        key: keys[topic][index].clone(),
        target: Some(replicas.iter().map(|node| node.0).collect()),
        copies: 1,
    });
    moves.collect()
}

/// Brokers that have fewer replicas than every broker would have if they were even.
#[must_use]
pub fn short(situation: &Situation<'_>) -> BTreeSet<i32> {
    let candidates = candidates(situation, &[]);
    let all: usize = candidates.iter().map(|one| one.replica_count).sum();
    let share = all / candidates.len().max(1);
    let short = candidates.iter().filter(|one| one.replica_count < share);
    short.map(|one| one.node.0).collect()
}

/// Brokers that lack some of their share and can be given it, once one of them lacks so many
/// percent of what every broker would have on average; nobody before.
#[must_use]
pub fn skewed(situation: &Situation<'_>, percent: usize) -> BTreeSet<i32> {
    let mut short = short(situation);
    let takes = |broker: &RegisteredBroker| !broker.is_fenced && !broker.is_cordoned;
    short.retain(|id| situation.brokers.get(id).is_some_and(takes));
    let short = unfilled(&Situation {
        newcomers: &short,
        ..*situation
    });
    let candidates = candidates(situation, &[]);
    let all: usize = candidates.iter().map(|one| one.replica_count).sum();
    let most = all * 100_usize.saturating_sub(percent);
    let lacks = |one: &Candidate| one.replica_count * candidates.len() * 100 <= most;
    let mut lacking = candidates.iter().filter(|one| lacks(one));
    match lacking.any(|one| short.contains(&one.node.0)) {
        true => short,
        false => BTreeSet::new(),
    }
}

/// Newcomers that have not got their share yet, by the brokers that serve.
#[must_use]
pub fn unfilled(situation: &Situation<'_>) -> BTreeSet<i32> {
    // also what is only kept for a while, once that is gone
    let getting = |id: &i32| {
        let mut partitions = situation
            .topics
            .values()
            .flat_map(|topic| &topic.partitions);
        partitions.any(|partition| partition.adding.contains(id))
    };
    let given: BTreeSet<i32> = shares(situation, &[], |_| false, PARTITIONS_MAX)
        .into_iter()
        .flat_map(|one| one.target.unwrap_or_default())
        .collect();
    let serves = |id: &i32| {
        situation
            .brokers
            .get(id)
            .is_some_and(|broker| !broker.is_fenced)
    };
    let newcomers = situation.newcomers.iter().copied();
    newcomers
        .filter(|id| given.contains(id) || getting(id) || !serves(id))
        .collect()
}

/// What a partition counts as: what it was before a reassignment where that is wanted, else what
/// it comes to.
fn placed(partition: &ObservedPartition, factor: Option<usize>, leaving: &BTreeSet<i32>) -> Placed {
    let (original, target) = (partition.original(), partition.target());
    let is_wanted = |replicas: &[i32]| {
        factor.is_none_or(|factor| replicas.len() == factor)
            && !replicas.iter().any(|id| leaving.contains(id))
    };
    let replicas = if !is_wanted(&target) && is_wanted(&original) {
        original
    } else {
        target
    };
    Placed {
        replicas: ids(&replicas),
        isr: ids(&partition.isr),
    }
}

fn is_due(partition: &ObservedPartition, factor: Option<usize>, leaving: &BTreeSet<i32>) -> bool {
    let target = partition.target();
    factor.is_some_and(|factor| target.len() != factor)
        || target.iter().any(|id| leaving.contains(id))
}

fn leaves(partition: &ObservedPartition, leaving: &BTreeSet<i32>) -> bool {
    partition.replicas.iter().any(|id| leaving.contains(id))
}

fn ids(ids: &[i32]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

/// The brokers that stay, with what they will hold once that is done which is `due`.
fn candidates(situation: &Situation<'_>, due: &[Move]) -> Vec<Candidate> {
    let due = due
        .iter()
        .filter_map(|one| Some(((one.key.0.as_str(), one.key.1), one.target.as_ref()?)));
    let due: BTreeMap<(&str, i32), &Vec<i32>> = due.collect();
    let mut replicas: BTreeMap<i32, usize> = BTreeMap::new();
    let mut leaders: BTreeMap<i32, usize> = BTreeMap::new();
    let partitions = situation.topics.iter().flat_map(|(name, topic)| {
        let partitions = (0..).zip(&topic.partitions);
        partitions.map(move |(index, partition)| ((name.as_str(), index), partition))
    });
    for (key, partition) in partitions {
        let target = due
            .get(&key)
            .map_or_else(|| partition.target(), |target| (*target).clone());
        if let Some(first) = target.first() {
            *leaders.entry(*first).or_default() += 1;
        }
        for id in target {
            *replicas.entry(id).or_default() += 1;
        }
    }
    let staying = situation.brokers.iter();
    let staying = staying.filter(|(id, _)| !situation.leaving.contains(id));
    staying
        .map(|(id, broker)| Candidate {
            node: NodeId(*id),
            rack: broker.rack.as_deref().map(Into::into),
            is_active: !broker.is_fenced,
            is_cordoned: broker.is_cordoned,
            replica_count: replicas.get(id).copied().unwrap_or(0),
            leader_count: leaders.get(id).copied().unwrap_or(0),
        })
        .collect()
}

/// New replicas wait until there are enough brokers that serve and take them: one on a broker that
/// does not serve would be copied nowhere, and better places come back.
fn check_active(
    candidates: &[Candidate],
    placed: &[Placed],
    factor: Option<usize>,
) -> Result<(), String> {
    let size = |p: &Placed| factor.unwrap_or(p.replicas.len());
    for p in placed {
        let holds = |c: &&Candidate| p.replicas.contains(&c.node);
        let may_hold = |c: &&Candidate| c.is_active && (!c.is_cordoned || holds(c));
        let (wanted, staying) = (size(p), candidates.iter().filter(holds).count());
        let there = candidates.iter().filter(may_hold).count();
        if staying < wanted && there < wanted {
            let cordoned = candidates.iter().filter(|c| c.is_cordoned && !holds(c));
            let cordoned = cordoned.map(|c| format!("; broker {} is cordoned", c.node));
            return Err(format!(
                "{wanted} brokers that serve and stay are needed and there are {there}{}",
                cordoned.collect::<String>()
            ));
        }
    }
    Ok(())
}

/// How many partitions are being copied, and how many bytes are left of that. Those that get
/// nowhere are not counted; their topics wait.
fn under_way(
    situation: &Situation<'_>,
    sizes: &Sizes,
    waiting: &mut BTreeMap<String, String>,
) -> (usize, u64) {
    let (mut partitions, mut bytes) = (0, 0_u64);
    for (name, topic) in situation.topics {
        for (index, partition) in (0..).zip(&topic.partitions) {
            if !partition.is_moving() {
                continue;
            }
            if let Some(why) = gets_nowhere(partition, situation.brokers) {
                let entry = waiting.entry(name.clone());
                entry.or_insert_with(|| format!("{name}-{index} {why}"));
                continue;
            }
            let key = (name.clone(), index);
            partitions += 1;
            bytes = bytes.saturating_add(progress::bytes_left(partition, &key, sizes));
        }
    }
    (partitions, bytes)
}

/// Why a partition that is being moved stays as it is, where that is so: it waits for replicas that
/// come, or that stay and are to be in sync before others go.
fn gets_nowhere(
    partition: &ObservedPartition,
    brokers: &BTreeMap<i32, RegisteredBroker>,
) -> Option<String> {
    if !partition.has_leader {
        return Some("has no leader to copy from".to_owned());
    }
    let serves = |id: &i32| brokers.get(id).is_some_and(|broker| !broker.is_fenced);
    let mut behind: Vec<i32> = partition.arriving().collect();
    behind.retain(|id| !partition.isr.contains(id));
    let mut what = "copied to";
    if behind.is_empty() {
        behind = partition.target();
        behind.retain(|id| !partition.isr.contains(id));
        what = "left on";
    }
    let first = behind.first()?;
    let is_stuck = !behind.iter().any(serves);
    is_stuck.then(|| format!("is to be {what} broker {first}, which does not serve"))
}

/// How large a partition is: as large as its largest replica.
#[must_use]
pub fn size(sizes: &Sizes, key: &PartitionKey) -> u64 {
    let replicas = sizes.get(key);
    replicas
        .and_then(|all| all.values().max().copied())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
