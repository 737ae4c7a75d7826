//! When members of a group are given up that are not heard of, or that do not give up what they
//! shall not keep. It is soft state: a new coordinator has all sessions begin anew.

use std::collections::{BTreeMap, BTreeSet};

use super::state::{Consumer, MemberId};
use crate::shard::Now;

/// The sessions of a group's members.
#[derive(Clone, Debug, Default)]
pub struct Sessions {
    members: BTreeMap<MemberId, Session>,
    /// Never later than the earliest deadline of all in here.
    armed_ms: Option<u64>,
    /// Whether topics may have changed since it was looked what the group subscribes to.
    pub are_topics_news: bool,
    /// The expressions that may match others by now.
    pub stale_regexes: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    deadline_ms: u64,
    /// When it has to have given up what it shall not keep.
    revoked_ms: Option<u64>,
}

impl Sessions {
    /// All sessions begin now, and topics may be others.
    pub fn begin(group: &Consumer, now: Now, timeout_ms: i32) -> Self {
        let mut sessions = Self::default();
        for id in group.members.keys() {
            sessions.heard_from(id, now, timeout_ms);
            let current = group.current.get(id);
            let has_to_revoke = current.is_some_and(|current| !current.revoking.is_empty());
            if has_to_revoke && let Some(member) = group.members.get(id) {
                sessions.revokes(id, Some(now.after(member.rebalance_timeout_ms)));
            }
        }
        sessions.topics_change(group);
        sessions
    }

    /// Topics have come, gone or grown.
    pub fn topics_change(&mut self, group: &Consumer) {
        self.are_topics_news = true;
        self.stale_regexes = group.regexes.keys().cloned().collect();
    }

    /// Whether nobody has one.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// A member's session begins anew.
    pub fn heard_from(&mut self, id: &MemberId, now: Now, timeout_ms: i32) {
        let deadline_ms = now.after(timeout_ms);
        let session = self.members.entry(id.clone()).or_insert(Session {
            deadline_ms,
            revoked_ms: None,
        });
        session.deadline_ms = deadline_ms;
        self.arm(deadline_ms);
    }

    /// A member has until then to give up what it shall not keep, if it had no time for that yet;
    /// none: it has nothing to give up.
    pub fn revokes(&mut self, id: &MemberId, until_ms: Option<u64>) {
        let Some(session) = self.members.get_mut(id) else {
            return;
        };
        session.revoked_ms = until_ms.map(|until_ms| session.revoked_ms.unwrap_or(until_ms));
        if let Some(revoked_ms) = session.revoked_ms {
            self.arm(revoked_ms);
        }
    }

    /// A member is gone.
    pub fn forget(&mut self, id: &MemberId) {
        self.members.remove(id);
    }

    /// Takes out those whose time is over.
    pub fn over(&mut self, now: Now) -> Vec<MemberId> {
        let is_over = |_: &MemberId, session: &mut Session| session.next_ms() <= now.monotonic_ms;
        let over = self.members.extract_if(.., is_over);
        let over = over.map(|(id, _)| id).collect();
        self.armed_ms = self.members.values().map(Session::next_ms).min();
        over
    }

    /// When [`Self::over`] must be called at the latest.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.armed_ms
    }

    fn arm(&mut self, deadline_ms: u64) {
        self.armed_ms = Some(self.armed_ms.map_or(deadline_ms, |at| at.min(deadline_ms)));
    }
}

impl Session {
    fn next_ms(&self) -> u64 {
        self.revoked_ms
            .map_or(self.deadline_ms, |at| at.min(self.deadline_ms))
    }
}
