//! Which broker may be restarted now, and why the others may not.
//!
//! One at a time, or a few that have nothing in common where the spec says so, by what each broker
//! still gives ([`Presence`]), not by whether it is ready: a broker whose disk is full, whose lease
//! has run out or that is behind in one partition is not ready, and leads hundreds.
//!
//! - One that *serves* goes when every other one serves that is in the way, and no broker does so
//!   only since a moment ago, every partition is in sync on all brokers but the one to go, and the
//!   voters that stay are a majority: then nothing becomes unavailable that is not so already.
//! - One that is *behind* goes when no other broker is down, the voters that stay are a majority,
//!   and every partition that has it in sync has all its other replicas in sync, or two that serve:
//!   of two brokers behind, the second does not go while the first is still catching up.
//! - One that is *down* gives nothing, so its restart takes nothing away and may mend it. Without a
//!   process it waits for nobody. With one, in a cluster that was never up, it waits for one that
//!   is on its way.
//!
//! In the way is a broker, or a node that votes. Controllers that are no brokers go by the same
//! rules: they hold no partition, and the quorum needs them. One that does not vote yet, or votes
//! no more, can take nothing away: it holds up nobody.
//!
//! Where `spec.maxUnavailable` is more than 1, and one that serves goes, others that serve and
//! could go as well go with it: no two of them hold replicas of one partition, so each partition
//! loses no more than it would by one restart, and at most one of them votes, which is looked at
//! once more before they go. The next ones wait until all of them are back.
//!
//! Brokers that are down go first, then those behind, then the others by id, the active controller
//! last, so that it changes once and not with every restart.
//!
//! Then the brokers have their say of the one that would go ([`heed`]): they name what its restart
//! would harm, by replicas, min.insync.replicas, reassignments under way and the quorum. What has
//! one replica is away meanwhile, so it needs `spec.allowUnavailable`; but in a cluster of one
//! broker, all is away whenever it restarts. Nobody has to move leaderships before: a broker that
//! is asked to stop hands them over by itself, whoever asks.
//!
//! While replicas are copied to other brokers nobody goes, and no more copies begin: so restarts
//! have their turn between two batches of moves.
//!
//! What goes in: the platform's view of each broker, its reason to be restarted (settings that
//! differ from those it runs with, or a pod that differs from its template), the brokers' own view
//! of partitions and quorum, whether anything was ever served, and what the brokers say of the
//! restart.
//!
//! Invariant: whoever must be restarted and may not has an [`Obstacle`] in [`Plan::waiting`]; and
//! where the brokers cannot be asked, nothing goes that may give something.

mod obstacle;

use std::collections::{BTreeMap, BTreeSet};

pub use self::obstacle::Obstacle;
use crate::observed::{
    Harmed, ObservedCluster, ObservedPartition, ObservedQuorum, RestartCheck, Why,
};
use crate::validated::FIRST_CONTROLLER;

/// So many replicas in sync that serve are enough for a partition to lose another one that is.
const IN_SYNC_MIN: usize = 2;

/// A broker as the platform sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedBroker {
    /// Its id.
    pub id: i32,
    /// Whether its `/readyz` says that it serves.
    pub ready: bool,
    /// Whether it has come back so lately that clients may not reach it yet.
    pub settles: bool,
    /// Whether its process runs, and was not told to stop.
    pub runs: bool,
    /// Whether it will not come up unless somebody acts.
    pub fails: bool,
    /// What it does, or why it does not serve.
    pub message: String,
    /// Why it must be restarted, where it must.
    pub restart: Option<String>,
}

/// How partitions and quorum are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// The cluster could not be asked, because of this.
    Unknown(String),
    /// The cluster was asked.
    Known {
        /// Its brokers and partitions.
        cluster: ObservedCluster,
        /// The voters; or why there is no quorum to speak of.
        quorum: Result<ObservedQuorum, String>,
    },
}

/// What a broker gives. The order is that of the restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Presence {
    /// Nothing: no process runs, or the cluster was never up.
    Down,
    /// It runs and is not ready: it may lead partitions, and be in their ISR.
    Behind,
    /// All that is expected of it.
    Serves,
}

/// What is asked of the brokers before one of them goes, and how it is taken.
#[derive(Clone, Debug)]
pub struct Advice {
    /// What they say of the restart, or why they say nothing.
    pub check: Result<RestartCheck, String>,
    /// Whether partitions may be away while a broker restarts: the spec says so, or there is one
    /// broker only, which nobody can stand in for.
    pub allow_unavailable: bool,
}

/// What to do now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The broker that goes now.
    pub restart: Option<i32>,
    /// Those that go with it.
    pub beside: BTreeSet<i32>,
    /// The brokers that must go but wait, each with the reason.
    pub waiting: BTreeMap<i32, Obstacle>,
}

impl Plan {
    /// The same while another node goes for another reason.
    #[must_use]
    pub fn after(mut self, goes: Option<i32>) -> Self {
        if let Some(goes) = goes {
            let all: Vec<i32> = self.going().collect();
            all.iter()
                .for_each(|id| self.put_off(*id, Obstacle::GoesFirst(goes)));
        }
        self
    }

    /// Those that go now.
    pub fn going(&self) -> impl Iterator<Item = i32> {
        self.restart.into_iter().chain(self.beside.iter().copied())
    }

    /// Whether one that goes has nothing in common with the others still.
    pub fn is_apart(&self, id: i32, health: &Health) -> bool {
        let mut others = self.going().filter(|other| *other != id);
        others.all(|other| are_apart(other, id, health))
    }

    /// Has a node go without others, or others without it.
    pub fn goes_alone(&mut self, id: i32) {
        let Some(first) = self.restart else {
            return;
        };
        let put_off = match first == id {
            true => std::mem::take(&mut self.beside),
            false => BTreeSet::from([id]),
        };
        for id in put_off {
            self.beside.remove(&id);
            self.waiting.insert(id, Obstacle::GoesFirst(first));
        }
    }

    /// Has one of those that would go wait.
    fn put_off(&mut self, id: i32, why: Obstacle) {
        if self.restart == Some(id) {
            self.restart = self.beside.pop_first();
            // the others wait for whoever goes now
            if let Some(first) = self.restart {
                let behind = self.waiting.values_mut();
                let behind = behind.filter(|why| **why == Obstacle::GoesFirst(id));
                behind.for_each(|why| *why = Obstacle::GoesFirst(first));
            }
        } else {
            self.beside.remove(&id);
        }
        self.waiting.insert(id, why);
    }

    /// Whether no more replicas are to be moved, so that the restarts have their turn.
    #[must_use]
    pub fn holds_moves(&self) -> bool {
        let is_for_moves = |why: &Obstacle| matches!(why, Obstacle::Moving { .. });
        self.restart.is_some() || self.waiting.values().any(is_for_moves)
    }
}

/// Chooses. `has_served` is whether the cluster was ever up, `at_once_max` how many may go at a
/// time at most.
#[must_use]
pub fn plan(
    brokers: &[ObservedBroker],
    health: &Health,
    (has_served, at_once_max): (bool, usize),
) -> Plan {
    let mut plan = Plan::default();
    let there: Vec<(Presence, &ObservedBroker)> = brokers
        .iter()
        .map(|broker| (presence(broker, health, has_served), broker))
        .collect();
    let leader = health.quorum().map(|quorum| quorum.leader);
    let mut candidates = there.clone();
    candidates.retain(|(_, broker)| broker.restart.is_some());
    candidates.sort_by_key(|(presence, b)| (*presence, Some(b.id) == leader, b.id));
    let mut may_be_more = false;
    for (presence, candidate) in candidates {
        let Some(first) = plan.restart else {
            match obstacle(presence, candidate, &there, health) {
                Some(reason) => drop(plan.waiting.insert(candidate.id, reason)),
                None => {
                    plan.restart = Some(candidate.id);
                    may_be_more = presence == Presence::Serves;
                }
            }
            continue;
        };
        let goes_too = may_be_more
            && plan.going().count() < at_once_max
            && plan
                .going()
                .all(|going| are_apart(going, candidate.id, health))
            && obstacle(presence, candidate, &there, health).is_none();
        if goes_too {
            plan.beside.insert(candidate.id);
        } else {
            plan.waiting
                .insert(candidate.id, Obstacle::GoesFirst(first));
        }
    }
    plan
}

/// Whether two nodes may be away at a time: they hold no partition both, nor do both vote.
fn are_apart(one: i32, other: i32, health: &Health) -> bool {
    let Health::Known {
        cluster,
        quorum: Ok(quorum),
    } = health
    else {
        return false;
    };
    let both = |all: &[i32]| all.contains(&one) && all.contains(&other);
    let mut partitions = cluster.topics.values().flat_map(|topic| &topic.partitions);
    let votes = |id: i32| quorum.voters.contains_key(&id);
    let vote = votes(one) && votes(other);
    !vote && !partitions.any(|partition| both(&partition.replicas))
}

/// Has a broker that would go wait, where the brokers say that it would harm. One that runs no
/// process is not asked for.
#[must_use]
pub fn heed(mut plan: Plan, id: i32, advice: &Advice) -> Plan {
    let obstacle = match &advice.check {
        Ok(check) => objection(check, advice.allow_unavailable),
        Err(why) => Some(Obstacle::NoAnswer(why.clone())),
    };
    if let Some(obstacle) = obstacle {
        plan.put_off(id, obstacle);
    }
    plan
}

pub(super) fn objection(check: &RestartCheck, allow_unavailable: bool) -> Option<Obstacle> {
    if let (Some(left), Some(voters)) = (check.voters_left, check.voters)
        && voters > 1
        && left <= voters / 2
    {
        return Some(Obstacle::QuorumLost { left, voters });
    }
    let counts = |harmed: &&Harmed| match harmed.why {
        Why::OnlyReplica | Why::OnlyInSync | Why::UnderMinIsr => !allow_unavailable,
        Why::Reassigning | Why::Other => true,
    };
    let mut harmed = check.harmed.iter().filter(counts);
    let first = harmed.next()?;
    Some(Obstacle::Harms {
        harmed: first.clone(),
        more: harmed.count() + check.more,
    })
}

fn presence(broker: &ObservedBroker, health: &Health, has_served: bool) -> Presence {
    if !broker.runs {
        return Presence::Down;
    }
    if broker.ready {
        return Presence::Serves;
    }
    // Whether it is fenced only the active controller knows, and others may be behind what it
    // decided: a broker that runs counts as one that leads. In a cluster that was never up there is
    // nothing to be given yet.
    let gives_nothing = !has_served && health.quorum().is_none();
    if gives_nothing {
        Presence::Down
    } else {
        Presence::Behind
    }
}

fn obstacle(
    presence: Presence,
    candidate: &ObservedBroker,
    there: &[(Presence, &ObservedBroker)],
    health: &Health,
) -> Option<Obstacle> {
    if !candidate.runs {
        return None;
    }
    let quorum = health.quorum();
    let counts = |id: i32| {
        id < FIRST_CONTROLLER || quorum.is_none_or(|quorum| quorum.voters.contains_key(&id))
    };
    let others = there
        .iter()
        .filter(|(_, other)| other.id != candidate.id && counts(other.id));
    let in_the_way = others.clone().find(|(other, broker)| match presence {
        Presence::Serves => *other != Presence::Serves,
        Presence::Behind => *other == Presence::Down,
        Presence::Down => !broker.runs && !broker.fails && broker.restart.is_none(),
    });
    if let Some((_, other)) = in_the_way {
        return Some(Obstacle::Away {
            broker: other.id,
            message: other.message.clone(),
        });
    }
    // A broker that serves hands its leaderships to others, and its clients go there at once.
    let leads = presence == Presence::Serves && candidate.id < FIRST_CONTROLLER;
    let settles = |broker: &ObservedBroker| broker.settles && broker.id < FIRST_CONTROLLER;
    if leads && let Some((_, other)) = others.clone().find(|(_, other)| settles(other)) {
        return Some(Obstacle::Settles(other.id));
    }
    if presence == Presence::Down {
        return None;
    }
    match health {
        Health::Unknown(why) => Some(Obstacle::NoAnswer(why.clone())),
        Health::Known {
            quorum: Err(why), ..
        } => Some(Obstacle::NoQuorum(why.clone())),
        Health::Known {
            cluster,
            quorum: Ok(quorum),
        } => quorum_lost(candidate.id, quorum)
            .or_else(|| partition_harmed(presence, candidate.id, there, cluster)),
    }
}

/// Whether the voters that stay are no majority any more. A single voter has nobody to stay.
pub(super) fn quorum_lost(candidate: i32, quorum: &ObservedQuorum) -> Option<Obstacle> {
    let voters = quorum.voters.len();
    if voters < 2 || !quorum.voters.contains_key(&candidate) {
        return None;
    }
    let up = quorum.voters.iter().filter(|(_, is_up)| **is_up);
    let left = up.filter(|(id, _)| **id != candidate).count();
    (left <= voters / 2).then_some(Obstacle::QuorumLost { left, voters })
}

fn partition_harmed(
    presence: Presence,
    candidate: i32,
    there: &[(Presence, &ObservedBroker)],
    cluster: &ObservedCluster,
) -> Option<Obstacle> {
    let serves = |id: &&i32| {
        let mut there = there.iter();
        **id != candidate && there.any(|(p, other)| *p == Presence::Serves && other.id == **id)
    };
    let lacks_others =
        |partition: &ObservedPartition| partition.missing().any(|id| id != candidate);
    let is_harmed = |partition: &ObservedPartition| match presence {
        Presence::Serves => lacks_others(partition),
        _ => {
            lacks_others(partition)
                && partition.isr.contains(&candidate)
                && partition.isr.iter().filter(serves).count() < IN_SYNC_MIN
        }
    };
    let partitions = cluster.topics.iter().flat_map(|(topic, observed)| {
        let partitions = observed.partitions.iter().enumerate();
        partitions.map(move |(index, partition)| (topic, index, partition))
    });
    let harmed = partitions.filter(|(_, _, partition)| is_harmed(partition));
    // A copy on its way ends by itself; what else is amiss is told first.
    let is_copied = |partition: &ObservedPartition| {
        presence == Presence::Serves && partition.are_arriving(partition.missing())
    };
    let (copied, amiss): (Vec<_>, Vec<_>) = harmed.partition(|(_, _, p)| is_copied(p));
    let all = if amiss.is_empty() { &copied } else { &amiss };
    let (topic, index, first) = *all.first()?;
    let partition = format!("{topic}-{index}");
    let more = all.len() - 1;
    Some(match presence {
        Presence::Serves => Obstacle::behind(partition, first, first.missing().collect(), more),
        _ => Obstacle::TooFewInSync {
            partition,
            left: first.isr.iter().find(serves).copied(),
            more,
        },
    })
}

impl Health {
    fn quorum(&self) -> Option<&ObservedQuorum> {
        match self {
            Self::Unknown(_) => None,
            Self::Known { quorum, .. } => quorum.as_ref().ok(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
