//! Why there is no answer.

use std::time::Duration;

use ottla_protocol::{codec, frame};

/// Why there is no answer. Whether the broker has done what it was asked to, all say nothing of but
/// [`Error::Version`], [`Error::Request`] and [`Error::InconsistentClusterId`]: there it has not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No broker could be reached; the last one's reason.
    #[error("no broker can be reached ({address}: {cause})")]
    Unreachable {
        /// The last address tried.
        address: String,
        /// What it said.
        cause: std::io::Error,
    },
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] std::io::Error),
    /// A broker did not answer in time.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The broker speaks no version that this client does.
    #[error("no version of {api} that both sides know")]
    Version {
        /// The API.
        api: &'static str,
    },
    /// The request cannot be said in the version that was asked for.
    #[error("a request that cannot be encoded: {0}")]
    Request(codec::Error),
    /// The answer's frame makes no sense.
    #[error("malformed frame: {0}")]
    Frame(#[from] frame::Error),
    /// The answer's body makes no sense.
    #[error("malformed answer: {0}")]
    Malformed(codec::Error),
    /// An answer to another request than the oldest that waits.
    #[error("an answer that nobody waits for")]
    Unasked,
    /// The broker is of another cluster than the one that is asked.
    #[error("the brokers are of cluster {found}, and this was {expected}")]
    InconsistentClusterId {
        /// The id of the cluster that is asked.
        expected: String,
        /// The one that the broker tells.
        found: String,
    },
    /// What went wrong with this broker.
    #[error("{address}: {cause}")]
    Broker {
        /// The broker's address.
        address: String,
        /// What.
        cause: Box<Error>,
    },
}

impl Error {
    /// Whether the connection ended, rather than the broker answering something odd.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        match self {
            Self::Broken(_) => true,
            Self::Broker { cause, .. } => cause.is_broken(),
            _ => false,
        }
    }
}
