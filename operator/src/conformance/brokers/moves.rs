//! Who holds a partition of brokers that are not there, and how that changes.

use std::collections::BTreeSet;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::cluster::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
    ListPartitionReassignmentsResponse, OngoingPartitionReassignment, OngoingTopicReassignment,
    ReassignablePartitionResponse, ReassignableTopicResponse, UnregisterBrokerRequest,
    UnregisterBrokerResponse,
};
use ottla_protocol::messages::configs::{
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResource,
    IncrementalAlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
};
use ottla_protocol::messages::log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};
use ottla_protocol::messages::metadata::{
    DescribeClusterBroker, DescribeClusterResponse, MetadataResponsePartition,
};

use super::{BROKERS, Kafka};

/// Kafka's number of a topic among resources.
const TOPIC: i8 = 2;
/// How large every replica is that is not being copied.
pub const SIZE_BYTES: i64 = 10 << 20;

/// A partition.
#[derive(Clone, Debug, Default)]
pub struct Partition {
    pub replicas: Vec<i32>,
    adding: Vec<i32>,
    removing: Vec<i32>,
}

impl Partition {
    /// One on the first brokers.
    pub fn new(replication_factor: i32) -> Self {
        Self {
            replicas: (0..replication_factor).collect(),
            ..Self::default()
        }
    }

    /// Ends what is under way.
    pub fn finish(&mut self) {
        let removing = std::mem::take(&mut self.removing);
        self.replicas.retain(|id| !removing.contains(id));
        self.adding.clear();
    }

    fn cancel(&mut self) {
        let adding = std::mem::take(&mut self.adding);
        self.replicas.retain(|id| !adding.contains(id));
        self.removing.clear();
    }

    fn move_to(&mut self, target: &[i32]) {
        self.cancel();
        let before = std::mem::take(&mut self.replicas);
        let only = |these: &[i32], those: &[i32]| -> Vec<i32> {
            let these = these.iter().copied();
            these.filter(|id| !those.contains(id)).collect()
        };
        self.adding = only(target, &before);
        self.removing = only(&before, target);
        self.replicas = target.iter().chain(&self.removing).copied().collect();
    }

    /// As Metadata has it.
    pub fn described(&self, index: i32, out_of_sync: &BTreeSet<i32>) -> MetadataResponsePartition {
        let in_sync = self
            .replicas
            .iter()
            .copied()
            .filter(|id| !out_of_sync.contains(id));
        MetadataResponsePartition {
            partition_index: index,
            leader_id: 0,
            replica_nodes: self.replicas.clone(),
            isr_nodes: in_sync.filter(|id| !self.adding.contains(id)).collect(),
            ..MetadataResponsePartition::default()
        }
    }
}

impl Kafka {
    pub(super) fn brokers(&self) -> DescribeClusterResponse {
        let registered = self.registered.borrow();
        let brokers = (0..BROKERS)
            .zip(0..)
            .filter(|(id, _)| registered.contains(id));
        let brokers = brokers.map(|(broker_id, place)| {
            let address = self.address(place);
            DescribeClusterBroker {
                broker_id,
                is_fenced: self.down.borrow().contains(&broker_id) && !self.is_unfenced.get(),
                host: address.ip().to_string(),
                port: i32::from(address.port()),
                ..DescribeClusterBroker::default()
            }
        });
        DescribeClusterResponse {
            brokers: brokers.collect(),
            ..DescribeClusterResponse::default()
        }
    }

    pub(super) fn cordon(
        &self,
        request: IncrementalAlterConfigsRequest,
    ) -> IncrementalAlterConfigsResponse {
        let answers = request.resources.into_iter().map(|resource| {
            if resource.resource_type == TOPIC {
                return self.set_configs(resource);
            }
            let config = &resource.configs[0];
            let broker = resource.resource_name.parse().unwrap();
            let mut set = match config.name.as_str() {
                "cordoned.log.dirs" => self.cordoned.borrow_mut(),
                "follower.replication.throttled.rate" => self.throttled.borrow_mut(),
                other => panic!("{other} is not changed here"),
            };
            let is_known = self.registered.borrow().contains(&broker);
            match config.value {
                _ if !is_known => false,
                Some(_) => set.insert(broker),
                None => set.remove(&broker),
            };
            IncrementalAlterConfigsResourceResponse {
                error_code: match is_known {
                    true => 0,
                    false => ErrorCode::BrokerIdNotRegistered.code(),
                },
                resource_type: resource.resource_type,
                resource_name: resource.resource_name,
                ..IncrementalAlterConfigsResourceResponse::default()
            }
        });
        IncrementalAlterConfigsResponse {
            responses: answers.collect(),
            ..IncrementalAlterConfigsResponse::default()
        }
    }

    fn set_configs(
        &self,
        topic: IncrementalAlterConfigsResource,
    ) -> IncrementalAlterConfigsResourceResponse {
        let mut kept = self.configs.borrow_mut();
        let kept = kept.entry(topic.resource_name.clone()).or_default();
        for config in topic.configs {
            match config.value {
                Some(value) => kept.insert(config.name, value),
                None => kept.remove(&config.name),
            };
        }
        IncrementalAlterConfigsResourceResponse {
            resource_type: topic.resource_type,
            resource_name: topic.resource_name,
            ..IncrementalAlterConfigsResourceResponse::default()
        }
    }

    pub(super) fn unregister(&self, request: UnregisterBrokerRequest) -> UnregisterBrokerResponse {
        let is_known = self.registered.borrow_mut().remove(&request.broker_id);
        UnregisterBrokerResponse {
            error_code: match is_known {
                true => 0,
                false => ErrorCode::BrokerIdNotRegistered.code(),
            },
            ..UnregisterBrokerResponse::default()
        }
    }

    pub(super) fn log_dirs(
        &self,
        broker: i32,
        asked: DescribeLogDirsRequest,
    ) -> DescribeLogDirsResponse {
        let topics = self.topics.borrow();
        let asked = asked
            .topics
            .map(|asked| asked.into_iter().map(|asked| asked.topic).collect());
        let asked: Vec<String> = asked.unwrap_or_else(|| topics.keys().cloned().collect());
        let described = asked.into_iter().map(|name| {
            let held = (0..).zip(&topics[&name]);
            let held = held.filter(|(_, partition)| partition.replicas.contains(&broker));
            let partitions = held.map(|(index, partition)| DescribeLogDirsPartition {
                partition_index: index,
                partition_size: match partition.adding.contains(&broker) {
                    true => self.copied_bytes.get().unwrap_or(SIZE_BYTES),
                    false => SIZE_BYTES,
                },
                ..DescribeLogDirsPartition::default()
            });
            DescribeLogDirsTopic {
                partitions: partitions.collect(),
                name,
            }
        });
        let directory = DescribeLogDirsResult {
            topics: described.collect(),
            is_cordoned: self.cordoned.borrow().contains(&broker),
            ..DescribeLogDirsResult::default()
        };
        DescribeLogDirsResponse {
            results: vec![directory],
            ..DescribeLogDirsResponse::default()
        }
    }

    pub(super) fn moving(&self) -> ListPartitionReassignmentsResponse {
        self.trouble.looked();
        let topics = self.topics.borrow();
        let moving = topics.iter().map(|(name, partitions)| {
            let partitions = (0..).zip(partitions);
            let moving =
                partitions.filter(|(_, p)| !(p.adding.is_empty() && p.removing.is_empty()));
            let partitions = moving.map(|(index, partition)| OngoingPartitionReassignment {
                partition_index: index,
                replicas: partition.replicas.clone(),
                adding_replicas: partition.adding.clone(),
                removing_replicas: partition.removing.clone(),
            });
            OngoingTopicReassignment {
                name: name.clone(),
                partitions: partitions.collect(),
            }
        });
        ListPartitionReassignmentsResponse {
            topics: moving.collect(),
            ..ListPartitionReassignmentsResponse::default()
        }
    }

    pub(super) fn reassign(
        &self,
        request: AlterPartitionReassignmentsRequest,
    ) -> AlterPartitionReassignmentsResponse {
        let mut topics = self.topics.borrow_mut();
        let answers = request.topics.into_iter().map(|topic| {
            let known = topics.get_mut(&topic.name).unwrap();
            let answers = topic.partitions.iter().map(|asked| {
                let partition = &mut known[usize::try_from(asked.partition_index).unwrap()];
                match &asked.replicas {
                    Some(target) => partition.move_to(target),
                    None => partition.cancel(),
                }
                if partition.adding.is_empty() || self.copied_bytes.get().is_none() {
                    partition.finish();
                }
                ReassignablePartitionResponse {
                    partition_index: asked.partition_index,
                    ..ReassignablePartitionResponse::default()
                }
            });
            ReassignableTopicResponse {
                partitions: answers.collect(),
                name: topic.name,
            }
        });
        AlterPartitionReassignmentsResponse {
            responses: answers.collect(),
            ..AlterPartitionReassignmentsResponse::default()
        }
    }
}
