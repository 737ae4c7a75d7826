//! AddPartitionsToTxn and AddOffsetsToTxn: which partitions a transaction writes to.

use std::collections::BTreeSet;

use ottla_protocol::error::ErrorCode;

use super::request::{AddPartitions, Response, VerifyPartitions};
use super::state::{Partitions, Status, Transaction, TransactionVersion};
use super::{Shard, Step, TransactionalId};
use crate::shard::Now;

/// The first version that brokers send for their clients: theirs is the second transaction version.
const BROKERS_VERSION: i16 = 4;

/// The first version, of these APIs and of EndTxn, whose clients know PRODUCER_FENCED.
const FENCED_VERSION: i16 = 2;

/// What clients of old know of an error.
pub(super) fn told(error: ErrorCode, version: i16) -> ErrorCode {
    match error {
        ErrorCode::ProducerFenced if version < FENCED_VERSION => ErrorCode::InvalidProducerEpoch,
        error => error,
    }
}

/// The transaction with more partitions; none where it has them. It is not prepared.
fn added_to(
    current: &Transaction,
    version: i16,
    request: &AddPartitions,
    now: Now,
) -> Result<Option<Transaction>, ErrorCode> {
    current.check_producer(request.producer)?;
    if current.status == Status::Ongoing && current.has(&request.partitions) {
        return Ok(None);
    }
    let version = match version >= BROKERS_VERSION {
        true => TransactionVersion::SECOND,
        false => TransactionVersion::FIRST,
    };
    Ok(Some(current.with(&request.partitions, version, now)))
}

/// The id's transaction is complete: what waited for that is done, in its order.
pub(super) fn add_parked(id: &TransactionalId, mut current: Transaction, step: &mut Step<'_>) {
    for waiting in step.soft.parked.take(id) {
        let added = added_to(&current, waiting.version, &waiting.request, step.now);
        let error = match added {
            Ok(None) => ErrorCode::None,
            Ok(Some(added)) => {
                current = added.clone();
                step.put(id, added);
                ErrorCode::None
            }
            Err(error) => told(error, waiting.version),
        };
        let answer = Response::AddPartitions(error);
        step.decision.reply(waiting.token, answer);
    }
}

impl Shard {
    pub(super) fn add_partitions(
        &self,
        version: i16,
        request: &AddPartitions,
        step: &mut Step<'_>,
    ) -> ErrorCode {
        let id = &request.transactional_id;
        if id.is_empty() {
            return ErrorCode::InvalidRequest;
        }
        let added = self.settled(id, request.producer);
        let added = added.and_then(|current| added_to(current, version, request, step.now));
        match added {
            Ok(added) => {
                if let Some(added) = added {
                    step.put(&id.as_str().into(), added);
                }
                ErrorCode::None
            }
            Err(error) => told(error, version),
        }
    }

    /// The partitions that are not in the transaction.
    pub(super) fn verify(&self, request: &VerifyPartitions) -> Result<Partitions, ErrorCode> {
        let VerifyPartitions(request) = request;
        if request.transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let current = self.settled(&request.transactional_id, request.producer)?;
        let mut missing = Partitions::new();
        for (topic, indexes) in &request.partitions {
            let known = current.partitions.get(topic);
            let is_missing = |index: &i32| known.is_none_or(|known| !known.contains(index));
            let indexes: BTreeSet<i32> = indexes.iter().copied().filter(is_missing).collect();
            if !indexes.is_empty() {
                missing.insert(topic.clone(), indexes);
            }
        }
        Ok(missing)
    }
}
