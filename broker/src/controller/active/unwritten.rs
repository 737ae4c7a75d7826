//! What becomes of decisions that are not committed here.

use bytes::Bytes;
use openraft::error::{ClientWriteError, ForwardReason};
use openraft::impls::ProgressResponder;
use openraft::impls::leader_id_adv::LeaderId;
use ottla_core::metadata::Response;
use ottla_protocol::codec;
use tokio::time::Instant;
use tracing::info;

use super::{Active, Outcome, Waiter};
use crate::controller::raft::Records;
use crate::controller::{ATTEMPT_TIMEOUT, RETRY_INTERVAL};

impl Active {
    /// Commits records as one entry of the term in which they were decided; gives its index.
    ///
    /// A leader takes nothing while it hears a majority late. It does where the machine is busy,
    /// not least with the decision itself: to decide anew would take as long, and be refused again.
    /// What was decided stays right as long as this node may decide, and is offered again.
    pub(super) async fn write(&self, entry: Bytes) -> Result<u64, Unwritten> {
        let deadline = Instant::now() + ATTEMPT_TIMEOUT;
        loop {
            match tokio::time::timeout_at(deadline, self.offer(entry.clone())).await {
                Ok(Offered::Committed(index)) => return Ok(index),
                Ok(Offered::Late) => {}
                Ok(Offered::Not(unwritten)) => return Err(unwritten),
                Err(_) => {
                    return Err(Unwritten {
                        is_refused: false,
                        why: format!("no majority took it within {ATTEMPT_TIMEOUT:?}"),
                    });
                }
            }
            let is_over = Instant::now() + RETRY_INTERVAL >= deadline;
            if is_over || !self.liveness.decides(self.quorum()) {
                return Err(Unwritten {
                    is_refused: true,
                    why: "a majority was not heard in time".to_owned(),
                });
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }

    /// Has openraft write it, as the leader of the term in which it was decided and no other.
    async fn offer(&self, entry: Bytes) -> Offered {
        use ClientWriteError::ForwardToLeader;
        let (responder, written) = ProgressResponder::complete_only();
        let decided_by = LeaderId {
            term: self.liveness.term().unwrap_or_default(),
            node_id: self.handle.node_id().0 as u64,
        };
        let write = self.handle.shared.raft.write(Records(entry));
        if let Err(error) = write.with_leader(decided_by).responder(responder).await {
            return Offered::Not(Unwritten {
                is_refused: false,
                why: error.to_string(),
            });
        }
        let (is_refused, why) = match written.await {
            Ok(Ok(written)) => return Offered::Committed(written.log_id.index),
            Ok(Err(ForwardToLeader(elsewhere)))
                if elsewhere.reason == ForwardReason::LeaseExpired =>
            {
                return Offered::Late;
            }
            Ok(Err(error)) => (matches!(error, ForwardToLeader(_)), error.to_string()),
            Err(error) => (false, error.to_string()),
        };
        Offered::Not(Unwritten { is_refused, why })
    }
}

/// What became of records that openraft was to write.
enum Offered {
    /// They are committed, as this entry.
    Committed(u64),
    /// They are in no log: a majority was last heard too long ago.
    Late,
    /// They are not known to be committed.
    Not(Unwritten),
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
