//! The records of `__transaction_state`, in Apache Kafka's own format.
//!
//! ```text
//!   key:   version i16   0             value:  version i16   0, 1
//!          transactional id string             the fields of that version
//!                                      no value: the id is forgotten
//! ```
//! Values are written in version 1 whatever the finalized `transaction.version` is: only there a
//! producer's previous id and epoch are kept, by which a retry is known after a fail-over.

use bytes::Bytes;
use ottla_protocol::codec::Error as CodecError;
use ottla_protocol::ids::{ProducerEpoch, ProducerId};
use ottla_protocol::messages::transaction_records::{
    PartitionsSchema, TransactionLogKey, TransactionLogValue,
};

use super::TransactionalId;
use super::state::{Partitions, Producer, Status, Transaction, TransactionVersion};
use crate::shard::versioned::{decode_key, decode_value, encode_key, encode_value, split_version};

const KEY_VERSION: i16 = 0;
const VALUE_VERSION: i16 = 1;

/// A transactional id's state, or its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The id.
    pub transactional_id: TransactionalId,
    /// None is a tombstone.
    pub transaction: Option<Transaction>,
}

/// Why a record cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are no key or value.
    #[error("a record of {TOPIC} is malformed: {0}", TOPIC = super::TRANSACTION_TOPIC)]
    Malformed(#[from] CodecError),
    /// A state that Kafka never writes.
    #[error("a record of {TOPIC} has the unknown state {0}", TOPIC = super::TRANSACTION_TOPIC)]
    Status(i8),
}

impl Record {
    /// The key and the value.
    ///
    /// # Errors
    /// A string is longer than any that a request can bring.
    pub fn encode(&self) -> Result<(Bytes, Option<Bytes>), CodecError> {
        let key = TransactionLogKey {
            transactional_id: self.transactional_id.to_string(),
        };
        let value = self.transaction.as_ref().map(value);
        let value = value.map(|value| encode_value(VALUE_VERSION, &value));
        Ok((encode_key(KEY_VERSION, &key)?, value.transpose()?))
    }

    /// Reads a record; none where it is of a kind that this broker does not know and must skip.
    ///
    /// # Errors
    /// The record is of a known kind, but its bytes are not.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, Error> {
        let (version, key) = split_version(key)?;
        if version != KEY_VERSION {
            return Ok(None);
        }
        let key: TransactionLogKey = decode_key(key)?;
        let transaction = value.map(decode_transaction).transpose()?;
        Ok(Some(Self {
            transactional_id: key.transactional_id.into(),
            transaction,
        }))
    }
}

fn value(transaction: &Transaction) -> TransactionLogValue {
    let partitions = transaction.partitions.iter();
    let partitions = partitions.map(|(topic, indexes)| PartitionsSchema {
        topic: topic.to_string(),
        partition_ids: indexes.iter().copied().collect(),
    });
    let has_partitions = transaction.status != Status::Empty;
    TransactionLogValue {
        producer_id: transaction.producer.id.0,
        previous_producer_id: transaction.previous_id.0,
        next_producer_id: transaction.next_id.0,
        producer_epoch: transaction.producer.epoch.0,
        transaction_timeout_ms: transaction.timeout_ms,
        transaction_status: transaction.status.number(),
        transaction_partitions: has_partitions.then(|| partitions.collect()),
        transaction_last_update_timestamp_ms: transaction.update_ms,
        transaction_start_timestamp_ms: transaction.start_ms,
        client_transaction_version: transaction.version.0,
        last_producer_epoch: transaction.last_epoch.0,
        ..TransactionLogValue::default()
    }
}

fn decode_transaction(bytes: &[u8]) -> Result<Transaction, Error> {
    let value: TransactionLogValue = decode_value(bytes)?;
    let unknown = Error::Status(value.transaction_status);
    let mut partitions = Partitions::new();
    for entry in value.transaction_partitions.into_iter().flatten() {
        let known = partitions.entry(entry.topic.into()).or_default();
        known.extend(entry.partition_ids);
    }
    Ok(Transaction {
        producer: Producer::new(value.producer_id, value.producer_epoch),
        previous_id: ProducerId(value.previous_producer_id),
        next_id: ProducerId(value.next_producer_id),
        last_epoch: ProducerEpoch(value.last_producer_epoch),
        timeout_ms: value.transaction_timeout_ms,
        status: Status::of(value.transaction_status).ok_or(unknown)?,
        partitions,
        start_ms: value.transaction_start_timestamp_ms,
        update_ms: value.transaction_last_update_timestamp_ms,
        version: TransactionVersion(value.client_transaction_version),
    })
}
