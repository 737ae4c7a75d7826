//! What is lost with the coordinator: when to look at which transaction, who waits for its end, and
//! the cluster's level of `transaction.version`.

use super::deadlines::Deadlines;
use super::parked::Parked;
use super::state::{Status, Transaction, TransactionVersion};
use super::{Settings, TransactionalId};
use crate::image::MetadataImage;
use crate::shard::Now;

/// How long a transaction is left alone whose abort the log has refused, or that waits for a
/// producer id.
pub(super) const RETRY_MS: u64 = 500;

/// The soft state of a shard of transactional ids. Invariant: a transaction that is ongoing, and
/// has a timeout, has a deadline.
#[derive(Clone, Debug)]
pub struct Soft {
    /// By whose rules the coordinator itself ends transactions.
    pub(super) version: TransactionVersion,
    pub(super) deadlines: Deadlines,
    pub(super) parked: Parked,
}

impl Soft {
    pub(super) fn new(image: &MetadataImage, now: Now, settings: &Settings) -> Self {
        Self {
            version: TransactionVersion::finalized(image),
            deadlines: Deadlines::new(now, settings),
            parked: Parked::default(),
        }
    }

    /// The id's state is this from now on.
    pub(super) fn follow(
        &mut self,
        id: &TransactionalId,
        transaction: Option<&Transaction>,
        now: Now,
    ) {
        let at_ms = transaction.and_then(|transaction| transaction.deadline_ms(now));
        self.deadlines.set(id, at_ms);
    }

    /// The id's state is what it was before the log refused the next one.
    pub(super) fn follow_again(
        &mut self,
        id: &TransactionalId,
        transaction: Option<&Transaction>,
        now: Now,
    ) {
        self.follow(id, transaction, now);
        if transaction.is_some_and(|transaction| transaction.status == Status::Ongoing) {
            self.deadlines.put_off(id, now.monotonic_ms + RETRY_MS);
        }
    }
}
