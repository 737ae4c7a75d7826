//! Group commit: everything queued, one fsync.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Committed, Durable, Store};
use crate::Result;
use crate::ranked::lock;
use crate::wal::{Operation, Record, Writer};

/// After this many bytes the free space is looked at again.
const MEASURE_EVERY_BYTES: u64 = 8 << 20;

/// The committing end; whoever commits holds it.
#[derive(Debug)]
pub(crate) struct Wal {
    pub(crate) writer: Writer,
    /// Taken from the queue, not yet written (a full disk leaves some).
    pub(crate) pending: Vec<Record>,
    pub(crate) unmeasured_bytes: u64,
    /// What is durable and not yet in any commit's result.
    pub(crate) untold: Untold,
}

#[derive(Debug, Default)]
pub(crate) struct Untold {
    logs: BTreeMap<u64, Durable>,
    bytes: u64,
}

impl Store {
    /// Makes everything queued durable with one fsync. Inline in the simulator; in production
    /// the thread of [`Store::spawn`] does it. [`crate::Error::DiskFull`] keeps what could not be
    /// written for the next call; any other error has taken the directory offline. What checkpoints
    /// had to commit since the last call is in the result too.
    pub fn commit(&self) -> Result<Committed> {
        if !self.try_commit(false)? {
            // every file of the WAL is in use: a checkpoint frees all but the present one
            self.free_wal()?;
            if !self.try_commit(false)? {
                self.try_commit(true)?;
            }
        }
        Ok(self.take_untold())
    }

    fn take_untold(&self) -> Committed {
        let mut wal = lock(&self.wal);
        lock(&self.shared().queue).has_untold = false;
        let Untold { logs, bytes } = std::mem::take(&mut wal.untold);
        let lsn = self.shared().durable_lsn.load(Ordering::Acquire);
        Committed {
            lsn,
            bytes,
            logs: logs.into_values().collect(),
            took: Duration::ZERO,
        }
    }

    /// `false`: the WAL has no file left, and may not have one more (`force`).
    pub(super) fn try_commit(&self, force: bool) -> Result<bool> {
        let shared = &**self.shared();
        shared.check_online()?;
        let mut wal = lock(&self.wal);
        {
            let mut queue = lock(&shared.queue);
            if wal.pending.is_empty() {
                std::mem::swap(&mut wal.pending, &mut queue.records);
            } else {
                wal.pending.append(&mut queue.records);
            }
        }
        if wal.pending.is_empty() {
            return Ok(true);
        }
        let is_out = wal.writer.slots_in_use() >= shared.settings.wal_segments_max.max(1);
        if !force && is_out && !wal.writer.has_room(&wal.pending[0]) {
            return Ok(false);
        }
        let mut done = 0;
        let mut is_out_of_space = false;
        while done < wal.pending.len() {
            let wal = &mut *wal;
            match wal.writer.write(&wal.pending[done..]) {
                Ok(count) => done += count,
                Err(error) if error.is_no_space() => {
                    is_out_of_space = true;
                    break;
                }
                // a sync may have failed in there: none is tried again
                Err(error) => return Err(shared.fail(&error)),
            }
        }
        if done > 0 {
            wal.writer.sync().map_err(|error| shared.fail(&error))?;
        }
        let bytes = self.note(&mut wal, done);
        if is_out_of_space {
            shared.is_full.store(true, Ordering::Release);
            if done == 0 {
                return Err(shared.full());
            }
        }
        wal.unmeasured_bytes += bytes;
        if wal.unmeasured_bytes >= MEASURE_EVERY_BYTES {
            wal.unmeasured_bytes = 0;
            shared
                .measure_space()
                .map_err(|error| shared.fail(&error))?;
        }
        Ok(true)
    }

    /// Tells the logs what became durable; returns the bytes of records.
    fn note(&self, wal: &mut Wal, done: usize) -> u64 {
        let Wal {
            pending, untold, ..
        } = wal;
        let logs = lock(&self.directory.logs);
        let mut written = 0;
        for record in pending.drain(..done) {
            if let Some(log) = logs.find(record.number) {
                let mut state = lock(&log.state);
                state.committed(record.lsn, &record.operation);
                let durable = Durable {
                    id: log.id,
                    durable_end_offset: state.durable_end_offset(),
                    lsn: record.lsn,
                };
                drop(state);
                untold.logs.insert(record.number, durable);
            }
            if let Operation::Append { bytes } = &record.operation {
                written += bytes.len() as u64;
            }
            self.shared()
                .durable_lsn
                .store(record.lsn, Ordering::Release);
        }
        untold.bytes += written;
        written
    }

    /// Commits what is queued, even where the WAL must grow for it. The next [`Self::commit`]
    /// tells of it.
    pub(super) fn commit_for_checkpoint(&self) -> Result<()> {
        self.try_commit(true)?;
        let has_untold = !lock(&self.wal).untold.logs.is_empty();
        lock(&self.shared().queue).has_untold |= has_untold;
        if has_untold {
            self.shared().queued.notify_all();
        }
        Ok(())
    }
}
