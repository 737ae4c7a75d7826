//! The records of `__transaction_state`.

use crate::codec::Kafka;

/// Tags from here on are of fields that Kafka does not have: its tools pass over them.
pub const OWN_TAGS: u32 = 10_000;

/// The key of a transactional id's state.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0")]
pub struct TransactionLogKey {
    pub transactional_id: String,
}

/// A transactional id's producer and its transaction.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-1", flexible = "1+")]
pub struct TransactionLogValue {
    pub producer_id: i64,
    #[kafka(versions = "1+", tag = 0, default = -1)]
    pub previous_producer_id: i64,
    #[kafka(versions = "1+", tag = 1, default = -1)]
    pub next_producer_id: i64,
    pub producer_epoch: i16,
    #[kafka(versions = "1+", tag = 3, default = -1)]
    pub next_producer_epoch: i16,
    pub transaction_timeout_ms: i32,
    pub transaction_status: i8,
    #[kafka(nullable = "0+")]
    pub transaction_partitions: Option<Vec<PartitionsSchema>>,
    pub transaction_last_update_timestamp_ms: i64,
    pub transaction_start_timestamp_ms: i64,
    #[kafka(versions = "1+", tag = 2)]
    pub client_transaction_version: i16,
    /// The epoch before the last bump: a retry of what bumped it is known by it.
    #[kafka(versions = "1+", tag = 10000, default = -1, ignorable)]
    pub last_producer_epoch: i16,
}

/// One entry of [`TransactionLogValue::transaction_partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct PartitionsSchema {
    pub topic: String,
    pub partition_ids: Vec<i32>,
}
