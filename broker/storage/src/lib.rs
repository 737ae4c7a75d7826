//! Bytes on disk: one write-ahead log per data directory, partition segments, recovery.
//!
//! A [`Store`] is one data directory. It owns the write-ahead log (WAL), which every partition
//! [`Log`] of the directory shares: an append only queues, [`Store::commit`] writes whatever is
//! queued with one fsync. Segments are written later, from memory, in big pieces. After a crash
//! only the WAL's tail is replayed.
//!
//! # Layout, in reading order
//! - [`disk`]: the seam to the file system; [`sim`] is the disk that loses what was not synced.
//! - [`wal`]: the write-ahead log's format, writer and reader.
//! - [`log`]: one partition's log.
//! - [`compaction`]: of each key the newest record stays.
//! - [`store`]: the directory: open, recover, commit, flush, checkpoint.
//! - [`journal`]: a small synced record log (for the metadata quorum).
//! - [`snapshot_file`]: small files that change as a whole or not at all.
//! - [`ranked`], [`serving`]: locks in one order, and who may wait for a disk.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod compaction;
pub mod disk;
mod error;
mod fields;
pub mod journal;
pub mod log;
pub mod ranked;
mod segment;
pub mod serving;
mod settings;
mod shared;
pub mod sim;
pub mod snapshot_file;
pub mod store;
pub mod wal;

pub use compaction::{Compacted, Compaction};
pub use disk::{Disk, File, RealDisk};
pub use error::{Error, Result};
pub use journal::Journal;
pub use log::{Appended, Log, LogReader, LogSettings, Read, TimestampAndOffset};
pub use settings::Settings;
pub use store::{Committed, Durable, Identity, Listener, Opened, ProducerState, Store};
