//! Producer state beside a log: `<offset, 20 digits>.snapshot` files, opaque to storage.
//!
//! A file is written only when everything below its offset is durable, and removed when the log
//! is truncated below it; so whatever is found and has its checksum is true. It is not synced: one
//! that is lost costs only a longer replay.

use std::io;
use std::path::PathBuf;

use ottla_protocol::ids::Offset;

use super::ProducerState;
use super::core::Core;
use super::flush::{make_dir, remove_file};
use crate::error::Context;
use crate::log::{LogReader, ProducerSnapshot, Shared};
use crate::store::core::lock;
use crate::{Result, snapshot_file};

/// An older one stays in case that the newest is lost or cut off.
const KEPT: usize = 2;

fn path(shared: &Shared, offset: Offset) -> PathBuf {
    shared.dir.join(format!("{:020}.snapshot", offset.0))
}

fn list(core: &Core, shared: &Shared) -> Result<Vec<Offset>> {
    let entries = match core.disk.list(&shared.dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.context("list", &shared.dir)?,
    };
    let offsets = entries.iter().filter_map(|entry| {
        entry
            .name
            .strip_suffix(".snapshot")
            .and_then(|offset| offset.parse().ok())
    });
    Ok(offsets.map(Offset).collect())
}

pub(super) fn remove_after(core: &Core, shared: &Shared, end: Offset) -> Result<()> {
    for offset in list(core, shared)?
        .into_iter()
        .filter(|&offset| offset > end)
    {
        remove_file(&*core.disk, &path(shared, offset))?;
    }
    Ok(())
}

/// Keeps the state where all below its offset is durable.
pub(super) fn save(core: &Core, shared: &Shared, producers: &ProducerState) -> Result<()> {
    if producers.offset > lock(&shared.state).durable_end_offset() {
        lock(&shared.state).is_producer_state_old = true;
        return Ok(());
    }
    make_dir(core, shared)?;
    let path = path(shared, producers.offset);
    snapshot_file::write_unsynced(&*core.disk, &path, &producers.bytes)?;
    let offsets = list(core, shared)?;
    for &offset in offsets.iter().rev().skip(KEPT) {
        remove_file(&*core.disk, &self::path(shared, offset))?;
    }
    Ok(())
}

impl LogReader {
    /// The newest usable producer state that was saved (see `Listener::producer_state`), and from
    /// where batches must be replayed on top of it. Reads the disk.
    pub fn producer_snapshot(&self) -> Result<ProducerSnapshot> {
        let shared = &*self.shared;
        let core = &*shared.core;
        let (start, end) = {
            let state = lock(&shared.state);
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
        for offset in list(core, shared)?
            .into_iter()
            .rev()
            .filter(|&offset| offset <= end)
        {
            if let Ok(Some(state)) = snapshot_file::read(&*core.disk, &path(shared, offset)) {
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
