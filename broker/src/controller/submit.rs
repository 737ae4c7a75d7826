//! A request's way to the active controller, and its answer's way back.
//!
//! Whoever asks waits no longer than [`SUBMIT_TIMEOUT`], wherever the active controller is and
//! whatever it does. What is too long for the way is refused by the broker that is asked, the
//! active one too, so that the answer does not depend on which one that is.

use std::time::Duration;

use bytes::Bytes;
use ottla_core::ask;
use ottla_core::metadata::{Request, Response};
use ottla_protocol::ids::NodeId;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::active::{Message, Outcome};
use super::{ATTEMPT_TIMEOUT, Handle, RETRY_INTERVAL};
use crate::peer::wire;

/// How long a request may look for the active controller and wait for its answer.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long it may do so at least, however little time whoever asks has.
const SUBMIT_TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// How long a request may be. What is decided by it is not much longer, and goes to the other
/// voters in one piece ([`super::active::ENTRY_BYTES_MAX`]).
const REQUEST_BYTES_MAX: usize = 8 << 20;

/// How long an answer waits for this broker's own image to show its outcome.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a request got no decision.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No active controller was found before the deadline.
    #[error("no active controller was reached in time; a majority of the quorum must be up")]
    NoController,
    /// It is longer than [`REQUEST_BYTES_MAX`], or a name in it than 32,767 bytes.
    #[error("{request} is too long to be carried out at once ({why}): ask for less at a time")]
    TooLong {
        /// What was asked.
        request: &'static str,
        /// What is too long.
        why: String,
    },
    /// The request reached a controller, whose answer did not come; it may have been carried out.
    #[error("the active controller did not answer in time")]
    TimedOut,
    /// It was carried out, but what it was decided by is not in this broker's image yet.
    #[error("this broker's image does not show yet what the active controller answered")]
    NotShown,
    /// What the controller answered is no answer to the request, which may have been carried out.
    #[error("the active controller gave no answer to {request} that this broker knows")]
    Misunderstood {
        /// What was asked.
        request: &'static str,
    },
}

/// What the active controller can be asked.
pub trait Ask: ask::Ask<Request = Request, Response = Response> {}

impl<R: ask::Ask<Request = Request, Response = Response>> Ask for R {}

impl Handle {
    /// Has the active controller decide what `body` asks, and waits until the outcome is applied
    /// there and visible in this broker's image.
    ///
    /// # Errors
    /// As [`Error`] tells; the request was not carried out in the cases of `NoController` and
    /// `TooLong` only.
    pub async fn submit<R: Ask>(&self, body: R) -> Result<R::Answer, Error> {
        let request = body.into_request();
        let response = self.submit_until_answered(&request).await?;
        R::answer(response).ok_or(Error::Misunderstood {
            request: request.name(),
        })
    }

    async fn submit_until_answered(&self, request: &Request) -> Result<Response, Error> {
        // a client that got no answer in its time asks again, perhaps for the opposite: what it
        // asked first must not be carried out after that
        let encoded = encoded(request)?;
        let patience = request.timeout().unwrap_or(SUBMIT_TIMEOUT);
        let deadline = Instant::now() + patience.clamp(SUBMIT_TIMEOUT_MIN, SUBMIT_TIMEOUT);
        let mut reached = false;
        loop {
            let attempt = tokio::time::timeout_at(deadline, self.attempt(request, &encoded)).await;
            // one that was cut off may have been carried out
            match attempt.unwrap_or(Outcome::Uncertain) {
                Outcome::Done { response, applied } => {
                    let shown = self.wait_applied(applied);
                    let shown = tokio::time::timeout_at(deadline, shown).await;
                    let is_shown = shown.unwrap_or(false);
                    // by a min.insync.replicas from before the ISR that follows from a raised one
                    // would be too short to acknowledge by: the image brings both, in their order
                    let needs_image = matches!(request, Request::AlterPartition(_));
                    return match is_shown || !needs_image {
                        true => Ok(response),
                        false => Err(Error::NotShown),
                    };
                }
                Outcome::NotController => {}
                Outcome::Uncertain => reached = true,
            }
            if Instant::now() + RETRY_INTERVAL >= deadline {
                return Err(if reached {
                    Error::TimedOut
                } else {
                    Error::NoController
                });
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }

    async fn attempt(&self, request: &Request, encoded: &Bytes) -> Outcome {
        match self.active() {
            None => Outcome::NotController,
            Some(node) if node == self.node_id() => self.submit_here(request.clone()).await,
            Some(node) => self.forward(node, encoded.clone()).await,
        }
    }

    /// Hands `request` to the task of this node, active or not.
    pub(crate) async fn submit_here(&self, request: Request) -> Outcome {
        let (reply, answer) = oneshot::channel();
        let message = Message::Submit { request, reply };
        let handing = self.shared.messages.send_timeout(message, ATTEMPT_TIMEOUT);
        if handing.await.is_err() {
            return Outcome::NotController;
        }
        let answered = tokio::time::timeout(ATTEMPT_TIMEOUT, answer).await;
        answered.map_or(Outcome::Uncertain, |answer| {
            answer.unwrap_or(Outcome::Uncertain)
        })
    }

    async fn forward(&self, node: NodeId, request: Bytes) -> Outcome {
        let Some(address) = self.peer_address(node) else {
            return Outcome::NotController;
        };
        let mut client = self.shared.peers.client(node, &address);
        let message = wire::SubmitRequest { request };
        let call = client.submit(message);
        let answer = match tokio::time::timeout(ATTEMPT_TIMEOUT, call).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(_)) | Err(_) => return Outcome::Uncertain,
        };
        use wire::submit_response::Result as Answer;
        match answer.result {
            Some(Answer::Response(bytes)) => match Response::decode(bytes) {
                Ok(response) => Outcome::Done {
                    response,
                    applied: answer.applied,
                },
                Err(_) => Outcome::Uncertain,
            },
            Some(Answer::NotController(_)) => Outcome::NotController,
            Some(Answer::Uncertain(_)) | None => Outcome::Uncertain,
        }
    }

    /// Waits for the image of that index, for a while; says whether it is there.
    async fn wait_applied(&self, index: u64) -> bool {
        let mut applied = self.shared.applied.clone();
        let wait = applied.wait_for(|applied| *applied >= index);
        // late is better than never: most answers are right even where the image lags behind
        let waited = tokio::time::timeout(CATCH_UP_TIMEOUT, wait).await;
        matches!(waited, Ok(Ok(_)))
    }
}

/// The request's bytes, where they are few enough.
fn encoded(request: &Request) -> Result<Bytes, Error> {
    let too_long = |why: String| Error::TooLong {
        request: request.name(),
        why,
    };
    let bytes = request
        .encode()
        .map_err(|error| too_long(error.to_string()))?;
    match bytes.len() {
        length if length > REQUEST_BYTES_MAX => Err(too_long(format!(
            "{length} bytes of at most {REQUEST_BYTES_MAX}"
        ))),
        _ => Ok(bytes),
    }
}
