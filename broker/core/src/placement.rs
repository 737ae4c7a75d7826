//! Which brokers hold a partition, and which of them leads.
//!
//! Goals, the strongest first; each choice takes the broker that is best by the first goal on which
//! they differ:
//! 1. **Active brokers.** A fenced broker, or one on its way out, gets a replica only where the
//!    replication factor cannot be reached without it, and never the first place. A cordoned one
//!    gets none at all; what it holds it keeps.
//! 2. **Distinct racks.** A rack gets a second replica of a partition only once every rack has one.
//!    A broker without a rack counts as a rack of its own.
//! 3. **Even within the topic.** Every broker leads, and holds, as many of the topic's partitions
//!    as any other, give or take one, as far as racks allow: a topic's load is even whatever else
//!    the cluster does.
//! 4. **Spread heirs.** The second replica is who leads after a failure. The partitions that one
//!    broker leads are given to different heirs, so that its load does not fall on one neighbour.
//! 5. **Even in the cluster.** Among equals, the broker with fewer leaderships, or replicas, over
//!    all topics.
//! 6. **Chance**, from the seed: a thousand topics of one partition do not all begin at broker 0.
//!
//! It goes through the partitions in turn and chooses greedily, leader first, counting what it gave
//! out; in the end who holds more than one too many gives to a neighbour. With equal racks that is
//! as even as can be. With racks of unequal size goal 2 makes brokers of small racks hold more: the
//! failure of a rack is worse than an uneven disk.
//!
//! Invariant: a pure function; the same candidates, numbers and seed give the same placement.

pub mod fill;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_protocol::ids::NodeId;

use crate::image::{ConfigResource, MetadataImage};

/// A broker that may get replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The broker.
    pub node: NodeId,
    /// Its failure domain.
    pub rack: Option<Arc<str>>,
    /// Whether it may lead now.
    pub is_active: bool,
    /// Whether it is to get no replica that it has not.
    pub is_cordoned: bool,
    /// How many replicas it holds.
    pub replica_count: usize,
    /// Of how many partitions it is the preferred leader.
    pub leader_count: usize,
}

/// Why there is no placement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More replicas are wanted than there are brokers.
    #[error(
        "Unable to replicate the partition {wanted} time(s): The target replication factor of \
         {wanted} cannot be reached because only {registered} broker(s) are registered."
    )]
    TooFewBrokers {
        /// The replication factor.
        wanted: usize,
        /// How many brokers there are.
        registered: usize,
    },
    /// No broker may lead.
    #[error(
        "Unable to replicate the partition {wanted} time(s): All brokers are currently fenced or \
         in controlled shutdown."
    )]
    NoneActive {
        /// The replication factor.
        wanted: usize,
    },
}

/// Counts what is given out while placing one topic.
struct Placer<'a> {
    candidates: &'a [Candidate],
    seed: u64,
    replicas: BTreeMap<NodeId, usize>,
    leaders: BTreeMap<NodeId, usize>,
    heirs: BTreeMap<(NodeId, NodeId), usize>,
}

/// Whether a broker is not to get replicas (KIP-1066): its cordoned.log.dirs names its directory,
/// or all, and it has one.
#[must_use]
pub fn is_cordoned(image: &MetadataImage, node: NodeId) -> bool {
    let own = image.configs_of(&ConfigResource::Broker(node));
    let cordoned = own.and_then(|own| own.get("cordoned.log.dirs"));
    cordoned.is_some_and(|dirs| !dirs.items().is_empty())
}

/// The brokers of an image as candidates: those that are not cordoned.
pub fn candidates(image: &MetadataImage) -> Vec<Candidate> {
    let mut replicas: BTreeMap<NodeId, usize> = BTreeMap::new();
    let mut leaders: BTreeMap<NodeId, usize> = BTreeMap::new();
    for partition in image.topics.values().flat_map(|t| &t.partitions) {
        let target = partition.target_replicas();
        for node in &target {
            *replicas.entry(*node).or_default() += 1;
        }
        if let Some(first) = target.first() {
            *leaders.entry(*first).or_default() += 1;
        }
    }
    let brokers = image.brokers.values();
    let brokers = brokers.filter(|b| !is_cordoned(image, b.node_id));
    brokers
        .map(|b| Candidate {
            node: b.node_id,
            rack: b.rack.clone(),
            is_active: !b.fenced && !b.in_controlled_shutdown,
            is_cordoned: false,
            replica_count: replicas.get(&b.node_id).copied().unwrap_or(0),
            leader_count: leaders.get(&b.node_id).copied().unwrap_or(0),
        })
        .collect()
}

/// Counts partitions that are placed on the candidates: who places many topics in turn counts each,
/// instead of all that the cluster has anew.
pub fn count(candidates: &mut [Candidate], placed: &[Vec<NodeId>]) {
    for replicas in placed {
        for candidate in &mut *candidates {
            candidate.replica_count += usize::from(replicas.contains(&candidate.node));
            candidate.leader_count += usize::from(replicas.first() == Some(&candidate.node));
        }
    }
}

/// Places `count` new partitions; `existing` are those that the topic has already.
pub fn place(
    candidates: &[Candidate],
    existing: &[Vec<NodeId>],
    count: usize,
    replication_factor: usize,
    seed: u64,
) -> Result<Vec<Vec<NodeId>>, Error> {
    check(candidates, &[], replication_factor)?;
    let mut placer = Placer::of(candidates, existing, seed);
    let first = existing.len();
    let partitions = first..first + count;
    let mut placed: Vec<_> = partitions
        .map(|partition| placer.grow(Vec::new(), replication_factor, partition))
        .collect();
    placer.even_out(&mut placed);
    Ok(placed)
}

/// A partition that is placed already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// The brokers that hold it, the preferred leader first; those to come where they change.
    pub replicas: Vec<NodeId>,
    /// Those that are in sync.
    pub isr: Vec<NodeId>,
}

/// The replicas that each partition of a topic should have at this replication factor, or at the
/// one it has, with none on brokers that are no candidates; none where it has them.
///
/// Growing adds to what is there. Shrinking drops, the first that there is: inactive brokers,
/// replicas not in sync, replicas whose rack has another, the most loaded; never the last in sync,
/// and the preferred leader only where it is away or behind and no other one is. What stays keeps
/// its order, so a leader that serves stays where it is unless its own broker is no candidate.
pub fn rearrange(
    candidates: &[Candidate],
    partitions: &[Placed],
    replication_factor: Option<usize>,
    seed: u64,
) -> Result<Vec<Option<Vec<NodeId>>>, Error> {
    let size = |placed: &Placed| replication_factor.unwrap_or(placed.replicas.len());
    check(candidates, &[], 0)?;
    for placed in partitions {
        check(candidates, &placed.replicas, size(placed))?;
    }
    let existing: Vec<Vec<NodeId>> = partitions.iter().map(|p| p.replicas.clone()).collect();
    let mut placer = Placer::of(candidates, &existing, seed);
    let mut plan = Vec::with_capacity(partitions.len());
    for (index, placed) in partitions.iter().enumerate() {
        let mut wanted = placed.replicas.clone();
        wanted.retain(|node| candidates.iter().any(|c| c.node == *node));
        while wanted.len() > size(placed) {
            placer.drop_one(&mut wanted, &placed.isr);
        }
        let wanted = placer.grow(wanted, size(placed), index);
        plan.push((wanted != placed.replicas).then_some(wanted));
    }
    Ok(plan)
}

/// Whether a partition that these brokers hold can have so many replicas.
fn check(candidates: &[Candidate], held: &[NodeId], wanted: usize) -> Result<(), Error> {
    let may_hold = candidates.iter();
    let may_hold = may_hold.filter(|c| !c.is_cordoned || held.contains(&c.node));
    let registered = may_hold.count();
    if wanted > registered {
        return Err(Error::TooFewBrokers { wanted, registered });
    }
    if !candidates.iter().any(|c| c.is_active) {
        return Err(Error::NoneActive { wanted });
    }
    Ok(())
}

impl<'a> Placer<'a> {
    fn of(candidates: &'a [Candidate], existing: &[Vec<NodeId>], seed: u64) -> Self {
        let mut placer = Self {
            candidates,
            seed,
            replicas: BTreeMap::new(),
            leaders: BTreeMap::new(),
            heirs: BTreeMap::new(),
        };
        for replicas in existing {
            for place in 0..replicas.len() {
                placer.count(&replicas[..=place]);
            }
        }
        placer
    }

    /// Adds replicas until there are enough; an empty list gets its leader first.
    fn grow(&mut self, mut replicas: Vec<NodeId>, wanted: usize, partition: usize) -> Vec<NodeId> {
        while replicas.len() < wanted {
            let best = self
                .candidates
                .iter()
                .filter(|c| !c.is_cordoned && !replicas.contains(&c.node))
                .min_by_key(|c| self.rank(c, &replicas, partition));
            let Some(best) = best else { break }; // there is one: `check` has seen to it
            replicas.push(best.node);
            self.count(&replicas);
        }
        replicas
    }

    /// Gives replicas of those that hold more than one too many to their neighbours: a leader is
    /// chosen for how much it leads, and the last ones may hold a replica more than others by that.
    fn even_out(&mut self, placed: &mut [Vec<NodeId>]) {
        while let Some((partition, place, to)) = self.too_many(placed) {
            let from = std::mem::replace(&mut placed[partition][place], to);
            *self.replicas.entry(from).or_default() -= 1;
            *self.replicas.entry(to).or_default() += 1;
        }
    }

    /// A replica that another broker, as good by the goals before evenness, should have: which
    /// partition's, in which place, and who. No leader's, and an heir's where there is no other.
    fn too_many(&self, placed: &[Vec<NodeId>]) -> Option<(usize, usize, NodeId)> {
        let held = |c: &Candidate| self.replicas.get(&c.node).copied().unwrap_or(0);
        let pairs = self.candidates.iter().flat_map(|from| {
            let others = self.candidates.iter();
            let neighbours = others.filter(|to| to.rack == from.rack);
            let neighbours = neighbours.filter(|to| to.is_active == from.is_active);
            let neighbours = neighbours.filter(|to| !to.is_cordoned);
            let lacking = neighbours.filter(move |to| held(from) > held(to) + 1);
            lacking.map(move |to| (from.node, to.node))
        });
        let of = |(from, to): (NodeId, NodeId)| {
            let partitions = placed.iter().enumerate();
            let without = partitions.filter(|(_, replicas)| !replicas.contains(&to));
            let places = without.filter_map(|(partition, replicas)| {
                let place = replicas.iter().skip(1).position(|node| *node == from)?;
                Some((partition, place + 1, to))
            });
            places.max_by_key(|(_, place, _)| *place)
        };
        pairs.into_iter().find_map(of)
    }

    /// The goals in order, as numbers of which less is better.
    fn rank(&self, c: &Candidate, replicas: &[NodeId], partition: usize) -> [u64; 7] {
        let of = |map: &BTreeMap<NodeId, usize>| map.get(&c.node).copied().unwrap_or(0) as u64;
        let chance = mix(self.seed ^ mix(partition as u64) ^ mix(!(c.node.0 as u64)));
        let inactive = u64::from(!c.is_active);
        let Some(leader) = replicas.first() else {
            let total = (
                of(&self.leaders) + c.leader_count as u64,
                of(&self.replicas),
            );
            return [inactive, of(&self.leaders), total.1, 0, total.0, 0, chance];
        };
        let in_rack = replicas.iter().filter(|n| self.shares_rack(c, **n)).count() as u64;
        let heir = self.heirs.get(&(*leader, c.node)).copied().unwrap_or(0) as u64;
        let heir = if replicas.len() == 1 { heir } else { 0 };
        let total = of(&self.replicas) + c.replica_count as u64;
        [
            inactive,
            in_rack,
            of(&self.replicas),
            heir,
            total,
            0,
            chance,
        ]
    }

    fn shares_rack(&self, c: &Candidate, other: NodeId) -> bool {
        let other = self.candidates.iter().find(|o| o.node == other);
        c.rack.is_some() && other.is_some_and(|o| o.rack == c.rack)
    }

    /// Counts the last of `replicas`.
    fn count(&mut self, replicas: &[NodeId]) {
        let Some(added) = replicas.last() else { return };
        *self.replicas.entry(*added).or_default() += 1;
        match replicas {
            [leader] => *self.leaders.entry(*leader).or_default() += 1,
            [leader, heir] => *self.heirs.entry((*leader, *heir)).or_default() += 1,
            _ => {}
        }
    }

    fn drop_one(&mut self, replicas: &mut Vec<NodeId>, isr: &[NodeId]) {
        let is_last_in_sync = |node: NodeId| {
            let in_sync = replicas.iter().filter(|n| isr.contains(n));
            isr.contains(&node) && in_sync.count() == 1
        };
        let candidate = |node: NodeId| self.candidates.iter().find(|c| c.node == node);
        let worst = (0..replicas.len()).max_by_key(|place| {
            let node = replicas[*place];
            let candidate = candidate(node);
            let is_active = candidate.is_some_and(|c| c.is_active);
            let in_rack = candidate.map_or(0, |c| {
                replicas.iter().filter(|n| self.shares_rack(c, **n)).count()
            });
            let load = self.replicas.get(&node).copied().unwrap_or(0);
            (
                !is_last_in_sync(node),
                !is_active,
                !isr.contains(&node),
                // of those that are as far, the preferred leader stays
                *place > 0,
                in_rack,
                load,
                *place,
            )
        });
        if let Some(place) = worst {
            let node = replicas.remove(place);
            if let Some(count) = self.replicas.get_mut(&node) {
                *count -= 1;
            }
        }
    }
}

/// Scrambles a number (the finalizer of SplitMix64).
pub(crate) fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
