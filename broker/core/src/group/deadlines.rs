//! When to look at which group again.
//!
//! One entry a group, not one a member: a visit looks at all members of the group, and the next one
//! is set for the earliest deadline then left. A heartbeat only moves its member's own deadline to
//! later, so it costs nothing here; the queue's entry may be early, never late.

use std::collections::BTreeSet;

use super::membership::Membership;
use super::{GroupId, Settings};
use crate::shard::Now;

/// The queue of visits.
#[derive(Clone, Debug, Default)]
pub(super) struct Deadlines {
    visits: BTreeSet<(u64, GroupId)>,
    retention_check_at_ms: Option<u64>,
}

impl Deadlines {
    /// Makes sure that the group is visited when its earliest deadline comes.
    pub(super) fn schedule(&mut self, id: &GroupId, group: &mut Membership) {
        let Some(deadline_ms) = group.next_deadline_ms() else {
            return;
        };
        match group.visit_at_ms {
            Some(at_ms) if at_ms <= deadline_ms => return,
            Some(at_ms) => {
                self.visits.remove(&(at_ms, id.clone()));
            }
            None => {}
        }
        group.visit_at_ms = Some(deadline_ms);
        self.visits.insert((deadline_ms, id.clone()));
    }

    /// The next group whose visit is due.
    pub(super) fn pop(&mut self, now: Now) -> Option<GroupId> {
        let (at_ms, _) = self.visits.first()?;
        if *at_ms > now.monotonic_ms {
            return None;
        }
        self.visits.pop_first().map(|(_, id)| id)
    }

    /// A group is gone.
    pub(super) fn forget(&mut self, id: &GroupId, group: &Membership) {
        if let Some(at_ms) = group.visit_at_ms {
            self.visits.remove(&(at_ms, id.clone()));
        }
    }

    /// Sets the next retention check where none is set and there is something to check.
    pub(super) fn retention(&mut self, now: Now, settings: &Settings, needed: bool) {
        if !needed {
            self.retention_check_at_ms = None;
        } else if self.retention_check_at_ms.is_none() {
            let interval = settings.offsets_retention_check_interval_ms.max(1);
            self.retention_check_at_ms = Some(now.monotonic_ms + interval.unsigned_abs());
        }
    }

    /// Whether the retention check is due; it is then taken.
    pub(super) fn retention_passed(&mut self, now: Now) -> bool {
        let due = self
            .retention_check_at_ms
            .is_some_and(|at_ms| at_ms <= now.monotonic_ms);
        if due {
            self.retention_check_at_ms = None;
        }
        due
    }

    /// The earliest of all.
    pub(super) fn next(&self) -> Option<u64> {
        let visit = self.visits.first().map(|(at_ms, _)| *at_ms);
        visit.into_iter().chain(self.retention_check_at_ms).min()
    }
}
