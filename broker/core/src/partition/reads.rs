//! Who may read what: fetches, offsets by epoch, the latest offset.
//!
//! Invariant: without a lease a leader tells clients nothing of its log, nor once it has asked to
//! be replaced. Another may lead by now, have more and have dropped some, so that even "there is no
//! such offset" may be wrong.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, NodeId, Offset};

use super::{Partition, Role};
use crate::planted::{self, Planted};

/// Who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A consumer: what is committed.
    Consumer {
        /// Only what no open transaction may still take back.
        read_committed: bool,
        /// May also be answered by a follower (KIP-392).
        any_replica: bool,
    },
    /// A follower: all of the leader's log.
    Follower(NodeId),
}

/// Who asks a leader about its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A replica, which the leader epoch tells enough.
    Replica,
    /// A client.
    Client {
        /// Whether this broker's lease stands, so that nobody else leads what it leads.
        has_lease: bool,
    },
}

/// What a reader asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchFrom {
    /// Who.
    pub reader: Reader,
    /// Whether this broker's lease stands.
    pub has_lease: bool,
    /// From where.
    pub fetch_offset: Offset,
    /// The leader epoch the reader knows of (KIP-320).
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// The epoch of the record before `fetch_offset` in the reader's log or memory.
    pub last_fetched_epoch: Option<LeaderEpoch>,
}

/// What it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchDecision {
    /// Records from the offset asked for up to this one, which may be the same.
    Read {
        /// The first offset that may not be read.
        end_offset: Offset,
    },
    /// The reader's log departs from ours.
    Diverging {
        /// Our last epoch at or below the reader's.
        leader_epoch: LeaderEpoch,
        /// Where it ends.
        end_offset: Offset,
    },
    /// Nothing, and why.
    Rejected(ErrorCode),
}

/// Whose latest offset is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatestOffset {
    /// A consumer that reads everything committed.
    ReadUncommitted,
    /// A consumer that reads only what is decided.
    ReadCommitted,
    /// A replica.
    Replica,
}

impl Partition {
    /// Whether a reader may fetch, and how far.
    #[must_use]
    pub fn fetch_from(&self, from: &FetchFrom) -> FetchDecision {
        if let Some(error) = self.refusal(from) {
            return FetchDecision::Rejected(error);
        }
        if let Some(last_fetched_epoch) = from.last_fetched_epoch {
            let end = self.epoch_end_offset(last_fetched_epoch);
            let Some((leader_epoch, end_offset)) = end else {
                return FetchDecision::Rejected(ErrorCode::OffsetOutOfRange);
            };
            let is_other =
                leader_epoch < last_fetched_epoch && !planted::is(Planted::LargestEpochIgnored);
            if is_other || end_offset < from.fetch_offset {
                return FetchDecision::Diverging {
                    leader_epoch,
                    end_offset,
                };
            }
        }
        let marks = &self.marks;
        if from.fetch_offset < marks.log_start_offset || from.fetch_offset > marks.log_end_offset {
            return FetchDecision::Rejected(ErrorCode::OffsetOutOfRange);
        }
        let end_offset = match from.reader {
            Reader::Follower(_) => marks.log_end_offset,
            Reader::Consumer { .. } if planted::is(Planted::UncommittedReads) => {
                marks.log_end_offset
            }
            Reader::Consumer {
                read_committed: true,
                ..
            } => self.last_stable_offset(),
            Reader::Consumer { .. } => marks.high_watermark,
        };
        FetchDecision::Read {
            end_offset: end_offset.max(from.fetch_offset),
        }
    }

    fn refusal(&self, from: &FetchFrom) -> Option<ErrorCode> {
        let asker = match from.reader {
            Reader::Follower(_) => Asker::Replica,
            Reader::Consumer { .. } => Asker::Client {
                has_lease: from.has_lease,
            },
        };
        let is_served = match (&self.role, from.reader) {
            (Role::Leader(leader), Reader::Follower(node)) => {
                leader.followers.iter().any(|f| f.node == node)
            }
            (Role::Leader(_), Reader::Consumer { .. }) => true,
            (Role::Follower(_), Reader::Consumer { any_replica, .. }) => any_replica,
            (Role::Follower(_), Reader::Follower(_)) | (Role::Offline, _) => false,
        };
        self.lease_refusal(asker)
            .or(self.epoch_refusal(from.current_leader_epoch))
            .or((!is_served).then_some(ErrorCode::NotLeaderOrFollower))
    }

    /// Why a leader says nothing at all to this asker.
    fn lease_refusal(&self, asker: Asker) -> Option<ErrorCode> {
        let is_mute = match asker {
            Asker::Replica => false,
            Asker::Client { has_lease } => !has_lease || self.may_have_handed_over(),
        };
        (is_mute && self.is_leader()).then_some(ErrorCode::NotLeaderOrFollower)
    }

    /// Whether this replica answers as the leader. Every answer to a question other than a fetch
    /// begins here.
    ///
    /// # Errors
    /// Kafka's.
    pub fn answers_as_leader(
        &self,
        asker: Asker,
        current_leader_epoch: Option<LeaderEpoch>,
    ) -> Result<(), ErrorCode> {
        let refusal = self
            .lease_refusal(asker)
            .or(self.epoch_refusal(current_leader_epoch))
            .or((!self.is_leader()).then_some(ErrorCode::NotLeaderOrFollower));
        refusal.map_or(Ok(()), Err)
    }

    /// The in-sync followers that hold the record at `offset`, the furthest first (KIP-392).
    #[must_use]
    pub fn followers_at(&self, offset: Offset) -> Vec<NodeId> {
        let Role::Leader(leader) = &self.role else {
            return Vec::new();
        };
        let mut holders: Vec<_> = leader
            .followers
            .iter()
            .filter(|f| leader.in_sync.is_member(f.node) && f.is_eligible())
            .filter(|f| f.log_end_offset >= Some(offset) && f.log_start_offset <= Some(offset))
            .map(|f| (f.log_end_offset, f.node))
            .collect();
        holders.sort_by_key(|(end, node)| (std::cmp::Reverse(*end), *node));
        holders.into_iter().map(|(_, node)| node).collect()
    }

    /// Compares the leader epoch that a request names with ours.
    #[must_use]
    pub fn epoch_refusal(&self, current_leader_epoch: Option<LeaderEpoch>) -> Option<ErrorCode> {
        match current_leader_epoch {
            Some(_) if planted::is(Planted::UnfencedFetch) => None,
            Some(epoch) if epoch < self.leader_epoch => Some(ErrorCode::FencedLeaderEpoch),
            Some(epoch) if epoch > self.leader_epoch => Some(ErrorCode::UnknownLeaderEpoch),
            Some(_) | None => None,
        }
    }

    /// Where the records of an epoch end here (OffsetForLeaderEpoch).
    #[must_use]
    pub fn epoch_end_offset(&self, leader_epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        self.leader_epochs
            .end_offset_for(leader_epoch, self.marks.log_end_offset)
    }

    /// The latest offset for a kind of reader. A new leader does not answer consumers before its
    /// high watermark has come to its epoch: it would be an older one than the last leader gave
    /// (KIP-207).
    pub fn latest_offset(&self, kind: LatestOffset) -> Result<Offset, ErrorCode> {
        let Role::Leader(leader) = &self.role else {
            return Err(ErrorCode::NotLeaderOrFollower);
        };
        if kind == LatestOffset::Replica {
            return Ok(self.marks.log_end_offset);
        }
        if self.marks.high_watermark < leader.epoch_start_offset {
            return Err(ErrorCode::OffsetNotAvailable);
        }
        Ok(match kind {
            LatestOffset::ReadCommitted => self.last_stable_offset(),
            LatestOffset::ReadUncommitted | LatestOffset::Replica => self.marks.high_watermark,
        })
    }
}
