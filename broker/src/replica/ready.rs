//! Who waits for news of partitions, without asking again and again.
//!
//! A fetch that finds too little leaves a [`Watcher`] with each of its partitions. When one has
//! news it marks its key in the fetch's [`Ready`] set and wakes it; the fetch then looks at the
//! marked partitions only. A fetch session keeps its watchers as long as it lives, so partitions
//! without news cost nothing at all.
//!
//! The lock in here is a leaf: nothing else is locked while it is held.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::lock;

/// The keys that have news, for one waiter.
#[derive(Debug, Default)]
pub(super) struct Ready {
    marked: Mutex<Marked>,
    notify: Notify,
    is_closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Marked {
    queue: Vec<u32>,
    /// By key: whether it is in the queue.
    is_queued: Vec<bool>,
}

impl Ready {
    /// Marks a key and wakes the waiter.
    pub(super) fn mark(&self, key: u32) {
        self.mark_only(key);
        self.notify.notify_one();
    }

    /// Marks a key.
    fn mark_only(&self, key: u32) {
        let mut marked = lock(&self.marked);
        let place = key as usize;
        if marked.is_queued.len() <= place {
            marked.is_queued.resize(place + 1, false);
        }
        if marked.is_queued[place] {
            return;
        }
        marked.is_queued[place] = true;
        marked.queue.push(key);
    }

    /// Takes all marked keys, in the order in which they were marked.
    pub(super) fn take(&self) -> Vec<u32> {
        let mut marked = lock(&self.marked);
        let queue = std::mem::take(&mut marked.queue);
        for key in &queue {
            marked.is_queued[*key as usize] = false;
        }
        queue
    }

    /// Wakes the waiter without news.
    pub(super) fn interrupt(&self) {
        self.notify.notify_one();
    }

    /// Waits for a mark or an interruption; returns at once where one came since the last wait.
    pub(super) async fn changed(&self) {
        self.notify.notified().await;
    }

    /// Nobody waits any more: partitions drop their watchers when they come across them.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }
}

/// A waiter that closes its set when it goes, also when its client has gone away half-way.
#[derive(Debug, Default)]
pub(super) struct ReadyGuard(pub(super) Arc<Ready>);

impl Drop for ReadyGuard {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// One waiter's interest in one partition.
#[derive(Clone, Debug)]
pub(super) struct Watcher {
    ready: Arc<Ready>,
    key: u32,
}

impl Watcher {
    pub(super) fn new(ready: &Arc<Ready>, key: u32) -> Self {
        Self {
            ready: Arc::clone(ready),
            key,
        }
    }

    fn is_closed(&self) -> bool {
        self.ready.is_closed.load(Ordering::Acquire)
    }
}

/// The watchers of one partition, under its lock.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    list: Vec<Watcher>,
    prune_at: usize,
}

/// Below this many watchers nothing is pruned on the way in.
const PRUNE_COUNT_MIN: usize = 16;

impl Watchers {
    pub(super) fn add(&mut self, watcher: Watcher) {
        if self.list.len() >= self.prune_at.max(PRUNE_COUNT_MIN) {
            self.list.retain(|watcher| !watcher.is_closed());
            self.prune_at = self.list.len() * 2;
        }
        self.list.push(watcher);
    }

    /// A session forgets a partition.
    pub(super) fn remove(&mut self, ready: &Arc<Ready>, key: u32) {
        self.list
            .retain(|w| !(w.key == key && Arc::ptr_eq(&w.ready, ready)));
    }

    /// Marks the partition for all and wakes nobody: it goes along with their next answer.
    pub(super) fn mark_silently(&mut self) {
        self.mark(&mut Wakes::default());
    }

    pub(super) fn wake(&mut self) {
        let mut wakes = Wakes::default();
        self.mark(&mut wakes);
        wakes.wake();
    }

    /// Marks the partition for all, to be woken later.
    pub(super) fn mark(&mut self, wakes: &mut Wakes) {
        self.list.retain(|watcher| {
            if watcher.is_closed() {
                return false;
            }
            // also one that was marked before: it may have been marked without being woken
            watcher.ready.mark_only(watcher.key);
            wakes.add(&watcher.ready);
            true
        });
    }
}

/// Waiters that have marks and are still to be woken: once, for several partitions.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    waiters: Vec<Arc<Ready>>,
}

impl Wakes {
    fn add(&mut self, ready: &Arc<Ready>) {
        if !self.waiters.iter().any(|other| Arc::ptr_eq(other, ready)) {
            self.waiters.push(Arc::clone(ready));
        }
    }

    pub(super) fn wake(self) {
        for ready in self.waiters {
            ready.interrupt();
        }
    }
}
