//! Creating and deleting topics. Every topic asked for is answered, valid and invalid
//! mixed.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{NodeId, PartitionIndex, TopicId, Uuid};
use ottla_protocol::messages::topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest,
    CreateTopicsResponse, DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest,
    DeleteTopicsResponse,
};

use super::metered::{spend, throttle_time_ms};
use super::names;
use super::partitions::{CREATED_PARTITIONS_MAX, check_same_size, place};
use super::request::{Refusal, Response};
use super::{Decision, Metadata, Moment};
use crate::config::{self, ConfigMap, Scope, table};
use crate::image::record::{ConfigRecord, PartitionRecord, Record, RemoveTopicRecord, TopicRecord};
use crate::image::{ConfigResource, Topic};
use crate::placement::{self, Candidate};

/// The replication factor where neither the request nor the server properties say one, and as many
/// brokers take new replicas.
pub const REPLICATION_FACTOR_DEFAULT: usize = 3;

/// What the topics of one request share while they are decided in turn.
struct Creation {
    moment: Moment,
    names: BTreeMap<String, String>,
    /// The brokers, and what they hold with the topics that are decided.
    candidates: Vec<Candidate>,
    partitions: usize,
    records: Vec<Record>,
}

impl Metadata {
    pub(super) fn create_topics(&self, moment: Moment, request: &CreateTopicsRequest) -> Decision {
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for topic in &request.topics {
            *times.entry(topic.name.as_str()).or_default() += 1;
        }
        let existing = self.image.topics.keys();
        let mut creation = Creation {
            moment,
            names: existing
                .map(|name| (names::collision_form(name), name.to_string()))
                .collect(),
            candidates: placement::candidates(&self.image),
            partitions: 0,
            records: Vec::new(),
        };
        let mut answered = BTreeSet::new();
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            if !answered.insert(topic.name.as_str()) {
                continue;
            }
            let outcome = if times[topic.name.as_str()] > 1 {
                let message = "Duplicate topic name.";
                Err(Refusal::new(ErrorCode::InvalidRequest, message))
            } else {
                self.create_topic(topic, &mut creation)
            };
            topics.push(outcome.unwrap_or_else(|refusal| CreatableTopicResult {
                name: topic.name.clone(),
                error_code: refusal.error_code,
                error_message: Some(refusal.message),
                configs: Some(Vec::new()),
                ..CreatableTopicResult::default()
            }));
        }
        if request.validate_only {
            creation.records.clear();
            for topic in &mut topics {
                topic.topic_id = Uuid::ZERO;
            }
        }
        Decision {
            records: creation.records,
            response: Response::CreateTopics(CreateTopicsResponse {
                throttle_time_ms: throttle_time_ms(creation.moment.purse),
                topics,
            }),
        }
    }

    fn create_topic(
        &self,
        topic: &CreatableTopic,
        creation: &mut Creation,
    ) -> Result<CreatableTopicResult, Refusal> {
        self.check_name(&topic.name, creation)?;
        let configs = self.configs_of_new(topic)?;
        let seed = placement::mix(creation.moment.seed ^ creation.records.len() as u64);
        let replicas = if topic.assignments.is_empty() {
            self.place_new(topic, &creation.candidates, seed)?
        } else {
            self.assigned(topic)?
        };
        let partitions = creation.partitions + replicas.len();
        if partitions > CREATED_PARTITIONS_MAX {
            return Err(Refusal::new(
                ErrorCode::PolicyViolation,
                format!("One request creates at most {CREATED_PARTITIONS_MAX} partitions."),
            ));
        }
        let id = self.new_topic_id(creation.moment, creation.records.len() as u64);
        let mut records = vec![Record::Topic(TopicRecord {
            topic_id: id.0,
            name: topic.name.clone(),
        })];
        let resource = ConfigResource::Topic(topic.name.as_str().into());
        let set = configs.iter();
        records.extend(set.map(|(n, v)| Record::Config(ConfigRecord::new(&resource, n, Some(v)))));
        let layers = self.image.layers(None, &self.static_configs);
        let layers = layers.with(Some(&configs));
        for (index, nodes) in replicas.iter().enumerate() {
            let least = layers.min_insync_replicas(nodes.len());
            let new = self.new_partition(nodes, least)?;
            let index = PartitionIndex(index as i32);
            records.push(Record::Partition(PartitionRecord::of(id, index, &new)));
        }
        spend(&mut creation.moment.purse, replicas.len())?;
        placement::count(&mut creation.candidates, &replicas);
        creation.partitions = partitions;
        creation.records.extend(records);
        let form = names::collision_form(&topic.name);
        creation.names.insert(form, topic.name.clone());
        let replication_factor = replicas[0].len();
        Ok(CreatableTopicResult {
            name: topic.name.clone(),
            topic_id: id.0,
            num_partitions: replicas.len() as i32,
            replication_factor: replication_factor as i16,
            configs: Some(self.effective_configs(&configs, replication_factor)),
            ..CreatableTopicResult::default()
        })
    }

    fn check_name(&self, name: &str, creation: &Creation) -> Result<(), Refusal> {
        if self.image.topic(name).is_some() {
            let message = format!("Topic '{name}' already exists.");
            return Err(Refusal::new(ErrorCode::TopicAlreadyExists, message));
        }
        let invalid = |message| Err(Refusal::new(ErrorCode::InvalidTopicException, message));
        if let Some(message) = names::invalid_topic_name(name) {
            return invalid(message);
        }
        if name == names::CLUSTER_METADATA_TOPIC {
            let message = format!("Creation of internal topic {name} is prohibited.");
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        }
        match creation.names.get(&names::collision_form(name)) {
            Some(other) => invalid(format!(
                "Topic '{name}' collides with existing topic: {other}"
            )),
            None => Ok(()),
        }
    }

    fn configs_of_new(&self, topic: &CreatableTopic) -> Result<ConfigMap, Refusal> {
        let refusal = |message: String| Refusal::new(ErrorCode::InvalidConfig, message);
        let mut configs = ConfigMap::new();
        for config in &topic.configs {
            let Some(value) = &config.value else {
                let name = &config.name;
                return Err(refusal(format!(
                    "Null value not supported for topic configs: {name}"
                )));
            };
            let Some(known) = config::find(Scope::Topic, &config.name) else {
                return Err(refusal(format!(
                    "Unknown topic config name: {}",
                    config.name
                )));
            };
            let value = known.parse(value).map_err(|e| refusal(e.to_string()))?;
            configs.insert(config.name.clone(), value);
        }
        match config::topic::conflict(&configs) {
            Some(message) => Err(refusal(message)),
            None => Ok(configs),
        }
    }

    fn place_new(
        &self,
        topic: &CreatableTopic,
        candidates: &[Candidate],
        seed: u64,
    ) -> Result<Vec<Vec<NodeId>>, Refusal> {
        let partitions = match topic.num_partitions {
            -1 => self.default_number("num.partitions", 1),
            n if n < 1 => {
                let message = "Number of partitions was set to an invalid non-positive value.";
                return Err(Refusal::new(ErrorCode::InvalidPartitions, message));
            }
            n => n as usize,
        };
        let replication_factor = match topic.replication_factor {
            -1 => {
                let automatic = candidates.len().clamp(1, REPLICATION_FACTOR_DEFAULT);
                self.default_number("default.replication.factor", automatic)
            }
            n if n < 1 => {
                let message = "Replication factor must be larger than 0, or -1 to use the default \
                               value.";
                return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
            }
            n => n as usize,
        };
        if partitions > CREATED_PARTITIONS_MAX {
            let message =
                format!("A topic is created with at most {CREATED_PARTITIONS_MAX} partitions.");
            return Err(Refusal::new(ErrorCode::PolicyViolation, message));
        }
        place(candidates, &[], partitions, replication_factor, seed)
    }

    /// A number that this broker's settings give, as `num.partitions`; 0 leaves it to us.
    fn default_number(&self, name: &str, automatic: usize) -> usize {
        let number = self.image.layers(None, &self.static_configs).number(name);
        let number = usize::try_from(number).ok();
        number.filter(|n| *n > 0).unwrap_or(automatic)
    }

    fn assigned(&self, topic: &CreatableTopic) -> Result<Vec<Vec<NodeId>>, Refusal> {
        if topic.num_partitions != -1 || topic.replication_factor != -1 {
            return Err(Refusal::new(
                ErrorCode::InvalidRequest,
                "A manual partition assignment was specified, but numPartitions or \
                 replicationFactor was not set to -1.",
            ));
        }
        let refuse = |message: String| Refusal::new(ErrorCode::InvalidReplicaAssignment, message);
        let mut by_index: BTreeMap<i32, Vec<NodeId>> = BTreeMap::new();
        for assignment in &topic.assignments {
            let index = assignment.partition_index;
            let nodes = assignment.broker_ids.iter().copied().map(NodeId).collect();
            if by_index.insert(index, nodes).is_some() {
                return Err(refuse(format!(
                    "Found multiple manual partition assignments for partition {index}"
                )));
            }
        }
        if by_index.keys().copied().ne(0..by_index.len() as i32) {
            return Err(refuse(
                "partitions should be a consecutive 0-based integer sequence".to_owned(),
            ));
        }
        let replicas: Vec<Vec<NodeId>> = by_index.into_values().collect();
        for nodes in &replicas {
            self.check_replicas(nodes)?;
            check_same_size(nodes, replicas[0].len())?;
        }
        Ok(replicas)
    }

    fn new_topic_id(&self, moment: Moment, salt: u64) -> TopicId {
        let mut state = placement::mix(moment.seed ^ placement::mix(salt));
        loop {
            let high = placement::mix(state);
            let low = placement::mix(high ^ moment.now_ms as u64);
            let bits = (u128::from(high) << 64) | u128::from(low);
            // version 4, variant 1, as random UUIDs are marked
            let bits = bits & !(0xf000 << 64) | (0x4000 << 64);
            let bits = bits & !(0xc << 60) | (0x8 << 60);
            let id = TopicId(Uuid(bits.to_be_bytes()));
            // tools take an argument that begins with '-' for an option
            let is_plain = !id.to_string().starts_with('-');
            if is_plain && !self.image.topic_names.contains_key(&id) {
                return id;
            }
            state = low;
        }
    }

    fn effective_configs(
        &self,
        configs: &ConfigMap,
        replication_factor: usize,
    ) -> Vec<CreatableTopicConfigs> {
        let layers = self.image.layers(None, &self.static_configs);
        let layers = layers.with(Some(configs));
        table::keys_of(Scope::Topic)
            .filter(|key| key.is_told_unset() || configs.contains_key(key.name))
            .map(|key| {
                let (value, source) = layers.value(key, Some(replication_factor));
                CreatableTopicConfigs {
                    name: key.name.to_owned(),
                    value: Some(value.to_string()),
                    read_only: false,
                    config_source: source as i8,
                    is_sensitive: false,
                }
            })
            .collect()
    }

    pub(super) fn delete_topics(&self, moment: Moment, request: &DeleteTopicsRequest) -> Decision {
        let mut purse = moment.purse;
        let mut gone = BTreeSet::new();
        let mut responses = Vec::with_capacity(request.topics.len());
        let by_name = request.topic_names.iter().map(|name| DeleteTopicState {
            name: Some(name.clone()),
            ..DeleteTopicState::default()
        });
        for asked in request.topics.iter().cloned().chain(by_name) {
            let outcome = self.topic_to_delete(&asked).and_then(|topic| {
                if gone.contains(&topic.id) {
                    let message = "The topic is named twice.";
                    return Err(Refusal::new(ErrorCode::InvalidRequest, message));
                }
                spend(&mut purse, topic.partitions.len())?;
                gone.insert(topic.id);
                Ok(topic)
            });
            let (topic, refusal) = match outcome {
                Ok(topic) => (Some(topic), None),
                Err(refusal) => (None, Some(refusal)),
            };
            responses.push(DeletableTopicResult {
                name: topic.map(|t| t.name.to_string()).or(asked.name),
                topic_id: topic.map_or(asked.topic_id, |t| t.id.0),
                error_code: refusal.as_ref().map_or(0, |r| r.error_code),
                error_message: refusal.map(|r| r.message),
            });
        }
        let remove = |id: TopicId| Record::RemoveTopic(RemoveTopicRecord { topic_id: id.0 });
        Decision {
            records: gone.into_iter().map(remove).collect(),
            response: Response::DeleteTopics(DeleteTopicsResponse {
                throttle_time_ms: throttle_time_ms(purse),
                responses,
            }),
        }
    }

    fn topic_to_delete(&self, asked: &DeleteTopicState) -> Result<&Topic, Refusal> {
        let layers = self.image.layers(None, &self.static_configs);
        if !layers.get("delete.topic.enable").flag() {
            let message = "Topic deletion is disabled.";
            return Err(Refusal::new(ErrorCode::TopicDeletionDisabled, message));
        }
        let (found, error) = match &asked.name {
            Some(_) if !asked.topic_id.is_zero() => {
                let message = "You may not specify both topic name and topic id.";
                return Err(Refusal::new(ErrorCode::InvalidRequest, message));
            }
            Some(name) => (self.image.topic(name), ErrorCode::UnknownTopicOrPartition),
            None if asked.topic_id.is_zero() => {
                let message = "Neither topic name nor id were specified.";
                return Err(Refusal::new(ErrorCode::InvalidRequest, message));
            }
            None => (
                self.image.topic_by_id(TopicId(asked.topic_id)),
                ErrorCode::UnknownTopicId,
            ),
        };
        let topic = found.map(std::sync::Arc::as_ref);
        topic.ok_or_else(|| Refusal::new(error, "This server does not host this topic."))
    }
}
