//! Opening a directory: lock, identity, checkpoint, the WAL's tail.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::commit::{Untold, Wal};
use super::directory::Directory;
use super::image::{self, Head};
use super::{Identity, Opened, Store, checkpoint, flush, meta, threads};
use crate::error::Context;
use crate::log::{Log, LogReader, SharedLog, State};
use crate::ranked::{Ranked, lock};
use crate::shared::Shared;
use crate::wal::{self, Operation, Position, Writer};
use crate::{Disk, Error, Result, Settings, snapshot_file};

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
        disk.sync_dir(&wal_dir).sync_context(&wal_dir)?;
        disk.sync_dir(dir).sync_context(dir)?;

        let shared = Shared::new(disk, dir.to_path_buf(), settings);
        shared.measure_space()?;
        let directory = Directory::new(Arc::new(shared));
        let seed = crc32c::crc32c(&identity.directory_id.0);
        let (writer, (last_lsn, from), is_dirty) = recover(&directory, &wal_dir, seed)?;
        let wal = Wal {
            writer,
            pending: Vec::new(),
            unmeasured_bytes: 0,
            untold: Untold::default(),
        };
        let store = Arc::new(Self {
            identity,
            directory,
            wal: Ranked::new(wal),
            maintenance: Ranked::new(()),
            checkpointed_lsn: AtomicU64::new(last_lsn),
            threads: threads::Threads::default(),
            _lock: lock,
        });
        if is_dirty {
            match store.checkpoint_with(None) {
                Ok(()) => {}
                // what was recovered counts as durable from here on, and is not in segments yet
                Err(Error::DiskFull { .. }) => {
                    wal::write_again(&*store.shared().disk, &wal_dir, seed, from)?;
                    // there is one to be written still, also where nothing comes any more
                    store.checkpointed_lsn.store(0, Ordering::Release);
                }
                Err(error) => return Err(error),
            }
        }
        let handle = |log| Log {
            reader: LogReader { log },
        };
        let logs = store.directory.all_logs().into_iter().map(handle).collect();
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

/// Brings the logs into the directory. Returns the WAL's writing end, the last lsn, where the WAL's
/// tail begins, and whether there is anything to checkpoint.
fn recover(
    directory: &Directory,
    wal_dir: &Path,
    seed: u32,
) -> Result<(Writer, (u64, Position), bool)> {
    let head = load_checkpoint(directory)?;
    let recovered = replay_tail(directory, wal_dir, seed, &head)?;
    let last_lsn = settle(directory, head.last_lsn);
    let shared = &*directory.shared;
    remove_leftovers(shared)?;
    let writer = Writer::new(
        shared.disk.clone(),
        wal_dir.to_path_buf(),
        seed,
        shared.settings.wal_segment_bytes,
        shared.settings.wal_direct,
        &recovered.slots,
        recovered.position,
    );
    Ok((writer, (last_lsn, head.position), recovered.is_dirty))
}

/// Brings in the logs of the checkpoint; a new directory has none.
fn load_checkpoint(directory: &Directory) -> Result<Head> {
    let shared = &directory.shared;
    let path = shared.dir.join(checkpoint::FILE);
    let Some(content) = snapshot_file::read(&*shared.disk, &path)? else {
        return Ok(Head {
            position: Position::FIRST,
            last_lsn: 0,
            next_number: 0,
        });
    };
    let Some((head, images)) = image::decode(&content) else {
        let what = "its content is not what this version writes";
        return Err(Error::corrupt(&path, 0, what));
    };
    let mut logs = lock(&directory.logs);
    for image in images {
        let has_files = image.state.size_bytes() > 0;
        let log = SharedLog::new(
            shared.clone(),
            image.number,
            image.id,
            image.topic,
            image.state,
        );
        if has_files {
            lock(&log.files).is_dir_made = true;
        }
        logs.insert(Arc::new(log));
    }
    logs.next_number = logs.next_number.max(head.next_number);
    Ok(head)
}

/// Replays the WAL's tail. It is read twice: files were written since the checkpoint, so until a
/// log's last truncation is replayed they hold bytes from its future and must be left alone.
fn replay_tail(
    directory: &Directory,
    wal_dir: &Path,
    seed: u32,
    head: &Head,
) -> Result<wal::Recovered> {
    let disk = &*directory.shared.disk;
    let mut barriers = BTreeMap::new();
    let recovered = wal::recover(
        disk,
        wal_dir,
        seed,
        head.position,
        &mut |number, lsn, op| {
            if op.is_barrier() {
                barriers.insert(number, lsn);
            }
            Ok(())
        },
    )?;
    for log in lock(&directory.logs).all() {
        if let Some(&lsn) = barriers.get(&log.number) {
            let mut state = lock(&log.state);
            state.barrier_lsn = state.barrier_lsn.max(lsn);
        }
    }
    wal::recover(
        disk,
        wal_dir,
        seed,
        head.position,
        &mut |number, lsn, op| {
            let barrier = barriers.get(&number).copied().unwrap_or(0);
            replay(directory, head, number, lsn, op, barrier)
        },
    )?;
    Ok(recovered)
}

/// Brings one record of the WAL's tail into the logs.
fn replay(
    directory: &Directory,
    head: &Head,
    number: u64,
    lsn: u64,
    op: Operation,
    barrier_lsn: u64,
) -> Result<()> {
    let shared = &directory.shared;
    let known = lock(&directory.logs).get(number).cloned();
    let log = match (known, &op) {
        (Some(log), _) => log,
        (None, Operation::Create { id, topic }) if number >= head.next_number => {
            let mut state = State::new(Default::default(), 0);
            state.barrier_lsn = barrier_lsn;
            let log = SharedLog::new(shared.clone(), number, *id, topic.clone(), state);
            let log = Arc::new(log);
            lock(&directory.logs).insert(log.clone());
            log
        }
        // deleted, and the checkpoint knows that already
        (None, _) => return Ok(()),
    };
    {
        let mut state = lock(&log.state);
        if lsn <= state.lsn {
            // the checkpoint contains it
            return Ok(());
        }
        log.apply(&mut state, lsn, &op);
    }
    shared.durable_lsn.store(lsn, Ordering::Release);
    if op == Operation::Delete {
        lock(&directory.logs).delete(log, lsn);
    }
    match flush::flush_where_needed(directory) {
        Err(error) if error.is_no_space() => {
            shared.is_full.store(true, Ordering::Release);
            Ok(())
        }
        flushed => flushed,
    }
}

/// Everything replayed is durable; counting goes on after the last record.
fn settle(directory: &Directory, mut last_lsn: u64) -> u64 {
    let shared = &*directory.shared;
    for log in lock(&directory.logs).all() {
        let mut state = lock(&log.state);
        state.settle();
        last_lsn = last_lsn.max(state.lsn);
    }
    last_lsn = last_lsn.max(shared.durable_lsn.load(Ordering::Acquire));
    shared.durable_lsn.store(last_lsn, Ordering::Release);
    lock(&shared.queue).last_lsn = last_lsn;
    last_lsn
}

/// Removes the directories of deleted logs that a crash left.
fn remove_leftovers(shared: &Shared) -> Result<()> {
    for entry in shared.disk.list(&shared.dir).context("list", &shared.dir)? {
        if entry.is_dir && entry.name.ends_with(".deleted") {
            let path = shared.dir.join(entry.name);
            shared.disk.remove_dir_all(&path).context("remove", &path)?;
        }
    }
    Ok(())
}
