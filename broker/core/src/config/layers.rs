//! Which of several values holds: the one rule of precedence.
//!
//! The strongest first: on the topic, group or subscription itself; then, for each of the broker's
//! settings that give the default, on this broker while it runs, on all brokers, in this broker's
//! file, or what all brokers' files [agree](super::agreed) on; then the default.

use super::agreed::{AGREED, Agreed, MIN_INSYNC_REPLICAS};
use super::key::{Key, Name, Scope};
use super::value::Value;
use super::{ConfigMap, table};

/// Who set a value; Kafka's numbers in DescribeConfigs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// On the topic.
    Topic = 1,
    /// On this broker, dynamically.
    DynamicBroker = 2,
    /// On all brokers, dynamically.
    DynamicDefaultBroker = 3,
    /// In the broker's file.
    StaticBroker = 4,
    /// Nobody.
    Default = 5,
    /// On the client metrics subscription.
    ClientMetrics = 7,
    /// On the group.
    Group = 8,
}

/// A value, under the name that it was set by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The config's name, or that of the broker's setting.
    pub name: &'static str,
    /// The value, in the unit of that name.
    pub value: Value,
    /// Who set it.
    pub source: Source,
    /// How many of the config's own units one of these is.
    scale: i64,
}

/// The places where a config may be set.
#[derive(Clone, Copy, Debug)]
pub struct Layers<'a> {
    /// On the topic, group or subscription.
    pub own: Option<&'a ConfigMap>,
    /// On this broker; none where the whole cluster is meant.
    pub broker: Option<&'a ConfigMap>,
    /// On all brokers.
    pub cluster: Option<&'a ConfigMap>,
    /// In this broker's file.
    pub statics: &'a ConfigMap,
    /// In the files of all brokers; none while one of them has not told.
    pub agreed: Option<&'a Agreed>,
}

impl<'a> Layers<'a> {
    /// The same with a topic's, group's or subscription's own configs on top.
    #[must_use]
    pub fn with(self, own: Option<&'a ConfigMap>) -> Self {
        Self { own, ..self }
    }

    /// Every place that sets the config, the strongest first; the last is the default. For a topic
    /// of that replication factor, where it is known: one default follows from it.
    pub fn all(&self, key: &'static Key, replication_factor: Option<usize>) -> Vec<Found> {
        let mut all = Vec::new();
        for name in key.names(key.scope).filter(|_| key.scope != Scope::Broker) {
            let source = match key.scope {
                Scope::Group => Source::Group,
                Scope::ClientMetrics => Source::ClientMetrics,
                Scope::Topic | Scope::Broker => Source::Topic,
            };
            all.extend(found(self.own, name, source));
        }
        for name in key.names(Scope::Broker) {
            if name.name == name.kept_as() {
                self.broker_settings(name, &mut all);
            }
        }
        all.push(default_of(key, replication_factor));
        if let Some(factor) = replication_factor.filter(|_| key.name == MIN_INSYNC_REPLICAS) {
            self.raise_to_default(factor, &mut all);
        }
        all
    }

    /// What one broker's file says is no less than what the others' leave to the default.
    fn raise_to_default(&self, replication_factor: usize, all: &mut [Found]) {
        let least = default_min_insync_replicas(replication_factor) as i64;
        let in_files = all.iter_mut().find(|f| f.source == Source::StaticBroker);
        if let Some(found) = in_files.filter(|_| self.agreed.is_some_and(|a| a.is_default_least)) {
            found.value = Value::Number(found.value.number().max(least));
        }
    }

    /// The same of a broker's setting by one of its names: without a default where another name
    /// shows that.
    pub fn all_of_setting(&self, name: Name) -> Vec<Found> {
        let mut all = Vec::new();
        self.broker_settings(name, &mut all);
        all.extend(name.key.default_under(name.name).map(|value| Found {
            name: name.name,
            value,
            source: Source::Default,
            scale: name.scale,
        }));
        all
    }

    fn broker_settings(&self, name: Name, all: &mut Vec<Found>) {
        all.extend(found(self.broker, name, Source::DynamicBroker));
        all.extend(found(self.cluster, name, Source::DynamicDefaultBroker));
        let file = match self.agreed {
            Some(agreed) if AGREED.contains(&name.name) => &agreed.configs,
            _ => self.statics,
        };
        all.extend(found(Some(file), name, Source::StaticBroker));
    }

    /// The value that holds, in the config's own unit, and who set it.
    pub fn value(&self, key: &'static Key, replication_factor: Option<usize>) -> (Value, Source) {
        let strongest = self.all(key, replication_factor).swap_remove(0);
        (strongest.value.scaled(strongest.scale), strongest.source)
    }

    /// The value that holds of a broker's or a topic's config.
    ///
    /// # Panics
    /// If the table has no such name: code asks for those that are there.
    pub fn get(&self, name: &str) -> Value {
        self.value(table::key(name), None).0
    }

    /// The number that holds.
    pub fn number(&self, name: &str) -> i64 {
        self.get(name).number()
    }

    /// min.insync.replicas of a topic of that replication factor.
    pub fn min_insync_replicas(&self, replication_factor: usize) -> usize {
        let key = table::key(MIN_INSYNC_REPLICAS);
        let (value, _) = self.value(key, Some(replication_factor));
        usize::try_from(value.number()).unwrap_or(1)
    }
}

/// How many replicas acks=all waits for where nobody said.
pub fn default_min_insync_replicas(replication_factor: usize) -> usize {
    if replication_factor >= 3 { 2 } else { 1 }
}

/// What the map has under that name; what no broker of this version understands counts as not set.
fn found(map: Option<&ConfigMap>, name: Name, source: Source) -> Option<Found> {
    let value = map?.get(name.kept_as())?;
    (!matches!(value, Value::Foreign(_))).then(|| Found {
        name: name.name,
        value: value.clone(),
        source,
        scale: name.scale,
    })
}

/// The default, under the name and in the unit that Kafka shows it: the weakest synonym's.
fn default_of(key: &'static Key, replication_factor: Option<usize>) -> Found {
    let weakest = key.synonyms.last().filter(|_| key.scope != Scope::Broker);
    let (name, scale) = weakest.map_or((key.name, 1), |s| (s.name, s.scale));
    let value = match replication_factor {
        Some(factor) if key.name == MIN_INSYNC_REPLICAS => {
            Value::Number(default_min_insync_replicas(factor) as i64)
        }
        _ => key.default_value().divided(scale),
    };
    Found {
        name,
        value,
        source: Source::Default,
        scale,
    }
}
