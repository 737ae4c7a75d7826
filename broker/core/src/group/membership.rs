//! The members of one group, and when they are looked at next.

use super::classic::Classic;
use super::consumer::sessions::Sessions;

/// A group's members.
#[derive(Clone, Debug, Default)]
pub(super) struct Membership {
    pub(super) classic: Classic,
    /// Those of the consumer protocol.
    pub(super) sessions: Sessions,
    /// When [`Deadlines`](super::deadlines::Deadlines) visits this group next; never later than
    /// its earliest deadline.
    pub(super) visit_at_ms: Option<u64>,
}

impl Membership {
    /// When it must be looked at again at the latest.
    pub(super) fn next_deadline_ms(&self) -> Option<u64> {
        let sessions = self.sessions.next_deadline_ms();
        self.classic
            .next_deadline_ms()
            .into_iter()
            .chain(sessions)
            .min()
    }

    /// Whether nothing would be lost with it.
    pub(super) fn is_vestige(&self) -> bool {
        self.classic.is_vestige() && self.sessions.is_empty()
    }
}
