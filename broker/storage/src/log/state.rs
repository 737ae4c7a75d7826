//! What a log is, apart from its files: changed only by operations, live and at replay alike.

use std::collections::VecDeque;

use bytes::Bytes;
use ottla_protocol::ids::Offset;
use ottla_protocol::log::LeaderEpochs;
use ottla_protocol::record_batch;

use super::LogSettings;
use super::order::Order;
use super::tail::{Chunk, Tail};
use crate::segment::{SEGMENT_HEADER_BYTES, Segment, SegmentId};
use crate::shared::Freed;
use crate::wal::Operation;

/// Files to remove once the record that dooms them is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Doomed {
    /// A segment's files.
    Segment(SegmentId),
    /// Producer snapshots beyond this offset.
    SnapshotsAfter(Offset),
}

/// Behind a mutex that is held briefly; no disk is touched under it.
///
/// Invariants: `log_start_offset <= log_end_offset`; there is at least one segment; segments
/// ascend, and everything from `tail`'s base on is in memory.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) settings: LogSettings,
    pub(crate) log_start_offset: Offset,
    pub(crate) log_end_offset: Offset,
    /// The log's end after the last committed record.
    pub(crate) committed_end_offset: Offset,
    /// Truncations that are queued but not committed.
    pub(crate) pending_truncations: Vec<(u64, Offset)>,
    /// The last record about this log.
    pub(crate) lsn: u64,
    /// Files may be written only when this record is durable: the last one that created,
    /// truncated or emptied the log. Else a crash could find old offsets with new bytes. At a
    /// start, when it is replayed: what the files hold is from after it.
    pub(crate) barrier_lsn: u64,
    pub(crate) leader_epochs: LeaderEpochs,
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) tail: Tail,
    /// Counts truncations and removals of segments, so that a read in flight can tell.
    pub(crate) cuts: u64,
    /// Counts truncations, so that a compaction in flight can tell.
    pub(crate) truncations: u64,
    /// Everything below is compacted.
    pub(crate) clean_end_offset: Offset,
    /// The segments below were whole and synced in the last checkpoint, and are the same still:
    /// only these are compacted, so that a start never has to write into a file that a
    /// replacement removed.
    pub(crate) sealed_below: Offset,
    pub(crate) doomed: Vec<(u64, Doomed)>,
    pub(crate) is_deleted: bool,
    /// Whether the log is in the store's queue of logs to flush.
    pub(crate) is_queued: bool,
    /// Whether anything was appended since producer state was last saved.
    pub(crate) is_producer_state_old: bool,
}

impl State {
    pub(crate) fn new(settings: LogSettings, lsn: u64) -> Self {
        Self {
            settings,
            log_start_offset: Offset::ZERO,
            log_end_offset: Offset::ZERO,
            committed_end_offset: Offset::ZERO,
            pending_truncations: Vec::new(),
            lsn,
            barrier_lsn: lsn,
            leader_epochs: LeaderEpochs::default(),
            segments: VecDeque::from([Segment::new(Offset::ZERO, -1)]),
            tail: Tail::default(),
            cuts: 0,
            truncations: 0,
            clean_end_offset: Offset::ZERO,
            sealed_below: Offset::ZERO,
            doomed: Vec::new(),
            is_deleted: false,
            is_queued: false,
            is_producer_state_old: false,
        }
    }

    /// See `LogReader::durable_end_offset`.
    pub(crate) fn durable_end_offset(&self) -> Offset {
        let pending = self.pending_truncations.iter().map(|&(_, end)| end);
        pending.fold(self.committed_end_offset, Offset::min)
    }

    pub(crate) fn active(&self) -> &Segment {
        self.segments.back().expect("there is at least one segment")
    }

    fn active_mut(&mut self) -> &mut Segment {
        self.segments
            .back_mut()
            .expect("there is at least one segment")
    }

    /// The place of the segment that holds `offset`, or would.
    pub(crate) fn segment_at(&self, offset: Offset) -> usize {
        let after = self
            .segments
            .partition_point(|segment| segment.base_offset <= offset);
        after.saturating_sub(1)
    }

    /// Changes the state as the record says. Returns by how much memory shrank.
    pub(crate) fn replay(&mut self, lsn: u64, operation: &Operation) -> Freed {
        assert!(lsn > self.lsn, "a log's records ascend");
        self.lsn = lsn;
        match operation {
            Operation::Create { .. } => self.barrier_lsn = self.barrier_lsn.max(lsn),
            Operation::Delete => {
                self.barrier_lsn = self.barrier_lsn.max(lsn);
                return self.delete();
            }
            Operation::Append { bytes } => self.append(bytes.clone()),
            Operation::Roll {
                base_offset,
                created_ms,
            } => {
                self.segments
                    .push_back(Segment::new(*base_offset, *created_ms));
            }
            Operation::Truncate {
                end_offset,
                position,
                max_timestamp,
            } => {
                return self.truncate(lsn, *end_offset, *position, *max_timestamp);
            }
            Operation::StartAt { offset } => return self.start_at(lsn, *offset),
            Operation::LogStart { offset } => return self.log_start(lsn, *offset),
            Operation::CleanEnd { offset } => self.clean_end_offset = *offset,
            Operation::Replace {
                segment,
                until,
                bytes,
                first_timestamp,
                max_timestamp,
                delete_horizon_ms,
            } => {
                let segment = Segment {
                    generation: segment.generation,
                    bytes: *bytes,
                    first_timestamp: *first_timestamp,
                    max_timestamp: *max_timestamp,
                    delete_horizon_ms: *delete_horizon_ms,
                    index_cut: None,
                    ..Segment::new(segment.base_offset, -1)
                };
                return self.replace(lsn, segment, *until);
            }
        }
        Freed::default()
    }

    fn append(&mut self, bytes: Bytes) {
        let (mut base, mut end, mut max_timestamp) = (None, self.log_end_offset, -1);
        for (_, header) in record_batch::headers(&bytes).map_while(Result::ok) {
            assert!(header.base_offset >= end, "batches ascend");
            base.get_or_insert(header.base_offset);
            end = header.next_offset();
            max_timestamp = max_timestamp.max(header.max_timestamp);
            self.leader_epochs
                .assign(header.partition_leader_epoch, header.base_offset);
        }
        let Some(base_offset) = base else {
            return;
        };
        self.log_end_offset = end;
        let length = bytes.len() as u64;
        let segment = self.active_mut();
        let chunk = Chunk {
            number: 0,
            base_offset,
            next_offset: end,
            segment: segment.base_offset,
            position: segment.bytes,
            bytes,
        };
        if segment.is_empty() {
            segment.first_timestamp = max_timestamp;
        }
        segment.max_timestamp = segment.max_timestamp.max(max_timestamp);
        segment.bytes += length;
        self.tail.push(chunk);
        self.is_producer_state_old = true;
    }

    fn truncate(&mut self, lsn: u64, end: Offset, position: u64, max_timestamp: i64) -> Freed {
        let keep = self.segment_at(end);
        self.cut(lsn, end);
        for segment in self.segments.drain(keep + 1..) {
            self.doomed.push((lsn, Doomed::Segment(segment.id())));
        }
        let segment = self.active_mut();
        assert!(position <= segment.bytes, "a truncation shortens");
        segment.bytes = position;
        segment.max_timestamp = max_timestamp;
        if segment.is_empty() {
            segment.first_timestamp = -1;
        }
        segment.index_cut = Some(segment.index_cut.map_or(position, |cut| cut.min(position)));
        self.leader_epochs.truncate_from_end(end);
        self.tail.truncate(end)
    }

    /// Puts a compacted segment in the place of those from its base offset to `until`.
    fn replace(&mut self, lsn: u64, mut segment: Segment, until: Offset) -> Freed {
        let from = self.segment_at(segment.base_offset);
        let end = self.segment_at(until);
        assert!(from < end, "the active segment is never replaced");
        let old: Vec<Segment> = self.segments.drain(from..end).collect();
        assert_eq!(old[0].base_offset, segment.base_offset);
        for old in &old {
            self.doomed.push((lsn, Doomed::Segment(old.id())));
        }
        segment.created_ms = old[old.len() - 1].created_ms;
        self.segments.insert(from, segment);
        self.cuts += 1;
        // what memory has of them is as it was before
        self.tail.drop_below(until)
    }

    fn start_at(&mut self, lsn: u64, offset: Offset) -> Freed {
        let freed = self.tail.clear();
        self.cut(lsn, offset);
        self.log_start_offset = offset;
        let created_ms = self.active().created_ms;
        for segment in self.segments.drain(..) {
            self.doomed.push((lsn, Doomed::Segment(segment.id())));
        }
        self.segments.push_back(Segment::new(offset, created_ms));
        self.leader_epochs.clear();
        self.clean_end_offset = offset;
        self.sealed_below = offset;
        // producer state below is of the log that was
        self.doomed.push((lsn, Doomed::SnapshotsAfter(Offset(-1))));
        freed
    }

    /// What every truncation does.
    fn cut(&mut self, lsn: u64, end: Offset) {
        self.log_end_offset = end;
        self.pending_truncations.push((lsn, end));
        self.barrier_lsn = self.barrier_lsn.max(lsn);
        self.cuts += 1;
        self.truncations += 1;
        self.clean_end_offset = self.clean_end_offset.min(end);
        let active = self.segments[self.segment_at(end)].base_offset;
        self.sealed_below = self.sealed_below.min(active);
        self.doomed.push((lsn, Doomed::SnapshotsAfter(end)));
        self.is_producer_state_old = true;
    }

    fn log_start(&mut self, lsn: u64, offset: Offset) -> Freed {
        self.log_start_offset = offset;
        while self.segments.len() > 1 && self.segments[1].base_offset <= offset {
            if let Some(segment) = self.segments.pop_front() {
                self.doomed.push((lsn, Doomed::Segment(segment.id())));
                self.cuts += 1;
            }
        }
        self.leader_epochs.truncate_from_start(offset);
        self.tail.drop_below(self.segments[0].base_offset)
    }

    fn delete(&mut self) -> Freed {
        self.is_deleted = true;
        self.cuts += 1;
        self.tail.clear()
    }

    /// Notes that a record of this log was committed.
    pub(crate) fn committed(&mut self, lsn: u64, operation: &Operation) {
        match operation {
            Operation::Append { bytes } => {
                if let Some(last) = record_batch::headers(bytes).map_while(Result::ok).last() {
                    self.committed_end_offset = last.1.next_offset();
                }
            }
            Operation::Truncate {
                end_offset: end, ..
            }
            | Operation::StartAt { offset: end } => {
                self.committed_end_offset = *end;
                self.pending_truncations
                    .retain(|&(pending, _)| pending > lsn);
            }
            _ => {}
        }
    }

    /// What is on disk when a start begins.
    pub(crate) fn settle(&mut self) {
        self.committed_end_offset = self.log_end_offset;
        self.pending_truncations.clear();
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.segments.iter().map(Segment::data_bytes).sum()
    }

    /// What the batches are held against that are in the file of the segment at `place`.
    pub(crate) fn order(&self, place: usize) -> Order {
        let base_offset = self.segments[place].base_offset;
        let end = match self.tail.first_unflushed() {
            Some(chunk) if chunk.segment < base_offset => base_offset,
            Some(chunk) if chunk.segment == base_offset => chunk.base_offset,
            _ => {
                let next = self.segments.get(place + 1);
                next.map_or(self.log_end_offset, |next| next.base_offset)
            }
        };
        Order::new(base_offset, end, self.leader_epochs.clone())
    }

    /// Up to where the segment at `place` is in its file.
    pub(crate) fn written_bytes(&self, place: usize) -> u64 {
        let segment = &self.segments[place];
        match self.tail.first_unflushed() {
            Some(chunk) if chunk.segment < segment.base_offset => SEGMENT_HEADER_BYTES,
            Some(chunk) if chunk.segment == segment.base_offset => chunk.position,
            _ => segment.bytes,
        }
    }
}
