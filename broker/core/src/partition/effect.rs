//! What a partition wants done. The driver performs effects in the order they are given.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch};

use super::Token;

/// A batch was appended, or was there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// The offset after its last record.
    pub next_offset: Offset,
}

/// The ISR that the leader wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterIsr {
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
    /// The version that this changes.
    pub partition_epoch: PartitionEpoch,
    /// The wanted members, each with the incarnation that is in sync (KIP-903).
    pub isr: Vec<(NodeId, BrokerEpoch)>,
}

/// What a partition wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Stamp the produced batch with this offset and epoch, and append it.
    Append {
        /// Its base offset.
        base_offset: Offset,
        /// The epoch of the leader: ours.
        leader_epoch: LeaderEpoch,
    },
    /// Append the fetched batches from this index on, as they are.
    AppendFetched {
        /// The index of the first batch that is not in the log yet.
        first: usize,
    },
    /// Cut the log here.
    TruncateTo(Offset),
    /// Drop all of the log, which starts anew here.
    TruncateFullyAndStartAt(Offset),
    /// After a truncation: read the producers anew from what is left, before anything else is
    /// appended.
    ReloadProducers,
    /// Records before this offset are gone; segments may follow.
    SetLogStartOffset(Offset),
    /// Answer a produce.
    Acknowledge {
        /// Whom.
        token: Token,
        /// With what.
        result: Result<Appended, ErrorCode>,
    },
    /// Answer a DeleteRecords with the low watermark.
    RecordsDeleted {
        /// Whom.
        token: Token,
        /// With what.
        result: Result<Offset, ErrorCode>,
    },
    /// Ask the controller for this ISR, until it answers or the leader epoch changes.
    AlterIsr(AlterIsr),
    /// The successor has every byte of the leader of this epoch: ask the controller for the change.
    HandOver(LeaderEpoch),
    /// The log has grown or its start has moved: followers want to know.
    WakeFollowers,
    /// There is more to read: consumers want to know.
    WakeConsumers,
    /// The role changed: everybody who waits has to look again.
    WakeAll,
    /// Whom to fetch from, or from where, has changed: the fetchers want to know.
    FollowLeader,
    /// There is a position to fetch from again: what was appended is on disk.
    ResumeFetch,
}

/// The effects of one step or several, in order.
pub type Effects = Vec<Effect>;
