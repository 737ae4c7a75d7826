//! Changing dynamic configs: replace all (AlterConfigs) or single ones (IncrementalAlterConfigs,
//! KIP-339).
//!
//! A resource's changes are taken together or not at all; resources of one request are independent.

use std::collections::BTreeSet;

use ottla_protocol::codec::STRING_BYTES_MAX;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::TopicName;
use ottla_protocol::messages::configs::{
    AlterConfigsRequest, AlterConfigsResourceResponse, AlterConfigsResponse, AlterableConfig,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResourceResponse,
    IncrementalAlterConfigsResponse, IncrementalAlterableConfig,
};

use super::elections::{Change, Election, Rules};
use super::hand_over::DRAIN;
use super::names;
use super::request::{Refusal, Response};
use super::{Decision, Metadata};
use crate::config::agreed::MIN_INSYNC_REPLICAS;
use crate::config::{self, ConfigMap, Kind, Layers, Scope, Update, Value};
use crate::image::record::{ConfigRecord, PartitionRecord, Record};
use crate::image::{ConfigResource, PartitionRegistration};

const UNCLEAN: &str = "unclean.leader.election.enable";

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

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
            |configs, target, _| {
                let value = |config: &AlterableConfig| {
                    let text = config.value.as_deref();
                    let text = text.ok_or_else(|| null_value(&config.name))?;
                    Ok((config.name.clone(), value_of(target, &config.name, text)?))
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
        if after != *before {
            check(
                &target,
                &after,
                self.image.layers(None, &self.static_configs),
            )?;
        }
        let mut records = Vec::new();
        for (name, value) in &after {
            if before.get(name) != Some(value) {
                records.push(Record::Config(ConfigRecord::new(
                    &target,
                    name,
                    Some(value),
                )));
            }
        }
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            records.push(Record::Config(ConfigRecord::new(&target, name, None)));
        }
        if let ConfigResource::Broker(node) = target
            && before.get(DRAIN) != after.get(DRAIN)
        {
            self.drain(
                node,
                after.get(DRAIN) == Some(&Value::Boolean(true)),
                &mut records,
            );
        }
        if before.get(MIN_INSYNC_REPLICAS) != after.get(MIN_INSYNC_REPLICAS) {
            self.forget_eligible(&target, &mut records);
        }
        let allows = |configs: &ConfigMap| configs.get(UNCLEAN).is_some_and(Value::flag);
        if allows(&after) && !allows(before) {
            self.elect_uncleanly(&target, &mut records);
        }
        Ok(records)
    }

    /// Where an unclean election is allowed from now on, partitions that wait for a leader get one
    /// at once: no broker need come or go.
    fn elect_uncleanly(&self, target: &ConfigResource, records: &mut Vec<Record>) {
        let is_concerned = |name: &TopicName| match target {
            ConfigResource::Topic(topic) => topic == name,
            ConfigResource::Cluster => {
                let own = self.image.configs_of(&ConfigResource::Topic(name.clone()));
                own.is_none_or(|own| !own.contains_key(UNCLEAN))
            }
            _ => false,
        };
        for topic in self.image.topics.values().filter(|t| is_concerned(&t.name)) {
            let rules = Rules {
                allows_unclean: true,
                ..self.rules(topic)
            };
            for (index, partition) in topic.indexed().filter(|(_, p)| p.leader.is_none()) {
                let change = Change::of(&self.image, partition, rules);
                if let Some(new) = change.finish(Election::Online) {
                    let record = PartitionRecord::of(topic.id, index, &new);
                    records.push(Record::Partition(record));
                }
            }
        }
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
            ConfigResource::Broker(node) if self.image.node(*node).is_none() => {
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
            let text = || change.value.as_deref().ok_or_else(|| null_value(name));
            match change.config_operation {
                SET => drop(after.insert(name.clone(), value_of(target, name, text()?)?)),
                DELETE => drop(after.remove(name)),
                operation @ (APPEND | SUBTRACT) => {
                    let list = self.list_of(target, before, name)?;
                    let changed = with_items(list, text()?, operation == APPEND);
                    after.insert(name.clone(), value_of(target, name, &changed)?);
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
    ) -> Result<Vec<String>, Refusal> {
        let known = config::find(target.scope(), name);
        let Some(known) = known.filter(|known| known.key.kind == Kind::List) else {
            return Err(Refusal::new(
                ErrorCode::InvalidConfig,
                format!("Can't APPEND or SUBTRACT to key {name} because its type is not LIST."),
            ));
        };
        let inherited = || match target {
            ConfigResource::Topic(_) => {
                let layers = self.image.layers(None, &self.static_configs);
                layers.value(known.key, None).0
            }
            _ => known.key.default_value(),
        };
        Ok(match before.get(name).cloned().unwrap_or_else(inherited) {
            Value::List(items) => items,
            _ => Vec::new(),
        })
    }

    /// What was eligible by the old min.insync.replicas is not by a smaller one: a shorter ISR may
    /// have committed records since. Nobody stays eligible across the change.
    pub(super) fn forget_eligible(&self, target: &ConfigResource, records: &mut Vec<Record>) {
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

/// The value that a resource takes under that name, or why it does not.
fn value_of(target: &ConfigResource, name: &str, text: &str) -> Result<Value, Refusal> {
    let known = config::find(target.scope(), name);
    if target.scope() == Scope::Broker {
        may_change_of_listeners(name)?;
    }
    if known.is_none() && target.scope() == Scope::Broker && text.len() <= STRING_BYTES_MAX {
        // Kafka keeps such a value for a plug-in that may know it; whoever mistypes a name sees it
        return Ok(Value::Foreign(text.to_owned()));
    }
    let Some(known) = known.filter(|known| known.update == Update::Dynamic) else {
        let (error, message) = match target.scope() {
            Scope::Broker => (
                ErrorCode::InvalidRequest,
                format!("Cannot update these configs dynamically: [{name}]"),
            ),
            Scope::Topic => (
                ErrorCode::InvalidConfig,
                format!("Unknown topic config name: {name}"),
            ),
            Scope::Group => (
                ErrorCode::InvalidConfig,
                format!("Unknown group config name: {name}"),
            ),
            Scope::ClientMetrics => (
                ErrorCode::InvalidConfig,
                format!("Unknown client metrics configuration: {name}"),
            ),
        };
        return Err(Refusal::new(error, message));
    };
    if text.len() > STRING_BYTES_MAX {
        // a list that grew item by item
        return Err(Refusal::new(
            ErrorCode::InvalidConfig,
            format!(
                "The configuration value of {name} cannot be added because it exceeds the maximum \
                 value size of {STRING_BYTES_MAX} bytes."
            ),
        ));
    }
    let invalid =
        |error: config::InvalidValue| Refusal::new(ErrorCode::InvalidConfig, error.to_string());
    known.parse(text).map_err(invalid)
}

/// The settings of listeners stand in the brokers' files: a certificate that changes there is taken
/// while the broker runs.
fn may_change_of_listeners(name: &str) -> Result<(), Refusal> {
    let of_listener = name.strip_prefix("listener.name.");
    let setting = of_listener.and_then(|rest| rest.split_once('.'));
    let is_known = |(_, setting)| config::find(Scope::Broker, setting).is_some();
    let message = if setting.is_some_and(is_known) {
        format!("Cannot update these configs dynamically: [{name}]")
    } else if name.starts_with("ssl.") {
        format!(
            "These security configs can be dynamically updated only per-listener using the \
             listener prefix: [{name}]"
        )
    } else {
        return Ok(());
    };
    Err(Refusal::new(ErrorCode::InvalidRequest, message))
}

/// Whether a resource's configs can stand together.
fn check(target: &ConfigResource, configs: &ConfigMap, brokers: Layers<'_>) -> Result<(), Refusal> {
    let conflict = match target {
        ConfigResource::Topic(_) => config::topic::conflict(configs),
        ConfigResource::ClientMetrics(_) => config::client_metrics::conflict(configs),
        ConfigResource::Group(_) => config::group::conflict(configs, brokers),
        ConfigResource::Cluster if configs.contains_key(DRAIN) => {
            Some("ottla.drain is set for one broker, not for all.".into())
        }
        ConfigResource::Broker(_) if configs.contains_key(MIN_INSYNC_REPLICAS) => Some(
            "min.insync.replicas is set for a topic or for all brokers, not for one broker.".into(),
        ),
        _ => None,
    };
    let refused = |message| Err(Refusal::new(ErrorCode::InvalidConfig, message));
    conflict.map_or(Ok(()), refused)
}

fn with_items(mut items: Vec<String>, change: &str, append: bool) -> String {
    let change = change.split(',').map(str::trim).filter(|i| !i.is_empty());
    let change: Vec<String> = change.map(str::to_owned).collect();
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
