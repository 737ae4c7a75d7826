//! ListTransactions: the request and its answer.

use crate::codec::Kafka;

/// Asks which transactions this broker coordinates.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = ListTransactions,
    versions = "0-2",
    flexible = "0+",
    response = ListTransactionsResponse
)]
pub struct ListTransactionsRequest {
    pub state_filters: Vec<String>,
    pub producer_id_filters: Vec<i64>,
    #[kafka(versions = "1+", default = -1)]
    pub duration_filter: i64,
    #[kafka(versions = "2+", nullable = "2+", default = null)]
    pub transactional_id_pattern: Option<String>,
}

/// The transactions.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-2", flexible = "0+")]
pub struct ListTransactionsResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    pub unknown_state_filters: Vec<String>,
    pub transaction_states: Vec<ListedTransaction>,
}

/// One entry of [`ListTransactionsResponse::transaction_states`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct ListedTransaction {
    pub transactional_id: String,
    pub producer_id: i64,
    pub transaction_state: String,
}
