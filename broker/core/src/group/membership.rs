//! The members of one group, and when they are looked at next.

use super::classic::Classic;

/// A group's members.
#[derive(Clone, Debug, Default)]
pub(super) struct Membership {
    pub(super) classic: Classic,
    /// When [`Deadlines`](super::deadlines::Deadlines) visits this group next; never later than
    /// its earliest deadline.
    pub(super) visit_at_ms: Option<u64>,
}
