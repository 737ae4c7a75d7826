//! EndTxn: the request and its answer.

use crate::codec::Kafka;

/// Commits or aborts a transaction.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = EndTxn, versions = "0-5", flexible = "3+", response = EndTxnResponse)]
pub struct EndTxnRequest {
    pub transactional_id: String,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub committed: bool,
}

/// Whether it ended, and the epoch for the next one.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-5", flexible = "3+")]
pub struct EndTxnResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[kafka(versions = "5+", default = -1, ignorable)]
    pub producer_id: i64,
    #[kafka(versions = "5+", default = -1, ignorable)]
    pub producer_epoch: i16,
}
