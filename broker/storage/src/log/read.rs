//! Reads by offset: from memory at once, from a segment by a plan without locks.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use ottla_protocol::ids::Offset;
use ottla_protocol::record_batch::{HEADER_BYTES, Header};

use super::order::{self, BASE_OFFSET_BYTES, Order};
use super::state::State;
use super::{LogReader, Read, SharedLog, index, scan};
use crate::error::Context;
use crate::ranked::lock;
use crate::segment::{self, Kind, SEGMENT_HEADER_BYTES, SegmentId};
use crate::{Error, Result};

/// How many readers of one log are remembered.
const HINTS_MAX: usize = 4;

/// Where reads of segments ended. A place is good only until the log is cut.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    places: [Option<Place>; HINTS_MAX],
    next: usize,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    next_offset: Offset,
    segment: SegmentId,
    position: u64,
    cuts: u64,
}

impl Hints {
    fn find(&self, read: &SegmentRead) -> Option<u64> {
        let mut places = self.places.iter().flatten();
        let place = places.find(|place| {
            place.next_offset == read.from
                && place.segment == read.segment
                && place.cuts == read.cuts
        });
        place.map(|place| place.position)
    }

    fn note(&mut self, from: Offset, place: Place) {
        // a reader that goes on takes its old place
        let is_it = |old: &Option<Place>| old.is_some_and(|old| old.next_offset == from);
        let at = self.places.iter().position(is_it).unwrap_or_else(|| {
            self.next = (self.next + 1) % HINTS_MAX;
            self.next
        });
        self.places[at] = Some(place);
    }
}

/// A planned read of one segment.
#[derive(Debug)]
pub struct SegmentRead {
    log: Arc<SharedLog>,
    segment: SegmentId,
    /// The file's length as of the plan.
    written: u64,
    order: Order,
    from: Offset,
    bytes_max: usize,
    upper_bound: Offset,
    cuts: u64,
    truncations: u64,
}

impl LogReader {
    /// Whole batches from the one that contains `from` on, up to `bytes_max` but at least one
    /// (KIP-74), all of them below `upper_bound`. `from` = log end offset (or the upper bound)
    /// gives nothing; outside of the log is [`Error::OffsetOutOfRange`].
    pub fn read(&self, from: Offset, bytes_max: usize, upper_bound: Offset) -> Result<Read> {
        let log = &self.log;
        let state = lock(&log.state);
        if state.is_deleted {
            return Err(Error::LogDeleted(log.name.clone()));
        }
        if from < state.log_start_offset || from > state.log_end_offset {
            return Err(Error::OffsetOutOfRange {
                offset: from,
                log_start_offset: state.log_start_offset,
                log_end_offset: state.log_end_offset,
            });
        }
        let upper_bound = upper_bound.min(state.log_end_offset);
        if from >= upper_bound {
            return Ok(Read::Memory(Vec::new()));
        }
        if state.tail.base_offset().is_some_and(|base| base <= from) {
            return Ok(Read::Memory(state.tail.read(from, bytes_max, upper_bound)));
        }
        Ok(plan(log, &state, from, bytes_max, upper_bound))
    }
}

fn plan(
    log: &Arc<SharedLog>,
    state: &State,
    from: Offset,
    bytes_max: usize,
    upper_bound: Offset,
) -> Read {
    let place = state.segment_at(from);
    Read::Segment(SegmentRead {
        log: log.clone(),
        segment: state.segments[place].id(),
        written: state.written_bytes(place),
        order: state.order(place),
        from,
        bytes_max,
        upper_bound,
        cuts: state.cuts,
        truncations: state.truncations,
    })
}

impl SegmentRead {
    /// Reads whole batches, and checks their CRCs and that they are where they should be. Empty
    /// when the log was truncated meanwhile.
    pub fn perform(self) -> Result<Bytes> {
        let found = self.read();
        let state = lock(&self.log.state);
        if state.cuts != self.cuts {
            let is_same = state.truncations == self.truncations && !state.is_deleted;
            let is_there = self.from >= state.log_start_offset;
            drop(state);
            if is_same && is_there {
                // compaction put another file in the place of the one that was read
                return self.read_from(self.from);
            }
            // a truncation explains anything: the caller asks again
            return Ok(Bytes::new());
        }
        match found? {
            Some(bytes) => Ok(bytes),
            // compaction may leave nothing at a segment's end: the next one has it
            None => {
                let place = state.segment_at(self.from) + 1;
                let next = state.segments.get(place).map(|next| next.base_offset);
                // memory may begin with the rest of this segment
                let in_memory = state.tail.base_offset();
                let Some(next) = next.filter(|next| in_memory.is_none_or(|base| base >= *next))
                else {
                    return Ok(memory(&state, &self));
                };
                if next >= self.upper_bound {
                    return Ok(Bytes::new());
                }
                drop(state);
                self.read_from(next)
            }
        }
    }

    /// Plans again, and reads.
    fn read_from(&self, from: Offset) -> Result<Bytes> {
        let reader = LogReader {
            log: self.log.clone(),
        };
        match reader.read(from, self.bytes_max, self.upper_bound) {
            Ok(Read::Memory(slices)) => Ok(slices.into_iter().next().unwrap_or_default()),
            Ok(Read::Segment(read)) => read.perform(),
            // the log was cut in between
            Err(Error::OffsetOutOfRange { .. } | Error::LogDeleted(_)) => Ok(Bytes::new()),
            Err(error) => Err(error),
        }
    }

    /// `None` where the segment has nothing at or after the offset.
    fn read(&self) -> Result<Option<Bytes>> {
        let log = &*self.log;
        let Some((position, mut order)) = self.find()? else {
            return Ok(None);
        };
        let path = segment::path(&log.dir, self.segment, Kind::Data);
        let file = scan::data_file(log, self.segment)?;
        let left = (self.written - position) as usize;
        let mut buffer = Vec::new();
        let mut wanted = self.bytes_max.clamp(HEADER_BYTES, left);
        // the front of the batch behind says where the last one has to end
        file.read_at(&mut buffer, position, wanted + BASE_OFFSET_BYTES)
            .context("read", &path)?;
        let corrupt =
            |at: usize, what: Cow<'static, str>| Error::corrupt(&path, position + at as u64, what);
        let first =
            Header::read_placed(&buffer).map_err(|error| corrupt(0, error.to_string().into()))?;
        if first.bytes() > left {
            return Err(corrupt(0, "a record batch is cut off".into()));
        }
        if first.bytes() > wanted {
            wanted = first.bytes();
            let needed = (wanted + BASE_OFFSET_BYTES).saturating_sub(buffer.len());
            let from = position + buffer.len() as u64;
            file.read_at(&mut buffer, from, needed)
                .context("read", &path)?;
        }
        let mut end = 0;
        let mut next_offset = self.from;
        while let Ok(header) = Header::read_placed(&buffer[end..])
            && end + header.bytes() <= wanted.min(buffer.len())
        {
            let behind = end + header.bytes();
            let after = buffer.get(behind..).filter(|_| behind < left);
            let sound = order
                .pass(&header, after.and_then(order::base_offset))
                .and_then(|()| match header.crc_holds(&buffer[end..]) {
                    true => Ok(()),
                    false => Err("a record batch's checksum does not match"),
                });
            match sound {
                Err(what) if end == 0 => return Err(corrupt(end, what.into())),
                // all before it is whole; who goes on there is told
                Err(_) => break,
                Ok(()) if header.next_offset() > self.upper_bound => break,
                Ok(()) => {}
            }
            end = behind;
            next_offset = header.next_offset();
        }
        buffer.truncate(end);
        if end == 0 {
            // no batch ends where the next reader begins
            return Ok(Some(buffer.into()));
        }
        let place = Place {
            next_offset,
            segment: self.segment,
            position: position + end as u64,
            cuts: self.cuts,
        };
        lock(&log.hints).note(self.from, place);
        Ok(Some(buffer.into()))
    }

    /// The position of the batch that contains the offset, or the first one after it; and what it
    /// and those behind it are held against.
    fn find(&self) -> Result<Option<(u64, Order)>> {
        let log = &*self.log;
        if let Some(position) = lock(&log.hints).find(self)
            && position < self.written
        {
            return Ok(Some((position, self.order.clone().from(self.from))));
        }
        if self.written == SEGMENT_HEADER_BYTES {
            return Ok(None);
        }
        let floor = index::floor_offset(log, self.segment, self.written, self.from)?;
        let order = self.order.clone().from(floor.base_offset);
        let span = (floor.position, self.written);
        let (mut found, mut damaged) = (None, None);
        let mut visit = |position: u64, header: &Header, damage: Option<Error>| {
            if let Some(damage) = damage {
                damaged.get_or_insert(damage);
                return Ok(true);
            }
            if header.last_offset() < self.from {
                return Ok(true);
            }
            // the offset may be in what is damaged
            if header.base_offset > self.from
                && let Some(damage) = damaged.take()
            {
                return Err(damage);
            }
            // the scan held it against its neighbours
            found = Some((position, order.clone().from(header.base_offset)));
            Ok(false)
        };
        scan::judged(log, self.segment, span, order.clone(), &mut visit)?;
        match damaged {
            Some(damage) if found.is_none() => Err(damage),
            _ => Ok(found),
        }
    }
}

/// What memory has at or after the offset, where no segment has.
fn memory(state: &State, read: &SegmentRead) -> Bytes {
    let slices = state.tail.read(read.from, read.bytes_max, read.upper_bound);
    slices.into_iter().next().unwrap_or_default()
}
