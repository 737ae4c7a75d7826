//! The contract of a coordinator's shard: the state that lives in one partition of an internal
//! topic.
//!
//! A [`Shard`] keeps two kinds of state, apart by type:
//! - *durable*: what replaying the partition gives. Requests, time and images see it through
//!   `&self`; only [`Shard::replay`] and [`Shard::on_marker`] change it;
//! - *soft* ([`Shard::Soft`]): timers, parked requests, rounds that are under way. It is lost with
//!   the coordinator, so nothing may rest on it alone that was acknowledged.
//!
//! ```text
//!   request │ deadline │ image ──▶ decide: records and replies
//!                                    │ replayed at once: the next decision sees them
//!                                    ▼
//!                          append ──▶ refused: undone, newest first; whoever waits is told so
//!                                    │
//!                                    ▼ below the high watermark
//!                                  replies, orders
//! ```
//!
//! What the driver must keep:
//! - the records of a decision are replayed before the next one is taken, and appended in that
//!   order, those of one decision in one batch where they are not large;
//! - a reply marked [`After::Commit`] leaves only once the records of its own decision and of every
//!   earlier one are below the high watermark. So no reply acknowledges, or shows, what a new
//!   coordinator might not know;
//! - an order leaves likewise, however long the commit takes: it may be carried out more than once,
//!   since a new coordinator gives it again, but never for what is not so;
//! - what the log refused is undone, the newest record first. Where it is not known whether the
//!   log has a record, the shard is thrown away and loaded again: durable state is never ahead of
//!   the log, nor behind it.
//!
//! Invariant: nothing here waits, reads a clock or draws a random number; all three are arguments.

#[cfg(test)]
mod tests;
pub(crate) mod versioned;

use std::convert::Infallible;
use std::fmt::{Debug, Display};

use bytes::Bytes;
use ottla_protocol::codec;
use ottla_protocol::ids::{ProducerEpoch, ProducerId};
use ottla_protocol::record::ControlRecord;

use crate::image::MetadataImage;
use crate::image::delta::MetadataDelta;
use crate::partition::Guard;

/// The times a decision needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds that never go back: what deadlines are counted in.
    pub monotonic_ms: u64,
    /// Milliseconds since 1970: what records are stamped with.
    pub wall_ms: i64,
    /// The same, but for what the clock jumped forward: what retention is counted in.
    pub age_ms: i64,
}

impl Now {
    /// So many milliseconds from now, on the clock of deadlines.
    #[must_use]
    pub fn after(self, milliseconds: i32) -> u64 {
        self.monotonic_ms + u64::try_from(milliseconds).unwrap_or(0)
    }
}

/// Identifies a waiting request between the driver and the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// When a reply may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// At once: it says nothing that a record must back.
    Nothing,
    /// Once all records so far are committed.
    Commit,
}

/// An answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply<A> {
    /// The request's token.
    pub token: Token,
    /// When it may leave.
    pub after: After,
    /// The answer.
    pub response: A,
}

/// What a request, a deadline or an image comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision<R, A, O = Infallible> {
    /// What becomes so, in this order.
    pub records: Vec<R>,
    /// What is answered: to this request, to others that were parked, or to none yet.
    pub replies: Vec<Reply<A>>,
    /// What is to be done elsewhere, once all records so far are committed.
    pub orders: Vec<O>,
    /// The transaction that the records are part of: they count once it is committed.
    pub transaction: Option<Transaction>,
}

/// The transaction of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Whose it is.
    pub producer_id: ProducerId,
    /// The producer's incarnation.
    pub producer_epoch: ProducerEpoch,
    /// Where the transaction began on this partition with this: what its coordinator has agreed to.
    pub guard: Option<Guard>,
}

impl<R, A, O> Default for Decision<R, A, O> {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            replies: Vec::new(),
            orders: Vec::new(),
            transaction: None,
        }
    }
}

impl<R, A, O> Decision<R, A, O> {
    /// An answer that waits for all records so far.
    pub fn reply(&mut self, token: Token, response: A) {
        let after = After::Commit;
        self.replies.push(Reply {
            token,
            after,
            response,
        });
    }
}

/// What a decision of that shard is.
pub type DecisionOf<S> =
    Decision<<S as Shard>::Record, <S as Shard>::Response, <S as Shard>::Order>;

/// The state of one partition of an internal topic.
pub trait Shard: Sized + Send + 'static {
    /// What an operator sets.
    type Settings: Clone + Debug + Send + Sync + 'static;
    /// What is lost with the coordinator.
    type Soft: Send;
    /// What is asked.
    type Request: Send;
    /// What is answered.
    type Response: Send;
    /// What is to be done elsewhere.
    type Order: Send;
    /// What the partition holds.
    type Record: Send;
    /// Takes a record back.
    type Undo: Send;
    /// Why a record is not understood.
    type Error: Display;

    /// The internal topic.
    const TOPIC: &'static str;

    /// The state of an empty partition.
    fn new(settings: Self::Settings) -> Self;

    /// A record's key and value.
    ///
    /// # Errors
    /// A string is longer than any that a request can bring.
    fn encode(record: &Self::Record) -> Result<(Bytes, Option<Bytes>), codec::Error>;

    /// Reads a record; none where it is of a kind that this broker does not know and must skip.
    ///
    /// # Errors
    /// The record is of a known kind, but its bytes are not.
    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self::Record>, Self::Error>;

    /// Makes it so: the one way durable state changes. Returns what takes it back.
    fn replay(&mut self, record: Self::Record) -> Self::Undo;

    /// A record that counts once its transaction is committed. Returns what takes it back.
    fn replay_open(&mut self, producer: ProducerId, record: Self::Record) -> Self::Undo;

    /// The transaction of a producer has ended, as its control record says. Whatever was replayed
    /// before is in the log by then, and is not taken back any more.
    fn on_marker(&mut self, producer: ProducerId, marker: ControlRecord);

    /// Takes back the newest record that was replayed, and soft state that rests on it; whoever is
    /// parked there is answered.
    fn undo(
        &mut self,
        soft: &mut Self::Soft,
        now: Now,
        undo: Self::Undo,
    ) -> Vec<Reply<Self::Response>>;

    /// Everything is replayed: what there is to do before the first request, by this image.
    fn on_loaded(&self, now: Now, image: &MetadataImage) -> (Self::Soft, DecisionOf<Self>);

    /// A client or a broker asks.
    fn decide(
        &self,
        soft: &mut Self::Soft,
        now: Now,
        token: Token,
        request: Self::Request,
    ) -> DecisionOf<Self>;

    /// There is a new image.
    fn on_image(
        &self,
        soft: &mut Self::Soft,
        now: Now,
        image: &MetadataImage,
        delta: &MetadataDelta,
    ) -> DecisionOf<Self>;

    /// When [`Self::on_deadline`] is due at the latest; none while nothing waits for time.
    fn next_deadline_ms(soft: &Self::Soft) -> Option<u64>;

    /// Everything whose time has come.
    fn on_deadline(&self, soft: &mut Self::Soft, now: Now) -> DecisionOf<Self>;
}

/// The partition of an internal topic that holds a key (a group's id): the absolute value of Java's
/// `String.hashCode` over UTF-16, 0 where it has none, modulo the partitions.
///
/// Invariant: all brokers agree on it, also those of other versions.
#[must_use]
pub fn partition_for(key: &str, partition_count: i32) -> i32 {
    assert!(
        partition_count > 0,
        "an internal topic has at least one partition"
    );
    let hash = key.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    hash.checked_abs().unwrap_or(0) % partition_count
}
