//! DescribeTransactions and ListTransactions.

use ottla_core::acl::{Operation, ResourceType};
use ottla_core::transaction::Status;
use ottla_core::transaction::request::DescribeTransaction;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::transactions::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, DescribedTransaction,
    ListTransactionsRequest, ListTransactionsResponse,
};
use regex::Regex;

use super::super::{Context, RequestContext};

/// Answers a DescribeTransactions.
pub async fn describe_transactions(
    context: &Context,
    request: &RequestContext,
    body: DescribeTransactionsRequest,
) -> DescribeTransactionsResponse {
    let access = context.access(request);
    let is_broker = context
        .may_act_as_broker(request, Operation::ClusterAction)
        .is_ok();
    let coordinators = context.coordinator.transactions();
    let ids = body.transactional_ids.into_iter();
    let asked = ids.map(|id| {
        let permission = match is_broker {
            true => Ok(()),
            false => access.transactional_id(Operation::Describe, &id),
        };
        let refusal = id.is_empty().then_some(ErrorCode::InvalidRequest);
        let permission = permission.and(refusal.map_or(Ok(()), Err));
        let body = DescribeTransaction(id.clone());
        let version = request.api_version;
        let asked = permission.map(|()| coordinators.request(&id, version, body));
        (id, asked)
    });
    let asked: Vec<_> = asked.collect();
    let mut transaction_states = Vec::with_capacity(asked.len());
    for (transactional_id, asked) in asked {
        let answer = match asked {
            Ok(asked) => asked.await,
            Err(error) => Err(error),
        };
        let mut described = answer.unwrap_or_else(|error| DescribedTransaction {
            error_code: error.code(),
            transactional_id,
            ..DescribedTransaction::default()
        });
        let topics = &mut described.topics;
        let may_see = |topic: &str| access.may_with_topic(Operation::Describe, topic);
        topics.retain(|topic| is_broker || may_see(&topic.topic));
        transaction_states.push(described);
    }
    DescribeTransactionsResponse {
        transaction_states,
        ..DescribeTransactionsResponse::default()
    }
}

/// Answers a ListTransactions: the transactional ids that this broker coordinates.
pub async fn list_transactions(
    context: &Context,
    request: &RequestContext,
    body: ListTransactionsRequest,
) -> ListTransactionsResponse {
    let mut response = ListTransactionsResponse::default();
    let pattern = body.transactional_id_pattern.as_deref();
    let Ok(pattern) = whole(pattern.unwrap_or_default()) else {
        response.error_code = ErrorCode::InvalidRegularExpression.code();
        return response;
    };
    let states = body.state_filters.iter();
    let unknown = states.filter(|name| !Status::is_name(name));
    response.unknown_state_filters = unknown.cloned().collect();
    let coordinators = context.coordinator.transactions();
    for answer in coordinators.request_all(request.api_version, &body) {
        match answer.await {
            Ok(listed) => response.transaction_states.extend(listed),
            // its ids are now listed by another broker
            Err(ErrorCode::NotCoordinator) => {}
            Err(error) => response.error_code = error.code(),
        }
    }
    if response.error_code != ErrorCode::None.code() {
        response.transaction_states.clear();
    }
    let access = context.access(request);
    let is_broker = context
        .may_act_as_broker(request, Operation::ClusterAction)
        .is_ok();
    response.transaction_states.retain(|listed| {
        let id = &listed.transactional_id;
        let is_meant = pattern.as_ref().is_none_or(|pattern| pattern.is_match(id));
        let may_see = || access.may(Operation::Describe, ResourceType::TransactionalId, id);
        is_meant && (is_broker || may_see())
    });
    response
}

/// A pattern that takes whole ids; none where there is none.
fn whole(pattern: &str) -> Result<Option<Regex>, regex::Error> {
    if pattern.is_empty() {
        return Ok(None);
    }
    // by itself first: what closes a bracket of another's must not be taken
    Regex::new(pattern)?;
    Regex::new(&format!("^(?:{pattern})$")).map(Some)
}
