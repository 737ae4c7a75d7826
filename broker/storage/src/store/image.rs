//! The `checkpoint` file: every log's state, and where in the WAL the tail begins.
//!
//! ```text
//! version u32 | WAL position: generation u64, offset u64, sequence u64
//! | last lsn u64 | next log number u64 | logs u32, then each log:
//!     number u64 | topic id 16 bytes | partition i32 | name: length u32, bytes
//!     | lsn u64 | log start offset i64 | log end offset i64
//!     | leader epochs u32, each: epoch i32, start offset i64
//!     | clean end offset i64
//!     | segments u32, each: base offset i64, bytes u64, first timestamp i64,
//!       largest timestamp i64, created (ms) i64, generation u32, delete horizon (ms) i64
//! ```
//! Version 1 has no clean end offset, no generations and no delete horizons: nothing was compacted.
//! Little-endian, in the envelope of [`crate::snapshot_file`]. A log's state may be newer than the
//! WAL position: records up to its lsn are contained already.

use std::collections::VecDeque;

use ottla_protocol::ids::{
    LeaderEpoch, Offset, PartitionIndex, TopicId, TopicIdPartition, TopicName, Uuid,
};

use crate::log::{SharedLog, State};
use crate::segment::{SEGMENT_HEADER_BYTES, Segment};
use crate::wal::Position;

const VERSION: u32 = 2;
/// Before there was compaction.
const VERSION_UNCOMPACTED: u32 = 1;

/// The head of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) position: Position,
    pub(crate) last_lsn: u64,
    pub(crate) next_number: u64,
}

/// One log in the file.
#[derive(Debug)]
pub(crate) struct LogImage {
    pub(crate) number: u64,
    pub(crate) id: TopicIdPartition,
    pub(crate) topic: TopicName,
    pub(crate) state: State,
}

pub(crate) fn encode(head: &Head, logs: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + logs.iter().map(Vec::len).sum::<usize>());
    out.extend_from_slice(&VERSION.to_le_bytes());
    let Position {
        generation,
        offset,
        sequence,
    } = head.position;
    for word in [
        generation,
        offset,
        sequence,
        head.last_lsn,
        head.next_number,
    ] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&(logs.len() as u32).to_le_bytes());
    for log in logs {
        out.extend_from_slice(log);
    }
    out
}

pub(crate) fn encode_log(log: &SharedLog, state: &State) -> Vec<u8> {
    let topic = log.name.topic.as_bytes();
    let mut out = Vec::with_capacity(160 + topic.len());
    out.extend_from_slice(&log.number.to_le_bytes());
    out.extend_from_slice(&log.id.topic_id.0.0);
    out.extend_from_slice(&log.id.partition.0.to_le_bytes());
    out.extend_from_slice(&(topic.len() as u32).to_le_bytes());
    out.extend_from_slice(topic);
    out.extend_from_slice(&state.lsn.to_le_bytes());
    out.extend_from_slice(&state.log_start_offset.0.to_le_bytes());
    out.extend_from_slice(&state.log_end_offset.0.to_le_bytes());
    let epochs = state.leader_epochs.entries();
    out.extend_from_slice(&(epochs.len() as u32).to_le_bytes());
    for epoch in epochs {
        out.extend_from_slice(&epoch.leader_epoch.0.to_le_bytes());
        out.extend_from_slice(&epoch.start_offset.0.to_le_bytes());
    }
    out.extend_from_slice(&state.clean_end_offset.0.to_le_bytes());
    out.extend_from_slice(&(state.segments.len() as u32).to_le_bytes());
    for segment in &state.segments {
        out.extend_from_slice(&segment.base_offset.0.to_le_bytes());
        out.extend_from_slice(&segment.bytes.to_le_bytes());
        for word in [
            segment.first_timestamp,
            segment.max_timestamp,
            segment.created_ms,
        ] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&segment.generation.to_le_bytes());
        out.extend_from_slice(&segment.delete_horizon_ms.to_le_bytes());
    }
    out
}

/// `None`: the content is not what this version writes.
pub(crate) fn decode(bytes: &[u8]) -> Option<(Head, Vec<LogImage>)> {
    let mut input = Input(bytes);
    let version = input.u32()?;
    if version != VERSION && version != VERSION_UNCOMPACTED {
        return None;
    }
    let position = Position {
        generation: input.u64()?,
        offset: input.u64()?,
        sequence: input.u64()?,
    };
    let head = Head {
        position,
        last_lsn: input.u64()?,
        next_number: input.u64()?,
    };
    let count = input.u32()?;
    let mut logs = Vec::new();
    for _ in 0..count {
        logs.push(decode_log(&mut input, version)?);
    }
    input.0.is_empty().then_some((head, logs))
}

fn decode_log(input: &mut Input<'_>, version: u32) -> Option<LogImage> {
    let is_compacted = version != VERSION_UNCOMPACTED;
    let number = input.u64()?;
    let topic_id = TopicId(Uuid(input.take()?));
    let partition = PartitionIndex(input.u32()? as i32);
    let length = input.u32()? as usize;
    let topic = std::str::from_utf8(input.slice(length)?).ok()?.into();
    let mut state = State::new(Default::default(), input.u64()?);
    state.log_start_offset = Offset(input.i64()?);
    state.log_end_offset = Offset(input.i64()?);
    for _ in 0..input.u32()? {
        let leader_epoch = LeaderEpoch(input.u32()? as i32);
        state
            .leader_epochs
            .assign(leader_epoch, Offset(input.i64()?));
    }
    if is_compacted {
        state.clean_end_offset = Offset(input.i64()?);
    }
    let mut segments = VecDeque::new();
    for _ in 0..input.u32()? {
        let base_offset = Offset(input.i64()?);
        let mut segment = Segment {
            bytes: input.u64()?,
            first_timestamp: input.i64()?,
            max_timestamp: input.i64()?,
            index_cut: None,
            ..Segment::new(base_offset, input.i64()?)
        };
        if is_compacted {
            segment.generation = input.u32()?;
            segment.delete_horizon_ms = input.i64()?;
        }
        segments.push_back(segment);
    }
    let last = segments.back_mut()?;
    last.index_cut = Some(last.bytes);
    state.sealed_below = last.base_offset;
    if segments
        .iter()
        .any(|segment| segment.bytes < SEGMENT_HEADER_BYTES)
    {
        return None;
    }
    state.segments = segments;
    let id = TopicIdPartition {
        topic_id,
        partition,
    };
    Some(LogImage {
        number,
        id,
        topic,
        state,
    })
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn slice(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(front)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.slice(N)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_le_bytes)
    }
}
