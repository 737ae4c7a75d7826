//! Consumer groups and their offsets: from the wire to the coordinator and back.
//!
//! Each handler does the same three things: it checks what needs no group, asks the coordinator,
//! and says the answer, or the coordinator's refusal, in the shape of its API.

mod consumer;
mod find_coordinator;
mod membership;
mod offset_commit;
mod offset_fetch;
mod operate;
mod txn_offset_commit;

pub use consumer::{consumer_group_describe, consumer_group_heartbeat};
pub use find_coordinator::find_coordinator;
pub use membership::{heartbeat, join_group, leave_group, sync_group};
pub use offset_commit::offset_commit;
pub use offset_fetch::offset_fetch;
pub use operate::{delete_groups, describe_groups, list_groups, offset_delete};
pub use txn_offset_commit::txn_offset_commit;

use std::future::Future;

use ottla_core::acl::Operation;
use ottla_core::group::Client;
use ottla_protocol::error::ErrorCode;

use super::{Context, RequestContext};
use crate::coordinator;

/// Who asks, as the coordinator remembers it.
fn client(request: &RequestContext) -> Client {
    Client {
        id: request.client_id.as_deref().unwrap_or("").to_owned(),
        // Java's way to print an address without a name, which tools show
        host: format!("/{}", request.principal.host),
    }
}

/// Asks the coordinator; the request is on its way when this returns.
fn ask<R: coordinator::Ask>(
    context: &Context,
    request: &RequestContext,
    group_id: &str,
    body: R,
) -> impl Future<Output = Result<R::Answer, ErrorCode>> + Send + 'static + use<R> {
    context
        .coordinator
        .request(group_id, request.api_version, client(request), body)
}

/// Whether the group has a name. Without one it may have offsets, committed outside of
/// transactions, as clients of old do, and nothing else.
fn named(group_id: &str) -> Result<(), ErrorCode> {
    match group_id {
        "" => Err(ErrorCode::InvalidGroupId),
        _ => Ok(()),
    }
}

/// Asks about each group that the client may do `operation` with; all are on their way before the
/// first answer is waited for.
async fn ask_each<R: coordinator::Ask>(
    context: &Context,
    request: &RequestContext,
    operation: Operation,
    ids: Vec<String>,
    body: impl Fn(&str) -> Result<R, ErrorCode>,
) -> Vec<(String, Result<R::Answer, ErrorCode>)> {
    let access = context.access(request);
    let ask = |id: String| {
        let body = access.group(operation, &id).and_then(|()| body(&id));
        let answer = body.map(|body| ask(context, request, &id, body));
        (id, answer)
    };
    let asked: Vec<_> = ids.into_iter().map(ask).collect();
    let mut answers = Vec::with_capacity(asked.len());
    for (id, answer) in asked {
        let answer = match answer {
            Ok(answer) => answer.await,
            Err(error) => Err(error),
        };
        answers.push((id, answer));
    }
    answers
}

/// Asks the coordinator about a group with members, whose id cannot be empty.
async fn ask_members<R: coordinator::Ask>(
    context: &Context,
    request: &RequestContext,
    group_id: &str,
    body: R,
) -> Result<R::Answer, ErrorCode> {
    context.access(request).group(Operation::Read, group_id)?;
    named(group_id)?;
    ask(context, request, group_id, body).await
}
