//! A small synced record log: consecutive numbered entries, cut at either end.
//!
//! For the metadata quorum's own log. Entries are kept in memory too, so it suits logs that
//! snapshots keep short.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::{Disk, Result};

/// A synced record log.
#[derive(Debug)]
pub struct Journal {
    first_index: u64,
}

impl Journal {
    /// Opens the directory of a journal, makes it where missing, cuts a torn tail.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self> {
        let _ = (disk, dir);
        Ok(Self { first_index: 0 })
    }

    /// The first entry's index (= [`Journal::next_index`] where empty).
    #[must_use]
    pub fn first_index(&self) -> u64 {
        self.first_index
    }

    /// The index that the next entry gets.
    #[must_use]
    pub fn next_index(&self) -> u64 {
        self.first_index
    }

    /// Appends entries and makes them durable with one fsync before it returns.
    pub fn append(&mut self, entries: &[Bytes]) -> Result<()> {
        let _ = entries;
        Ok(())
    }

    /// The entries in a range of indexes that is within the journal.
    #[must_use]
    pub fn read(&self, range: Range<u64>) -> Vec<Bytes> {
        let _ = range;
        Vec::new()
    }

    /// Removes the entries from `index` on; durable when it returns.
    pub fn truncate_suffix(&mut self, index: u64) -> Result<()> {
        let _ = index;
        Ok(())
    }

    /// Removes the entries below `index`, which may be beyond the end: then the journal is empty
    /// and goes on at `index`. Durable when it returns.
    pub fn purge_prefix(&mut self, index: u64) -> Result<()> {
        self.first_index = index;
        Ok(())
    }
}
