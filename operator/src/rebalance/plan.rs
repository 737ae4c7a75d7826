//! Which replicas move, so that brokers are even. Pure.
//!
//! One step after the other takes a replica from a broker with more and gives it to one with less,
//! as long as that makes the two more even; so there are no more moves than it takes, and however
//! many of the first ones are carried out, brokers are more even than before. First go the
//! replicas of brokers that are to have none, then each goal in its turn, and none undoes what one
//! before it has made even. Leaders need no copies: the replicas of a partition change places.
//!
//! Invariant: a partition gets at most one new replica by the goals, and is in no fewer racks
//! afterwards; nothing goes to a broker that does not serve, is cordoned or is to go. A broker that
//! is to have nothing may cost a partition a rack, where no other broker saves that; such
//! partitions are counted.

use std::collections::{BTreeMap, BTreeSet};

use crate::crd::rebalance::{RebalanceGoal, RebalanceMode};
use crate::observed::{ObservedTopic, PartitionKey, RegisteredBroker, Sizes};
use crate::topic::moves::size;

/// At most so many partitions are listed in a status and moved in one turn.
pub const TURN_MAX: usize = 500;
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
    /// The same partitions, what helps most first.
    pub order: Vec<PartitionKey>,
    /// How many bytes are copied; none where a broker does not say.
    pub bytes: Option<u64>,
    /// How many partitions are in fewer racks afterwards.
    pub fewer_racks: usize,
    /// How many partitions stay on brokers that are to have none.
    pub remaining: usize,
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
    /// Those that have changed, in the order in which they did.
    touched: Vec<PartitionKey>,
    loads: Loads,
    /// From whom to whom nothing could be given.
    hopeless: BTreeSet<(i32, i32)>,
}

/// Who has what may be given, by broker, what is given first at the front: how it compares, whether
/// the preferred leader is given away, and which partition.
type Givers = BTreeMap<i32, BTreeSet<(u64, bool, PartitionKey)>>;
/// The partitions that a broker is the preferred leader of, by broker.
type Led = BTreeMap<i32, BTreeSet<PartitionKey>>;

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
        touched: Vec::new(),
        loads,
        hopeless: BTreeSet::new(),
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

/// How many partitions some brokers hold, by what is planned or else by what there is.
#[must_use]
pub fn held(
    topics: &BTreeMap<String, ObservedTopic>,
    brokers: &BTreeSet<i32>,
    planned: &BTreeMap<PartitionKey, Vec<i32>>,
) -> usize {
    let all = topics.iter().flat_map(|(name, topic)| {
        (0..).zip(&topic.partitions).map(move |(index, partition)| {
            let planned = planned.get(&(name.clone(), index)).cloned();
            planned.unwrap_or_else(|| partition.target())
        })
    });
    all.filter(|replicas| replicas.iter().any(|id| brokers.contains(id)))
        .count()
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
        let takes = |broker: &RegisteredBroker| !broker.is_fenced && !broker.is_cordoned;
        let is_named = self.wish.named.contains(&id);
        self.facts.brokers.get(&id).is_some_and(takes)
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
        self.touched.push(key.clone());
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
                if !self.wish.named.contains(&replicas[place]) {
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
        match goals.split_last() {
            Some((RebalanceGoal::Leaders, _)) => self.swap_leaders(),
            Some((goal, earlier)) => self.copy_replicas(*goal, earlier),
            None => {}
        }
    }

    /// Each partition is given once, the largest first where bytes count, else the smallest.
    fn copy_replicas(&mut self, goal: RebalanceGoal, earlier: &[RebalanceGoal]) {
        let rank = |sizes, key: &PartitionKey, place| {
            let bytes = size(sizes, key);
            let rank = match goal {
                RebalanceGoal::Bytes => u64::MAX - bytes,
                _ => bytes,
            };
            (rank, place == 0, key.clone())
        };
        let mut givers = Givers::new();
        for (key, replicas) in &self.placed {
            for (place, id) in replicas.iter().enumerate() {
                if !self.copied.contains(key) {
                    let given = givers.entry(*id).or_default();
                    given.insert(rank(self.facts.sizes, key, place));
                }
            }
        }
        self.hopeless.clear();
        // Whether nothing has moved since all brokers were tried.
        let mut is_last = true;
        loop {
            let Some((key, replicas)) = self.best_copy(goal, earlier, &givers) else {
                if is_last {
                    return;
                }
                // What has moved may have made room.
                self.hopeless.clear();
                is_last = true;
                continue;
            };
            is_last = false;
            for (place, id) in self.placed[&key].iter().enumerate() {
                let given = givers.entry(*id).or_default();
                given.remove(&rank(self.facts.sizes, &key, place));
            }
            self.copied.insert(key.clone());
            self.put(&key, replicas);
        }
    }

    /// Brokers that differ by no more than this are even.
    fn tolerated(&self, goal: RebalanceGoal) -> u64 {
        match goal {
            RebalanceGoal::Bytes => {
                let all: u64 = self.loads.values().map(|load| load[part(goal)]).sum();
                all / (self.loads.len().max(1) as u64) / 100 * BYTES_PERCENT
            }
            _ => 1,
        }
    }

    /// The replica of a broker with most that goes to one with least.
    fn best_copy(
        &mut self,
        goal: RebalanceGoal,
        earlier: &[RebalanceGoal],
        all: &Givers,
    ) -> Option<(PartitionKey, Vec<i32>)> {
        let tolerated = self.tolerated(goal);
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
            for giver in &givers {
                if self.hopeless.contains(&(*giver, *getter)) {
                    continue;
                }
                let differ = self
                    .load(*giver, goal)
                    .saturating_sub(self.load(*getter, goal));
                if differ <= tolerated {
                    break; // the next ones have even less
                }
                // Half of the difference makes the two even; a little more does as well.
                let most = differ.saturating_add(tolerated / 2) / 2;
                let given = all.get(giver).into_iter().flatten();
                let best = given
                    .filter(|(_, is_led, key)| {
                        let what = weight(key, usize::from(!is_led), self.facts.sizes);
                        (1..=most).contains(&what[part(goal)])
                            && earlier.iter().all(|goal| {
                                let (more, less) =
                                    (self.load(*giver, *goal), self.load(*getter, *goal));
                                more.saturating_sub(less) >= what[part(*goal)]
                            })
                    })
                    .find_map(|(_, _, key)| Some((key, self.after(key, *giver, *getter)?)));
                if let Some((key, after)) = best {
                    return Some((key.clone(), after));
                }
                self.hopeless.insert((*giver, *getter));
            }
        }
        None
    }

    /// The replicas of a partition once one broker has its place in it instead of another, where
    /// that may be.
    fn after(&self, key: &PartitionKey, giver: i32, getter: i32) -> Option<Vec<i32>> {
        let replicas = self.placed.get(key)?;
        let place = replicas.iter().position(|id| *id == giver)?;
        if replicas.contains(&getter) {
            return None;
        }
        let mut after = replicas.clone();
        after[place] = getter;
        (self.racks(&after) >= self.racks(replicas)).then_some(after)
    }

    /// Has the preferred leaders of partitions change places with others of their replicas.
    fn swap_leaders(&mut self) {
        let mut led = Led::new();
        for (key, replicas) in &self.placed {
            if let Some(leader) = replicas.first() {
                led.entry(*leader).or_default().insert(key.clone());
            }
        }
        while let Some((key, place)) = self.best_swap(&led) {
            let mut replicas = self.placed[&key].clone();
            led.entry(replicas[0]).or_default().remove(&key);
            replicas.swap(0, place);
            led.entry(replicas[0]).or_default().insert(key.clone());
            self.put(&key, replicas);
        }
    }

    /// A partition whose preferred leader has most of them, and the place of a replica with least.
    fn best_swap(&self, led: &Led) -> Option<(PartitionKey, usize)> {
        let leads = |id: i32| self.load(id, RebalanceGoal::Leaders);
        let getters = self.loads.keys().filter(|id| self.gets(**id));
        let least = getters.map(|id| leads(*id)).min()?;
        let mut givers: Vec<i32> = self.loads.keys().copied().collect();
        givers.sort_by_key(|id| (u64::MAX - leads(*id), *id));
        let mut best: Option<(u64, &PartitionKey, usize)> = None;
        for giver in givers {
            let most = leads(giver).saturating_sub(least);
            for key in led.get(&giver).into_iter().flatten() {
                if most <= best.map_or(1, |(gain, ..)| gain) {
                    break; // nobody who leads as few gains more
                }
                for (place, id) in self.placed[key].iter().enumerate().skip(1) {
                    let gain = leads(giver).saturating_sub(leads(*id));
                    if self.gets(*id) && gain > best.map_or(1, |(gain, ..)| gain) {
                        best = Some((gain, key, place));
                    }
                }
            }
        }
        best.map(|(_, key, place)| (key.clone(), place))
    }

    /// How many partitions, those that others move among them, brokers keep that are to have none.
    fn remaining(&self) -> usize {
        if self.wish.mode != RebalanceMode::RemoveBrokers {
            return 0;
        }
        held(self.facts.topics, self.wish.named, &self.placed)
    }

    fn conclude(self, before: &BTreeMap<PartitionKey, Vec<i32>>, loads: &Loads) -> Proposal {
        let mut moves = BTreeMap::new();
        let mut order = Vec::new();
        for key in &self.touched {
            let (from, to) = (&before[key], &self.placed[key]);
            if from != to
                && moves
                    .insert(key.clone(), (from.clone(), to.clone()))
                    .is_none()
            {
                order.push(key.clone());
            }
        }
        let fewer = |(from, to): &&(Vec<i32>, Vec<i32>)| self.racks(to) < self.racks(from);
        let fewer_racks = moves.values().filter(fewer).count();
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
            order,
            bytes,
            fewer_racks,
            remaining: self.remaining(),
        }
    }
}

#[cfg(test)]
mod tests;
