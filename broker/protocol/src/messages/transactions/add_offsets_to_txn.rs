//! AddOffsetsToTxn: the request and its answer.

use crate::codec::Kafka;

/// Adds a group's offsets to a transaction.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = AddOffsetsToTxn,
    versions = "0-4",
    flexible = "3+",
    response = AddOffsetsToTxnResponse
)]
pub struct AddOffsetsToTxnRequest {
    pub transactional_id: String,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub group_id: String,
}

/// Whether they were added.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-4", flexible = "3+")]
pub struct AddOffsetsToTxnResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
}
