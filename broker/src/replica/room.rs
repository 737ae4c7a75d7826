//! Room for an answer: as much as the reader wants, and as the answers of all readers leave.
//!
//! Room is taken before anything is read, and given back once the answer is sent. One answer gets
//! at most a quarter of what is left, so that however many readers ask for much and take nothing,
//! there is something for the next. Who holds nothing yet waits in turn; who holds something
//! answers with that.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::budget::{Budget, Share};

/// What is left is not divided into less than this, about one batch.
const SLICE_BYTES_MIN: usize = 1 << 20;

/// How long room is waited for, also by who does not want to wait for records.
const WAIT_MIN: Duration = Duration::from_millis(500);

/// What is taken of an answer's room.
pub(super) struct Room {
    budget: Arc<Budget>,
    share: Share,
    bytes_left: usize,
    /// Whether nothing was read yet: the first batch comes whatever its size (KIP-74).
    is_empty: bool,
    deadline: Instant,
}

impl Room {
    /// Room for at most `bytes_max`, waited for until `deadline` or a little longer.
    pub(super) fn of(budget: &Arc<Budget>, bytes_max: usize, deadline: Instant) -> Self {
        let slice = (budget.left() / 4).max(SLICE_BYTES_MIN);
        Self {
            share: budget.share(),
            budget: Arc::clone(budget),
            bytes_left: bytes_max.min(slice),
            is_empty: true,
            deadline: deadline.max(Instant::now() + WAIT_MIN),
        }
    }

    /// How much may be read of a partition that wants so much; none where the answer is full.
    pub(super) fn bytes_max(&self, wanted: usize) -> Option<usize> {
        let bytes_max = wanted.min(self.bytes_left);
        (bytes_max > 0 || self.is_empty).then_some(bytes_max)
    }

    /// Takes room for `bytes` that are about to be read; says whether there is any.
    pub(super) async fn take(&mut self, bytes: usize) -> bool {
        if self.share.try_hold(self.share.bytes() + bytes) {
            return true;
        }
        if self.share.bytes() > 0 {
            return false;
        }
        let waiting = self.budget.share().hold(bytes);
        match tokio::time::timeout_at(self.deadline, waiting).await {
            Ok(share) => {
                self.share = share;
                true
            }
            Err(_) => false,
        }
    }

    /// So many bytes were read where `taken` were taken room for. Says whether they fit: at least
    /// one batch comes back from each read, and only the first one of all counts whatever its size.
    pub(super) fn has_read(&mut self, taken: usize, bytes: usize) -> bool {
        let fits = self.is_empty || bytes <= self.bytes_left;
        let kept = if fits { bytes } else { 0 };
        self.share.force(self.share.bytes() - taken + kept);
        if fits {
            self.is_empty &= bytes == 0;
            self.bytes_left = self.bytes_left.saturating_sub(bytes);
        }
        fits
    }

    /// What the answer holds.
    pub(super) fn into_share(self) -> Share {
        self.share
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_takes_a_quarter_and_leaves_something_for_the_next() {
    let budget = Budget::new(64 << 20);
    let now = Instant::now();
    let mut held = Vec::new();
    for expected in [16 << 20, 12 << 20, 9 << 20] {
        let mut room = Room::of(&budget, 55 << 20, now);
        let bytes = room.bytes_max(55 << 20).unwrap();
        assert_eq!(bytes, expected);
        assert!(room.take(bytes).await);
        assert!(room.has_read(bytes, bytes));
        assert_eq!(room.bytes_max(1 << 20), None, "the answer is full");
        held.push(room.into_share());
    }
    let mut all = budget.share();
    assert!(all.try_hold(budget.left()));
    let mut room = Room::of(&budget, 1 << 20, now);
    assert!(
        !room.take(1).await,
        "nothing is left, and nobody gives back"
    );
    drop(all);
    assert!(room.take(1).await);
    assert!(
        room.has_read(1, 5000),
        "a batch that is larger than what was asked for"
    );
    assert_eq!(room.into_share().bytes(), 5000);
}
