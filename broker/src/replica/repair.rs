//! Damaged replicas are made anew out of what others have.
//!
//! Whoever meets damage in a log, or fails at it, tells here. The controller takes the replica out
//! of the ISR, and another leads; the image that says so has the log emptied and filled again by
//! fetching. A replica that nobody could stand in for is left as it is, and asked about again now
//! and then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ottla_core::metadata::request::{LoseReplicas, LostReplica};
use ottla_core::partition::Input;
use ottla_protocol::ids::{LeaderEpoch, TopicIdPartition};
use ottla_storage::Error;
use tokio::sync::mpsc;
use tracing::{debug, error, warn};

use super::Shared;
use super::partition::Replica;

/// How long to wait before the controller is asked again.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

type Damaged = BTreeMap<TopicIdPartition, Arc<Replica>>;

impl Replica {
    /// Tells of damage that was met in the log; of anything else an error may be nothing.
    pub(super) fn note_damage(self: &Arc<Self>, error: &Error) {
        if error.is_damage() {
            self.ask_for_repair(error);
        }
    }

    /// The log cannot be gone on with.
    pub(super) fn ask_for_repair(self: &Arc<Self>, error: &Error) {
        if !self.is_deleted() && self.begin_repair() {
            error!(partition = ?self, %error, "the log is damaged");
            // the receiver lives as long as the broker
            let _ = self.shared.damaged.send(Arc::clone(self));
        }
    }
}

/// Runs until the broker stops.
pub(super) async fn run(shared: Arc<Shared>, mut told: mpsc::UnboundedReceiver<Arc<Replica>>) {
    let mut damaged = Damaged::new();
    while !shared.is_stopping() {
        let pause = match damaged.is_empty() {
            true => Duration::MAX,
            false => RETRY_PAUSE,
        };
        match tokio::time::timeout(pause, told.recv()).await {
            Ok(None) => return,
            Ok(Some(replica)) => drop(damaged.insert(replica.id, replica)),
            Err(_) => {}
        }
        while let Ok(replica) = told.try_recv() {
            damaged.insert(replica.id, replica);
        }
        damaged.retain(|_, replica| !replica.is_deleted());
        if !damaged.is_empty() {
            // before anybody is asked: whatever the answer is, no leader hears meanwhile of what
            // may be given up by it
            for replica in damaged.values() {
                replica.tell(Input::Doubted);
            }
            ask(&shared, &mut damaged).await;
        }
    }
}

/// Asks the controller to count on none of them; those that it lets go leave the map.
async fn ask(shared: &Arc<Shared>, damaged: &mut Damaged) {
    let Some(broker_epoch) = shared.controller.broker_epoch() else {
        return;
    };
    let ids: Vec<TopicIdPartition> = damaged.keys().copied().collect();
    let lost = |id: &TopicIdPartition| LostReplica {
        topic_id: id.topic_id,
        partition: id.partition,
    };
    let request = LoseReplicas {
        node_id: shared.settings.node_id,
        broker_epoch,
        partitions: ids.iter().map(lost).collect(),
    };
    let epochs = match shared.controller.submit(request).await {
        Ok(Ok(epochs)) => epochs,
        Ok(Err(refusal)) => {
            warn!(message = %refusal.message, "damaged replicas are counted on still");
            for replica in damaged.values() {
                replica.tell(Input::Spared);
            }
            return;
        }
        Err(error) => return debug!(%error, "no controller for damaged replicas"),
    };
    for (id, epoch) in ids.into_iter().zip(epochs) {
        if epoch == LeaderEpoch::NONE {
            if let Some(replica) = damaged.get(&id) {
                warn!(
                    partition = ?replica,
                    "nobody else is in sync: nothing is given up of what is here"
                );
                replica.tell(Input::Spared);
            }
        } else if let Some(replica) = damaged.remove(&id) {
            warn!(partition = ?replica, %epoch, "the replica is made anew out of what others have");
            replica.tell(Input::Lost(epoch));
            replica.end_repair();
            shared.assign_again(&replica);
        }
    }
}
