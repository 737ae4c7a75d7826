//! Who is in sync: the ISR as the controller has committed it, and the change that is under way.
//!
//! A change counts only when the controller has committed it (KIP-497). Until then the high
//! watermark waits for the *maximal* ISR: a replica on its way in already, one on its way out
//! still. So whichever of the two the controller has committed when this leader dies, all its
//! members hold everything that was acknowledged.

use std::time::Duration;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{BrokerEpoch, NodeId, Offset, PartitionEpoch};

use super::{AlterIsr, AlteredIsr, Effect, Effects, Partition, Role};
use crate::planted::{self, Planted};

/// A change that was asked for.
#[derive(Clone, Debug)]
struct Pending {
    asked: PartitionEpoch,
    joining: Option<NodeId>,
}

/// The ISR of a leader.
#[derive(Clone, Debug)]
pub(super) struct InSync {
    members: Vec<NodeId>,
    pending: Option<Pending>,
}

impl InSync {
    pub(super) fn committed(members: Vec<NodeId>) -> Self {
        Self {
            members,
            pending: None,
        }
    }

    /// The members by the controller's last word.
    pub(super) fn members(&self) -> &[NodeId] {
        &self.members
    }

    pub(super) fn is_member(&self, node: NodeId) -> bool {
        self.members.contains(&node)
    }

    /// Whether the high watermark has to wait for `node`.
    pub(super) fn is_maximal_member(&self, node: NodeId) -> bool {
        self.is_member(node)
            || !planted::is(Planted::UncountedJoiner)
                && self
                    .pending
                    .as_ref()
                    .is_some_and(|p| p.joining == Some(node))
    }
}

impl Partition {
    /// The in-sync replicas, where this replica leads.
    #[must_use]
    pub fn isr(&self) -> &[NodeId] {
        match &self.role {
            Role::Leader(leader) => leader.in_sync.members(),
            Role::Follower(_) | Role::Offline => &[],
        }
    }

    /// Asks for a follower to join that has come to the high watermark and to the start of this
    /// leader's epoch: before that its log may still depart from ours. The high watermark has gone
    /// on before: it stands where the slowest member stood, which may just have been put out. Below
    /// `min.insync.replicas` it goes on no more, so whoever was put out has to move on first.
    pub(super) fn expand_isr(&mut self, effects: &mut Effects) {
        let high_watermark = self.marks.high_watermark;
        let log_end_offset = self.marks.log_end_offset;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if leader.in_sync.pending.is_some() {
            return;
        }
        let start = match planted::is(Planted::EarlyJoin) {
            true => Offset::ZERO,
            false => leader.epoch_start_offset,
        };
        let joining = leader.followers.iter().find(|follower| {
            !leader.in_sync.is_member(follower.node)
                && follower.is_eligible()
                && follower.has_moved_on(log_end_offset)
                && follower
                    .log_end_offset
                    .is_some_and(|end| end >= high_watermark && end >= start)
        });
        let Some(joining) = joining.map(|follower| follower.node) else {
            return;
        };
        let mut isr = leader.in_sync.members.clone();
        isr.push(joining);
        self.alter_isr(&isr, Some(joining), effects);
    }

    /// Asks for followers to leave that are behind for too long, and looks again at who is waited
    /// for.
    pub(super) fn on_lag_checked(&mut self, now: Duration, effects: &mut Effects) {
        let log_end_offset = self.marks.log_end_offset;
        let lag_max = self.config.replica_lag_time_max;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if leader.in_sync.pending.is_none() {
            let is_behind = |node: NodeId| {
                leader
                    .followers
                    .iter()
                    .any(|f| f.node == node && !f.is_caught_up(now, log_end_offset, lag_max))
            };
            let members = leader.in_sync.members.iter().copied();
            let isr: Vec<NodeId> = members.filter(|node| !is_behind(*node)).collect();
            if isr.len() < leader.in_sync.members.len() {
                if planted::is(Planted::UncommittedShrink) {
                    leader.in_sync.members.clone_from(&isr);
                }
                self.alter_isr(&isr, None, effects);
            }
        }
        self.advance_high_watermark(now, effects);
        self.expand_isr(effects);
        self.settle_deletes(effects);
    }

    fn alter_isr(&mut self, isr: &[NodeId], joining: Option<NodeId>, effects: &mut Effects) {
        let node = self.node;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        leader.in_sync.pending = Some(Pending {
            asked: self.partition_epoch,
            joining,
        });
        let broker_epoch = |member: NodeId| {
            leader
                .followers
                .iter()
                .find(|f| f.node == member)
                .and_then(|f| f.broker_epoch.or(f.eligible))
                .unwrap_or(BrokerEpoch(-1)) // not heard of yet
        };
        effects.push(Effect::AlterIsr(AlterIsr {
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            isr: isr
                .iter()
                .map(|member| match *member {
                    own if own == node => (own, BrokerEpoch(-1)),
                    other => (other, broker_epoch(other)),
                })
                .collect(),
        }));
    }

    pub(super) fn on_isr_altered(
        &mut self,
        now: Duration,
        asked: PartitionEpoch,
        result: Result<AlteredIsr, ErrorCode>,
        effects: &mut Effects,
    ) {
        let leader_epoch = self.leader_epoch;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let is_ours = leader
            .in_sync
            .pending
            .as_ref()
            .is_some_and(|pending| pending.asked == asked);
        match result {
            Ok(altered) if altered.leader_epoch == leader_epoch => {
                if altered.partition_epoch > self.partition_epoch {
                    self.partition_epoch = altered.partition_epoch;
                    leader.commit_isr(now, altered.isr);
                } else if is_ours && altered.partition_epoch == self.partition_epoch {
                    leader.in_sync.pending = None;
                }
            }
            // not done, and not going to be: back to what is committed
            Err(ErrorCode::IneligibleReplica | ErrorCode::OperationNotAttempted) if is_ours => {
                leader.in_sync.pending = None;
                // the answer would be the same now; the next fetch or image asks again
                return;
            }
            // anything else says that a newer registration exists: it will come with an image, and
            // until then the change may or may not hold
            Ok(_) | Err(_) => return,
        }
        self.advance_high_watermark(now, effects);
        self.expand_isr(effects);
    }
}
