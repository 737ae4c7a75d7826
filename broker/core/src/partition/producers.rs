//! What a partition remembers of each idempotent producer (KIP-98, KIP-360): enough to tell a batch
//! that is sent again from a new one, to refuse one that skips, and to know what its transactions
//! came to.
//!
//! The state is a function of the log: a leader updates it as it appends, a follower as it
//! replicates, and a broker that starts rebuilds it from a snapshot and the batches after it. So a
//! new leader answers duplicates exactly as the old one would have, and shows the same to consumers
//! that read what is committed.

mod check;
mod transactions;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use ottla_protocol::ids::{Offset, ProducerEpoch, ProducerId, Sequence};
use ottla_protocol::record::ControlRecord;

pub use check::Check;
pub(super) use check::EPOCH_PER_TRANSACTION;
pub use transactions::{Aborted, Transactions, Unreplicated};

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
    /// The last batches of that epoch, oldest first; before them the marker that began it.
    pub batches: VecDeque<AppendedBatch>,
    /// When it wrote last, by the clock of the broker that appended.
    pub last_timestamp: i64,
    /// Where its open transaction began.
    pub transaction_start: Option<Offset>,
    /// The epoch of the coordinator that ended its last transaction; -1 before the first.
    pub coordinator_epoch: i32,
}

/// A transaction that is open on a partition, as its leader knows it. What follows in the
/// transaction makes it another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// Whose it is.
    pub producer_id: ProducerId,
    /// The producer's incarnation.
    pub producer_epoch: ProducerEpoch,
    /// Its first offset.
    pub first_offset: Offset,
    /// The last offset of its producer.
    pub last_offset: Offset,
    /// The epoch of the coordinator that ended the one before; -1 where there was none.
    pub coordinator_epoch: i32,
}

/// What takes back the append of one batch.
#[derive(Clone, Debug)]
pub struct Undo {
    producer_id: ProducerId,
    /// The producer as it was; none where it was not known. Its batches are here only where the
    /// epoch is a new one: else they stayed where they were, and the next two fields say what
    /// changed.
    before: Option<Producer>,
    is_new_epoch: bool,
    is_pushed: bool,
    dropped: Option<AppendedBatch>,
    /// The offset of a marker that ended a transaction.
    marker: Option<Offset>,
}

/// The producers of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producers {
    by_id: BTreeMap<ProducerId, Producer>,
    transactions: Transactions,
}

impl AppendedBatch {
    fn new(batch: &Batch) -> Self {
        Self {
            first_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset: batch.base_offset,
            last_offset: batch.last_offset(),
            max_timestamp: batch.max_timestamp,
        }
    }

    /// A marker that began an epoch here, so that the producer's first sequence is to be 0. One
    /// that is all that is left of a producer says nothing of sequences.
    fn before_first(marker: &Batch) -> Self {
        Self {
            first_sequence: Sequence(-1),
            last_sequence: Sequence(-1),
            ..Self::new(marker)
        }
    }
}

impl Producer {
    fn new(batch: &Batch) -> Self {
        Self {
            producer_epoch: batch.producer_epoch,
            batches: VecDeque::new(),
            last_timestamp: batch.max_timestamp,
            transaction_start: None,
            coordinator_epoch: -1,
        }
    }

    /// The same, but for its batches: without an allocation.
    fn without_batches(&self) -> Self {
        Self {
            batches: VecDeque::new(),
            ..*self
        }
    }
}

impl Undo {
    fn new(producer_id: ProducerId) -> Self {
        Self {
            producer_id,
            before: None,
            dropped: None,
            is_pushed: false,
            is_new_epoch: false,
            marker: None,
        }
    }
}

/// The sequence `count` records after `sequence`: after 2³¹ − 1 comes 0.
#[must_use]
pub fn sequence_after(sequence: Sequence, count: i32) -> Sequence {
    Sequence(sequence.0.wrapping_add(count) & i32::MAX)
}

impl Producers {
    /// Whether it is known which sequence a producer comes to next.
    #[must_use]
    pub fn knows_sequence(&self, producer_id: ProducerId) -> bool {
        let producer = self.by_id.get(&producer_id);
        producer.is_some_and(|producer| !producer.batches.is_empty())
    }

    /// Notes a batch that is now in the log at `batch.base_offset`; what takes that back, where
    /// anything was noted.
    pub fn appended(&mut self, batch: &Batch) -> Option<Undo> {
        if batch.producer_id == ProducerId::NONE || (batch.is_control && batch.marker.is_none()) {
            return None; // compaction has taken the record out of a control batch
        }
        if self.by_id.len() >= PRODUCERS_PER_PARTITION_MAX
            && !self.by_id.contains_key(&batch.producer_id)
        {
            self.forget_oldest();
        }
        let mut undo = Undo::new(batch.producer_id);
        let producer = match self.by_id.entry(batch.producer_id) {
            Entry::Occupied(known) => {
                let producer = known.into_mut();
                undo.before = Some(producer.without_batches());
                producer
            }
            Entry::Vacant(unknown) => unknown.insert(Producer::new(batch)),
        };
        if batch.producer_epoch != producer.producer_epoch {
            producer.producer_epoch = batch.producer_epoch;
            undo.is_new_epoch = true;
            let batches = std::mem::take(&mut producer.batches);
            if let Some(before) = &mut undo.before {
                before.batches = batches;
            }
            if batch.marker.is_some() {
                producer
                    .batches
                    .push_back(AppendedBatch::before_first(batch));
            }
        }
        producer.last_timestamp = producer.last_timestamp.max(batch.max_timestamp);
        if let Some(marker) = batch.marker {
            let (ControlRecord::Abort { coordinator_epoch }
            | ControlRecord::Commit { coordinator_epoch }) = marker;
            producer.coordinator_epoch = coordinator_epoch;
            if let Some(start) = producer.transaction_start.take() {
                undo.marker = Some(batch.base_offset);
                let is_aborted = matches!(marker, ControlRecord::Abort { .. });
                let ended = (batch.producer_id, start, batch.base_offset);
                self.transactions.end(ended, is_aborted);
            }
            return Some(undo);
        }
        if batch.is_transactional && producer.transaction_start.is_none() {
            producer.transaction_start = Some(batch.base_offset);
            self.transactions
                .begin(batch.base_offset, batch.producer_id);
        }
        if producer.batches.len() == BATCHES_PER_PRODUCER_MAX {
            undo.dropped = producer.batches.pop_front();
        }
        undo.is_pushed = true;
        producer.batches.push_back(AppendedBatch::new(batch));
        Some(undo)
    }

    /// Takes back the newest append that was not taken back yet: the log has refused it.
    pub fn undo(&mut self, undo: Undo) {
        let id = undo.producer_id;
        let Some(producer) = self.by_id.remove(&id) else {
            return;
        };
        let start = producer.transaction_start;
        let before = undo.before.map(|mut before| {
            if !undo.is_new_epoch {
                before.batches = producer.batches;
                if undo.is_pushed {
                    before.batches.pop_back();
                }
                if let Some(dropped) = undo.dropped {
                    before.batches.push_front(dropped);
                }
            }
            before
        });
        let start_before = before.as_ref().and_then(|before| before.transaction_start);
        match (undo.marker, start, start_before) {
            (Some(marker), _, Some(start)) => self.transactions.reopen(id, start, marker),
            (None, Some(start), None) => self.transactions.forget(start, id),
            _ => {}
        }
        self.by_id.extend(before.map(|before| (id, before)));
    }

    /// Puts back what a snapshot says of one producer.
    pub fn restore(&mut self, producer_id: ProducerId, producer: Producer) {
        let start = producer.transaction_start;
        let before = self.by_id.insert(producer_id, producer);
        if let Some(start) = before.and_then(|before| before.transaction_start) {
            self.transactions.forget(start, producer_id);
        }
        if let Some(start) = start {
            self.transactions.begin(start, producer_id);
        }
    }

    /// Puts back what a snapshot says of transactions that have ended.
    pub fn restore_ended(&mut self, unreplicated: Vec<Unreplicated>, aborted: Vec<Aborted>) {
        self.transactions.restore(unreplicated, aborted);
    }

    /// Its transactions.
    #[must_use]
    pub fn transactions(&self) -> &Transactions {
        &self.transactions
    }

    /// Everything below is on all in-sync replicas.
    pub fn replicated(&mut self, high_watermark: Offset) {
        self.transactions.replicated(high_watermark);
    }

    /// The log begins here now.
    pub fn truncate_from_start(&mut self, log_start_offset: Offset) {
        self.transactions.truncate_from_start(log_start_offset);
    }

    /// The markers at these offsets, in rising order, are no longer in the log, nor is anything of
    /// their transactions.
    pub fn markers_removed(&mut self, offsets: &[Offset]) {
        self.transactions.markers_removed(offsets);
    }

    /// All producers, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (ProducerId, &Producer)> {
        self.by_id.iter().map(|(id, producer)| (*id, producer))
    }

    /// The transactions that are open, the oldest first.
    pub fn open(&self) -> impl Iterator<Item = Open> {
        let ids = self.transactions.open_of();
        ids.filter_map(|id| self.open_of(id))
    }

    fn open_of(&self, producer_id: ProducerId) -> Option<Open> {
        let producer = self.by_id.get(&producer_id)?;
        let first_offset = producer.transaction_start?;
        let last = producer.batches.back();
        Some(Open {
            producer_id,
            producer_epoch: producer.producer_epoch,
            first_offset,
            last_offset: last.map_or(first_offset, |batch| batch.last_offset),
            coordinator_epoch: producer.coordinator_epoch,
        })
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

    /// Forgets producers that have not written since `timestamp`; open transactions are kept.
    pub fn expire(&mut self, timestamp: i64) {
        self.by_id
            .retain(|_, p| p.transaction_start.is_some() || p.last_timestamp >= timestamp);
    }

    /// Forgets what was said by batches at or after `end_offset`, which are no longer in the log.
    pub fn truncate_from_end(&mut self, end_offset: Offset) {
        for (id, start) in self.transactions.truncate_from_end(end_offset) {
            // its end is gone, so it is open again
            if let Some(producer) = self.by_id.get_mut(&id) {
                producer.transaction_start = Some(start);
            }
        }
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
        *self = Self::default();
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
