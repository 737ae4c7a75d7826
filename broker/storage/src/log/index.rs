//! A segment's index: sparse places by offset and by time.
//!
//! ```text
//! <base offset, 20 digits>.index, entries of 20 bytes:
//! 0          4          8                   16
//! | relative | position | largest timestamp | crc |
//! | offset   | u32      | before it  i64    | u32 |
//! | u32      |          |                   |     |
//! ```
//! Little-endian. An entry names a batch; its timestamp is the largest of all batches before that
//! one in the segment. The crc is seeded with the log's number and the base offset. An index is
//! synced only when it is cut: entries that are lost or damaged are found by their crc and made
//! again from the data.

use std::sync::Arc;

use ottla_protocol::ids::Offset;
use ottla_protocol::record_batch::Header;

use super::order::Order;
use super::{SharedLog, scan};
use crate::disk::Mode;
use crate::error::Context;
use crate::fields::{eight, four};
use crate::ranked::lock;
use crate::segment::{self, Kind, SEGMENT_HEADER_BYTES, SegmentId};
use crate::{File, Result};

const ENTRY_BYTES: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) relative_offset: u32,
    pub(crate) position: u32,
    pub(crate) max_timestamp_before: i64,
}

/// The end of an index that is being written. Owned by `SharedLog::indexes`, whose lock is held
/// during I/O: it serializes the flusher's writes with lookups.
#[derive(Debug)]
pub(crate) struct Index {
    file: Arc<dyn File>,
    seed: u32,
    base_offset: Offset,
    entries: u64,
    last_position: u64,
    /// Whether entries behind those are to be cut off before anything is written.
    is_longer: bool,
    /// Of the last entry that was found.
    last_base_offset: Offset,
    max_timestamp: i64,
    /// Entries not written yet.
    fresh: Vec<u8>,
}

fn encode(entry: &Entry, seed: u32) -> [u8; ENTRY_BYTES] {
    let mut bytes = [0; ENTRY_BYTES];
    bytes[..4].copy_from_slice(&entry.relative_offset.to_le_bytes());
    bytes[4..8].copy_from_slice(&entry.position.to_le_bytes());
    bytes[8..16].copy_from_slice(&entry.max_timestamp_before.to_le_bytes());
    let crc = crc32c::crc32c_append(seed, &bytes[..16]);
    bytes[16..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8], seed: u32) -> Option<Entry> {
    if bytes.len() != ENTRY_BYTES
        || crc32c::crc32c_append(seed, &bytes[..16]) != u32::from_le_bytes(four(bytes, 16))
    {
        return None;
    }
    Some(Entry {
        relative_offset: u32::from_le_bytes(four(bytes, 0)),
        position: u32::from_le_bytes(four(bytes, 4)),
        max_timestamp_before: i64::from_le_bytes(eight(bytes, 8)),
    })
}

fn read_entry(file: &dyn File, place: u64, seed: u32) -> std::io::Result<Option<Entry>> {
    let mut bytes = Vec::with_capacity(ENTRY_BYTES);
    file.read_at(&mut bytes, place * ENTRY_BYTES as u64, ENTRY_BYTES)?;
    Ok(decode(&bytes, seed))
}

/// Whether the data has, at the entry's position, the batch that the entry names. A failed sync
/// can bring entries back that were cut: their crc holds, but the data is the truth.
fn is_true(log: &SharedLog, id: SegmentId, written: u64, entry: &Entry) -> Result<bool> {
    let position = u64::from(entry.position);
    if position >= written {
        return Ok(false);
    }
    let offset = id.base_offset.plus(i64::from(entry.relative_offset));
    let found = scan::header_at(log, id, position, written)?;
    Ok(found.is_some_and(|header| header.base_offset == offset))
}

fn seed(log: &SharedLog, id: SegmentId) -> u32 {
    let crc = crc32c::crc32c(&log.number.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &id.base_offset.0.to_le_bytes());
    // the indexes of before there were generations are good still
    match id.generation {
        0 => crc,
        generation => crc32c::crc32c_append(crc, &generation.to_le_bytes()),
    }
}

impl Index {
    /// Opens the index of a segment whose data file is complete up to `written`: entries from
    /// `cut` on are dropped, those that are missing are made by [`Self::catch_up`]. The file stays
    /// as it is until [`Self::write`]: what is damaged may still be found by what it has.
    pub(crate) fn open(log: &SharedLog, id: SegmentId, written: u64, cut: u64) -> Result<Self> {
        let shared = &log.shared;
        let path = segment::path(&log.dir, id, Kind::Index);
        let key = (log.number, id, Kind::Index);
        let file = shared
            .files
            .open(&*shared.disk, key, &path, Mode::Create)
            .context("open", &path)?;
        let seed = seed(log, id);
        let file_bytes = file.len().context("look at", &path)?;
        let mut entries = file_bytes / ENTRY_BYTES as u64;
        let mut last = None;
        while entries > 0 {
            last = read_entry(&*file, entries - 1, seed).context("read", &path)?;
            if let Some(last) = &last
                && u64::from(last.position) < cut
                && is_true(log, id, written, last)?
            {
                break;
            }
            last = None;
            entries -= 1;
        }
        let last_offset = last.map_or(0, |last| i64::from(last.relative_offset));
        Ok(Self {
            file,
            seed,
            base_offset: id.base_offset,
            entries,
            is_longer: file_bytes > entries * ENTRY_BYTES as u64,
            last_position: last.map_or(SEGMENT_HEADER_BYTES, |last| u64::from(last.position)),
            max_timestamp: last.map_or(-1, |last| last.max_timestamp_before),
            last_base_offset: id.base_offset.plus(last_offset),
            fresh: Vec::new(),
        })
    }

    /// Makes the entries up to `written` that are missing from the data.
    pub(crate) fn catch_up(
        &mut self,
        log: &SharedLog,
        id: SegmentId,
        (written, order): (u64, Order),
        interval: u64,
    ) -> Result<()> {
        let span = (self.last_position, written);
        let order = order.from(self.last_base_offset);
        scan::headers(log, id, span, order, &mut |position, header| {
            self.add(position, header, interval);
            true
        })?;
        self.write(log, id)
    }

    /// Goes on at `position` without entries for what lies before it, which is damaged, and has no
    /// later timestamp than this: who looks for it walks there, and is told.
    pub(crate) fn skip_to(&mut self, position: u64, max_timestamp: i64) {
        self.last_position = position;
        self.max_timestamp = self.max_timestamp.max(max_timestamp);
    }

    /// Notes the next batch.
    pub(crate) fn add(&mut self, position: u64, header: &Header, interval: u64) {
        let relative = u32::try_from(header.base_offset.0 - self.base_offset.0);
        if let (Ok(relative_offset), Ok(place)) = (relative, u32::try_from(position))
            && position >= self.last_position + interval.max(1)
        {
            let max_timestamp_before = self.max_timestamp;
            let entry = Entry {
                relative_offset,
                position: place,
                max_timestamp_before,
            };
            self.fresh.extend_from_slice(&encode(&entry, self.seed));
            self.last_position = position;
        }
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
    }

    /// Writes the entries noted.
    pub(crate) fn write(&mut self, log: &SharedLog, id: SegmentId) -> Result<()> {
        let path = || segment::path(&log.dir, id, Kind::Index);
        if std::mem::take(&mut self.is_longer) {
            let cut = self.file.set_len(self.entries * ENTRY_BYTES as u64);
            cut.context("cut", &path())?;
            // entries of batches that were truncated must not come back after a power cut
            self.file.sync_data().sync_context(&path())?;
        }
        if !self.fresh.is_empty() {
            self.file
                .write_at(&self.fresh, self.entries * ENTRY_BYTES as u64)
                .context("write", &path())?;
            self.entries += (self.fresh.len() / ENTRY_BYTES) as u64;
            self.fresh.clear();
        }
        Ok(())
    }
}

/// Where to begin in a segment, and what is known of the batches before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Floor {
    pub(crate) position: u64,
    /// Of the batch there; of the first one, what the segment's name says.
    pub(crate) base_offset: Offset,
    /// Their largest timestamp; −1: there are none.
    pub(crate) max_timestamp_before: i64,
}

impl Floor {
    pub(crate) fn front(id: SegmentId) -> Self {
        Self {
            position: SEGMENT_HEADER_BYTES,
            base_offset: id.base_offset,
            max_timestamp_before: -1,
        }
    }
}

/// A position at or before the first batch with an offset at or after `offset`.
pub(crate) fn floor_offset(
    log: &SharedLog,
    id: SegmentId,
    written: u64,
    offset: Offset,
) -> Result<Floor> {
    let relative = u32::try_from(offset.0 - id.base_offset.0).unwrap_or(u32::MAX);
    floor(log, id, written, &|entry| entry.relative_offset <= relative)
}

/// A position such that every batch before it is older than `timestamp`.
pub(crate) fn floor_timestamp(
    log: &SharedLog,
    id: SegmentId,
    written: u64,
    timestamp: i64,
) -> Result<Floor> {
    floor(log, id, written, &|entry| {
        entry.max_timestamp_before < timestamp
    })
}

/// The position of the last entry that is `below`; the segment's front where none is.
fn floor(
    log: &SharedLog,
    id: SegmentId,
    written: u64,
    below: &dyn Fn(&Entry) -> bool,
) -> Result<Floor> {
    let mut indexes = lock(&log.indexes);
    for _ in 0..2 {
        if let Some(floor) = search(log, id, written, below, Untrue::IsTold)? {
            return Ok(floor);
        }
        // lost or damaged: made anew from the data
        let (order, interval) = {
            let state = lock(&log.state);
            let place = state.segment_at(id.base_offset);
            let is_there = state.segments[place].id() == id;
            if !is_there || state.written_bytes(place) < written {
                // the log was cut since the read was planned: the reader finds that out too
                return Ok(Floor::front(id));
            }
            (state.order(place), state.settings.index_interval_bytes)
        };
        let was_open = indexes.remove(&id).is_some();
        let made = Index::open(log, id, written, 0).and_then(|mut index| {
            index.catch_up(log, id, (written, order), interval)?;
            Ok(index)
        });
        match made {
            Ok(index) if was_open => drop(indexes.insert(id, index)),
            Ok(_) => {}
            // all is found without it, though not as fast, until its log is opened anew
            Err(error) if error.is_no_space() => return Ok(Floor::front(id)),
            // the data is damaged, not the index: it shows the way around
            Err(error) if error.is_damage() => {
                let found = search(log, id, written, below, Untrue::IsPassed)?;
                return Ok(found.unwrap_or(Floor::front(id)));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Floor::front(id))
}

/// What becomes of an entry whose batch is not where it says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Untrue {
    IsTold,
    /// The one before it is taken.
    IsPassed,
}

/// `None` where an entry is damaged, or is not true and that is to be told.
fn search(
    log: &SharedLog,
    id: SegmentId,
    written: u64,
    below: &dyn Fn(&Entry) -> bool,
    untrue: Untrue,
) -> Result<Option<Floor>> {
    let shared = &log.shared;
    let path = segment::path(&log.dir, id, Kind::Index);
    let key = (log.number, id, Kind::Index);
    let file = match shared.files.open(&*shared.disk, key, &path, Mode::Write) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.context("open", &path)?,
    };
    let seed = seed(log, id);
    let (mut low, mut high) = (
        0,
        file.len().context("look at", &path)? / ENTRY_BYTES as u64,
    );
    let mut found = None;
    while low < high {
        let middle = low + (high - low) / 2;
        let Some(entry) = read_entry(&*file, middle, seed).context("read", &path)? else {
            return Ok(None);
        };
        // entries beyond what is written are stale
        if u64::from(entry.position) < written && below(&entry) {
            found = Some(entry);
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    while let Some(entry) = found {
        if is_true(log, id, written, &entry)? {
            return Ok(Some(Floor {
                position: u64::from(entry.position),
                base_offset: id.base_offset.plus(i64::from(entry.relative_offset)),
                max_timestamp_before: entry.max_timestamp_before,
            }));
        }
        if untrue == Untrue::IsTold {
            return Ok(None);
        }
        // `low` is the place behind it
        low = low.saturating_sub(1);
        found = match low {
            0 => None,
            before => read_entry(&*file, before - 1, seed).context("read", &path)?,
        };
    }
    Ok(Some(Floor::front(id)))
}
