//! What is decided and replayed, and not in the log yet.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ottla_core::shard::{Reply, Shard, Transaction};
use ottla_protocol::ids::Sequence;
use ottla_protocol::record::NewRecord;
use ottla_protocol::record_batch::Builder;
use tokio::time::Instant;

use super::MarkerAnswer;

/// A batch takes no further decision once it has this many bytes.
const BATCH_BYTES: usize = 256 * 1024;

/// It takes no more records of a decision once it has this many: the records of a decision are in
/// one batch, so that no crash and no refusal leaves a part of them, which may say what was never
/// so. A group of 5,000 members that becomes one of another protocol has about 9 MiB.
const DECISION_BYTES_MAX: usize = 16 * 1024 * 1024;

/// No more is decided while so many records wait for a log that refuses them.
const RECORDS_MAX: usize = 8_192;

struct Record<S: Shard> {
    key: Bytes,
    value: Option<Bytes>,
    undo: S::Undo,
    /// Whether it is the first one of its decision.
    begins: bool,
    transaction: Option<Transaction>,
}

/// What is to be appended next.
pub(super) struct Batch {
    pub(super) bytes: BytesMut,
    pub(super) count: usize,
    pub(super) transaction: Option<Transaction>,
}

/// What leaves once the records that it rests on are committed.
pub(super) enum Leaving<S: Shard> {
    /// To who asked.
    Reply(Reply<S::Response>),
    /// To the coordinator of a transaction whose marker it was.
    Marker(MarkerAnswer),
    /// To who carries it out.
    Order(S::Order),
}

impl<S: Shard> Leaving<S> {
    /// Whether somebody waits for it, who is told when it takes too long.
    pub(super) fn is_awaited(&self) -> bool {
        !matches!(self, Self::Order(_))
    }
}

/// Records in the order of their decisions, and what waits for them.
pub(super) struct Unappended<S: Shard> {
    records: VecDeque<Record<S>>,
    /// Each with the number of records, of all time, that it rests on.
    leaving: VecDeque<(u64, Leaving<S>)>,
    /// How many records were appended or refused so far.
    left: u64,
    /// Until when the oldest record may wait.
    deadline: Option<Instant>,
    /// When the log is to be asked again.
    pub(super) retry_at: Option<Instant>,
}

impl<S: Shard> Unappended<S> {
    pub(super) fn new() -> Self {
        Self {
            records: VecDeque::new(),
            leaving: VecDeque::new(),
            left: 0,
            deadline: None,
            retry_at: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.records.len() >= RECORDS_MAX
    }

    /// Takes a record, which may wait so long for the log.
    pub(super) fn push(
        &mut self,
        (key, value): (Bytes, Option<Bytes>),
        undo: S::Undo,
        (begins, transaction): (bool, Option<Transaction>),
        patience: Duration,
    ) {
        self.deadline
            .get_or_insert_with(|| Instant::now() + patience);
        self.records.push_back(Record {
            key,
            value,
            undo,
            begins,
            transaction,
        });
    }

    /// Takes what rests on all records so far.
    pub(super) fn wait(&mut self, leaving: Leaving<S>) {
        let decided = self.left + self.records.len() as u64;
        self.leaving.push_back((decided, leaving));
    }

    /// Whether the oldest record has time left.
    pub(super) fn may_wait(&self) -> bool {
        self.deadline.is_some_and(|at| Instant::now() < at)
    }

    /// The next batch, how many records it has, and the transaction that all of them are part of.
    pub(super) fn next_batch(&self, timestamp_ms: i64) -> Option<Batch> {
        let transaction = self.records.front()?.transaction;
        let mut builder = match transaction {
            // a producer counts the sequences of what it sends itself, and of nothing else
            Some(of) => Builder::new()
                .producer(of.producer_id, of.producer_epoch, Sequence(0))
                .transactional(),
            None => Builder::new(),
        };
        let mut count = 0;
        for record in &self.records {
            let limit = match record.begins {
                true => BATCH_BYTES,
                false => DECISION_BYTES_MAX,
            };
            let is_other = record.transaction != transaction;
            if count > 0 && (builder.bytes() >= limit || is_other) {
                break;
            }
            builder.push(&NewRecord {
                timestamp_ms,
                key: Some(&record.key),
                value: record.value.as_deref(),
                headers: &[],
            });
            count += 1;
        }
        Some(Batch {
            bytes: builder.build(),
            count,
            transaction,
        })
    }

    /// The log has the oldest records, so many; what rests on no later ones.
    pub(super) fn appended(&mut self, count: usize) -> Vec<Leaving<S>> {
        self.records.drain(..count);
        self.left += count as u64;
        if self.records.is_empty() {
            self.deadline = None;
        }
        let ready = self.leaving.iter().take_while(|(at, _)| *at <= self.left);
        let ready = ready.count();
        self.leaving
            .drain(..ready)
            .map(|(_, leaving)| leaving)
            .collect()
    }

    /// The log refuses all: what takes the records back, the newest first, and what does not leave.
    pub(super) fn refused(&mut self) -> (Vec<S::Undo>, Vec<Leaving<S>>) {
        self.left += self.records.len() as u64;
        self.deadline = None;
        let undos = self.records.drain(..).rev().map(|record| record.undo);
        let leaving = self.leaving.drain(..).map(|(_, leaving)| leaving);
        (undos.collect(), leaving.collect())
    }
}
