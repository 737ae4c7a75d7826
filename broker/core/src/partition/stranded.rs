//! A leader whose lease has run out and whose followers take nothing: another may lead by now.
//!
//! A lease that is out proves nothing alone: with the controllers away, the ISR goes on and vouches
//! for what it acknowledges. But where the high watermark stands besides, from one look to the
//! next, producers are sent to look for another leader, and not kept until their own patience ends;
//! and nothing more is appended, which they would send again and again.
//!
//! Invariant: a leader whose high watermark moves is not disturbed. Coordinators wait on: what they
//! have appended is theirs until they lose the leadership.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::Offset;

use super::{Effects, Partition, Role};

/// What was seen at a look without a lease.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    log_end_offset: Offset,
    high_watermark: Offset,
    /// Whether the high watermark had not moved since the look before, with records behind it.
    is_stuck: bool,
}

impl Partition {
    /// It was looked again, and there is no lease.
    pub(super) fn on_lease_missed(&mut self, effects: &mut Effects) {
        let (log_end_offset, high_watermark) =
            (self.marks.log_end_offset, self.marks.high_watermark);
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let before = leader.look.filter(|before| {
            before.high_watermark == high_watermark && high_watermark < before.log_end_offset
        });
        leader.look = Some(Look {
            log_end_offset,
            high_watermark,
            is_stuck: before.is_some(),
        });
        if let Some(before) = before {
            let error = ErrorCode::NotLeaderOrFollower;
            leader.refuse_clients(before.log_end_offset, error, effects);
        }
    }

    pub(super) fn on_lease_renewed(&mut self) {
        if let Role::Leader(leader) = &mut self.role {
            leader.look = None;
        }
    }

    /// Whether this replica leads by what it knows, without a lease and without acknowledging
    /// anything, so that clients should ask others who leads.
    #[must_use]
    pub fn is_stranded(&self) -> bool {
        let Role::Leader(leader) = &self.role else {
            return false;
        };
        let stands = |look: Look| look.is_stuck && look.high_watermark == self.marks.high_watermark;
        leader.look.is_some_and(stands)
    }
}
