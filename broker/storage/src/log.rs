//! One partition's log.
//!
//! [`Log`] is the writing handle: whoever owns the partition has it, and calls it under the
//! partition's lock. [`LogReader`] is a cheap clone that only reads, from any thread. Both point
//! to the same state behind a short inner lock, because the store's own threads write the log's
//! segments and mark what became durable. No disk is touched under that inner lock.

pub(crate) mod index;
pub(crate) mod order;
mod read;
pub(crate) mod scan;
pub(crate) mod state;
pub(crate) mod tail;
mod timestamp;
mod write;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use ottla_protocol::ids::{LeaderEpoch, Offset, TopicIdPartition, TopicName, TopicPartition};
use ottla_protocol::log::LeaderEpochs;

use crate::Result;
use crate::ranked::{COMPACTING, FILES, INDEXES, LEAF, Ranked, STATE, lock};
use crate::segment::SegmentId;
use crate::shared::Shared;
use crate::wal::Operation;
pub use read::SegmentRead;
pub(crate) use state::State;
pub use write::{Cut, pins_too_much};

/// What a topic's configs say about its logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// `segment.bytes`
    pub segment_bytes: u64,
    /// `segment.ms`
    pub segment_ms: i64,
    /// `index.interval.bytes`
    pub index_interval_bytes: u64,
    /// `retention.ms`; −1: for ever.
    pub retention_ms: i64,
    /// `retention.bytes`; −1: unlimited.
    pub retention_bytes: i64,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3600 * 1000,
            index_interval_bytes: 4096,
            retention_ms: 7 * 24 * 3600 * 1000,
            retention_bytes: -1,
        }
    }
}

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The first record's offset.
    pub base_offset: Offset,
    /// The log end offset now.
    pub log_end_offset: Offset,
    /// A new segment was begun with these batches.
    pub rolled: bool,
    /// The WAL record of these batches: durable once a commit's `lsn` is not below.
    pub lsn: u64,
}

/// A record's timestamp, offset and leader epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampAndOffset {
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The record's offset.
    pub offset: Offset,
    /// The leader epoch of its batch.
    pub leader_epoch: LeaderEpoch,
}

/// What a read found: in memory at once, or a plan to read a segment without any lock held.
#[derive(Debug)]
pub enum Read {
    /// Slices of appended batches, whole batches only, in order.
    Memory(Vec<Bytes>),
    /// Older data: call [`SegmentRead::perform`] (it blocks on the disk).
    Segment(SegmentRead),
}

impl Read {
    /// The batches, read from the disk where need be.
    pub fn perform(self) -> Result<Vec<Bytes>> {
        match self {
            Self::Memory(batches) => Ok(batches),
            Self::Segment(read) => Ok(vec![read.perform()?]),
        }
    }
}

/// Producer state as it was at an offset, kept for the replica (opaque to storage).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerSnapshot {
    /// Batches from here to the log end are to be replayed on top of `state`.
    pub replay_from: Offset,
    /// What the replica gave; `None`: begin with nothing.
    pub state: Option<Vec<u8>>,
}

/// What the handles of one log and the store's threads share.
#[derive(Debug)]
pub(crate) struct SharedLog {
    /// Given once per directory, never again.
    pub(crate) number: u64,
    pub(crate) id: TopicIdPartition,
    pub(crate) name: TopicPartition,
    pub(crate) dir: PathBuf,
    pub(crate) shared: Arc<Shared>,
    pub(crate) state: Ranked<State, STATE>,
    /// The indexes that are being written; held during their I/O.
    pub(crate) indexes: Ranked<BTreeMap<SegmentId, index::Index>, INDEXES>,
    /// What the flusher knows of the files; taken by whoever has the store's maintenance lock.
    pub(crate) files: Ranked<Files, FILES>,
    /// Where the last reads ended, so that a reader that goes on needs no index.
    pub(crate) hints: Ranked<read::Hints, LEAF>,
    /// Held by the one compaction of this log that runs.
    pub(crate) compacting: Ranked<(), COMPACTING>,
}

/// What is made, and what is not synced.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub(crate) is_dir_made: bool,
    /// Whether names in the directory came or went since it was synced.
    pub(crate) is_dir_changed: bool,
    /// Whether what says whose directory it is was written since it was synced.
    pub(crate) is_metadata_changed: bool,
    pub(crate) unsynced: std::collections::BTreeSet<SegmentId>,
    pub(crate) open_block: Option<OpenBlock>,
}

/// The part of a block at a segment's end that is written again with what follows: kept, so that
/// it need not be read back.
#[derive(Debug)]
pub(crate) struct OpenBlock {
    pub(crate) segment: SegmentId,
    /// Where the segment's file ends: a truncation makes another end, and this void.
    pub(crate) end: u64,
    pub(crate) bytes: Vec<u8>,
}

impl SharedLog {
    pub(crate) fn new(
        shared: Arc<Shared>,
        number: u64,
        id: TopicIdPartition,
        topic: TopicName,
        state: State,
    ) -> Self {
        let name = TopicPartition {
            topic,
            partition: id.partition,
        };
        let dir = shared.dir.join(name.to_string());
        Self {
            number,
            id,
            name,
            dir,
            shared,
            state: Ranked::new(state),
            indexes: Ranked::default(),
            files: Ranked::default(),
            hints: Ranked::default(),
            compacting: Ranked::default(),
        }
    }

    /// Queues a record and changes the log's state by it: the one way in which a live log changes.
    pub(crate) fn change(&self, state: &mut State, operation: Operation) -> u64 {
        let lsn = self.shared.enqueue(self.number, operation.clone());
        self.apply(state, lsn, &operation);
        lsn
    }

    /// Changes the log's state, and the store's accounts with it.
    pub(crate) fn apply(&self, state: &mut State, lsn: u64, operation: &Operation) {
        let freed = state.replay(lsn, operation);
        self.shared.account(freed);
        if let Operation::Append { bytes } = operation {
            let cost = tail::cost(bytes);
            self.shared
                .unflushed_bytes
                .fetch_add(cost, Ordering::Relaxed);
        }
        if state.tail.first_unflushed().is_some() || !state.doomed.is_empty() {
            self.queue_for_flush(state);
        }
    }

    /// Puts the log among those that the flusher looks at.
    pub(crate) fn queue_for_flush(&self, state: &mut State) {
        if !state.is_queued {
            state.is_queued = true;
            lock(&self.shared.dirty).push_back(self.number);
        }
    }
}

/// Reads a log from any thread; cheap to clone.
#[derive(Clone, Debug)]
pub struct LogReader {
    pub(crate) log: Arc<SharedLog>,
}

/// The writing handle of one log.
#[derive(Debug)]
pub struct Log {
    pub(crate) reader: LogReader,
}

impl LogReader {
    /// Which partition this is.
    #[must_use]
    pub fn id(&self) -> TopicIdPartition {
        self.log.id
    }

    /// Its name.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.log.name
    }

    /// The first offset that may be read.
    #[must_use]
    pub fn log_start_offset(&self) -> Offset {
        lock(&self.log.state).log_start_offset
    }

    /// The offset that the next append begins at.
    #[must_use]
    pub fn log_end_offset(&self) -> Offset {
        lock(&self.log.state).log_end_offset
    }

    /// Everything below survives a power cut. Goes back only by truncation.
    #[must_use]
    pub fn durable_end_offset(&self) -> Offset {
        lock(&self.log.state).durable_end_offset()
    }

    /// The last WAL record about this log: an append, a truncation, or another change.
    #[must_use]
    pub fn lsn(&self) -> u64 {
        lock(&self.log.state).lsn
    }

    /// Bytes in segments, written or not.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        lock(&self.log.state).size_bytes()
    }

    /// The leader epochs and where each began.
    #[must_use]
    pub fn leader_epochs(&self) -> LeaderEpochs {
        lock(&self.log.state).leader_epochs.clone()
    }
}

impl std::ops::Deref for Log {
    type Target = LogReader;

    fn deref(&self) -> &LogReader {
        &self.reader
    }
}

impl Log {
    /// A handle that only reads.
    #[must_use]
    pub fn reader(&self) -> LogReader {
        self.reader.clone()
    }

    /// Puts the topic's configs into effect.
    pub fn set_settings(&mut self, settings: LogSettings) {
        lock(&self.log.state).settings = settings;
    }
}
