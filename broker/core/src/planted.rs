//! Bugs that a simulation puts in on purpose, to see that it finds them.
//!
//! Only the feature `planted` can put one in, and no release is built with it: without it every
//! question below is answered with no while compiling.

#[cfg(feature = "planted")]
use std::sync::atomic::{AtomicU8, Ordering};

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// A follower tells its leader of what is not on its disk.
    UndurableFetch = 1,
    /// A fetch loop waits for a commit as long as it takes, and hears of nothing else meanwhile.
    AwaitedCommit,
    /// Followers of an idle log count as behind from the first record on.
    IdleLag,
}

/// The bug of this process; none is 0.
#[cfg(feature = "planted")]
static PLANTED: AtomicU8 = AtomicU8::new(0);

/// Puts a bug in, for all of this process and for good.
#[cfg(feature = "planted")]
pub fn plant(bug: Planted) {
    PLANTED.store(bug as u8, Ordering::Relaxed);
}

/// Whether this bug was put in.
#[cfg(feature = "planted")]
#[must_use]
pub fn is(bug: Planted) -> bool {
    PLANTED.load(Ordering::Relaxed) == bug as u8
}

/// Whether this bug was put in: there is no way to.
#[cfg(not(feature = "planted"))]
#[must_use]
pub const fn is(_bug: Planted) -> bool {
    false
}
