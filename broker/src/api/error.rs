//! Why a request has no answer.

use ottla_core::authentication::Unexpected;
use ottla_protocol::api::ApiKey;
use ottla_protocol::codec;
use ottla_protocol::frame;

/// Why a request has no answer: the connection is closed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are no request.
    #[error("its bytes are no Kafka request: {0}")]
    Frame(#[from] frame::Error),
    /// The request's body is malformed.
    #[error("a malformed {api} request of version {version}: {error}")]
    Body {
        /// The API.
        api: ApiKey,
        /// Its version.
        version: i16,
        /// What is wrong.
        error: codec::Error,
    },
    /// A version outside the range that is served, of an API other than ApiVersions.
    #[error("{api} of version {version} is not served")]
    Unsupported {
        /// The API.
        api: ApiKey,
        /// Its version.
        version: i16,
    },
    /// The answer cannot be said in the request's version.
    #[error("the answer to {api} of version {version} cannot be written: {error}")]
    Encode {
        /// The API.
        api: ApiKey,
        /// Its version.
        version: i16,
        /// What is wrong.
        error: codec::Error,
    },
    /// A request that is not served now: the client has not logged in, or too long ago.
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
    /// A login that failed, of which the client learns in no other way.
    #[error("the client has not authenticated")]
    NotAuthenticated,
    /// A login by a token while the keys of its issuer could not be had yet.
    #[error("the keys of the token's issuer are not there yet")]
    NoKeys,
    /// A Produce with acks=0 failed, of which the client learns in no other way.
    #[error("a produce with acks=0 was refused")]
    Unacknowledged,
}

impl Error {
    /// Whether the client sent nonsense, which deserves a line in the log.
    #[must_use]
    pub fn is_garbage(&self) -> bool {
        !matches!(
            self,
            Self::Unacknowledged
                | Self::NotAuthenticated
                | Self::NoKeys
                | Self::Unexpected(Unexpected::Expired)
        )
    }
}
