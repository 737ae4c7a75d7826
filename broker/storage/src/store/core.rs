//! What a store's logs and threads share.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use ottla_protocol::ids::TopicPartition;

use super::Settings;
use super::files::Files;
use crate::disk::aligned::Staging;
use crate::log::tail::Freed;
use crate::log::{Shared, State};
use crate::wal::{Operation, Record};
use crate::{Disk, Error, Result};

/// A record that waits for a commit.
pub(crate) type Queued = Record<Arc<Shared>>;

/// Shared by all logs of a directory and its threads.
///
/// Locks are taken in this order, and none but `maintenance` and the WAL's is held during I/O:
/// maintenance, WAL, logs, one log's state, then `queue`, `dirty` or `written`.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) settings: Settings,
    pub(crate) logs: Mutex<Logs>,
    /// Deleted logs whose files go once the record is durable.
    pub(crate) deleted: Mutex<Vec<(u64, Arc<Shared>)>>,
    pub(crate) queue: Mutex<Queue>,
    pub(crate) queued: Condvar,
    /// How many [`Hold`](super::Hold)s there are.
    pub(crate) holds: AtomicUsize,
    /// Logs with bytes that are not in segments, the longest waiting first.
    pub(crate) dirty: Mutex<VecDeque<Arc<Shared>>>,
    /// Chunks that are in segments and still in memory, oldest first.
    pub(crate) written: Mutex<VecDeque<(Arc<Shared>, u64)>>,
    pub(crate) unflushed_bytes: AtomicUsize,
    pub(crate) cached_bytes: AtomicUsize,
    pub(crate) durable_lsn: AtomicU64,
    pub(crate) is_full: AtomicBool,
    pub(crate) offline: OnceLock<Error>,
    pub(crate) files: Files,
    /// For the flusher's writes past the page cache.
    pub(crate) staging: Mutex<Staging>,
}

/// The logs that exist.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    pub(crate) by_number: BTreeMap<u64, Arc<Shared>>,
    pub(crate) by_name: BTreeMap<TopicPartition, u64>,
    pub(crate) next_number: u64,
}

impl Logs {
    pub(crate) fn insert(&mut self, shared: Arc<Shared>) {
        self.next_number = self.next_number.max(shared.number + 1);
        self.by_name.insert(shared.name.clone(), shared.number);
        self.by_number.insert(shared.number, shared);
    }

    pub(crate) fn remove(&mut self, shared: &Shared) {
        self.by_number.remove(&shared.number);
        if self.by_name.get(&shared.name) == Some(&shared.number) {
            self.by_name.remove(&shared.name);
        }
    }
}

/// Records on their way to the WAL.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) records: Vec<Queued>,
    pub(crate) last_lsn: u64,
    /// Whether a thread sleeps until something is queued.
    pub(crate) is_awaited: bool,
    /// Whether a commit's result waits to be told (see `Wal::untold`).
    pub(crate) has_untold: bool,
    /// Whether the threads are to end.
    pub(crate) is_closed: bool,
}

/// Locks; a panic elsewhere does not make it fail again here.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Core {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf, settings: Settings) -> Self {
        Self {
            disk,
            dir,
            files: Files::new(settings.files_open_max),
            settings,
            logs: Mutex::default(),
            deleted: Mutex::default(),
            queue: Mutex::default(),
            queued: Condvar::new(),
            holds: AtomicUsize::new(0),
            dirty: Mutex::default(),
            written: Mutex::default(),
            unflushed_bytes: AtomicUsize::new(0),
            cached_bytes: AtomicUsize::new(0),
            durable_lsn: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
            offline: OnceLock::new(),
            staging: Mutex::default(),
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
        let space = self.disk.space(&self.dir);
        let space = crate::error::Context::context(space, "look at", &self.dir)?;
        // a small file system keeps a tenth
        let reserve = self.settings.disk_reserve_bytes.min(space.total_bytes / 10);
        self.is_full
            .store(space.free_bytes < reserve, Ordering::Release);
        Ok(space.free_bytes)
    }

    /// Queues a record and changes the log's state by it: the one way in which a live log changes.
    pub(crate) fn change(
        &self,
        shared: &Arc<Shared>,
        state: &mut State,
        operation: Operation,
    ) -> u64 {
        let number = shared.number;
        let log = shared.clone();
        let mut queue = lock(&self.queue);
        queue.last_lsn += 1;
        let lsn = queue.last_lsn;
        queue.records.push(Record {
            lsn,
            number,
            log,
            operation: operation.clone(),
        });
        // who holds looks again when it lets go, after this lock
        let is_held = self.holds.load(Ordering::Acquire) > 0;
        let wake = !is_held && std::mem::take(&mut queue.is_awaited);
        drop(queue);
        if wake {
            self.queued.notify_all();
        }
        self.apply(shared, state, lsn, &operation);
        lsn
    }

    /// Changes the log's state, and the store's accounts with it.
    pub(crate) fn apply(
        &self,
        shared: &Arc<Shared>,
        state: &mut State,
        lsn: u64,
        operation: &Operation,
    ) {
        let freed = state.replay(lsn, operation);
        self.account(freed);
        if let Operation::Append { bytes } = operation {
            let cost = crate::log::tail::cost(bytes);
            self.unflushed_bytes.fetch_add(cost, Ordering::Relaxed);
        }
        let needs_flush = state.tail.first_unflushed().is_some() || !state.doomed.is_empty();
        if needs_flush && !state.is_queued {
            state.is_queued = true;
            lock(&self.dirty).push_back(shared.clone());
        }
    }

    pub(crate) fn account(&self, freed: Freed) {
        self.unflushed_bytes
            .fetch_sub(freed.unflushed, Ordering::Relaxed);
        self.cached_bytes.fetch_sub(freed.cached, Ordering::Relaxed);
    }

    /// Breaks the circle of logs that point to their store.
    pub(crate) fn clear(&self) {
        *lock(&self.logs) = Logs::default();
        lock(&self.deleted).clear();
        lock(&self.queue).records.clear();
        lock(&self.dirty).clear();
        lock(&self.written).clear();
    }
}
