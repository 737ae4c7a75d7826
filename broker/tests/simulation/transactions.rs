//! What is known of transactions: by the markers in the logs, and by what their clients were told.
//!
//! - `AbortedRead`, `UncommittedRead`: a reader of what is committed is given what was aborted, or
//!   what is open.
//! - `TornTransaction`: a transaction has one outcome, in all its partitions.
//! - `LostTransaction`, `UndoneAbort`: it is the one that its client was told.
//! - `MixedEpochs`, `StaleMarker`: between two markers a producer's records are of one epoch, and
//!   no marker is of an earlier one.
//! - `ZombieCommitted`, `ZombieWrote`: nothing of a producer counts once the next one has begun.
//! - `NotExactlyOnce`: whatever was read, transformed and written with its offset in one
//!   transaction is there once, as far as the offset says.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::record::{self, ControlRecord};
use ottla_protocol::record_batch::RecordBatch;

use crate::world::{Slot, World};

/// How the values of transactions begin, and of these the transformed ones.
pub const IN_TRANSACTION: char = 'T';
pub const TRANSFORMED: char = 'C';

/// What became of a record, as far as the high watermark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It is in no transaction.
    Plain,
    /// Its transaction has not ended.
    Open,
    Committed,
    Aborted,
    /// It is a marker.
    Marker,
}

impl Fate {
    /// Whether readers of what is committed are given it.
    fn is_visible(self) -> bool {
        matches!(self, Self::Plain | Self::Committed)
    }
}

/// An open transaction of one producer.
#[derive(Debug)]
struct Open {
    epoch: i16,
    offsets: Vec<usize>,
}

/// The fates of all records below the high watermark, by offset.
#[derive(Debug, Default)]
pub struct Fates {
    all: Vec<Fate>,
    open: BTreeMap<i64, Open>,
}

impl Fates {
    pub fn of(&self, offset: i64) -> Option<Fate> {
        self.all.get(offset as usize).copied()
    }

    /// Whether a transaction has not ended.
    pub fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Takes in the next batch; says what is wrong with it.
    pub fn take_in(&mut self, batch: &RecordBatch<'_>) -> Option<String> {
        let header = &batch.header;
        let (id, epoch) = (header.producer_id.0, header.producer_epoch.0);
        let count = header.next_offset().0 - header.base_offset.0;
        let fate = match (header.is_control(), header.is_transactional()) {
            (true, _) => Fate::Marker,
            (false, true) => Fate::Open,
            (false, false) => Fate::Plain,
        };
        let first = self.all.len();
        self.all.resize(first + count as usize, fate);
        match fate {
            Fate::Open => {
                let new = Open {
                    epoch,
                    offsets: Vec::new(),
                };
                let open = self.open.entry(id).or_insert(new);
                open.offsets.extend(first..self.all.len());
                (open.epoch != epoch).then(|| {
                    let began = open.epoch;
                    format!("MixedEpochs: producer {id} began in epoch {began}, and is in {epoch}")
                })
            }
            Fate::Marker => self.end(id, epoch, marker(batch)?),
            Fate::Plain | Fate::Committed | Fate::Aborted => None,
        }
    }

    fn end(&mut self, id: i64, epoch: i16, marker: ControlRecord) -> Option<String> {
        let open = self.open.remove(&id)?;
        let fate = match marker {
            ControlRecord::Commit { .. } => Fate::Committed,
            ControlRecord::Abort { .. } => Fate::Aborted,
        };
        for offset in open.offsets {
            self.all[offset] = fate;
        }
        (epoch < open.epoch).then(|| {
            let began = open.epoch;
            format!("StaleMarker: producer {id} wrote in epoch {began}, its marker is of {epoch}")
        })
    }
}

fn marker(batch: &RecordBatch<'_>) -> Option<ControlRecord> {
    let found = record::iterate(batch.body(), batch.header.records_count).next()?;
    let found = found.ok()?;
    ControlRecord::read(
        found.key.unwrap_or_default(),
        found.value.unwrap_or_default(),
    )
}

/// What the clients were told.
#[derive(Debug, Default)]
pub struct Told {
    /// By transaction, whether it is committed.
    outcomes: BTreeMap<String, bool>,
    /// Up to where the transformers' offsets are committed, once all have ended.
    transformed: Option<i64>,
    /// Whose turn it is to transform, where they take turns.
    turn: Option<usize>,
}

impl Told {
    /// Takes the turn, where nobody has it.
    pub fn takes_turn(&mut self, number: usize) -> bool {
        *self.turn.get_or_insert(number) == number
    }

    /// It may be another's turn.
    pub fn ends_turn(&mut self, number: usize) {
        self.turn.take_if(|turn| *turn == number);
    }

    /// A client was told how its transaction has ended.
    pub fn ended(&mut self, transaction: &str, is_committed: bool) {
        self.outcomes.insert(transaction.to_owned(), is_committed);
    }

    /// The transformers' offset in the end.
    pub fn transformed(&mut self, until: i64) {
        self.transformed = Some(until);
    }
}

impl World {
    /// A reader of what is committed goes on from one offset to another by what a broker told it,
    /// and is given a record of that one where there is a value.
    pub fn consumed_committed(
        &mut self,
        (node, slot): (usize, Slot),
        (from, to): (i64, i64),
        value: Option<&str>,
    ) {
        let is_excused = self.may_be_unseen(slot);
        let partition = self.checks.of(slot);
        // the end of a transaction may stand behind what nobody here can read on that broker
        let may_be_over = partition.is_blind[node];
        let mut wrong = Vec::new();
        for offset in from..to {
            match partition.fates.of(offset) {
                Some(Fate::Plain | Fate::Committed) => wrong.push(format!(
                    "PollSkip: {slot} skips {offset}, which is committed"
                )),
                Some(Fate::Open) if !may_be_over => wrong.push(format!(
                    "UncommittedRead: {slot} skips {offset}, whose transaction is open"
                )),
                Some(Fate::Open | Fate::Aborted | Fate::Marker) | None => {}
            }
        }
        if let Some(value) = value {
            match partition.fates.of(to) {
                Some(fate) if fate.is_visible() => {}
                Some(Fate::Aborted) => wrong.push(format!(
                    "AbortedRead: {slot}@{to} is {value}, which was aborted"
                )),
                Some(Fate::Open) if may_be_over => {}
                fate => {
                    if fate.is_some() || !is_excused {
                        wrong.push(format!("UncommittedRead: {slot}@{to} is {value}, {fate:?}"));
                    }
                }
            }
        }
        wrong.into_iter().for_each(|wrong| self.violate(wrong));
    }

    /// Whether markers are still to come.
    pub fn has_open_transactions(&self) -> bool {
        Slot::all().any(|slot| self.checks.seen(slot).fates.has_open())
    }

    /// Once everything is healed and quiet: what the transactions have come to.
    pub fn check_transactions(&mut self) {
        let mut fates: BTreeMap<&str, BTreeSet<Fate>> = BTreeMap::new();
        let mut transformed: BTreeMap<i64, usize> = BTreeMap::new();
        for slot in Slot::all() {
            for (_, value, fate) in self.checks.seen(slot).records() {
                if !value.starts_with([IN_TRANSACTION, TRANSFORMED]) {
                    continue;
                }
                let (transaction, number) = value.split_once('-').unwrap_or((value, ""));
                fates.entry(transaction).or_default().insert(fate);
                if value.starts_with(TRANSFORMED) && fate == Fate::Committed {
                    *transformed.entry(number.parse().unwrap_or(-1)).or_default() += 1;
                }
            }
        }
        let mut wrong = Vec::new();
        for (transaction, fates) in &fates {
            let told = self.told.outcomes.get(*transaction);
            let has = |fate| fates.contains(&fate);
            let name = match told {
                _ if fates.len() > 1 || has(Fate::Open) => "TornTransaction",
                Some(true) if !has(Fate::Committed) => "LostTransaction",
                Some(false) if !has(Fate::Aborted) => "UndoneAbort",
                Some(_) | None => continue,
            };
            wrong.push(format!(
                "{name}: {transaction} is {fates:?}, told was {told:?}"
            ));
        }
        if let Some(until) = self.told.transformed {
            let expected = 0..until;
            let is_once = expected.clone().all(|n| transformed.get(&n) == Some(&1));
            if !is_once || transformed.len() as i64 != until {
                let missing = expected.clone().find(|n| !transformed.contains_key(n));
                let more = transformed
                    .iter()
                    .find(|(n, count)| **count > 1 || !expected.contains(n));
                wrong.push(format!(
                    "NotExactlyOnce: the offset is {until}, missing is {missing:?}, too much is \
                     {more:?}"
                ));
            }
        }
        wrong.into_iter().for_each(|wrong| self.violate(wrong));
    }
}
