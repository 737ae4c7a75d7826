//! Writes logs' bytes from memory into their segments, and removes files that are not needed.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ottla_protocol::ids::Offset;
use ottla_protocol::log::LeaderEpochs;
use ottla_protocol::record_batch;

use super::directory::Directory;
use super::{image, log_dir, producers};
use crate::disk::aligned::Out;
use crate::disk::{DIRECT_ALIGN, Mode};
use crate::error::Context;
use crate::log::index::Index;
use crate::log::order::Order;
use crate::log::state::Doomed;
use crate::log::tail::Chunk;
use crate::log::{OpenBlock, SharedLog};
use crate::ranked::lock;
use crate::segment::{self, Kind, SEGMENT_HEADER_BYTES, SegmentId};
use crate::shared::Shared;
use crate::{Error, File, Result, disk};

/// Which part of what may wait is written at a time: commits wait for a disk that is busy with
/// segments, and what has waited longer is more in one piece.
const FLUSHED_PART: usize = 8;

/// What was taken from a log's state under its lock, to be written without it.
struct Work {
    chunks: Vec<Chunk>,
    doomed: Vec<Doomed>,
    /// Of the segments that get chunks: where the index is stale, and the index interval.
    cuts: Vec<(SegmentId, Option<u64>)>,
    interval: u64,
    is_deleted: bool,
    flushed: Flushed,
}

/// A log as of what was flushed.
#[derive(Default)]
pub(super) struct Flushed {
    /// For the checkpoint, where asked for; empty: the log is deleted.
    pub(super) image: Vec<u8>,
    active: Offset,
    cuts: u64,
}

impl Flushed {
    /// The checkpoint that has the image is written: from here on only the active segment and
    /// what follows it are still written to.
    pub(super) fn checkpointed(&self, log: &SharedLog) {
        let mut state = lock(&log.state);
        if state.cuts == self.cuts {
            state.sealed_below = self.active;
        }
    }
}

fn take(shared: &Shared, log: &SharedLog, with_image: bool) -> Option<Work> {
    let durable = shared.durable_lsn.load(Ordering::Acquire);
    let mut state = lock(&log.state);
    state.is_queued = false;
    if state.barrier_lsn > durable {
        return None;
    }
    let doomed = state
        .doomed
        .extract_if(.., |(lsn, _)| *lsn <= durable)
        .map(|(_, d)| d)
        .collect();
    let chunks: Vec<Chunk> = state.tail.unflushed().cloned().collect();
    let mut cuts: Vec<(SegmentId, Option<u64>)> = Vec::new();
    for chunk in &chunks {
        if cuts
            .last()
            .is_none_or(|last| last.0.base_offset != chunk.segment)
        {
            let place = state.segment_at(chunk.segment);
            let segment = &mut state.segments[place];
            cuts.push((segment.id(), segment.index_cut.take()));
        }
    }
    Some(Work {
        chunks,
        doomed,
        cuts,
        interval: state.settings.index_interval_bytes,
        is_deleted: state.is_deleted,
        flushed: Flushed {
            image: if with_image {
                image::encode_log(log, &state)
            } else {
                Vec::new()
            },
            active: state.active().base_offset,
            cuts: state.cuts,
        },
    })
}

/// Writes what the log has in memory. `None`: it may not be written yet, for a truncation or the
/// creation is not durable. Else the log's image as of what is now written (where asked for).
///
/// The caller has the store's maintenance lock.
pub(super) fn flush(
    directory: &Directory,
    log: &Arc<SharedLog>,
    with_image: bool,
) -> Result<Option<Flushed>> {
    let shared = &*directory.shared;
    let Some(work) = take(shared, log, with_image) else {
        return Ok(None);
    };
    if work.is_deleted {
        return Ok(Some(Flushed::default()));
    }
    for doomed in &work.doomed {
        remove(shared, log, doomed)?;
    }
    let written = write(directory, log, &work);
    if written.is_err() {
        // what was taken is to be done again: a full disk is no reason to forget it
        let mut state = lock(&log.state);
        for (id, cut) in &work.cuts {
            let mut segments = state.segments.iter_mut();
            if let Some(segment) = segments.find(|segment| segment.id() == *id) {
                let redo = cut.unwrap_or(segment.bytes).min(first_position(&work, *id));
                segment.index_cut = Some(segment.index_cut.map_or(redo, |cut| cut.min(redo)));
            }
        }
        drop(state);
        lock(&log.indexes).clear();
    }
    written?;
    if let Some(last) = work.chunks.last() {
        let mut state = lock(&log.state);
        let bytes = state.tail.mark_flushed(last.number);
        drop(state);
        shared.unflushed_bytes.fetch_sub(bytes, Ordering::Relaxed);
        shared.cached_bytes.fetch_add(bytes, Ordering::Relaxed);
        lock(&shared.written).push_back((log.number, last.number));
    }
    Ok(Some(work.flushed))
}

fn first_position(work: &Work, id: SegmentId) -> u64 {
    let mut chunks = work
        .chunks
        .iter()
        .filter(|chunk| chunk.segment == id.base_offset);
    chunks.next().map_or(u64::MAX, |chunk| chunk.position)
}

fn write(directory: &Directory, log: &Arc<SharedLog>, work: &Work) -> Result<()> {
    if work.chunks.is_empty() {
        return Ok(());
    }
    log_dir::make(directory, log)?;
    for (id, cut) in &work.cuts {
        let chunks: Vec<&Chunk> = work
            .chunks
            .iter()
            .filter(|chunk| chunk.segment == id.base_offset)
            .collect();
        write_segment(&directory.shared, log, *id, &chunks, *cut, work.interval)?;
    }
    Ok(())
}

fn write_segment(
    shared: &Shared,
    log: &SharedLog,
    id: SegmentId,
    chunks: &[&Chunk],
    cut: Option<u64>,
    interval: u64,
) -> Result<()> {
    let start = chunks[0].position;
    let path = segment::path(&log.dir, id, Kind::Data);
    let key = (log.number, id, Kind::Data);
    let file = shared
        .files
        .open(&*shared.disk, key, &path, Mode::Create)
        .context("open", &path)?;
    if start == SEGMENT_HEADER_BYTES {
        // what an earlier life left under this name
        file.set_len(0).context("cut", &path)?;
        let header = segment::encode_header(log.id, id);
        file.write_at(&header, 0).context("write", &path)?;
        let mut files = lock(&log.files);
        files.is_dir_changed = true;
        files.open_block = None;
    }
    lock(&log.files).unsynced.insert(id);
    write_data(shared, (log, id), &path, &*file, chunks)?;
    let mut indexes = lock(&log.indexes);
    if cut.is_some() || !indexes.contains_key(&id) {
        // only the newest segment is written to
        indexes.clear();
        let cut = cut.unwrap_or(start).min(start);
        let mut opened = Index::open(log, id, start, cut)?;
        let order = Order::new(
            id.base_offset,
            chunks[0].base_offset,
            LeaderEpochs::default(),
        );
        match opened.catch_up(log, id, (start, order), interval) {
            // the next who reads it is told, and it is no reason to write no more
            Err(error) if error.is_damage() => opened.skip_to(start, max_timestamp(log, id)),
            caught_up => caught_up?,
        }
        indexes.insert(id, opened);
    }
    let Some(index) = indexes.get_mut(&id) else {
        unreachable!("it was opened")
    };
    for chunk in chunks {
        let batches = record_batch::headers(&chunk.bytes).map_while(std::result::Result::ok);
        for (position, header) in batches {
            index.add(chunk.position + position as u64, &header, interval);
        }
    }
    index.write(log, id)
}

fn max_timestamp(log: &SharedLog, id: SegmentId) -> i64 {
    let state = lock(&log.state);
    let mut segments = state.segments.iter();
    let segment = segments.find(|segment| segment.id() == id);
    segment.map_or(i64::MAX, |segment| segment.max_timestamp)
}

/// Writes the chunks. Many bytes go past the page cache: copying them into fresh pages of it would
/// cost more than all else that is done with a record. What they share a block with is written
/// again, and the last block is filled up with zeros, which later writes replace.
fn write_data(
    shared: &Shared,
    (log, id): (&SharedLog, SegmentId),
    path: &Path,
    file: &dyn File,
    chunks: &[&Chunk],
) -> Result<()> {
    let start = chunks[0].position;
    let bytes: usize = chunks.iter().map(|chunk| chunk.bytes.len()).sum();
    let open_block = lock(&log.files).open_block.take();
    if bytes < shared.settings.direct_bytes_min {
        let mut slices: Vec<_> = chunks
            .iter()
            .map(|chunk| IoSlice::new(&chunk.bytes))
            .collect();
        return file
            .write_vectored_at(&mut slices, start)
            .context("write", path);
    }
    let key = (log.number, id, Kind::Direct);
    let direct = shared
        .files
        .open(&*shared.disk, key, path, Mode::CreateDirect);
    let direct = direct.context("open", path)?;
    let front = match open_block {
        Some(block) if (block.segment, block.end) == (id, start) => block.bytes,
        _ => read_front(file, path, start)?,
    };
    let block = start - front.len() as u64;
    let mut staging = lock(&shared.staging);
    let mut out = Out::new(&*direct, &mut staging, block);
    let mut written = out.push(&front);
    for chunk in chunks {
        written = written.and_then(|()| out.push(&chunk.bytes));
    }
    written.and_then(|()| out.finish()).context("write", path)?;
    let end = start + bytes as u64;
    lock(&log.files).open_block = Some(OpenBlock {
        segment: id,
        end,
        bytes: last_bytes(&front, chunks, (end % DIRECT_ALIGN as u64) as usize),
    });
    Ok(())
}

/// What is in the file of the block that `start` lies in.
fn read_front(file: &dyn File, path: &Path, start: u64) -> Result<Vec<u8>> {
    let bytes = start % DIRECT_ALIGN as u64;
    let mut front = Vec::new();
    file.read_at(&mut front, start - bytes, bytes as usize)
        .context("read", path)?;
    if front.len() as u64 != bytes {
        let what = "the file is shorter than what was written to it";
        return Err(Error::corrupt(path, start, what));
    }
    Ok(front)
}

/// The last `count` bytes of what was written.
fn last_bytes(front: &[u8], chunks: &[&Chunk], count: usize) -> Vec<u8> {
    let mut pieces = Vec::new();
    let mut missing = count;
    let parts = chunks.iter().rev().map(|chunk| &chunk.bytes[..]);
    for part in parts.chain([front]) {
        let taken = missing.min(part.len());
        pieces.push(&part[part.len() - taken..]);
        missing -= taken;
    }
    pieces.reverse();
    pieces.concat()
}

fn remove(shared: &Shared, log: &SharedLog, doomed: &Doomed) -> Result<()> {
    match doomed {
        Doomed::Segment(id) => {
            lock(&log.indexes).remove(id);
            lock(&log.files).unsynced.remove(id);
            for kind in [Kind::Direct, Kind::Data, Kind::Index] {
                shared.files.close((log.number, *id, kind));
                let path = segment::path(&log.dir, *id, kind);
                let removed = disk::remove_file(&*shared.disk, &path);
                lock(&log.files).is_dir_changed |= removed.context("remove", &path)?;
            }
            Ok(())
        }
        Doomed::SnapshotsAfter(offset) => producers::remove_after(shared, log, *offset),
    }
}

/// Writes the longest waiting logs until few enough bytes wait, then forgets the oldest bytes
/// that are in segments.
pub(super) fn flush_where_needed(directory: &Directory) -> Result<()> {
    let shared = &*directory.shared;
    let limit = shared.settings.flush_bytes;
    if shared.unflushed_bytes.load(Ordering::Relaxed) > limit {
        let turns = lock(&shared.dirty).len();
        for _ in 0..turns {
            let waiting = shared.unflushed_bytes.load(Ordering::Relaxed);
            if waiting <= limit - limit / FLUSHED_PART {
                break;
            }
            let Some(log) = directory.next_dirty() else {
                break;
            };
            if flush(directory, &log, false)?.is_none() {
                log.queue_for_flush(&mut lock(&log.state));
            }
        }
    }
    directory.evict();
    Ok(())
}
