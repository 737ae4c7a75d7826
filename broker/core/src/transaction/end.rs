//! EndTxn, the aborts that the coordinator itself decides, and the end of the end.
//!
//! By the second rules, where `retry` is a request whose answer was lost, and `concurrent` is told
//! whoever asks, for the client that goes on was answered before the markers are written:
//!
//! ```text
//!                    commit                          abort
//!                    current          retry          current          retry
//!   Ongoing          PrepareCommit    fenced         PrepareAbort     fenced
//!   Empty            wrong state      fenced         CompleteAbort    fenced
//!   PrepareCommit    concurrent       concurrent     concurrent       concurrent
//!   PrepareAbort     concurrent       concurrent     concurrent       concurrent
//!   CompleteCommit   wrong state      the answer     CompleteAbort    wrong state
//!   CompleteAbort    wrong state      wrong state    CompleteAbort    the answer
//! ```
//! An abort of nothing, which a client sends that does not know whether its partitions were added,
//! bumps the epoch all the same; having no markers to write, it is complete at once.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::ProducerId;
use ottla_protocol::messages::transactions::{EndTxnRequest, EndTxnResponse};

use super::partitions::{add_parked, told};
use super::request::{Answered, Complete, EndTxn, Expire};
use super::soft::RETRY_MS;
use super::state::{NO_EPOCH, Producer, Status, Transaction, TransactionVersion};
use super::{Order, Shard, Step, TransactionalId};

/// The first version that goes by the second rules.
const BUMP_VERSION: i16 = 5;

impl Shard {
    pub(super) fn end_txn(
        &self,
        version: i16,
        request: &EndTxn,
        step: &mut Step<'_>,
    ) -> Answered<EndTxnResponse> {
        let EndTxn { body, fresh } = request;
        let ended = match version >= BUMP_VERSION {
            true => self.end_with_bump(body, *fresh, step),
            false => self.end(body, step).map(|()| {
                let nobody = Producer::new(ProducerId::NONE.0, NO_EPOCH.0);
                Answered::With(nobody)
            }),
        };
        let (error, producer) = match ended {
            Ok(Answered::With(producer)) => (ErrorCode::None, producer),
            Ok(Answered::NeedsProducerId) => return Answered::NeedsProducerId,
            Err(error) => {
                let nobody = Producer::new(ProducerId::NONE.0, NO_EPOCH.0);
                (told(error, version), nobody)
            }
        };
        Answered::With(EndTxnResponse {
            error_code: error.code(),
            producer_id: producer.id.0,
            producer_epoch: producer.epoch.0,
            ..EndTxnResponse::default()
        })
    }

    /// By the first rules.
    fn end(&self, request: &EndTxnRequest, step: &mut Step<'_>) -> Result<(), ErrorCode> {
        if request.transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let producer = Producer::new(request.producer_id, request.producer_epoch);
        let current = self.of_producer(&request.transactional_id, producer)?;
        match (current.status, request.committed) {
            (Status::Ongoing, is_commit) => {
                let ended = current.ended(is_commit, step.now);
                step.put(&request.transactional_id.as_str().into(), ended);
                Ok(())
            }
            (Status::CompleteCommit, true) | (Status::CompleteAbort, false) => Ok(()),
            (Status::PrepareCommit, true) | (Status::PrepareAbort, false) => {
                Err(ErrorCode::ConcurrentTransactions)
            }
            _ => Err(ErrorCode::InvalidTxnState),
        }
    }

    /// By the second rules; who the client is from then on.
    fn end_with_bump(
        &self,
        request: &EndTxnRequest,
        fresh: Option<ProducerId>,
        step: &mut Step<'_>,
    ) -> Result<Answered<Producer>, ErrorCode> {
        if request.transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let unknown = ErrorCode::InvalidProducerIdMapping;
        let id: TransactionalId = request.transactional_id.as_str().into();
        let current = self.transactions.get(&id).ok_or(unknown)?;
        if current.status.is_prepared() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        let producer = Producer::new(request.producer_id, request.producer_epoch);
        let is_retry = is_retry(current, producer)?;
        let is_commit = request.committed;
        match (current.status, is_commit, is_retry) {
            (Status::Ongoing, _, false) => {
                let Some(next_id) = next_id(current, fresh) else {
                    return Ok(Answered::NeedsProducerId);
                };
                let version = TransactionVersion::SECOND;
                let ended = current.ended_with_bump(is_commit, next_id, version, step.now);
                let producer = ended.completed(step.now).producer;
                step.put(&id, ended);
                Ok(Answered::With(producer))
            }
            (Status::Empty | Status::CompleteCommit | Status::CompleteAbort, false, false) => {
                let Some(next_id) = next_id(current, fresh) else {
                    return Ok(Answered::NeedsProducerId);
                };
                let version = TransactionVersion::SECOND;
                let ended = current.ended_with_bump(false, next_id, version, step.now);
                let ended = ended.completed(step.now);
                let producer = ended.producer;
                step.put(&id, ended);
                Ok(Answered::With(producer))
            }
            (Status::CompleteCommit, true, true) | (Status::CompleteAbort, false, true) => {
                Ok(Answered::With(current.producer))
            }
            _ => Err(ErrorCode::InvalidTxnState),
        }
    }

    /// Aborts an ongoing transaction against its producer, by the cluster's rules; false where
    /// that takes a producer id.
    pub(super) fn fence(
        &self,
        id: &TransactionalId,
        current: &Transaction,
        fresh: Option<ProducerId>,
        step: &mut Step<'_>,
    ) -> bool {
        let version = step.soft.version;
        let aborted = if version.bumps_epoch() {
            let Some(next_id) = next_id(current, fresh) else {
                return false;
            };
            current.ended_with_bump(false, next_id, version, step.now)
        } else {
            current.fenced(step.now)
        };
        step.put(id, aborted);
        true
    }

    /// The time of a transaction may be over.
    pub(super) fn on_time(&self, id: &TransactionalId, step: &mut Step<'_>) {
        let Some(current) = self.transactions.get(id) else {
            return;
        };
        let now_ms = step.now.monotonic_ms;
        match current.deadline_ms(step.now) {
            None => {}
            Some(at_ms) if at_ms > now_ms => step.soft.deadlines.set(id, Some(at_ms)),
            Some(_) if self.fence(id, current, None, step) => {}
            Some(_) => {
                step.decision.orders.push(Order::Expire {
                    transactional_id: id.clone(),
                    producer: current.producer,
                });
                step.soft.deadlines.put_off(id, now_ms + RETRY_MS);
            }
        }
    }

    /// The same with a producer id; whether there is nothing left to do.
    pub(super) fn expire(&self, request: &Expire, step: &mut Step<'_>) -> bool {
        let id = &request.transactional_id;
        let current = self.transactions.get(id).filter(|current| {
            let is_over = current.deadline_ms(step.now);
            let is_over = is_over.is_some_and(|at_ms| at_ms <= step.now.monotonic_ms);
            current.producer == request.producer && is_over
        });
        current.is_none_or(|current| self.fence(id, current, Some(request.fresh), step))
    }

    /// All markers are written; whether the transaction was prepared until now.
    pub(super) fn complete(&self, request: &Complete, step: &mut Step<'_>) -> bool {
        let id = &request.transactional_id;
        // not the next one of the same producer: word of the markers may come late, and twice
        let current = self.transactions.get(id).filter(|current| {
            current.status.is_prepared()
                && current.producer == request.producer
                && current.update_ms == request.prepared_ms
        });
        if let Some(current) = current {
            let completed = current.completed(step.now);
            step.put(id, completed.clone());
            add_parked(id, completed, step);
        }
        current.is_some()
    }
}

/// The producer id to go on with, where the epochs of this one are used up; none where there has
/// to be one and is not.
fn next_id(current: &Transaction, fresh: Option<ProducerId>) -> Option<ProducerId> {
    match current.producer.is_exhausted() {
        true => fresh,
        false => Some(ProducerId::NONE),
    }
}

/// Whether `producer` asks again for what was done already, as its epoch says. `current` is not
/// prepared.
///
/// The end that is asked for again must be what made the current epoch: where an InitProducerId
/// did, an earlier producer would else go on with the epoch of the next one.
fn is_retry(current: &Transaction, producer: Producer) -> Result<bool, ErrorCode> {
    let now = current.producer;
    let is_next = current.version.bumps_epoch() && current.last_epoch == producer.epoch;
    // the id changed with the end that is asked for again
    let has_rotated = is_next
        && producer.id == current.previous_id
        && producer.id != now.id
        && producer.is_exhausted()
        && now.epoch.0 == 0;
    if producer.id != now.id && !has_rotated {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    let is_complete = matches!(
        current.status,
        Status::CompleteCommit | Status::CompleteAbort
    );
    if producer == now {
        Ok(false)
    } else if is_complete && is_next {
        Ok(true)
    } else {
        Err(ErrorCode::ProducerFenced)
    }
}
