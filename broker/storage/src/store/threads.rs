//! The two threads of a store in production: one commits, one flushes and checkpoints.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Listener, Store};
use crate::ranked::{LEAF, RUNNING, Ranked, lock};
use crate::{Error, Result};

/// How long a full disk, or a flusher that lags, is waited for before another look.
const RETRY: Duration = Duration::from_millis(100);

/// Under a stream of records commits begin no closer together: each costs its system calls and its
/// wake-ups however much it carries.
const STREAM_INTERVAL: Duration = Duration::from_millis(4);

/// A commit of so many bytes may be part of a stream. A client that waits for each small answer is
/// not held up.
const STREAM_COMMIT_BYTES_MIN: u64 = 32 << 10;

/// So many of those within [`STREAM_WINDOW`] are a stream, whatever small ones lie between. Fewer
/// are what a transaction of some batches brings, whose client waits for all of them, and then for
/// the small commits that end it.
const STREAM_COMMITS_MIN: usize = 3;

/// See [`STREAM_COMMITS_MIN`]. A disk that takes longer for them sets a slower pace by itself.
const STREAM_WINDOW: Duration = Duration::from_millis(6);

/// When the next commit may begin.
#[derive(Default)]
struct Pace {
    /// When the last large commits began.
    large: VecDeque<Instant>,
    next_at: Option<Instant>,
}

impl Pace {
    fn wait(&self) {
        let rest = self
            .next_at
            .map(|at| at.saturating_duration_since(Instant::now()));
        if let Some(rest) = rest.filter(|rest| !rest.is_zero()) {
            std::thread::sleep(rest);
        }
    }

    fn committed(&mut self, began: Instant, bytes: u64) {
        if bytes < STREAM_COMMIT_BYTES_MIN {
            // under the pace what is small comes together with what is large, while there is any
            if self.next_at.take().is_some() {
                self.large.clear();
            }
            return;
        }
        self.large.push_back(began);
        let first = match self.large.len() < STREAM_COMMITS_MIN {
            true => None,
            false => self.large.pop_front(),
        };
        let is_dense = first.is_some_and(|first| began - first <= STREAM_WINDOW);
        let is_stream = self.next_at.is_some() || is_dense;
        self.next_at = is_stream.then(|| began + STREAM_INTERVAL);
    }
}

/// The running threads.
#[derive(Default)]
pub(crate) struct Threads {
    running: Ranked<Running, RUNNING>,
    signal: Ranked<Signal, LEAF>,
    signalled: Condvar,
}

#[derive(Default)]
struct Running {
    handles: Vec<JoinHandle<()>>,
    listener: Option<Arc<dyn Listener>>,
}

/// What the flusher is woken for.
#[derive(Debug, Default)]
struct Signal {
    has_work: bool,
    is_closed: bool,
    /// Whether the committer waits for memory.
    is_awaited: bool,
    /// Whether the flusher sleeps until told: after a commit it is to look at the clock again.
    is_asleep: bool,
}

impl std::fmt::Debug for Threads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Threads").finish_non_exhaustive()
    }
}

/// Nobody to tell.
struct Nobody;

impl Listener for Nobody {
    fn committed(&self, _: super::Committed) {}
    fn offline(&self, _: &Error) {}
}

impl Store {
    /// Starts the committing and the flushing thread. They end when [`Store::close`] is called.
    pub fn spawn(self: &Arc<Self>, listener: Arc<dyn Listener>) {
        let mut running = lock(&self.threads.running);
        assert!(running.handles.is_empty(), "the threads are started once");
        let (store, told) = (self.clone(), listener.clone());
        let committer = move || store.run_committer(&*told);
        let (store, told) = (self.clone(), listener.clone());
        let flusher = move || store.run_flusher(&*told);
        let threads: [(&str, Box<dyn FnOnce() + Send>); 2] = [
            ("wal-committer", Box::new(committer)),
            ("log-flusher", Box::new(flusher)),
        ];
        for (name, body) in threads {
            match std::thread::Builder::new().name(name.into()).spawn(body) {
                Ok(handle) => running.handles.push(handle),
                Err(error) => {
                    let error = crate::error::Context::<()>::context(
                        Err(error),
                        "start a thread for",
                        &self.shared().dir,
                    );
                    let offline = error.map_err(|error| self.shared().fail(&error));
                    offline.unwrap_or_else(|error| listener.offline(&error));
                }
            }
        }
        running.listener = Some(listener);
    }

    /// Commits, checkpoints, and stops the threads. Not to be called by a listener.
    pub fn close(&self) -> Result<()> {
        lock(&self.shared().queue).is_closed = true;
        self.shared().queued.notify_all();
        lock(&self.threads.signal).is_closed = true;
        self.threads.signalled.notify_all();
        let Running { handles, listener } = std::mem::take(&mut *lock(&self.threads.running));
        for handle in handles {
            // a thread that panicked has nothing more to say
            let _ = handle.join();
        }
        let listener = listener.unwrap_or_else(|| Arc::new(Nobody));
        let committed = self.commit()?;
        listener.committed(committed);
        self.checkpoint(&*listener)?;
        let committed = self.commit()?;
        if !committed.logs.is_empty() {
            listener.committed(committed);
        }
        Ok(())
    }

    fn run_committer(&self, listener: &dyn Listener) {
        let mut is_left_over = false;
        let mut pace = Pace::default();
        loop {
            // asleep for the pace it is not woken by every record as well
            pace.wait();
            if !self.wait_for_records(is_left_over) {
                return;
            }
            self.wait_for_memory();
            let began = Instant::now();
            match self.commit() {
                Ok(mut committed) => {
                    is_left_over = false;
                    committed.took = began.elapsed();
                    pace.committed(began, committed.bytes);
                    if !committed.logs.is_empty() {
                        listener.committed(committed);
                    }
                }
                Err(Error::DiskFull { .. }) => {
                    is_left_over = true;
                    std::thread::sleep(RETRY);
                }
                Err(error) => {
                    listener.offline(&error);
                    return;
                }
            }
            self.start_idle_timer();
            // what came in pushes out what is in segments; the flusher may be long in coming
            self.directory.evict();
            let limit = self.shared().settings.flush_bytes;
            if self.shared().unflushed_bytes.load(Ordering::Relaxed) > limit
                || self.is_checkpoint_due()
            {
                self.wake_flusher();
            }
        }
    }

    /// Sleeps until there is something to commit or to tell; `false`: the store closes.
    fn wait_for_records(&self, is_left_over: bool) -> bool {
        let shared = &**self.shared();
        let mut queue = lock(&shared.queue);
        loop {
            if queue.is_closed && (queue.records.is_empty() || shared.offline.get().is_some()) {
                return false;
            }
            let has_work = is_left_over || !queue.records.is_empty() || queue.has_untold;
            if has_work || shared.offline.get().is_some() {
                return true;
            }
            queue.is_awaited = true;
            queue = queue.wait(&shared.queued);
        }
    }

    /// Holds a commit, and so its acknowledgements, back a while where segments are written too
    /// slowly. Not longer: the flusher itself may wait for a commit.
    fn wait_for_memory(&self) {
        let shared = &**self.shared();
        let waiting = shared.unflushed_bytes.load(Ordering::Relaxed);
        if waiting <= shared.settings.memory_bytes_max || shared.is_full.load(Ordering::Acquire) {
            return;
        }
        self.wake_flusher();
        let mut signal = lock(&self.threads.signal);
        if !signal.is_closed {
            signal.is_awaited = true;
            drop(signal.wait_timeout(&self.threads.signalled, RETRY));
        }
    }

    fn start_idle_timer(&self) {
        if std::mem::take(&mut lock(&self.threads.signal).is_asleep) {
            self.threads.signalled.notify_all();
        }
    }

    fn wake_flusher(&self) {
        let mut signal = lock(&self.threads.signal);
        if !signal.has_work {
            signal.has_work = true;
            self.threads.signalled.notify_all();
        }
    }

    fn run_flusher(&self, listener: &dyn Listener) {
        loop {
            let before = self.shared().durable_lsn.load(Ordering::Acquire);
            let Some(has_work) = self.wait_for_work() else {
                return;
            };
            let is_idle = before == self.shared().durable_lsn.load(Ordering::Acquire);
            let is_full = self.shared().is_full.load(Ordering::Acquire);
            let done = if has_work || is_full {
                self.maintain(listener)
            } else if is_idle && before > self.checkpointed_lsn.load(Ordering::Acquire) {
                self.checkpoint(listener)
            } else {
                Ok(())
            };
            {
                let mut signal = lock(&self.threads.signal);
                if std::mem::take(&mut signal.is_awaited) {
                    self.threads.signalled.notify_all();
                }
            }
            match done {
                Ok(()) | Err(Error::DiskFull { .. }) => {}
                // the committer, which the failure woke, tells the listener
                Err(_) => return,
            }
        }
    }

    /// `Some(true)`: there is work; `Some(false)`: nothing for a while; `None`: the store closes.
    fn wait_for_work(&self) -> Option<bool> {
        let shared = &**self.shared();
        let is_clean = || {
            let lsn = shared.durable_lsn.load(Ordering::Acquire);
            lsn <= self.checkpointed_lsn.load(Ordering::Acquire)
        };
        let mut signal = lock(&self.threads.signal);
        loop {
            if signal.is_closed {
                return None;
            }
            if std::mem::take(&mut signal.has_work) {
                return Some(true);
            }
            let is_full = shared.is_full.load(Ordering::Acquire);
            if is_clean() && !is_full {
                signal.is_asleep = true;
                signal = signal.wait(&self.threads.signalled);
                continue;
            }
            let limit = if is_full {
                RETRY * 10
            } else {
                shared.settings.checkpoint_idle
            };
            let (again, is_over) = signal.wait_timeout(&self.threads.signalled, limit);
            signal = again;
            if is_over {
                return Some(false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: u64 = STREAM_COMMIT_BYTES_MIN;

    /// Commits of so many bytes that begin so many microseconds apart; whether the next is held up.
    fn is_paced(pace: &mut Pace, at: &mut Instant, commits: &[(u64, u64)]) -> bool {
        for (micros, bytes) in commits {
            *at += Duration::from_micros(*micros);
            pace.committed(*at, *bytes);
        }
        pace.next_at.is_some_and(|next_at| next_at > *at)
    }

    #[test]
    fn a_stream_is_paced_until_a_small_commit_is_alone() {
        let (mut pace, mut at) = (Pace::default(), Instant::now());
        assert!(!is_paced(&mut pace, &mut at, &[(1000, LARGE); 2]));
        assert!(is_paced(&mut pace, &mut at, &[(1000, LARGE)]));
        assert_eq!(pace.next_at, Some(at + STREAM_INTERVAL));
        assert!(is_paced(&mut pace, &mut at, &[(4000, LARGE); 9]));
        assert!(!is_paced(&mut pace, &mut at, &[(4000, LARGE - 1)]));
        assert!(!is_paced(&mut pace, &mut at, &[(500, LARGE)]));
    }

    /// Commits of offsets, and markers, come between the batches on any broker at work.
    #[test]
    fn small_commits_between_large_ones_hide_no_stream() {
        let (mut pace, mut at) = (Pace::default(), Instant::now());
        let chatter = [(500, LARGE), (500, 200)].repeat(3);
        assert!(is_paced(&mut pace, &mut at, &chatter[..5]));
    }

    #[test]
    fn a_transaction_of_two_batches_is_no_stream() {
        let (mut pace, mut at) = (Pace::default(), Instant::now());
        for _ in 0..5 {
            // its partitions, two batches, how it ends, its markers
            for commit in [
                (4000, 200),
                (1000, LARGE),
                (800, LARGE),
                (1500, 200),
                (900, 200),
            ] {
                assert!(!is_paced(&mut pace, &mut at, &[commit]));
            }
        }
    }
}
