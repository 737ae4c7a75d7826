//! A leader whose lease has run out and whose followers take nothing: another may lead by now.
//!
//! A lease that is out proves nothing alone: with the controllers away, the ISR goes on and vouches
//! for what it acknowledges. But where records wait besides, producers are sent to look for another
//! leader, and not kept until their own patience ends.
//!
//! Invariant: who is acknowledged between two looks is not disturbed.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::Offset;

use super::{Effects, Partition, Role};

impl Partition {
    /// It was looked again, and there is no lease. Who has waited since the last look is refused.
    pub(super) fn on_lease_missed(&mut self, effects: &mut Effects) {
        let log_end_offset = self.marks.log_end_offset;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if let Some(seen) = leader.end_without_lease.replace(log_end_offset) {
            leader.refuse_up_to(seen, ErrorCode::NotLeaderOrFollower, effects);
        }
    }

    pub(super) fn on_lease_renewed(&mut self) {
        if let Role::Leader(leader) = &mut self.role {
            leader.end_without_lease = None;
        }
    }

    /// Whether this replica leads by what it knows, without a lease and without acknowledging
    /// anything, so that clients should ask others who leads.
    #[must_use]
    pub fn is_stranded(&self) -> bool {
        let Role::Leader(leader) = &self.role else {
            return false;
        };
        let is_behind = |seen: Offset| self.marks.high_watermark < seen;
        leader.end_without_lease.is_some_and(is_behind)
    }
}
