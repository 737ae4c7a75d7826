//! Whether a batch may be appended, by what is known of its producer.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{ProducerEpoch, ProducerId, Sequence};
use ottla_protocol::record::ControlRecord;

use super::super::Batch;
use super::{AppendedBatch, Open, Producer, Producers, sequence_after};

/// The transactions of KIP-890 part 2: each has an epoch of its own, and its marker the next one.
pub(in super::super) const EPOCH_PER_TRANSACTION: i8 = 2;

/// Whether a batch may be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// It is the next one.
    Next,
    /// It is in the log already.
    Duplicate(AppendedBatch),
    /// It may not be appended.
    Rejected(ErrorCode),
}

fn rejected(is_rejected: bool, error: ErrorCode) -> Check {
    match is_rejected {
        true => Check::Rejected(error),
        false => Check::Next,
    }
}

impl Producers {
    /// The batch, where it is one of the last that its producer appended.
    #[must_use]
    pub fn duplicate(&self, batch: &Batch) -> Option<AppendedBatch> {
        let producer = self.by_id.get(&batch.producer_id)?;
        if producer.producer_epoch != batch.producer_epoch {
            return None;
        }
        let last_sequence = batch.last_sequence();
        let mut batches = producer.batches.iter();
        let duplicate = batches.find(|appended| {
            appended.first_sequence == batch.base_sequence
                && appended.last_sequence == last_sequence
        });
        duplicate.copied()
    }

    /// Whether a producer has an open transaction in this epoch.
    #[must_use]
    pub fn is_in_transaction(&self, id: ProducerId, epoch: ProducerEpoch) -> bool {
        let producer = self.by_id.get(&id);
        producer.is_some_and(|p| p.transaction_start.is_some() && p.producer_epoch == epoch)
    }

    /// Judges a batch that a client sent. `begins_at_zero`: its first batch here, as far as is
    /// known, has the sequence 0.
    #[must_use]
    pub fn check(&self, batch: &Batch, begins_at_zero: bool) -> Check {
        if batch.producer_id == ProducerId::NONE {
            return Check::Next;
        }
        let out_of_order = ErrorCode::OutOfOrderSequenceNumber;
        let is_first = batch.base_sequence == Sequence(0);
        let Some(producer) = self.by_id.get(&batch.producer_id) else {
            // never seen, or forgotten since: any sequence may come first (KIP-360)
            return rejected(begins_at_zero && !is_first, out_of_order);
        };
        if let Some(appended) = self.duplicate(batch) {
            return Check::Duplicate(appended);
        }
        if let Check::Rejected(error) = check_epoch(producer, batch) {
            return Check::Rejected(error);
        }
        if batch.producer_epoch > producer.producer_epoch {
            return rejected(!is_first, out_of_order);
        }
        let Some(last) = producer.batches.back() else {
            // a marker is left of what it wrote, and more of that another leader knew
            return rejected(begins_at_zero && !is_first, out_of_order);
        };
        let expected = sequence_after(last.last_sequence, 1);
        rejected(batch.base_sequence != expected, out_of_order)
    }

    /// Judges a batch that a coordinator of groups made for a producer: it has no sequences.
    #[must_use]
    pub fn check_offsets(&self, batch: &Batch) -> Check {
        let producer = self.by_id.get(&batch.producer_id);
        producer.map_or(Check::Next, |producer| check_epoch(producer, batch))
    }

    /// Judges a marker; one that is of a single transaction ends none but that.
    #[must_use]
    pub fn check_marker(&self, batch: &Batch, transaction_version: i8, of: Option<Open>) -> Check {
        if of.is_some() && of != self.open_of(batch.producer_id) {
            return Check::Rejected(ErrorCode::InvalidTxnState);
        }
        let Some(producer) = self.by_id.get(&batch.producer_id) else {
            return Check::Next;
        };
        let (epoch, known) = (batch.producer_epoch, producer.producer_epoch);
        let is_old = match transaction_version >= EPOCH_PER_TRANSACTION {
            // one that is sent again meets its own epoch, and no transaction any more; and an epoch
            // that was the last one cannot be passed
            true if epoch == known => {
                producer.transaction_start.is_some() && epoch != ProducerEpoch(i16::MAX)
            }
            _ => epoch < known,
        };
        if is_old {
            return Check::Rejected(ErrorCode::InvalidProducerEpoch);
        }
        let Some(
            ControlRecord::Abort { coordinator_epoch }
            | ControlRecord::Commit { coordinator_epoch },
        ) = batch.marker
        else {
            return Check::Rejected(ErrorCode::InvalidRecord);
        };
        let is_fenced = coordinator_epoch < producer.coordinator_epoch;
        rejected(is_fenced, ErrorCode::TransactionCoordinatorFenced)
    }
}

/// Whether the batch is of an incarnation that may write, and as it may: inside of its transaction
/// a producer writes nothing outside of it.
fn check_epoch(producer: &Producer, batch: &Batch) -> Check {
    if batch.producer_epoch < producer.producer_epoch {
        return Check::Rejected(ErrorCode::InvalidProducerEpoch);
    }
    let is_mixed = producer.transaction_start.is_some() && !batch.is_transactional;
    rejected(is_mixed, ErrorCode::InvalidTxnState)
}
