//! The header of a batch, read at once.

use super::{Error, HEADER_BYTES, LENGTH_END_BYTES, MAGIC, MAGIC_AT, UNCOVERED_BYTES};
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
pub enum Compression {
    /// Not at all.
    #[default]
    None = 0,
    /// As one gzip stream.
    Gzip = 1,
    /// Snappy, in blocks as snappy-java frames them, or raw.
    Snappy = 2,
    /// As one LZ4 frame.
    Lz4 = 3,
    /// As one Zstandard frame.
    Zstd = 4,
}

impl Compression {
    pub(super) const MASK: i16 = 0x07;

    /// The compression of a batch with `attributes`.
    pub fn from_attributes(attributes: i16) -> Result<Self, Error> {
        Ok(match attributes & Self::MASK {
            0 => Self::None,
            1 => Self::Gzip,
            2 => Self::Snappy,
            3 => Self::Lz4,
            4 => Self::Zstd,
            id => return Err(Error::UnknownCompression { id }),
        })
    }
}

/// Whose clock a batch's timestamps are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's: each record has its own.
    CreateTime,
    /// The leader's: all records have the batch's max timestamp.
    LogAppendTime,
}

impl TimestampType {
    pub(super) const ATTRIBUTE: i16 = 0x08;
}

/// The header of a batch; [`super`] draws it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The offset of the first record.
    pub base_offset: Offset,
    /// The bytes that follow the length.
    pub batch_length: i32,
    /// The epoch of the leader that appended it.
    pub partition_leader_epoch: LeaderEpoch,
    /// The CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Flags; the methods read them.
    pub attributes: i16,
    /// The last record's offset less the first's; kept when compaction removes the last record.
    pub last_offset_delta: i32,
    /// The first record's timestamp in ms, or the delete horizon.
    pub base_timestamp: i64,
    /// The largest timestamp in ms.
    pub max_timestamp: i64,
    /// Who wrote it; negative for a producer that is not idempotent.
    pub producer_id: ProducerId,
    /// Its incarnation.
    pub producer_epoch: ProducerEpoch,
    /// The sequence of the first record.
    pub base_sequence: Sequence,
    /// How many records there are.
    pub records_count: i32,
}

impl Header {
    const TRANSACTIONAL: i16 = 0x10;
    const CONTROL: i16 = 0x20;
    pub(super) const DELETE_HORIZON: i16 = 0x40;

    /// Reads it off the front of `bytes`. Only the length and the format are checked, so that the
    /// whole batch can be stepped over.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let found = bytes.len();
        let truncated = Error::Truncated {
            needed: HEADER_BYTES,
            found,
        };
        // an old format is refused even where it is shorter than a header of ours
        let magic = *bytes.get(MAGIC_AT).ok_or(truncated)? as i8;
        match magic {
            MAGIC => {}
            0 | 1 => return Err(Error::OldMagic { magic }),
            _ => return Err(Error::UnknownMagic { magic }),
        }
        let bytes = bytes.first_chunk::<HEADER_BYTES>().ok_or(truncated)?;
        let header = Self::from_array(bytes);
        if header.batch_length < (HEADER_BYTES - LENGTH_END_BYTES) as i32 {
            return Err(Error::InvalidLength {
                length: header.batch_length,
            });
        }
        Ok(header)
    }

    /// Reads the header of a batch that has its place in a log: as [`Self::read`], and its offsets
    /// are possible too, so that nobody's arithmetic on them overflows.
    pub fn read_placed(bytes: &[u8]) -> Result<Self, Error> {
        let header = Self::read(bytes)?;
        let (base, delta) = (header.base_offset.0, header.last_offset_delta);
        let is_possible = base >= 0 && delta >= 0 && base < i64::MAX - i64::from(delta);
        if is_possible {
            Ok(header)
        } else {
            Err(Error::Inconsistent(
                "a record batch's offsets are impossible",
            ))
        }
    }

    fn from_array(bytes: &[u8; HEADER_BYTES]) -> Self {
        fn at<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
            let mut array = [0; N];
            array.copy_from_slice(&bytes[at..at + N]);
            array
        }
        Self {
            base_offset: Offset(i64::from_be_bytes(at(bytes, 0))),
            batch_length: i32::from_be_bytes(at(bytes, 8)),
            partition_leader_epoch: LeaderEpoch(i32::from_be_bytes(at(bytes, 12))),
            crc: u32::from_be_bytes(at(bytes, 17)),
            attributes: i16::from_be_bytes(at(bytes, 21)),
            last_offset_delta: i32::from_be_bytes(at(bytes, 23)),
            base_timestamp: i64::from_be_bytes(at(bytes, 27)),
            max_timestamp: i64::from_be_bytes(at(bytes, 35)),
            producer_id: ProducerId(i64::from_be_bytes(at(bytes, 43))),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(at(bytes, 51))),
            base_sequence: Sequence(i32::from_be_bytes(at(bytes, 53))),
            records_count: i32::from_be_bytes(at(bytes, 57)),
        }
    }

    pub(super) fn to_array(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, &self.base_offset.0.to_be_bytes());
        put(8, &self.batch_length.to_be_bytes());
        put(12, &self.partition_leader_epoch.0.to_be_bytes());
        put(16, &MAGIC.to_be_bytes());
        put(17, &self.crc.to_be_bytes());
        put(21, &self.attributes.to_be_bytes());
        put(23, &self.last_offset_delta.to_be_bytes());
        put(27, &self.base_timestamp.to_be_bytes());
        put(35, &self.max_timestamp.to_be_bytes());
        put(43, &self.producer_id.0.to_be_bytes());
        put(51, &self.producer_epoch.0.to_be_bytes());
        put(53, &self.base_sequence.0.to_be_bytes());
        put(57, &self.records_count.to_be_bytes());
        bytes
    }

    /// The bytes of the whole batch.
    #[must_use]
    pub fn bytes(&self) -> usize {
        LENGTH_END_BYTES + usize::try_from(self.batch_length).unwrap_or_default()
    }

    /// The offset of the last record.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        Offset(
            self.base_offset
                .0
                .wrapping_add(i64::from(self.last_offset_delta)),
        )
    }

    /// The offset after the last record.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        Offset(self.last_offset().0.wrapping_add(1))
    }

    /// The sequence of the last record; sequences wrap from 2³¹ − 1 to 0.
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        if self.base_sequence.0 < 0 {
            return self.base_sequence;
        }
        let last = i64::from(self.base_sequence.0) + i64::from(self.last_offset_delta);
        Sequence((last & i64::from(i32::MAX)) as i32)
    }

    /// How the records are compressed.
    pub fn compression(&self) -> Result<Compression, Error> {
        Compression::from_attributes(self.attributes)
    }

    /// Whose clock the timestamps are of.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & TimestampType::ATTRIBUTE == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether `batch`, which may go on behind it, has the bytes that the CRC was made of.
    #[must_use]
    pub fn crc_holds(&self, batch: &[u8]) -> bool {
        let covered = batch.get(UNCOVERED_BYTES..self.bytes());
        covered.is_some_and(|covered| crc32c::crc32c(covered) == self.crc)
    }

    /// Whether it is part of a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes & Self::TRANSACTIONAL != 0
    }

    /// Whether it holds control records, which consumers are not shown.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & Self::CONTROL != 0
    }

    /// Whether an idempotent or transactional producer wrote it.
    #[must_use]
    pub fn has_producer_id(&self) -> bool {
        self.producer_id.0 >= 0
    }

    /// From when on compaction may remove its tombstones, in ms (KIP-534).
    #[must_use]
    pub fn delete_horizon(&self) -> Option<i64> {
        (self.attributes & Self::DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }

    pub(super) fn flags(transactional: bool, control: bool) -> i16 {
        let flag = |set: bool, flag: i16| if set { flag } else { 0 };
        flag(transactional, Self::TRANSACTIONAL) | flag(control, Self::CONTROL)
    }
}
