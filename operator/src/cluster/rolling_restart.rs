//! Which broker may be restarted now, and why the others may not.
//!
//! One at a time, by what each broker still gives ([`Presence`]), not by whether it is ready: a
//! broker whose disk is full, whose lease has run out or that is behind in one partition is not
//! ready, and leads hundreds.
//!
//! - One that *serves* goes when every other one serves that is in the way,
//!   every partition is in sync on all
//!   brokers but the one to go, and the voters that stay are a majority: then nothing becomes
//!   unavailable that is not so already.
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

use std::collections::BTreeMap;
use std::fmt;

use crate::observed::{
    Harmed, ObservedCluster, ObservedPartition, ObservedQuorum, RestartCheck, Why,
};
use crate::spoken::node;
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

/// Why a broker is not restarted now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Another one goes in this step.
    GoesFirst(i32),
    /// Another one is not there, and does this.
    Away {
        /// The other one.
        broker: i32,
        /// What it does.
        message: String,
    },
    /// The brokers do not answer, because of this.
    NoAnswer(String),
    /// There is no quorum, because of this.
    NoQuorum(String),
    /// This many voters would be left of so many.
    QuorumLost {
        /// Voters that would be left.
        left: usize,
        /// Voters that there are.
        voters: usize,
    },
    /// A partition's replicas are being copied to other brokers, and nothing else is amiss with it.
    Moving {
        /// The partition.
        partition: String,
        /// Those brokers.
        to: Vec<i32>,
        /// How many more partitions there are like that.
        more: usize,
    },
    /// A partition has replicas that are not in sync.
    OutOfSync {
        /// The partition.
        partition: String,
        /// Those replicas.
        missing: Vec<i32>,
        /// How many more partitions there are like that.
        more: usize,
    },
    /// A partition that is not in sync everywhere would have too few replicas that are and serve.
    TooFewInSync {
        /// The partition.
        partition: String,
        /// The one broker that would be left, if any.
        left: Option<i32>,
        /// How many more partitions there are like that.
        more: usize,
    },
    /// The brokers say that a partition would suffer.
    Harms {
        /// The partition, and how.
        harmed: Harmed,
        /// How many more there are.
        more: usize,
    },
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
    /// The brokers that must go but wait, each with the reason.
    pub waiting: BTreeMap<i32, Obstacle>,
}

impl Plan {
    /// The same while another node goes for another reason.
    #[must_use]
    pub fn after(mut self, goes: Option<i32>) -> Self {
        if let (Some(goes), Some(id)) = (goes, self.restart) {
            self.restart = None;
            self.waiting.insert(id, Obstacle::GoesFirst(goes));
        }
        self
    }

    /// Whether no more replicas are to be moved, so that the restarts have their turn.
    #[must_use]
    pub fn holds_moves(&self) -> bool {
        let is_for_moves = |why: &Obstacle| matches!(why, Obstacle::Moving { .. });
        self.restart.is_some() || self.waiting.values().any(is_for_moves)
    }
}

/// Chooses. `has_served` is whether the cluster was ever up.
#[must_use]
pub fn plan(brokers: &[ObservedBroker], health: &Health, has_served: bool) -> Plan {
    let mut plan = Plan::default();
    let there: Vec<(Presence, &ObservedBroker)> = brokers
        .iter()
        .map(|broker| (presence(broker, health, has_served), broker))
        .collect();
    let leader = health.quorum().map(|quorum| quorum.leader);
    let mut candidates = there.clone();
    candidates.retain(|(_, broker)| broker.restart.is_some());
    candidates.sort_by_key(|(presence, b)| (*presence, Some(b.id) == leader, b.id));
    for (presence, candidate) in candidates {
        let obstacle = match plan.restart {
            Some(going) => Some(Obstacle::GoesFirst(going)),
            None => obstacle(presence, candidate, &there, health),
        };
        match obstacle {
            Some(reason) => drop(plan.waiting.insert(candidate.id, reason)),
            None => plan.restart = Some(candidate.id),
        }
    }
    plan
}

/// Has the broker that would go wait, where the brokers say that it would harm. One that runs no
/// process is not asked for.
#[must_use]
pub fn heed(mut plan: Plan, advice: &Advice) -> Plan {
    let obstacle = match &advice.check {
        Ok(check) => objection(check, advice.allow_unavailable),
        Err(why) => Some(Obstacle::NoAnswer(why.clone())),
    };
    if let (Some(id), Some(obstacle)) = (plan.restart, obstacle) {
        plan.restart = None;
        plan.waiting.insert(id, obstacle);
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
    let mut others = there
        .iter()
        .filter(|(_, other)| other.id != candidate.id && counts(other.id));
    let in_the_way = others.find(|(other, broker)| match presence {
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
        let mut missing = partition.missing();
        presence == Presence::Serves && missing.all(|id| partition.adding.contains(&id))
    };
    let (copied, amiss): (Vec<_>, Vec<_>) = harmed.partition(|(_, _, p)| is_copied(p));
    let all = if amiss.is_empty() { &copied } else { &amiss };
    let (topic, index, first) = *all.first()?;
    let partition = format!("{topic}-{index}");
    let more = all.len() - 1;
    Some(match presence {
        _ if amiss.is_empty() => Obstacle::Moving {
            partition,
            to: first.missing().collect(),
            more,
        },
        Presence::Serves => Obstacle::OutOfSync {
            partition,
            missing: first.missing().collect(),
            more,
        },
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

/// A sentence without its beginning and its full stop.
impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = |more: &usize| match more {
            0 => String::new(),
            count => format!(", and {count} more partitions"),
        };
        match self {
            Self::GoesFirst(other) => write!(f, "{} goes first", node(*other)),
            Self::Away { broker, message } => {
                write!(f, "{} does not serve ({message})", node(*broker))
            }
            Self::NoAnswer(why) => write!(f, "the cluster cannot be asked: {why}"),
            Self::NoQuorum(why) => write!(f, "the metadata quorum is not there: {why}"),
            Self::QuorumLost { left, voters } => {
                write!(f, "only {left} of {voters} voters would be left")
            }
            Self::Moving {
                partition,
                to,
                more: count,
            } => {
                let to = brokers_by_id(to);
                write!(f, "{partition} is being copied to {to}{}", more(count))
            }
            Self::OutOfSync {
                partition,
                missing,
                more: count,
            } => {
                let missing = brokers_by_id(missing);
                write!(f, "{partition} is not in sync on {missing}{}", more(count))
            }
            Self::TooFewInSync {
                partition,
                left,
                more: count,
            } => {
                let left = match left {
                    Some(id) => format!("on broker {id} only"),
                    None => "on no broker that serves".to_owned(),
                };
                write!(f, "{partition} would be in sync {left}{}", more(count))
            }
            Self::Harms {
                harmed: Harmed { partition, why },
                more: count,
            } => write!(f, "{partition} {}{}", suffering(*why), more(count)),
        }
    }
}

/// How a partition would suffer, and what ends the waiting, after the partition's name.
fn suffering(why: Why) -> &'static str {
    match why {
        Why::OnlyReplica => {
            "has its only replica there; more replicas, or spec.allowUnavailable, let it go"
        }
        Why::OnlyInSync => {
            "is in sync nowhere else; it goes when another replica is, or by spec.allowUnavailable"
        }
        Why::UnderMinIsr => {
            "would have fewer replicas in sync than min.insync.replicas asks for; more replicas, a \
             smaller min.insync.replicas, or spec.allowUnavailable, let it go"
        }
        Why::Reassigning => "has replicas that are being added or removed",
        Why::Other => "would suffer in a way that a newer operator knows",
    }
}

fn brokers_by_id(ids: &[i32]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    match ids.as_slice() {
        [one] => format!("broker {one}"),
        several => format!("brokers {}", several.join(", ")),
    }
}

#[cfg(test)]
pub(super) mod tests;
