//! The logs that a store owns, beside what they share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ottla_protocol::ids::TopicPartition;

use crate::log::SharedLog;
use crate::ranked::{LOGS, Ranked, lock};
use crate::shared::Shared;

/// A data directory's logs, and what they share.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) shared: Arc<Shared>,
    pub(super) logs: Ranked<Logs, LOGS>,
}

/// The logs that exist, and those whose files are still to go.
#[derive(Debug, Default)]
pub(super) struct Logs {
    by_number: BTreeMap<u64, Arc<SharedLog>>,
    by_name: BTreeMap<TopicPartition, u64>,
    pub(super) next_number: u64,
    /// Their files go once the record that deletes them is durable.
    deleted: Vec<(u64, Arc<SharedLog>)>,
}

impl Logs {
    pub(super) fn has(&self, name: &TopicPartition) -> bool {
        self.by_name.contains_key(name)
    }

    pub(super) fn get(&self, number: u64) -> Option<&Arc<SharedLog>> {
        self.by_number.get(&number)
    }

    /// The log, though it may be deleted.
    pub(super) fn find(&self, number: u64) -> Option<&Arc<SharedLog>> {
        let deleted = || self.deleted.iter().map(|(_, log)| log);
        self.get(number)
            .or_else(|| deleted().find(|log| log.number == number))
    }

    /// All that exist, in the order of their numbers.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<SharedLog>> {
        self.by_number.values()
    }

    pub(super) fn insert(&mut self, log: Arc<SharedLog>) {
        self.next_number = self.next_number.max(log.number + 1);
        self.by_name.insert(log.name.clone(), log.number);
        self.by_number.insert(log.number, log);
    }

    /// The log is no more, by the record with this lsn.
    pub(super) fn delete(&mut self, log: Arc<SharedLog>, lsn: u64) {
        self.by_number.remove(&log.number);
        if self.by_name.get(&log.name) == Some(&log.number) {
            self.by_name.remove(&log.name);
        }
        self.deleted.push((lsn, log));
    }

    /// Takes out the deleted logs whose files may go.
    pub(super) fn take_deleted(&mut self, durable_lsn: u64) -> Vec<Arc<SharedLog>> {
        let due = self.deleted.extract_if(.., |(lsn, _)| *lsn <= durable_lsn);
        due.map(|(_, log)| log).collect()
    }
}

impl Directory {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            logs: Ranked::default(),
        }
    }

    /// All logs that exist.
    pub(super) fn all_logs(&self) -> Vec<Arc<SharedLog>> {
        lock(&self.logs).all().cloned().collect()
    }

    /// Takes the next log out of those that have bytes to flush; `None`: there is none.
    pub(super) fn next_dirty(&self) -> Option<Arc<SharedLog>> {
        loop {
            let number = lock(&self.shared.dirty).pop_front()?;
            // one that is deleted meanwhile has nothing to flush
            if let Some(log) = lock(&self.logs).get(number) {
                return Some(log.clone());
            }
        }
    }

    /// Forgets the oldest bytes that are in segments, as far as memory asks for it.
    pub(super) fn evict(&self) {
        let shared = &*self.shared;
        let held = || {
            shared.unflushed_bytes.load(Ordering::Relaxed)
                + shared.cached_bytes.load(Ordering::Relaxed)
        };
        if held() <= shared.settings.memory_bytes_max {
            return;
        }
        let logs = lock(&self.logs);
        while held() > shared.settings.memory_bytes_max {
            let Some((number, chunk)) = lock(&shared.written).pop_front() else {
                break;
            };
            if let Some(log) = logs.get(number) {
                let bytes = lock(&log.state).tail.evict(chunk);
                shared.cached_bytes.fetch_sub(bytes, Ordering::Relaxed);
            }
        }
    }
}
