//! DescribeTransactions: the request and its answer.

use crate::codec::Kafka;

/// Asks for transactions by transactional id.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = DescribeTransactions,
    versions = "0",
    flexible = "0+",
    response = DescribeTransactionsResponse
)]
pub struct DescribeTransactionsRequest {
    pub transactional_ids: Vec<String>,
}

/// Their states and partitions.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct DescribeTransactionsResponse {
    pub throttle_time_ms: i32,
    pub transaction_states: Vec<DescribedTransaction>,
}

/// One entry of [`DescribeTransactionsResponse::transaction_states`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribedTransaction {
    pub error_code: i16,
    pub transactional_id: String,
    pub transaction_state: String,
    pub transaction_timeout_ms: i32,
    pub transaction_start_time_ms: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub topics: Vec<TopicData>,
}

/// One entry of [`DescribedTransaction::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct TopicData {
    pub topic: String,
    pub partitions: Vec<i32>,
}
