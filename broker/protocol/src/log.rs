//! What decisions about a log and its bytes on disk both speak of.

mod leader_epochs;

use crate::ids::Offset;

pub use leader_epochs::{EpochStart, LeaderEpochs};

/// A segment that is no longer appended to, as the decision whether to compact needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedSegment {
    /// Where the next one begins.
    pub end_offset: Offset,
    /// Bytes of batches.
    pub bytes: u64,
    /// The largest timestamp of its first append; −1: none.
    pub first_timestamp: i64,
    /// Its largest timestamp; −1: none.
    pub max_timestamp: i64,
    /// When the first of its known tombstones may go.
    pub delete_horizon_ms: Option<i64>,
}
