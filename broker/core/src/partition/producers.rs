//! What a partition remembers of each idempotent producer (KIP-98, KIP-360): enough to tell a batch
//! that is sent again from a new one, and to refuse one that skips.
//!
//! The state is a function of the log: a leader updates it as it appends, a follower as it
//! replicates, and a broker that starts rebuilds it from a snapshot and the batches after it. So a
//! new leader answers duplicates exactly as the old one would have.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{Offset, ProducerEpoch, ProducerId, Sequence};

use super::Batch;

/// How many batches of a producer are remembered: as many as a client may have in flight.
pub const BATCHES_PER_PRODUCER_MAX: usize = 5;

/// How many producers a partition remembers; beyond it the ones that were idle longest are
/// forgotten.
pub const PRODUCERS_PER_PARTITION_MAX: usize = 100_000;

/// One batch that was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendedBatch {
    /// The sequence of its first record.
    pub first_sequence: Sequence,
    /// The sequence of its last record.
    pub last_sequence: Sequence,
    /// The offset of its first record.
    pub base_offset: Offset,
    /// The offset of its last record.
    pub last_offset: Offset,
    /// The newest timestamp of its records.
    pub max_timestamp: i64,
}

/// What is known of one producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Producer {
    /// The newest epoch that has written.
    pub producer_epoch: ProducerEpoch,
    /// The last batches of that epoch, oldest first.
    pub batches: VecDeque<AppendedBatch>,
    /// When it wrote last, by the clock of the broker that appended.
    pub last_timestamp: i64,
    /// Where its open transaction began.
    pub transaction_start: Option<Offset>,
}

/// Whether a batch may be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// It is the next one.
    Next,
    /// It is in the log already.
    Duplicate(AppendedBatch),
    /// It may not be appended.
    Rejected(ErrorCode),
}

/// The producers of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producers {
    by_id: BTreeMap<ProducerId, Producer>,
    /// The open transactions of `by_id`, the oldest first.
    open: BTreeSet<(Offset, ProducerId)>,
}

/// The sequence `count` records after `sequence`: after 2³¹ − 1 comes 0.
#[must_use]
pub fn sequence_after(sequence: Sequence, count: i32) -> Sequence {
    Sequence(sequence.0.wrapping_add(count) & i32::MAX)
}

impl Producers {
    /// Whether anything is known of a producer.
    #[must_use]
    pub fn knows(&self, producer_id: ProducerId) -> bool {
        self.by_id.contains_key(&producer_id)
    }

    /// Judges a batch that a client sent.
    #[must_use]
    pub fn check(&self, batch: &Batch) -> Check {
        if batch.producer_id == ProducerId::NONE {
            return Check::Next;
        }
        let Some(producer) = self.by_id.get(&batch.producer_id) else {
            // never seen, or forgotten since: any sequence may come first (KIP-360)
            return Check::Next;
        };
        if batch.producer_epoch < producer.producer_epoch {
            return Check::Rejected(ErrorCode::InvalidProducerEpoch);
        }
        if batch.producer_epoch > producer.producer_epoch {
            return if batch.base_sequence == Sequence(0) {
                Check::Next
            } else {
                Check::Rejected(ErrorCode::OutOfOrderSequenceNumber)
            };
        }
        let last_sequence = batch.last_sequence();
        let duplicate = producer.batches.iter().find(|appended| {
            appended.first_sequence == batch.base_sequence
                && appended.last_sequence == last_sequence
        });
        if let Some(appended) = duplicate {
            return Check::Duplicate(*appended);
        }
        match producer.batches.back() {
            Some(last) if sequence_after(last.last_sequence, 1) != batch.base_sequence => {
                Check::Rejected(ErrorCode::OutOfOrderSequenceNumber)
            }
            _ => Check::Next,
        }
    }

    /// Notes a batch that is now in the log at `batch.base_offset`.
    pub fn appended(&mut self, batch: &Batch) {
        if batch.producer_id == ProducerId::NONE {
            return;
        }
        if self.by_id.len() >= PRODUCERS_PER_PARTITION_MAX
            && !self.by_id.contains_key(&batch.producer_id)
        {
            self.forget_oldest();
        }
        let producer = self
            .by_id
            .entry(batch.producer_id)
            .or_insert_with(|| Producer {
                producer_epoch: batch.producer_epoch,
                batches: VecDeque::new(),
                last_timestamp: batch.max_timestamp,
                transaction_start: None,
            });
        if batch.producer_epoch != producer.producer_epoch {
            producer.producer_epoch = batch.producer_epoch;
            producer.batches.clear();
        }
        producer.last_timestamp = producer.last_timestamp.max(batch.max_timestamp);
        if batch.is_control {
            if let Some(start) = producer.transaction_start.take() {
                self.open.remove(&(start, batch.producer_id));
            }
            return;
        }
        if batch.is_transactional && producer.transaction_start.is_none() {
            producer.transaction_start = Some(batch.base_offset);
            self.open.insert((batch.base_offset, batch.producer_id));
        }
        if producer.batches.len() == BATCHES_PER_PRODUCER_MAX {
            producer.batches.pop_front();
        }
        producer.batches.push_back(AppendedBatch {
            first_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset: batch.base_offset,
            last_offset: batch.last_offset(),
            max_timestamp: batch.max_timestamp,
        });
    }

    /// Puts back what a snapshot says of one producer.
    pub fn restore(&mut self, producer_id: ProducerId, producer: Producer) {
        let start = producer.transaction_start;
        let before = self.by_id.insert(producer_id, producer);
        if let Some(start) = before.and_then(|before| before.transaction_start) {
            self.open.remove(&(start, producer_id));
        }
        self.open.extend(start.map(|start| (start, producer_id)));
    }

    /// All producers, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (ProducerId, &Producer)> {
        self.by_id.iter().map(|(id, producer)| (*id, producer))
    }

    /// How many producers are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether no producer is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The first offset of the oldest open transaction.
    #[must_use]
    pub fn first_open_transaction(&self) -> Option<Offset> {
        self.open.first().map(|(start, _)| *start)
    }

    /// Forgets producers that have not written since `timestamp`; open transactions are kept.
    pub fn expire(&mut self, timestamp: i64) {
        self.by_id
            .retain(|_, p| p.transaction_start.is_some() || p.last_timestamp >= timestamp);
    }

    /// Forgets what was said by batches at or after `end_offset`, which are no longer in the log.
    pub fn truncate_from_end(&mut self, end_offset: Offset) {
        self.open.retain(|(start, _)| *start < end_offset);
        self.by_id.retain(|_, producer| {
            producer
                .batches
                .retain(|batch| batch.last_offset < end_offset);
            if producer
                .transaction_start
                .is_some_and(|start| start >= end_offset)
            {
                producer.transaction_start = None;
            }
            // without a batch left nothing is known; the next one may begin at any sequence
            !producer.batches.is_empty() || producer.transaction_start.is_some()
        });
    }

    /// Forgets everything: the log starts anew.
    pub fn clear(&mut self) {
        self.by_id.clear();
        self.open.clear();
    }

    fn forget_oldest(&mut self) {
        let oldest = self
            .by_id
            .iter()
            .filter(|(_, p)| p.transaction_start.is_none())
            .min_by_key(|(_, p)| p.last_timestamp)
            .map(|(id, _)| *id);
        if let Some(id) = oldest {
            self.by_id.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests;
