//! Replicas for brokers that have just come.
//!
//! A newcomer gets replicas until it has as many as every broker would have if they were even;
//! from those that have more, one at a time, so that no more moves than must. Each takes the place
//! of the one that gives: where a newcomer leads less than its share, it takes preferred
//! leaderships first.
//!
//! Invariant: a partition is moved once at most, and in no fewer racks afterwards; nobody gives so
//! much that it has less than its share.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::ids::NodeId;

use super::{Candidate, Placed};

/// A partition of a list of topics, and the replicas it should have.
pub type Filled = ((usize, usize), Vec<NodeId>);

struct Counts<'a> {
    candidates: &'a [Candidate],
    replicas: BTreeMap<NodeId, usize>,
    leaders: BTreeMap<NodeId, usize>,
    /// By topic.
    within: BTreeMap<(usize, NodeId), usize>,
    /// Replicas of each topic.
    sizes: Vec<usize>,
}

/// At most `moves_max` moves to the newcomers, out of `topics`, each a list of partitions; none
/// stands for one that is not to be touched.
pub fn fill(
    candidates: &[Candidate],
    topics: &[Vec<Option<Placed>>],
    newcomers: &BTreeSet<NodeId>,
    moves_max: usize,
) -> Vec<Filled> {
    let mut counts = Counts::of(candidates, topics);
    let share = counts.share(counts.replicas.values().sum());
    let leads = counts.share(counts.leaders.values().sum());
    let mut moved: BTreeMap<(usize, usize), Vec<NodeId>> = BTreeMap::new();
    let takes = |c: &&Candidate| newcomers.contains(&c.node) && !c.is_cordoned;
    for newcomer in candidates.iter().filter(takes) {
        while newcomer.is_active
            && moved.len() < moves_max
            && counts.replicas_of(newcomer.node) < share
        {
            let wants_lead = counts.leaders_of(newcomer.node) < leads;
            let partitions = topics.iter().enumerate().flat_map(|(topic, partitions)| {
                let placed = partitions.iter().enumerate();
                placed.filter_map(move |(index, p)| Some(((topic, index), p.as_ref()?)))
            });
            let places = partitions
                .filter(|(key, placed)| {
                    !moved.contains_key(key) && !placed.replicas.contains(&newcomer.node)
                })
                .flat_map(|(key, placed)| {
                    (0..placed.replicas.len()).map(move |place| (key, placed, place))
                });
            let best = places
                .filter(|(_, placed, place)| {
                    let giver = placed.replicas[*place];
                    !newcomers.contains(&giver)
                        && counts.replicas_of(giver) > share
                        && counts.keeps_racks(&placed.replicas, *place, newcomer)
                })
                .min_by_key(|((topic, index), placed, place)| {
                    let giver = placed.replicas[*place];
                    let leads_enough = counts.leaders_of(giver) > leads;
                    let is_lead = *place == 0;
                    let is_apt = is_lead == wants_lead && (!is_lead || leads_enough);
                    (
                        !is_apt,
                        is_lead,
                        counts.part_of(*topic, newcomer.node),
                        usize::MAX - counts.replicas_of(giver),
                        *topic,
                        *index,
                    )
                });
            let Some((key, placed, place)) = best else {
                break;
            };
            counts.moves(key.0, placed.replicas[place], newcomer.node, place == 0);
            let mut replicas = placed.replicas.clone();
            replicas[place] = newcomer.node;
            moved.insert(key, replicas);
        }
    }
    moved.into_iter().collect()
}

impl<'a> Counts<'a> {
    /// Partitions that are not to be touched count by what the candidates say.
    fn of(candidates: &'a [Candidate], topics: &[Vec<Option<Placed>>]) -> Self {
        let mut within = BTreeMap::new();
        for (topic, partitions) in topics.iter().enumerate() {
            for node in partitions.iter().flatten().flat_map(|p| &p.replicas) {
                *within.entry((topic, *node)).or_default() += 1;
            }
        }
        Self {
            replicas: candidates
                .iter()
                .map(|c| (c.node, c.replica_count))
                .collect(),
            leaders: candidates
                .iter()
                .map(|c| (c.node, c.leader_count))
                .collect(),
            candidates,
            within,
            sizes: topics
                .iter()
                .map(|topic| topic.iter().flatten().map(|p| p.replicas.len()).sum())
                .collect(),
        }
    }

    fn share(&self, all: usize) -> usize {
        all / self.candidates.len().max(1)
    }

    fn replicas_of(&self, node: NodeId) -> usize {
        self.replicas.get(&node).copied().unwrap_or(0)
    }

    fn leaders_of(&self, node: NodeId) -> usize {
        self.leaders.get(&node).copied().unwrap_or(0)
    }

    /// Which part of a topic's replicas a broker has, in millionths: of each topic the same.
    fn part_of(&self, topic: usize, node: NodeId) -> usize {
        let has = self.within.get(&(topic, node)).copied().unwrap_or(0);
        has * 1_000_000 / self.sizes.get(topic).copied().unwrap_or(0).max(1)
    }

    fn keeps_racks(&self, replicas: &[NodeId], place: usize, newcomer: &Candidate) -> bool {
        let rack = |node: &NodeId| {
            let candidate = self.candidates.iter().find(|c| c.node == *node)?;
            candidate.rack.as_deref()
        };
        let racks = |nodes: &[NodeId]| nodes.iter().filter_map(rack).collect::<BTreeSet<_>>().len();
        let mut after = replicas.to_vec();
        after[place] = newcomer.node;
        racks(&after) >= racks(replicas)
    }

    fn moves(&mut self, topic: usize, from: NodeId, to: NodeId, is_lead: bool) {
        let shift = |counts: &mut BTreeMap<NodeId, usize>| {
            let from = counts.entry(from).or_default();
            *from = from.saturating_sub(1);
            *counts.entry(to).or_default() += 1;
        };
        shift(&mut self.replicas);
        if is_lead {
            shift(&mut self.leaders);
        }
        *self.within.entry((topic, to)).or_default() += 1;
    }
}
