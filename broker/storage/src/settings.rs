//! Bounds and sizes, as whoever opens a data directory gives them.

use std::time::Duration;

/// Bounds and sizes of one data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The size of one WAL segment.
    pub wal_segment_bytes: u64,
    /// How many WAL segments may be in use before a checkpoint must free one.
    pub wal_segments_max: usize,
    /// Record bytes kept in memory, flushed ones (as a cache) included.
    pub memory_bytes_max: usize,
    /// Record bytes not yet in segments at which writing them begins.
    pub flush_bytes: usize,
    /// Free bytes on the file system under which appends are refused.
    pub disk_reserve_bytes: u64,
    /// Segment and index files held open.
    pub files_open_max: usize,
    /// Write the WAL past the page cache.
    pub wal_direct: bool,
    /// From this many bytes of one segment on, they are written past the page cache.
    pub direct_bytes_min: usize,
    /// Without commits for this long, a checkpoint is made, so that a restart replays nothing.
    pub checkpoint_idle: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            wal_segment_bytes: 64 << 20,
            wal_segments_max: 6,
            memory_bytes_max: 16 << 20,
            flush_bytes: 8 << 20,
            disk_reserve_bytes: 128 << 20,
            files_open_max: 256,
            wal_direct: true,
            direct_bytes_min: 64 << 10,
            checkpoint_idle: Duration::from_secs(5),
        }
    }
}
