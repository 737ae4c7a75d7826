//! The way to the active controller of what a client's quota bounds (KIP-599).

use ottla_core::metadata::Response;
use ottla_core::metadata::request::Metered;
use ottla_protocol::api::ApiKey;
use ottla_protocol::error::ErrorCode;

use super::forward::submit;
use super::{Context, RequestContext};
use crate::authorizer;
use crate::controller;

/// As [`submit`], by the client's quota where it has one.
pub(super) async fn metered<R: controller::Ask>(
    context: &Context,
    request: &RequestContext,
    timeout_ms: i32,
    body: R,
) -> Result<R::Answer, (ErrorCode, String)> {
    let allowance = request.allowance.as_ref();
    if !allowance.is_some_and(|allowance| allowance.is_metered) {
        return submit(context, body).await;
    }
    let wrong = |what: &str| (ErrorCode::UnknownServerError, what.to_owned());
    let encoded = body.into_request().encode();
    let asked = Metered {
        user: authorizer::user(&request.principal.name).to_owned(),
        client_id: request.client_id.as_deref().unwrap_or_default().to_owned(),
        is_strict: request.api_version >= strict_since(request.api_key),
        timeout_ms,
        request: encoded.map_err(|_| wrong("The request cannot be sent on."))?,
    };
    let answer = submit(context, asked).await?;
    let answer = answer.map_err(|refusal| (refusal.error(), refusal.message))?;
    let response = Response::decode(answer.response).ok().and_then(R::answer);
    response.ok_or_else(|| wrong("The active controller answered something else."))
}

/// The first version in which clients know of THROTTLING_QUOTA_EXCEEDED.
fn strict_since(api: ApiKey) -> i16 {
    match api {
        ApiKey::CreateTopics => 6,
        ApiKey::DeleteTopics => 5,
        // its clients are not told, and ask again
        ApiKey::Metadata => 0,
        _ => 3,
    }
}
