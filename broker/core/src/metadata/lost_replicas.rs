//! Replicas that a broker has found damaged: out of the ISR, so that another leads and nobody
//! counts on them, and they can be made anew out of what the others have.
//!
//! Whoever leads begins a new epoch. In it the leader knows of no follower what it holds, and
//! fetches of before are refused: so nothing that the damaged replica once said brings it back into
//! the ISR, and the broker may empty it as soon as it sees that epoch. A replica that nobody else
//! could stand in for, who is in sync, or eligible where this one serves no more, stays what it is:
//! a part of it is better than nothing.

use ottla_protocol::ids::{LeaderEpoch, NodeId};

use super::elections::{Change, Election};
use super::request::{LoseReplicas, LostReplica, Response};
use super::{Decision, Metadata};
use crate::image::PartitionRegistration;
use crate::image::record::{PartitionRecord, Record};

impl Metadata {
    pub(super) fn lose_replicas(&self, request: &LoseReplicas) -> Decision {
        if let Err(refusal) = self.check_incarnation(request.node_id, request.broker_epoch) {
            return Decision::refused(Response::LoseReplicas(Err(refusal)));
        }
        let mut records = Vec::new();
        let mut epochs = Vec::with_capacity(request.partitions.len());
        for lost in &request.partitions {
            let new = self.lose(request.node_id, *lost);
            epochs.push(
                new.as_ref()
                    .map_or(LeaderEpoch::NONE, |new| new.leader_epoch),
            );
            let record = |new| PartitionRecord::of(lost.topic_id, lost.partition, &new);
            records.extend(new.map(record).map(Record::Partition));
        }
        Decision {
            records,
            response: Response::LoseReplicas(Ok(epochs)),
        }
    }

    fn lose(&self, node: NodeId, lost: LostReplica) -> Option<PartitionRegistration> {
        let topic = self.image.topic_by_id(lost.topic_id)?;
        let partition = topic.partition(lost.partition)?;
        // Who is eligible has all that is committed, so nothing that was promised to acks=all goes
        // with a log that is the only one in sync. But one that serves still has more, and others
        // may join it; by one that does not nobody would lead for good.
        let eligible = partition.elr.iter().filter(|_| lost.is_offline);
        let others = partition.isr.iter().chain(eligible);
        let mut others = others.filter(|member| **member != node);
        let is_spared = others.any(|member| self.image.is_active(*member));
        if !is_spared || !partition.replicas.contains(&node) {
            return None;
        }
        let change = Change::of(&self.image, partition, self.rules(topic));
        change.lost(node).begins_epoch().finish(Election::Online)
    }
}
