//! The segment files that are open: a bounded number, the longest unused closed first.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::disk::Mode;
use crate::ranked::{OPEN_FILES, Ranked, lock};
use crate::segment::{Kind, SegmentId};
use crate::{Disk, File};

type Key = (u64, SegmentId, Kind);

#[derive(Debug)]
pub(crate) struct Files {
    open: Ranked<Open, OPEN_FILES>,
    max: usize,
}

#[derive(Debug, Default)]
struct Open {
    files: BTreeMap<Key, (Arc<dyn File>, u64)>,
    uses: u64,
}

impl Files {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            open: Ranked::default(),
            max: max.max(4),
        }
    }

    /// The open file, where it is open.
    pub(crate) fn get(&self, key: Key) -> Option<Arc<dyn File>> {
        let mut open = lock(&self.open);
        open.uses += 1;
        let uses = open.uses;
        let (file, used) = open.files.get_mut(&key)?;
        *used = uses;
        Some(file.clone())
    }

    /// Opens the file for reading and writing, where it is not open.
    pub(crate) fn open(
        &self,
        disk: &dyn Disk,
        key: Key,
        path: &Path,
        mode: Mode,
    ) -> io::Result<Arc<dyn File>> {
        if let Some(file) = self.get(key) {
            return Ok(file);
        }
        let file = disk.open(path, mode)?;
        let mut open = lock(&self.open);
        while open.files.len() >= self.max {
            let oldest = open
                .files
                .iter()
                .min_by_key(|(_, (_, used))| *used)
                .map(|(key, _)| *key);
            oldest.and_then(|key| open.files.remove(&key));
        }
        open.uses += 1;
        let uses = open.uses;
        open.files.insert(key, (file.clone(), uses));
        Ok(file)
    }

    pub(crate) fn close(&self, key: Key) {
        lock(&self.open).files.remove(&key);
    }

    pub(crate) fn close_log(&self, number: u64) {
        lock(&self.open).files.retain(|key, _| key.0 != number);
    }
}
