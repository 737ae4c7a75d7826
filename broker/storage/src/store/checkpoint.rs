//! Checkpoints, and what else is done beside the commits.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::image::{self, Head};
use super::{Listener, Store, flush, log_dir, producers};
use crate::disk::Mode;
use crate::error::Context;
use crate::log::SharedLog;
use crate::ranked::lock;
use crate::segment::{self, Kind};
use crate::{Error, Result, snapshot_file};

pub(super) const FILE: &str = "checkpoint";
/// From this many files on, syncing the whole file system is cheaper.
const SYNC_FILES_MAX: usize = 64;
/// How often a log that is truncated again and again is waited for.
const TRIES_MAX: usize = 100;

impl Store {
    /// Writes segments where memory asks for it, checkpoints where the WAL asks for it, deletes
    /// files that are no longer needed. Inline in the simulator; a thread's work in production.
    /// A commit should follow: it tells of what had to be committed here.
    pub fn maintain(&self, listener: &dyn Listener) -> Result<()> {
        let shared = &**self.shared();
        shared.check_online()?;
        if shared.is_full.load(Ordering::Acquire) {
            self.make_room(listener)?;
        }
        let flushed = {
            let _maintenance = lock(&self.maintenance);
            let removed = log_dir::remove_deleted(&self.directory);
            removed.and_then(|()| flush::flush_where_needed(&self.directory))
        };
        self.settle(flushed)?;
        if self.is_checkpoint_due() {
            self.checkpoint(listener)?;
        }
        Ok(())
    }

    /// Flushes and syncs everything, so that the next start replays nothing. A commit should
    /// follow, see [`Store::maintain`].
    pub fn checkpoint(&self, listener: &dyn Listener) -> Result<()> {
        self.checkpoint_with(Some(listener))
    }

    /// Whether the WAL is more than a third full: the rest is for what comes meanwhile.
    pub(super) fn is_checkpoint_due(&self) -> bool {
        let in_use = lock(&self.wal).writer.slots_in_use();
        in_use > 1 && in_use > self.shared().settings.wal_segments_max / 3
    }

    /// Frees files of the WAL where all are in use, unless another thread just did.
    pub(super) fn free_wal(&self) -> Result<()> {
        let _maintenance = lock(&self.maintenance);
        let in_use = lock(&self.wal).writer.slots_in_use();
        if in_use < self.shared().settings.wal_segments_max.max(1) {
            return Ok(());
        }
        let done = self.write_checkpoint();
        self.settle(done)
    }

    /// A full disk: deletes what may be deleted, and looks again.
    fn make_room(&self, listener: &dyn Listener) -> Result<()> {
        let shared = &**self.shared();
        match self.checkpoint(listener) {
            Ok(()) | Err(Error::DiskFull { .. }) => {}
            Err(error) => return Err(error),
        }
        shared
            .measure_space()
            .map_err(|error| shared.fail(&error))?;
        Ok(())
    }

    /// A full disk is waited for; any other failure takes the directory offline.
    fn settle(&self, result: Result<()>) -> Result<()> {
        match result {
            Err(error) if error.is_no_space() => {
                self.shared().is_full.store(true, Ordering::Release);
                Err(self.shared().full())
            }
            Err(error @ Error::Offline { .. }) => Err(error),
            Err(error) => Err(self.shared().fail(&error)),
            Ok(()) => Ok(()),
        }
    }

    pub(super) fn checkpoint_with(&self, listener: Option<&dyn Listener>) -> Result<()> {
        let shared = &**self.shared();
        shared.check_online()?;
        let _maintenance = lock(&self.maintenance);
        if let Some(listener) = listener {
            let saved = self.save_producers(listener);
            self.settle(saved)?;
        }
        let done = self.write_checkpoint();
        self.settle(done)?;
        Ok(())
    }

    /// Keeps the producer state of the logs that changed.
    fn save_producers(&self, listener: &dyn Listener) -> Result<()> {
        let mut states = Vec::new();
        for log in self.directory.all_logs() {
            if std::mem::take(&mut lock(&log.state).is_producer_state_old)
                && let Some(producers) = listener.producer_state(log.id)
            {
                states.push((log, producers));
            }
        }
        // what the states contain must be durable before they are
        self.commit_for_checkpoint()?;
        for (log, producers) in states {
            producers::save(&self.directory, &log, &producers)?;
        }
        Ok(())
    }

    /// The caller has the maintenance lock. In this order: commit (so that truncations are
    /// durable and files may be written); note the WAL's position (all before is in the logs'
    /// states); write and sync every log's files; write the checkpoint; free the WAL before.
    fn write_checkpoint(&self) -> Result<()> {
        let shared = &**self.shared();
        self.commit_for_checkpoint()?;
        let position = lock(&self.wal).writer.position();
        let lsn = shared.durable_lsn.load(Ordering::Acquire);
        log_dir::remove_deleted(&self.directory)?;
        let (logs, next_number): (Vec<_>, _) = {
            let logs = lock(&self.directory.logs);
            (logs.all().cloned().collect(), logs.next_number)
        };
        let mut images = Vec::with_capacity(logs.len());
        let mut flushed = Vec::with_capacity(logs.len());
        for log in &logs {
            let mut done = self.flush_for_checkpoint(log)?;
            if !done.image.is_empty() {
                images.push(std::mem::take(&mut done.image));
                flushed.push((log, done));
            }
        }
        self.sync(&logs)?;
        let last_lsn = lock(&shared.queue).last_lsn;
        let content = image::encode(
            &Head {
                position,
                last_lsn,
                next_number,
            },
            &images,
        );
        snapshot_file::write(&*shared.disk, &shared.dir.join(FILE), &content)?;
        lock(&self.wal).writer.release_before(position.generation);
        self.checkpointed_lsn.store(lsn, Ordering::Release);
        for (log, done) in flushed {
            done.checkpointed(log);
        }
        self.directory.evict();
        Ok(())
    }

    fn flush_for_checkpoint(&self, log: &Arc<SharedLog>) -> Result<flush::Flushed> {
        for _ in 0..TRIES_MAX {
            let flushed = flush::flush(&self.directory, log, true);
            if !matches!(flushed, Ok(Some(_))) {
                log.queue_for_flush(&mut lock(&log.state));
            }
            if let Some(done) = flushed? {
                return Ok(done);
            }
            // it was created or truncated since the commit
            self.commit_for_checkpoint()?;
        }
        Err(self.shared().full())
    }

    /// Makes the files written since the last time durable, and the names that lead to them.
    fn sync(&self, logs: &[Arc<SharedLog>]) -> Result<()> {
        let shared = &**self.shared();
        let disk = &*shared.disk;
        let mut changed = Vec::new();
        let mut files_count = 0;
        for log in logs {
            let files = lock(&log.files);
            if !files.unsynced.is_empty() || files.is_dir_changed {
                files_count += files.unsynced.len() + usize::from(files.is_dir_changed);
                changed.push(log);
            }
        }
        let is_many = files_count > SYNC_FILES_MAX;
        if is_many {
            disk.sync_all(&shared.dir).sync_context(&shared.dir)?;
        }
        let mut names_changed = false;
        for log in changed {
            let mut files = lock(&log.files);
            if !is_many {
                for &id in &files.unsynced {
                    let path = segment::path(&log.dir, id, Kind::Data);
                    let key = (log.number, id, Kind::Data);
                    let file = shared
                        .files
                        .open(disk, key, &path, Mode::Write)
                        .context("open", &path)?;
                    file.sync_data().sync_context(&path)?;
                }
                if files.is_metadata_changed {
                    log_dir::sync_metadata(log)?;
                }
                if files.is_dir_changed {
                    disk.sync_dir(&log.dir).sync_context(&log.dir)?;
                    names_changed = true;
                }
            }
            files.unsynced.clear();
            (files.is_metadata_changed, files.is_dir_changed) = (false, false);
        }
        if names_changed {
            disk.sync_dir(&shared.dir).sync_context(&shared.dir)?;
        }
        Ok(())
    }
}
