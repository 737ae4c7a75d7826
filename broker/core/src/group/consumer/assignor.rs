//! Who gets which partitions: the targets of a group's members.
//!
//! Invariant: each partition of a topic that somebody subscribes to is one member's, who subscribes
//! to it. The same members, topics and targets before give the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla_protocol::ids::TopicId;

use super::state::{MemberId, Partitions};

/// Each gets as many as the others, and keeps what it has.
pub const UNIFORM: &str = "uniform";
/// Each gets a range of each topic, the same one of topics with as many partitions.
pub const RANGE: &str = "range";

/// A member, as an assignor sees it.
#[derive(Clone, Debug)]
pub struct Subscriber<'a> {
    /// Who.
    pub id: &'a MemberId,
    /// Who it is beyond its restarts.
    pub instance_id: Option<&'a str>,
    /// The topics that it subscribes to; shared by those that subscribe to the same.
    pub topics: Arc<BTreeSet<TopicId>>,
    /// What it was to have before.
    pub before: &'a Partitions,
}

/// The target of each member, in their order; `counts`: how many partitions each topic has.
pub fn assign(
    assignor: &str,
    subscribers: &[Subscriber<'_>],
    counts: &BTreeMap<TopicId, i32>,
) -> Vec<Partitions> {
    match assignor {
        RANGE => range(subscribers, counts),
        _ => Uniform::new(subscribers).assign(counts),
    }
}

/// As Kafka's own: members in the order of their instance ids, then of their ids.
fn range(subscribers: &[Subscriber<'_>], counts: &BTreeMap<TopicId, i32>) -> Vec<Partitions> {
    let mut order: Vec<usize> = (0..subscribers.len()).collect();
    order.sort_by_key(|member| {
        let one = &subscribers[*member];
        (one.instance_id.is_none(), one.instance_id, one.id)
    });
    let mut targets = vec![Partitions::new(); subscribers.len()];
    for (topic, count) in counts {
        let takes = |member: &&usize| subscribers[**member].topics.contains(topic);
        let takers: Vec<usize> = order.iter().filter(takes).copied().collect();
        let mut next = 0;
        for (place, member) in takers.iter().enumerate() {
            let (members, place) = (takers.len() as i32, place as i32);
            let share = count / members + i32::from(place < count % members);
            if share > 0 {
                targets[*member].insert(*topic, (next..next + share).collect());
            }
            next += share;
        }
    }
    targets
}

/// Members by how much they have, for each set of members that subscribe to the same topics.
struct Uniform<'a> {
    subscribers: &'a [Subscriber<'a>],
    targets: Vec<Partitions>,
    loads: Vec<usize>,
    /// The members that a topic may go to, least loaded first; one for all topics of which these
    /// are the same.
    classes: Vec<BTreeSet<(usize, usize)>>,
    class_of: BTreeMap<TopicId, usize>,
    /// The classes that a member is in.
    classes_of: Vec<Vec<usize>>,
    /// The topics of which a member has partitions, by their classes.
    held: Vec<BTreeMap<usize, BTreeSet<TopicId>>>,
}

impl<'a> Uniform<'a> {
    fn new(subscribers: &'a [Subscriber<'a>]) -> Self {
        // nearly always all subscribe to the same
        let mut sets: BTreeMap<*const BTreeSet<TopicId>, usize> = BTreeMap::new();
        let mut of_set: Vec<(&BTreeSet<TopicId>, Vec<usize>)> = Vec::new();
        for (member, subscriber) in subscribers.iter().enumerate() {
            let set = *sets
                .entry(Arc::as_ptr(&subscriber.topics))
                .or_insert_with(|| {
                    of_set.push((&subscriber.topics, Vec::new()));
                    of_set.len() - 1
                });
            of_set[set].1.push(member);
        }
        let mut sets_of: BTreeMap<TopicId, Vec<usize>> = BTreeMap::new();
        for (set, (topics, _)) in of_set.iter().enumerate() {
            for topic in *topics {
                sets_of.entry(*topic).or_default().push(set);
            }
        }
        let mut known: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
        let mut class_of = BTreeMap::new();
        for (topic, sets) in sets_of {
            let next = known.len();
            class_of.insert(topic, *known.entry(sets).or_insert(next));
        }
        let mut classes = vec![BTreeSet::new(); known.len()];
        let mut classes_of = vec![Vec::new(); subscribers.len()];
        for (sets, class) in known {
            for member in sets.iter().flat_map(|set| &of_set[*set].1) {
                classes[class].insert((0, *member));
                classes_of[*member].push(class);
            }
        }
        Self {
            subscribers,
            targets: vec![Partitions::new(); subscribers.len()],
            loads: vec![0; subscribers.len()],
            classes,
            class_of,
            classes_of,
            held: vec![BTreeMap::new(); subscribers.len()],
        }
    }

    fn weigh(&mut self, member: usize, load: usize) {
        let before = std::mem::replace(&mut self.loads[member], load);
        for class in &self.classes_of[member] {
            self.classes[*class].remove(&(before, member));
            self.classes[*class].insert((load, member));
        }
    }

    fn give(&mut self, member: usize, topic: TopicId, partition: i32) {
        let held = self.held[member].entry(self.class_of[&topic]).or_default();
        held.insert(topic);
        let topic = self.targets[member].entry(topic).or_default();
        topic.insert(partition);
        self.weigh(member, self.loads[member] + 1);
    }

    /// Takes one away, the last of the topic.
    fn take(&mut self, member: usize, topic: TopicId) -> Option<i32> {
        let partitions = self.targets[member].get_mut(&topic)?;
        let partition = partitions.pop_last()?;
        if partitions.is_empty() {
            self.targets[member].remove(&topic);
            let held = self.held[member].get_mut(&self.class_of[&topic]);
            held.map(|topics| topics.remove(&topic));
        }
        self.weigh(member, self.loads[member] - 1);
        Some(partition)
    }

    fn assign(mut self, counts: &BTreeMap<TopicId, i32>) -> Vec<Partitions> {
        let mut free = self.keep(counts);
        // what fewer members can take goes first
        free.sort_by_key(|(topic, partition)| {
            (self.classes[self.class_of[topic]].len(), *topic, *partition)
        });
        for (topic, partition) in free {
            if let Some((_, member)) = self.classes[self.class_of[&topic]].first().copied() {
                self.give(member, topic, partition);
            }
        }
        self.balance();
        self.targets
    }

    /// Each keeps what it was to have, where that is still there and still for it; gives the rest.
    fn keep(&mut self, counts: &BTreeMap<TopicId, i32>) -> Vec<(TopicId, i32)> {
        let mut kept: BTreeSet<(TopicId, i32)> = BTreeSet::new();
        let subscribers = self.subscribers;
        for (member, subscriber) in subscribers.iter().enumerate() {
            for (topic, partitions) in subscriber.before {
                let count = counts.get(topic).copied().unwrap_or(0);
                if !subscriber.topics.contains(topic) {
                    continue;
                }
                for partition in partitions.range(..count) {
                    if kept.insert((*topic, *partition)) {
                        self.give(member, *topic, *partition);
                    }
                }
            }
        }
        let topics = counts
            .iter()
            .filter(|(topic, _)| self.class_of.contains_key(topic));
        let all = topics.flat_map(|(topic, count)| (0..*count).map(|p| (*topic, p)));
        all.filter(|one| !kept.contains(one)).collect()
    }

    /// Nobody has two more than somebody who could take one of its partitions: each move makes the
    /// sum of the squares smaller, so this ends.
    fn balance(&mut self) {
        let mut is_moving = true;
        while is_moving {
            is_moving = false;
            let mut fullest: Vec<usize> = (0..self.subscribers.len()).collect();
            fullest.sort_by_key(|member| std::cmp::Reverse(self.loads[*member]));
            for member in fullest {
                while let Some((topic, other)) = self.better_off(member) {
                    if let Some(partition) = self.take(member, topic) {
                        self.give(other, topic, partition);
                        is_moving = true;
                    }
                }
            }
        }
    }

    /// A topic of which the member gives one away, and to whom.
    fn better_off(&self, member: usize) -> Option<(TopicId, usize)> {
        let least = self.held[member].iter().filter_map(|(class, topics)| {
            let topic = topics.first()?;
            let (load, other) = *self.classes[*class].first()?;
            Some((load, *topic, other))
        });
        let (load, topic, other) = least.min()?;
        (load + 1 < self.loads[member]).then_some((topic, other))
    }
}

#[cfg(test)]
mod tests;
