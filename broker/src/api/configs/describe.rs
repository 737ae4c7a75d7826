//! DescribeConfigs: every config of a resource with its value, who set it, and all who tried.

#[cfg(test)]
mod tests;

use ottla_core::acl::Operation;
use ottla_core::config::effective::Found;
use ottla_core::config::topic::TOPIC_CONFIGS;
use ottla_core::config::{Bounds, Effect, Key, Kind, Layers, Source, Synonym};
use ottla_core::config::{broker, client_metrics, group};
use ottla_core::image::{ConfigMap, ConfigResource, MetadataImage};
use ottla_core::metadata::names;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::NodeId;
use ottla_protocol::messages::configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};

use super::super::{Context, RequestContext};
use super::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC, permission};
use crate::authorizer::{Access, sentence};
use crate::config::table::{self, SETTINGS};

/// DescribeConfigs.
pub async fn handle(
    context: &Context,
    request: &RequestContext,
    body: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let image = context.controller.image();
    let view = View {
        access: &context.access(request),
        image: &image,
        here: context.controller.node_id(),
        statics: &context.settings.properties(),
        synonyms: body.include_synonyms,
        documentation: body.include_documentation,
    };
    DescribeConfigsResponse {
        throttle_time_ms: 0,
        results: body.resources.iter().map(|r| view.describe(r)).collect(),
    }
}

/// What is described from, and how much of it is wanted.
struct View<'a> {
    access: &'a Access,
    image: &'a MetadataImage,
    here: NodeId,
    statics: &'a ConfigMap,
    synonyms: bool,
    documentation: bool,
}

type Described = Result<Vec<DescribeConfigsResourceResult>, (ErrorCode, String)>;

impl View<'_> {
    fn describe(&self, asked: &DescribeConfigsResource) -> DescribeConfigsResult {
        let name = asked.resource_name.as_str();
        let operation = Operation::DescribeConfigs;
        let permission = permission(self.access, operation, asked.resource_type, name);
        let described = match asked.resource_type {
            _ if permission.is_err() => permission
                .map_err(|e| (e, sentence(e)))
                .map(|()| Vec::new()),
            TOPIC => self.topic(name),
            BROKER => self.broker(name),
            GROUP => self.named(ConfigResource::Group(name.to_owned()), name),
            CLIENT_METRICS => self.named(ConfigResource::ClientMetrics(name.to_owned()), name),
            BROKER_LOGGER => Err((
                ErrorCode::InvalidRequest,
                "Log levels are set when the broker starts; there are no loggers to describe."
                    .to_owned(),
            )),
            other => Err((
                ErrorCode::InvalidRequest,
                format!("Unsupported resource type: {other}"),
            )),
        };
        let (refusal, mut configs) = match described {
            Ok(configs) => (None, configs),
            Err(refusal) => (Some(refusal), Vec::new()),
        };
        if let Some(wanted) = asked.configuration_keys.as_ref().filter(|w| !w.is_empty()) {
            configs.retain(|config| wanted.contains(&config.name));
        }
        let (code, message) = refusal.unzip();
        DescribeConfigsResult {
            error_code: code.unwrap_or(ErrorCode::None).code(),
            error_message: message,
            resource_type: asked.resource_type,
            resource_name: asked.resource_name.clone(),
            configs,
        }
    }

    fn topic(&self, name: &str) -> Described {
        if let Some(message) = names::invalid_topic_name(name) {
            return Err((ErrorCode::InvalidTopicException, message));
        }
        let Some(topic) = self.image.topic(name) else {
            let message = format!("Topic {name} does not exist.");
            return Err((ErrorCode::UnknownTopicOrPartition, message));
        };
        let layers = Layers::of_broker(self.image, self.here, self.statics);
        let layers = layers.with_topic(self.image, name);
        let shown = TOPIC_CONFIGS.iter();
        let shown = shown.filter(|key| !key.name.starts_with("internal."));
        Ok(shown
            .map(|key| {
                let factor = topic.replication_factor();
                let (value, source) = layers.topic_value(key, factor);
                self.entry(key, value, source, layers.topic_all(key, factor))
            })
            .collect())
    }

    /// A group's or a subscription's configs: its own, or the default.
    fn named(&self, resource: ConfigResource, name: &str) -> Described {
        if name.is_empty() {
            let message = "A resource of this type must have a name.".to_owned();
            return Err((ErrorCode::InvalidRequest, message));
        }
        let (table, own) = match resource {
            ConfigResource::Group(_) => (group::GROUP_CONFIGS, Source::Group),
            _ => (
                client_metrics::CLIENT_METRICS_CONFIGS,
                Source::ClientMetrics,
            ),
        };
        let set = self.image.configs_of(&resource);
        Ok(table
            .iter()
            .map(|key| {
                let default = found(key.name, key.default.to_owned(), Source::Default);
                let set = set.and_then(|map| map.get(key.name));
                let set = set.map(|value| found(key.name, value.clone(), own));
                let all: Vec<Found> = set.into_iter().chain([default]).collect();
                let (value, source) = (all[0].value.clone(), all[0].source);
                self.entry(key, value, source, all)
            })
            .collect())
    }

    fn broker(&self, name: &str) -> Described {
        if name.is_empty() {
            return Ok(self.cluster_defaults());
        }
        if name.parse() != Ok(self.here.0) {
            return Err((
                ErrorCode::InvalidRequest,
                format!(
                    "Unexpected broker id, expected {} or empty string, but received {name}",
                    self.here
                ),
            ));
        }
        let mut configs = Vec::new();
        for setting in SETTINGS {
            if broker::find(setting.name).is_none() {
                configs.push(self.static_setting(setting));
            }
        }
        for key in broker::BROKER_CONFIGS {
            let all = self.places(key.name, key.default);
            let (value, source) = (all[0].value.clone(), all[0].source);
            configs.push(self.entry(key, value, source, all));
        }
        for key in TOPIC_CONFIGS {
            for synonym in key.synonyms {
                configs.push(self.topic_default(key, synonym));
            }
        }
        configs.sort_by(|a, b| a.name.cmp(&b.name));
        configs.dedup_by(|a, b| a.name == b.name);
        Ok(configs)
    }

    /// What is set for all brokers, and nothing else: there is no other resource to inherit from.
    fn cluster_defaults(&self) -> Vec<DescribeConfigsResourceResult> {
        let set = self.image.configs_of(&ConfigResource::Cluster);
        let set = set.into_iter().flat_map(|map| map.iter());
        set.filter_map(|(name, value)| {
            let (broker::Dynamic::Own(key) | broker::Dynamic::TopicDefault(key)) =
                broker::find(name)?;
            let source = Source::DynamicDefaultBroker;
            let all = vec![found(known_name(name)?, value.clone(), source)];
            let mut entry = self.entry(key, value.clone(), source, all);
            entry.name.clone_from(name);
            Some(entry)
        })
        .collect()
    }

    fn static_setting(&self, setting: &table::Setting) -> DescribeConfigsResourceResult {
        let all = self.places(setting.name, setting.default);
        let kind = match setting.kind {
            table::Kind::Boolean => Kind::Boolean,
            table::Kind::String => Kind::String,
            table::Kind::Int => Kind::Int,
            table::Kind::Long => Kind::Long,
            table::Kind::List => Kind::List,
        };
        let key = Key {
            name: setting.name,
            kind,
            default: setting.default,
            bounds: Bounds::Any,
            effect: Effect::Applied,
            synonyms: &[],
            doc: setting.doc.trim(),
        };
        let (value, source) = (all[0].value.clone(), all[0].source);
        let mut entry = self.entry(&key, value, source, all);
        entry.read_only = true;
        entry
    }

    /// A server property that gives the default of a topic config.
    fn topic_default(&self, key: &Key, synonym: &Synonym) -> DescribeConfigsResourceResult {
        let is_weakest = key.synonyms.last() == Some(synonym);
        let default = match (is_weakest, key.default.parse::<i64>()) {
            (true, Ok(number)) if synonym.scale > 1 => Some((number / synonym.scale).to_string()),
            (true, _) => Some(key.default.to_owned()),
            (false, _) => None,
        };
        let mut all = self.places(synonym.name, default.as_deref().unwrap_or_default());
        if default.is_none() {
            all.pop();
        }
        let first = all.first();
        let source = first.map_or(Source::Default, |f| f.source);
        let value = first.map(|f| f.value.clone());
        let mut entry = self.entry(key, value.clone().unwrap_or_default(), source, all);
        synonym.name.clone_into(&mut entry.name);
        entry.value = value;
        entry.read_only = broker::find(synonym.name).is_none();
        entry
    }

    /// Where a broker config may be set, the strongest first, and its default.
    fn places(&self, name: &'static str, default: &str) -> Vec<Found> {
        let dynamic = |resource| {
            let set = self.image.configs_of(&resource);
            set.and_then(|map| map.get(name)).cloned()
        };
        let places = [
            (
                dynamic(ConfigResource::Broker(self.here)),
                Source::DynamicBroker,
            ),
            (
                dynamic(ConfigResource::Cluster),
                Source::DynamicDefaultBroker,
            ),
            (self.statics.get(name).cloned(), Source::StaticBroker),
            (Some(default.to_owned()), Source::Default),
        ];
        let set = places.into_iter();
        set.filter_map(|(value, source)| Some(found(name, value?, source)))
            .collect()
    }

    fn entry(
        &self,
        key: &Key,
        value: String,
        source: Source,
        all: Vec<Found>,
    ) -> DescribeConfigsResourceResult {
        let synonym = |f: Found| DescribeConfigsSynonym {
            name: f.name.to_owned(),
            value: Some(f.value),
            source: f.source as i8,
        };
        let synonyms = match self.synonyms {
            true => all.into_iter().map(synonym).collect(),
            false => Vec::new(),
        };
        DescribeConfigsResourceResult {
            name: key.name.to_owned(),
            value: Some(value),
            read_only: false,
            config_source: source as i8,
            is_sensitive: false,
            synonyms,
            config_type: key.kind as i8,
            documentation: self.documentation.then(|| documentation(key)),
        }
    }
}

fn documentation(key: &Key) -> String {
    match key.effect {
        Effect::Applied => key.doc.to_owned(),
        Effect::AcceptedWithoutEffect(why) => format!("{} Without effect: {why}.", key.doc),
    }
}

fn found(name: &'static str, value: String, source: Source) -> Found {
    Found {
        name,
        value,
        source,
    }
}

/// The table's own copy of a dynamic broker config's name.
fn known_name(name: &str) -> Option<&'static str> {
    match broker::find(name)? {
        broker::Dynamic::Own(key) => Some(key.name),
        broker::Dynamic::TopicDefault(key) => key.synonyms.first().map(|s| s.name),
    }
}
