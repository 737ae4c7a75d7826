//! Producer state beside a log: `<offset, 20 digits>.snapshot` files, opaque to storage.
//!
//! ```text
//! 0        4           20          24           32
//! | magic  | topic id  | partition | log number | state …
//! | "OTPS" | 16 bytes  | i32       | u64        |
//! ```
//! Little-endian, in the envelope of [`crate::snapshot_file`]. A file is written only when
//! everything below its offset is durable, and removed when the log is truncated below it, durably
//! before the truncation leaves the write-ahead log; so whatever is found, has its checksum and is
//! of this log is true. It is not synced: one that is lost costs only a longer replay.

use std::io;
use std::path::PathBuf;

use ottla_protocol::ids::Offset;

use super::directory::Directory;
use super::{ProducerState, log_dir};
use crate::error::Context;
use crate::log::{LogReader, ProducerSnapshot, SharedLog};
use crate::ranked::lock;
use crate::shared::Shared;
use crate::{Result, disk, snapshot_file};

const MAGIC: [u8; 4] = *b"OTPS";
const HEADER_BYTES: usize = 32;
/// An older one stays in case that the newest is lost or cut off.
const KEPT: usize = 2;

/// Says whose state it is: a directory may have been another log's before.
fn header(log: &SharedLog) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..20].copy_from_slice(&log.id.topic_id.0.0);
    bytes[20..24].copy_from_slice(&log.id.partition.0.to_le_bytes());
    bytes[24..].copy_from_slice(&log.number.to_le_bytes());
    bytes
}

fn path(log: &SharedLog, offset: Offset) -> PathBuf {
    log.dir.join(format!("{:020}.snapshot", offset.0))
}

fn list(shared: &Shared, log: &SharedLog) -> Result<Vec<Offset>> {
    let entries = match shared.disk.list(&log.dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.context("list", &log.dir)?,
    };
    let offsets = entries.iter().filter_map(|entry| {
        entry
            .name
            .strip_suffix(".snapshot")
            .and_then(|offset| offset.parse().ok())
    });
    Ok(offsets.map(Offset).collect())
}

fn remove(shared: &Shared, log: &SharedLog, offset: Offset) -> Result<()> {
    let path = path(log, offset);
    let removed = disk::remove_file(&*shared.disk, &path);
    lock(&log.files).is_dir_changed |= removed.context("remove", &path)?;
    Ok(())
}

pub(super) fn remove_after(shared: &Shared, log: &SharedLog, end: Offset) -> Result<()> {
    for offset in list(shared, log)?
        .into_iter()
        .filter(|&offset| offset > end)
    {
        remove(shared, log, offset)?;
    }
    Ok(())
}

/// Keeps the state where all below its offset is durable.
pub(super) fn save(
    directory: &Directory,
    log: &SharedLog,
    producers: &ProducerState,
) -> Result<()> {
    let shared = &*directory.shared;
    if producers.offset > lock(&log.state).durable_end_offset() {
        lock(&log.state).is_producer_state_old = true;
        return Ok(());
    }
    log_dir::make(directory, log)?;
    let path = path(log, producers.offset);
    let content = [&header(log)[..], &producers.bytes].concat();
    snapshot_file::write_unsynced(&*shared.disk, &path, &content)?;
    let offsets = list(shared, log)?;
    for &offset in offsets.iter().rev().skip(KEPT) {
        remove(shared, log, offset)?;
    }
    Ok(())
}

impl LogReader {
    /// The newest usable producer state that was saved (see `Listener::producer_state`) of what is
    /// before `until`, and from where batches must be replayed on top of it. One from before the
    /// log start is not usable: the markers of its open transactions may be gone. Reads the disk.
    pub fn producer_snapshot(&self, until: Offset) -> Result<ProducerSnapshot> {
        let log = &*self.log;
        let shared = &*log.shared;
        let (start, end) = {
            let state = lock(&log.state);
            // truncations whose files are not removed yet
            let cuts = state.doomed.iter().filter_map(|(_, doomed)| match doomed {
                crate::log::state::Doomed::SnapshotsAfter(offset) => Some(*offset),
                crate::log::state::Doomed::Segment(_) => None,
            });
            (
                state.log_start_offset,
                cuts.fold(state.log_end_offset.min(until), Offset::min),
            )
        };
        for offset in list(shared, log)?
            .into_iter()
            .rev()
            .filter(|&offset| start <= offset && offset <= end)
        {
            if let Ok(Some(mut content)) = snapshot_file::read(&*shared.disk, &path(log, offset))
                && content.starts_with(&header(log))
            {
                let state = content.split_off(HEADER_BYTES);
                return Ok(ProducerSnapshot {
                    replay_from: offset,
                    state: Some(state),
                });
            }
        }
        Ok(ProducerSnapshot {
            replay_from: start,
            state: None,
        })
    }
}
