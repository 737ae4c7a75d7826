//! What the write-ahead log can say about a partition's log.

use bytes::Bytes;
use ottla_protocol::ids::{Offset, PartitionIndex, TopicId, TopicIdPartition, TopicName, Uuid};
use ottla_protocol::record_batch;

use crate::fields::{eight, four};
use crate::segment::SegmentId;

/// One change of one log. Together with the log's state before, it gives the state after exactly:
/// nothing is decided again at replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// The log exists from here on.
    Create {
        id: TopicIdPartition,
        topic: TopicName,
    },
    /// The log is gone.
    Delete,
    /// Whole batches at the log's end.
    Append { bytes: Bytes },
    /// The next append goes to a new segment.
    Roll {
        base_offset: Offset,
        created_ms: i64,
    },
    /// The log ends at `end_offset`, at `position` of the segment that it lies in.
    Truncate {
        end_offset: Offset,
        position: u64,
        max_timestamp: i64,
    },
    /// The log is empty and goes on at `offset`.
    StartAt { offset: Offset },
    /// Nothing below is readable; whole segments below are gone.
    LogStart { offset: Offset },
    /// A compacted segment takes the place of the segments from its base offset to `until`.
    Replace {
        segment: SegmentId,
        until: Offset,
        bytes: u64,
        first_timestamp: i64,
        max_timestamp: i64,
        delete_horizon_ms: i64,
    },
    /// Everything below is compacted.
    CleanEnd { offset: Offset },
}

const CREATE: u8 = 1;
const DELETE: u8 = 2;
const APPEND: u8 = 3;
const ROLL: u8 = 4;
const TRUNCATE: u8 = 5;
const START_AT: u8 = 6;
const LOG_START: u8 = 7;
const REPLACE: u8 = 9;
const CLEAN_END: u8 = 10;

impl Operation {
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::Create { .. } => CREATE,
            Self::Delete => DELETE,
            Self::Append { .. } => APPEND,
            Self::Roll { .. } => ROLL,
            Self::Truncate { .. } => TRUNCATE,
            Self::StartAt { .. } => START_AT,
            Self::LogStart { .. } => LOG_START,
            Self::Replace { .. } => REPLACE,
            Self::CleanEnd { .. } => CLEAN_END,
        }
    }

    /// Whether, at a start, files are to be left alone until this record is replayed.
    pub(crate) fn is_barrier(&self) -> bool {
        match self {
            // what a replacement removes is sealed: nothing is written to it again
            Self::Append { .. }
            | Self::Roll { .. }
            | Self::Replace { .. }
            | Self::CleanEnd { .. } => false,
            // what these remove or overwrite may be gone from the files already
            Self::Create { .. }
            | Self::Delete
            | Self::Truncate { .. }
            | Self::StartAt { .. }
            | Self::LogStart { .. } => true,
        }
    }

    /// The payload; of an append, the batches themselves.
    pub(crate) fn payload(&self) -> Bytes {
        let words = |words: &[i64]| -> Bytes {
            words
                .iter()
                .flat_map(|word| word.to_le_bytes())
                .collect::<Vec<_>>()
                .into()
        };
        match self {
            Self::Create { id, topic } => {
                let mut bytes = Vec::with_capacity(20 + topic.len());
                bytes.extend_from_slice(&id.topic_id.0.0);
                bytes.extend_from_slice(&id.partition.0.to_le_bytes());
                bytes.extend_from_slice(topic.as_bytes());
                bytes.into()
            }
            Self::Delete => Bytes::new(),
            Self::Append { bytes } => bytes.clone(),
            Self::Roll {
                base_offset,
                created_ms,
            } => words(&[base_offset.0, *created_ms]),
            Self::Truncate {
                end_offset,
                position,
                max_timestamp,
            } => words(&[end_offset.0, *position as i64, *max_timestamp]),
            Self::StartAt { offset } | Self::LogStart { offset } | Self::CleanEnd { offset } => {
                words(&[offset.0])
            }
            Self::Replace {
                segment,
                until,
                bytes,
                first_timestamp,
                max_timestamp,
                delete_horizon_ms,
            } => words(&[
                segment.base_offset.0,
                i64::from(segment.generation),
                until.0,
                *bytes as i64,
                *first_timestamp,
                *max_timestamp,
                *delete_horizon_ms,
            ]),
        }
    }

    pub(crate) fn decode(kind: u8, payload: Bytes) -> Option<Self> {
        let word = |place: usize| {
            let at = place * 8;
            (payload.len() >= at + 8).then(|| i64::from_le_bytes(eight(&payload, at)))
        };
        Some(match kind {
            CREATE => {
                let topic = std::str::from_utf8(payload.get(20..)?).ok()?;
                let mut topic_id = [0; 16];
                topic_id.copy_from_slice(&payload[..16]);
                let partition = i32::from_le_bytes(four(&payload, 16));
                let id = TopicIdPartition {
                    topic_id: TopicId(Uuid(topic_id)),
                    partition: PartitionIndex(partition),
                };
                Self::Create {
                    id,
                    topic: topic.into(),
                }
            }
            DELETE => Self::Delete,
            APPEND => Self::Append { bytes: payload },
            ROLL => Self::Roll {
                base_offset: Offset(word(0)?),
                created_ms: word(1)?,
            },
            TRUNCATE => Self::Truncate {
                end_offset: Offset(word(0)?),
                position: word(1)? as u64,
                max_timestamp: word(2)?,
            },
            START_AT => Self::StartAt {
                offset: Offset(word(0)?),
            },
            LOG_START => Self::LogStart {
                offset: Offset(word(0)?),
            },
            REPLACE => Self::Replace {
                segment: SegmentId {
                    base_offset: Offset(word(0)?),
                    generation: u32::try_from(word(1)?).ok()?,
                },
                until: Offset(word(2)?),
                bytes: word(3)? as u64,
                first_timestamp: word(4)?,
                max_timestamp: word(5)?,
                delete_horizon_ms: word(6)?,
            },
            CLEAN_END => Self::CleanEnd {
                offset: Offset(word(0)?),
            },
            _ => return None,
        })
    }

    /// The record's CRC over its header's fields and what of the payload no other CRC covers.
    pub(crate) fn crc(header: &[u8], kind: u8, payload: &[u8]) -> u32 {
        let crc = crc32c::crc32c(header);
        if kind != APPEND {
            return crc32c::crc32c_append(crc, payload);
        }
        let mut hashed = crc;
        for (position, _) in record_batch::headers(payload).map_while(Result::ok) {
            let prefix = &payload[position..position + record_batch::UNCOVERED_BYTES];
            hashed = crc32c::crc32c_append(hashed, prefix);
        }
        hashed
    }

    /// Whether the payload's own checksums hold (checked at recovery).
    pub(crate) fn batches_hold(kind: u8, payload: &[u8]) -> bool {
        kind != APPEND
            || record_batch::headers(payload).all(|found| {
                found.is_ok_and(|(position, header)| header.crc_holds(&payload[position..]))
            })
    }
}
