//! What producers sent, on its way into a log.

use bytes::BytesMut;
use ottla_core::partition::{Acks, Appended, Membership};
use ottla_protocol::ids::NodeId;
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

/// What of a partition is on its way to the leader that it was handed over to.
#[derive(Debug, Default)]
pub(super) struct OnTheWay {
    /// To whom the last one went.
    pub(super) to: Option<NodeId>,
    /// How many are not answered yet.
    pub(super) count: usize,
    /// What came back, to go on once nothing is on its way.
    pub(super) back: Vec<Sent>,
}
