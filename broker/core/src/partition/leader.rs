//! The leader: what may be appended, and who is answered when.

use std::collections::VecDeque;
use std::time::Duration;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::Offset;

use super::follower_state::FollowerState;
use super::hand_over::HandingOver;
use super::in_sync::InSync;
use super::producers::Check;
use super::stranded::Look;
use super::verification::Verifications;
use super::{
    Acks, Appended, Assignment, Batch, Durability, Effect, Effects, Origin, Partition, Role, Token,
};
use crate::planted::{self, Planted};

/// A producer that waits for an offset.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    appended: Appended,
    token: Token,
    /// Whether a client waits, or the coordinator of its transaction, who ask again.
    is_client: bool,
}

/// A DeleteRecords that waits for all live replicas.
#[derive(Clone, Copy, Debug)]
struct Deleting {
    offset: Offset,
    token: Token,
}

/// What a leader knows.
#[derive(Clone, Debug)]
pub(super) struct Leader {
    /// Where its epoch begins: a follower that has not come so far may not join the ISR.
    pub(super) epoch_start_offset: Offset,
    /// The other replicas.
    pub(super) followers: Vec<FollowerState>,
    /// How many replicas may be asked for.
    pub(super) settled_replicas: usize,
    /// Who counts.
    pub(super) in_sync: InSync,
    /// The hand-over that has begun.
    pub(super) handing_over: Option<HandingOver>,
    /// Invariant: in the order of `next_offset`.
    waiting_for_all: VecDeque<Waiting>,
    /// Invariant: in the order of `next_offset`.
    waiting_for_own: VecDeque<Waiting>,
    deleting: Vec<Deleting>,
    /// The last look, where there was no lease.
    pub(super) look: Option<Look>,
    /// Transactions of which the coordinators are being asked.
    pub(super) verifications: Verifications,
}

/// Duplicates wait for an older offset than the newest; all else comes in order.
fn enqueue(queue: &mut VecDeque<Waiting>, waiting: Waiting) {
    let next_offset = waiting.appended.next_offset;
    let place = if queue
        .back()
        .is_none_or(|last| last.appended.next_offset <= next_offset)
    {
        queue.len()
    } else {
        queue.partition_point(|w| w.appended.next_offset <= next_offset)
    };
    queue.insert(place, waiting);
}

fn release(queue: &mut VecDeque<Waiting>, reached: Offset, effects: &mut Effects) {
    while let Some(waiting) = queue.front()
        && waiting.appended.next_offset <= reached
    {
        effects.push(Effect::Acknowledge {
            token: waiting.token,
            result: Ok(waiting.appended),
        });
        queue.pop_front();
    }
}

impl Leader {
    /// Answers clients that wait for what lies below this offset, and those who delete records.
    pub(super) fn refuse_clients(&mut self, end: Offset, error: ErrorCode, effects: &mut Effects) {
        for queue in [&mut self.waiting_for_all, &mut self.waiting_for_own] {
            queue.retain(|waiting| {
                let goes = waiting.is_client && waiting.appended.next_offset <= end;
                if goes {
                    effects.push(Effect::Acknowledge {
                        token: waiting.token,
                        result: Err(error),
                    });
                }
                !goes
            });
        }
        for deleting in self.deleting.drain(..) {
            effects.push(Effect::RecordsDeleted {
                token: deleting.token,
                result: Err(error),
            });
        }
    }

    /// Whether producers wait for what was appended.
    pub(super) fn owes_answers(&self) -> bool {
        !self.waiting_for_all.is_empty() || !self.waiting_for_own.is_empty()
    }
}

impl Partition {
    /// Leads from now on, or goes on to lead with a newer registration.
    pub(super) fn lead(&mut self, now: Duration, assignment: Assignment, effects: &mut Effects) {
        let is_new_epoch = !self.is_leader() || assignment.leader_epoch > self.leader_epoch;
        let is_newer = is_new_epoch || assignment.partition_epoch > self.partition_epoch;
        self.leader_epoch = assignment.leader_epoch;
        self.partition_epoch = assignment.partition_epoch;
        if is_new_epoch {
            self.leader_epochs
                .assign(self.leader_epoch, self.marks.log_end_offset);
        }
        let epoch_start_offset = self.marks.log_end_offset;
        let node = self.node;
        let leader = self.become_leader_role(epoch_start_offset);
        if is_newer {
            leader.commit_isr(now, assignment.isr);
        }
        if is_new_epoch {
            leader.epoch_start_offset = epoch_start_offset;
            leader.handing_over = None;
            if !planted::is(Planted::FollowersOfOldEpoch) {
                leader.followers.clear();
            }
        }
        leader.settled_replicas = assignment.settled_replicas;
        leader.update_followers(now, node, &assignment.replicas);
        if is_new_epoch {
            effects.push(Effect::WakeAll);
            effects.push(Effect::FollowLeader);
        }
        self.follow_successor(now, assignment.successor);
        self.advance_high_watermark(now, effects);
        self.expand_isr(effects);
        self.settle_deletes(effects);
    }

    fn become_leader_role(&mut self, epoch_start_offset: Offset) -> &mut Leader {
        if !self.is_leader() {
            self.role = Role::Leader(Box::new(Leader {
                epoch_start_offset,
                followers: Vec::new(),
                settled_replicas: 0,
                in_sync: InSync::committed(Vec::new()),
                handing_over: None,
                waiting_for_all: VecDeque::new(),
                waiting_for_own: VecDeque::new(),
                deleting: Vec::new(),
                look: None,
                verifications: Verifications::default(),
            }));
        }
        let Role::Leader(leader) = &mut self.role else {
            unreachable!("the role was just set");
        };
        leader
    }

    /// Answers everyone who waits: it is for the next leader to say what became of their records.
    pub(super) fn stop_leading(&mut self, effects: &mut Effects) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let own = leader.waiting_for_own.drain(..);
        for waiting in leader.waiting_for_all.drain(..).chain(own) {
            effects.push(Effect::Acknowledge {
                token: waiting.token,
                result: Err(ErrorCode::NotLeaderOrFollower),
            });
        }
        for deleting in leader.deleting.drain(..) {
            effects.push(Effect::RecordsDeleted {
                token: deleting.token,
                result: Err(ErrorCode::NotLeaderOrFollower),
            });
        }
    }

    /// Whether this replica is where producers find the partition. What it appended while it hands
    /// over, the successor might not have.
    #[must_use]
    pub fn takes(&self, now: Duration, acks: Acks) -> bool {
        let is_vouched = acks == Acks::All;
        self.is_leader()
            && !self.is_handing_over(now)
            && !self.is_stranded()
            && (is_vouched || !self.may_have_handed_over())
    }

    pub(super) fn on_produce(
        &mut self,
        now: Duration,
        (mut batch, origin): (Batch, Origin),
        acks: Acks,
        token: Token,
        effects: &mut Effects,
    ) {
        let mut refuse = |error| {
            effects.push(Effect::Acknowledge {
                token,
                result: Err(error),
            });
        };
        if !self.takes(now, acks) {
            return refuse(ErrorCode::NotLeaderOrFollower);
        }
        if acks == Acks::All && self.is_under_min_isr() {
            return refuse(ErrorCode::NotEnoughReplicas);
        }
        let appended = match self.check(&batch, origin) {
            Check::Rejected(error) => return refuse(error),
            Check::Duplicate(earlier) if !planted::is(Planted::RepeatsAppended) => Appended {
                base_offset: earlier.base_offset,
                next_offset: earlier.last_offset.plus(1),
            },
            Check::Next | Check::Duplicate(_) => {
                self.mark_caught_up(now);
                batch.base_offset = self.marks.log_end_offset;
                batch.leader_epoch = self.leader_epoch;
                effects.push(Effect::Append {
                    base_offset: batch.base_offset,
                    leader_epoch: batch.leader_epoch,
                });
                self.marks.log_end_offset = batch.next_offset();
                self.undos.extend(self.producers.appended(&batch));
                self.settle_verification(&batch, origin);
                effects.push(Effect::WakeFollowers);
                Appended {
                    base_offset: batch.base_offset,
                    next_offset: batch.next_offset(),
                }
            }
        };
        let waiting = Waiting {
            appended,
            token,
            is_client: !matches!(origin, Origin::Coordinator(_)),
        };
        self.wait_for(waiting, acks, effects);
        if self.config.durability == Durability::Replicated {
            self.acknowledge_own(effects);
            self.advance_high_watermark(now, effects);
        }
    }

    fn mark_caught_up(&mut self, now: Duration) {
        let log_end_offset = self.marks.log_end_offset;
        if planted::is(Planted::IdleLag) {
            return;
        }
        if let Role::Leader(leader) = &mut self.role {
            for follower in &mut leader.followers {
                follower.leader_appends(now, log_end_offset);
            }
        }
    }

    fn wait_for(&mut self, waiting: Waiting, acks: Acks, effects: &mut Effects) {
        let appended = waiting.appended;
        let high_watermark = self.marks.high_watermark;
        let own_end_offset = self.own_end_offset();
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let (queue, reached) = match acks {
            Acks::All if planted::is(Planted::AckAtAppend) => (None, appended.next_offset),
            // of acks=0 no client hears, but the request holds its memory until this
            Acks::None | Acks::Leader => (Some(&mut leader.waiting_for_own), own_end_offset),
            Acks::All => (Some(&mut leader.waiting_for_all), high_watermark),
        };
        match queue {
            Some(queue) if appended.next_offset > reached => {
                enqueue(queue, waiting);
            }
            _ => effects.push(Effect::Acknowledge {
                token: waiting.token,
                result: Ok(appended),
            }),
        }
    }

    /// Answers producers with `acks=1` whose records this broker holds.
    pub(super) fn acknowledge_own(&mut self, effects: &mut Effects) {
        let reached = self.own_end_offset();
        if let Role::Leader(leader) = &mut self.role {
            release(&mut leader.waiting_for_own, reached, effects);
        }
    }

    /// Answers producers with `acks=all` whose records are committed.
    pub(super) fn acknowledge_all(&mut self, effects: &mut Effects) {
        let reached = self.marks.high_watermark;
        if let Role::Leader(leader) = &mut self.role {
            release(&mut leader.waiting_for_all, reached, effects);
        }
    }

    pub(super) fn on_delete_records(
        &mut self,
        offset: Option<Offset>,
        token: Token,
        effects: &mut Effects,
    ) {
        let offset = offset.unwrap_or(self.marks.high_watermark);
        let refusal = if !self.is_leader() {
            Some(ErrorCode::NotLeaderOrFollower)
        } else if offset > self.marks.high_watermark {
            Some(ErrorCode::OffsetOutOfRange)
        } else {
            None
        };
        if let Some(error) = refusal {
            effects.push(Effect::RecordsDeleted {
                token,
                result: Err(error),
            });
            return;
        }
        if let Role::Leader(leader) = &mut self.role {
            leader.deleting.push(Deleting { offset, token });
        }
        self.move_log_start(offset, effects);
        self.settle_deletes(effects);
    }

    /// Answers each DeleteRecords that all live replicas have carried out.
    pub(super) fn settle_deletes(&mut self, effects: &mut Effects) {
        let own = self.marks.log_start_offset;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if leader.deleting.is_empty() {
            return;
        }
        let low_watermark = leader
            .followers
            .iter()
            .filter(|follower| follower.eligible.is_some())
            .map(|follower| follower.log_start_offset.unwrap_or(Offset::ZERO))
            .fold(own, Offset::min);
        leader.deleting.retain(|deleting| {
            let is_done = deleting.offset <= low_watermark;
            if is_done {
                effects.push(Effect::RecordsDeleted {
                    token: deleting.token,
                    result: Ok(low_watermark),
                });
            }
            !is_done
        });
    }

    /// Those who wait for more than is there wait for what was not appended.
    pub(super) fn forget_waiting_after(&mut self, offset: Offset) {
        if let Role::Leader(leader) = &mut self.role {
            let is_there = |waiting: &Waiting| waiting.appended.next_offset <= offset;
            leader.waiting_for_all.retain(is_there);
            leader.waiting_for_own.retain(is_there);
        }
    }

    pub(super) fn on_abandoned(&mut self, token: Token) {
        if let Role::Leader(leader) = &mut self.role {
            leader.waiting_for_all.retain(|w| w.token != token);
            leader.waiting_for_own.retain(|w| w.token != token);
            leader.deleting.retain(|d| d.token != token);
        }
    }
}
