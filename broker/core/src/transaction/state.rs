//! The state of one transactional id, and the steps it can take. Each step makes a new state of the
//! old one; which step may be taken when, others decide.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{ProducerEpoch, ProducerId, TopicName};

use super::{Ending, TransactionalId};
use crate::image::MetadataImage;
use crate::planted::{self, Planted};
use crate::shard::Now;

/// Kafka's name of the feature that says by which rules transactions go.
pub const TRANSACTION_VERSION: &str = "transaction.version";

/// By which rules a transaction goes: levels of `transaction.version`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransactionVersion(pub i16);

impl TransactionVersion {
    /// The rules of clients that add partitions themselves.
    pub const FIRST: Self = Self(0);

    /// Every transaction has an epoch of its own, and leaders add partitions (KIP-890).
    pub const SECOND: Self = Self(2);

    /// The level that is finalized for the cluster.
    #[must_use]
    pub fn finalized(image: &MetadataImage) -> Self {
        Self(image.feature(TRANSACTION_VERSION))
    }

    /// Whether the end of a transaction bumps the epoch.
    #[must_use]
    pub fn bumps_epoch(self) -> bool {
        self >= Self::SECOND
    }
}

/// A producer id, and the incarnation of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Producer {
    /// The id.
    pub id: ProducerId,
    /// Its incarnation.
    pub epoch: ProducerEpoch,
}

impl Producer {
    /// From the wire's numbers.
    #[must_use]
    pub fn new(id: i64, epoch: i16) -> Self {
        Self {
            id: ProducerId(id),
            epoch: ProducerEpoch(epoch),
        }
    }

    /// Whether no producer may use a later epoch of this id: the very last one is kept so that this
    /// one can still be fenced.
    #[must_use]
    pub fn is_exhausted(self) -> bool {
        self.epoch.0 >= i16::MAX - 1
    }

    fn bumped(self) -> Self {
        Self {
            epoch: ProducerEpoch(self.epoch.0.saturating_add(1)),
            ..self
        }
    }
}

/// Partitions by topic. Invariant: no topic without one.
pub type Partitions = BTreeMap<TopicName, BTreeSet<i32>>;

/// How far a transaction is. Kafka's `Dead` is not here, for then the id is forgotten; nor is its
/// `PrepareEpochFence`, which it never writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// The producer has begun none.
    Empty,
    /// Partitions were added.
    Ongoing,
    /// It is committed; markers are being written.
    PrepareCommit,
    /// It is aborted; markers are being written.
    PrepareAbort,
    /// It is committed, everywhere.
    CompleteCommit,
    /// It is aborted, everywhere.
    CompleteAbort,
}

impl Status {
    const ALL: [(Self, i8, &'static str); 6] = [
        (Self::Empty, 0, "Empty"),
        (Self::Ongoing, 1, "Ongoing"),
        (Self::PrepareCommit, 2, "PrepareCommit"),
        (Self::PrepareAbort, 3, "PrepareAbort"),
        (Self::CompleteCommit, 4, "CompleteCommit"),
        (Self::CompleteAbort, 5, "CompleteAbort"),
    ];

    /// Names that Kafka knows beside these.
    const OTHER_NAMES: [&'static str; 2] = ["Dead", "PrepareEpochFence"];

    /// Kafka's number for it.
    #[must_use]
    pub fn number(self) -> i8 {
        self as i8
    }

    /// The status of that number.
    #[must_use]
    pub fn of(number: i8) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|known| known.1 == number).map(|known| known.0)
    }

    /// Kafka's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        let mut all = Self::ALL.into_iter();
        all.find(|known| known.0 == self)
            .map_or("", |known| known.2)
    }

    /// Whether Kafka has a state of that name.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        let known = Self::ALL.iter().any(|known| known.2 == name);
        known || Self::OTHER_NAMES.contains(&name)
    }

    /// Whether markers are being written.
    #[must_use]
    pub fn is_prepared(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }

    /// Whether the id may be forgotten: nothing of it is under way.
    #[must_use]
    pub fn may_expire(self) -> bool {
        matches!(
            self,
            Self::Empty | Self::CompleteCommit | Self::CompleteAbort
        )
    }
}

/// The state of one transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Whose transactions they are. While a transaction is prepared, its markers bear this.
    pub producer: Producer,
    /// The producer id before the last step; a retry of what changed it is known by it.
    pub previous_id: ProducerId,
    /// The producer id that the client goes on with once the transaction is complete; none where
    /// it keeps the one it has.
    pub next_id: ProducerId,
    /// The epoch before the last bump, where a retry of that bump may still come; else -1.
    pub last_epoch: ProducerEpoch,
    /// How long a transaction may be ongoing.
    pub timeout_ms: i32,
    /// How far the transaction is.
    pub status: Status,
    /// Where the transaction's records are.
    pub partitions: Partitions,
    /// When the transaction began, -1 where there is none.
    pub start_ms: i64,
    /// When this state was made.
    pub update_ms: i64,
    /// By which rules the last step was made.
    pub version: TransactionVersion,
}

/// No epoch.
pub const NO_EPOCH: ProducerEpoch = ProducerEpoch(-1);

/// A timeout that never comes: of a transaction that another coordinator commits (KIP-939).
pub const NEVER_MS: i32 = i32::MAX;

impl Transaction {
    /// An id that nobody had before.
    #[must_use]
    pub fn first(id: ProducerId, timeout_ms: i32, now: Now) -> Self {
        Self {
            producer: Producer::new(id.0, 0),
            previous_id: ProducerId::NONE,
            next_id: ProducerId::NONE,
            last_epoch: NO_EPOCH,
            timeout_ms,
            status: Status::Empty,
            partitions: Partitions::new(),
            start_ms: -1,
            update_ms: now.wall_ms,
            version: TransactionVersion::FIRST,
        }
    }

    /// What every step changes. No two states of an id have the same time, whatever the clock says:
    /// by it the end of a transaction is told from that of the next one, which may have the same
    /// producer and epoch.
    fn step(&self, now: Now) -> Self {
        Self {
            previous_id: self.producer.id,
            update_ms: now.wall_ms.max(self.update_ms.saturating_add(1)),
            ..self.clone()
        }
    }

    /// A producer begins anew; where that is a retry, the next retry is known as well.
    pub(super) fn begun(
        &self,
        producer: Producer,
        last_epoch: ProducerEpoch,
        timeout_ms: i32,
        now: Now,
    ) -> Self {
        let is_same = producer == self.producer;
        Self {
            producer,
            previous_id: if is_same {
                self.previous_id
            } else {
                self.producer.id
            },
            last_epoch,
            timeout_ms,
            status: Status::Empty,
            partitions: Partitions::new(),
            start_ms: -1,
            ..self.step(now)
        }
    }

    /// Partitions are added: a transaction begins, or goes on.
    pub(super) fn with(&self, added: &Partitions, version: TransactionVersion, now: Now) -> Self {
        let mut partitions = self.partitions.clone();
        for (topic, indexes) in added {
            let known = partitions.entry(topic.clone()).or_default();
            known.extend(indexes);
        }
        let is_ongoing = self.status == Status::Ongoing;
        Self {
            status: Status::Ongoing,
            partitions,
            start_ms: if is_ongoing {
                self.start_ms
            } else {
                now.wall_ms
            },
            version,
            ..self.step(now)
        }
    }

    /// The client ends it by the first rules: its epoch stays.
    pub(super) fn ended(&self, is_commit: bool, now: Now) -> Self {
        Self {
            status: prepared(is_commit),
            next_id: ProducerId::NONE,
            version: TransactionVersion::FIRST,
            ..self.step(now)
        }
    }

    /// The coordinator aborts it by the first rules: the producer is fenced by a bump.
    pub(super) fn fenced(&self, now: Now) -> Self {
        Self {
            producer: self.producer.bumped(),
            last_epoch: NO_EPOCH,
            ..self.ended(false, now)
        }
    }

    /// It ends by the second rules: the epoch is bumped, and where there is none left, `next_id`
    /// follows.
    pub(super) fn ended_with_bump(
        &self,
        is_commit: bool,
        next_id: ProducerId,
        version: TransactionVersion,
        now: Now,
    ) -> Self {
        let is_begun = self.status == Status::Ongoing;
        Self {
            producer: self.producer.bumped(),
            last_epoch: self.producer.epoch,
            next_id,
            status: prepared(is_commit),
            start_ms: if is_begun { self.start_ms } else { now.wall_ms },
            version,
            ..self.step(now)
        }
    }

    /// All its markers are written.
    pub(super) fn completed(&self, now: Now) -> Self {
        let has_next = self.version.bumps_epoch() && self.next_id != ProducerId::NONE;
        let is_commit = self.status == Status::PrepareCommit;
        Self {
            producer: match has_next {
                true => Producer::new(self.next_id.0, 0),
                false => self.producer,
            },
            next_id: ProducerId::NONE,
            status: match is_commit {
                true => Status::CompleteCommit,
                false => Status::CompleteAbort,
            },
            partitions: Partitions::new(),
            ..self.step(now)
        }
    }

    /// Whether it is this producer's.
    ///
    /// # Errors
    /// What another one is told.
    pub(super) fn check_producer(&self, producer: Producer) -> Result<(), ErrorCode> {
        if self.producer.id != producer.id {
            Err(ErrorCode::InvalidProducerIdMapping)
        } else if self.producer.epoch != producer.epoch && !planted::is(Planted::EpochUnseen) {
            Err(ErrorCode::ProducerFenced)
        } else {
            Ok(())
        }
    }

    /// Whether all of `partitions` are in it.
    #[must_use]
    pub fn has(&self, partitions: &Partitions) -> bool {
        partitions.iter().all(|(topic, indexes)| {
            let known = self.partitions.get(topic);
            known.is_some_and(|known| indexes.is_subset(known))
        })
    }

    /// The markers to be written, where it is prepared.
    pub(super) fn ending(&self, id: &TransactionalId) -> Option<Ending> {
        self.status.is_prepared().then(|| Ending {
            transactional_id: id.clone(),
            producer: self.producer,
            is_commit: self.status == Status::PrepareCommit,
            partitions: self.partitions.clone(),
            version: self.version,
            prepared_ms: self.update_ms,
        })
    }

    /// When its time is over, while it is ongoing.
    ///
    /// It is counted by the clock of deadlines from now on, and by the age of its beginning before:
    /// so a jump of the wall clock ends nothing early, nor late by more than the timeout.
    pub(super) fn deadline_ms(&self, now: Now) -> Option<u64> {
        if self.status != Status::Ongoing || self.timeout_ms == NEVER_MS {
            return None;
        }
        let timeout_ms = i64::from(self.timeout_ms.max(0));
        let passed_ms = now.age_ms.saturating_sub(self.start_ms);
        let left_ms = timeout_ms - passed_ms.clamp(0, timeout_ms);
        Some(now.monotonic_ms + left_ms.unsigned_abs())
    }
}

fn prepared(is_commit: bool) -> Status {
    match is_commit {
        true => Status::PrepareCommit,
        false => Status::PrepareAbort,
    }
}
