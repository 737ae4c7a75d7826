//! Changing dynamic configs: replace all (AlterConfigs) or single ones (IncrementalAlterConfigs,
//! KIP-339).
//!
//! A resource's changes are taken together or not at all; resources of one request are independent.

use std::collections::BTreeSet;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::configs::{
    AlterConfigsRequest, AlterConfigsResourceResponse, AlterConfigsResponse, AlterableConfig,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResourceResponse,
    IncrementalAlterConfigsResponse, IncrementalAlterableConfig,
};

use super::names;
use super::request::{Refusal, Response};
use super::{Decision, Metadata};
use crate::config::{self, Key, Kind, Layers};
use crate::image::record::{ConfigRecord, PartitionRecord, Record};
use crate::image::{ConfigMap, ConfigResource, PartitionRegistration};

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// The config whose change makes the eligible leader replicas ineligible.
const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

/// What became of one resource of a request.
struct Altered<'a> {
    resource_type: i8,
    name: &'a str,
    /// Why it stays as it is, where it does.
    refusal: Option<Refusal>,
}

impl Altered<'_> {
    fn error_code(&self) -> i16 {
        self.refusal.as_ref().map_or(0, |r| r.error_code)
    }
}

impl Metadata {
    pub(super) fn incremental_alter_configs(
        &self,
        request: &IncrementalAlterConfigsRequest,
    ) -> Decision {
        let resources = request.resources.iter();
        let (records, altered) = self.alter_resources(
            resources.map(|r| (r.resource_type, r.resource_name.as_str(), &r.configs)),
            request.validate_only,
            |configs, target, before| self.altered(target, before, configs),
        );
        let respond = |altered: Altered<'_>| IncrementalAlterConfigsResourceResponse {
            error_code: altered.error_code(),
            resource_type: altered.resource_type,
            resource_name: altered.name.to_owned(),
            error_message: altered.refusal.map(|r| r.message),
        };
        Decision {
            records,
            response: Response::IncrementalAlterConfigs(IncrementalAlterConfigsResponse {
                throttle_time_ms: 0,
                responses: altered.into_iter().map(respond).collect(),
            }),
        }
    }

    pub(super) fn alter_configs(&self, request: &AlterConfigsRequest) -> Decision {
        let resources = request.resources.iter();
        let (records, altered) = self.alter_resources(
            resources.map(|r| (r.resource_type, r.resource_name.as_str(), &r.configs)),
            request.validate_only,
            |configs, _, _| {
                let value = |config: &AlterableConfig| {
                    let value = config.value.clone();
                    let value = value.ok_or_else(|| null_value(&config.name))?;
                    Ok((config.name.clone(), value))
                };
                configs.iter().map(value).collect()
            },
        );
        let respond = |altered: Altered<'_>| AlterConfigsResourceResponse {
            error_code: altered.error_code(),
            resource_type: altered.resource_type,
            resource_name: altered.name.to_owned(),
            error_message: altered.refusal.map(|r| r.message),
        };
        Decision {
            records,
            response: Response::AlterConfigs(AlterConfigsResponse {
                throttle_time_ms: 0,
                responses: altered.into_iter().map(respond).collect(),
            }),
        }
    }

    /// Alters each resource, named at most once. Gives the records, and of each resource whether
    /// and why it was altered.
    fn alter_resources<'a, C: 'a>(
        &self,
        resources: impl Iterator<Item = (i8, &'a str, &'a C)>,
        validate_only: bool,
        change: impl Fn(&C, &ConfigResource, &ConfigMap) -> Result<ConfigMap, Refusal>,
    ) -> (Vec<Record>, Vec<Altered<'a>>) {
        let (mut records, mut altered) = (Vec::new(), Vec::new());
        let mut seen = BTreeSet::new();
        for (resource_type, name, configs) in resources {
            let outcome = if seen.insert((resource_type, name)) {
                self.alter_resource(resource_type, name, |target, before| {
                    change(configs, target, before)
                })
            } else {
                Err(named_twice())
            };
            let refusal = outcome.map(|changes| records.extend(changes)).err();
            altered.push(Altered {
                resource_type,
                name,
                refusal,
            });
        }
        if validate_only {
            records.clear();
        }
        (records, altered)
    }

    fn alter_resource(
        &self,
        resource_type: i8,
        name: &str,
        change: impl Fn(&ConfigResource, &ConfigMap) -> Result<ConfigMap, Refusal>,
    ) -> Result<Vec<Record>, Refusal> {
        let target = self.config_target(resource_type, name)?;
        let empty = ConfigMap::new();
        let before = self.image.configs_of(&target);
        let before = before.map_or(&empty, |map| map.as_ref());
        let after = change(&target, before)?;
        check(&target, before, &after)?;
        let mut records = Vec::new();
        for (name, value) in &after {
            if before.get(name) != Some(value) {
                records.push(Record::Config(ConfigRecord::new(
                    &target,
                    name,
                    Some(value.clone()),
                )));
            }
        }
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            records.push(Record::Config(ConfigRecord::new(&target, name, None)));
        }
        if before.get(MIN_INSYNC_REPLICAS) != after.get(MIN_INSYNC_REPLICAS) {
            self.forget_eligible(&target, &mut records);
        }
        Ok(records)
    }

    fn config_target(&self, resource_type: i8, name: &str) -> Result<ConfigResource, Refusal> {
        let Some(target) = ConfigResource::from_wire(resource_type, name) else {
            return Err(Refusal::new(
                ErrorCode::InvalidRequest,
                format!("Unexpected resource type {resource_type} or name '{name}'."),
            ));
        };
        match &target {
            ConfigResource::Topic(topic) => {
                if let Some(message) = names::invalid_topic_name(topic) {
                    return Err(Refusal::new(ErrorCode::InvalidTopicException, message));
                }
                if self.image.topic(topic).is_none() {
                    let message = format!("The topic '{topic}' does not exist.");
                    return Err(Refusal::new(ErrorCode::UnknownTopicOrPartition, message));
                }
            }
            ConfigResource::Broker(node) if self.image.broker(*node).is_none() => {
                return Err(Refusal::new(
                    ErrorCode::BrokerIdNotRegistered,
                    format!("No broker with id {node} found."),
                ));
            }
            ConfigResource::Group(name) | ConfigResource::ClientMetrics(name)
                if name.is_empty() =>
            {
                let message = "Default resource is not allowed.";
                return Err(Refusal::new(ErrorCode::InvalidRequest, message));
            }
            _ => {}
        }
        Ok(target)
    }

    fn altered(
        &self,
        target: &ConfigResource,
        before: &ConfigMap,
        changes: &[IncrementalAlterableConfig],
    ) -> Result<ConfigMap, Refusal> {
        let mut after = before.clone();
        for (place, change) in changes.iter().enumerate() {
            let name = &change.name;
            if changes[..place].iter().any(|c| c.name == *name) {
                let message = format!("Error due to duplicate config keys: {name}");
                return Err(Refusal::new(ErrorCode::InvalidRequest, message));
            }
            let value = || change.value.clone().ok_or_else(|| null_value(name));
            match change.config_operation {
                SET => drop(after.insert(name.clone(), value()?)),
                DELETE => drop(after.remove(name)),
                operation @ (APPEND | SUBTRACT) => {
                    let list = self.list_of(target, before, name)?;
                    let changed = with_items(&list, &value()?, operation == APPEND);
                    after.insert(name.clone(), changed);
                }
                other => {
                    let message = format!("Unknown config operation {other} for {name}.");
                    return Err(Refusal::new(ErrorCode::InvalidRequest, message));
                }
            }
        }
        Ok(after)
    }

    /// The list that an item is to be appended to or taken from: what is set, else the default.
    fn list_of(
        &self,
        target: &ConfigResource,
        before: &ConfigMap,
        name: &str,
    ) -> Result<String, Refusal> {
        let key = key_of(target, name);
        let Some(key) = key.filter(|key| key.kind == Kind::List) else {
            return Err(Refusal::new(
                ErrorCode::InvalidConfig,
                format!("Can't APPEND or SUBTRACT to key {name} because its type is not LIST."),
            ));
        };
        if let Some(set) = before.get(name) {
            return Ok(set.clone());
        }
        Ok(match target {
            ConfigResource::Topic(_) => {
                let layers = Layers::of_cluster(&self.image, &self.static_configs);
                layers.value(key).0
            }
            _ => key.default.to_owned(),
        })
    }

    /// What was eligible by the old min.insync.replicas is not by a smaller one: a shorter ISR may
    /// have committed records since. Nobody stays eligible across the change.
    fn forget_eligible(&self, target: &ConfigResource, records: &mut Vec<Record>) {
        let is_concerned = |name: &str| match target {
            ConfigResource::Topic(topic) => **topic == *name,
            ConfigResource::Cluster | ConfigResource::Broker(_) => true,
            _ => false,
        };
        for topic in self.image.topics.values().filter(|t| is_concerned(&t.name)) {
            for (index, partition) in topic.indexed() {
                // without a leader nothing can be committed meanwhile, and they are all there is to
                // choose from
                if partition.elr.is_empty() || partition.leader.is_none() {
                    continue;
                }
                let mut new = PartitionRegistration::clone(partition);
                new.elr.clear();
                new.partition_epoch.0 += 1;
                let record = PartitionRecord::of(topic.id, index, &new);
                records.push(Record::Partition(record));
            }
        }
    }
}

fn key_of(target: &ConfigResource, name: &str) -> Option<&'static Key> {
    match target {
        ConfigResource::Topic(_) => config::find(config::topic::TOPIC_CONFIGS, name),
        ConfigResource::Group(_) => config::find(config::group::GROUP_CONFIGS, name),
        ConfigResource::ClientMetrics(_) => {
            config::find(config::client_metrics::CLIENT_METRICS_CONFIGS, name)
        }
        ConfigResource::Broker(_) | ConfigResource::Cluster => match config::broker::find(name) {
            Some(
                config::broker::Dynamic::Own(key) | config::broker::Dynamic::TopicDefault(key),
            ) => Some(key),
            None => None,
        },
    }
}

fn check(target: &ConfigResource, before: &ConfigMap, after: &ConfigMap) -> Result<(), Refusal> {
    if matches!(target, ConfigResource::Broker(_)) && after.contains_key(MIN_INSYNC_REPLICAS) {
        // leaders and the controller must agree on it: who is eligible depends on it (KIP-966)
        return Err(Refusal::new(
            ErrorCode::InvalidConfig,
            "min.insync.replicas is set for a topic or for all brokers, not for one broker.",
        ));
    }
    let is_broker = matches!(target, ConfigResource::Broker(_) | ConfigResource::Cluster);
    let conflict = match target {
        ConfigResource::Topic(_) => config::topic::conflict(after),
        ConfigResource::Group(_) => config::group::conflict(after),
        ConfigResource::ClientMetrics(_) => config::client_metrics::conflict(after),
        ConfigResource::Broker(_) | ConfigResource::Cluster => config::broker::conflict(after),
    };
    let Some(message) = conflict else {
        return Ok(());
    };
    // what was recorded before a table changed must not bar the way to changing it
    let stale = before
        .iter()
        .all(|(name, value)| after.get(name) == Some(value));
    if stale && before.len() == after.len() {
        return Ok(());
    }
    let is_static = is_broker
        && after
            .keys()
            .any(|name| config::broker::find(name).is_none());
    let error = if is_static {
        ErrorCode::InvalidRequest
    } else {
        ErrorCode::InvalidConfig
    };
    Err(Refusal::new(error, message))
}

fn with_items(list: &str, change: &str, append: bool) -> String {
    let split = |text: &str| -> Vec<String> {
        let items = text.split(',').map(str::trim);
        items.filter(|i| !i.is_empty()).map(str::to_owned).collect()
    };
    let (mut items, change) = (split(list), split(change));
    if append {
        for item in change {
            if !items.contains(&item) {
                items.push(item);
            }
        }
    } else {
        items.retain(|item| !change.contains(item));
    }
    items.join(",")
}

fn null_value(name: &str) -> Refusal {
    let message = format!("Null value not supported for configs: {name}");
    Refusal::new(ErrorCode::InvalidRequest, message)
}

fn named_twice() -> Refusal {
    let message = "Each resource must appear at most once.";
    Refusal::new(ErrorCode::InvalidRequest, message)
}
