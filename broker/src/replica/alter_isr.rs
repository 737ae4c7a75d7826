//! ISR changes on their way to the controller: gathered, sent one request at a time, and sent again
//! until they are answered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ottla_core::metadata::request::{
    AlterPartition, AlterPartitionItem, AlterPartitionResult, IsrMember,
};
use ottla_core::partition::{AlterIsr, AlteredIsr, Input};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{BrokerEpoch, TopicIdPartition};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::Shared;
use super::partition::Replica;

/// How long to wait before a request that was not answered is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// How many partitions go into one request.
const PARTITIONS_PER_REQUEST_MAX: usize = 10_000;

type Wanted = HashMap<TopicIdPartition, (Arc<Replica>, AlterIsr)>;

/// Runs until the broker stops.
pub(super) async fn run(
    shared: Arc<Shared>,
    mut asked: mpsc::UnboundedReceiver<(Arc<Replica>, AlterIsr)>,
) {
    let mut wanted = Wanted::new();
    while !shared.is_stopping() {
        if wanted.is_empty() {
            let Some((replica, alter)) = asked.recv().await else {
                return;
            };
            wanted.insert(replica.id, (replica, alter));
        }
        while wanted.len() < PARTITIONS_PER_REQUEST_MAX
            && let Ok((replica, alter)) = asked.try_recv()
        {
            // a newer wish of the same partition takes the older one's place
            wanted.insert(replica.id, (replica, alter));
        }
        wanted.retain(|_, (replica, alter)| is_current(replica, alter));
        if !wanted.is_empty() && !send(&shared, &mut wanted).await {
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}

/// A partition that leads in another epoch by now, or that an image has overtaken, asks anew.
fn is_current(replica: &Replica, alter: &AlterIsr) -> bool {
    let state = replica.lock();
    state.partition.is_leader()
        && state.partition.leader_epoch() == alter.leader_epoch
        && state.partition.partition_epoch() == alter.partition_epoch
}

/// Sends what is wanted; says whether the controller answered.
async fn send(shared: &Shared, wanted: &mut Wanted) -> bool {
    let Some(broker_epoch) = shared.controller.broker_epoch() else {
        return false;
    };
    let (ids, partitions): (Vec<_>, Vec<_>) = wanted
        .iter()
        .map(|(id, (_, alter))| (*id, item(*id, alter, broker_epoch)))
        .unzip();
    let request = AlterPartition {
        node_id: shared.settings.node_id,
        broker_epoch,
        partitions,
    };
    let results = match shared.controller.submit(request).await {
        Ok(Ok(results)) => results,
        Ok(Err(refusal)) => {
            warn!(error_code = refusal.error_code, message = %refusal.message, "ISR not altered");
            return false;
        }
        Err(error) => {
            debug!(%error, "no controller for an ISR change");
            return false;
        }
    };
    for (id, result) in ids.into_iter().zip(results) {
        if let Some((replica, alter)) = wanted.remove(&id) {
            let result = outcome(result);
            debug!(partition = ?replica, ?result, "ISR change");
            replica.tell(Input::IsrAltered {
                asked: alter.partition_epoch,
                result,
            });
        }
    }
    true
}

fn item(id: TopicIdPartition, alter: &AlterIsr, own: BrokerEpoch) -> AlterPartitionItem {
    AlterPartitionItem {
        topic_id: id.topic_id,
        partition: id.partition,
        leader_epoch: alter.leader_epoch,
        partition_epoch: alter.partition_epoch,
        new_isr: alter
            .isr
            .iter()
            .map(|(node_id, broker_epoch)| IsrMember {
                node_id: *node_id,
                // the core does not know its own broker's incarnation
                broker_epoch: if *broker_epoch == BrokerEpoch(-1) {
                    own
                } else {
                    *broker_epoch
                },
            })
            .collect(),
    }
}

fn outcome(result: AlterPartitionResult) -> Result<AlteredIsr, ErrorCode> {
    match ErrorCode::from(result.error_code) {
        ErrorCode::None => Ok(AlteredIsr {
            leader_epoch: result.leader_epoch,
            partition_epoch: result.partition_epoch,
            isr: result.isr,
        }),
        error => Err(error),
    }
}
