//! Replaying records into the image, and an image as the records of a snapshot.

use std::cmp::Ordering;
use std::sync::Arc;

use ottla_protocol::ids::{
    BrokerEpoch, LeaderEpoch, NodeId, PartitionEpoch, PartitionIndex, ProducerId, TopicId,
    TopicIdPartition,
};

use super::delta::MetadataDelta;
use super::record::{
    BrokerRecord, ClientQuotaRecord, ClusterRecord, ConfigRecord, ControllerRecord,
    FeatureRangeRecord, FeatureRecord, FileConfigRecord, PartitionRecord, ProducerIdsRecord,
    Record, ScramCredentialRecord, TopicRecord,
};
use super::{
    BrokerRegistration, ConfigResource, MetadataImage, PartitionRegistration, Partitions, Topic,
};
use crate::authentication::Mechanism;
use crate::config::{self, Agreed};

impl MetadataImage {
    /// Makes one committed record part of the image, and names in `delta` what it changed. Every
    /// node replays the same records in the same order; what a record says of things that are not
    /// there is passed over.
    pub fn replay(&mut self, record: &Record, delta: &mut MetadataDelta) {
        let image = self;
        match record {
            Record::Cluster(r) => {
                image.cluster_id = r.cluster_id.as_str().into();
                let next = BrokerEpoch(r.next_broker_epoch);
                image.next_broker_epoch = image.next_broker_epoch.max(next);
            }
            Record::Broker(r) => replay_broker(image, delta, r),
            Record::RemoveBroker(r) => {
                let node = NodeId(r.node_id);
                Arc::make_mut(&mut image.brokers).remove(&node);
                delta.brokers.insert(node);
                agree(image, delta);
            }
            Record::Controller(r) => {
                let controllers = Arc::make_mut(&mut image.controllers);
                controllers.insert(NodeId(r.node_id), r.registration());
                delta.controllers = true;
            }
            Record::RemoveController(r) => {
                Arc::make_mut(&mut image.controllers).remove(&NodeId(r.node_id));
                delta.controllers = true;
            }
            Record::Topic(r) => replay_topic(image, delta, r),
            Record::RemoveTopic(r) => replay_remove_topic(image, delta, TopicId(r.topic_id)),
            Record::Partition(r) => replay_partition(image, delta, r),
            Record::Config(r) => replay_config(image, delta, r),
            Record::ProducerIds(r) => image.next_producer_id = ProducerId(r.next_producer_id),
            Record::Feature(r) => replay_feature(image, delta, r),
            Record::Acl(r) => {
                if let Some(acl) = r.acl() {
                    Arc::make_mut(&mut image.acls).insert(acl);
                    delta.acls = true;
                }
            }
            Record::RemoveAcl(r) => {
                if let Some(acl) = r.acl() {
                    Arc::make_mut(&mut image.acls).remove(&acl);
                    delta.acls = true;
                }
            }
            Record::ScramCredential(r) => {
                if let Some((key, credential)) = r.credential() {
                    Arc::make_mut(&mut image.scram_credentials).insert(key, credential);
                    delta.scram_credentials = true;
                }
            }
            Record::RemoveScramCredential(r) => {
                if let Some(mechanism) = Mechanism::scram_numbered(r.mechanism) {
                    let key = (r.name.clone(), mechanism);
                    Arc::make_mut(&mut image.scram_credentials).remove(&key);
                    delta.scram_credentials = true;
                }
            }
            Record::ClientQuota(r) => replay_client_quota(image, delta, r),
            Record::DelegationToken(r) => {
                let tokens = Arc::make_mut(&mut image.delegation_tokens);
                tokens.insert(r.token_id.clone(), r.clone());
                delta.delegation_tokens = true;
            }
            Record::RemoveDelegationToken(r) => {
                Arc::make_mut(&mut image.delegation_tokens).remove(&r.token_id);
                delta.delegation_tokens = true;
            }
        }
    }

    /// The records that rebuild this image from nothing: a snapshot.
    pub fn to_records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        if !self.cluster_id.is_empty() {
            let cluster_id = self.cluster_id.to_string();
            let next_broker_epoch = self.next_broker_epoch.0;
            records.push(Record::Cluster(ClusterRecord {
                cluster_id,
                next_broker_epoch,
            }));
        }
        for (name, level) in self.features.iter() {
            let (name, level) = (name.clone(), *level);
            records.push(Record::Feature(FeatureRecord { name, level }));
        }
        if self.next_producer_id != ProducerId(0) {
            records.push(Record::ProducerIds(ProducerIdsRecord {
                next_producer_id: self.next_producer_id.0,
            }));
        }
        let brokers = self.brokers.values();
        records.extend(brokers.map(|b| Record::Broker(BrokerRecord::of(b))));
        let controllers = self.controllers.values();
        records.extend(controllers.map(|c| Record::Controller(ControllerRecord::of(c))));
        for topic in self.topics.values() {
            records.push(Record::Topic(TopicRecord {
                topic_id: topic.id.0,
                name: topic.name.to_string(),
            }));
            let partitions = topic.indexed();
            records.extend(
                partitions.map(|(i, p)| Record::Partition(PartitionRecord::of(topic.id, i, p))),
            );
        }
        for (resource, values) in self.configs.iter() {
            for (name, value) in values.iter() {
                records.push(Record::Config(ConfigRecord::new(
                    resource,
                    name,
                    Some(value),
                )));
            }
        }
        records.extend(self.acls.iter().map(|acl| Record::Acl((&acl).into())));
        let credentials = self.scram_credentials.iter();
        let credentials = credentials.map(|((user, mechanism), credential)| {
            ScramCredentialRecord::of(user, *mechanism, credential)
        });
        records.extend(credentials.map(Record::ScramCredential));
        for (entity, rates) in self.client_quotas.iter() {
            let quotas = rates.iter();
            let record = |(key, rate): (&_, &_)| ClientQuotaRecord::of(entity, *key, Some(*rate));
            records.extend(quotas.map(record).map(Record::ClientQuota));
        }
        let tokens = self.delegation_tokens.values();
        records.extend(tokens.cloned().map(Record::DelegationToken));
        records
    }
}

fn replay_feature(image: &mut MetadataImage, delta: &mut MetadataDelta, r: &FeatureRecord) {
    let features = Arc::make_mut(&mut image.features);
    match r.level {
        0 => drop(features.remove(&r.name)),
        level => drop(features.insert(r.name.clone(), level)),
    }
    delta.features = true;
}

fn replay_client_quota(
    image: &mut MetadataImage,
    delta: &mut MetadataDelta,
    r: &ClientQuotaRecord,
) {
    let Some((entity, key, rate)) = r.quota() else {
        return;
    };
    let quotas = Arc::make_mut(&mut image.client_quotas);
    match rate {
        Some(rate) => quotas.set(entity, key, rate),
        None => quotas.remove(&entity, key),
    }
    delta.client_quotas = true;
}

fn replay_broker(image: &mut MetadataImage, delta: &mut MetadataDelta, r: &BrokerRecord) {
    let registration = BrokerRegistration {
        node_id: NodeId(r.node_id),
        incarnation_id: r.incarnation_id,
        broker_epoch: BrokerEpoch(r.broker_epoch),
        storage_id: r.storage_id,
        listeners: r.listeners.clone(),
        peer: r.peer.clone(),
        rack: r.rack.as_deref().map(Arc::from),
        features: FeatureRangeRecord::levels(&r.features),
        fenced: r.fenced,
        in_controlled_shutdown: r.in_controlled_shutdown,
        configs: r.configs.as_deref().map(FileConfigRecord::configs),
    };
    let next = BrokerEpoch(r.broker_epoch.saturating_add(1));
    image.next_broker_epoch = image.next_broker_epoch.max(next);
    delta.brokers.insert(registration.node_id);
    Arc::make_mut(&mut image.brokers).insert(registration.node_id, Arc::new(registration));
    agree(image, delta);
}

/// What all brokers agree on, once one of them came, changed or went.
fn agree(image: &mut MetadataImage, delta: &mut MetadataDelta) {
    let agreed = Agreed::of(image.brokers.values().map(|broker| broker.configs.as_ref()));
    if image.agreed.as_deref() != agreed.as_ref() {
        image.agreed = agreed.map(Arc::new);
        delta.configs.insert(ConfigResource::Cluster);
    }
}

fn replay_topic(image: &mut MetadataImage, delta: &mut MetadataDelta, r: &TopicRecord) {
    let id = TopicId(r.topic_id);
    let name: ottla_protocol::ids::TopicName = r.name.as_str().into();
    let topic = Topic {
        id,
        name: name.clone(),
        partitions: Partitions::default(),
    };
    delta.touch(id, &name);
    Arc::make_mut(&mut image.topic_names).insert(id, name.clone());
    Arc::make_mut(&mut image.topics).insert(name, Arc::new(topic));
}

fn replay_remove_topic(image: &mut MetadataImage, delta: &mut MetadataDelta, id: TopicId) {
    let Some(name) = Arc::make_mut(&mut image.topic_names).remove(&id) else {
        return;
    };
    if let Some(topic) = Arc::make_mut(&mut image.topics).remove(&name) {
        delta.touch_deleted(&topic);
    }
    let resource = ConfigResource::Topic(name);
    if Arc::make_mut(&mut image.configs)
        .remove(&resource)
        .is_some()
    {
        delta.configs.insert(resource);
    }
}

fn replay_partition(image: &mut MetadataImage, delta: &mut MetadataDelta, r: &PartitionRecord) {
    let id = TopicId(r.topic_id);
    let Some(name) = image.topic_names.get(&id) else {
        return;
    };
    let topics = Arc::make_mut(&mut image.topics);
    let Some(topic) = topics.get_mut(name) else {
        return;
    };
    let partitions = &mut Arc::make_mut(topic).partitions;
    let index = usize::try_from(r.partition).unwrap_or(usize::MAX);
    let registration = Arc::new(r.registration());
    match index.cmp(&partitions.len()) {
        Ordering::Less => partitions.set(index, registration),
        Ordering::Equal => partitions.push(registration),
        Ordering::Greater => return, // partitions are recorded in order
    }
    let entry = delta.touch(id, name);
    entry.partitions.insert(PartitionIndex(r.partition));
}

fn replay_config(image: &mut MetadataImage, delta: &mut MetadataDelta, r: &ConfigRecord) {
    let Some(resource) = ConfigResource::from_wire(r.resource_type, &r.resource_name) else {
        return;
    };
    let configs = Arc::make_mut(&mut image.configs);
    let values = Arc::make_mut(configs.entry(resource.clone()).or_default());
    match &r.value {
        Some(text) => {
            let value = config::recorded(resource.scope(), &r.name, text);
            values.insert(r.name.clone(), value);
        }
        None => drop(values.remove(&r.name)),
    }
    if values.is_empty() {
        configs.remove(&resource);
    }
    delta.configs.insert(resource);
}

impl PartitionRecord {
    /// The partition that this record is about.
    pub fn id(&self) -> TopicIdPartition {
        TopicIdPartition {
            topic_id: TopicId(self.topic_id),
            partition: PartitionIndex(self.partition),
        }
    }

    /// The registration that this record states.
    pub fn registration(&self) -> PartitionRegistration {
        PartitionRegistration {
            replicas: nodes(&self.replicas),
            isr: nodes(&self.isr),
            adding_replicas: nodes(&self.adding_replicas),
            removing_replicas: nodes(&self.removing_replicas),
            elr: nodes(&self.elr),
            last_known_elr: nodes(&self.last_known_elr),
            leader: (self.leader >= 0).then_some(NodeId(self.leader)),
            successor: (self.successor >= 0).then_some(NodeId(self.successor)),
            leader_epoch: LeaderEpoch(self.leader_epoch),
            partition_epoch: PartitionEpoch(self.partition_epoch),
        }
    }

    /// The record that states a registration.
    pub fn of(topic_id: TopicId, partition: PartitionIndex, p: &PartitionRegistration) -> Self {
        Self {
            topic_id: topic_id.0,
            partition: partition.0,
            replicas: numbers(&p.replicas),
            isr: numbers(&p.isr),
            adding_replicas: numbers(&p.adding_replicas),
            removing_replicas: numbers(&p.removing_replicas),
            elr: numbers(&p.elr),
            last_known_elr: numbers(&p.last_known_elr),
            leader: p.leader.map_or(-1, |n| n.0),
            leader_epoch: p.leader_epoch.0,
            partition_epoch: p.partition_epoch.0,
            successor: p.successor.map_or(-1, |n| n.0),
        }
    }
}

fn nodes(numbers: &[i32]) -> Vec<NodeId> {
    numbers.iter().copied().map(NodeId).collect()
}

fn numbers(nodes: &[NodeId]) -> Vec<i32> {
    nodes.iter().map(|n| n.0).collect()
}

impl BrokerRecord {
    /// The record that states a registration.
    pub fn of(b: &BrokerRegistration) -> Self {
        Self {
            node_id: b.node_id.0,
            incarnation_id: b.incarnation_id,
            broker_epoch: b.broker_epoch.0,
            storage_id: b.storage_id,
            listeners: b.listeners.clone(),
            peer: b.peer.clone(),
            rack: b.rack.as_deref().map(str::to_owned),
            features: FeatureRangeRecord::all(&b.features),
            fenced: b.fenced,
            in_controlled_shutdown: b.in_controlled_shutdown,
            configs: b.configs.as_ref().map(FileConfigRecord::of),
        }
    }
}
