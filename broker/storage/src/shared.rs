//! What the logs of a data directory and the threads of its store share: the disk, the queue to the
//! write-ahead log, accounts and limits. It knows logs by their numbers only: the store owns them.

pub(crate) mod files;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, OnceLock};

use self::files::Files;
use crate::disk::aligned::Staging;
use crate::error::Context;
use crate::ranked::{LEAF, Ranked, STAGING, lock};
use crate::wal::{Operation, Record};
use crate::{Disk, Error, Result, Settings};

/// Shared by all logs of a directory and its store's threads. [`crate::ranked`] says in which order
/// locks are taken.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) settings: Settings,
    pub(crate) queue: Ranked<Queue, LEAF>,
    pub(crate) queued: Condvar,
    /// How many [`Hold`](crate::store::Hold)s there are.
    pub(crate) holds: AtomicUsize,
    /// Logs with bytes that are not in segments, the longest waiting first.
    pub(crate) dirty: Ranked<VecDeque<u64>, LEAF>,
    /// Up to which chunk of which log all is in segments and still in memory, oldest first.
    pub(crate) written: Ranked<VecDeque<(u64, u64)>, LEAF>,
    pub(crate) unflushed_bytes: AtomicUsize,
    pub(crate) cached_bytes: AtomicUsize,
    pub(crate) durable_lsn: AtomicU64,
    pub(crate) is_full: AtomicBool,
    pub(crate) offline: OnceLock<Error>,
    pub(crate) files: Files,
    /// For the flusher's writes past the page cache.
    pub(crate) staging: Ranked<Staging, STAGING>,
}

/// Bytes by which the accounts shrink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Freed {
    pub(crate) unflushed: usize,
    pub(crate) cached: usize,
}

/// Records on their way to the WAL.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) records: Vec<Record>,
    pub(crate) last_lsn: u64,
    /// Whether a thread sleeps until something is queued.
    pub(crate) is_awaited: bool,
    /// Whether a commit's result waits to be told (see `Wal::untold`).
    pub(crate) has_untold: bool,
    /// Whether the threads are to end.
    pub(crate) is_closed: bool,
}

impl Shared {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf, settings: Settings) -> Self {
        Self {
            disk,
            dir,
            files: Files::new(settings.files_open_max),
            settings,
            queue: Ranked::default(),
            queued: Condvar::new(),
            holds: AtomicUsize::new(0),
            dirty: Ranked::default(),
            written: Ranked::default(),
            unflushed_bytes: AtomicUsize::new(0),
            cached_bytes: AtomicUsize::new(0),
            durable_lsn: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
            offline: OnceLock::new(),
            staging: Ranked::default(),
        }
    }

    pub(crate) fn check_online(&self) -> Result<()> {
        self.offline
            .get()
            .map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Takes the directory offline for good; the first reason stays.
    pub(crate) fn fail(&self, error: &Error) -> Error {
        let offline = || Error::Offline {
            dir: self.dir.clone(),
            reason: error.to_string().into(),
        };
        let offline = self.offline.get_or_init(offline).clone();
        // whoever is about to sleep has the queue locked until it does
        drop(lock(&self.queue));
        self.queued.notify_all();
        offline
    }

    pub(crate) fn full(&self) -> Error {
        Error::DiskFull {
            dir: self.dir.clone(),
        }
    }

    /// Reads how much space is left. Appends are refused while that is below the reserve.
    pub(crate) fn measure_space(&self) -> Result<u64> {
        let (free, reserve) = self.space()?;
        self.is_full.store(free < reserve, Ordering::Release);
        Ok(free)
    }

    /// Whether so many bytes can be written without the reserve.
    pub(crate) fn has_room_for(&self, bytes: u64) -> Result<bool> {
        let (free, reserve) = self.space()?;
        Ok(free >= reserve.saturating_add(bytes))
    }

    /// Bytes that are free, and how many of them are the reserve.
    fn space(&self) -> Result<(u64, u64)> {
        let space = self.disk.space(&self.dir).context("look at", &self.dir)?;
        // a small file system keeps a tenth
        let reserve = self.settings.disk_reserve_bytes.min(space.total_bytes / 10);
        Ok((space.free_bytes, reserve))
    }

    /// Queues a record about a log; returns its lsn.
    pub(crate) fn enqueue(&self, number: u64, operation: Operation) -> u64 {
        let mut queue = lock(&self.queue);
        queue.last_lsn += 1;
        let lsn = queue.last_lsn;
        queue.records.push(Record {
            lsn,
            number,
            operation,
        });
        // who holds looks again when it lets go, after this lock
        let is_held = self.holds.load(Ordering::Acquire) > 0;
        let wake = !is_held && std::mem::take(&mut queue.is_awaited);
        drop(queue);
        if wake {
            self.queued.notify_all();
        }
        lsn
    }

    pub(crate) fn account(&self, freed: Freed) {
        self.unflushed_bytes
            .fetch_sub(freed.unflushed, Ordering::Relaxed);
        self.cached_bytes.fetch_sub(freed.cached, Ordering::Relaxed);
    }
}
