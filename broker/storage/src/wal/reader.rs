//! Reads the write-ahead log's tail at a start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::{
    BLOCK_BYTES, FRAME_HEADER_BYTES, FrameHeader, Operation, Position, RECORD_HEADER_BYTES,
    slot_path,
};
use crate::disk::Mode;
use crate::error::Context;
use crate::fields::{eight, four};
use crate::{Disk, Error, File, Result};

/// How far beyond a bad frame a later one is looked for.
const LOOK_AHEAD_BYTES: u64 = 16 << 20;
const CHUNK_BYTES: usize = 1 << 20;

/// What the tail was.
#[derive(Clone, Debug)]
pub(crate) struct Recovered {
    /// The files, with the generation that each holds (0: nothing that is needed).
    pub(crate) slots: Vec<(u32, u64)>,
    /// Where writing goes on.
    pub(crate) position: Position,
    /// Whether there is anything in the files beyond the position that was given.
    pub(crate) is_dirty: bool,
}

/// Writes the files from a generation on once more where they lie, and syncs them. What recovery
/// read may come from a page cache that an earlier, failed fsync left with bytes that the medium
/// never got. It needs no room, and changes nothing, however far it comes.
pub(crate) fn write_again(disk: &dyn Disk, dir: &Path, seed: u32, from: Position) -> Result<()> {
    for slot in list(disk, dir, seed)? {
        let is_needed = |first: FrameHeader| first.generation >= from.generation;
        if !slot.first.is_some_and(is_needed) {
            continue;
        }
        let path = &slot.path;
        let file = disk.open(path, Mode::Write).context("open", path)?;
        let mut position = 0;
        while position < slot.bytes {
            let mut bytes = Vec::new();
            file.read_at(&mut bytes, position, CHUNK_BYTES)
                .context("read", path)?;
            if bytes.is_empty() {
                break; // it is shorter now
            }
            file.write_at(&bytes, position).context("write", path)?;
            position += bytes.len() as u64;
        }
        file.sync_data().sync_context(path)?;
    }
    Ok(())
}

struct Slot {
    number: u32,
    path: PathBuf,
    file: Arc<dyn File>,
    bytes: u64,
    /// The frame at its front, where there is a valid one.
    first: Option<FrameHeader>,
}

/// Gives every record from `from` on to `apply` (log number, lsn, operation), in order; cuts a
/// torn tail; refuses damage before the tail.
pub(crate) fn recover(
    disk: &dyn Disk,
    dir: &Path,
    seed: u32,
    from: Position,
    apply: &mut dyn FnMut(u64, u64, Operation) -> Result<()>,
) -> Result<Recovered> {
    let slots = list(disk, dir, seed)?;
    let mut at = from;
    let tail = loop {
        let Some(slot) = find(&slots, at.generation) else {
            break None;
        };
        let what = read_slot(slot, seed, &mut at, apply)?;
        // a start that found a torn frame went on in the next file with another of its number
        let next = find(&slots, at.generation + 1).and_then(|slot| slot.first);
        if next.is_none_or(|next| next.sequence != at.sequence) {
            break Some((slot, what));
        }
        at = Position {
            generation: at.generation + 1,
            offset: 0,
            ..at
        };
    };
    refuse_damage(&slots, dir, seed, at, tail)?;
    let newest = slots
        .iter()
        .filter_map(|slot| slot.first)
        .map(|first| first.generation)
        .max();
    let last = newest.unwrap_or(0).max(at.generation);
    let is_fresh = newest.is_none_or(|newest| newest < at.generation);
    Ok(Recovered {
        slots: slots
            .iter()
            .map(|slot| (slot.number, slot.first.map_or(0, |first| first.generation)))
            .map(|(number, held)| (number, if held < from.generation { 0 } else { held }))
            .collect(),
        position: Position {
            generation: if is_fresh { at.generation } else { last + 1 },
            offset: 0,
            sequence: at.sequence,
        },
        is_dirty: at != from || from.offset != 0 || !is_fresh,
    })
}

/// A frame beyond the end that calls the frame at the end durable proves damage.
fn refuse_damage(
    slots: &[Slot],
    dir: &Path,
    seed: u32,
    at: Position,
    tail: Option<(&Slot, &'static str)>,
) -> Result<()> {
    let is_later = |first: &FrameHeader| {
        first.generation > at.generation && first.durable_sequence >= at.sequence
    };
    let mut damaged = slots
        .iter()
        .any(|slot| slot.first.as_ref().is_some_and(is_later));
    if let Some((slot, _)) = tail {
        damaged = damaged || says_durable(slot, seed, at.offset, at)?;
    }
    for slot in slots.iter().filter(|slot| slot.first.is_none()) {
        damaged = damaged || says_durable(slot, seed, 0, at)?;
    }
    if !damaged {
        return Ok(());
    }
    let missing = "a file of the write-ahead log is missing or its front is damaged";
    let (path, what) = tail.map_or((dir, missing), |(slot, what)| (&slot.path, what));
    Err(Error::corrupt(path, at.offset, what))
}

fn list(disk: &dyn Disk, dir: &Path, seed: u32) -> Result<Vec<Slot>> {
    let mut slots = Vec::new();
    for entry in disk.list(dir).context("list", dir)? {
        let number = entry
            .name
            .strip_suffix(".wal")
            .and_then(|number| number.parse().ok());
        let Some(number) = number else { continue };
        let path = slot_path(dir, number);
        let file = disk.open(&path, Mode::Read).context("open", &path)?;
        let bytes = file.len().context("look at", &path)?;
        let mut front = Vec::new();
        file.read_at(&mut front, 0, FRAME_HEADER_BYTES)
            .context("read", &path)?;
        let first = FrameHeader::decode(&front, seed);
        slots.push(Slot {
            number,
            path,
            file,
            bytes,
            first,
        });
    }
    Ok(slots)
}

/// The file of a generation; its front may be torn or damaged, so one without a valid frame is
/// nobody's.
fn find(slots: &[Slot], generation: u64) -> Option<&Slot> {
    slots.iter().find(|slot| {
        slot.first
            .is_some_and(|first| first.generation == generation)
    })
}

/// Reads a file's frames, and says why it ends where it does.
fn read_slot(
    slot: &Slot,
    seed: u32,
    at: &mut Position,
    apply: &mut dyn FnMut(u64, u64, Operation) -> Result<()>,
) -> Result<&'static str> {
    let mut input = Input {
        slot,
        buffer: Vec::new(),
        start: 0,
        position: at.offset,
    };
    loop {
        let Some(bytes) = input.take(FRAME_HEADER_BYTES)? else {
            return Ok("a frame of the write-ahead log is cut off");
        };
        let header = FrameHeader::decode(bytes, seed)
            .filter(|header| header.generation == at.generation && header.sequence == at.sequence);
        let Some(header) = header else {
            return Ok("a frame of the write-ahead log is damaged");
        };
        for _ in 0..header.records {
            let Some((number, lsn, operation)) = read_record(&mut input)? else {
                return Ok("a record of the write-ahead log is damaged");
            };
            apply(number, lsn, operation)?;
        }
        at.offset += header.span();
        at.sequence += 1;
        input.skip_to(at.offset);
    }
}

fn read_record(input: &mut Input<'_>) -> Result<Option<(u64, u64, Operation)>> {
    let Some(bytes) = input.take(RECORD_HEADER_BYTES)? else {
        return Ok(None);
    };
    let mut header = [0; RECORD_HEADER_BYTES];
    header.copy_from_slice(bytes);
    let length = u32::from_le_bytes(four(&header, 4)) as usize;
    let kind = header[8];
    let Some(payload) = input.take(length)? else {
        return Ok(None);
    };
    let crc = u32::from_le_bytes(four(&header, 0));
    if Operation::crc(&header[4..], kind, payload) != crc || !Operation::batches_hold(kind, payload)
    {
        return Ok(None);
    }
    let operation = Operation::decode(kind, Bytes::copy_from_slice(payload));
    let number = u64::from_le_bytes(eight(&header, 12));
    let lsn = u64::from_le_bytes(eight(&header, 20));
    Ok(operation.map(|operation| (number, lsn, operation)))
}

/// Whether a frame from `offset` on says that the frame at `at` was durable.
fn says_durable(slot: &Slot, seed: u32, mut offset: u64, at: Position) -> Result<bool> {
    let end = slot.bytes.min(offset + LOOK_AHEAD_BYTES);
    let mut bytes = Vec::new();
    while offset < end {
        bytes.clear();
        slot.file
            .read_at(&mut bytes, offset, CHUNK_BYTES)
            .context("read", &slot.path)?;
        for block in bytes.chunks(BLOCK_BYTES as usize) {
            let header = FrameHeader::decode(block, seed);
            if header.is_some_and(|header| {
                header.generation >= at.generation && header.durable_sequence >= at.sequence
            }) {
                return Ok(true);
            }
        }
        offset += CHUNK_BYTES as u64;
    }
    Ok(false)
}

/// Reads a file forward in big pieces.
struct Input<'a> {
    slot: &'a Slot,
    buffer: Vec<u8>,
    start: usize,
    /// Of the buffer's unread front, in the file.
    position: u64,
}

impl Input<'_> {
    /// The next bytes; `None` where the file ends before. No more is held in memory than the file
    /// has.
    fn take(&mut self, bytes: usize) -> Result<Option<&[u8]>> {
        let held = self.buffer.len() - self.start;
        if held < bytes {
            if self.position + bytes as u64 > self.slot.bytes {
                return Ok(None);
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            let from = self.position + held as u64;
            let more = CHUNK_BYTES.max(bytes - held);
            let read = self.slot.file.read_at(&mut self.buffer, from, more);
            read.context("read", &self.slot.path)?;
            if self.buffer.len() < bytes {
                return Ok(None);
            }
        }
        let start = self.start;
        self.start += bytes;
        self.position += bytes as u64;
        Ok(Some(&self.buffer[start..self.start]))
    }

    fn skip_to(&mut self, position: u64) {
        let forward = (position - self.position) as usize;
        let held = self.buffer.len() - self.start;
        if forward <= held {
            self.start += forward;
        } else {
            self.buffer.clear();
            self.start = 0;
        }
        self.position = position;
    }
}
