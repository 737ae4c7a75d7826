//! What producers sent, on its way into a log.

use bytes::BytesMut;
use ottla_core::partition::{Acks, Appended, Membership};
use ottla_protocol::record_batch::Header;

use super::pending::Answer;
use super::place::Place;

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
}
