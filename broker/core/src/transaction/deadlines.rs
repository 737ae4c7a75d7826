//! When to look at which transactional id again.

use std::collections::{BTreeMap, BTreeSet};

use super::{Settings, TransactionalId};
use crate::shard::Now;

/// The queue of visits, and the next look for ids that have expired.
#[derive(Clone, Debug)]
pub(super) struct Deadlines {
    visits: BTreeSet<(u64, TransactionalId)>,
    by_id: BTreeMap<TransactionalId, u64>,
    expiration_check_at_ms: u64,
}

impl Deadlines {
    pub(super) fn new(now: Now, settings: &Settings) -> Self {
        Self {
            visits: BTreeSet::new(),
            by_id: BTreeMap::new(),
            expiration_check_at_ms: now.monotonic_ms + settings.id_expiration_check_interval_ms,
        }
    }

    /// The id is to be visited then, or not at all.
    pub(super) fn set(&mut self, id: &TransactionalId, at_ms: Option<u64>) {
        if let Some(before_ms) = self.by_id.remove(id) {
            self.visits.remove(&(before_ms, id.clone()));
        }
        if let Some(at_ms) = at_ms {
            self.by_id.insert(id.clone(), at_ms);
            self.visits.insert((at_ms, id.clone()));
        }
    }

    /// A visit that is due before `at_ms` is due then; one that was taken is set again.
    pub(super) fn put_off(&mut self, id: &TransactionalId, at_ms: u64) {
        if self.by_id.get(id).is_none_or(|due_ms| *due_ms < at_ms) {
            self.set(id, Some(at_ms));
        }
    }

    /// The next id whose visit is due.
    pub(super) fn pop(&mut self, now: Now) -> Option<TransactionalId> {
        let (at_ms, id) = self.visits.first()?;
        if *at_ms > now.monotonic_ms {
            return None;
        }
        let id = id.clone();
        self.set(&id, None);
        Some(id)
    }

    /// Whether the look for expired ids is due; the next one is then set.
    pub(super) fn expiration_passed(&mut self, now: Now, settings: &Settings) -> bool {
        let is_due = self.expiration_check_at_ms <= now.monotonic_ms;
        if is_due {
            let interval_ms = settings.id_expiration_check_interval_ms.max(1);
            self.expiration_check_at_ms = now.monotonic_ms + interval_ms;
        }
        is_due
    }

    /// The look for expired ids has not seen all: the next one is due then.
    pub(super) fn expire_again_at(&mut self, at_ms: u64) {
        self.expiration_check_at_ms = self.expiration_check_at_ms.min(at_ms);
    }

    /// The earliest of all.
    pub(super) fn next(&self) -> Option<u64> {
        let visit = self.visits.first().map(|(at_ms, _)| *at_ms);
        visit.into_iter().chain([self.expiration_check_at_ms]).min()
    }
}
