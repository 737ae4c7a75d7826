//! What a partition is told.

use std::time::Duration;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{
    BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch, ProducerEpoch, ProducerId, Sequence,
};
use ottla_protocol::log::LeaderEpochs;
use ottla_protocol::record::ControlRecord;

use super::Producers;
use super::producers::Open;
use crate::config::Durability;

/// Names a request that waits; the driver gives it and gets it back with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub u32);

/// What of the settings of topic and broker decides here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// `min.insync.replicas`.
    pub min_insync_replicas: usize,
    /// Whether offsets count when flushed or when in memory.
    pub durability: Durability,
    /// `replica.lag.time.max.ms`.
    pub replica_lag_time_max: Duration,
    /// Whether `cleanup.policy` has `compact`: batches may be gone from within the log.
    pub is_compacted: bool,
}

/// What was found in the log when it was opened.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The first offset that may be read.
    pub log_start_offset: Offset,
    /// The offset the next record will have. All before it is on disk.
    pub log_end_offset: Offset,
    /// The last checkpoint of the high watermark; brought within the log.
    pub high_watermark: Offset,
    /// The epochs of its batches.
    pub leader_epochs: LeaderEpochs,
    /// The producers that wrote to it.
    pub producers: Producers,
}

/// The header of a record batch, as far as it decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The offset of the first record; on a produce not yet known, then ignored.
    pub base_offset: Offset,
    /// The offset of the last record relative to the first.
    pub last_offset_delta: i32,
    /// The epoch of the leader that appended it; on a produce ignored.
    pub leader_epoch: LeaderEpoch,
    /// The idempotent producer, or [`ProducerId::NONE`].
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    /// The sequence of the first record.
    pub base_sequence: Sequence,
    /// The newest timestamp of the records.
    pub max_timestamp: i64,
    /// Part of a transaction.
    pub is_transactional: bool,
    /// Holds a control record instead of data.
    pub is_control: bool,
    /// The marker that it holds; none in a batch of data, nor in one that compaction has emptied.
    pub marker: Option<ControlRecord>,
}

impl Batch {
    /// The offset of the last record.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.base_offset.plus(i64::from(self.last_offset_delta))
    }

    /// The offset after the last record.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.last_offset().plus(1)
    }

    /// The sequence of the last record.
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        super::producers::sequence_after(self.base_sequence, self.last_offset_delta)
    }
}

/// One replica as the metadata image has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaState {
    /// The broker.
    pub node: NodeId,
    /// Its incarnation, where it is registered, unfenced and not shutting down; `None` where it may
    /// not join the ISR.
    pub eligible: Option<BrokerEpoch>,
}

/// What the metadata image says of the partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The leader, where there is one.
    pub leader: Option<NodeId>,
    /// Whom it is to hand over to.
    pub successor: Option<NodeId>,
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
    /// The version of all this.
    pub partition_epoch: PartitionEpoch,
    /// All replicas, preferred leader first.
    pub replicas: Vec<ReplicaState>,
    /// How many of them `min.insync.replicas` can ask for, by the controller's count.
    pub settled_replicas: usize,
    /// The in-sync replicas.
    pub isr: Vec<NodeId>,
}

/// How many copies a producer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Does not wait.
    None,
    /// Waits for the leader's own copy.
    Leader,
    /// Waits for the whole ISR.
    All,
}

/// Names one attempt to have a transaction verified (KIP-890): what its coordinator answers counts
/// only for as long as no marker has come meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Guard(pub(super) u64);

/// How a client's batch takes part in its transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// What [`super::Partition::verification`] gave before the coordinator was asked.
    pub guard: Option<Guard>,
    /// Each transaction of the client has an epoch of its own (transaction.version 2), so that its
    /// first batch has the sequence 0.
    pub has_own_epoch: bool,
}

/// Who appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client.
    Client(Membership),
    /// A coordinator of groups: its own records, or a client's offsets in a transaction, with a
    /// guard as of a client's batch.
    Coordinator(Option<Guard>),
    /// A coordinator of transactions: a marker.
    Marker {
        /// The transaction.version that the transaction was begun in.
        transaction_version: i8,
        /// The one transaction that it may end; none where its coordinator says which.
        of: Option<Open>,
    },
}

/// A follower asks for what it does not have: it says what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerFetch {
    /// The follower.
    pub node: NodeId,
    /// Its incarnation, where it says so (Fetch 15+).
    pub broker_epoch: Option<BrokerEpoch>,
    /// Everything before this offset is on the follower, flushed where [`Durability::Fsync`].
    pub fetch_offset: Offset,
    /// The first offset of the follower's log.
    pub log_start_offset: Offset,
}

/// A leader's answer to our fetch.
#[derive(Clone, Copy, Debug)]
pub struct Fetched<'a> {
    /// The leader epoch the fetch was sent in; an answer from another epoch is stale.
    pub leader_epoch: LeaderEpoch,
    /// The offset the fetch asked for; an answer to another position is stale.
    pub fetch_offset: Offset,
    /// Kafka's error.
    pub error: Option<ErrorCode>,
    /// Our log departs from the leader's: the leader's last epoch at or below ours, and where it
    /// ends.
    pub diverging: Option<(LeaderEpoch, Offset)>,
    /// The leader's high watermark.
    pub high_watermark: Offset,
    /// The first offset of the leader's log.
    pub log_start_offset: Offset,
    /// The batches that came.
    pub batches: &'a [Batch],
}

/// What the controller made of our AlterPartition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlteredIsr {
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
    /// The version that this is.
    pub partition_epoch: PartitionEpoch,
    /// The ISR that now holds.
    pub isr: Vec<NodeId>,
}

/// What a partition is told. Facts in the past tense, requests as nouns.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// A metadata image was published that has this partition, or a broker of its replicas,
    /// changed.
    Assigned(Assignment),
    /// The partition no longer belongs here, or its disk failed.
    WentOffline,
    /// The log failed in the midst of an effect: what it holds is not what the marks say.
    Failed,
    /// The log is damaged, and the controller is being asked to count on it no more.
    Doubted,
    /// The controller said no: what is here is not given up.
    Spared,
    /// The log is damaged, and the controller counts on it no more as of this leader epoch: it may
    /// be made anew.
    Lost(LeaderEpoch),
    /// The settings of the topic or broker changed.
    Configured(Config),
    /// A batch to append.
    Produce {
        /// Its header.
        batch: Batch,
        /// Whose it is.
        origin: Origin,
        /// What to wait for.
        acks: Acks,
        /// Whom to answer.
        token: Token,
    },
    /// The log refused the append that the last step asked for; it still ends at this offset. The
    /// driver has dropped that step's other effects and answers its producer itself.
    AppendFailed(Offset),
    /// The log was cut here, before where the last step asked for: there is a batch across that
    /// place, where the leader's log starts within one of its own.
    TruncatedTo(Offset),
    /// Everything before the offset is on this broker's disk.
    Flushed(Offset),
    /// A follower asked for more.
    FollowerFetched(FollowerFetch),
    /// The leader answered our fetch.
    Fetched(Fetched<'a>),
    /// The controller answered our AlterPartition.
    IsrAltered {
        /// The version that the request wanted to change.
        asked: PartitionEpoch,
        /// What the controller made of it.
        result: Result<AlteredIsr, ErrorCode>,
    },
    /// The controller did not take the hand-over that was asked for.
    HandOverFailed {
        /// The epoch that was to end with it.
        leader_epoch: LeaderEpoch,
        /// The controller has said no; else it may have done it, or do it yet.
        is_refused: bool,
    },
    /// Time has passed: are followers behind?
    LagChecked,
    /// It was looked, as from time to time, and this broker has no lease.
    LeaseMissed,
    /// After that: it has one again.
    LeaseRenewed,
    /// Records before the offset shall go.
    DeleteRecords {
        /// The first offset to keep; `None` for the high watermark.
        offset: Option<Offset>,
        /// Whom to answer.
        token: Token,
    },
    /// Retention wants the log to start here.
    LogStartMoved(Offset),
    /// Producers that have not written since this timestamp may be forgotten.
    ProducersExpired(i64),
    /// After a truncation: the producers of what is left.
    ProducersLoaded(Producers),
    /// Compaction has removed the markers at these offsets, which rise, after all that they ended.
    MarkersRemoved(&'a [Offset]),
    /// Nobody waits for this answer any more.
    Abandoned(Token),
}
