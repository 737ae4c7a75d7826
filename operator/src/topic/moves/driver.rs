//! Looks, plans and begins: the moves of all topics of a cluster at once.

use std::collections::{BTreeMap, BTreeSet};

use super::{Moves, Situation, concerned, plan};
use crate::admin::{Admin, Error};
use crate::condition::{TopicReason, Verdict};
use crate::observed::Sizes;
use crate::spoken::count;
use crate::topic::status::refused_by_broker;

/// What was found and done.
#[derive(Clone, Debug, Default)]
pub struct Moved {
    /// How large the partitions are that are being moved, or are to be.
    pub sizes: Sizes,
    /// What was begun or cancelled, by topic, as the end of a sentence.
    pub begun: BTreeMap<String, String>,
    /// What was not, and why.
    pub refused: Vec<(String, Verdict)>,
}

/// Brokers on their way in and out, and what else topics go by.
#[derive(Clone, Copy, Debug)]
pub struct Changing<'a> {
    /// Those that are to hold nothing any more.
    pub leaving: &'a BTreeSet<i32>,
    /// Those that are to get their share.
    pub newcomers: &'a BTreeSet<i32>,
    /// How many replicas the brokers' own topics are to have.
    pub internal: &'a BTreeMap<String, i32>,
    /// The changes that were consented to; none stands for all.
    pub approved: Option<&'a BTreeSet<String>>,
    /// Whether no more moves begin for now, because brokers are to be restarted.
    pub is_held: bool,
}

#[cfg(test)]
impl Changing<'static> {
    /// Nobody comes or goes, and nothing else is to be heeded.
    pub fn nobody() -> Self {
        static NOBODY: BTreeSet<i32> = BTreeSet::new();
        static NOTHING: BTreeMap<String, i32> = BTreeMap::new();
        Self {
            leaving: &NOBODY,
            newcomers: &NOBODY,
            internal: &NOTHING,
            approved: None,
            is_held: false,
        }
    }
}

impl Changing<'_> {
    /// Whether a change may be carried out.
    #[must_use]
    pub fn allows(&self, change: &str) -> bool {
        self.approved.is_none_or(|all| all.contains(change))
    }

    /// Whether nobody comes or goes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leaving.is_empty() && self.newcomers.is_empty()
    }
}

/// Begins and cancels what is to be begun and cancelled now.
///
/// # Errors
/// Those of [`Admin`], when the cluster cannot be asked.
pub async fn move_replicas(
    admin: &mut Admin,
    wanted: &BTreeMap<String, i32>,
    coming_and_going: Changing<'_>,
) -> Result<Moved, Error> {
    let Changing {
        leaving, newcomers, ..
    } = coming_and_going;
    let cluster = admin.describe_moves(None).await?;
    let brokers = admin.brokers().await?;
    let mut asked = brokers.clone();
    let situation = Situation {
        topics: &cluster.topics,
        wanted,
        brokers: &brokers,
        leaving,
        newcomers,
    };
    let sizes = admin
        .sizes(&mut asked, concerned(&situation, false).into_iter())
        .await;
    let situation = Situation {
        brokers: &asked,
        ..situation
    };
    let mut moves = plan(&situation, &sizes);
    if coming_and_going.is_held {
        moves.hold();
    }
    let Moves { targets, waiting } = moves;
    let mut moved = Moved {
        sizes,
        ..Moved::default()
    };
    for (topic, why) in waiting {
        let message = format!("The move of replicas waits: {why}.");
        let verdict = Verdict::new(TopicReason::Reassigning, message);
        moved.refused.push((topic, verdict));
    }
    if targets.is_empty() {
        return Ok(moved);
    }
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for ((topic, index), answer) in admin.reassign(&targets).await? {
        match answer {
            Ok(()) => {
                let (begun, cancelled) = counts.entry(topic.clone()).or_default();
                let is_cancelled = targets.get(&(topic, index)).is_some_and(Option::is_none);
                *(if is_cancelled { cancelled } else { begun }) += 1;
            }
            Err(refusal) => moved.refused.push((topic, refused_by_broker(&refusal))),
        }
    }
    moved.begun = counts
        .into_iter()
        .map(|(topic, counts)| (topic, done(counts)))
        .collect();
    Ok(moved)
}

fn done((begun, cancelled): (usize, usize)) -> String {
    let partitions = |number: usize| count(number, "partition");
    match (begun, cancelled) {
        (begun, 0) => format!("replicas of {} begin to move", partitions(begun)),
        (0, cancelled) => format!("the move of {} is cancelled", partitions(cancelled)),
        (begun, cancelled) => format!(
            "replicas of {} begin to move, the move of {} is cancelled",
            partitions(begun),
            partitions(cancelled)
        ),
    }
}
