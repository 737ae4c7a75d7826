//! InitProducerId: the request and its answer.

use crate::codec::Kafka;

/// Asks for a producer id, or a new epoch of one.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = InitProducerId, versions = "0-6", flexible = "2+", response = InitProducerIdResponse)]
pub struct InitProducerIdRequest {
    #[kafka(nullable = "0+")]
    pub transactional_id: Option<String>,
    pub transaction_timeout_ms: i32,
    #[kafka(versions = "3+", default = -1)]
    pub producer_id: i64,
    #[kafka(versions = "3+", default = -1)]
    pub producer_epoch: i16,
    #[kafka(versions = "6+")]
    pub enable2_pc: bool,
    #[kafka(versions = "6+")]
    pub keep_prepared_txn: bool,
}

/// The producer id and epoch.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-6", flexible = "2+")]
pub struct InitProducerIdResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[kafka(default = -1)]
    pub producer_id: i64,
    pub producer_epoch: i16,
    #[kafka(versions = "6+", default = -1)]
    pub ongoing_txn_producer_id: i64,
    #[kafka(versions = "6+", default = -1)]
    pub ongoing_txn_producer_epoch: i16,
}
