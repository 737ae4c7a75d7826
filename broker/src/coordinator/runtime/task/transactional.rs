//! What is appended as part of a producer's transaction, and the markers that end it.

use ottla_core::shard::{DecisionOf, Shard};
use ottla_protocol::error::ErrorCode;
use tokio::time::Instant;

use super::super::unappended::Leaving;
use super::super::{EndMarker, MarkerAnswer};
use super::{Failure, InFlight, Serving};

impl<S: Shard> Serving<'_, S> {
    /// Makes a decision so whose records are part of a transaction. The log may refuse its
    /// producer, which is no matter of the other decisions: so they do not share the refusal.
    pub(super) fn replay_alone(&mut self, decision: DecisionOf<S>) -> Result<(), Failure> {
        if !self.flush() {
            let replies = decision.replies.into_iter().map(Leaving::Reply);
            self.fail(replies.collect(), ErrorCode::CoordinatorNotAvailable);
            return Ok(());
        }
        self.replay(decision)?;
        self.flush();
        Ok(())
    }

    /// Appends a marker, and replays it. What was decided before stands before it in the log.
    pub(super) fn end(&mut self, marker: EndMarker, answer: MarkerAnswer) {
        if !self.flush() {
            let _ = answer.send(Err(ErrorCode::NotEnoughReplicas));
            return;
        }
        let task = &*self.task;
        let batch = marker.batch(task.env.unix_ms());
        let (partition, leader_epoch) = (task.partition, task.leader_epoch);
        let appended = task
            .log
            .append(partition, leader_epoch, batch, marker.origin());
        match appended {
            Ok(appended) => {
                self.shard.on_marker(marker.producer_id, marker.record);
                self.in_flight.push_back(InFlight {
                    appended,
                    leaving: vec![Leaving::Marker(answer)],
                    deadline: Instant::now() + task.settings.commit_timeout,
                });
            }
            Err(error) => drop(answer.send(Err(error))),
        }
    }
}
