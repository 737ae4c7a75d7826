//! One partition's log.
//!
//! [`Log`] is the writing handle: whoever owns the partition has it, and calls it under the
//! partition's lock. [`LogReader`] is a cheap clone that only reads, from any thread. Both point
//! to the same state behind a short inner lock, because the store's own threads write the log's
//! segments and mark what became durable. No disk is touched under that inner lock.

use std::sync::Arc;

use bytes::Bytes;
use ottla_protocol::ids::{LeaderEpoch, Offset, TopicIdPartition, TopicPartition};

use crate::{Error, Result};

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
    /// A new segment was begun with these batches (a moment to snapshot producer state).
    pub rolled: bool,
}

/// An answer to "where does this leader epoch end?" (KIP-101, KIP-279).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEndOffset {
    /// The largest epoch known that is not larger than the one asked for.
    pub leader_epoch: LeaderEpoch,
    /// The offset after its last record.
    pub end_offset: Offset,
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

/// A planned read of one segment.
#[derive(Debug)]
pub struct SegmentRead {
    dir: std::path::PathBuf,
}

impl SegmentRead {
    /// Reads whole batches and checks their CRCs. Empty when the log was truncated meanwhile.
    pub fn perform(self) -> Result<Bytes> {
        Err(unavailable(self.dir))
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

/// Reads a log from any thread; cheap to clone.
#[derive(Clone, Debug)]
pub struct LogReader {
    shared: Arc<TopicPartition>,
    id: TopicIdPartition,
}

/// The writing handle of one log.
#[derive(Debug)]
pub struct Log {
    reader: LogReader,
}

fn unavailable(dir: std::path::PathBuf) -> Error {
    Error::Offline {
        dir,
        reason: "not built yet".into(),
    }
}

impl LogReader {
    /// Which partition this is.
    #[must_use]
    pub fn id(&self) -> TopicIdPartition {
        self.id
    }

    /// Its name.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.shared
    }

    /// The first offset that may be read.
    #[must_use]
    pub fn log_start_offset(&self) -> Offset {
        Offset::ZERO
    }

    /// The offset that the next append begins at.
    #[must_use]
    pub fn log_end_offset(&self) -> Offset {
        Offset::ZERO
    }

    /// Everything below survives a power cut. Goes back only by truncation.
    #[must_use]
    pub fn durable_end_offset(&self) -> Offset {
        Offset::ZERO
    }

    /// Bytes in segments, written or not.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        0
    }

    /// Whole batches from the one that contains `from` on, up to `bytes_max` but at least one
    /// (KIP-74), all of them below `upper_bound`. `from` = log end offset (or the upper bound)
    /// gives nothing; outside of the log is [`Error::OffsetOutOfRange`].
    pub fn read(&self, from: Offset, bytes_max: usize, upper_bound: Offset) -> Result<Read> {
        let _ = (from, bytes_max, upper_bound);
        Ok(Read::Memory(Vec::new()))
    }

    /// The first record with this timestamp or a later one. May read the disk.
    pub fn offset_for_timestamp(&self, timestamp: i64) -> Result<Option<TimestampAndOffset>> {
        let _ = timestamp;
        Ok(None)
    }

    /// The record with the largest timestamp (the first of them). May read the disk.
    pub fn max_timestamp(&self) -> Result<Option<TimestampAndOffset>> {
        Ok(None)
    }

    /// The leader epochs and where each began, ascending.
    #[must_use]
    pub fn leader_epochs(&self) -> Vec<(LeaderEpoch, Offset)> {
        Vec::new()
    }

    /// The last leader epoch, where any is known.
    #[must_use]
    pub fn latest_leader_epoch(&self) -> Option<LeaderEpoch> {
        None
    }

    /// Where `leader_epoch` ends here; `None` where the epoch is newer than any known.
    #[must_use]
    pub fn end_offset_for(&self, leader_epoch: LeaderEpoch) -> Option<EpochEndOffset> {
        let _ = leader_epoch;
        None
    }

    /// The leader epoch that the record at `offset` was appended in.
    #[must_use]
    pub fn epoch_for_offset(&self, offset: Offset) -> Option<LeaderEpoch> {
        let _ = offset;
        None
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
        let _ = settings;
    }

    /// Appends whole batches whose offsets and leader epochs are stamped already; the first must
    /// begin at or after the log end offset. Readable at once, durable after the next commit.
    /// `frame_bytes` is the size of the buffer that `batches` is a slice of: a small slice of a
    /// big frame is copied, so that it does not keep the frame alive.
    pub fn append(&mut self, batches: Bytes, frame_bytes: usize, now_ms: i64) -> Result<Appended> {
        let _ = (batches, frame_bytes, now_ms);
        Err(unavailable(Default::default()))
    }

    /// Removes everything from `offset` on; a batch that contains `offset` goes whole. Returns the
    /// new log end offset. Nothing happens where the log ends before.
    pub fn truncate_to(&mut self, offset: Offset) -> Result<Offset> {
        Ok(offset)
    }

    /// Empties the log; the next append begins at `offset`.
    pub fn truncate_fully_and_start_at(&mut self, offset: Offset) -> Result<()> {
        let _ = offset;
        Ok(())
    }

    /// Moves the log start offset up (DeleteRecords, or a follower whose leader did); segments
    /// wholly below are deleted. Beyond the log end is [`Error::OffsetOutOfRange`].
    pub fn set_log_start_offset(&mut self, offset: Offset) -> Result<()> {
        let _ = offset;
        Ok(())
    }

    /// Says that `leader_epoch` begins at `start_offset` (a leader at election, before its first
    /// append). Ignored where that epoch or a later one is known.
    pub fn assign_leader_epoch(
        &mut self,
        leader_epoch: LeaderEpoch,
        start_offset: Offset,
    ) -> Result<()> {
        let _ = (leader_epoch, start_offset);
        Ok(())
    }

    /// Deletes old segments by time and by size, none with records at or above `high_watermark`.
    /// Returns the new log start offset where it moved.
    pub fn apply_retention(
        &mut self,
        now_ms: i64,
        high_watermark: Offset,
    ) -> Result<Option<Offset>> {
        let _ = (now_ms, high_watermark);
        Ok(None)
    }

    /// The newest usable producer state that was saved (see `Listener::producer_state`), and from
    /// where batches must be replayed on top of it. Reads the disk.
    pub fn producer_snapshot(&self) -> Result<ProducerSnapshot> {
        Ok(ProducerSnapshot::default())
    }
}
