//! A segment: consecutive batches of one log in one file, with an index beside it.
//!
//! ```text
//! <base offset, 20 digits>.log, after a compaction <base offset>.<generation>.log
//! 0        4       8           24          28           32        40     64
//! | magic  | crc   | topic id  | partition | generation | base    | zero | record batches …
//! | "OTSG" | u32   | 16 bytes  | i32       | u32        | offset  |      |
//! ```
//! Little-endian; the crc covers bytes 8 to 64. The identity refuses files that were swapped.
//! Compaction never changes a file: it writes one of the next generation, which a record in the
//! write-ahead log puts in the place of the old ones.

use std::path::{Path, PathBuf};

use ottla_protocol::ids::{Offset, TopicIdPartition};

use crate::fields::four;
use crate::{Error, Result};

/// Where the first batch begins.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = 64;
const MAGIC: [u8; 4] = *b"OTSG";

/// Which segment of a log, and so which file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentId {
    pub(crate) base_offset: Offset,
    /// 0: as it was appended; compaction counts on.
    pub(crate) generation: u32,
}

/// What is known of a segment without its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) base_offset: Offset,
    pub(crate) generation: u32,
    /// The file's length once all is written: header and batches.
    pub(crate) bytes: u64,
    /// The largest timestamp of the first append; −1: empty.
    pub(crate) first_timestamp: i64,
    /// −1: empty.
    pub(crate) max_timestamp: i64,
    pub(crate) created_ms: i64,
    /// When the first of its tombstones may go; `i64::MAX`: it has none that compaction knows of.
    pub(crate) delete_horizon_ms: i64,
    /// Index entries at or beyond this position are stale, to be cut before new ones are written.
    pub(crate) index_cut: Option<u64>,
}

impl Segment {
    pub(crate) fn new(base_offset: Offset, created_ms: i64) -> Self {
        Self {
            base_offset,
            generation: 0,
            bytes: SEGMENT_HEADER_BYTES,
            first_timestamp: -1,
            max_timestamp: -1,
            created_ms,
            delete_horizon_ms: i64::MAX,
            index_cut: Some(0),
        }
    }

    pub(crate) fn id(&self) -> SegmentId {
        SegmentId {
            base_offset: self.base_offset,
            generation: self.generation,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == SEGMENT_HEADER_BYTES
    }

    pub(crate) fn data_bytes(&self) -> u64 {
        self.bytes - SEGMENT_HEADER_BYTES
    }
}

/// The two files of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Data,
    Index,
    /// The data file, opened past the page cache.
    Direct,
}

pub(crate) fn path(dir: &Path, segment: SegmentId, kind: Kind) -> PathBuf {
    let SegmentId {
        base_offset,
        generation,
    } = segment;
    let ending = match kind {
        Kind::Data | Kind::Direct => "log",
        Kind::Index => "index",
    };
    dir.join(match generation {
        0 => format!("{:020}.{ending}", base_offset.0),
        _ => format!("{:020}.{generation}.{ending}", base_offset.0),
    })
}

/// Which segment a file of this name is of; `None`: of none.
pub(crate) fn parse(name: &str) -> Option<SegmentId> {
    let stem = name
        .strip_suffix(".log")
        .or_else(|| name.strip_suffix(".index"))?;
    let (base, generation) = stem.split_once('.').unwrap_or((stem, "0"));
    Some(SegmentId {
        base_offset: Offset(base.parse().ok()?),
        generation: generation.parse().ok()?,
    })
}

pub(crate) fn encode_header(id: TopicIdPartition, segment: SegmentId) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[8..24].copy_from_slice(&id.topic_id.0.0);
    bytes[24..28].copy_from_slice(&id.partition.0.to_le_bytes());
    bytes[28..32].copy_from_slice(&segment.generation.to_le_bytes());
    bytes[32..40].copy_from_slice(&segment.base_offset.0.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[8..]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Refuses a file whose header is damaged, or another segment's.
pub(crate) fn check_header(
    path: &Path,
    bytes: &[u8],
    id: TopicIdPartition,
    segment: SegmentId,
) -> Result<()> {
    if bytes == encode_header(id, segment) {
        return Ok(());
    }
    let is_sound = bytes.len() == 64
        && bytes[..4] == MAGIC
        && crc32c::crc32c(&bytes[8..]) == u32::from_le_bytes(four(bytes, 4));
    if is_sound {
        return Err(Error::WrongIdentity {
            path: path.to_path_buf(),
        });
    }
    Err(Error::corrupt(path, 0, "a segment's header is damaged"))
}
