//! Adding partitions to topics.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{NodeId, PartitionIndex};
use ottla_protocol::messages::topics::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
    CreatePartitionsTopicResult,
};

use super::metered::{spend, throttle_time_ms};
use super::request::{Refusal, Response};
use super::{Decision, Metadata, Moment};
use crate::image::record::{PartitionRecord, Record};
use crate::image::{PartitionRegistration, Topic};
use crate::placement::{self, Candidate};

/// How many partitions one request creates at most: its records are one entry of the log.
pub(super) const CREATED_PARTITIONS_MAX: usize = 10_000;

impl Metadata {
    /// A partition that nobody has written to: every active replica is in sync. Where those are
    /// fewer than min.insync.replicas, nothing is committed before others have joined, so these
    /// hold all that is, and are eligible. Were they not, nobody would lead for good once the one
    /// that is in sync has lost its disk.
    pub(super) fn new_partition(
        &self,
        replicas: &[NodeId],
        min_insync_replicas: usize,
    ) -> Result<PartitionRegistration, Refusal> {
        let is_active = |node: &NodeId| self.image.is_active(*node);
        let (isr, away): (Vec<NodeId>, Vec<NodeId>) = replicas.iter().copied().partition(is_active);
        if isr.is_empty() {
            return Err(Refusal::new(
                ErrorCode::InvalidReplicaAssignment,
                "All brokers of a partition's assignment are fenced or in controlled shutdown.",
            ));
        }
        let is_short = isr.len() < min_insync_replicas.min(replicas.len());
        let mut elr = match is_short && self.keeps_eligible() {
            true => away,
            false => Vec::new(),
        };
        elr.sort_unstable();
        Ok(PartitionRegistration {
            leader: isr.first().copied(),
            isr,
            elr,
            replicas: replicas.to_vec(),
            ..PartitionRegistration::default()
        })
    }

    pub(super) fn create_partitions(
        &self,
        moment: Moment,
        request: &CreatePartitionsRequest,
    ) -> Decision {
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for topic in &request.topics {
            *times.entry(topic.name.as_str()).or_default() += 1;
        }
        let mut records = Vec::new();
        let mut purse = moment.purse;
        let mut candidates = placement::candidates(&self.image);
        let mut answered = BTreeSet::new();
        let mut results = Vec::with_capacity(request.topics.len());
        for (place, topic) in request.topics.iter().enumerate() {
            if !answered.insert(topic.name.as_str()) {
                continue;
            }
            let outcome = if times[topic.name.as_str()] > 1 {
                let message = "Duplicate topic name.";
                Err(Refusal::new(ErrorCode::InvalidRequest, message))
            } else {
                let seed = placement::mix(moment.seed ^ place as u64);
                self.add_partitions(topic, &candidates, seed)
            };
            let refusal = match outcome {
                Ok((_, added)) if records.len() + added.len() > CREATED_PARTITIONS_MAX => {
                    let message =
                        format!("One request creates at most {CREATED_PARTITIONS_MAX} partitions.");
                    Some(Refusal::new(ErrorCode::PolicyViolation, message))
                }
                Ok((placed, added)) => match spend(&mut purse, added.len()) {
                    Ok(()) => {
                        placement::count(&mut candidates, &placed);
                        records.extend(added);
                        None
                    }
                    Err(refusal) => Some(refusal),
                },
                Err(refusal) => Some(refusal),
            };
            results.push(CreatePartitionsTopicResult {
                name: topic.name.clone(),
                error_code: refusal.as_ref().map_or(0, |r| r.error_code),
                error_message: refusal.map(|r| r.message),
            });
        }
        if request.validate_only {
            records.clear();
        }
        Decision {
            records,
            response: Response::CreatePartitions(CreatePartitionsResponse {
                throttle_time_ms: throttle_time_ms(purse),
                results,
            }),
        }
    }

    /// Where the new partitions are, and their records.
    fn add_partitions(
        &self,
        request: &CreatePartitionsTopic,
        candidates: &[Candidate],
        seed: u64,
    ) -> Result<(Vec<Vec<NodeId>>, Vec<Record>), Refusal> {
        let name = &request.name;
        let unknown = || {
            let message = "This server does not host this topic-partition.";
            Refusal::new(ErrorCode::UnknownTopicOrPartition, message)
        };
        let topic = self.image.topic(name).ok_or_else(unknown)?;
        let observed = topic.partitions.len();
        let wanted = usize::try_from(request.count).unwrap_or(0);
        let refuse = |message| Err(Refusal::new(ErrorCode::InvalidPartitions, message));
        if wanted == observed {
            return refuse(format!("Topic already has {observed} partition(s)."));
        }
        if wanted < observed {
            return refuse(format!(
                "The topic {name} currently has {observed} partition(s); {} would not be an \
                 increase.",
                request.count
            ));
        }
        let count = wanted - observed;
        if count > CREATED_PARTITIONS_MAX {
            return refuse(format!(
                "At most {CREATED_PARTITIONS_MAX} partitions are added at once."
            ));
        }
        let replicas = self.replicas_of_added(request, topic, (candidates, count), seed)?;
        let least = self.rules(topic).min_insync_replicas;
        let mut records = Vec::with_capacity(count);
        for (place, nodes) in replicas.iter().enumerate() {
            let index = PartitionIndex((observed + place) as i32);
            let new = self.new_partition(nodes, least)?;
            let record = PartitionRecord::of(topic.id, index, &new);
            records.push(Record::Partition(record));
        }
        Ok((replicas, records))
    }

    fn replicas_of_added(
        &self,
        request: &CreatePartitionsTopic,
        topic: &Topic,
        (candidates, count): (&[Candidate], usize),
        seed: u64,
    ) -> Result<Vec<Vec<NodeId>>, Refusal> {
        let existing = topic.partitions.iter().map(|p| p.target_replicas());
        let existing: Vec<Vec<NodeId>> = existing.collect();
        let size = existing.first().map_or(1, Vec::len);
        let Some(assignments) = &request.assignments else {
            return place(candidates, &existing, count, size, seed);
        };
        if assignments.len() != count {
            return Err(Refusal::new(
                ErrorCode::InvalidReplicaAssignment,
                format!(
                    "Attempted to add {count} additional partition(s), but only {} assignment(s) \
                     were specified.",
                    assignments.len()
                ),
            ));
        }
        let mut replicas = Vec::with_capacity(count);
        for assignment in assignments {
            let nodes: Vec<NodeId> = assignment.broker_ids.iter().copied().map(NodeId).collect();
            self.check_replicas(&nodes)?;
            check_same_size(&nodes, size)?;
            replicas.push(nodes);
        }
        Ok(replicas)
    }
}

pub(super) fn check_same_size(nodes: &[NodeId], size: usize) -> Result<(), Refusal> {
    if nodes.len() == size {
        return Ok(());
    }
    Err(Refusal::new(
        ErrorCode::InvalidReplicaAssignment,
        format!(
            "The manual partition assignment includes a partition with {} replica(s), but this is \
             not consistent with previous partitions, which have {size} replica(s).",
            nodes.len()
        ),
    ))
}

pub(super) fn place(
    candidates: &[Candidate],
    existing: &[Vec<NodeId>],
    partitions: usize,
    replication_factor: usize,
    seed: u64,
) -> Result<Vec<Vec<NodeId>>, Refusal> {
    placement::place(candidates, existing, partitions, replication_factor, seed)
        .map_err(|e| Refusal::new(ErrorCode::InvalidReplicationFactor, e.to_string()))
}
