//! A broker's settings, under Kafka's own property names.
//!
//! One table ([`table::SETTINGS`]) says of each its name, type, default, whether it changes without
//! a restart, and what it does. The table fills [`Settings`], answers DescribeConfigs and writes
//! `docs/configuration.md`. The broker reads its file by it; the operator judges by it what a spec
//! says before any broker is started with it.
//!
//! Invariant: a [`Settings`] is valid; nothing after [`Settings::from_properties`] checks again.

pub mod docs;
pub mod listener;
pub mod properties;
pub mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use ottla_protocol::ids::NodeId;

pub use self::listener::{Listener, Voter};
use self::properties::Property;
use self::table::Setting;
pub use self::table::Settings;
use crate::config::broker;

/// The name that Kafka's own authorizer has.
const STANDARD_AUTHORIZER: &str = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";

/// How a broker exits that refuses its settings (EX_CONFIG of sysexits.h): it would again.
pub const EXIT_CODE_REFUSED: u8 = 78;

/// When a write counts as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// After fdatasync on every replica that acknowledges it.
    Fsync,
    /// Once it is in the memory of every replica that acknowledges it.
    Replicated,
}

/// Why settings were refused: one sentence, naming what, where and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A line is no property.
    #[error("{path}:{line}: {}", self.sentence())]
    NotAProperty {
        /// The file.
        path: String,
        /// The line.
        line: usize,
    },
    /// A key that no table knows.
    #[error("{place}: {}", self.sentence())]
    UnknownKey {
        /// File and line.
        place: String,
        /// The key.
        key: String,
        /// The closest known key, where there is one.
        suggestion: String,
    },
    /// A value of the wrong type or outside its range.
    #[error("{place}: {}", self.sentence())]
    WrongValue {
        /// File and line.
        place: String,
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What is wrong.
        reason: String,
    },
    /// Two settings that do not go together.
    #[error("{place}: {}", self.sentence())]
    Conflict {
        /// The file.
        place: String,
        /// What does not go together, and how to mend it.
        reason: String,
    },
}

impl Error {
    /// The same without file and line, for who has no file.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::NotAProperty { .. } => "expected key=value; mend or remove the line".to_owned(),
            Self::UnknownKey {
                key, suggestion, ..
            } => format!(
                "unknown setting '{key}'{suggestion}; `ottla-broker settings` lists all of them"
            ),
            Self::WrongValue {
                key, value, reason, ..
            } => format!("{key}={value} is refused: {reason}"),
            Self::Conflict { reason, .. } => reason.clone(),
        }
    }
}

impl Settings {
    /// Reads and validates `text`, which errors call `place`.
    ///
    /// # Errors
    /// The first thing wrong, as [`Error`] tells it.
    pub fn from_properties(place: &str, text: &str) -> Result<Self, Error> {
        let properties = properties::parse(text).map_err(|line| Error::NotAProperty {
            path: place.to_owned(),
            line,
        })?;
        let mut settings = table::defaults();
        for property in &properties {
            settings.set(place, property)?;
        }
        settings.complete(place)?;
        Ok(settings)
    }

    /// All that the file sets, by the names of the properties.
    #[must_use]
    pub fn properties(&self) -> BTreeMap<String, String> {
        let own = self.explicit.iter();
        let mut all: BTreeMap<String, String> = own
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        all.extend(self.topic_defaults.clone());
        all
    }

    /// What `ottla-broker dev` runs with: one broker, its own quorum, on the loopback address.
    #[must_use]
    pub fn dev(data: &Path, port: u16) -> Self {
        let text = format!(
            "node.id=0\nlisteners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:0\n\
             controller.quorum.voters=0@127.0.0.1:9091\nauto.create.topics.enable=true\n\
             offsets.topic.replication.factor=1\nottla.http.listener=\nlog.dirs={}\n",
            data.display()
        );
        Self::from_properties("dev", &text).expect("the settings of dev are valid")
    }

    fn set(&mut self, place: &str, property: &Property) -> Result<(), Error> {
        let place = format!("{place}:{}", property.line);
        let refused = |reason| Error::WrongValue {
            place: place.clone(),
            key: property.key.clone(),
            value: property.value.clone(),
            reason,
        };
        if let Some(setting) = table::find(&property.key) {
            (setting.set)(self, &property.value).map_err(refused)?;
            self.explicit.insert(setting.name, property.value.clone());
            return Ok(());
        }
        // the broker-wide defaults of topic configs, and what Kafka has but needs no setting here
        if broker::topic_default(&property.key).is_some() || broker::find(&property.key).is_some() {
            let value = property.value.as_str();
            let one = [(property.key.clone(), value.to_owned())].into();
            let wrong = broker::find(&property.key).and_then(|_| broker::conflict(&one));
            let checked = broker::validate_topic_default(&property.key, value);
            let wrong = wrong.or(checked.err().map(|error| error.to_string()));
            if let Some(wrong) = wrong {
                return Err(refused(wrong));
            }
            self.topic_defaults
                .insert(property.key.clone(), value.to_owned());
            return Ok(());
        }
        let suggestion = table::closest(&property.key)
            .map_or_else(String::new, |name| format!(" (did you mean '{name}'?)"));
        Err(Error::UnknownKey {
            place,
            key: property.key.clone(),
            suggestion,
        })
    }

    /// Fills what follows from other settings, and checks the relations between them.
    fn complete(&mut self, place: &str) -> Result<(), Error> {
        let conflict = |reason: String| Error::Conflict {
            place: place.to_owned(),
            reason,
        };
        let is_peer = |l: &Listener, names: &str| l.name.eq_ignore_ascii_case(names);
        let clients = self
            .listeners
            .iter()
            .filter(|l| !is_peer(l, &self.controller_listener_names));
        if clients.count() == 0 {
            return Err(conflict(
                "listeners names no listener for clients; add one, as PLAINTEXT://0.0.0.0:9092"
                    .into(),
            ));
        }
        for listener in &self.advertised_listeners {
            let known = self.listeners.iter().any(|l| l.name == listener.name);
            if !known {
                return Err(conflict(format!(
                    "advertised.listeners names {}, which listeners does not; use one of its names",
                    listener.name
                )));
            }
            if listener.host.is_empty() || listener.host == "0.0.0.0" || listener.host == "::" {
                return Err(conflict(format!(
                    "advertised.listeners has {listener}, which nobody can connect to; \
                     name a host that clients resolve"
                )));
            }
        }
        if self.log_dirs.len() > 1 {
            return Err(conflict(
                "log.dirs lists more than one directory; give one, a broker has one write-ahead log"
                    .into(),
            ));
        }
        if self.controller_quorum_voters.is_empty() {
            let port = self.peer_listener().map_or(9091, |l| l.port);
            self.controller_quorum_voters = vec![Voter {
                node_id: self.node_id,
                host: "127.0.0.1".into(),
                port: if port == 0 { 9091 } else { port },
            }];
        }
        if self.heartbeat_interval * 2 > self.session_timeout {
            return Err(conflict(
                "broker.heartbeat.interval.ms is more than half of broker.session.timeout.ms; \
                 lower the one or raise the other"
                    .into(),
            ));
        }
        Ok(())
    }

    /// The listeners for clients, in the order of `listeners`.
    pub fn client_listeners(&self) -> impl Iterator<Item = &Listener> {
        self.listeners
            .iter()
            .filter(|l| !l.name.eq_ignore_ascii_case(&self.controller_listener_names))
    }

    /// The listener for peers, where `listeners` has one.
    #[must_use]
    pub fn peer_listener(&self) -> Option<&Listener> {
        self.listeners
            .iter()
            .find(|l| l.name.eq_ignore_ascii_case(&self.controller_listener_names))
    }

    /// Whether this node votes in the metadata quorum.
    #[must_use]
    pub fn is_voter(&self) -> bool {
        self.controller_quorum_voters
            .iter()
            .any(|v| v.node_id == self.node_id)
    }

    /// The value in force of a setting as the file wrote it, or its default.
    #[must_use]
    pub fn value<'a>(&'a self, setting: &'a Setting) -> &'a str {
        self.explicit
            .get(setting.name)
            .map_or(setting.default, String::as_str)
    }

    /// Whether the file sets this setting.
    #[must_use]
    pub fn is_explicit(&self, setting: &Setting) -> bool {
        self.explicit.contains_key(setting.name)
    }
}

/// The typed values that the table's parsers give; each refuses with the end of a sentence.
mod parse {
    use super::*;

    /// A whole number within bounds.
    pub fn number<T>(text: &str, low: T, high: T) -> Result<T, String>
    where
        T: std::str::FromStr + PartialOrd + std::fmt::Display,
    {
        let number = text.parse::<T>().ok().filter(|n| *n >= low && *n <= high);
        number.ok_or_else(|| format!("give a whole number from {low} to {high}"))
    }

    /// A broker id.
    pub fn node_id(text: &str) -> Result<NodeId, String> {
        number(text, 0, i32::MAX).map(NodeId)
    }

    /// `true` or `false`.
    pub fn boolean(text: &str) -> Result<bool, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("give true or false".into()),
        }
    }

    /// A duration in milliseconds within bounds.
    pub fn milliseconds(text: &str, low: u64, high: u64) -> Result<Duration, String> {
        number(text, low, high).map(Duration::from_millis)
    }

    /// A text; empty is none.
    pub fn optional(text: &str) -> Result<Option<String>, String> {
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    /// Comma-separated items.
    pub fn list(text: &str) -> Result<Vec<String>, String> {
        let items = text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty());
        Ok(items.map(str::to_owned).collect())
    }

    /// See [`Durability`].
    pub fn durability(text: &str) -> Result<Durability, String> {
        match text {
            "Fsync" => Ok(Durability::Fsync),
            "Replicated" => Ok(Durability::Replicated),
            _ => Err("give Fsync or Replicated".into()),
        }
    }

    /// Whether ACLs are asked: the class of the authorizer that does.
    pub fn authorizer(text: &str) -> Result<bool, String> {
        match text {
            "" => Ok(false),
            STANDARD_AUTHORIZER => Ok(true),
            _ => Err(format!(
                "give {STANDARD_AUTHORIZER}, the one authorizer there is, or nothing"
            )),
        }
    }

    /// Principals, separated by semicolons: names may have commas.
    pub fn principals(text: &str) -> Result<BTreeSet<String>, String> {
        let names = text.split(';').map(str::trim);
        let names: BTreeSet<&str> = names.filter(|name| !name.is_empty()).collect();
        match names.iter().find(|name| !name.contains(':')) {
            Some(name) => Err(format!("write {name} as User:{name}")),
            None => Ok(names.into_iter().map(str::to_owned).collect()),
        }
    }

    /// `address:count` pairs.
    pub fn per_address(text: &str) -> Result<BTreeMap<String, u32>, String> {
        let mut limits = BTreeMap::new();
        for item in list(text)? {
            let (host, limit) = item.rsplit_once(':').ok_or("give host:count pairs")?;
            limits.insert(host.to_owned(), number(limit, 0, u32::MAX)?);
        }
        Ok(limits)
    }
}

#[cfg(test)]
mod tests;
