//! Why a connection ended.

use std::io;
use std::time::Duration;

use super::{FRAME_WINDOW, FRAME_WINDOW_BYTES_MIN, LOGIN_TIMEOUT, WRITE_STALL_MAX};
use crate::api;
use crate::net::frames;

/// Why a connection ended, where the client did not simply close it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes that came are no requests.
    #[error(transparent)]
    Frames(#[from] frames::Error),
    /// A request that cannot be answered.
    #[error(transparent)]
    Api(#[from] api::Error),
    /// No traffic for `connections.max.idle.ms`, or no first request in time.
    #[error("idle for {0:?}")]
    Idle(Duration),
    /// No login in time.
    #[error("no login within {LOGIN_TIMEOUT:?}")]
    NoLogin,
    /// A request that comes too slowly, or not any further.
    #[error("a request came at less than {FRAME_WINDOW_BYTES_MIN} bytes in {FRAME_WINDOW:?}")]
    SlowRequest,
    /// Answers that nobody takes.
    #[error("nothing of an answer was taken for {WRITE_STALL_MAX:?}")]
    Stalled,
    /// Writing failed.
    #[error("writing failed: {0}")]
    Io(#[from] io::Error),
}

impl Error {
    /// Whether this is the common end of a connection, not worth a line in the log.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        match self {
            Self::Frames(error) => !matches!(error, frames::Error::Length { .. }),
            Self::Api(error) => !error.is_garbage(),
            Self::Idle(_) | Self::NoLogin | Self::SlowRequest | Self::Stalled | Self::Io(_) => true,
        }
    }
}
