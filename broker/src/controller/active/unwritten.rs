//! What becomes of decisions that are not committed here.

use bytes::Bytes;
use openraft::error::{ClientWriteError, RaftError};
use ottla_core::metadata::Response;
use ottla_protocol::codec;
use tracing::info;

use super::{Active, Outcome, Waiter};
use crate::controller::ATTEMPT_TIMEOUT;
use crate::controller::raft::{Records, Types};

impl Active {
    /// Commits records as one entry; gives its index.
    pub(super) async fn write(&self, entry: Bytes) -> Result<u64, Unwritten> {
        let written = self.handle.shared.raft.client_write(Records(entry));
        match tokio::time::timeout(ATTEMPT_TIMEOUT, written).await {
            Ok(Ok(written)) => Ok(written.log_id.index),
            Ok(Err(error)) => Err(Unwritten {
                is_refused: is_refused(&error),
                why: error.to_string(),
            }),
            Err(_) => Err(Unwritten {
                is_refused: false,
                why: format!("no majority took it within {ATTEMPT_TIMEOUT:?}"),
            }),
        }
    }
}

fn is_refused(error: &RaftError<Types, ClientWriteError<Types>>) -> bool {
    use ClientWriteError::ForwardToLeader;
    matches!(error, RaftError::APIError(ForwardToLeader(_)))
}

/// Records that are not known to be committed.
pub(super) struct Unwritten {
    /// They are not, and this node is not the one to commit them.
    is_refused: bool,
    why: String,
}

impl Unwritten {
    /// They cannot be written down.
    pub(super) fn encoded(error: &codec::Error) -> Self {
        Self {
            is_refused: false,
            why: error.to_string(),
        }
    }

    /// Beats are answered by dropping them.
    pub(super) fn answer(self, outcomes: Vec<(Waiter, Response)>) {
        info!("a metadata change was not committed here: {}", self.why);
        for (waiter, _) in outcomes {
            if let Waiter::Submit(reply) = waiter {
                let outcome = self.is_refused.then_some(Outcome::NotController);
                let _ = reply.send(outcome.unwrap_or(Outcome::Uncertain));
            }
        }
    }
}
