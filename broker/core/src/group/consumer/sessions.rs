//! When members of a group are given up that are not heard of, or that do not give up what they
//! shall not keep. It is soft state: a new coordinator has all sessions begin anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::state::{Consumer, Entry, Member, MemberId};
use crate::shard::Now;

/// The sessions of a group's members.
#[derive(Clone, Debug, Default)]
pub struct Sessions {
    members: BTreeMap<MemberId, Session>,
    /// Never later than the earliest deadline of all in here.
    armed_ms: Option<u64>,
    /// Whether topics may have changed since it was looked what the group subscribes to.
    pub are_topics_news: bool,
    /// The expressions that were looked at since they may match others, and when.
    resolved_ms: BTreeMap<String, u64>,
    /// When any of them was looked at last.
    any_resolved_ms: Option<u64>,
    /// When the target was made last.
    assigned_ms: Option<u64>,
}

/// How long an expression is taken to match the same where no topic changes: rights may.
const RESOLVED_MS: u64 = 600_000;

/// How long lies at least between two looks at which topics a group's expressions match.
const BETWEEN_RESOLVES_MS: u64 = 10_000;

/// A group of more members than this has its targets made some time apart.
const SMALL: usize = 100;

#[derive(Clone, Copy, Debug)]
struct Session {
    deadline_ms: u64,
    /// When it has to have done what it was told to: given up what it shall not keep, joined again
    /// or asked for what it has.
    owes_ms: Option<u64>,
}

impl Sessions {
    /// All sessions begin now, and topics may be others.
    pub fn begin(group: &Consumer, now: Now, timeout_ms: i32) -> Self {
        let mut sessions = Self::default();
        for (id, member) in &group.members {
            sessions.heard_from(id, now, member.session_timeout_ms(timeout_ms));
            let current = group.current.get(id);
            let has_to_revoke = current.is_some_and(|current| !current.revoking.is_empty());
            if has_to_revoke {
                sessions.owes(id, Some(now.after(member.rebalance_timeout_ms)), true);
            }
        }
        sessions.topics_change();
        sessions
    }

    /// An entry is as it was before the log refused it; a member's state comes back after what the
    /// member says of itself.
    pub fn go_back(
        &mut self,
        members: Option<&BTreeMap<MemberId, Arc<Member>>>,
        entry: &Entry,
        now: Now,
        timeout_ms: i32,
    ) {
        match entry {
            Entry::Member(id, None) => self.forget(id),
            Entry::Member(id, Some(member)) => {
                self.stays(id, now, member.session_timeout_ms(timeout_ms));
            }
            Entry::Current(id, Some(current)) => {
                let member = members.and_then(|members| members.get(id));
                let revokes = member.filter(|_| !current.revoking.is_empty());
                let until_ms = revokes.map(|member| now.after(member.rebalance_timeout_ms));
                self.owes(id, until_ms, false);
            }
            _ => {}
        }
        self.topics_change();
    }

    /// A member that is known has its session still.
    fn stays(&mut self, id: &MemberId, now: Now, timeout_ms: i32) {
        if !self.members.contains_key(id) {
            self.heard_from(id, now, timeout_ms);
        }
    }

    /// Topics have come, gone or grown, or who may know of which.
    pub fn topics_change(&mut self) {
        self.are_topics_news = true;
        self.resolved_ms.clear();
    }

    /// Whether it is to be looked now which topics an expression matches. Where it is known, what
    /// it matched serves meanwhile.
    pub fn is_to_be_resolved(&mut self, regex: &str, is_known: bool, now: Now) -> bool {
        let is_over = |at_ms: u64, after_ms: u64| now.monotonic_ms >= at_ms + after_ms;
        let looked = self.resolved_ms.get(regex);
        if is_known && looked.is_some_and(|at_ms| !is_over(*at_ms, RESOLVED_MS)) {
            return false;
        }
        if self
            .any_resolved_ms
            .is_some_and(|at_ms| !is_over(at_ms, BETWEEN_RESOLVES_MS))
        {
            return false;
        }
        self.resolved_ms.insert(regex.to_owned(), now.monotonic_ms);
        self.any_resolved_ms = Some(now.monotonic_ms);
        true
    }

    /// Of expressions that nobody subscribes to any more, nothing is known.
    pub fn forget_regexes(&mut self, group: &Consumer) {
        self.resolved_ms
            .retain(|regex, _| group.regexes.contains_key(regex));
    }

    /// Whether a target may be made now, which takes the longer the more members there are.
    pub fn may_assign(&mut self, members: usize, interval_ms: i32, now: Now) -> bool {
        let interval_ms = u64::try_from(interval_ms).unwrap_or(0);
        let is_soon = |at_ms: u64| now.monotonic_ms < at_ms + interval_ms;
        if members > SMALL && self.assigned_ms.is_some_and(is_soon) {
            return false;
        }
        self.assigned_ms = Some(now.monotonic_ms);
        true
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
            owes_ms: None,
        });
        session.deadline_ms = deadline_ms;
        self.arm(deadline_ms);
    }

    /// Whether a member, whose session takes so long, was heard of within a time.
    pub fn was_heard_within(&self, id: &MemberId, now: Now, timeout_ms: i32, ms: i32) -> bool {
        let Some(session) = self.members.get(id) else {
            return false;
        };
        let of = |ms: i32| u64::try_from(ms).unwrap_or(0);
        now.monotonic_ms + of(timeout_ms) <= session.deadline_ms + of(ms)
    }

    /// A member has until then to do what it is told to, if that is something new or it had no
    /// time for it yet; none: there is nothing for it to do.
    pub fn owes(&mut self, id: &MemberId, until_ms: Option<u64>, is_new: bool) {
        let Some(session) = self.members.get_mut(id) else {
            return;
        };
        let before = session.owes_ms.filter(|_| !is_new);
        session.owes_ms = until_ms.map(|until_ms| before.unwrap_or(until_ms));
        if let Some(owes_ms) = session.owes_ms {
            self.arm(owes_ms);
        }
    }

    /// A member is gone.
    pub fn forget(&mut self, id: &MemberId) {
        self.members.remove(id);
    }

    /// Takes out those whose time is over.
    pub fn over(&mut self, now: Now) -> BTreeSet<MemberId> {
        let is_over = |session: &Session| session.next_ms() <= now.monotonic_ms;
        let over = self.members.iter().filter(|(_, session)| is_over(session));
        let over = over.map(|(id, _)| id.clone()).collect();
        self.members.retain(|_, session| !is_over(session));
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
        self.owes_ms
            .map_or(self.deadline_ms, |at| at.min(self.deadline_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(monotonic_ms: u64) -> Now {
        Now {
            monotonic_ms,
            ..Now::default()
        }
    }

    #[test]
    fn an_expression_is_looked_at_again_once_topics_or_rights_change_or_after_ten_minutes() {
        let mut sessions = Sessions::default();
        assert!(sessions.is_to_be_resolved("a.*", false, at(0)));
        assert!(!sessions.is_to_be_resolved("a.*", true, at(599_999)));
        assert!(sessions.is_to_be_resolved("a.*", true, at(600_000)));
        sessions.topics_change();
        assert!(
            !sessions.is_to_be_resolved("a.*", true, at(609_999)),
            "just looked"
        );
        assert!(
            !sessions.is_to_be_resolved("b.*", false, at(609_999)),
            "nor another"
        );
        assert!(sessions.is_to_be_resolved("a.*", true, at(610_000)));
    }

    #[test]
    fn targets_of_large_groups_are_made_some_time_apart() {
        let mut sessions = Sessions::default();
        assert!(sessions.may_assign(SMALL + 1, 1000, at(0)));
        assert!(!sessions.may_assign(SMALL + 1, 1000, at(999)));
        assert!(
            sessions.may_assign(SMALL, 1000, at(999)),
            "a small one at once"
        );
        assert!(!sessions.may_assign(SMALL + 1, 1000, at(1998)));
        assert!(sessions.may_assign(SMALL + 1, 1000, at(1999)));
    }
}
