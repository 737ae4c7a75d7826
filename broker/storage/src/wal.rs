//! The write-ahead log: one per data directory, shared by all its partitions.
//!
//! It is a row of files (`wal/0000.wal` …) of about `wal_segment_bytes` each, used in turn and
//! again: a recycled file keeps its blocks, for an fsync of blocks that exist is half as dear. A
//! file in use has a *generation*, one higher than the file before it. It is written in *frames*,
//! each at a multiple of 4096 bytes, so that a torn write never harms a frame that was synced:
//!
//! ```text
//! frame:
//! 0        4       8            16         24                  32      40     44      64
//! | magic  | crc   | generation | sequence | durable_sequence  | body  | rec- | zeros | body,
//! | "OTWF" | u32   | u64        | u64      | u64               | bytes | ords |       | zeros
//! |        |       |            |          |                   | u64   | u32  |       | to 4096
//!
//! record in a body:
//! 0     4          8      9     12           20       28
//! | crc | payload  | kind | 0 0 | log number | lsn    | payload
//! | u32 | bytes u32| u8   | 0   | u64        | u64    |
//! ```
//! Little-endian. `sequence` counts frames, without gaps over all generations;
//! `durable_sequence` is the last frame that was synced before this one was written. So a bad
//! frame is the torn tail where no later frame says that it was durable, and damage where one
//! does. The frame's `crc` covers its other header fields, seeded with the directory's id, so
//! that old content, and another directory's, is never taken for new. A record's `crc` covers its
//! header and, of record batches, the 21 bytes each that the batch's own CRC leaves out (which
//! include that CRC); of any other payload, all. So record bytes are hashed once, by whoever
//! checked the batch on arrival, and again only at recovery.

mod operation;
mod reader;
mod writer;

pub(crate) use operation::Operation;
pub(crate) use reader::{Recovered, recover, write_again};
pub(crate) use writer::{Record, Writer};

use std::path::{Path, PathBuf};

use crate::fields::{eight, four};

/// Frames begin at multiples of this.
pub(crate) const BLOCK_BYTES: u64 = 4096;
pub(crate) const FRAME_HEADER_BYTES: usize = 64;
pub(crate) const RECORD_HEADER_BYTES: usize = 28;
/// A frame takes no further record beyond this.
pub(crate) const FRAME_BYTES_MAX: u64 = 8 << 20;
const FRAME_MAGIC: [u8; 4] = *b"OTWF";

/// A place between two frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) generation: u64,
    pub(crate) offset: u64,
    /// The sequence of the frame that begins here.
    pub(crate) sequence: u64,
}

impl Position {
    /// Where a new directory begins.
    pub(crate) const FIRST: Self = Self {
        generation: 1,
        offset: 0,
        sequence: 1,
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) generation: u64,
    pub(crate) sequence: u64,
    pub(crate) durable_sequence: u64,
    pub(crate) body_bytes: u64,
    pub(crate) records: u32,
}

impl FrameHeader {
    pub(crate) fn encode(&self, seed: u32) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[..4].copy_from_slice(&FRAME_MAGIC);
        bytes[8..16].copy_from_slice(&self.generation.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.durable_sequence.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.records.to_le_bytes());
        let crc = crc32c::crc32c_append(seed, &bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8], seed: u32) -> Option<Self> {
        let bytes = bytes.first_chunk::<FRAME_HEADER_BYTES>()?;
        let crc = u32::from_le_bytes(four(bytes, 4));
        if bytes[..4] != FRAME_MAGIC || crc32c::crc32c_append(seed, &bytes[8..]) != crc {
            return None;
        }
        Some(Self {
            generation: u64::from_le_bytes(eight(bytes, 8)),
            sequence: u64::from_le_bytes(eight(bytes, 16)),
            durable_sequence: u64::from_le_bytes(eight(bytes, 24)),
            body_bytes: u64::from_le_bytes(eight(bytes, 32)),
            records: u32::from_le_bytes(four(bytes, 40)),
        })
    }

    /// From this frame's start to the next one's.
    pub(crate) fn span(&self) -> u64 {
        span(self.body_bytes)
    }
}

pub(crate) fn span(body_bytes: u64) -> u64 {
    (FRAME_HEADER_BYTES as u64 + body_bytes).next_multiple_of(BLOCK_BYTES)
}

/// The path of the file in a slot.
pub(crate) fn slot_path(dir: &Path, slot: u32) -> PathBuf {
    dir.join(format!("{slot:04}.wal"))
}
