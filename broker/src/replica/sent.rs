//! What producers sent, on its way into a log.

use std::sync::Arc;

use bytes::BytesMut;
use ottla_core::partition::{Acks, Appended, Membership};
use ottla_protocol::record_batch::Header;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::pending::Answer;
use super::place::Place;

/// The most bytes that are kept, or on their way to leaders, though nobody waits for them: acks=0.
/// What there is no room for is dropped, as with acks=0 it may be.
pub(super) const UNAWAITED_BYTES_MAX: usize = 32 << 20;

/// A batch that a producer sent.
#[derive(Debug)]
pub(super) struct Sent {
    /// The partition, as the producer names it.
    pub(super) place: Place,
    /// How it takes part in a transaction.
    pub(super) membership: Membership,
    pub(super) batch: BytesMut,
    pub(super) header: Header,
    /// How large the request is that it came in.
    pub(super) frame_bytes: usize,
    pub(super) acks: Acks,
    pub(super) answer: Answer<Appended>,
    /// Whether it came by another broker.
    pub(super) is_sent_on: bool,
    /// Its share of what is kept though nobody waits for it.
    pub(super) unawaited: Option<OwnedSemaphorePermit>,
}

impl Sent {
    /// Whether it is still to be appended: a producer that waits no more may send it again.
    pub(super) fn is_wanted(&self) -> bool {
        self.acks == Acks::None || self.answer.is_awaited()
    }

    /// Whether it may be kept, or be on its way: the budget of requests bounds those that somebody
    /// waits for, `room` the others.
    pub(super) fn has_room(&mut self, room: &Arc<Semaphore>) -> bool {
        if self.acks == Acks::None && self.unawaited.is_none() {
            let bytes = u32::try_from(self.batch.len()).unwrap_or(u32::MAX);
            self.unawaited = Arc::clone(room).try_acquire_many_owned(bytes).ok();
        }
        self.acks != Acks::None || self.unawaited.is_some()
    }
}
