//! The way of a request that changes metadata: to the active controller, and back once this broker
//! has seen the change too, so that whoever asks here next finds it.

use std::time::Duration;

use ottla_core::image::MetadataImage;
use ottla_core::metadata::{Request, Response};
use ottla_protocol::error::ErrorCode;

use super::Context;
use crate::authorizer::sentence;
use crate::controller;

/// How long an answer waits at most for this broker to see what is committed.
const IMAGE_WAIT_MAX: Duration = Duration::from_secs(1);

/// Has the active controller decide `request`; the error is what every part of it is answered.
pub(super) async fn submit(
    context: &Context,
    request: Request,
) -> Result<Response, (ErrorCode, String)> {
    context.controller.submit(request).await.map_err(|error| {
        let code = match error {
            controller::Error::NoController | controller::Error::Stopping => {
                ErrorCode::NotController
            }
            controller::Error::TimedOut => ErrorCode::RequestTimedOut,
        };
        (code, error.to_string())
    })
}

/// As [`submit`], where the client has the permission.
pub(super) async fn submit_with(
    context: &Context,
    permission: Result<(), ErrorCode>,
    request: Request,
) -> Result<Response, (ErrorCode, String)> {
    permission.map_err(|error| (error, sentence(error)))?;
    submit(context, request).await
}

/// Waits until `holds` of this broker's image, but not long: the change is committed either way.
pub(super) async fn until(context: &Context, holds: impl Fn(&MetadataImage) -> bool) {
    if holds(&context.controller.image()) {
        return;
    }
    let mut images = context.controller.subscribe();
    let seen = images.wait_for(|image| holds(image));
    // late or gone: the answer is no less true
    let _ = tokio::time::timeout(IMAGE_WAIT_MAX, seen).await;
}
