//! What the leader knows of one follower: how far it holds the log, and when it last had all of it.

use std::time::Duration;

use ottla_protocol::ids::{BrokerEpoch, NodeId, Offset};

use super::{FollowerFetch, ReplicaState};
use crate::planted::{self, Planted};

/// What the leader knows of one follower.
#[derive(Clone, Debug)]
pub(super) struct FollowerState {
    pub(super) node: NodeId,
    /// Its incarnation where it may join the ISR, by the metadata image.
    pub(super) eligible: Option<BrokerEpoch>,
    /// Its incarnation by its own word, with its last fetch.
    pub(super) broker_epoch: Option<BrokerEpoch>,
    /// What it holds; unknown until it has fetched in this leader epoch, and while its log is empty
    /// and the leader's is not.
    pub(super) log_end_offset: Option<Offset>,
    pub(super) log_start_offset: Option<Offset>,
    /// When it last had everything that there was.
    last_caught_up: Option<Duration>,
    /// Where it was when it left the ISR last.
    left_at: Option<Offset>,
    /// When it last fetched, and where the log ended then.
    last_fetch: Option<(Duration, Offset)>,
}

impl FollowerState {
    pub(super) fn new(replica: &ReplicaState, last_caught_up: Option<Duration>) -> Self {
        Self {
            node: replica.node,
            eligible: replica.eligible,
            broker_epoch: None,
            log_end_offset: None,
            log_start_offset: None,
            last_caught_up,
            left_at: None,
            last_fetch: None,
        }
    }

    /// It counts as caught up from a fetch that asked for the end of the log, or for where the end
    /// was when it fetched before: under load it is always one fetch behind.
    pub(super) fn fetched(
        &mut self,
        now: Duration,
        fetch: &FollowerFetch,
        leader_end_offset: Offset,
    ) {
        if fetch.fetch_offset >= leader_end_offset {
            self.last_caught_up = Some(now);
        } else if let Some((at, end_then)) = self.last_fetch
            && fetch.fetch_offset >= end_then
        {
            self.last_caught_up = self.last_caught_up.max(Some(at));
        }
        self.last_fetch = Some((now, leader_end_offset));
        // an empty log holds nothing, wherever it begins: it goes back to the beginning of a batch
        // that the leader's log starts within
        let is_empty = fetch.fetch_offset == fetch.log_start_offset;
        let holds_nothing = is_empty && fetch.fetch_offset < leader_end_offset;
        self.log_end_offset = (!holds_nothing).then_some(fetch.fetch_offset);
        self.log_start_offset = Some(fetch.log_start_offset);
        self.broker_epoch = fetch.broker_epoch;
    }

    /// It is in sync from now on.
    pub(super) fn joined(&mut self, now: Duration) {
        self.last_caught_up = self.last_caught_up.max(Some(now));
    }

    /// It is not in sync any more.
    pub(super) fn left(&mut self) {
        self.left_at = self.log_end_offset;
    }

    /// Whether it has got something since it left, or there is nothing to be got.
    pub(super) fn has_moved_on(&self, leader_end_offset: Offset) -> bool {
        self.log_end_offset == Some(leader_end_offset) || self.log_end_offset > self.left_at
    }

    /// The leader's log is about to grow from here. Who has all of it until now is caught up at
    /// this moment, however long there was nothing to fetch.
    pub(super) fn leader_appends(&mut self, now: Duration, leader_end_offset: Offset) {
        if self.log_end_offset == Some(leader_end_offset) {
            self.last_caught_up = Some(now);
        }
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
        let is_same = self.eligible == self.broker_epoch;
        self.eligible.is_some() && (is_same || planted::is(Planted::StaleIncarnation))
    }
}
