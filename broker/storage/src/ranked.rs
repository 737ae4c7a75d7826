//! Mutexes that are taken in one order, so that no two threads wait for each other: whoever holds
//! one takes only those of a higher rank. Some are held while the disk is waited for; whoever
//! serves takes none of these, and under all others no disk is touched. Debug builds panic where
//! code does otherwise, whether or not another thread is in the way just then; release builds have
//! nothing of it.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

/// The threads of a store: while they begin and end.
pub(crate) const RUNNING: u8 = 0;
/// One compaction of a log, all through it; its owner's lock of the partition comes next.
pub(crate) const COMPACTING: u8 = 1;
/// Whoever writes segments or a checkpoint, during I/O.
pub(crate) const MAINTENANCE: u8 = 2;
/// Whoever commits, during I/O.
pub(crate) const WAL: u8 = 3;
/// A partition, whose owner has it: nothing is waited for under it.
pub const PARTITION: u8 = 4;
/// The logs of a directory.
pub(crate) const LOGS: u8 = 5;
/// A log's indexes that are being written, during I/O.
pub(crate) const INDEXES: u8 = 6;
/// A log's state.
pub(crate) const STATE: u8 = 7;
/// The buffer of the flusher's direct writes.
pub(crate) const STAGING: u8 = 8;
/// What the flusher knows of a log's files.
pub(crate) const FILES: u8 = 9;
/// The files that are open.
pub(crate) const OPEN_FILES: u8 = 10;
/// What is held for a moment, with nothing taken in it.
pub(crate) const LEAF: u8 = 11;

/// Those that are held while the disk is waited for.
#[cfg(debug_assertions)]
const HELD_AT_DISK: [u8; 7] = [
    RUNNING,
    COMPACTING,
    MAINTENANCE,
    WAL,
    INDEXES,
    STAGING,
    FILES,
];

/// A mutex of a rank.
#[derive(Debug, Default)]
pub struct Ranked<T, const RANK: u8>(Mutex<T>);

/// Holds a [`Ranked`].
pub struct Guard<'a, T, const RANK: u8> {
    guard: MutexGuard<'a, T>,
    held: Held<RANK>,
}

impl<T, const RANK: u8> Ranked<T, RANK> {
    /// Has the value.
    pub fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Locks it where nobody has it.
    pub fn try_lock(&self) -> Option<Guard<'_, T, RANK>> {
        let guard = match self.0.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let held = Held::new();
        Some(Guard { guard, held })
    }
}

/// Locks; a panic elsewhere does not make it fail again here.
pub fn lock<T, const RANK: u8>(mutex: &Ranked<T, RANK>) -> Guard<'_, T, RANK> {
    #[cfg(debug_assertions)]
    assert!(
        !(HELD_AT_DISK.contains(&RANK) && SERVES.get()),
        "a thread that serves waits for nobody who waits for the disk"
    );
    // before the lock is waited for: two threads that do wait would say nothing
    let held = Held::new();
    let guard = mutex.0.lock().unwrap_or_else(PoisonError::into_inner);
    Guard { guard, held }
}

impl<T, const RANK: u8> Guard<'_, T, RANK> {
    /// Lets go until notified.
    pub(crate) fn wait(self, condition: &Condvar) -> Self {
        let Self { guard, held } = self;
        let guard = condition.wait(guard);
        Self {
            guard: guard.unwrap_or_else(PoisonError::into_inner),
            held,
        }
    }

    /// Lets go until notified, or for so long; whether that was the end of it.
    pub(crate) fn wait_timeout(self, condition: &Condvar, limit: Duration) -> (Self, bool) {
        let Self { guard, held } = self;
        let waited = condition.wait_timeout(guard, limit);
        let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        (Self { guard, held }, timeout.timed_out())
    }
}

impl<T, const RANK: u8> Deref for Guard<'_, T, RANK> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T, const RANK: u8> DerefMut for Guard<'_, T, RANK> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// Notes what this thread holds.
struct Held<const RANK: u8>;

#[cfg(debug_assertions)]
thread_local! {
    static HELD: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
    /// Whether this thread serves many just now.
    pub(crate) static SERVES: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// The ranks that this thread holds are others from now on; returns those of before.
#[cfg(debug_assertions)]
pub(crate) fn set_held(held: Vec<u8>) -> Vec<u8> {
    HELD.replace(held)
}

/// Under what this thread holds the disk may be touched.
#[cfg(debug_assertions)]
pub(crate) fn check_held_at_disk() {
    HELD.with_borrow(|held| {
        let wrong = held.iter().find(|rank| !HELD_AT_DISK.contains(rank));
        assert!(
            wrong.is_none(),
            "no disk is touched under it: rank {wrong:?}"
        );
    });
}

impl<const RANK: u8> Held<RANK> {
    #[cfg(debug_assertions)]
    fn new() -> Self {
        HELD.with_borrow_mut(|held| {
            let highest = held.iter().max();
            assert!(
                highest.is_none_or(|highest| *highest < RANK),
                "locks are taken by rank: {RANK} after {held:?}"
            );
            held.push(RANK);
        });
        Self
    }

    #[cfg(not(debug_assertions))]
    fn new() -> Self {
        Self
    }
}

#[cfg(debug_assertions)]
impl<const RANK: u8> Drop for Held<RANK> {
    fn drop(&mut self) {
        HELD.with_borrow_mut(|held| {
            let place = held.iter().rposition(|rank| *rank == RANK);
            place.map(|place| held.remove(place));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_rank_may_follow_in_any_order_of_release() {
        let (low, high) = (Ranked::<_, STATE>::new(1), Ranked::<_, LEAF>::new(2));
        let (first, second) = (lock(&low), lock(&high));
        drop(first);
        drop(second);
        drop(lock(&low));
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "locks are taken by rank")]
    fn a_lower_rank_may_not_follow() {
        let (low, high) = (Ranked::<_, STATE>::new(1), Ranked::<_, LEAF>::new(2));
        let _high = lock(&high);
        let _low = lock(&low);
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "locks are taken by rank")]
    fn of_one_rank_only_one_is_held() {
        let (one, other) = (Ranked::<_, STATE>::new(1), Ranked::<_, STATE>::new(2));
        let _one = lock(&one);
        let _other = lock(&other);
    }
}
