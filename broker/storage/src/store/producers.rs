//! Producer state beside a log: `<offset, 20 digits>.snapshot` files, opaque to storage.
//!
//! A file is written only when everything below its offset is durable, and removed when the log
//! is truncated below it; so whatever is found and has its checksum is true. It is not synced: one
//! that is lost costs only a longer replay.

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

/// An older one stays in case that the newest is lost or cut off.
const KEPT: usize = 2;

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
    disk::remove_file(&*shared.disk, &path).context("remove", &path)
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
    snapshot_file::write_unsynced(&*shared.disk, &path, &producers.bytes)?;
    let offsets = list(shared, log)?;
    for &offset in offsets.iter().rev().skip(KEPT) {
        remove(shared, log, offset)?;
    }
    Ok(())
}

impl LogReader {
    /// The newest usable producer state that was saved (see `Listener::producer_state`), and from
    /// where batches must be replayed on top of it. Reads the disk.
    pub fn producer_snapshot(&self) -> Result<ProducerSnapshot> {
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
                cuts.fold(state.log_end_offset, Offset::min),
            )
        };
        for offset in list(shared, log)?
            .into_iter()
            .rev()
            .filter(|&offset| offset <= end)
        {
            if let Ok(Some(state)) = snapshot_file::read(&*shared.disk, &path(log, offset)) {
                let replay_from = offset.max(start);
                return Ok(ProducerSnapshot {
                    replay_from,
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
