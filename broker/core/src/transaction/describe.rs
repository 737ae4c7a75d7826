//! DescribeTransactions and ListTransactions.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::transactions::{
    DescribedTransaction, ListTransactionsRequest, ListedTransaction, TopicData,
};

use super::Shard;
use super::state::Transaction;
use crate::shard::Now;

impl Shard {
    pub(super) fn describe(&self, id: &str) -> DescribedTransaction {
        let Some(transaction) = self.transactions.get(id) else {
            return DescribedTransaction {
                error_code: ErrorCode::TransactionalIdNotFound.code(),
                transactional_id: id.to_owned(),
                ..DescribedTransaction::default()
            };
        };
        let topics = transaction.partitions.iter();
        DescribedTransaction {
            error_code: ErrorCode::None.code(),
            transactional_id: id.to_owned(),
            transaction_state: transaction.status.name().to_owned(),
            transaction_timeout_ms: transaction.timeout_ms,
            transaction_start_time_ms: transaction.start_ms,
            producer_id: transaction.producer.id.0,
            producer_epoch: transaction.producer.epoch.0,
            topics: topics
                .map(|(topic, indexes)| TopicData {
                    topic: topic.to_string(),
                    partitions: indexes.iter().copied().collect(),
                })
                .collect(),
        }
    }

    pub(super) fn list(
        &self,
        request: &ListTransactionsRequest,
        now: Now,
    ) -> Vec<ListedTransaction> {
        let is_listed = |transaction: &Transaction| {
            let ids = &request.producer_id_filters;
            let states = &request.state_filters;
            let duration_ms = now.wall_ms - transaction.start_ms;
            (ids.is_empty() || ids.contains(&transaction.producer.id.0))
                && (states.is_empty() || states.iter().any(|s| s == transaction.status.name()))
                && (request.duration_filter < 0 || duration_ms > request.duration_filter)
        };
        let all = self.transactions.iter();
        let listed = all.filter(|(_, transaction)| is_listed(transaction));
        listed
            .map(|(id, transaction)| ListedTransaction {
                transactional_id: id.to_string(),
                producer_id: transaction.producer.id.0,
                transaction_state: transaction.status.name().to_owned(),
            })
            .collect()
    }
}
