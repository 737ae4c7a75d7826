//! The leader's view of its followers, and the high watermark that follows from it.

use std::time::Duration;

use ottla_protocol::ids::{BrokerEpoch, NodeId, Offset};

use super::leader::Leader;
use super::{Effect, Effects, FollowerFetch, Partition, ReplicaState, Role};

/// What the leader knows of one follower.
#[derive(Clone, Debug)]
pub(super) struct FollowerState {
    pub(super) node: NodeId,
    /// Its incarnation where it may join the ISR, by the metadata image.
    pub(super) eligible: Option<BrokerEpoch>,
    /// Its incarnation by its own word, with its last fetch.
    pub(super) broker_epoch: Option<BrokerEpoch>,
    /// What it holds; unknown until it has fetched in this leader epoch.
    pub(super) log_end_offset: Option<Offset>,
    pub(super) log_start_offset: Option<Offset>,
    /// When it last had everything that there was.
    last_caught_up: Option<Duration>,
    /// When it last fetched, and where the log ended then.
    last_fetch: Option<(Duration, Offset)>,
}

impl FollowerState {
    fn new(replica: &ReplicaState) -> Self {
        Self {
            node: replica.node,
            eligible: replica.eligible,
            broker_epoch: None,
            log_end_offset: None,
            log_start_offset: None,
            last_caught_up: None,
            last_fetch: None,
        }
    }

    /// It counts as caught up from a fetch that asked for the end of the log, or for where the end
    /// was when it fetched before: under load it is always one fetch behind.
    fn fetched(&mut self, now: Duration, fetch: &FollowerFetch, leader_end_offset: Offset) {
        if fetch.fetch_offset >= leader_end_offset {
            self.last_caught_up = Some(now);
        } else if let Some((at, end_then)) = self.last_fetch
            && fetch.fetch_offset >= end_then
        {
            self.last_caught_up = self.last_caught_up.max(Some(at));
        }
        self.last_fetch = Some((now, leader_end_offset));
        self.log_end_offset = Some(fetch.fetch_offset);
        self.log_start_offset = Some(fetch.log_start_offset);
        self.broker_epoch = fetch.broker_epoch;
    }

    pub(super) fn is_caught_up(
        &self,
        now: Duration,
        leader_end_offset: Offset,
        lag_max: Duration,
    ) -> bool {
        self.log_end_offset == Some(leader_end_offset)
            || self
                .last_caught_up
                .is_some_and(|at| now.saturating_sub(at) <= lag_max)
    }

    /// It may join the ISR: alive, and the incarnation that fetched is the one that is registered
    /// (KIP-903).
    pub(super) fn is_eligible(&self) -> bool {
        self.eligible.is_some() && self.eligible == self.broker_epoch
    }
}

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
                    let mut follower = FollowerState::new(replica);
                    // a member of the ISR gets the whole lag limit to show itself to a new leader
                    if self.in_sync.is_member(replica.node) {
                        follower.last_caught_up = Some(now);
                    }
                    follower
                }
            };
            self.followers.push(follower);
        }
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
        if fetch.broker_epoch < follower.broker_epoch {
            return; // a dead incarnation's fetch, overtaken by the living one's
        }
        let start_moved = follower.log_start_offset != Some(fetch.log_start_offset);
        follower.fetched(now, fetch, leader_end_offset);
        self.expand_isr(effects);
        self.advance_high_watermark(now, effects);
        if start_moved {
            self.settle_deletes(effects);
        }
    }

    /// Fewer in-sync replicas than producers with `acks=all` were promised. A topic with fewer
    /// replicas than `min.insync.replicas` asks for all it has.
    #[must_use]
    pub fn is_under_min_isr(&self) -> bool {
        let Role::Leader(leader) = &self.role else {
            return false;
        };
        let replicas = leader.followers.len() + 1;
        leader.in_sync.members().len() < self.config.min_insync_replicas.min(replicas)
    }

    /// Raises the high watermark to what every replica holds that counts: the maximal ISR (what the
    /// controller may have committed already), and those that keep up and are about to join.
    /// Without waiting for the latter a follower could never reach the high watermark of a busy
    /// partition. Below `min.insync.replicas` it stands still, so that nothing is offered to
    /// readers that a last replica standing could lose (KIP-966).
    pub(super) fn advance_high_watermark(&mut self, now: Duration, effects: &mut Effects) {
        if self.is_under_min_isr() {
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
