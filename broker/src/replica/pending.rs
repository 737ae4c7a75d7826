//! A request that waits for its partitions to answer: produces, deletions of records.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla_core::partition::Token;
use ottla_protocol::error::ErrorCode;
use tokio::sync::Notify;

use super::lock;

/// A partition, as the one that keeps whom it will answer.
pub(super) trait Keeper: std::fmt::Debug + Send + Sync {
    /// Nobody waits for this answer any more.
    fn abandon(self: Arc<Self>, token: Token);
}

/// The answers of a request's partitions, in the order of the request.
#[derive(Debug)]
pub(super) struct Pending<T> {
    missing: AtomicUsize,
    slots: Mutex<Vec<Slot<T>>>,
    notify: Notify,
}

#[derive(Debug)]
enum Slot<T> {
    Open,
    /// Registered with a partition, which may have to be told that nobody waits any more.
    Waiting(Arc<dyn Keeper>, Token),
    Done(Result<T, ErrorCode>),
    /// What another broker answered.
    Relayed(Result<T, ErrorCode>),
    /// It is for another broker, and nothing was done.
    Untaken,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answered<T> {
    pub(super) result: Result<T, ErrorCode>,
    pub(super) source: Source,
}

/// Whose word an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// This partition's.
    Here,
    /// That of another broker, which knew what it said.
    Relayed,
    /// Nobody's: it is for another broker, and nothing was done.
    Untaken,
}

/// Where one partition's answer goes.
#[derive(Debug)]
pub(super) struct Answer<T> {
    pending: Arc<Pending<T>>,
    slot: usize,
}

impl<T> Pending<T> {
    pub(super) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self {
            missing: AtomicUsize::new(count),
            slots: Mutex::new((0..count).map(|_| Slot::Open).collect()),
            notify: Notify::new(),
        })
    }

    pub(super) fn answer(self: &Arc<Self>, slot: usize) -> Answer<T> {
        Answer {
            pending: Arc::clone(self),
            slot,
        }
    }

    fn is_done(&self) -> bool {
        self.missing.load(Ordering::Acquire) == 0
    }

    /// Takes the answers; what has not come is [`ErrorCode::RequestTimedOut`].
    fn take(&self) -> Vec<Answered<T>> {
        let slots = std::mem::take(&mut *lock(&self.slots));
        let mut abandoned = Vec::new();
        let answers = slots.into_iter().map(|slot| {
            let (result, source) = match slot {
                Slot::Done(result) => (result, Source::Here),
                Slot::Relayed(result) => (result, Source::Relayed),
                Slot::Untaken => (Err(ErrorCode::NotLeaderOrFollower), Source::Untaken),
                Slot::Open => (Err(ErrorCode::RequestTimedOut), Source::Here),
                Slot::Waiting(keeper, token) => {
                    abandoned.push((keeper, token));
                    (Err(ErrorCode::RequestTimedOut), Source::Here)
                }
            };
            Answered { result, source }
        });
        let answers = answers.collect();
        for (keeper, token) in abandoned {
            keeper.abandon(token);
        }
        answers
    }
}

impl<T> Answer<T> {
    /// The partition will answer under this token.
    pub(super) fn waiting(&self, keeper: Arc<dyn Keeper>, token: Token) {
        let mut slots = lock(&self.pending.slots);
        if let Some(slot @ Slot::Open) = slots.get_mut(self.slot) {
            *slot = Slot::Waiting(keeper, token);
        }
    }

    /// Whether somebody still waits for it.
    pub(super) fn is_awaited(&self) -> bool {
        self.slot < lock(&self.pending.slots).len()
    }

    /// The partition's answer.
    pub(super) fn send(self, result: Result<T, ErrorCode>) {
        self.settle(Slot::Done(result));
    }

    /// Another broker's answer.
    pub(super) fn relay(self, result: Result<T, ErrorCode>) {
        self.settle(Slot::Relayed(result));
    }

    /// It is for another broker.
    pub(super) fn untaken(self) {
        self.settle(Slot::Untaken);
    }

    fn settle(self, done: Slot<T>) {
        if let Some(slot) = lock(&self.pending.slots).get_mut(self.slot) {
            *slot = done;
        }
        if self.pending.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.pending.notify.notify_one();
        }
    }
}

/// Waits for a [`Pending`]; dropped before the end (the client went away) it gives up for all.
#[derive(Debug)]
pub(super) struct Waiting<T>(pub(super) Arc<Pending<T>>);

impl<T> Waiting<T> {
    /// Whether there is nothing to wait for any more.
    pub(super) fn is_done(&self) -> bool {
        self.0.is_done()
    }

    /// All answers, in order, by the end of `timeout` at the latest.
    pub(super) async fn answers(self, timeout: Duration) -> Vec<Answered<T>> {
        if !self.is_done() {
            let all = async {
                while !self.0.is_done() {
                    self.0.notify.notified().await;
                }
            };
            // a timeout is told by the slots that are still empty
            let _ = tokio::time::timeout(timeout, all).await;
        }
        self.0.take()
    }
}

impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}
