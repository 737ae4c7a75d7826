//! InitProducerId, for idempotent and for transactional producers.

use ottla_core::acl::Operation;
use ottla_core::transaction::refusal;
use ottla_core::transaction::request::{Answered, InitProducerId};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::producer_ids::{InitProducerIdRequest, InitProducerIdResponse};

use super::{Context, RequestContext};

/// Answers an InitProducerId. Every idempotent producer gets an id of its own; one that asks again,
/// after an error it cannot mend, gets a new one. What a transactional producer gets, its
/// coordinator says.
pub async fn init_producer_id(
    context: &Context,
    request: &RequestContext,
    body: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let answer = match body.transactional_id.clone() {
        Some(id) => init_transactional(context, request, &id, body).await,
        None => init_idempotent(context, request).await,
    };
    answer.unwrap_or_else(|error| InitProducerIdResponse {
        error_code: error.code(),
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdResponse::default()
    })
}

async fn init_idempotent(
    context: &Context,
    request: &RequestContext,
) -> Result<InitProducerIdResponse, ErrorCode> {
    let access = context.access(request);
    if !access.may_with_any_topic(Operation::Write) {
        access.cluster(Operation::IdempotentWrite)?;
    }
    let producer_id = context.coordinator.transactions().producer_id().await?;
    Ok(InitProducerIdResponse {
        producer_id: producer_id.0,
        producer_epoch: 0,
        ..InitProducerIdResponse::default()
    })
}

async fn init_transactional(
    context: &Context,
    request: &RequestContext,
    id: &str,
    body: InitProducerIdRequest,
) -> Result<InitProducerIdResponse, ErrorCode> {
    let access = context.access(request);
    access.transactional_id(Operation::Write, id)?;
    if body.enable2_pc {
        access.transactional_id(Operation::TwoPhaseCommit, id)?;
    }
    let coordinators = context.coordinator.transactions();
    if let Some(error) = refusal(&body, coordinators.settings()) {
        return Err(error);
    }
    let mut fresh = None;
    loop {
        let body = InitProducerId {
            body: body.clone(),
            fresh,
        };
        match coordinators.request(id, request.api_version, body).await? {
            Answered::With(response) => return Ok(response),
            // the id is new, or its epochs are used up
            Answered::NeedsProducerId => fresh = Some(coordinators.producer_id().await?),
        }
    }
}
