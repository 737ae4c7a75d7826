//! Transactions that begin here (KIP-890): the first batch of one is appended only after its
//! coordinator was asked, and only while no marker has come since. Else a batch that was late could
//! open a transaction that nobody ends, and hold up consumers for good.

use std::collections::BTreeMap;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{ProducerEpoch, ProducerId, Sequence};

use super::producers::{Check, EPOCH_PER_TRANSACTION};
use super::refused::is_after;
use super::{Batch, Guard, Origin, Partition, Role};
use crate::planted::{self, Planted};

/// How many producers may be waiting for their coordinators; beyond it those that have waited
/// longest are refused.
const VERIFICATIONS_MAX: usize = 10_000;

/// What is known while a coordinator is asked.
#[derive(Clone, Copy, Debug)]
struct Verification {
    guard: Guard,
    producer_epoch: ProducerEpoch,
    /// The lowest sequence that has come: what comes later may not be appended first.
    lowest_sequence: Sequence,
}

/// The producers whose coordinators are being asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Verifications {
    by_producer: BTreeMap<ProducerId, Verification>,
    /// The one that the last step settled: the log may refuse what was appended.
    settled: Option<(ProducerId, Verification)>,
}

impl Verifications {
    fn make_room(&mut self) {
        if self.by_producer.len() >= VERIFICATIONS_MAX {
            let oldest = self.by_producer.iter().min_by_key(|(_, v)| v.guard);
            if let Some(id) = oldest.map(|(id, _)| *id) {
                self.by_producer.remove(&id);
            }
        }
    }
}

/// Whether this is a marker of a transaction with an epoch of its own, as its coordinator said.
fn bears_next_epoch(origin: Origin) -> bool {
    match origin {
        Origin::Marker {
            transaction_version,
            of: None,
        } => transaction_version >= EPOCH_PER_TRANSACTION,
        _ => false,
    }
}

impl Partition {
    /// As [`Self::verification`], for offsets of a producer that a coordinator is to append.
    pub fn verification_of_offsets(
        &mut self,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
    ) -> Option<Guard> {
        if self
            .producers
            .is_in_transaction(producer_id, producer_epoch)
        {
            return None;
        }
        self.guard(producer_id, producer_epoch, Sequence(0))
    }

    /// Whether a client's batch may only be appended once its coordinator was asked; the guard is
    /// to be shown with the batch then. None where the batch is of an open transaction, or not of
    /// any, or will be answered without being appended.
    ///
    /// A batch that is not the next one of its producer waits too: the one before it may be
    /// waiting.
    pub fn verification(&mut self, batch: &Batch) -> Option<Guard> {
        let (id, epoch) = (batch.producer_id, batch.producer_epoch);
        let is_next = || self.producers.check(batch, false) == Check::Next;
        let is_open = self.producers.is_in_transaction(id, epoch);
        let is_known = self.producers.duplicate(batch).is_some();
        let is_trusted = planted::is(Planted::UnverifiedTransaction);
        if !batch.is_transactional || is_known || (is_open && is_next()) || is_trusted {
            return None;
        }
        self.guard(id, epoch, batch.base_sequence)
    }

    fn guard(&mut self, id: ProducerId, epoch: ProducerEpoch, sequence: Sequence) -> Option<Guard> {
        let Role::Leader(leader) = &mut self.role else {
            return None;
        };
        let verifications = &mut leader.verifications;
        if let Some(known) = verifications.by_producer.get_mut(&id) {
            if known.producer_epoch == epoch {
                if is_after(known.lowest_sequence, sequence) {
                    known.lowest_sequence = sequence;
                }
                return Some(known.guard);
            }
            if known.producer_epoch > epoch {
                return None; // its append is refused
            }
        }
        verifications.make_room();
        let guard = Guard(self.guards);
        self.guards += 1;
        let verification = Verification {
            guard,
            producer_epoch: epoch,
            lowest_sequence: sequence,
        };
        verifications.by_producer.insert(id, verification);
        Some(guard)
    }

    /// Judges a batch by all that is known of its producer.
    pub(super) fn check(&self, batch: &Batch, origin: Origin) -> Check {
        match origin {
            Origin::Client(membership) => {
                let check = self.producers.check(batch, membership.has_own_epoch);
                match self.verification_refusal(batch, membership.guard) {
                    Some(error) if !matches!(check, Check::Duplicate(_)) => Check::Rejected(error),
                    _ => check,
                }
            }
            Origin::Coordinator(guard) => match self.verification_refusal(batch, guard) {
                Some(error) => Check::Rejected(error),
                None => self.producers.check_offsets(batch),
            },
            Origin::Marker {
                transaction_version,
                of,
            } => self.producers.check_marker(batch, transaction_version, of),
        }
    }

    fn verification_refusal(&self, batch: &Batch, guard: Option<Guard>) -> Option<ErrorCode> {
        let (id, epoch) = (batch.producer_id, batch.producer_epoch);
        if !batch.is_transactional
            || self.producers.is_in_transaction(id, epoch)
            || planted::is(Planted::UnverifiedTransaction)
        {
            return None;
        }
        let Role::Leader(leader) = &self.role else {
            return None;
        };
        let verification = leader.verifications.by_producer.get(&id);
        match verification {
            Some(verification) if Some(verification.guard) == guard => {
                is_after(batch.base_sequence, verification.lowest_sequence)
                    .then_some(ErrorCode::OutOfOrderSequenceNumber)
            }
            Some(verification) if verification.producer_epoch > epoch => {
                Some(ErrorCode::InvalidProducerEpoch)
            }
            // A marker has come since the coordinator was asked. It may be that of the transaction
            // before, for which the coordinator waited: asked again it knows.
            _ if guard.is_some() => Some(ErrorCode::ConcurrentTransactions),
            _ => Some(ErrorCode::InvalidTxnState),
        }
    }

    /// The coordinator that was asked under this guard knows of no such transaction.
    pub fn verification_refused(&mut self, id: ProducerId, guard: Guard) {
        if let Role::Leader(leader) = &mut self.role {
            let by_producer = &mut leader.verifications.by_producer;
            if by_producer.get(&id).is_some_and(|v| v.guard == guard) {
                by_producer.remove(&id);
            }
        }
    }

    /// What is in the log now was verified, or ends what was asked about. Not so a marker with an
    /// epoch for each transaction: it bears that of the next one, whose coordinator may have waited
    /// for this very marker, and has agreed once it knew of it.
    pub(super) fn settle_verification(&mut self, batch: &Batch, origin: Origin) {
        if !batch.is_transactional {
            return;
        }
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let by_producer = &mut leader.verifications.by_producer;
        let is_of_next = |known: &Verification| {
            bears_next_epoch(origin) && known.producer_epoch >= batch.producer_epoch
        };
        let is_settled = by_producer.get(&batch.producer_id);
        let is_settled = is_settled.is_some_and(|known| !is_of_next(known));
        let settled = is_settled.then(|| by_producer.remove_entry(&batch.producer_id));
        leader.verifications.settled = settled.flatten();
    }

    /// The log has what was appended.
    pub(super) fn keep_settled(&mut self) {
        if let Role::Leader(leader) = &mut self.role {
            leader.verifications.settled = None;
        }
    }

    /// What the last step appended is not in the log after all.
    pub(super) fn unsettle_verification(&mut self) {
        if let Role::Leader(leader) = &mut self.role {
            let verifications = &mut leader.verifications;
            verifications
                .by_producer
                .extend(verifications.settled.take());
        }
    }
}
