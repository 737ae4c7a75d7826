//! Moving replicas (KIP-455): add the new ones, wait until they are in sync, then drop the old
//! ones.
//!
//! While a reassignment runs, `replicas` is the target followed by what will be removed. Each ISR
//! change may complete it ([`Change::finish`]); until then it can be replaced by another target, or
//! cancelled. A replica that neither the original ones nor the target have, because an earlier
//! target had it, may have to stay for a while: it is being added and being removed.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{NodeId, PartitionIndex};
use ottla_protocol::messages::cluster::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
    ListPartitionReassignmentsRequest, OngoingPartitionReassignment, OngoingTopicReassignment,
    ReassignablePartition, ReassignablePartitionResponse, ReassignableTopicResponse,
};

use super::elections::{Change, Election};
use super::request::{Refusal, Response};
use super::{Decision, Metadata};
use crate::image::record::{PartitionRecord, Record};
use crate::image::{MetadataImage, PartitionRegistration, Topic};
use crate::planted::{self, Planted};

impl Metadata {
    pub(super) fn alter_partition_reassignments(
        &self,
        request: &AlterPartitionReassignmentsRequest,
    ) -> Decision {
        let mut records = Vec::new();
        let mut responses = Vec::new();
        for asked in &request.topics {
            let topic = self.image.topic(&asked.name);
            let mut changed = BTreeMap::new();
            let mut partitions = Vec::new();
            for item in &asked.partitions {
                let outcome = match topic {
                    None => Err(no_such_partition()),
                    Some(topic) => {
                        let may_resize = request.allow_replication_factor_change;
                        self.reassign_one(topic, item, may_resize)
                    }
                };
                let refusal = match outcome {
                    Ok(new) => {
                        let index = PartitionIndex(item.partition_index);
                        changed.extend(new.map(|new| (index, new)));
                        None
                    }
                    Err(refusal) => Some(refusal),
                };
                partitions.push(ReassignablePartitionResponse {
                    partition_index: item.partition_index,
                    error_code: refusal.as_ref().map_or(0, |r| r.error_code),
                    error_message: refusal.map(|r| r.message),
                });
            }
            if let Some(topic) = topic {
                self.record_changed(topic, changed, &mut records);
            }
            let name = asked.name.clone();
            responses.push(ReassignableTopicResponse { name, partitions });
        }
        Decision {
            records,
            response: Response::AlterPartitionReassignments(AlterPartitionReassignmentsResponse {
                allow_replication_factor_change: request.allow_replication_factor_change,
                responses,
                ..AlterPartitionReassignmentsResponse::default()
            }),
        }
    }

    fn reassign_one(
        &self,
        topic: &Topic,
        item: &ReassignablePartition,
        may_resize: bool,
    ) -> Result<Option<PartitionRegistration>, Refusal> {
        let index = PartitionIndex(item.partition_index);
        let partition = topic.partition(index).ok_or_else(no_such_partition)?;
        match &item.replicas {
            None => self.cancel(topic, partition),
            Some(target) => {
                let target: Vec<NodeId> = target.iter().copied().map(NodeId).collect();
                self.check_replicas(&target)?;
                if !may_resize && target.len() != partition.target_replicas().len() {
                    let before = partition.target_replicas().len();
                    return Err(Refusal::new(
                        ErrorCode::InvalidReplicationFactor,
                        format!(
                            "The replication factor is changed from {before} to {}",
                            target.len()
                        ),
                    ));
                }
                Ok(self.reassign(topic, partition, &target))
            }
        }
    }

    /// Records the changed partitions of a topic. Where they change the replication factor, and
    /// that the default of min.insync.replicas, nobody stays eligible by the old one.
    fn record_changed(
        &self,
        topic: &Topic,
        mut changed: BTreeMap<PartitionIndex, PartitionRegistration>,
        records: &mut Vec<Record>,
    ) {
        let mut after = topic.clone();
        for (index, new) in &changed {
            after
                .partitions
                .set(index.0 as usize, Arc::new(new.clone()));
        }
        let min = |t: &Topic| self.rules(t).min_insync_replicas;
        if min(topic) != min(&after) {
            for (index, partition) in after.indexed() {
                if partition.elr.is_empty() || partition.leader.is_none() {
                    continue;
                }
                let new = changed.entry(index).or_insert_with(|| {
                    let mut new = PartitionRegistration::clone(partition);
                    new.partition_epoch.0 += 1;
                    new
                });
                new.elr.clear();
            }
        }
        let record = |(index, new)| Record::Partition(PartitionRecord::of(topic.id, index, &new));
        records.extend(changed.into_iter().map(record));
    }

    fn cancel(
        &self,
        topic: &Topic,
        partition: &PartitionRegistration,
    ) -> Result<Option<PartitionRegistration>, Refusal> {
        if !partition.is_reassigning() {
            return Err(Refusal::new(
                ErrorCode::NoReassignmentInProgress,
                "No partition reassignment is in progress.",
            ));
        }
        let original = partition.original_replicas();
        let target = partition.target_replicas();
        let is_same = |a: &[NodeId], b: &[NodeId]| a.iter().all(|n| b.contains(n));
        // it is cancelled, and listed until those go that are only kept for a while
        if is_same(&original, &target) && is_same(&target, &original) {
            return Ok(None);
        }
        let mut change = Change::of(&self.image, partition, self.rules(topic));
        let holders = holders(partition);
        let left = only(holders, |n| original.contains(n));
        if left.is_empty() && !holders.is_empty() {
            return Err(Refusal::new(
                ErrorCode::InvalidReplicaAssignment,
                "Cancelling would leave no replica in sync: only added replicas are.",
            ));
        }
        let is_enough = left.len() >= self.least_in_sync(topic, partition);
        // as in a reassignment to the original ones
        let stays = |n: &NodeId| !is_enough || self.may_lead(partition, *n);
        let kept = only(holders, |n| !original.contains(n) && stays(n));
        change.new.isr = only(&partition.isr, |n| original.contains(n) || kept.contains(n));
        change.new.replicas = original.into_iter().chain(kept.iter().copied()).collect();
        change.new.adding_replicas.clone_from(&kept);
        change.new.removing_replicas = kept;
        Ok(change.finish(Election::Online))
    }

    /// Whether a broker leads, or may in an epoch of the past: it goes by a reassignment that is
    /// done, which sees to it that another leads and that this one has heard of that.
    fn may_lead(&self, partition: &PartitionRegistration, node: NodeId) -> bool {
        let leads = partition.leader == Some(node) || self.unaware.contains(&node);
        leads && self.image.is_unfenced(node) && !planted::is(Planted::LeaderRemoved)
    }

    /// How many of those that hold all have to stay by our own act: so many as acknowledgements
    /// waited for.
    fn least_in_sync(&self, topic: &Topic, partition: &PartitionRegistration) -> usize {
        let least = self.rules(topic).min_insync_replicas;
        least.min(holders(partition).len())
    }

    fn reassign(
        &self,
        topic: &Topic,
        partition: &PartitionRegistration,
        target: &[NodeId],
    ) -> Option<PartitionRegistration> {
        // a replica that an earlier, unfinished reassignment added counts as new still, if it is
        // wanted still
        let settled = partition.original_replicas();
        let adding: Vec<NodeId> = only(target, |n| !settled.contains(n));
        let removing: Vec<NodeId> = only(&settled, |n| !target.contains(n));
        let mut change = Change::of(&self.image, partition, self.rules(topic));
        change.new.replicas = target.iter().chain(&removing).copied().collect();
        let known = change.new.replicas.clone();
        let holders = holders(partition);
        let left = only(holders, |n| known.contains(n));
        let is_enough = left.len() >= self.least_in_sync(topic, partition);
        // what is acknowledged may be on those alone that the earlier reassignment added: keep them
        // until others are in sync
        let stays = |n: &NodeId| !is_enough || self.may_lead(partition, *n);
        let kept = only(holders, |n| !known.contains(n) && stays(n));
        change.new.isr = only(&partition.isr, |n| known.contains(n) || kept.contains(n));
        change.new.replicas.extend(&kept);
        change.new.adding_replicas = adding.into_iter().chain(kept.iter().copied()).collect();
        change.new.removing_replicas = removing.into_iter().chain(kept).collect();
        change.finish(Election::Online)
    }

    /// What is wrong with replicas that somebody names.
    pub(super) fn check_replicas(&self, replicas: &[NodeId]) -> Result<(), Refusal> {
        let refuse = |message| Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
        if replicas.is_empty() {
            return refuse(
                "The manual partition assignment includes an empty replica list.".into(),
            );
        }
        for (place, node) in replicas.iter().enumerate() {
            if self.image.broker(*node).is_none() {
                return refuse(format!(
                    "The manual partition assignment includes broker {node}, but no such broker is \
                     registered."
                ));
            }
            if replicas[..place].contains(node) {
                return refuse(format!(
                    "The manual partition assignment includes the broker {node} more than once."
                ));
            }
        }
        Ok(())
    }
}

/// Who has all that was committed: the ISR, or while nobody is in sync, who is eligible to lead.
fn holders(partition: &PartitionRegistration) -> &[NodeId] {
    match partition.isr.is_empty() {
        true => &partition.elr,
        false => &partition.isr,
    }
}

fn only(nodes: &[NodeId], keep: impl Fn(&NodeId) -> bool) -> Vec<NodeId> {
    nodes.iter().copied().filter(|n| keep(n)).collect()
}

fn no_such_partition() -> Refusal {
    Refusal::new(
        ErrorCode::UnknownTopicOrPartition,
        "This server does not host this topic-partition.",
    )
}

/// The reassignments under way among the asked partitions, or among all.
pub fn ongoing_reassignments(
    image: &MetadataImage,
    request: &ListPartitionReassignmentsRequest,
) -> Vec<OngoingTopicReassignment> {
    let of = |topic: &Topic, wanted: Option<&[i32]>| {
        let is_wanted = |index: i32| wanted.is_none_or(|w| w.contains(&index));
        let numbers = |nodes: &[NodeId]| nodes.iter().map(|n| n.0).collect();
        let partitions: Vec<_> = topic
            .indexed()
            .filter(|(index, p)| p.is_reassigning() && is_wanted(index.0))
            .map(|(index, p)| OngoingPartitionReassignment {
                partition_index: index.0,
                replicas: numbers(&p.replicas),
                adding_replicas: numbers(&p.adding_replicas),
                removing_replicas: numbers(&p.removing_replicas),
            })
            .collect();
        (!partitions.is_empty()).then(|| OngoingTopicReassignment {
            name: topic.name.to_string(),
            partitions,
        })
    };
    match &request.topics {
        None => image.topics.values().filter_map(|t| of(t, None)).collect(),
        Some(asked) => asked
            .iter()
            .filter_map(|a| of(image.topic(&a.name)?, Some(&a.partition_indexes)))
            .collect(),
    }
}
