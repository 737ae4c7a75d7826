//! Record batches of format 2: what producers send, logs hold and consumers are given.
//!
//! ```text
//!  0 base offset i64            23 last offset delta i32
//!  8 batch length i32           27 base timestamp i64
//! 12 partition leader epoch i32 35 max timestamp i64
//! 16 magic i8                   43 producer id i64
//! 17 CRC-32C u32                51 producer epoch i16
//! 21 attributes i16             53 base sequence i32
//!                               57 records count i32
//!                               61 records, compressed together
//! ```
//!
//! The length counts what follows it; the CRC covers everything from the attributes on, so that a
//! leader can set base offset and leader epoch without computing it again.
//!
//! Invariant: a batch is never re-encoded on its way through a broker.

mod builder;
#[cfg(feature = "compression")]
mod compact;
mod header;
#[cfg(test)]
mod tests;
mod validate;

pub use self::builder::Builder;
pub use self::header::{Compression, Header, TimestampType};
pub use self::validate::{check_crc, validate_produced};

use crate::error::ErrorCode;
use crate::ids::{LeaderEpoch, Offset};

/// The bytes before the records.
pub const HEADER_BYTES: usize = 61;

/// The bytes before what the batch length counts.
pub const LENGTH_END_BYTES: usize = 12;

/// The bytes that the batch's own CRC does not cover.
pub const UNCOVERED_BYTES: usize = ATTRIBUTES_AT;

/// A batch that decompresses to more is not read as a whole: for its timestamps its first record
/// stands, and compaction leaves it as it is.
pub const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

/// The only format that is written and served.
pub const MAGIC: i8 = 2;

const LEADER_EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const MAX_TIMESTAMP_AT: usize = 35;

/// Why bytes are not the record batch they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end inside a batch.
    #[error("the batch needs {needed} bytes, and {found} are there")]
    Truncated {
        /// The bytes of the whole batch, or of its header.
        needed: usize,
        /// The bytes that are there.
        found: usize,
    },
    /// The batch length is less than a header, or negative.
    #[error("impossible batch length {length}")]
    InvalidLength {
        /// The declared length.
        length: i32,
    },
    /// A format older than 2.
    #[error("record format {magic} is not supported: only format 2 is")]
    OldMagic {
        /// The format.
        magic: i8,
    },
    /// A format that does not exist.
    #[error("unknown record format {magic}")]
    UnknownMagic {
        /// The format.
        magic: i8,
    },
    /// The CRC says that the bytes are not those that were written.
    #[error("the CRC is {computed:#010x}, and the batch says {declared:#010x}")]
    Corrupt {
        /// What the batch says.
        declared: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// A produce request must hold one batch a partition, and holds none or several.
    #[error("exactly one record batch is allowed for each partition")]
    NotOneBatch,
    /// A compression type that does not exist.
    #[error("unknown compression type {id}")]
    UnknownCompression {
        /// Its number in the attributes.
        id: i16,
    },
    /// The header contradicts itself, or says what a client may not say.
    #[error("{0}")]
    Inconsistent(&'static str),
    /// A client says when the batch was appended.
    #[error("producers may not set the timestamp type to LogAppendTime")]
    TimestampType,
    /// The records cannot be read.
    #[error("malformed records: {0}")]
    Records(#[from] crate::record::Error),
}

impl Error {
    /// What Kafka answers a producer with.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::InvalidLength { .. } | Self::UnknownMagic { .. } | Self::Corrupt { .. } => {
                ErrorCode::CorruptMessage
            }
            Self::UnknownCompression { .. } => ErrorCode::UnsupportedCompressionType,
            Self::TimestampType => ErrorCode::InvalidTimestamp,
            // a producer that has several records in the batch splits it
            Self::Records(crate::record::Error::TooLarge { .. }) => ErrorCode::MessageTooLarge,
            // the producer's iterator stops at a partial batch, and so finds fewer than one
            Self::Truncated { .. }
            | Self::OldMagic { .. }
            | Self::NotOneBatch
            | Self::Inconsistent(_)
            | Self::Records(_) => ErrorCode::InvalidRecord,
        }
    }
}

/// One batch within a buffer.
#[derive(Clone, Copy, Debug)]
pub struct RecordBatch<'a> {
    /// Its header.
    pub header: Header,
    /// All its bytes, header included.
    pub bytes: &'a [u8],
}

impl<'a> RecordBatch<'a> {
    /// The batch at the front of `bytes`, which may hold more. The CRC is not checked.
    pub fn first(bytes: &'a [u8]) -> Result<Self, Error> {
        let header = Header::read(bytes)?;
        let found = bytes.len();
        let needed = header.bytes();
        let bytes = bytes
            .get(..needed)
            .ok_or(Error::Truncated { needed, found })?;
        Ok(Self { header, bytes })
    }

    /// The records' bytes, compressed as they are.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.bytes.get(HEADER_BYTES..).unwrap_or_default()
    }
}

/// The batches in `bytes`, one after the other. It ends at the first error, and before a batch of
/// which only a part is there, as the end of a limited read may be.
#[must_use]
pub fn iterate(bytes: &[u8]) -> Batches<'_> {
    Batches { rest: bytes }
}

/// See [`iterate`].
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    rest: &'a [u8],
}

impl<'a> Batches<'a> {
    /// The bytes that no batch was made of yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<RecordBatch<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match RecordBatch::first(self.rest) {
            Ok(batch) => {
                self.rest = self.rest.get(batch.bytes.len()..).unwrap_or_default();
                Some(Ok(batch))
            }
            Err(Error::Truncated { .. }) => None,
            Err(error) => {
                self.rest = &[];
                Some(Err(error))
            }
        }
    }
}

/// The headers of the batches in `bytes`, a part of a log, with their positions. It ends after the
/// first error, which a batch of which only a part is there is too.
#[must_use]
pub fn headers(bytes: &[u8]) -> Headers<'_> {
    Headers { bytes, position: 0 }
}

/// See [`headers`].
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Iterator for Headers<'_> {
    type Item = Result<(usize, Header), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let position = self.position;
        let left = self.bytes.get(position..).filter(|left| !left.is_empty())?;
        let (needed, found) = match Header::read_placed(left) {
            Ok(header) if header.bytes() <= left.len() => {
                self.position += header.bytes();
                return Some(Ok((position, header)));
            }
            Ok(header) => (header.bytes(), left.len()),
            Err(error) => {
                self.position = self.bytes.len();
                return Some(Err(error));
            }
        };
        self.position = self.bytes.len();
        Some(Err(Error::Truncated { needed, found }))
    }
}

/// Sets what the leader decides, in place. The CRC does not cover it.
pub fn stamp(batch: &mut [u8], base_offset: Offset, leader_epoch: LeaderEpoch) {
    batch[..8].copy_from_slice(&base_offset.0.to_be_bytes());
    batch[LEADER_EPOCH_AT..MAGIC_AT].copy_from_slice(&leader_epoch.0.to_be_bytes());
}

/// Sets the time of appending for all records (`message.timestamp.type=LogAppendTime`), in place.
pub fn set_log_append_time(batch: &mut [u8], timestamp_ms: i64) {
    batch[ATTRIBUTES_AT + 1] |= TimestampType::ATTRIBUTE as u8;
    set_max_timestamp(batch, timestamp_ms);
}

/// Sets the largest timestamp, in place, and the CRC with it.
pub fn set_max_timestamp(batch: &mut [u8], timestamp_ms: i64) {
    batch[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&timestamp_ms.to_be_bytes());
    let crc = crc32c::crc32c(&batch[ATTRIBUTES_AT..]);
    batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
}
