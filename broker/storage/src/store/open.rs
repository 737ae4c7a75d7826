//! Opening a directory: lock, identity, checkpoint, the WAL's tail.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::commit::{Untold, Wal};
use super::core::{Core, lock};
use super::image::{self, Head};
use super::{Identity, Opened, Settings, Store, checkpoint, flush, meta, threads};
use crate::error::Context;
use crate::log::{Log, LogReader, Shared, State};
use crate::wal::{self, Check, Operation, Position, Writer};
use crate::{Disk, Error, Result, snapshot_file};

impl Store {
    /// Locks the directory, makes it where missing, and recovers what is in it.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        identity: Identity,
        settings: Settings,
    ) -> Result<Opened> {
        disk.create_dir_all(dir).context("create", dir)?;
        let lock = take_lock(&*disk, dir)?;
        let identity = meta::claim(&*disk, dir, identity)?;
        let wal_dir = dir.join("wal");
        disk.create_dir_all(&wal_dir).context("create", &wal_dir)?;
        // names that a killed process made may not be durable yet, and are relied on from here
        disk.sync_dir(&wal_dir).context("sync", &wal_dir)?;
        disk.sync_dir(dir).context("sync", dir)?;

        let core = Arc::new(Core::new(disk, dir.to_path_buf(), settings));
        core.measure_space()?;
        let seed = crc32c::crc32c(&identity.directory_id.0);
        let recovered = recover(&core, &wal_dir, seed).inspect_err(|_| core.clear());
        let (writer, last_lsn, is_dirty) = recovered?;
        let wal = Wal {
            writer,
            pending: Vec::new(),
            unmeasured_bytes: 0,
            untold: Untold::default(),
        };
        let store = Arc::new(Self {
            identity,
            core,
            wal: Mutex::new(wal),
            maintenance: Mutex::new(()),
            needs_checkpoint: AtomicBool::new(is_dirty),
            checkpointed_lsn: AtomicU64::new(last_lsn),
            threads: threads::Threads::default(),
            _lock: lock,
        });
        if is_dirty {
            match store.checkpoint_with(None) {
                // it is tried again before the first commit
                Ok(()) | Err(Error::DiskFull { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let logs: Vec<_> = self::lock(&store.core.logs)
            .by_number
            .values()
            .cloned()
            .collect();
        let handle = |shared| Log {
            reader: LogReader { shared },
        };
        let logs = logs.into_iter().map(handle).collect();
        Ok(Opened { store, logs })
    }
}

fn take_lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn crate::disk::Lock>> {
    let path = dir.join(".lock");
    let us = format!("process {}", std::process::id());
    let lock = disk.lock(&path, &us).context("lock", &path)?;
    lock.map_err(|holder| Error::InUse {
        dir: dir.to_path_buf(),
        holder: if holder.is_empty() {
            "another process".into()
        } else {
            holder
        },
    })
}

/// Brings the logs into the core. Returns the WAL's writing end, the last lsn, and whether a
/// checkpoint must come before anything is written.
fn recover(core: &Arc<Core>, wal_dir: &Path, seed: u32) -> Result<(Writer, u64, bool)> {
    let head = load_checkpoint(core)?;
    let recovered = replay_tail(core, wal_dir, seed, &head)?;
    let last_lsn = settle(core, head.last_lsn);
    remove_leftovers(core)?;
    let writer = Writer::new(
        core.disk.clone(),
        wal_dir.to_path_buf(),
        seed,
        core.settings.wal_segment_bytes,
        core.settings.wal_direct,
        &recovered.slots,
        recovered.position,
    );
    Ok((writer, last_lsn, recovered.is_dirty))
}

/// Reads the checkpoint into the core; a new directory has none.
fn load_checkpoint(core: &Arc<Core>) -> Result<Head> {
    let path = core.dir.join(checkpoint::FILE);
    let Some(content) = snapshot_file::read(&*core.disk, &path)? else {
        return Ok(Head {
            position: Position::FIRST,
            last_lsn: 0,
            next_number: 0,
        });
    };
    let Some((head, images)) = image::decode(&content) else {
        let what = "its content is not what this version writes";
        return Err(Error::Corrupt {
            path,
            position: 0,
            what,
        });
    };
    let mut logs = lock(&core.logs);
    for image in images {
        let has_files = image.state.size_bytes() > 0;
        let log = Shared::new(
            core.clone(),
            image.number,
            image.id,
            image.topic,
            image.state,
        );
        if has_files {
            let mut files = lock(&log.files);
            (files.is_dir_made, files.is_dir_synced) = (true, true);
        }
        logs.insert(Arc::new(log));
    }
    logs.next_number = logs.next_number.max(head.next_number);
    Ok(head)
}

/// Replays the WAL's tail. It is read twice: files were written since the checkpoint, so until a
/// log's last truncation is replayed they hold bytes from its future and must be left alone.
fn replay_tail(core: &Arc<Core>, wal_dir: &Path, seed: u32, head: &Head) -> Result<wal::Recovered> {
    let disk = &*core.disk;
    let mut barriers = BTreeMap::new();
    let mut left = 0_u64;
    let recovered = wal::recover(
        disk,
        wal_dir,
        seed,
        head.position,
        Check::Batches,
        &mut |number, lsn, op| {
            left += 1;
            if op.is_barrier() {
                barriers.insert(number, lsn);
            }
            Ok(())
        },
    )?;
    for shared in lock(&core.logs).by_number.values() {
        if let Some(&lsn) = barriers.get(&shared.number) {
            let mut state = lock(&shared.state);
            state.barrier_lsn = state.barrier_lsn.max(lsn);
        }
    }
    wal::recover(
        disk,
        wal_dir,
        seed,
        head.position,
        Check::Headers,
        &mut |number, lsn, op| {
            // the second reading hashes no batches, so it might take a torn record for whole
            let Some(less) = left.checked_sub(1) else {
                return Ok(());
            };
            left = less;
            let barrier = barriers.get(&number).copied().unwrap_or(0);
            replay(core, head, number, lsn, op, barrier)
        },
    )?;
    Ok(recovered)
}

/// Brings one record of the WAL's tail into the logs.
fn replay(
    core: &Arc<Core>,
    head: &Head,
    number: u64,
    lsn: u64,
    op: Operation,
    barrier_lsn: u64,
) -> Result<()> {
    let known = lock(&core.logs).by_number.get(&number).cloned();
    let shared = match (known, &op) {
        (Some(shared), _) => shared,
        (None, Operation::Create { id, topic }) if number >= head.next_number => {
            let mut state = State::new(Default::default(), 0);
            state.barrier_lsn = barrier_lsn;
            let shared = Shared::new(core.clone(), number, *id, topic.clone(), state);
            let shared = Arc::new(shared);
            lock(&core.logs).insert(shared.clone());
            shared
        }
        // deleted, and the checkpoint knows that already
        (None, _) => return Ok(()),
    };
    {
        let mut state = lock(&shared.state);
        if lsn <= state.lsn {
            // the checkpoint contains it
            return Ok(());
        }
        core.apply(&shared, &mut state, lsn, &op);
    }
    core.durable_lsn.store(lsn, Ordering::Release);
    if op == Operation::Delete {
        lock(&core.logs).remove(&shared);
        lock(&core.deleted).push((lsn, shared));
    }
    match flush::flush_where_needed(core) {
        Err(error) if error.is_no_space() => {
            core.is_full.store(true, Ordering::Release);
            Ok(())
        }
        flushed => flushed,
    }
}

/// Everything replayed is durable; counting goes on after the last record.
fn settle(core: &Core, mut last_lsn: u64) -> u64 {
    for shared in lock(&core.logs).by_number.values() {
        let mut state = lock(&shared.state);
        state.settle();
        last_lsn = last_lsn.max(state.lsn);
    }
    last_lsn = last_lsn.max(core.durable_lsn.load(Ordering::Acquire));
    core.durable_lsn.store(last_lsn, Ordering::Release);
    lock(&core.queue).last_lsn = last_lsn;
    last_lsn
}

/// Removes the directories of deleted logs that a crash left.
fn remove_leftovers(core: &Core) -> Result<()> {
    for entry in core.disk.list(&core.dir).context("list", &core.dir)? {
        if entry.is_dir && entry.name.ends_with(".deleted") {
            let path = core.dir.join(entry.name);
            core.disk.remove_dir_all(&path).context("remove", &path)?;
        }
    }
    Ok(())
}
