//! Transactions that nobody will end: open on a partition that is led here, while no coordinator
//! knows of them. A lost marker leaves one behind, or a batch that came after its marker where none
//! was verified (KIP-890); consumers that read what is committed wait before it for good.
//!
//! What has been quiet for a while is asked about, at all coordinators: [`Watch`] says when, and
//! what is to be aborted. Only what two rounds in a row did not know is: between two rounds every
//! broker has long learned what it coordinates.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla_protocol::ids::{ProducerId, TopicName};
use ottla_protocol::messages::transactions::DescribedTransaction;

use crate::partition::producers::Open;
use crate::shard::partition_for;

/// How many open transactions are watched; the others wait until some of these have ended.
const WATCHED_MAX: usize = 100_000;

/// How many are asked about in one round; the others have the next ones.
const ASKED_MAX: usize = 1_000;

/// How many rounds must not know of a transaction.
const ROUNDS: u8 = 2;

/// How much later than the longest timeout a transaction may end: coordinators fail over.
const GRACE: Duration = Duration::from_secs(300);

/// Where a transaction is open.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The topic.
    pub topic: TopicName,
    /// Its partition.
    pub partition: i32,
    /// Whose transaction it is.
    pub producer_id: ProducerId,
}

/// What the coordinators have: which transactions go on, and where.
#[derive(Clone, Debug, Default)]
pub struct Known {
    places: BTreeSet<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Watched {
    open: Open,
    /// When it was first seen.
    since: Duration,
    /// When it was first seen as it is now.
    quiet_since: Duration,
    /// The last round that asked about it.
    round: u64,
    /// How many rounds in a row did not know of it.
    unknown: u8,
}

/// What is open where this broker leads.
#[derive(Clone, Debug)]
pub struct Watch {
    quiet_min: Duration,
    age_max: Duration,
    watched: BTreeMap<Place, Watched>,
    round: u64,
}

impl Known {
    /// Takes what a coordinator says of a transaction: one that has ended has no partitions.
    pub fn add(&mut self, transaction: &DescribedTransaction) {
        for topic in &transaction.topics {
            let name = TopicName::from(topic.topic.as_str());
            self.places
                .extend(topic.partitions.iter().map(|partition| Place {
                    topic: name.clone(),
                    partition: *partition,
                    producer_id: ProducerId(transaction.producer_id),
                }));
        }
    }
}

impl Watch {
    /// Asks about what was quiet for `quiet_min`. `timeout_max` is the longest timeout that a
    /// producer may have.
    #[must_use]
    pub fn new(quiet_min: Duration, timeout_max: Duration) -> Self {
        Self {
            quiet_min,
            age_max: timeout_max + GRACE,
            watched: BTreeMap::new(),
            round: 0,
        }
    }

    /// Takes all that is open now; gives what is to be asked about, where those go first that
    /// waited longest for it.
    pub fn look(&mut self, now: Duration, open: Vec<(Place, Open)>) -> Vec<Place> {
        let mut before = std::mem::take(&mut self.watched);
        let mut fresh = Vec::new();
        for (place, open) in open {
            match before.remove(&place) {
                Some(mut watched) if watched.open.first_offset == open.first_offset => {
                    if watched.open != open {
                        (watched.open, watched.quiet_since, watched.unknown) = (open, now, 0);
                    }
                    self.watched.insert(place, watched);
                }
                _ => fresh.push((place, open)),
            }
        }
        let room = WATCHED_MAX.saturating_sub(self.watched.len());
        let fresh = fresh.into_iter().take(room).map(|(place, open)| {
            let watched = Watched {
                open,
                since: now,
                quiet_since: now,
                round: 0,
                unknown: 0,
            };
            (place, watched)
        });
        self.watched.extend(fresh);
        let is_quiet = |w: &Watched| now.saturating_sub(w.quiet_since) >= self.quiet_min;
        let quiet = self.watched.iter().filter(|(_, w)| is_quiet(w));
        let mut asked: Vec<_> = quiet.map(|(p, w)| (w.round, p.clone())).collect();
        asked.sort();
        asked.truncate(ASKED_MAX);
        asked.into_iter().map(|(_, place)| place).collect()
    }

    /// Takes what all coordinators know, once they were asked about `asked`; gives what nobody will
    /// end.
    pub fn told(&mut self, asked: &[Place], known: &Known) -> Vec<(Place, Open)> {
        self.round += 1;
        let mut lost = Vec::new();
        for place in asked {
            let Some(watched) = self.watched.get_mut(place) else {
                continue;
            };
            watched.round = self.round;
            watched.unknown = match known.places.contains(place) {
                true => 0,
                false => watched.unknown.saturating_add(1),
            };
            if watched.unknown >= ROUNDS {
                lost.push((place.clone(), watched.open));
            }
        }
        lost
    }

    /// How many transactions hang: nobody will end them, or they should have been ended long ago.
    #[must_use]
    pub fn hanging(&self, now: Duration) -> usize {
        let is_late = |w: &Watched| now.saturating_sub(w.since) > self.age_max;
        let watched = self.watched.values();
        watched
            .filter(|w| w.unknown >= ROUNDS || is_late(w))
            .count()
    }
}

/// A transactional id for each of so many partitions of `__transaction_state`: who answers that it
/// is not known coordinates that partition, and has loaded it.
#[must_use]
pub fn probes(partition_count: i32) -> Vec<String> {
    let mut probes = BTreeMap::new();
    for number in 0_u64.. {
        if probes.len() >= usize::try_from(partition_count).unwrap_or(0) {
            break;
        }
        let id = format!("ottla-probe-{number}");
        let partition = partition_for(&id, partition_count);
        probes.entry(partition).or_insert(id);
    }
    probes.into_values().collect()
}

#[cfg(test)]
mod tests;
