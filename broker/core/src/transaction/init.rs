//! InitProducerId: who the producer of a transactional id is from now on.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{ProducerEpoch, ProducerId};
use ottla_protocol::messages::producer_ids::{InitProducerIdRequest, InitProducerIdResponse};

use super::request::{Answered, InitProducerId};
use super::state::{NEVER_MS, NO_EPOCH, Producer, Status, Transaction};
use super::{Settings, Shard, Step, TransactionalId};
use crate::planted::{self, Planted};

/// The first version whose clients know PRODUCER_FENCED.
const FENCED_VERSION: i16 = 4;

/// Why nobody may be asked this: what is wrong with the request itself. `id` is never null here.
#[must_use]
pub fn refusal(request: &InitProducerIdRequest, settings: &Settings) -> Option<ErrorCode> {
    let has_id = request.producer_id != ProducerId::NONE.0;
    let has_epoch = request.producer_epoch != NO_EPOCH.0;
    let is_timeout = |timeout_ms: i32| timeout_ms > 0 && timeout_ms <= settings.timeout_max_ms;
    let is_anonymous = request.transactional_id.as_deref() == Some("");
    if has_id != has_epoch || is_anonymous {
        Some(ErrorCode::InvalidRequest)
    } else if request.enable2_pc && !settings.two_phase_commit {
        Some(ErrorCode::TransactionalIdAuthorizationFailed)
    } else if request.keep_prepared_txn {
        Some(ErrorCode::UnsupportedVersion)
    } else if !request.enable2_pc && !is_timeout(request.transaction_timeout_ms) {
        Some(ErrorCode::InvalidTransactionTimeout)
    } else {
        None
    }
}

impl Shard {
    pub(super) fn init_producer_id(
        &self,
        version: i16,
        request: &InitProducerId,
        step: &mut Step<'_>,
    ) -> Answered<InitProducerIdResponse> {
        let error = match self.init(request, step) {
            Ok(Answered::With(producer)) => {
                return Answered::With(InitProducerIdResponse {
                    producer_id: producer.id.0,
                    producer_epoch: producer.epoch.0,
                    ..InitProducerIdResponse::default()
                });
            }
            Ok(Answered::NeedsProducerId) => return Answered::NeedsProducerId,
            Err(ErrorCode::ProducerFenced) if version < FENCED_VERSION => {
                ErrorCode::InvalidProducerEpoch
            }
            Err(error) => error,
        };
        Answered::With(InitProducerIdResponse {
            error_code: error.code(),
            producer_id: ProducerId::NONE.0,
            producer_epoch: NO_EPOCH.0,
            ..InitProducerIdResponse::default()
        })
    }

    fn init(
        &self,
        request: &InitProducerId,
        step: &mut Step<'_>,
    ) -> Result<Answered<Producer>, ErrorCode> {
        let InitProducerId { body, fresh } = request;
        if let Some(error) = refusal(body, &self.settings) {
            return Err(error);
        }
        let id: TransactionalId = body.transactional_id.as_deref().unwrap_or("").into();
        let timeout_ms = match body.enable2_pc {
            true => NEVER_MS,
            false => body.transaction_timeout_ms,
        };
        let expected = (body.producer_id != ProducerId::NONE.0)
            .then(|| Producer::new(body.producer_id, body.producer_epoch));
        let Some(current) = self.transactions.get(&id) else {
            let Some(fresh) = *fresh else {
                return Ok(Answered::NeedsProducerId);
            };
            let first = Transaction::first(fresh, timeout_ms, step.now);
            let producer = first.producer;
            step.put(&id, first);
            return Ok(Answered::With(producer));
        };
        let is_other = expected.is_some_and(|expected| !may_be_of(current, expected));
        // before the markers are written, the next producer is not known by its id
        if is_other && !current.status.is_prepared() {
            return Err(ErrorCode::ProducerFenced);
        }
        match current.status {
            Status::PrepareCommit | Status::PrepareAbort => Err(ErrorCode::ConcurrentTransactions),
            Status::Ongoing if !planted::is(Planted::OngoingKept) => {
                match self.fence(&id, current, *fresh, step) {
                    // the bumped epoch is nobody's: the retry finds the transaction over, and
                    // bumps it
                    true => Err(ErrorCode::ConcurrentTransactions),
                    false => Ok(Answered::NeedsProducerId),
                }
            }
            Status::Empty | Status::Ongoing | Status::CompleteCommit | Status::CompleteAbort => {
                let Some((producer, last_epoch)) = next(current, expected, *fresh)? else {
                    return Ok(Answered::NeedsProducerId);
                };
                let begun = current.begun(producer, last_epoch, timeout_ms, step.now);
                step.put(&id, begun);
                Ok(Answered::With(producer))
            }
        }
    }
}

/// Whether a producer that believes to be `expected` can be the id's: by the id that it has, or by
/// the one it had, where the answer that told it of a new one may be lost.
fn may_be_of(current: &Transaction, expected: Producer) -> bool {
    expected.id == current.producer.id
        || (expected.id == current.previous_id && expected.is_exhausted())
}

/// Who the producer is after a bump, and the epoch before that; none where it takes a fresh id.
fn next(
    current: &Transaction,
    expected: Option<Producer>,
    fresh: Option<ProducerId>,
) -> Result<Option<(Producer, ProducerEpoch)>, ErrorCode> {
    let Producer { id, epoch } = current.producer;
    let last_epoch = if expected.is_some() { epoch } else { NO_EPOCH };
    let is_current = expected.is_none_or(|expected| expected.epoch == epoch);
    if current.producer.is_exhausted() && is_current {
        return Ok(fresh.map(|fresh| (Producer::new(fresh.0, 0), last_epoch)));
    }
    if is_current {
        return Ok(Some((Producer::new(id.0, epoch.0 + 1), last_epoch)));
    }
    // a retry of a bump whose answer was lost: another producer would have reset the last epoch
    match expected.is_some_and(|expected| expected.epoch == current.last_epoch) {
        true => Ok(Some((current.producer, current.last_epoch))),
        false => Err(ErrorCode::ProducerFenced),
    }
}
