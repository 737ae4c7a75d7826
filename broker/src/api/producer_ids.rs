//! InitProducerId, for idempotent producers.

use ottla_core::acl::Operation;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::producer_ids::{InitProducerIdRequest, InitProducerIdResponse};

use super::{Context, RequestContext};

/// Answers an InitProducerId. Every idempotent producer gets an id of its own; one that asks again,
/// after an error it cannot mend, gets a new one.
pub async fn init_producer_id(
    context: &Context,
    request: &RequestContext,
    body: InitProducerIdRequest,
) -> InitProducerIdResponse {
    if body.transactional_id.is_some() {
        // no coordinator of transactions was ever named to the client
        return refused(ErrorCode::InvalidRequest);
    }
    let access = context.access(request);
    if let Err(error) = access.cluster(Operation::IdempotentWrite)
        && !access.may_with_any_topic(Operation::Write)
    {
        return refused(error);
    }
    match context
        .coordinator
        .producer_ids()
        .next(&context.controller)
        .await
    {
        Ok(producer_id) => InitProducerIdResponse {
            producer_id: producer_id.0,
            producer_epoch: 0,
            ..InitProducerIdResponse::default()
        },
        Err(error) => refused(error),
    }
}

fn refused(error: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse {
        error_code: error.code(),
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdResponse::default()
    }
}
