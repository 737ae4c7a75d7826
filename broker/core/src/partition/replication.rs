//! The leader's view of its followers, and the high watermark that follows from it.

use std::time::Duration;

use ottla_protocol::ids::{NodeId, Offset};

use super::follower_state::FollowerState;
use super::in_sync::InSync;
use super::leader::Leader;
use super::{Effect, Effects, FollowerFetch, Partition, ReplicaState, Role};
use crate::planted::{self, Planted};

impl Leader {
    /// Takes over who the replicas are and which of them are alive; what is known of those that
    /// stay is kept.
    pub(super) fn update_followers(
        &mut self,
        now: Duration,
        own: NodeId,
        replicas: &[ReplicaState],
    ) {
        let mut before = std::mem::take(&mut self.followers);
        for replica in replicas.iter().filter(|replica| replica.node != own) {
            let known = before.iter().position(|f| f.node == replica.node);
            let follower = match known {
                Some(place) => {
                    let mut follower = before.swap_remove(place);
                    follower.eligible = replica.eligible;
                    follower
                }
                None => {
                    // a member of the ISR gets the whole lag limit to show itself to a new leader
                    let caught_up = self.in_sync.is_member(replica.node).then_some(now);
                    FollowerState::new(replica, caught_up)
                }
            };
            self.followers.push(follower);
        }
    }

    /// The controller has committed this ISR. Who joins holds what is committed and is caught up as
    /// of now: for the rest it has the whole lag limit, or the next look at it would put it out.
    pub(super) fn commit_isr(&mut self, now: Duration, members: Vec<NodeId>) {
        let (followers, before) = (&mut self.followers, &self.in_sync);
        for follower in followers {
            let (was, is) = (
                before.is_member(follower.node),
                members.contains(&follower.node),
            );
            if is && !was {
                follower.joined(now);
            } else if was && !is {
                follower.left();
            }
        }
        self.in_sync = InSync::committed(members);
    }

    pub(super) fn follower_mut(&mut self, node: NodeId) -> Option<&mut FollowerState> {
        self.followers.iter_mut().find(|f| f.node == node)
    }
}

impl Partition {
    pub(super) fn on_follower_fetched(
        &mut self,
        now: Duration,
        fetch: &FollowerFetch,
        effects: &mut Effects,
    ) {
        let leader_end_offset = self.marks.log_end_offset;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(follower) = leader.follower_mut(fetch.node) else {
            return;
        };
        let is_dead = fetch.broker_epoch < follower.broker_epoch;
        if is_dead && !planted::is(Planted::StaleIncarnation) {
            return; // a dead incarnation's fetch, overtaken by the living one's
        }
        let start_moved = follower.log_start_offset != Some(fetch.log_start_offset);
        follower.fetched(now, fetch, leader_end_offset);
        self.advance_high_watermark(now, effects);
        self.expand_isr(effects);
        if start_moved {
            self.settle_deletes(effects);
        }
    }

    /// What each follower has said to hold in this leader's epoch, where this replica leads.
    pub fn follower_ends(&self) -> impl Iterator<Item = (NodeId, Offset)> {
        let followers = match &self.role {
            Role::Leader(leader) => leader.followers.as_slice(),
            Role::Follower(_) | Role::Offline => &[],
        };
        followers
            .iter()
            .filter_map(|f| Some((f.node, f.log_end_offset?)))
    }

    /// Fewer in-sync replicas than producers with `acks=all` were promised. A topic with fewer
    /// replicas than `min.insync.replicas` asks for all it has; those that are being added are not
    /// asked for.
    #[must_use]
    pub fn is_under_min_isr(&self) -> bool {
        let Role::Leader(leader) = &self.role else {
            return false;
        };
        let least = self.config.min_insync_replicas.min(leader.settled_replicas);
        leader.in_sync.members().len() < least
    }

    /// Raises the high watermark to what every replica holds that counts: the maximal ISR (what the
    /// controller may have committed already), and those that keep up and are about to join.
    /// Without waiting for the latter a follower could never reach the high watermark of a busy
    /// partition. Below `min.insync.replicas` it stands still, so that nothing is offered to
    /// readers that a last replica standing could lose (KIP-966).
    pub(super) fn advance_high_watermark(&mut self, now: Duration, effects: &mut Effects) {
        if self.is_under_min_isr() && !planted::is(Planted::LastReplicaStanding) {
            return;
        }
        let mut reached = self.own_end_offset();
        let Role::Leader(leader) = &self.role else {
            return;
        };
        for follower in &leader.followers {
            let counts = leader.in_sync.is_maximal_member(follower.node)
                || (follower.is_eligible()
                    && follower.is_caught_up(
                        now,
                        self.marks.log_end_offset,
                        self.config.replica_lag_time_max,
                    ));
            if counts {
                reached = reached.min(follower.log_end_offset.unwrap_or(Offset::ZERO));
            }
        }
        if reached <= self.marks.high_watermark {
            return;
        }
        self.marks.high_watermark = reached;
        // producers first: they are who is waited for
        self.acknowledge_all(effects);
        effects.push(Effect::WakeConsumers);
    }
}
