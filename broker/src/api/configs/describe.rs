//! DescribeConfigs: every config of a resource with its value, who set it, and all who tried.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use ottla_core::acl::Operation;
use ottla_core::config::layers::Found;
use ottla_core::config::{
    ConfigMap, Effect, Key, Kind, Layers, Name, Scope, Source, Update, find, names, table,
};
use ottla_core::image::{ConfigResource, MetadataImage};
use ottla_core::metadata::Refusal;
use ottla_core::metadata::names::invalid_topic_name;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::NodeId;
use ottla_protocol::messages::configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};

use super::super::{Context, RequestContext};
use super::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC, permission};
use crate::authorizer::{Access, sentence};

/// What Kafka says where it does not know the type of a config.
const UNKNOWN_TYPE: i8 = 0;

const UNKNOWN_DOC: &str =
    "No setting of this name is known; the value is kept and changes nothing.";

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
        statics: &context.settings.statics,
        synonyms: body.include_synonyms,
        documentation: body.include_documentation,
    };
    DescribeConfigsResponse {
        results: body.resources.iter().map(|r| view.describe(r)).collect(),
        ..DescribeConfigsResponse::default()
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
            GROUP => self.named(&ConfigResource::Group(name.to_owned()), name),
            CLIENT_METRICS => self.named(&ConfigResource::ClientMetrics(name.to_owned()), name),
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
            Err((error, message)) => (Some(Refusal::new(error, message)), Vec::new()),
        };
        if let Some(wanted) = asked.configuration_keys.as_ref().filter(|w| !w.is_empty()) {
            configs.retain(|config| wanted.contains(&config.name));
        }
        DescribeConfigsResult {
            error_code: refusal.as_ref().map_or(0, |refusal| refusal.error_code),
            error_message: refusal.map(|refusal| refusal.message),
            resource_type: asked.resource_type,
            resource_name: asked.resource_name.clone(),
            configs,
        }
    }

    fn topic(&self, name: &str) -> Described {
        if let Some(message) = invalid_topic_name(name) {
            return Err((ErrorCode::InvalidTopicException, message));
        }
        let Some(topic) = self.image.topic(name) else {
            let message = format!("Topic {name} does not exist.");
            return Err((ErrorCode::UnknownTopicOrPartition, message));
        };
        let layers = self.layers(&ConfigResource::Topic(name.into()));
        let factor = topic.replication_factor();
        Ok(table::keys_of(Scope::Topic)
            .map(|key| (key, layers.all(key, Some(factor))))
            .filter(|(key, all)| key.is_told_unset() || is_set(all))
            .map(|(key, all)| self.entry(key.name, key, all))
            .collect())
    }

    fn layers(&self, own: &ConfigResource) -> Layers<'_> {
        let layers = self.image.layers(Some(self.here), self.statics);
        layers.with(self.image.configs_of(own).map(Arc::as_ref))
    }

    /// A group's or a subscription's configs: its own, or the default.
    fn named(&self, resource: &ConfigResource, name: &str) -> Described {
        if name.is_empty() {
            let message = "A resource of this type must have a name.".to_owned();
            return Err((ErrorCode::InvalidRequest, message));
        }
        let layers = self.layers(resource);
        Ok(table::keys_of(resource.scope())
            .map(|key| self.entry(key.name, key, layers.all(key, None)))
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
        let layers = self.image.layers(Some(self.here), self.statics);
        let mut configs: Vec<_> = names(Scope::Broker)
            .map(|name| (name, layers.all_of_setting(name)))
            .filter(|(name, all)| name.key.is_told_unset() || is_set(all))
            .map(|(name, all)| self.setting(name, all))
            .collect();
        self.add_unknown(Some(self.here), &mut configs);
        configs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(configs)
    }

    /// What is set for all brokers, and nothing else: there is no other resource to inherit from.
    fn cluster_defaults(&self) -> Vec<DescribeConfigsResourceResult> {
        let nothing = ConfigMap::new();
        let layers = Layers {
            statics: &nothing,
            ..self.image.layers(None, &nothing)
        };
        let set = names(Scope::Broker).filter_map(|name| {
            let mut all = layers.all_of_setting(name);
            all.retain(|found| found.source != Source::Default);
            (!all.is_empty()).then(|| self.setting(name, all))
        });
        let mut configs: Vec<_> = set.collect();
        self.add_unknown(None, &mut configs);
        configs.sort_by(|a, b| a.name.cmp(&b.name));
        configs
    }

    /// Adds what was set while the brokers run and no table knows: nobody sees the value, which
    /// may be a secret of whoever does know it.
    fn add_unknown(&self, node: Option<NodeId>, configs: &mut Vec<DescribeConfigsResourceResult>) {
        let broker = node.map(|node| (ConfigResource::Broker(node), Source::DynamicBroker));
        let cluster = (ConfigResource::Cluster, Source::DynamicDefaultBroker);
        for (resource, source) in broker.into_iter().chain([cluster]) {
            let set = self.image.configs_of(&resource);
            let names = set.into_iter().flat_map(|configs| configs.keys());
            for name in names.filter(|name| find(Scope::Broker, name).is_none()) {
                let synonym = DescribeConfigsSynonym {
                    name: name.clone(),
                    value: None,
                    source: source as i8,
                };
                match configs.iter_mut().find(|known| known.name == *name) {
                    Some(stronger) if self.synonyms => stronger.synonyms.push(synonym),
                    Some(_) => {}
                    None => configs.push(DescribeConfigsResourceResult {
                        name: name.clone(),
                        value: None,
                        read_only: false,
                        config_source: source as i8,
                        is_sensitive: true,
                        synonyms: Vec::from_iter(self.synonyms.then_some(synonym)),
                        config_type: UNKNOWN_TYPE,
                        documentation: self.documentation.then(|| UNKNOWN_DOC.to_owned()),
                    }),
                }
            }
        }
    }

    /// A broker's setting, by one of its names.
    fn setting(&self, name: Name, all: Vec<Found>) -> DescribeConfigsResourceResult {
        let mut entry = self.entry(name.name, name.key, all);
        entry.read_only = name.update == Update::Restart;
        entry
    }

    /// What is said of a config: the first value found is the one that holds.
    fn entry(&self, name: &str, key: &Key, all: Vec<Found>) -> DescribeConfigsResourceResult {
        let strongest = all.first();
        let is_sensitive = key.kind == Kind::Password;
        let shown = |found: &Found| (!is_sensitive).then(|| found.value.to_string());
        let value = strongest.and_then(shown);
        let source = strongest.map_or(Source::Default, |found| found.source);
        let synonym = |f: Found| DescribeConfigsSynonym {
            name: f.name.to_owned(),
            value: shown(&f),
            source: f.source as i8,
        };
        // a subscription inherits from nothing
        let is_told =
            |f: &Found| key.scope != Scope::ClientMetrics || f.source == Source::ClientMetrics;
        let synonyms = match self.synonyms {
            true => all.into_iter().filter(is_told).map(synonym).collect(),
            false => Vec::new(),
        };
        DescribeConfigsResourceResult {
            name: name.to_owned(),
            value,
            read_only: false,
            config_source: source as i8,
            is_sensitive,
            synonyms,
            config_type: key.kind as i8,
            documentation: self.documentation.then(|| documentation(key)),
        }
    }
}

/// Whether somebody set one of these values.
fn is_set(all: &[Found]) -> bool {
    all.iter().any(|found| found.source != Source::Default)
}

fn documentation(key: &Key) -> String {
    match key.effect {
        Effect::Applied => key.doc.to_owned(),
        Effect::AcceptedWithoutEffect(why) => format!("{} Without effect: {why}.", key.doc)
            .trim_start()
            .to_owned(),
    }
}
