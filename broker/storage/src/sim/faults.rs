//! What may be amiss with a simulated disk.

use std::path::Path;
use std::time::Duration;

use super::tree::Tree;
use super::{SimDisk, lock};

impl SimDisk {
    /// An empty disk is there instead. Open handles are dead.
    pub fn replace(&self) {
        let mut inner = self.inner();
        inner.tree = Tree::default();
        inner.restart();
    }

    /// The `calls`-th write, sync or change of names from now on fails with EIO, and all after it.
    /// Unsynced bytes of a file whose sync failed are lost at the next crash, come what may.
    pub fn fail_after(&self, calls: u64) {
        let mut inner = self.inner();
        (inner.fails_after, inner.fails_once) = (Some(calls), false);
    }

    /// As [`Self::fail_after`], but only that one call fails.
    pub fn fail_once_after(&self, calls: u64) {
        let mut inner = self.inner();
        (inner.fails_after, inner.fails_once) = (Some(calls), true);
    }

    /// No more faults.
    pub fn heal(&self) {
        self.inner().fails_after = None;
    }

    /// From now on syncs of file contents succeed without doing anything: a bug for tests to find.
    pub fn set_syncs_ignored(&self, ignored: bool) {
        self.inner().ignores_syncs = ignored;
    }

    /// From now on an ordinary commit takes up to so long, and a few take much longer.
    pub fn set_commit_time(&self, max: Duration) {
        self.inner().commit_time_max = max;
    }

    /// From now on no commit ends, until this is taken back.
    pub fn set_stalled(&self, stalled: bool) {
        self.inner().is_stalled = stalled;
    }

    /// From now on there is no room at all, until this is taken back.
    pub fn set_full(&self, full: bool) {
        self.inner().is_full = full;
    }

    /// Flips a bit of a file on the medium itself, and tells nobody.
    pub fn flip_bit(&self, path: &Path, position: usize, bit: u8) {
        if let Some(inode) = self.inner().tree.files.get(path) {
            lock(inode).flip(position, bit);
        }
    }

    /// Replaces a file's content on the medium itself, or makes the file.
    pub fn set_content(&self, path: &Path, bytes: Vec<u8>) {
        self.inner().tree.set_content(path, bytes);
    }
}
