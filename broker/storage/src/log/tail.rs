//! The part of a log that is in memory: what is not yet in segments, and behind it a cache.

use std::collections::VecDeque;

use bytes::Bytes;
use ottla_protocol::ids::Offset;
use ottla_protocol::record_batch;

use crate::shared::Freed;

/// What a chunk costs beside its bytes.
const CHUNK_OVERHEAD_BYTES: usize = 192;

/// One append: whole batches of one segment.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    /// Counts the chunks of this log; never reused.
    pub(crate) number: u64,
    pub(crate) base_offset: Offset,
    pub(crate) next_offset: Offset,
    /// The base offset of the segment that it belongs to, and its place in that file.
    pub(crate) segment: Offset,
    pub(crate) position: u64,
    pub(crate) bytes: Bytes,
}

impl Chunk {
    pub(crate) fn cost(&self) -> usize {
        cost(&self.bytes)
    }
}

/// What an append of these bytes costs in memory until it is flushed.
pub(crate) fn cost(bytes: &Bytes) -> usize {
    bytes.len() + CHUNK_OVERHEAD_BYTES
}

/// Consecutive chunks up to the log end; the first `flushed` of them are in segments too.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    chunks: VecDeque<Chunk>,
    flushed: usize,
    next_number: u64,
}

impl Tail {
    pub(crate) fn push(&mut self, mut chunk: Chunk) -> u64 {
        chunk.number = self.next_number;
        self.next_number += 1;
        self.chunks.push_back(chunk);
        self.next_number - 1
    }

    /// The chunks that are not in segments yet.
    pub(crate) fn unflushed(&self) -> impl Iterator<Item = &Chunk> {
        self.chunks.iter().skip(self.flushed)
    }

    pub(crate) fn first_unflushed(&self) -> Option<&Chunk> {
        self.chunks.get(self.flushed)
    }

    /// Marks everything up to this number as written; returns how many bytes that were.
    pub(crate) fn mark_flushed(&mut self, up_to: u64) -> usize {
        let mut bytes = 0;
        while let Some(chunk) = self.chunks.get(self.flushed)
            && chunk.number <= up_to
        {
            bytes += chunk.cost();
            self.flushed += 1;
        }
        bytes
    }

    /// Forgets the oldest chunk where it is in a segment and its number is at most `up_to`.
    pub(crate) fn evict(&mut self, up_to: u64) -> usize {
        let mut bytes = 0;
        while self.flushed > 0 && self.chunks[0].number <= up_to {
            bytes += self.chunks[0].cost();
            self.chunks.pop_front();
            self.flushed -= 1;
        }
        bytes
    }

    /// Removes everything from `end` on. `end` is where a batch begins, or the log ends.
    pub(crate) fn truncate(&mut self, end: Offset) -> Freed {
        let mut freed = Freed::default();
        while let Some(chunk) = self.chunks.back()
            && chunk.next_offset > end
        {
            let keep = if chunk.base_offset >= end {
                0
            } else {
                split_at(&chunk.bytes, end)
            };
            let is_flushed = self.flushed == self.chunks.len();
            let account = if is_flushed {
                &mut freed.cached
            } else {
                &mut freed.unflushed
            };
            if keep == 0 {
                *account += chunk.cost();
                self.chunks.pop_back();
                self.flushed -= usize::from(is_flushed);
            } else {
                *account += chunk.bytes.len() - keep;
                let last = self.chunks.len() - 1;
                self.chunks[last].bytes.truncate(keep);
                self.chunks[last].next_offset = end;
                break;
            }
        }
        freed
    }

    /// Forgets the chunks of segments below this one.
    pub(crate) fn drop_below(&mut self, segment: Offset) -> Freed {
        let mut freed = Freed::default();
        while self
            .chunks
            .front()
            .is_some_and(|chunk| chunk.segment < segment)
        {
            let cost = self.chunks.pop_front().map_or(0, |chunk| chunk.cost());
            if self.flushed > 0 {
                self.flushed -= 1;
                freed.cached += cost;
            } else {
                freed.unflushed += cost;
            }
        }
        freed
    }

    pub(crate) fn clear(&mut self) -> Freed {
        self.truncate(Offset(0))
    }

    /// Where memory begins; `None`: nothing is in memory.
    pub(crate) fn base_offset(&self) -> Option<Offset> {
        self.chunks.front().map(|chunk| chunk.base_offset)
    }

    /// The first chunk with an offset at or after `from`, and those that follow.
    pub(crate) fn from(&self, from: Offset) -> impl Iterator<Item = &Chunk> {
        self.chunks.range(
            self.chunks
                .partition_point(|chunk| chunk.next_offset <= from)..,
        )
    }

    /// Slices of whole batches, see `LogReader::read`.
    pub(crate) fn read(&self, from: Offset, bytes_max: usize, upper_bound: Offset) -> Vec<Bytes> {
        let mut slices = Vec::new();
        let mut left = bytes_max;
        for chunk in self.from(from) {
            if chunk.base_offset >= upper_bound {
                break;
            }
            let whole = chunk.base_offset >= from && chunk.next_offset <= upper_bound;
            if whole && chunk.bytes.len() <= left {
                left -= chunk.bytes.len();
                slices.push(chunk.bytes.clone());
                continue;
            }
            let slice = part(&chunk.bytes, from, left, upper_bound, slices.is_empty());
            if !slice.is_empty() {
                slices.push(slice);
            }
            break_unless_more(&mut left, chunk, &slices);
            if left == 0 {
                break;
            }
        }
        slices
    }
}

/// A chunk that was read to its end leaves room for the next one; any other ends the read.
fn break_unless_more(left: &mut usize, chunk: &Chunk, slices: &[Bytes]) {
    let ends = |slice: &Bytes| {
        slice.as_ptr() as usize + slice.len() == chunk.bytes.as_ptr() as usize + chunk.bytes.len()
    };
    *left = match slices.last() {
        Some(slice) if ends(slice) => left.saturating_sub(slice.len()),
        _ => 0,
    };
}

/// The batches of `bytes` that hold offsets from `from` to below `upper_bound`, up to `bytes_max`,
/// or one more where `at_least_one`.
pub(crate) fn part(
    bytes: &Bytes,
    from: Offset,
    bytes_max: usize,
    upper_bound: Offset,
    at_least_one: bool,
) -> Bytes {
    let mut range = None;
    for (position, header) in record_batch::headers(bytes).map_while(Result::ok) {
        if header.last_offset() < from {
            continue;
        }
        let (start, end) = range.unwrap_or((position, position));
        let fits = end + header.bytes() - start <= bytes_max || (at_least_one && range.is_none());
        if header.next_offset() > upper_bound || !fits {
            break;
        }
        range = Some((start, position + header.bytes()));
    }
    range.map_or_else(Bytes::new, |(start, end)| bytes.slice(start..end))
}

/// The position of the first batch with an offset at or after `end`.
fn split_at(bytes: &Bytes, end: Offset) -> usize {
    record_batch::headers(bytes)
        .map_while(Result::ok)
        .find(|(_, header)| header.last_offset() >= end)
        .map_or(bytes.len(), |(position, _)| position)
}
