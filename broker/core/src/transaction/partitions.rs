//! AddPartitionsToTxn and AddOffsetsToTxn: which partitions a transaction writes to.

use std::collections::BTreeSet;

use ottla_protocol::error::ErrorCode;

use super::request::{AddPartitions, VerifyPartitions};
use super::state::{Partitions, Status, TransactionVersion};
use super::{Shard, Step};

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

impl Shard {
    pub(super) fn add_partitions(
        &self,
        version: i16,
        request: &AddPartitions,
        step: &mut Step<'_>,
    ) -> ErrorCode {
        match self.add(version, request, step) {
            Ok(()) => ErrorCode::None,
            Err(error) => told(error, version),
        }
    }

    fn add(
        &self,
        version: i16,
        request: &AddPartitions,
        step: &mut Step<'_>,
    ) -> Result<(), ErrorCode> {
        if request.transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let current = self.settled(&request.transactional_id, request.producer)?;
        if current.status == Status::Ongoing && current.has(&request.partitions) {
            return Ok(());
        }
        let version = match version >= BROKERS_VERSION {
            true => TransactionVersion::SECOND,
            false => TransactionVersion::FIRST,
        };
        let added = current.with(&request.partitions, version, step.now);
        step.put(&request.transactional_id.as_str().into(), added);
        Ok(())
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
