//! What changes a log: each call queues WAL records and changes the state in memory by them.

use bytes::Bytes;
use ottla_protocol::ids::Offset;
use ottla_protocol::record_batch;

use super::state::State;
use super::{Appended, Log, LogReader, index, scan};
use crate::ranked::lock;
use crate::segment::SEGMENT_HEADER_BYTES;
use crate::wal::Operation;
use crate::{Error, Result, serving};

/// A slice of less than this part of its frame is copied.
const PINNED_PART: usize = 64;
/// A slice of fewer bytes is copied: that costs little, and its frame may be a slice as well.
const PINNED_BYTES_MIN: usize = 4096;
/// The largest distance of an offset from its segment's base.
const RELATIVE_OFFSET_MAX: i64 = i32::MAX as i64;

/// Whether a slice of so many bytes is to be copied rather than kept with its frame.
#[must_use]
pub fn pins_too_much(bytes: usize, frame_bytes: usize) -> bool {
    bytes < PINNED_BYTES_MIN.max(frame_bytes / PINNED_PART)
}

/// What an append needs to know of its batches.
struct Extent {
    base_offset: Offset,
    next_offset: Offset,
    max_timestamp: i64,
}

fn measure(bytes: &[u8], log_end_offset: Offset) -> Result<Extent> {
    let mut extent: Option<Extent> = None;
    for found in record_batch::headers(bytes) {
        let (_, header) = found.map_err(Error::InvalidBatches)?;
        let end = extent
            .as_ref()
            .map_or(log_end_offset, |extent| extent.next_offset);
        if header.base_offset < end {
            let what = "a batch begins below the log end offset";
            return Err(Error::InvalidBatches(record_batch::Error::Inconsistent(
                what,
            )));
        }
        let extent = extent.get_or_insert(Extent {
            base_offset: header.base_offset,
            next_offset: header.next_offset(),
            max_timestamp: -1,
        });
        extent.next_offset = header.next_offset();
        extent.max_timestamp = extent.max_timestamp.max(header.max_timestamp);
    }
    let none = record_batch::Error::Inconsistent("there is no batch");
    extent.ok_or(Error::InvalidBatches(none))
}

/// Whether these batches belong into a new segment, as Kafka decides it.
fn is_roll_due(state: &State, bytes: usize, extent: &Extent, now_ms: i64) -> bool {
    let segment = state.active();
    if segment.is_empty() {
        // an empty segment after a gap would give relative offsets that do not fit
        return extent.next_offset.0 - segment.base_offset.0 > RELATIVE_OFFSET_MAX;
    }
    let settings = &state.settings;
    let is_old = if segment.first_timestamp >= 0 && extent.max_timestamp >= 0 {
        extent.max_timestamp - segment.first_timestamp > settings.segment_ms
    } else {
        segment.created_ms >= 0 && now_ms - segment.created_ms > settings.segment_ms
    };
    is_old
        || segment.data_bytes() + bytes as u64 > settings.segment_bytes
        || extent.next_offset.0 - segment.base_offset.0 > RELATIVE_OFFSET_MAX
}

/// Where a truncation cuts a log.
#[derive(Clone, Debug)]
pub struct Cut {
    /// The log end offset afterwards.
    pub end_offset: Offset,
    /// From where on everything goes.
    offset: Offset,
    operation: Option<Operation>,
    /// The log's last change when it was looked at.
    lsn: u64,
}

impl LogReader {
    fn check_exists(&self, state: &State) -> Result<()> {
        if state.is_deleted {
            return Err(Error::LogDeleted(self.log.name.clone()));
        }
        self.log.shared.check_online()
    }

    /// Where the log is to be cut that everything from `offset` on goes, as
    /// [`Log::truncate_to`] does. Reads the disk, so that [`Log::cut`] need not.
    pub fn find_cut(&self, offset: Offset) -> Result<Cut> {
        let (lsn, log_start_offset, log_end_offset) = {
            let state = lock(&self.log.state);
            self.check_exists(&state)?;
            (state.lsn, state.log_start_offset, state.log_end_offset)
        };
        let start_at = (offset, Some(Operation::StartAt { offset }));
        let (end_offset, operation) = if offset >= log_end_offset {
            (log_end_offset, None)
        } else if offset < log_start_offset {
            start_at
        } else {
            match self.find_batch(offset)? {
                (end_offset, cut) if end_offset >= log_start_offset => (end_offset, Some(cut)),
                // the batch began before the log start: nothing readable is left
                _ => start_at,
            }
        };
        Ok(Cut {
            end_offset,
            offset,
            operation,
            lsn,
        })
    }

    /// The operation that removes the batch that contains `offset`, and all after it; and where the
    /// log ends then.
    fn find_batch(&self, offset: Offset) -> Result<(Offset, Operation)> {
        let log = &self.log;
        let state = lock(&log.state);
        let place = state.segment_at(offset);
        let segment = state.segments[place].clone();
        let written = state.written_bytes(place);
        let order = state.order(place);
        let chunks: Vec<_> = state
            .tail
            .unflushed()
            .filter(|chunk| chunk.segment == segment.base_offset)
            .map(|chunk| (chunk.position, chunk.bytes.clone()))
            .collect();
        drop(state);
        // the index knows the largest timestamp of all that lies before the few batches to look at
        let floor = match written {
            SEGMENT_HEADER_BYTES => index::Floor::front(segment.id()),
            _ => index::floor_offset(log, segment.id(), written, offset)?,
        };
        let mut end_offset = None;
        let (mut position, mut max_timestamp) = (segment.bytes, floor.max_timestamp_before);
        let mut visit = |at: u64, header: &record_batch::Header| {
            if header.last_offset() >= offset {
                end_offset = Some(header.base_offset.min(offset));
                position = at;
                return false;
            }
            max_timestamp = max_timestamp.max(header.max_timestamp);
            true
        };
        let mut is_found = false;
        scan::headers(
            log,
            segment.id(),
            (floor.position, written),
            order.from(floor.base_offset),
            &mut |at, header| {
                is_found = !visit(at, header);
                !is_found
            },
        )?;
        if !is_found {
            'chunks: for (start, bytes) in &chunks {
                for (at, header) in record_batch::headers(bytes).map_while(std::result::Result::ok)
                {
                    if !visit(start + at as u64, &header) {
                        break 'chunks;
                    }
                }
            }
        }
        let end_offset = end_offset.unwrap_or(offset);
        let cut = Operation::Truncate {
            end_offset,
            position,
            max_timestamp,
        };
        Ok((end_offset, cut))
    }
}

impl Log {
    /// Appends whole batches whose offsets and leader epochs are stamped already; the first must
    /// begin at or after the log end offset. Readable at once, durable after the next commit.
    /// `frame_bytes` is the size of the buffer that `batches` is a slice of: a small slice of a
    /// big frame is copied, so that it does not keep the frame alive.
    pub fn append(
        &mut self,
        mut batches: Bytes,
        frame_bytes: usize,
        now_ms: i64,
    ) -> Result<Appended> {
        let log = &self.reader.log;
        let shared = &log.shared;
        shared.check_online()?;
        if shared.is_full.load(std::sync::atomic::Ordering::Acquire) {
            return Err(shared.full());
        }
        if pins_too_much(batches.len(), frame_bytes) {
            batches = Bytes::copy_from_slice(&batches);
        }
        let mut state = lock(&log.state);
        self.check_exists(&state)?;
        let extent = measure(&batches, state.log_end_offset)?;
        let rolled = is_roll_due(&state, batches.len(), &extent, now_ms);
        if rolled {
            let roll = Operation::Roll {
                base_offset: extent.base_offset,
                created_ms: now_ms,
            };
            log.change(&mut state, roll);
        }
        let lsn = log.change(&mut state, Operation::Append { bytes: batches });
        Ok(Appended {
            base_offset: extent.base_offset,
            log_end_offset: extent.next_offset,
            rolled,
            lsn,
        })
    }

    /// Removes everything from `offset` on; a batch that contains `offset` goes whole. Returns the
    /// new log end offset. Nothing happens where the log ends before. Below the log start, the log
    /// is emptied and goes on at `offset`. Reads the disk: see [`LogReader::find_cut`].
    pub fn truncate_to(&mut self, offset: Offset) -> Result<Offset> {
        self.cut(&self.find_cut(offset)?)
    }

    /// Truncates the log where that was found before, and returns the new log end offset. Where the
    /// log has changed since, the place is looked for again.
    pub fn cut(&mut self, cut: &Cut) -> Result<Offset> {
        let log = &self.reader.log;
        let mut state = lock(&log.state);
        self.check_exists(&state)?;
        if state.lsn != cut.lsn {
            drop(state);
            // a compaction came between: too rare to be worth another way
            return serving::blocking(|| self.truncate_to(cut.offset));
        }
        if let Some(operation) = &cut.operation {
            log.change(&mut state, operation.clone());
        }
        Ok(cut.end_offset)
    }

    /// Empties the log; the next append begins at `offset`.
    pub fn truncate_fully_and_start_at(&mut self, offset: Offset) -> Result<()> {
        let log = &self.reader.log;
        let mut state = lock(&log.state);
        self.check_exists(&state)?;
        log.change(&mut state, Operation::StartAt { offset });
        Ok(())
    }

    /// Moves the log start offset up (DeleteRecords, or a follower whose leader did); segments
    /// wholly below are deleted. Beyond the log end is [`Error::OffsetOutOfRange`].
    pub fn set_log_start_offset(&mut self, offset: Offset) -> Result<()> {
        let log = &self.reader.log;
        let mut state = lock(&log.state);
        self.check_exists(&state)?;
        if offset > state.log_end_offset || offset < Offset::ZERO {
            return Err(Error::OffsetOutOfRange {
                offset,
                log_start_offset: state.log_start_offset,
                log_end_offset: state.log_end_offset,
            });
        }
        if offset > state.log_start_offset {
            log.change(&mut state, Operation::LogStart { offset });
        }
        Ok(())
    }

    /// Deletes old segments by time and by size, none with records at or above `high_watermark`.
    /// Returns the new log start offset where it moved.
    pub fn apply_retention(
        &mut self,
        now_ms: i64,
        high_watermark: Offset,
    ) -> Result<Option<Offset>> {
        let log = &self.reader.log;
        let mut state = lock(&log.state);
        self.check_exists(&state)?;
        let settings = state.settings;
        let mut size = state.size_bytes();
        let mut start = state.log_start_offset;
        let mut is_all = true;
        for (place, segment) in state.segments.iter().enumerate() {
            let next = state.segments.get(place + 1);
            let end = next.map_or(state.log_end_offset, |next| next.base_offset);
            let is_old = settings.retention_ms >= 0
                && segment.max_timestamp >= 0
                && now_ms.saturating_sub(segment.max_timestamp) > settings.retention_ms;
            let is_excess = settings.retention_bytes >= 0
                && next.is_some()
                && size.saturating_sub(segment.data_bytes()) >= settings.retention_bytes as u64;
            if segment.is_empty() && next.is_some() && end <= high_watermark {
                // compaction left nothing of it: it goes with what follows
                continue;
            }
            if segment.is_empty() || end > high_watermark || !(is_old || is_excess) {
                is_all = false;
                break;
            }
            size -= segment.data_bytes();
            start = start.max(end);
        }
        if start == state.log_start_offset {
            return Ok(None);
        }
        if is_all {
            // the active segment goes too: what follows begins in a new one
            let roll = Operation::Roll {
                base_offset: state.log_end_offset,
                created_ms: now_ms,
            };
            log.change(&mut state, roll);
        }
        log.change(&mut state, Operation::LogStart { offset: start });
        Ok(Some(start))
    }
}
