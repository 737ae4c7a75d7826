//! Which replicas move, so that brokers are even. Pure.
//!
//! One step after the other takes a replica from a broker with more and gives it to one with less,
//! as long as that makes the two more even; so there are no more moves than it takes. First go the
//! replicas of brokers that are to have none, then each goal in its turn, and none undoes what one
//! before it has made even. Leaders need no copies: the replicas of a partition change places.
//!
//! Invariant: a partition gets at most one new replica by the goals, is in no fewer racks
//! afterwards, and goes to no broker that does not serve or is to go.

use std::collections::{BTreeMap, BTreeSet};

use crate::crd::rebalance::{RebalanceGoal, RebalanceMode};
use crate::observed::{ObservedTopic, PartitionKey, RegisteredBroker, Sizes};
use crate::topic::moves::size;

/// At most so many partitions are in a plan; what is left is in the next one.
pub const MOVES_MAX: usize = 500;
/// Brokers whose bytes differ by no more than this part of what each has on average, in percent,
/// are even.
const BYTES_PERCENT: u64 = 5;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// Who gives, and who gets.
    pub mode: RebalanceMode,
    /// The brokers that the mode speaks of.
    pub named: &'a BTreeSet<i32>,
    /// What is made even, in this order.
    pub goals: &'a [RebalanceGoal],
}

/// What there is.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// All topics.
    pub topics: &'a BTreeMap<String, ObservedTopic>,
    /// The brokers that are registered.
    pub brokers: &'a BTreeMap<i32, RegisteredBroker>,
    /// Those that are to go, which get nothing.
    pub leaving: &'a BTreeSet<i32>,
    /// How large replicas are.
    pub sizes: &'a Sizes,
}

/// What a broker has: by goal.
type Loads = BTreeMap<i32, [u64; 3]>;

/// A plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proposal {
    /// From which replicas to which.
    pub moves: BTreeMap<PartitionKey, (Vec<i32>, Vec<i32>)>,
    /// How many bytes are copied; none where a broker does not say.
    pub bytes: Option<u64>,
    /// Of each goal the least and the most that a broker has, before and after.
    pub skew: Vec<(RebalanceGoal, (u64, u64), (u64, u64))>,
}

struct Planner<'a> {
    facts: Facts<'a>,
    wish: &'a Wish<'a>,
    /// What each partition comes to that may move.
    placed: BTreeMap<PartitionKey, Vec<i32>>,
    /// Those that have got a new replica.
    copied: BTreeSet<PartitionKey>,
    touched: BTreeSet<PartitionKey>,
    loads: Loads,
}

/// Plans. Partitions that are moving already stay as they are.
#[must_use]
pub fn propose(facts: Facts<'_>, wish: &Wish<'_>) -> Proposal {
    let all = facts.topics.iter().flat_map(|(name, topic)| {
        let partitions = (0..).zip(&topic.partitions);
        partitions.map(move |(index, partition)| ((name.clone(), index), partition))
    });
    let mut placed = BTreeMap::new();
    let mut loads: Loads = facts.brokers.keys().map(|id| (*id, [0; 3])).collect();
    for (key, partition) in all {
        let replicas = partition.target();
        for (place, id) in replicas.iter().enumerate() {
            let load = loads.entry(*id).or_default();
            for (part, own) in load.iter_mut().zip(weight(&key, place, facts.sizes)) {
                *part = part.saturating_add(own);
            }
        }
        if !partition.is_moving() {
            placed.insert(key, replicas);
        }
    }
    let before = loads.clone();
    let mut planner = Planner {
        facts,
        wish,
        placed: placed.clone(),
        copied: BTreeSet::new(),
        touched: BTreeSet::new(),
        loads,
    };
    if wish.mode == RebalanceMode::RemoveBrokers {
        planner.empty_named();
    } else {
        for place in 0..wish.goals.len() {
            planner.make_even(&wish.goals[..=place]);
        }
    }
    planner.conclude(&placed, &before)
}

/// What a replica adds to a broker's load.
fn weight(key: &PartitionKey, place: usize, sizes: &Sizes) -> [u64; 3] {
    [1, size(sizes, key), u64::from(place == 0)]
}

fn part(goal: RebalanceGoal) -> usize {
    match goal {
        RebalanceGoal::Replicas => 0,
        RebalanceGoal::Bytes => 1,
        RebalanceGoal::Leaders => 2,
    }
}

impl Planner<'_> {
    /// Whether a broker may get replicas.
    fn gets(&self, id: i32) -> bool {
        let serves = |broker: &RegisteredBroker| !broker.is_fenced;
        let is_named = self.wish.named.contains(&id);
        self.facts.brokers.get(&id).is_some_and(serves)
            && !self.facts.leaving.contains(&id)
            && match self.wish.mode {
                RebalanceMode::Full => true,
                RebalanceMode::AddBrokers => is_named,
                RebalanceMode::RemoveBrokers => !is_named,
            }
    }

    fn racks(&self, replicas: &[i32]) -> usize {
        let rack = |id: &i32| self.facts.brokers.get(id)?.rack.as_deref();
        let racks: BTreeSet<&str> = replicas.iter().filter_map(rack).collect();
        racks.len()
    }

    fn load(&self, id: i32, goal: RebalanceGoal) -> u64 {
        self.loads.get(&id).map_or(0, |load| load[part(goal)])
    }

    /// Puts other replicas in the place of those that a partition has.
    fn put(&mut self, key: &PartitionKey, replicas: Vec<i32>) {
        let before = self.placed.insert(key.clone(), replicas.clone());
        for (place, id) in before.into_iter().flatten().enumerate() {
            let own = weight(key, place, self.facts.sizes);
            let load = self.loads.entry(id).or_default();
            load.iter_mut()
                .zip(own)
                .for_each(|(part, own)| *part = part.saturating_sub(own));
        }
        for (place, id) in replicas.into_iter().enumerate() {
            let own = weight(key, place, self.facts.sizes);
            let load = self.loads.entry(id).or_default();
            load.iter_mut()
                .zip(own)
                .for_each(|(part, own)| *part = part.saturating_add(own));
        }
        self.touched.insert(key.clone());
    }

    fn is_full(&self) -> bool {
        self.touched.len() >= MOVES_MAX
    }

    /// The brokers named give each of their replicas to the one that has least of the first goal.
    fn empty_named(&mut self) {
        let goal = self.wish.goals.first().copied();
        let goal = goal.unwrap_or(RebalanceGoal::Replicas);
        let keys: Vec<PartitionKey> = self.placed.keys().cloned().collect();
        for key in keys {
            let mut replicas = self.placed[&key].clone();
            let before = self.racks(&replicas);
            for place in 0..replicas.len() {
                if !self.wish.named.contains(&replicas[place]) || self.is_full() {
                    continue;
                }
                let others = self.loads.keys().copied();
                let others = others.filter(|id| self.gets(*id) && !replicas.contains(id));
                let best = others.min_by_key(|id| {
                    let mut after = replicas.clone();
                    after[place] = *id;
                    (self.racks(&after) < before, self.load(*id, goal), *id)
                });
                if let Some(best) = best {
                    replicas[place] = best;
                    self.put(&key, replicas.clone());
                }
            }
        }
    }

    /// Makes brokers even in the last one of these goals, without harm to those before it.
    fn make_even(&mut self, goals: &[RebalanceGoal]) {
        let Some((goal, earlier)) = goals.split_last() else {
            return;
        };
        while !self.is_full() {
            let step = match goal {
                RebalanceGoal::Leaders => self.best_swap(),
                _ => self.best_copy(*goal, earlier),
            };
            let Some((key, replicas)) = step else {
                return;
            };
            if *goal != RebalanceGoal::Leaders {
                self.copied.insert(key.clone());
            }
            self.put(&key, replicas);
        }
    }

    /// Whether a broker with so much should give to one with so little something so large.
    fn helps(&self, goal: RebalanceGoal, (more, less): (u64, u64), what: u64) -> bool {
        let tolerated = match goal {
            RebalanceGoal::Bytes => {
                let all: u64 = self.loads.values().map(|load| load[part(goal)]).sum();
                all / (self.loads.len().max(1) as u64) / 100 * BYTES_PERCENT
            }
            _ => 1,
        };
        let differ = more.saturating_sub(less);
        differ > tolerated
            && what > 0
            && what.saturating_mul(2) <= differ.saturating_add(tolerated / 2)
    }

    /// The replica of a broker with most that goes to one with least: of bytes the largest that
    /// fits, else the smallest.
    fn best_copy(
        &self,
        goal: RebalanceGoal,
        earlier: &[RebalanceGoal],
    ) -> Option<(PartitionKey, Vec<i32>)> {
        let mut getters: Vec<i32> = self
            .loads
            .keys()
            .copied()
            .filter(|id| self.gets(*id))
            .collect();
        getters.sort_by_key(|id| (self.load(*id, goal), *id));
        let mut givers: Vec<i32> = self.loads.keys().copied().collect();
        givers.sort_by_key(|id| (u64::MAX - self.load(*id, goal), *id));
        if self.wish.mode == RebalanceMode::AddBrokers {
            givers.retain(|id| !self.wish.named.contains(id));
        }
        for getter in &getters {
            for giver in givers.iter().filter(|giver| *giver != getter) {
                let best = self.best_of(goal, earlier, (*giver, *getter));
                if best.is_some() {
                    return best;
                }
            }
        }
        None
    }

    fn best_of(
        &self,
        goal: RebalanceGoal,
        earlier: &[RebalanceGoal],
        (giver, getter): (i32, i32),
    ) -> Option<(PartitionKey, Vec<i32>)> {
        let loads = |goal| (self.load(giver, goal), self.load(getter, goal));
        let own = |key: &PartitionKey, place| weight(key, place, self.facts.sizes);
        let fits = self.placed.iter().filter_map(|(key, replicas)| {
            let place = replicas.iter().position(|id| *id == giver)?;
            if replicas.contains(&getter) || self.copied.contains(key) {
                return None;
            }
            let own = own(key, place);
            let is_harmless = |goal: &RebalanceGoal| {
                let (more, less) = loads(*goal);
                more.saturating_sub(less) >= own[part(*goal)]
            };
            if !self.helps(goal, loads(goal), own[part(goal)]) || !earlier.iter().all(is_harmless) {
                return None;
            }
            let mut after = replicas.clone();
            after[place] = getter;
            (self.racks(&after) >= self.racks(replicas)).then_some((key, after, place))
        });
        let bytes = |key: &PartitionKey| size(self.facts.sizes, key);
        let best = fits.min_by_key(|(key, _, place)| match goal {
            RebalanceGoal::Bytes => (u64::MAX - bytes(key), *place == 0, (*key).clone()),
            _ => (bytes(key), *place == 0, (*key).clone()),
        });
        best.map(|(key, after, _)| (key.clone(), after))
    }

    /// A partition whose preferred leader has most of them, and that has a replica with least.
    fn best_swap(&self) -> Option<(PartitionKey, Vec<i32>)> {
        let leads = |id: i32| self.load(id, RebalanceGoal::Leaders);
        let swaps = self.placed.iter().flat_map(|(key, replicas)| {
            (1..replicas.len()).map(move |place| (key, replicas, place))
        });
        let swaps = swaps.filter(|(_, replicas, place)| {
            self.gets(replicas[*place]) && leads(replicas[0]) > leads(replicas[*place]) + 1
        });
        let best = swaps.max_by_key(|(key, replicas, place)| {
            let gain = leads(replicas[0]) - leads(replicas[*place]);
            (gain, std::cmp::Reverse(((*key).clone(), *place)))
        });
        best.map(|(key, replicas, place)| {
            let mut replicas = replicas.clone();
            replicas.swap(0, place);
            (key.clone(), replicas)
        })
    }

    fn conclude(self, before: &BTreeMap<PartitionKey, Vec<i32>>, loads: &Loads) -> Proposal {
        let touched = self
            .touched
            .iter()
            .filter(|key| before[*key] != self.placed[*key]);
        let moves = touched.map(|key| {
            let (from, to) = (before[key].clone(), self.placed[key].clone());
            (key.clone(), (from, to))
        });
        let moves: BTreeMap<PartitionKey, (Vec<i32>, Vec<i32>)> = moves.collect();
        let mut bytes = Some(0_u64);
        for (key, (from, to)) in &moves {
            let copies = to.iter().filter(|id| !from.contains(id)).count() as u64;
            let copied = crate::topic::moves::copied(self.facts.sizes, key, copies);
            bytes = bytes.and_then(|all| Some(all.saturating_add(copied?)));
        }
        let range = |loads: &Loads, goal| {
            let own = loads
                .iter()
                .filter(|(id, _)| self.facts.brokers.contains_key(id));
            let all: Vec<u64> = own.map(|(_, load)| load[part(goal)]).collect();
            let least = all.iter().min().copied().unwrap_or(0);
            (least, all.iter().max().copied().unwrap_or(0))
        };
        let goals = self.wish.goals.iter();
        let skew = goals.map(|goal| (*goal, range(loads, *goal), range(&self.loads, *goal)));
        Proposal {
            skew: skew.collect(),
            moves,
            bytes,
        }
    }
}

#[cfg(test)]
mod tests;
