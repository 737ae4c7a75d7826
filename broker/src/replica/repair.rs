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
use ottla_storage::Error as StorageError;
use tokio::sync::mpsc;
use tracing::{debug, error, warn};

use super::Shared;
use super::partition::Replica;
use crate::controller::submit::Error;
use crate::threads;

/// How long to wait before the controller is asked again.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// The same where it may have been asked already: the answer is needed soon.
const UNCERTAIN_PAUSE: Duration = Duration::from_millis(500);

/// A replica that is damaged.
struct Damage {
    replica: Arc<Replica>,
    /// Whether it may have been let go by a request of which no answer came.
    is_uncertain: bool,
}

type Damaged = BTreeMap<TopicIdPartition, Damage>;

impl Replica {
    /// Tells of damage that was met in the log; of anything else an error may be nothing.
    pub(super) fn note_damage(self: &Arc<Self>, error: &StorageError) {
        if error.is_damage() {
            self.ask_for_repair(error);
        }
    }

    /// The log cannot be gone on with.
    pub(super) fn ask_for_repair(self: &Arc<Self>, error: &StorageError) {
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
        let is_uncertain = damaged.values().any(|damage| damage.is_uncertain);
        let pause = match (damaged.is_empty(), is_uncertain) {
            (true, _) => Duration::MAX,
            (false, true) => UNCERTAIN_PAUSE,
            (false, false) => RETRY_PAUSE,
        };
        match tokio::time::timeout(pause, told.recv()).await {
            Ok(None) => return,
            Ok(Some(replica)) => note(&mut damaged, replica),
            Err(_) => {}
        }
        while let Ok(replica) = told.try_recv() {
            note(&mut damaged, replica);
        }
        damaged.retain(|_, damage| !damage.replica.is_deleted());
        if !damaged.is_empty() {
            ask(&shared, &mut damaged).await;
        }
    }
}

fn note(damaged: &mut Damaged, replica: Arc<Replica>) {
    let damage = Damage {
        is_uncertain: false,
        replica,
    };
    damaged.insert(damage.replica.id, damage);
}

/// Has no leader hear what these replicas hold, and says which of them serve no more. Whoever holds
/// one's lock may be waiting for a disk that hangs.
async fn doubt(shared: &Shared, damaged: &Damaged) -> Option<Vec<LostReplica>> {
    let replicas = damaged.values().map(|damage| Arc::clone(&damage.replica));
    let replicas: Vec<Arc<Replica>> = replicas.collect();
    let doubt = move || {
        let lost = replicas.into_iter().map(|replica| {
            replica.tell(Input::Doubted);
            LostReplica {
                topic_id: replica.id.topic_id,
                partition: replica.id.partition,
                is_offline: replica.lock().partition.is_offline(),
            }
        });
        lost.collect()
    };
    threads::blocking(shared.inline, doubt).await
}

/// Asks the controller to count on none of them; those that it lets go leave the map.
async fn ask(shared: &Arc<Shared>, damaged: &mut Damaged) {
    let Some(broker_epoch) = shared.controller.broker_epoch() else {
        return;
    };
    // Before anybody is asked: whatever the answer is, no leader hears meanwhile of what may be
    // given up by it.
    let Some(partitions) = doubt(shared, damaged).await else {
        return; // the broker stops
    };
    let ids: Vec<TopicIdPartition> = damaged.keys().copied().collect();
    let request = LoseReplicas {
        node_id: shared.settings.node_id,
        broker_epoch,
        partitions,
    };
    let epochs = match shared.controller.submit(request).await {
        Ok(Ok(epochs)) => epochs,
        Ok(Err(refusal)) => {
            warn!(message = %refusal.message, "damaged replicas are counted on still");
            return spare(damaged);
        }
        Err(error) => {
            debug!(%error, "no controller for damaged replicas");
            match error {
                Error::NoController | Error::TooLong { .. } => spare(damaged),
                _ => damaged
                    .values_mut()
                    .for_each(|damage| damage.is_uncertain = true),
            }
            return;
        }
    };
    for (id, epoch) in ids.into_iter().zip(epochs) {
        if epoch == LeaderEpoch::NONE {
            if let Some(damage) = damaged.get_mut(&id) {
                warn!(
                    partition = ?damage.replica,
                    "nobody else is in sync: nothing is given up of what is here"
                );
                damage.is_uncertain = false;
                damage.replica.tell(Input::Spared);
            }
        } else if let Some(Damage { replica, .. }) = damaged.remove(&id) {
            warn!(partition = ?replica, %epoch, "the replica is made anew out of what others have");
            replica.tell(Input::Lost(epoch));
            replica.end_repair();
            shared.assign_again(&replica);
        }
    }
}

/// None was let go by what was just asked. One that may have been by what was asked before stays in
/// doubt.
fn spare(damaged: &Damaged) {
    let certain = damaged.values().filter(|damage| !damage.is_uncertain);
    certain.for_each(|damage| damage.replica.tell(Input::Spared));
}
