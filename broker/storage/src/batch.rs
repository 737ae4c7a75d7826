//! The fields of a record batch (magic 2) that storage needs; the rest is opaque to it.
//!
//! ```text
//!  0        8      12          16    17   21         23                27
//! | base    | len  | partition | mag | crc | attrs   | last offset     | base
//! | offset  |      | leader    | ic  |     |         | delta           | timestamp
//! | i64     | i32  | epoch i32 | i8  | u32 | i16     | i32             | i64
//! 35        43         51       53          57      61
//! | max     | producer | epoch  | base      | record | records …
//! | time i64| id i64   | i16    | seq. i32  | count  |
//! ```
//! `len` counts from byte 12; `crc` covers everything from byte 21 on.

use bytes::Bytes;
use ottla_protocol::ids::{LeaderEpoch, Offset};

/// Bytes before the records.
pub const HEADER_BYTES: usize = 61;
/// Bytes before what `len` counts.
const LENGTH_END: usize = 12;
/// Bytes that the batch's own CRC does not cover.
pub const PREFIX_BYTES: usize = 21;
/// A batch that decompresses to more is not looked into: for its timestamps its first record
/// stands, compaction leaves it as it is, and a topic that must look into it refuses it.
pub const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;
const MAGIC: u8 = 2;
const COMPRESSION_MASK: i16 = 0b111;
const LOG_APPEND_TIME: i16 = 0b1000;
const TRANSACTIONAL: i16 = 0b1_0000;
const CONTROL: i16 = 0b10_0000;
const DELETE_HORIZON: i16 = 0b100_0000;

/// The header of one batch, read out of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The first record's offset.
    pub base_offset: Offset,
    /// The whole batch's length.
    pub bytes: usize,
    /// Who appended it first.
    pub leader_epoch: LeaderEpoch,
    /// What the bytes from 21 on must hash to.
    pub crc: u32,
    /// Compression, timestamp type, transactional, control.
    pub attributes: i16,
    /// The last record's offset.
    pub last_offset: Offset,
    /// The first record's timestamp.
    pub base_timestamp: i64,
    /// The largest timestamp.
    pub max_timestamp: i64,
    /// Who wrote it; negative for a producer that is not idempotent.
    pub producer_id: i64,
    /// How many records there are; compaction may leave none.
    pub records_count: i32,
}

impl Header {
    /// Reads the header at the front of `bytes`, which need not hold the whole batch.
    pub fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err("cut off within a record batch's header");
        };
        if header[16] != MAGIC {
            return Err("not a record batch of magic 2");
        }
        let length = i32::from_be_bytes(field(header, 8));
        let Some(length) = usize::try_from(length)
            .ok()
            .filter(|&l| l >= HEADER_BYTES - LENGTH_END)
        else {
            return Err("a record batch's length is impossible");
        };
        let base_offset = i64::from_be_bytes(field(header, 0));
        let delta = i32::from_be_bytes(field(header, 23));
        if base_offset < 0 || delta < 0 || base_offset.checked_add(i64::from(delta) + 1).is_none() {
            return Err("a record batch's offsets are impossible");
        }
        Ok(Self {
            base_offset: Offset(base_offset),
            bytes: length + LENGTH_END,
            leader_epoch: LeaderEpoch(i32::from_be_bytes(field(header, 12))),
            crc: u32::from_be_bytes(field(header, 17)),
            attributes: i16::from_be_bytes(field(header, 21)),
            last_offset: Offset(base_offset + i64::from(delta)),
            base_timestamp: i64::from_be_bytes(field(header, 27)),
            max_timestamp: i64::from_be_bytes(field(header, 35)),
            producer_id: i64::from_be_bytes(field(header, 43)),
            records_count: i32::from_be_bytes(field(header, 57)),
        })
    }

    /// The offset after the last record.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.last_offset.plus(1)
    }

    /// Whether the records are compressed.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.attributes & COMPRESSION_MASK != 0
    }

    /// Whether it is part of a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether it holds control records, such as those that end a transaction.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// From when on compaction may remove its tombstones (KIP-534).
    #[must_use]
    pub fn delete_horizon(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }

    /// Whether every record has the batch's largest timestamp.
    #[must_use]
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }
}

fn field<const N: usize>(header: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[at..at + N]);
    bytes
}

/// Whether the batch's bytes (all of them) hash to what its header says.
#[must_use]
pub fn crc_holds(batch: &[u8], header: &Header) -> bool {
    batch.len() >= header.bytes && crc32c::crc32c(&batch[PREFIX_BYTES..header.bytes]) == header.crc
}

/// Iterates the headers of whole batches, one after the other, with their positions.
/// Ends after the first error.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    bytes: &'a [u8],
    position: usize,
}

/// The headers of the batches in `bytes`.
#[must_use]
pub fn headers(bytes: &[u8]) -> Headers<'_> {
    Headers { bytes, position: 0 }
}

impl Iterator for Headers<'_> {
    type Item = Result<(usize, Header), &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        let left = &self.bytes[self.position..];
        if left.is_empty() {
            return None;
        }
        let position = self.position;
        let header = Header::read(left).and_then(|header| {
            if header.bytes > left.len() {
                return Err("cut off within a record batch");
            }
            Ok((position, header))
        });
        self.position = header
            .as_ref()
            .map_or(self.bytes.len(), |(_, h)| position + h.bytes);
        Some(header)
    }
}

/// The first record of an uncompressed batch with `timestamp` or a later one: its timestamp and
/// offset. `None` where no record is that late, or the batch is compressed or damaged.
#[must_use]
pub fn first_record_at(batch: &Bytes, timestamp: i64) -> Option<(i64, Offset)> {
    let header = Header::read(batch).ok()?;
    if header.max_timestamp < timestamp {
        return None;
    }
    if header.is_log_append_time() {
        return Some((header.max_timestamp, header.base_offset));
    }
    let mut records = batch.get(HEADER_BYTES..header.bytes)?;
    if header.is_compressed() {
        return None;
    }
    while !records.is_empty() {
        let length = usize::try_from(varint(&mut records)?).ok()?;
        let mut record = records.get(..length)?;
        records = &records[length..];
        record = record.get(1..)?;
        let at = header.base_timestamp.checked_add(varint(&mut record)?)?;
        let offset = header.base_offset.0.checked_add(varint(&mut record)?)?;
        if at >= timestamp {
            return Some((at, Offset(offset)));
        }
    }
    None
}

fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}
