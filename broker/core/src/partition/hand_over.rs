//! The hand-over of a leadership: the leader appends no more, and goes once its successor has all.
//!
//! Until every in-sync replica has every byte, whatever was acknowledged or is to be; so nobody
//! waits for an answer when the leader changes, and nothing is truncated after it. Below min ISR
//! the high watermark stands still: there the successor is enough.
//!
//! What producers send meanwhile the driver keeps in its order ([`Reception::Park`]), and sends on
//! to the new leader ([`Reception::Forward`]). A leader that cannot hand over within
//! [`HAND_OVER_MAX`], or is not answered within it, appends again, and tries again with the next
//! registration or later. Until it knows, only the ISR vouches for what it acknowledges.

use std::time::Duration;

use ottla_protocol::ids::{LeaderEpoch, NodeId, Offset};

use super::{Effect, Effects, Partition, Role};
use crate::planted::{self, Planted};

/// How long a leader appends nothing at most until its successor has all, and once more until the
/// controller has said what became of the hand-over.
pub const HAND_OVER_MAX: Duration = Duration::from_secs(1);

/// How long a broker sends on what it gets for a partition that it has handed over. Clients learn
/// of the new leader with each answer; one that does not listen is told by an error then.
pub const FORWARD_MAX: Duration = Duration::from_secs(30);

/// A hand-over that has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct HandingOver {
    to: NodeId,
    since: Duration,
    /// The controller was asked to change the leader, with the log ending here.
    asked_at: Option<Offset>,
}

/// What becomes of a batch that a producer sends now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reception {
    /// The partition judges it: a leader appends it, another replica refuses it.
    Step,
    /// It is kept until the hand-over is over.
    Park,
    /// This replica has just handed over: the leader of this epoch takes it.
    Forward(NodeId, LeaderEpoch),
}

impl Partition {
    /// What becomes of a batch that a producer sends at `now`.
    #[must_use]
    pub fn reception(&self, now: Duration) -> Reception {
        match &self.role {
            Role::Leader(leader) => match leader.handing_over {
                Some(begun) if now.saturating_sub(begun.since) < HAND_OVER_MAX => Reception::Park,
                Some(_) | None => Reception::Step,
            },
            Role::Follower(follower) => match (follower.leader, follower.handed_over_at) {
                (Some(leader), Some(at)) if now.saturating_sub(at) < FORWARD_MAX => {
                    Reception::Forward(leader, self.leader_epoch)
                }
                _ => Reception::Step,
            },
            Role::Offline => Reception::Step,
        }
    }

    /// Whether a leader appends nothing because it hands over.
    pub(super) fn is_handing_over(&self, now: Duration) -> bool {
        self.reception(now) == Reception::Park
    }

    /// Follows what a registration says of the successor.
    pub(super) fn follow_successor(&mut self, now: Duration, successor: Option<NodeId>) {
        if let Role::Leader(leader) = &mut self.role {
            let known = leader
                .handing_over
                .filter(|known| Some(known.to) == successor);
            let begin = |to| HandingOver {
                to,
                since: now,
                asked_at: None,
            };
            leader.handing_over = known.or_else(|| successor.map(begin));
        }
    }

    /// Asks for the change of the leader once the successor has every byte; begins anew where the
    /// last attempt took too long.
    pub(super) fn settle_hand_over(&mut self, now: Duration, effects: &mut Effects) {
        if !matches!(&self.role, Role::Leader(leader) if leader.handing_over.is_some()) {
            return;
        }
        let leader_epoch = self.leader_epoch;
        let has_all = self.successor_has_all() || planted::is(Planted::HastyHandOver);
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(begun) = &mut leader.handing_over else {
            return;
        };
        let spent = now.saturating_sub(begun.since);
        // Whoever asked and heard nothing may lead no more. It is told nothing of that for as long
        // as its lease lasts at most, which is not renewed before it knows.
        let again_after = match begun.asked_at {
            Some(_) => 3 * HAND_OVER_MAX,
            None => 2 * HAND_OVER_MAX,
        };
        if spent >= again_after {
            (begun.since, begun.asked_at) = (now, None);
        } else if spent >= HAND_OVER_MAX {
            return;
        }
        if has_all && begun.asked_at.is_none() {
            (begun.since, begun.asked_at) = (now, Some(self.marks.log_end_offset));
            effects.push(Effect::HandOver(leader_epoch));
        }
    }

    fn successor_has_all(&self) -> bool {
        let Role::Leader(leader) = &self.role else {
            return false;
        };
        let end = self.marks.log_end_offset;
        let is_there = |to| {
            let mut followers = leader.followers.iter();
            followers.any(|f| f.node == to && f.log_end_offset == Some(end))
        };
        let is_committed = self.marks.high_watermark == end || self.is_under_min_isr();
        is_committed && leader.handing_over.is_some_and(|begun| is_there(begun.to))
    }

    /// The controller did not take the hand-over: this leader appends again, for a while. What it
    /// says of an earlier epoch says nothing of a hand-over that was begun since.
    pub(super) fn on_hand_over_failed(
        &mut self,
        now: Duration,
        leader_epoch: LeaderEpoch,
        is_refused: bool,
    ) {
        if leader_epoch == self.leader_epoch
            && let Role::Leader(leader) = &mut self.role
            && let Some(begun) = &mut leader.handing_over
        {
            begun.since = now.saturating_sub(HAND_OVER_MAX);
            if is_refused {
                begun.asked_at = None;
            }
        }
    }

    /// Whether the successor may lead by now, by this leader's own word: its lease says nothing of
    /// that.
    pub(super) fn may_have_handed_over(&self) -> bool {
        let Role::Leader(leader) = &self.role else {
            return false;
        };
        leader
            .handing_over
            .is_some_and(|begun| begun.asked_at.is_some())
    }

    /// When this replica handed over. A leader that goes has done so where it asked for it, has
    /// appended nothing since, and owes nobody an answer: else what is sent on could overtake what
    /// is refused now.
    pub(super) fn handed_over_at(&self, now: Duration) -> Option<Duration> {
        match &self.role {
            Role::Leader(before) => {
                let asked_at = before.handing_over.and_then(|begun| begun.asked_at);
                let is_all = asked_at == Some(self.marks.log_end_offset);
                (is_all && !before.owes_answers()).then_some(now)
            }
            Role::Follower(before) => before.handed_over_at,
            Role::Offline => None,
        }
    }
}
