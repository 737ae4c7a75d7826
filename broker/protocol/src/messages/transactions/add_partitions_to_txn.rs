//! AddPartitionsToTxn: the request and its answer.

use crate::codec::Kafka;

/// Adds partitions to transactions, or verifies that they were added.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = AddPartitionsToTxn,
    versions = "0-5",
    flexible = "3+",
    response = AddPartitionsToTxnResponse
)]
pub struct AddPartitionsToTxnRequest {
    #[kafka(versions = "4+")]
    pub transactions: Vec<AddPartitionsToTxnTransaction>,
    #[kafka(versions = "0-3")]
    pub v3_and_below_transactional_id: String,
    #[kafka(versions = "0-3")]
    pub v3_and_below_producer_id: i64,
    #[kafka(versions = "0-3")]
    pub v3_and_below_producer_epoch: i16,
    #[kafka(versions = "0-3")]
    pub v3_and_below_topics: Vec<AddPartitionsToTxnTopic>,
}

/// One entry of [`AddPartitionsToTxnRequest::transactions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct AddPartitionsToTxnTransaction {
    pub transactional_id: String,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub verify_only: bool,
    pub topics: Vec<AddPartitionsToTxnTopic>,
}

/// One entry of [`AddPartitionsToTxnTransaction::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct AddPartitionsToTxnTopic {
    pub name: String,
    pub partitions: Vec<i32>,
}

/// What became of each partition.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-5", flexible = "3+")]
pub struct AddPartitionsToTxnResponse {
    pub throttle_time_ms: i32,
    #[kafka(versions = "4+", ignorable)]
    pub error_code: i16,
    #[kafka(versions = "4+")]
    pub results_by_transaction: Vec<AddPartitionsToTxnResult>,
    #[kafka(versions = "0-3")]
    pub results_by_topic_v3_and_below: Vec<AddPartitionsToTxnTopicResult>,
}

/// One entry of [`AddPartitionsToTxnResponse::results_by_transaction`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct AddPartitionsToTxnResult {
    pub transactional_id: String,
    pub topic_results: Vec<AddPartitionsToTxnTopicResult>,
}

/// One entry of [`AddPartitionsToTxnResult::topic_results`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct AddPartitionsToTxnTopicResult {
    pub name: String,
    pub results_by_partition: Vec<AddPartitionsToTxnPartitionResult>,
}

/// One entry of [`AddPartitionsToTxnTopicResult::results_by_partition`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct AddPartitionsToTxnPartitionResult {
    pub partition_index: i32,
    pub partition_error_code: i16,
}
