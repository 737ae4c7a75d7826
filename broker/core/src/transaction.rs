//! Transactional ids, their producers and transactions: what one partition of
//! `__transaction_state` holds.
//!
//! [`Shard`] keeps [`crate::shard`]'s contract:
//! - *durable* is each id's [`Transaction`]: who its producer is, and how far its transaction is;
//! - *soft* ([`soft::Soft`]) is when to look at which of them, who waits for the markers of which,
//!   and the cluster's `transaction.version`;
//! - *orders* are the markers that end a transaction in its partitions.
//!
//! ```text
//!            ┌───────────────── AddPartitionsToTxn ────────────────┐
//!            ▼                                                     │
//!   Empty ─▶ Ongoing ─ EndTxn ─▶ PrepareCommit ─ all markers ─▶ CompleteCommit
//!     ▲        │                                                   │
//!     │        └ EndTxn, fence, timeout ─▶ PrepareAbort ─ … ─▶ CompleteAbort
//!     └────────────────────── InitProducerId ──────────────────────┘
//! ```
//!
//! How Apache Kafka does it differs in one thing: where it keeps a pending state beside the current
//! one while a record is written, here the record is replayed when it is decided, and undone where
//! the log refuses it. So there is one state, and whoever asks next sees it.
//!
//! Transaction version 2 (KIP-890) gives every transaction an epoch of its own: `EndTxn` bumps it,
//! and a request of an earlier transaction is fenced. Versions 0 and 1 keep the epoch until the
//! next InitProducerId. The version is the request's, not the id's: clients of all versions may use
//! one id in turn.

mod deadlines;
mod describe;
mod end;
mod init;
pub mod markers;
mod parked;
mod partitions;
pub mod record;
pub mod request;
pub mod settings;
pub mod soft;
pub mod state;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ottla_protocol::codec;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::ProducerId;
use ottla_protocol::record::ControlRecord;

pub use init::refusal;
pub use record::Record;
pub use request::{Body, Request, Response};
pub use settings::Settings;
use soft::{RETRY_MS, Soft};
pub use state::{Partitions, Producer, Status, Transaction, TransactionVersion};

use crate::image::MetadataImage;
use crate::image::delta::MetadataDelta;
use crate::planted::{self, Planted};
use crate::shard::{self, Now, Reply, Token};

/// A transactional id; cheap to clone.
pub type TransactionalId = Arc<str>;

/// The name of the internal topic that holds transactional ids.
pub const TRANSACTION_TOPIC: &str = "__transaction_state";

/// How many ids are forgotten in one decision; the others follow soon, and requests between.
const EXPIRED_MAX: usize = 1_000;

/// What a request, a deadline or an image comes to.
pub type Decision = shard::Decision<Record, Response, Order>;

/// What is to be done once a decision is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Markers are to be written; all of them written, [`request::Complete`] is to be asked.
    Write(Ending),
    /// A transaction is to be aborted, for which a fresh producer id is needed:
    /// [`request::Expire`] is to be asked with one.
    Expire {
        /// Whose transaction it is.
        transactional_id: TransactionalId,
        /// Its producer.
        producer: Producer,
    },
}

/// A transaction that ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Whose transaction it is.
    pub transactional_id: TransactionalId,
    /// The producer id and epoch that the markers bear.
    pub producer: Producer,
    /// Whether its records count.
    pub is_commit: bool,
    /// Where its records are.
    pub partitions: Partitions,
    /// By which rules its epochs go.
    pub version: TransactionVersion,
    /// When it was prepared: of an id no two states have the same time.
    pub prepared_ms: i64,
}

/// The transactional ids of one partition of `__transaction_state`.
#[derive(Clone, Debug)]
pub struct Shard {
    settings: Settings,
    transactions: BTreeMap<TransactionalId, Transaction>,
}

/// Takes one record back.
#[derive(Clone, Debug)]
pub struct Undo {
    transactional_id: TransactionalId,
    before: Option<Transaction>,
}

/// What every transition of one decision needs.
struct Step<'a> {
    now: Now,
    soft: &'a mut Soft,
    decision: &'a mut Decision,
}

impl Step<'_> {
    /// A transactional id's new state: a record, and what follows from it.
    fn put(&mut self, id: &TransactionalId, transaction: Transaction) {
        self.soft.follow(id, Some(&transaction), self.now);
        if let Some(ending) = transaction.ending(id) {
            self.decision.orders.push(Order::Write(ending));
        }
        self.decision.records.push(Record {
            transactional_id: id.clone(),
            transaction: Some(transaction),
        });
    }
}

impl Shard {
    /// The id's state, where no markers of it are being written and it is this producer's.
    ///
    /// Who the producer is, is settled with the markers: until then the one that goes on is to
    /// wait, not to be refused.
    fn settled(&self, id: &str, producer: Producer) -> Result<&Transaction, ErrorCode> {
        match self.is_prepared(id) {
            true => Err(ErrorCode::ConcurrentTransactions),
            false => self.of_producer(id, producer),
        }
    }

    /// Whether markers of the id are being written.
    fn is_prepared(&self, id: &str) -> bool {
        let current = self.transactions.get(id);
        current.is_some_and(|current| current.status.is_prepared())
    }

    /// The id's state, where it is this producer's.
    fn of_producer(&self, id: &str, producer: Producer) -> Result<&Transaction, ErrorCode> {
        let transaction = self.transactions.get(id);
        let transaction = transaction.ok_or(ErrorCode::InvalidProducerIdMapping)?;
        transaction.check_producer(producer)?;
        Ok(transaction)
    }

    /// Forgets the ids that were not used for long, at most [`EXPIRED_MAX`] at a time.
    fn expire_ids(&self, step: &mut Step<'_>) {
        let until_ms = step.now.age_ms - self.settings.id_expiration_ms;
        let mut expired = self.transactions.iter().filter(|(_, transaction)| {
            transaction.status.may_expire() && transaction.update_ms <= until_ms
        });
        for (id, _) in expired.by_ref().take(EXPIRED_MAX) {
            step.soft.follow(id, None, step.now);
            step.decision.records.push(Record {
                transactional_id: id.clone(),
                transaction: None,
            });
        }
        if expired.next().is_some() {
            let soon_ms = step.now.monotonic_ms + RETRY_MS;
            step.soft.deadlines.expire_again_at(soon_ms);
        }
    }
}

impl shard::Shard for Shard {
    type Settings = Settings;
    type Soft = Soft;
    type Request = Request;
    type Response = Response;
    type Order = Order;
    type Record = Record;
    type Undo = Undo;
    type Error = record::Error;

    const TOPIC: &'static str = TRANSACTION_TOPIC;

    fn new(settings: Settings) -> Self {
        Self {
            settings,
            transactions: BTreeMap::new(),
        }
    }

    fn encode(record: &Record) -> Result<(Bytes, Option<Bytes>), codec::Error> {
        record.encode()
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Record>, record::Error> {
        Record::decode(key, value)
    }

    fn replay(&mut self, record: Record) -> Undo {
        let id = record.transactional_id;
        let before = match record.transaction {
            Some(transaction) => self.transactions.insert(id.clone(), transaction),
            None => self.transactions.remove(&id),
        };
        Undo {
            transactional_id: id,
            before,
        }
    }

    fn replay_open(&mut self, _: ProducerId, record: Record) -> Undo {
        // nobody writes these in transactions
        self.replay(record)
    }

    fn on_marker(&mut self, _: ProducerId, _: ControlRecord) {}

    fn undo(&mut self, soft: &mut Soft, now: Now, undo: Undo) -> Vec<Reply<Response>> {
        let Undo {
            transactional_id: id,
            before,
        } = undo;
        soft.follow_again(&id, before.as_ref(), now);
        match before {
            Some(transaction) => drop(self.transactions.insert(id, transaction)),
            None => drop(self.transactions.remove(&id)),
        }
        Vec::new()
    }

    fn on_loaded(&self, now: Now, image: &MetadataImage) -> (Soft, Decision) {
        let mut soft = Soft::new(image, now, &self.settings);
        let mut decision = Decision::default();
        for (id, transaction) in &self.transactions {
            soft.follow(id, Some(transaction), now);
            let ending = transaction.ending(id);
            let ending = ending.filter(|_| !planted::is(Planted::MarkersOrderedOnce));
            decision.orders.extend(ending.map(Order::Write));
        }
        (soft, decision)
    }

    fn decide(&self, soft: &mut Soft, now: Now, token: Token, request: Request) -> Decision {
        let mut decision = Decision::default();
        let step = &mut Step {
            now,
            soft,
            decision: &mut decision,
        };
        let version = request.version;
        let response = match request.body {
            Body::InitProducerId(body) => {
                Response::InitProducerId(self.init_producer_id(version, &body, step))
            }
            Body::AddPartitions(body)
                if self.is_prepared(&body.transactional_id)
                    && step.soft.parked.has_room(&body.transactional_id) =>
            {
                step.soft.parked.park(now, token, version, body);
                return decision;
            }
            Body::AddPartitions(body) => {
                Response::AddPartitions(self.add_partitions(version, &body, step))
            }
            Body::VerifyPartitions(body) => Response::VerifyPartitions(self.verify(&body)),
            Body::EndTxn(body) => Response::EndTxn(self.end_txn(version, &body, step)),
            Body::Complete(body) => Response::Complete(self.complete(&body, step)),
            Body::Expire(body) => Response::Expire(self.expire(&body, step)),
            Body::DescribeTransaction(body) => {
                Response::DescribeTransaction(self.describe(&body.0))
            }
            Body::ListTransactions(body) => Response::ListTransactions(self.list(&body, now)),
        };
        decision.reply(token, response);
        decision
    }

    fn on_image(
        &self,
        soft: &mut Soft,
        _: Now,
        image: &MetadataImage,
        _: &MetadataDelta,
    ) -> Decision {
        soft.version = TransactionVersion::finalized(image);
        Decision::default()
    }

    fn next_deadline_ms(soft: &Soft) -> Option<u64> {
        let deadlines = [soft.deadlines.next(), soft.parked.next()];
        deadlines.into_iter().flatten().min()
    }

    fn on_deadline(&self, soft: &mut Soft, now: Now) -> Decision {
        let mut decision = Decision::default();
        let step = &mut Step {
            now,
            soft,
            decision: &mut decision,
        };
        while let Some(id) = step.soft.deadlines.pop(now) {
            self.on_time(&id, step);
        }
        while let Some(token) = step.soft.parked.give_up(now) {
            let answer = Response::AddPartitions(ErrorCode::ConcurrentTransactions);
            step.decision.reply(token, answer);
        }
        if step.soft.deadlines.expiration_passed(now, &self.settings) {
            self.expire_ids(step);
        }
        decision
    }
}
