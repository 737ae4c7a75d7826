//! Accounts of memory: what the requests, or the answers, of all connections hold together.
//!
//! Invariants: bytes taken and not given back exceed the limit only by what was [`Share::force`]d,
//! or where one share alone is larger; who waits is served in the order of waiting, so that nobody
//! who wants much is overtaken for ever by others who want little.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Mutex, Notify};

/// An account of bytes.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    taken: AtomicUsize,
    /// How many wait, the one whose turn it is included.
    waiting: AtomicUsize,
    /// Held by whose turn it is.
    turn: Mutex<()>,
    /// Rings when bytes come back while somebody waits.
    returned: Notify,
}

/// Bytes taken from a budget, given back when dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    /// An account of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            taken: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            turn: Mutex::new(()),
            returned: Notify::new(),
        })
    }

    /// How many bytes may be taken.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// How many bytes are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many bytes are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.limit.saturating_sub(self.taken())
    }

    /// A share that holds nothing yet.
    #[must_use]
    pub fn share(self: &Arc<Self>) -> Share {
        Share {
            budget: Arc::clone(self),
            bytes: 0,
        }
    }

    /// The one who wants more than there is gets it once nobody else has any.
    fn try_take(&self, bytes: usize) -> bool {
        let take = |taken: usize| {
            let total = taken.saturating_add(bytes);
            (total <= self.limit || taken == 0).then_some(total)
        };
        // ordered with `waiting`: who gives back sees who waits, or who waits sees what came back
        self.taken
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
            .is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.returned.notify_one();
        }
    }
}

/// A place in the line of those who wait.
struct Place(Arc<Budget>);

impl Place {
    fn of(budget: &Arc<Budget>) -> Self {
        budget.waiting.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(budget))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Share {
    /// How many bytes it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes what is missing to hold `bytes`, or says that it is not there, or is another's turn.
    pub fn try_hold(&mut self, bytes: usize) -> bool {
        let missing = bytes.saturating_sub(self.bytes);
        let is_free = || self.budget.waiting.load(Ordering::Relaxed) == 0;
        if missing > 0 && !(is_free() && self.budget.try_take(missing)) {
            return false;
        }
        self.bytes += missing;
        true
    }

    /// Takes what is missing to hold `bytes`, when it is there and this share's turn. To be called
    /// with a share that holds nothing, or two of them might wait for each other.
    pub async fn hold(mut self, bytes: usize) -> Self {
        if self.try_hold(bytes) {
            return self;
        }
        let budget = Arc::clone(&self.budget);
        let _place = Place::of(&budget);
        let _turn = budget.turn.lock().await;
        let missing = bytes.saturating_sub(self.bytes);
        while !budget.try_take(missing) {
            budget.returned.notified().await;
        }
        self.bytes += missing;
        self
    }

    /// Holds exactly `bytes`, which are in memory whether there is room in the account or not.
    pub fn force(&mut self, bytes: usize) {
        if bytes > self.bytes {
            let missing = bytes - self.bytes;
            self.budget.taken.fetch_add(missing, Ordering::SeqCst);
        } else if bytes < self.bytes {
            self.budget.give_back(self.bytes - bytes);
        }
        self.bytes = bytes;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.give_back(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn who_waits_is_served_in_turn_and_nobody_overtakes() {
        let budget = Budget::new(100);
        let mut first = budget.share();
        assert!(first.try_hold(80));
        let large = tokio::spawn(budget.share().hold(90));
        tokio::task::yield_now().await;
        let small = tokio::spawn(budget.share().hold(10));
        tokio::task::yield_now().await;
        assert!(!budget.share().try_hold(1), "it is another's turn");
        first.force(5);
        let large = large.await.unwrap();
        tokio::task::yield_now().await;
        assert!(!small.is_finished());
        drop(first);
        assert_eq!(small.await.unwrap().bytes(), 10);
        drop(large);
        assert_eq!(budget.taken(), 0);
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_line() {
        let budget = Budget::new(100);
        let mut first = budget.share();
        assert!(first.try_hold(100));
        let waits = tokio::time::timeout(Duration::from_millis(1), budget.share().hold(1));
        assert!(waits.await.is_err());
        drop(first);
        assert!(budget.share().try_hold(100));
        assert_eq!(budget.taken(), 0);
    }

    #[tokio::test]
    async fn more_than_the_limit_is_had_alone() {
        let budget = Budget::new(100);
        let mut first = budget.share();
        assert!(first.try_hold(1));
        let huge = tokio::spawn(budget.share().hold(1000));
        tokio::task::yield_now().await;
        assert!(!huge.is_finished());
        drop(first);
        assert_eq!(huge.await.unwrap().bytes(), 1000);
    }
}
