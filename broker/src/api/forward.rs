//! The way of a request that changes metadata: to the active controller, and back once this broker
//! has seen the change too, so that whoever asks here next finds it.

use std::time::Duration;

use ottla_core::image::MetadataImage;
use ottla_protocol::error::ErrorCode;

use super::Context;
use crate::authorizer::sentence;
use crate::controller;

/// How long an answer waits at most for this broker to see what is committed.
const IMAGE_WAIT_MAX: Duration = Duration::from_secs(1);

/// Has the active controller decide `body`; the error is what every part of it is answered.
pub(super) async fn submit<R: controller::Ask>(
    context: &Context,
    body: R,
) -> Result<R::Answer, (ErrorCode, String)> {
    context.controller.submit(body).await.map_err(|error| {
        let code = match error {
            controller::Error::NoController => ErrorCode::NotController,
            controller::Error::TooLong { .. } => ErrorCode::InvalidRequest,
            // it may have been carried out
            controller::Error::TimedOut
            | controller::Error::NotShown
            | controller::Error::Misunderstood { .. } => ErrorCode::RequestTimedOut,
        };
        (code, error.to_string())
    })
}

/// As [`submit`], where the client has the permission.
pub(super) async fn submit_with<R: controller::Ask>(
    context: &Context,
    permission: Result<(), ErrorCode>,
    body: R,
) -> Result<R::Answer, (ErrorCode, String)> {
    permission.map_err(|error| (error, sentence(error)))?;
    submit(context, body).await
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
