//! Log compaction: of each key the record with the highest offset stays.
//!
//! One compaction of one log goes over the sealed part of it: first over what is not compacted
//! yet, to learn each key's newest offset ([`Keys`]: bounded, so a large log takes several
//! rounds); then over all of it from its start, segment by segment, writing what stays
//! ([`Retention`]) into new files; nothing of what was aborted does. Offsets never change, and
//! batches keep their base and last offset.
//!
//! # Crash safety
//! A new file has a name of its own (a generation), and is on disk whole before a record in the
//! write-ahead log puts it in the place of the old ones; these go once that record is durable. So
//! a crash finds either the old files or the new one in the log's state, and files that are in no
//! state are removed by the next compaction. Records are put into effect in the order of the log:
//! a tombstone goes only after all that it deleted.
//!
//! Appends and reads go on meanwhile. Whoever truncates the log stops the compaction.

mod keys;
mod retention;
mod rewrite;
mod transactions;

use std::collections::BTreeMap;

use ottla_protocol::ids::{Offset, ProducerId};
use ottla_protocol::log::{LeaderEpochs, SealedSegment};
use ottla_protocol::record;
use ottla_protocol::record_batch::{DECOMPRESSED_BYTES_MAX, Header, RecordBatch};

use crate::log::order::Order;
use crate::log::state::State;
use crate::log::{LogReader, index};
use crate::ranked::lock;
use crate::segment::{Segment, SegmentId};
use crate::wal::Operation;
use crate::{Error, Log, Result};
use keys::Keys;
use retention::Retention;
pub use transactions::AbortedTransaction;
use transactions::{Aborted, Passed};

/// What to compact, and with what means.
#[derive(Clone, Debug)]
pub struct Compaction {
    /// Segments that end above are left alone.
    pub until: Offset,
    /// The time, in milliseconds since 1970.
    pub now_ms: i64,
    /// `delete.retention.ms`
    pub delete_retention_ms: i64,
    /// Whether tombstones and markers go that were kept for so long: each replica has them.
    pub forgets: bool,
    /// Memory for keys.
    pub keys_bytes_max: usize,
    /// What is read or written at a time.
    pub buffer_bytes: usize,
    /// The last offset of each idempotent producer: that batch stays, if need be empty.
    pub producers: BTreeMap<ProducerId, Offset>,
    /// The transactions that were aborted and begin below `until`, wherever their markers are;
    /// those of one producer in the log's order. All others that begin below it were committed.
    pub aborted: Vec<AbortedTransaction>,
}

/// Who owns the log that is compacted.
pub trait Owner {
    /// So many bytes were read or written: whether to go on. May sleep to limit the rate.
    fn goes_on(&mut self, bytes: u64) -> bool;
    /// Lets `act` have the log's writing handle, under the lock that guards it. Does nothing where
    /// the log is no more.
    fn with_log(&mut self, act: &mut dyn FnMut(&mut Log) -> Result<()>) -> Result<()>;
}

/// What a compaction did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Everything below is compacted now.
    pub clean_end_offset: Offset,
    /// Bytes of the segments that were gone over.
    pub bytes_before: u64,
    /// Bytes of the segments in their place.
    pub bytes_after: u64,
    /// The offsets of the markers that are gone, after all that they ended.
    pub removed_markers: Vec<Offset>,
    /// It was stopped: by its owner, or because the log was truncated meanwhile.
    pub is_stopped: bool,
}

/// How far a log is compacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cleanliness {
    /// All segments but the active one.
    pub sealed: Vec<SealedSegment>,
    /// Everything below is compacted.
    pub clean_end_offset: Offset,
    /// Segments that end above are compacted only after a checkpoint.
    pub checkpointed_offset: Offset,
}

/// A segment to compact: which, up to where, and how it was at the beginning.
#[derive(Clone, Debug)]
struct Source {
    id: SegmentId,
    end_offset: Offset,
    bytes: u64,
    delete_horizon_ms: i64,
}

/// What a compaction goes over, as of its beginning.
#[derive(Debug)]
struct Sources {
    segments: Vec<Source>,
    log_start_offset: Offset,
    clean_end_offset: Offset,
    truncations: u64,
    segment_bytes: u64,
    index_interval_bytes: u64,
    leader_epochs: LeaderEpochs,
}

/// Stops a compaction from within.
enum Halt {
    Stopped,
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Sources {
    fn new(state: &State, until: Offset) -> Self {
        let until = until.min(state.sealed_below);
        let ends = state.segments.iter().skip(1).map(|next| next.base_offset);
        let source = |(segment, end_offset): (&Segment, Offset)| Source {
            id: segment.id(),
            end_offset,
            bytes: segment.bytes,
            delete_horizon_ms: segment.delete_horizon_ms,
        };
        let sealed = state.segments.iter().zip(ends).map(source);
        Self {
            segments: sealed
                .take_while(|source| source.end_offset <= until)
                .collect(),
            log_start_offset: state.log_start_offset,
            clean_end_offset: state.clean_end_offset.max(state.log_start_offset),
            truncations: state.truncations,
            segment_bytes: state.settings.segment_bytes,
            index_interval_bytes: state.settings.index_interval_bytes,
            leader_epochs: state.leader_epochs.clone(),
        }
    }

    /// What the batches of a segment are held against.
    fn order(&self, source: &Source) -> Order {
        let epochs = self.leader_epochs.clone();
        Order::new(source.id.base_offset, source.end_offset, epochs)
    }

    /// Whether these segments are in the log still, as they were.
    fn are_current(&self, state: &State, group: &[Source]) -> bool {
        let Some(first) = group.first() else {
            return false;
        };
        let place = state.segment_at(first.id.base_offset);
        let found = state.segments.iter().skip(place);
        let pairs = found
            .zip(group)
            .filter(|(segment, source)| segment.id() == source.id);
        !state.is_deleted
            && state.truncations == self.truncations
            && place + group.len() < state.segments.len()
            && pairs.count() == group.len()
    }
}

/// Consecutive segments that are small enough to become one.
fn groups(segments: &[Source], bytes_max: u64) -> Vec<&[Source]> {
    let mut groups = Vec::new();
    let mut start = 0;
    for end in 1..=segments.len() {
        let fits = segments.get(end).is_some_and(|next| {
            let bytes: u64 = segments[start..=end].iter().map(|s| s.bytes).sum();
            let span = next.end_offset.0 - segments[start].id.base_offset.0;
            bytes <= bytes_max && span <= i64::from(i32::MAX)
        });
        if !fits {
            groups.push(&segments[start..end]);
            start = end;
        }
    }
    groups
}

impl LogReader {
    /// How far the log is compacted, and what is left to compact.
    #[must_use]
    pub fn cleanliness(&self) -> Cleanliness {
        let state = lock(&self.log.state);
        let ends = state.segments.iter().skip(1).map(|next| next.base_offset);
        let sealed = |(segment, end_offset): (&Segment, Offset)| SealedSegment {
            end_offset,
            bytes: segment.data_bytes(),
            first_timestamp: segment.first_timestamp,
            max_timestamp: segment.max_timestamp,
            delete_horizon_ms: (segment.delete_horizon_ms < i64::MAX)
                .then_some(segment.delete_horizon_ms),
        };
        Cleanliness {
            sealed: state.segments.iter().zip(ends).map(sealed).collect(),
            clean_end_offset: state.clean_end_offset.max(state.log_start_offset),
            checkpointed_offset: state.sealed_below,
        }
    }

    /// Compacts what may be compacted, as far as the memory for keys goes; to be called again
    /// until its end is reached. Blocks on the disk.
    ///
    /// # Errors
    /// A segment cannot be read, the disk is full ([`Error::DiskFull`]; the log is as it was), or
    /// the directory is offline.
    pub fn compact(&self, terms: &Compaction, owner: &mut dyn Owner) -> Result<Compacted> {
        let log = &*self.log;
        let shared = &log.shared;
        shared.check_online()?;
        let Some(_running) = log.compacting.try_lock() else {
            return Ok(Compacted {
                is_stopped: true,
                ..Compacted::default()
            });
        };
        rewrite::sweep(log)?;
        let sources = Sources::new(&lock(&log.state), terms.until);
        let mut done = Compacted {
            clean_end_offset: sources.clean_end_offset,
            ..Compacted::default()
        };
        match self.compact_sources(terms, &sources, owner, &mut done) {
            Ok(()) => Ok(done),
            Err(Halt::Stopped) => Ok(Compacted {
                is_stopped: true,
                ..done
            }),
            // whoever cut the log meanwhile explains anything
            Err(Halt::Failed(error)) if !matches!(error, Error::Offline { .. }) => {
                let state = lock(&log.state);
                if state.is_deleted || state.truncations != sources.truncations {
                    return Ok(Compacted {
                        is_stopped: true,
                        ..done
                    });
                }
                Err(error)
            }
            Err(Halt::Failed(error)) => Err(error),
        }
    }

    fn compact_sources(
        &self,
        terms: &Compaction,
        sources: &Sources,
        owner: &mut dyn Owner,
        done: &mut Compacted,
    ) -> std::result::Result<(), Halt> {
        let mut keys = Keys::new(terms.keys_bytes_max);
        let aborted = Aborted::new(&terms.aborted);
        let end_offset = self.note_keys((&mut keys, &aborted), terms, sources, owner)?;
        let retention = Retention {
            keys: &keys,
            end_offset,
            now_ms: terms.now_ms,
            delete_retention_ms: terms.delete_retention_ms,
            forgets: terms.forgets,
            producers: &terms.producers,
            aborted: &aborted,
        };
        let mut passed = Passed::default();
        let below = |source: &&Source| source.id.base_offset < end_offset;
        let count = sources.segments.iter().take_while(below).count();
        let groups = groups(&sources.segments[..count], sources.segment_bytes);
        for (place, group) in groups.iter().enumerate() {
            let is_last = place + 1 == groups.len();
            let written = rewrite::group(
                &self.log,
                sources,
                group,
                (&retention, &mut passed, is_last),
                terms,
                owner,
            )?;
            done.bytes_before += group.iter().map(|source| source.bytes).sum::<u64>();
            match written {
                Some(segment) => {
                    done.bytes_after += segment.bytes;
                    self.put_in_place(sources, group, &segment, owner)?;
                    done.removed_markers.append(&mut passed.removed);
                }
                None => done.bytes_after += group[0].bytes,
            }
        }
        self.advance(sources, end_offset, owner)?;
        done.clean_end_offset = end_offset;
        Ok(())
    }

    /// Learns the newest offsets of the keys in what is not compacted yet. Returns up to where
    /// there was room for them.
    fn note_keys(
        &self,
        (keys, aborted): (&mut Keys, &Aborted),
        terms: &Compaction,
        sources: &Sources,
        owner: &mut dyn Owner,
    ) -> std::result::Result<Offset, Halt> {
        let from = sources.clean_end_offset;
        let dirty = sources
            .segments
            .iter()
            .filter(|source| source.end_offset > from);
        let mut end_offset = from;
        for source in dirty {
            let mut full_at = None;
            let floor = index::floor_offset(
                &self.log,
                source.id,
                source.bytes,
                from.max(source.id.base_offset),
            )?;
            let mut visit = |batch: &[u8], header: &Header| {
                if header.last_offset() >= from && !aborted.has(header) {
                    full_at = note_batch(keys, batch, header, from);
                }
                Ok(full_at.is_none())
            };
            rewrite::batches(
                &self.log,
                (source.id, floor.position, source.bytes),
                sources.order(source).from(floor.base_offset),
                terms,
                owner,
                &mut visit,
            )?;
            if let Some(full_at) = full_at {
                return Ok(full_at);
            }
            end_offset = source.end_offset;
        }
        Ok(end_offset)
    }

    /// Puts the new segment in the place of the group.
    fn put_in_place(
        &self,
        sources: &Sources,
        group: &[Source],
        segment: &Segment,
        owner: &mut dyn Owner,
    ) -> std::result::Result<(), Halt> {
        let until = group[group.len() - 1].end_offset;
        let operation = Operation::Replace {
            segment: segment.id(),
            until,
            bytes: segment.bytes,
            first_timestamp: segment.first_timestamp,
            max_timestamp: segment.max_timestamp,
            delete_horizon_ms: segment.delete_horizon_ms,
        };
        let is_done = self.change_where_current(sources, group, operation, owner)?;
        if !is_done {
            rewrite::discard(&self.log, segment.id())?;
            return Err(Halt::Stopped);
        }
        Ok(())
    }

    /// Notes up to where the log is compacted.
    fn advance(
        &self,
        sources: &Sources,
        end_offset: Offset,
        owner: &mut dyn Owner,
    ) -> std::result::Result<(), Halt> {
        if end_offset == sources.clean_end_offset {
            return Ok(());
        }
        let operation = Operation::CleanEnd { offset: end_offset };
        match self.change_where_current(sources, &[], operation, owner)? {
            true => Ok(()),
            false => Err(Halt::Stopped),
        }
    }

    fn change_where_current(
        &self,
        sources: &Sources,
        group: &[Source],
        operation: Operation,
        owner: &mut dyn Owner,
    ) -> Result<bool> {
        let mut is_done = false;
        owner.with_log(&mut |log| {
            let log = &log.reader.log;
            log.shared.check_online()?;
            let mut state = lock(&log.state);
            let is_current = match group {
                [] => !state.is_deleted && state.truncations == sources.truncations,
                group => sources.are_current(&state, group),
            };
            if is_current {
                log.change(&mut state, operation.clone());
                is_done = true;
            }
            Ok(())
        })?;
        Ok(is_done)
    }
}

/// Notes the batch's keys. `Some`: the first record that found no room.
fn note_batch(keys: &mut Keys, batch: &[u8], header: &Header, from: Offset) -> Option<Offset> {
    if header.is_control() {
        return None;
    }
    let batch = RecordBatch::first(batch).ok()?;
    let body = batch.decompressed(DECOMPRESSED_BYTES_MAX).ok()?;
    for found in record::iterate(&body, header.records_count).map_while(std::result::Result::ok) {
        let offset = header.base_offset.plus(i64::from(found.offset_delta));
        if let Some(key) = found.key
            && offset >= from
            && !keys.note(key, offset)
        {
            return Some(offset);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_neighbours_become_one() {
        let source = |base: i64, end: i64, bytes| Source {
            id: SegmentId {
                base_offset: Offset(base),
                generation: 0,
            },
            end_offset: Offset(end),
            bytes,
            delete_horizon_ms: i64::MAX,
        };
        let segments = [
            source(0, 10, 40),
            source(10, 20, 40),
            source(20, 30, 40),
            source(30, 40, 200),
            source(40, 50, 10),
            source(50, 5_000_000_000, 10),
            source(5_000_000_000, 5_000_000_001, 10),
        ];
        let found: Vec<usize> = groups(&segments, 100)
            .iter()
            .map(|group| group.len())
            .collect();
        assert_eq!(found, [2, 1, 1, 1, 1, 1]);
        assert!(groups(&[], 100).is_empty());
    }
}
