//! The memory that requests of all connections may hold together.
//!
//! Invariant: bytes taken and not given back never exceed the limit by more than one small frame a
//! connection; a connection that finds nothing left stops reading until others are answered.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// The account of request bytes.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    taken: AtomicUsize,
    returned: Arc<Notify>,
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
            returned: Arc::new(Notify::new()),
        })
    }

    /// How many bytes are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// A share that holds nothing yet.
    #[must_use]
    pub fn share(self: &Arc<Self>) -> Share {
        Share {
            budget: Arc::clone(self),
            bytes: 0,
        }
    }

    fn try_take(&self, bytes: usize) -> bool {
        let take = |taken: usize| (taken + bytes <= self.limit).then_some(taken + bytes);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }
}

impl Share {
    /// Takes what is missing to hold `bytes`, or says that it is not there.
    pub fn try_hold(&mut self, bytes: usize) -> bool {
        let missing = bytes.saturating_sub(self.bytes);
        if missing > 0 && !self.budget.try_take(missing) {
            return false;
        }
        self.bytes += missing;
        true
    }

    /// Takes what is missing to hold `bytes`, waiting in `waiting` for others to give back.
    pub fn poll_hold(
        &mut self,
        bytes: usize,
        waiting: &mut Option<Pin<Box<OwnedNotified>>>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            if self.try_hold(bytes) {
                *waiting = None;
                return Poll::Ready(());
            }
            // one turns up between the check and the wait unless the wait is armed first
            let armed = waiting.is_some();
            let notified = waiting.get_or_insert_with(|| {
                Box::pin(Arc::clone(&self.budget.returned).notified_owned())
            });
            match notified.as_mut().poll(context) {
                Poll::Ready(()) => *waiting = None,
                Poll::Pending if armed => return Poll::Pending,
                Poll::Pending => {
                    if self.try_hold(bytes) {
                        *waiting = None;
                        return Poll::Ready(());
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let before = self.budget.taken.fetch_sub(self.bytes, Ordering::Relaxed);
        // only an account near its end can have somebody waiting
        if before > self.budget.limit / 2 {
            self.budget.returned.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_share_waits_until_others_give_back() {
        let budget = Budget::new(100);
        let mut first = budget.share();
        assert!(first.try_hold(80));
        let mut second = budget.share();
        assert!(!second.try_hold(30));
        let waiting = tokio::spawn(async move {
            let mut slot = None;
            std::future::poll_fn(|cx| second.poll_hold(30, &mut slot, cx)).await;
            second
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        let second = waiting.await.unwrap();
        assert_eq!(budget.taken(), 30);
        drop(second);
        assert_eq!(budget.taken(), 0);
    }
}
