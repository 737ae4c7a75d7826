//! The ISR changes that leaders ask for (KIP-497), and leaders that others ask for.
//!
//! A leader's request is taken only from the leader of this epoch, about the registration that it
//! saw. Into the ISR comes only a replica whose broker is active, in the very incarnation whose
//! fetches the leader counted (KIP-841, KIP-903): a broker that restarted meanwhile may have lost
//! what the leader thinks it has.

use std::collections::BTreeMap;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{NodeId, PartitionIndex};
use ottla_protocol::messages::cluster::{
    ElectLeadersRequest, ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
};

use super::elections::{Change, Election};
use super::request::{
    AlterPartition, AlterPartitionItem, AlterPartitionResult, IsrMember, RebalanceLeaders, Refusal,
    Response,
};
use super::{Decision, Metadata};
use crate::image::record::{PartitionRecord, Record};
use crate::image::{PartitionRegistration, Topic};
use crate::planted::{self, Planted};

/// How many leaders one [`Request::RebalanceLeaders`](super::Request::RebalanceLeaders) moves at
/// most.
pub const REBALANCED_LEADERS_MAX: usize = 1000;

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

impl Metadata {
    pub(super) fn alter_partition(&self, request: &AlterPartition) -> Decision {
        if let Err(refusal) = self.check_incarnation(request.node_id, request.broker_epoch) {
            return Decision::refused(Response::AlterPartition(Err(refusal)));
        }
        let mut records = Vec::new();
        let mut results = Vec::with_capacity(request.partitions.len());
        for item in &request.partitions {
            results.push(match self.alter_one(request.node_id, item, &mut records) {
                Ok(partition) => AlterPartitionResult {
                    topic_id: item.topic_id,
                    partition: item.partition,
                    error_code: 0,
                    leader: partition.leader,
                    leader_epoch: partition.leader_epoch,
                    isr: partition.isr,
                    partition_epoch: partition.partition_epoch,
                },
                Err(error) => AlterPartitionResult {
                    topic_id: item.topic_id,
                    partition: item.partition,
                    error_code: error.code(),
                    ..AlterPartitionResult::default()
                },
            });
        }
        Decision {
            records,
            response: Response::AlterPartition(Ok(results)),
        }
    }

    fn alter_one(
        &self,
        node: NodeId,
        item: &AlterPartitionItem,
        records: &mut Vec<Record>,
    ) -> Result<PartitionRegistration, ErrorCode> {
        let topic = self.image.topic_by_id(item.topic_id);
        let topic = topic.ok_or(ErrorCode::UnknownTopicId)?;
        let partition = topic.partition(item.partition);
        let partition = partition.ok_or(ErrorCode::UnknownTopicOrPartition)?;
        self.check_leader(node, item, partition)?;
        self.check_new_isr(node, item, partition)?;
        let mut change = Change::of(&self.image, partition, self.rules(topic));
        change.new.isr = item.new_isr.iter().map(|m| m.node_id).collect();
        let Some(new) = change.finish(Election::Online) else {
            return Ok(PartitionRegistration::clone(partition));
        };
        let record = PartitionRecord::of(topic.id, item.partition, &new);
        records.push(Record::Partition(record));
        if new.leader_epoch != partition.leader_epoch {
            // the request completed a reassignment that this leader is no part of, or that removed
            // replicas
            if new.leader != Some(node) {
                return Err(ErrorCode::NewLeaderElected);
            }
        }
        Ok(new)
    }

    fn check_leader(
        &self,
        node: NodeId,
        item: &AlterPartitionItem,
        partition: &PartitionRegistration,
    ) -> Result<(), ErrorCode> {
        if planted::is(Planted::StaleAlteration) {
            return Ok(());
        }
        if item.leader_epoch > partition.leader_epoch
            || item.partition_epoch > partition.partition_epoch
        {
            // the leader knows more than this controller: it is not the active one any more
            return Err(ErrorCode::NotController);
        }
        if item.leader_epoch < partition.leader_epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if partition.leader != Some(node) {
            return Err(ErrorCode::InvalidRequest);
        }
        if item.partition_epoch < partition.partition_epoch {
            return Err(ErrorCode::InvalidUpdateVersion);
        }
        Ok(())
    }

    fn check_new_isr(
        &self,
        node: NodeId,
        item: &AlterPartitionItem,
        partition: &PartitionRegistration,
    ) -> Result<(), ErrorCode> {
        let members: Vec<NodeId> = item.new_isr.iter().map(|m| m.node_id).collect();
        let has_twice = (1..members.len()).any(|i| members[..i].contains(&members[i]));
        let is_foreign = |member: &NodeId| !partition.replicas.contains(member);
        if has_twice || !members.contains(&node) || members.iter().any(is_foreign) {
            return Err(ErrorCode::InvalidRequest);
        }
        let is_fit = |member: &IsrMember| {
            let broker = self.image.broker(member.node_id);
            let same = broker.is_some_and(|b| b.broker_epoch == member.broker_epoch)
                || planted::is(Planted::StaleIncarnation);
            // a leader on its way out may still say who is in sync with it, and a follower on its
            // way out stays until it goes
            let was_in = partition.isr.contains(&member.node_id);
            let stays = was_in && self.image.is_unfenced(member.node_id);
            same && (stays || self.image.is_active(member.node_id) || member.node_id == node)
        };
        if item.new_isr.iter().all(is_fit) {
            Ok(())
        } else {
            Err(ErrorCode::IneligibleReplica)
        }
    }

    pub(super) fn elect_leaders(&self, request: &ElectLeadersRequest) -> Decision {
        let election = match request.election_type {
            PREFERRED => Election::Preferred,
            UNCLEAN => Election::Unclean,
            _ => {
                let error_code = ErrorCode::InvalidRequest.code();
                return Decision::refused(Response::ElectLeaders(ElectLeadersResponse {
                    error_code,
                    ..ElectLeadersResponse::default()
                }));
            }
        };
        let mut records = Vec::new();
        let mut results: BTreeMap<String, Vec<PartitionResult>> = BTreeMap::new();
        let mut add = |topic: &str, index: PartitionIndex, refusal: Option<Refusal>| {
            results
                .entry(topic.to_owned())
                .or_default()
                .push(PartitionResult {
                    partition_id: index.0,
                    error_code: refusal.as_ref().map_or(0, |refusal| refusal.error_code),
                    error_message: refusal.map(|refusal| refusal.message),
                });
        };
        match &request.topic_partitions {
            Some(asked) => {
                for topic in asked {
                    for index in &topic.partitions {
                        let index = PartitionIndex(*index);
                        let outcome = self.elect_one(&topic.topic, index, election, &mut records);
                        add(&topic.topic, index, outcome.err());
                    }
                }
            }
            None => {
                for topic in self.image.topics.values() {
                    for (index, _) in topic.indexed() {
                        let outcome = self.elect_one(&topic.name, index, election, &mut records);
                        // asked for all, only what was tried is answered
                        match outcome.err() {
                            Some(refusal) if refusal.error() == ErrorCode::ElectionNotNeeded => {}
                            refusal => add(&topic.name, index, refusal),
                        }
                    }
                }
            }
        }
        let replica_election_results = results
            .into_iter()
            .map(|(topic, partition_result)| ReplicaElectionResult {
                topic,
                partition_result,
            })
            .collect();
        Decision {
            records,
            response: Response::ElectLeaders(ElectLeadersResponse {
                replica_election_results,
                ..ElectLeadersResponse::default()
            }),
        }
    }

    fn elect_one(
        &self,
        name: &str,
        index: PartitionIndex,
        election: Election,
        records: &mut Vec<Record>,
    ) -> Result<(), Refusal> {
        let unknown = || {
            let message = format!("No such partition as {name}-{index}");
            Refusal::new(ErrorCode::UnknownTopicOrPartition, message)
        };
        let topic = self.image.topic(name).ok_or_else(unknown)?;
        let partition = topic.partition(index).ok_or_else(unknown)?;
        let not_needed = match election {
            Election::Preferred => partition.leader == partition.preferred_leader(),
            _ => partition.leader.is_some(),
        };
        if not_needed {
            let message = "Leader election not needed for topic partition.";
            return Err(Refusal::new(ErrorCode::ElectionNotNeeded, message));
        }
        let change = Change::of(&self.image, partition, self.rules(topic));
        let new = change.finish(election);
        if new.is_none() && election == Election::Preferred && is_preferred_next(partition) {
            return Ok(()); // its leader is about to hand over
        }
        let new = new.filter(|new| match election {
            Election::Preferred => is_preferred_next(new),
            _ => new.leader.is_some(),
        });
        let Some(new) = new else {
            return Err(match election {
                Election::Preferred => Refusal::new(
                    ErrorCode::PreferredLeaderNotAvailable,
                    "The preferred leader was not available.",
                ),
                _ => Refusal::new(
                    ErrorCode::EligibleLeadersNotAvailable,
                    "No replica of the partition is alive.",
                ),
            });
        };
        let record = PartitionRecord::of(topic.id, index, &new);
        records.push(Record::Partition(record));
        Ok(())
    }

    /// Has leaderships move back to where the placement wants them, where the preferred leader is
    /// in sync. A broker is left alone while most of its partitions are led by it.
    pub(super) fn rebalance_leaders(&self, request: RebalanceLeaders) -> Decision {
        let mut records = Vec::new();
        let allowed = usize::try_from(request.imbalance_percent_max).unwrap_or(0);
        let mut counts: BTreeMap<NodeId, (usize, usize)> = BTreeMap::new();
        for partition in self.image.topics.values().flat_map(|t| &t.partitions) {
            if let Some(preferred) = partition.preferred_leader() {
                let (all, away) = counts.entry(preferred).or_default();
                *all += 1;
                *away += usize::from(partition.leader != Some(preferred));
            }
        }
        counts.retain(|_, (all, away)| *away * 100 > *all * allowed);
        for topic in self.image.topics.values() {
            for (index, partition) in topic.indexed() {
                let preferred = partition.preferred_leader();
                let is_off = preferred.is_some_and(|n| counts.contains_key(&n));
                if is_off && records.len() < REBALANCED_LEADERS_MAX {
                    records.extend(self.back_to_preferred(topic, index, partition));
                }
            }
        }
        let moved = i32::try_from(records.len()).unwrap_or(i32::MAX);
        Decision {
            records,
            response: Response::RebalanceLeaders(Ok(moved)),
        }
    }

    fn back_to_preferred(
        &self,
        topic: &Topic,
        index: PartitionIndex,
        partition: &PartitionRegistration,
    ) -> Option<Record> {
        let preferred = partition.preferred_leader()?;
        if partition.leader == Some(preferred) || !partition.isr.contains(&preferred) {
            return None;
        }
        let change = Change::of(&self.image, partition, self.rules(topic));
        let new = change.finish(Election::Preferred)?;
        let record = PartitionRecord::of(topic.id, index, &new);
        Some(Record::Partition(record))
    }
}

/// Whether the preferred leader leads, or is handed over to.
fn is_preferred_next(partition: &PartitionRegistration) -> bool {
    let preferred = partition.preferred_leader();
    partition.leader == preferred || partition.successor == preferred
}
