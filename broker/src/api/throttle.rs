//! What clients are told to wait because of their quotas (KIP-219): the answer leaves at once and
//! says how long, and the connection is read no further meanwhile.

use std::future::Future;
use std::time::Duration;

use futures_util::FutureExt as _;
use ottla_protocol::codec::{Message, Request};
use ottla_protocol::frame::RequestHeader;

use super::{Answered, Context, Error, RequestContext, encode};

/// Whether the time is measured that the request is worked on: where there is a quota of it.
pub(super) fn is_measured(request: &RequestContext) -> bool {
    let allowance = request.allowance.as_ref();
    allowance.is_some_and(|allowance| allowance.request.is_some())
}

/// What a handler answers, and the time that it worked for it, without that in which it waited.
pub(super) async fn measured<H: Future + Unpin>(
    context: &Context,
    mut handler: H,
) -> (H::Output, Duration) {
    let mut worked = Duration::ZERO;
    let response = std::future::poll_fn(|task| {
        let began = context.env.now();
        let polled = handler.poll_unpin(task);
        worked += context.env.now().saturating_sub(began);
        polled
    });
    (response.await, worked)
}

/// The frame of an answer, which tells for how long the client is to wait.
pub(super) fn answer<R: Request>(
    context: &Context,
    header: &RequestHeader,
    request: &RequestContext,
    (mut response, worked): (R::Response, Duration),
) -> Result<Option<Answered>, Error> {
    if request.allowance.is_none() {
        return encode::<R>(header, &response);
    }
    let throttle = throttle(context, request, &mut response, worked);
    let answered = encode::<R>(header, &response)?;
    Ok(answered.map(|answered| Answered {
        throttle,
        ..answered
    }))
}

/// The longest of the waits that the request comes to: by its bytes, by its time, and by what its
/// handler says already.
fn throttle(
    context: &Context,
    request: &RequestContext,
    response: &mut impl Message,
    worked: Duration,
) -> Duration {
    let quota = request.allowance.as_ref();
    let quota = quota.and_then(|allowance| allowance.request.as_ref());
    let by_time = quota.map_or(Duration::ZERO, |quota| {
        context.quotas.take_time(quota, worked)
    });
    let throttle = request.throttle.max(by_time);
    let Some(told_ms) = response.throttle_time_ms() else {
        return throttle;
    };
    let told = Duration::from_millis(u64::try_from(*told_ms).unwrap_or(0));
    let throttle = throttle.max(told);
    *told_ms = millis(throttle);
    throttle
}

/// As answers tell it.
pub(super) fn millis(throttle: Duration) -> i32 {
    i32::try_from(throttle.as_millis()).unwrap_or(i32::MAX)
}
