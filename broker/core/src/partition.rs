//! One replica of one partition: every decision about its log, its followers and its ISR.
//!
//! ```text
//!              Assigned(leader = me)                 Assigned(leader = other or none)
//!   Offline ─────────────────────────► Leader ──────────────────────────► Follower
//!      ▲ ▲                               │  ▲                                │  │
//!      │ └── WentOffline, not a replica ─┘  └────── Assigned(leader = me) ───┘  │
//!      └───────────────────────── WentOffline, not a replica ───────────────────┘
//! ```
//!
//! A log that failed or is damaged keeps its replica offline, whatever is assigned, until nobody
//! counts on it and it can be made anew out of what the leader has.
//!
//! [`Partition::step`] takes what happened and adds what to do to a list; it waits for nothing and
//! fails at nothing. The driver holds one `Partition` and one log under one lock, and performs the
//! effects in order before it lets go.
//!
//! Invariants, checked after every step:
//! - `log_start_offset <= high_watermark <= log_end_offset`, `flushed_offset <= log_end_offset`;
//! - the high watermark never goes back on a leader, and on a follower only with a truncation;
//! - the high watermark never passes what any member of the maximal ISR has said to hold;
//! - the last stable offset never goes back on a leader, and never passes the high watermark;
//! - a producer with `acks=all` is answered only when the high watermark has passed its batch;
//! - a follower has a position to fetch from only while all it holds is on disk, where that is what
//!   was promised.

use std::time::Duration;

use ottla_protocol::ids::{LeaderEpoch, NodeId, Offset, PartitionEpoch};
use ottla_protocol::log::LeaderEpochs;

use crate::planted::{self, Planted};

mod effect;
mod follower;
mod follower_state;
mod hand_over;
mod in_sync;
mod input;
mod leader;
mod on_the_way;
pub mod producers;
mod reads;
pub mod refused;
mod replication;
mod stranded;
mod verification;

pub use crate::config::Durability;
pub use effect::{AlterIsr, Appended, Effect, Effects};
pub use follower::FetchPosition;
pub use hand_over::{FORWARD_MAX, HAND_OVER_MAX, Reception};
pub use input::{
    Acks, AlteredIsr, Assignment, Batch, Config, Fetched, FollowerFetch, Guard, Input, Loaded,
    Membership, Origin, ReplicaState, Token,
};
pub use on_the_way::{Begun, OnTheWay};
pub use producers::Producers;
pub use reads::{Asker, FetchDecision, FetchFrom, LatestOffset, Reader};

use follower::Follower;
use leader::Leader;

/// The four marks of a log, and how much of it is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The first offset that may be read.
    pub log_start_offset: Offset,
    /// Everything before it is on every in-sync replica: what consumers may read.
    pub high_watermark: Offset,
    /// Everything before it is on this broker's disk.
    pub flushed_offset: Offset,
    /// The offset the next record will have.
    pub log_end_offset: Offset,
}

/// What this replica is at the moment.
#[derive(Clone, Debug)]
enum Role {
    /// Appends, and decides what is committed.
    Leader(Box<Leader>),
    /// Copies the leader, when there is one.
    Follower(Follower),
    /// Neither: not assigned here yet or any more, or its disk failed.
    Offline,
}

/// One replica of one partition.
///
/// Owned by the driver under a lock of its own; nothing else may change it, and no lock of another
/// partition is taken while it is held.
#[derive(Clone, Debug)]
pub struct Partition {
    node: NodeId,
    config: Config,
    marks: Marks,
    leader_epochs: LeaderEpochs,
    producers: Producers,
    /// What takes back the appends of the last step, the newest last.
    undos: Vec<producers::Undo>,
    leader_epoch: LeaderEpoch,
    partition_epoch: PartitionEpoch,
    soundness: Soundness,
    /// Whether the controller is being asked to count on the log no more. The epoch in which it
    /// does may be known here before its answer: to fetch in it would be to say that what is about
    /// to be given up is here.
    is_doubted: bool,
    role: Role,
    /// How many guards were given.
    guards: u64,
}

/// Whether the log is what the marks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Soundness {
    /// It is.
    Sound,
    /// It is not, and others count on it still.
    Failed,
    /// It is damaged, and nobody counts on it from this leader epoch on.
    Lost(LeaderEpoch),
}

impl Partition {
    /// A replica on broker `node` with the log as it was found; offline until it is assigned.
    #[must_use]
    pub fn new(node: NodeId, config: Config, loaded: Loaded) -> Self {
        let marks = Marks {
            log_start_offset: loaded.log_start_offset,
            high_watermark: loaded
                .high_watermark
                .clamp(loaded.log_start_offset, loaded.log_end_offset),
            flushed_offset: loaded.log_end_offset,
            log_end_offset: loaded.log_end_offset,
        };
        Self {
            node,
            config,
            marks,
            leader_epochs: loaded.leader_epochs,
            producers: loaded.producers,
            undos: Vec::new(),
            leader_epoch: LeaderEpoch::NONE,
            partition_epoch: PartitionEpoch(-1),
            soundness: Soundness::Sound,
            is_doubted: false,
            role: Role::Offline,
            guards: 0,
        }
    }

    /// Takes what happened at `now` (since any fixed moment, never going back) and adds what to do
    /// to `effects`.
    pub fn step(&mut self, now: Duration, input: Input<'_>, effects: &mut Effects) {
        let before = (self.marks, self.last_stable_offset());
        let was_leader = self.is_leader();
        let could_fetch = self.fetch_position().is_some();
        let is_undone = matches!(input, Input::AppendFailed(_));
        if !is_undone {
            self.undos.clear();
            self.keep_settled();
        }
        match input {
            Input::Assigned(assignment) => self.on_assigned(now, assignment, effects),
            Input::WentOffline => self.become_offline(effects),
            Input::Failed => self.become_unsound(Soundness::Failed, effects),
            Input::Doubted => self.is_doubted = true,
            Input::Spared => self.is_doubted = false,
            Input::Lost(epoch) => {
                self.is_doubted = false;
                self.become_unsound(Soundness::Lost(epoch), effects);
            }
            Input::Configured(config) => self.on_configured(now, config, effects),
            Input::Produce {
                batch,
                origin,
                acks,
                token,
            } => self.on_produce(now, (batch, origin), acks, token, effects),
            Input::AppendFailed(offset) => self.on_append_failed(offset),
            Input::TruncatedTo(offset) => self.on_truncated(offset),
            Input::Flushed(offset) => self.on_flushed(now, offset, effects),
            Input::FollowerFetched(fetch) => self.on_follower_fetched(now, &fetch, effects),
            Input::Fetched(fetched) => self.on_fetched(&fetched, effects),
            Input::IsrAltered { asked, result } => {
                self.on_isr_altered(now, asked, result, effects);
            }
            Input::HandOverFailed {
                leader_epoch,
                is_refused,
            } => self.on_hand_over_failed(now, leader_epoch, is_refused),
            Input::LagChecked => self.on_lag_checked(now, effects),
            Input::LeaseMissed => self.on_lease_missed(effects),
            Input::LeaseRenewed => self.on_lease_renewed(),
            Input::DeleteRecords { offset, token } => {
                self.on_delete_records(offset, token, effects);
            }
            Input::LogStartMoved(offset) => self.move_log_start(offset, effects),
            Input::ProducersExpired(timestamp) => self.producers.expire(timestamp),
            Input::ProducersLoaded(producers) => self.producers = producers,
            Input::MarkersRemoved(offsets) => self.producers.markers_removed(offsets),
            Input::Abandoned(token) => self.on_abandoned(token),
        }
        self.settle_hand_over(now, effects);
        if !could_fetch && self.fetch_position().is_some() {
            effects.push(Effect::ResumeFetch);
        }
        if self.marks.high_watermark > before.0.high_watermark {
            self.producers.replicated(self.marks.high_watermark);
        }
        if !is_undone {
            self.assert_invariants(before, was_leader);
        }
    }

    /// The marks of the log.
    #[must_use]
    pub fn marks(&self) -> Marks {
        self.marks
    }

    /// Everything before it is decided: no transaction begins before it that is open, or whose end
    /// not all in-sync replicas know.
    #[must_use]
    pub fn last_stable_offset(&self) -> Offset {
        let marks = &self.marks;
        if planted::is(Planted::CommittedIsStable) {
            return marks.high_watermark;
        }
        let transactions = self.producers.transactions();
        let unstable = transactions.first_unstable(marks.high_watermark);
        unstable.map_or(marks.high_watermark, |unstable| {
            unstable.clamp(marks.log_start_offset, marks.high_watermark)
        })
    }

    /// The epoch of the current leader.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// The version of the partition's registration.
    #[must_use]
    pub fn partition_epoch(&self) -> PartitionEpoch {
        self.partition_epoch
    }

    /// The leader, where there is one: this broker or another.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        match &self.role {
            Role::Leader(_) => Some(self.node),
            Role::Follower(follower) => follower.leader,
            Role::Offline => None,
        }
    }

    /// Whether this replica is the leader.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// Whether this replica is neither leader nor follower.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        matches!(self.role, Role::Offline)
    }

    /// The epochs of the log.
    #[must_use]
    pub fn leader_epochs(&self) -> &LeaderEpochs {
        &self.leader_epochs
    }

    /// The producers that wrote to the log.
    #[must_use]
    pub fn producers(&self) -> &Producers {
        &self.producers
    }

    /// The settings it works by.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    fn on_assigned(&mut self, now: Duration, assignment: Assignment, effects: &mut Effects) {
        if assignment.leader_epoch < self.leader_epoch
            || assignment.partition_epoch < self.partition_epoch
        {
            return;
        }
        if !assignment.replicas.iter().any(|r| r.node == self.node) {
            return self.become_offline(effects);
        }
        if !self.becomes_sound(&assignment, effects) {
            self.leader_epoch = assignment.leader_epoch;
            self.partition_epoch = assignment.partition_epoch;
            return;
        }
        if assignment.leader == Some(self.node) {
            self.lead(now, assignment, effects);
        } else {
            self.follow(now, &assignment, effects);
        }
    }

    fn become_offline(&mut self, effects: &mut Effects) {
        self.stop_leading(effects);
        self.role = Role::Offline;
        effects.push(Effect::WakeAll);
        effects.push(Effect::FollowLeader);
    }

    /// Leads and follows nothing until the log is made anew. A log that failed may have lost what
    /// the controller knows of already.
    fn become_unsound(&mut self, soundness: Soundness, effects: &mut Effects) {
        if !matches!(self.soundness, Soundness::Lost(_)) || soundness != Soundness::Failed {
            self.soundness = soundness;
        }
        if !self.is_offline() {
            self.become_offline(effects);
        }
    }

    /// A damaged log is emptied once nobody counts on it: in the epoch that the controller said, or
    /// a later one. Until this replica fetches in it nothing brings it back into the ISR.
    fn becomes_sound(&mut self, assignment: &Assignment, effects: &mut Effects) -> bool {
        let is_counted =
            assignment.leader == Some(self.node) || assignment.isr.contains(&self.node);
        match self.soundness {
            Soundness::Sound => return true,
            Soundness::Failed => return false,
            Soundness::Lost(epoch) if assignment.leader_epoch < epoch || is_counted => {
                return false;
            }
            Soundness::Lost(_) => {}
        }
        self.soundness = Soundness::Sound;
        self.truncate_fully_and_start_at(Offset::ZERO, effects);
        true
    }

    fn on_configured(&mut self, now: Duration, config: Config, effects: &mut Effects) {
        self.config = config;
        self.advance_high_watermark(now, effects);
    }

    /// Nobody has seen what was not appended, so all marks may go back to where they were.
    fn on_append_failed(&mut self, offset: Offset) {
        self.marks.log_end_offset = offset;
        self.marks.high_watermark = self.marks.high_watermark.min(offset);
        // the leader's log may begin beyond what was not appended: it says so again
        self.marks.log_start_offset = self.marks.log_start_offset.min(offset);
        while let Some(undo) = self.undos.pop() {
            self.producers.undo(undo);
        }
        self.unsettle_verification();
        self.leader_epochs.truncate_from_end(offset);
        if self.is_leader() {
            self.leader_epochs.assign(self.leader_epoch, offset);
        }
        self.forget_waiting_after(offset);
    }

    /// What this replica itself holds, by the durability that was promised.
    fn own_end_offset(&self) -> Offset {
        match self.config.durability {
            Durability::Fsync => self.marks.flushed_offset,
            Durability::Replicated => self.marks.log_end_offset,
        }
    }

    fn on_flushed(&mut self, now: Duration, offset: Offset, effects: &mut Effects) {
        let offset = offset.min(self.marks.log_end_offset);
        if offset <= self.marks.flushed_offset {
            return;
        }
        self.marks.flushed_offset = offset;
        if self.config.durability == Durability::Fsync {
            self.acknowledge_own(effects);
            self.advance_high_watermark(now, effects);
        }
    }

    fn move_log_start(&mut self, offset: Offset, effects: &mut Effects) {
        // what is not committed yet may not be dropped: it has not been offered to anyone
        let offset = offset.min(self.marks.high_watermark);
        if offset <= self.marks.log_start_offset {
            return;
        }
        self.marks.log_start_offset = offset;
        self.leader_epochs.truncate_from_start(offset);
        self.producers.truncate_from_start(offset);
        effects.push(Effect::SetLogStartOffset(offset));
        if self.is_leader() {
            effects.push(Effect::WakeFollowers);
            self.settle_deletes(effects);
        }
    }

    fn assert_invariants(&self, (before, stable_before): (Marks, Offset), was_leader: bool) {
        let marks = &self.marks;
        assert!(
            marks.log_start_offset <= marks.high_watermark
                && marks.high_watermark <= marks.log_end_offset,
            "log_start_offset <= high_watermark <= log_end_offset: {marks:?}"
        );
        assert!(
            marks.flushed_offset <= marks.log_end_offset,
            "only what is in the log can be on disk: {marks:?}"
        );
        assert!(
            !self.is_leader() || before.high_watermark <= marks.high_watermark,
            "a leader's high watermark never goes back: {before:?} {marks:?}"
        );
        let stable = self.last_stable_offset();
        assert!(
            !(was_leader && self.is_leader()) || stable_before <= stable,
            "a leader's last stable offset never goes back: {stable_before} to {stable}, {marks:?}"
        );
    }
}

#[cfg(test)]
mod tests;
