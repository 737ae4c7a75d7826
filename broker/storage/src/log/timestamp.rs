//! Reads by time.

use ottla_protocol::ids::Offset;
use ottla_protocol::record_batch::{self, DECOMPRESSED_BYTES_MAX, Header, RecordBatch};

use super::order::Order;
use super::{LogReader, TimestampAndOffset, index, scan};
use crate::error::Context;
use crate::ranked::lock;
use crate::segment::{self, Kind, SegmentId};
use crate::{Error, Result};

/// What a candidate batch says.
fn answer(batch: &[u8], header: &Header, timestamp: i64) -> TimestampAndOffset {
    let found = RecordBatch::first(batch)
        .and_then(|batch| batch.first_at_or_after(timestamp, DECOMPRESSED_BYTES_MAX));
    // a batch that cannot be looked into answers for its first record
    let (offset, timestamp) = found
        .ok()
        .flatten()
        .unwrap_or((header.base_offset, header.max_timestamp));
    TimestampAndOffset {
        timestamp,
        offset,
        leader_epoch: header.partition_leader_epoch,
    }
}

impl LogReader {
    /// The first record with this timestamp or a later one. May read the disk, and decompresses
    /// the one batch that has it.
    pub fn offset_for_timestamp(&self, timestamp: i64) -> Result<Option<TimestampAndOffset>> {
        let log = &self.log;
        loop {
            let state = lock(&log.state);
            let cuts = state.cuts;
            let start = state.log_start_offset;
            let found = (state.segment_at(start)..state.segments.len())
                .find(|&place| state.segments[place].max_timestamp >= timestamp);
            let Some(place) = found else {
                return Ok(None);
            };
            let segment = state.segments[place].id();
            let written = (state.written_bytes(place), state.order(place));
            drop(state);
            let found = self.find_in_segment(segment, written, timestamp, start);
            let state = lock(&log.state);
            if state.cuts != cuts {
                continue;
            }
            if let Some(found) = found? {
                return Ok(Some(found));
            }
            let answer = in_memory(&state, segment.base_offset, timestamp, start);
            if answer.is_some() {
                return Ok(answer);
            }
            // the record was below the log start: what follows may have one
            let Some(next) = state.segments.get(place + 1).map(|next| next.base_offset) else {
                return Ok(None);
            };
            drop(state);
            let found = self.first_after(next, timestamp);
            if lock(&log.state).cuts != cuts {
                continue;
            }
            return found;
        }
    }

    /// The record with the largest timestamp (the first of them). May read the disk.
    pub fn max_timestamp(&self) -> Result<Option<TimestampAndOffset>> {
        let state = lock(&self.log.state);
        let from = state.segment_at(state.log_start_offset);
        let segments = state.segments.iter().skip(from);
        let largest = segments
            .map(|segment| segment.max_timestamp)
            .max()
            .unwrap_or(-1);
        drop(state);
        if largest < 0 {
            Ok(None)
        } else {
            self.offset_for_timestamp(largest)
        }
    }

    fn first_after(&self, base: Offset, timestamp: i64) -> Result<Option<TimestampAndOffset>> {
        let state = lock(&self.log.state);
        let places = state.segment_at(base)..state.segments.len();
        let later: Vec<_> = places
            .filter(|&place| state.segments[place].max_timestamp >= timestamp)
            .map(|place| {
                let written = (state.written_bytes(place), state.order(place));
                (state.segments[place].id(), written)
            })
            .collect();
        drop(state);
        for (segment, written) in later {
            if let Some(found) = self.find_in_segment(segment, written, timestamp, base)? {
                return Ok(Some(found));
            }
            let state = lock(&self.log.state);
            if let Some(found) = in_memory(&state, segment.base_offset, timestamp, base) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn find_in_segment(
        &self,
        segment: SegmentId,
        (written, order): (u64, Order),
        timestamp: i64,
        start: Offset,
    ) -> Result<Option<TimestampAndOffset>> {
        let log = &*self.log;
        if written <= segment::SEGMENT_HEADER_BYTES {
            return Ok(None);
        }
        let floor = index::floor_timestamp(log, segment, written, timestamp)?;
        let mut candidate = None;
        scan::headers(
            log,
            segment,
            (floor.position, written),
            order.from(floor.base_offset),
            &mut |position, header| {
                let is_empty = header.records_count == 0;
                if header.max_timestamp >= timestamp && header.last_offset() >= start && !is_empty {
                    candidate = Some((position, *header));
                }
                candidate.is_none()
            },
        )?;
        let Some((position, header)) = candidate else {
            return Ok(None);
        };
        let path = segment::path(&log.dir, segment, Kind::Data);
        let file = scan::data_file(log, segment)?;
        let mut buffer = Vec::new();
        file.read_at(&mut buffer, position, header.bytes())
            .context("read", &path)?;
        if !header.crc_holds(&buffer) {
            let what = "a record batch's checksum does not match";
            return Err(Error::corrupt(&path, position, what));
        }
        Ok(Some(answer(&buffer, &header, timestamp)))
    }
}

/// The answer of the batches of a segment that are in memory.
fn in_memory(
    state: &super::State,
    base: Offset,
    timestamp: i64,
    start: Offset,
) -> Option<TimestampAndOffset> {
    for chunk in state.tail.from(start).filter(|chunk| chunk.segment == base) {
        for (position, header) in
            record_batch::headers(&chunk.bytes).map_while(std::result::Result::ok)
        {
            if header.max_timestamp >= timestamp && header.last_offset() >= start {
                let batch = &chunk.bytes[position..position + header.bytes()];
                return Some(answer(batch, &header, timestamp));
            }
        }
    }
    None
}
