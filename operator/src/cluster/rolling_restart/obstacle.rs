//! Why a broker is not restarted now, in words.

use std::fmt;

use crate::observed::{Harmed, ObservedPartition, Why};
use crate::spoken::node;

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
    /// Another one has just come back, and what connects to it may be led elsewhere yet.
    Settles(i32),
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

impl Obstacle {
    /// That these replicas of a partition are not in sync, or are being copied, and of so many more
    /// partitions.
    #[must_use]
    pub fn behind(
        partition: String,
        observed: &ObservedPartition,
        missing: Vec<i32>,
        more: usize,
    ) -> Self {
        match observed.are_arriving(missing.iter().copied()) {
            true => Self::Moving {
                partition,
                to: missing,
                more,
            },
            false => Self::OutOfSync {
                partition,
                missing,
                more,
            },
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
            Self::Settles(other) => write!(
                f,
                "{} has just come back, and clients may not reach it yet",
                node(*other)
            ),
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
