//! A broker's settings, typed, as its file says them.
//!
//! Each field is filled from the setting of Kafka's name by the [table]. The broker
//! reads its file so; the operator judges so what a spec says before any broker is started with it.
//!
//! Invariant: a [`Settings`] is valid; nothing after [`Settings::from_properties`] checks again.

pub mod listener;
pub mod properties;
mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ottla_protocol::ids::NodeId;

pub use self::listener::{Listener, Voter};
use self::properties::Property;
use super::ConfigMap;
use super::key::Scope;
use super::table::{self, closest, find};
use super::value::Value;

/// How a broker exits that refuses its settings (EX_CONFIG of sysexits.h): it would again.
pub const EXIT_CODE_REFUSED: u8 = 78;

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

macro_rules! settings {
    ($($field:ident: $type:ty = $name:literal, $read:expr;)*) => {
        /// What a broker runs with. The documentation of a field is that of the setting it names.
        #[derive(Clone, Debug)]
        pub struct Settings {
            $(#[doc = concat!("`", $name, "`")] pub $field: $type,)*
            /// All that the file sets, by the names of the settings.
            pub statics: ConfigMap,
        }

        impl Settings {
            /// Every setting at its default.
            fn defaults() -> Self {
                Self {
                    $($field: {
                        let read: fn(&Value) -> Result<$type, String> = $read;
                        read(&table::key($name).default_value())
                            .expect("the default of a setting is valid")
                    },)*
                    statics: ConfigMap::new(),
                }
            }

            /// Fills the field, where there is one, that is the setting of that name.
            fn fill(&mut self, name: &str, value: &Value) -> Result<(), String> {
                match name {
                    $($name => {
                        let read: fn(&Value) -> Result<$type, String> = $read;
                        self.$field = read(value)?;
                    })*
                    // what gives defaults of topics, and what has no effect
                    _ => {}
                }
                Ok(())
            }
        }
    };
}

settings! {
    node_id: NodeId = "node.id", read::node_id;
    listeners: Vec<Listener> = "listeners", read::listeners;
    advertised_listeners: Vec<Listener> = "advertised.listeners", read::listeners;
    controller_listener_names: String = "controller.listener.names", read::text;
    inter_broker_listener_name: Option<String> = "inter.broker.listener.name", read::optional;
    controller_quorum_voters: Vec<Voter> = "controller.quorum.voters", read::voters;
    log_dirs: Vec<PathBuf> = "log.dirs", read::paths;
    broker_rack: Option<String> = "broker.rack", read::optional;
    cluster_id: Option<String> = "cluster.id", read::optional;
    http_listener: Option<String> = "ottla.http.listener", read::optional;
    network_threads: usize = "num.network.threads", read::number;
    socket_request_bytes_max: usize = "socket.request.max.bytes", read::number;
    queued_bytes_max: usize = "queued.max.request.bytes", read::limit;
    connection_requests_max: usize = "ottla.connection.requests.max", read::number;
    connections_max_idle: Option<Duration> =
        "connections.max.idle.ms", read::milliseconds_or_never;
    first_request_timeout: Duration = "ottla.first.request.timeout.ms", read::milliseconds;
    heartbeat_interval: Duration = "broker.heartbeat.interval.ms", read::milliseconds;
    session_timeout: Duration = "broker.session.timeout.ms", read::milliseconds;
    election_timeout: Duration = "controller.quorum.election.timeout.ms", read::milliseconds;
    controlled_shutdown_timeout: Duration =
        "ottla.controlled.shutdown.timeout.ms", read::milliseconds;
    controlled_shutdown: bool = "controlled.shutdown.enable", read::flag;
    auto_create_topics: bool = "auto.create.topics.enable", read::flag;
    authorizer: bool = "authorizer.class.name", read::authorizer;
    super_users: BTreeSet<String> = "super.users", read::principals;
    allow_everyone_if_no_acl_found: bool = "allow.everyone.if.no.acl.found", read::flag;
    replica_lag_time_max: Duration = "replica.lag.time.max.ms", read::milliseconds;
    replica_fetch_wait_max: Duration = "replica.fetch.wait.max.ms", read::milliseconds;
    replica_fetch_bytes_max: i32 = "replica.fetch.max.bytes", read::number;
    replica_fetch_response_bytes_max: i32 = "replica.fetch.response.max.bytes", read::number;
    fetch_bytes_max: i32 = "fetch.max.bytes", read::number;
    fetch_session_cache_slots_max: usize =
        "max.incremental.fetch.session.cache.slots", read::number;
    auto_leader_rebalance: bool = "auto.leader.rebalance.enable", read::flag;
    leader_imbalance_check_interval_seconds: u64 =
        "leader.imbalance.check.interval.seconds", read::number;
    leader_imbalance_percent_max: i32 = "leader.imbalance.per.broker.percentage", read::number;
    scrub_interval: Duration = "ottla.scrub.interval.ms", read::milliseconds;
    retention_check_interval: Duration = "log.retention.check.interval.ms", read::milliseconds;
    offsets_topic_num_partitions: i32 = "offsets.topic.num.partitions", read::number;
    offsets_topic_replication_factor: i16 = "offsets.topic.replication.factor", read::number;
    offsets_topic_segment_bytes: i32 = "offsets.topic.segment.bytes", read::number;
    offsets_retention_minutes: i32 = "offsets.retention.minutes", read::number;
    offsets_retention_check_interval: Duration =
        "offsets.retention.check.interval.ms", read::milliseconds;
    offsets_commit_timeout: Duration = "offsets.commit.timeout.ms", read::milliseconds;
    offset_metadata_bytes_max: usize = "offset.metadata.max.bytes", read::number;
    group_initial_rebalance_delay: Duration =
        "group.initial.rebalance.delay.ms", read::milliseconds;
    group_session_timeout_min: Duration = "group.min.session.timeout.ms", read::milliseconds;
    group_session_timeout_max: Duration = "group.max.session.timeout.ms", read::milliseconds;
    group_size_max: usize = "group.max.size", read::number;
    transaction_timeout_max: Duration = "transaction.max.timeout.ms", read::milliseconds;
    transactional_id_expiration: Duration = "transactional.id.expiration.ms", read::milliseconds;
    transactional_id_expiration_check_interval: Duration =
        "transaction.remove.expired.transaction.cleanup.interval.ms", read::milliseconds;
    transaction_topic_num_partitions: i32 = "transaction.state.log.num.partitions", read::number;
    transaction_topic_replication_factor: i16 =
        "transaction.state.log.replication.factor", read::number;
    transaction_topic_min_in_sync: i16 = "transaction.state.log.min.isr", read::number;
    transaction_topic_segment_bytes: i32 = "transaction.state.log.segment.bytes", read::number;
    two_phase_commit: bool = "transaction.two.phase.commit.enable", read::flag;
    producer_id_expiration_check_interval: Duration =
        "producer.id.expiration.check.interval.ms", read::milliseconds;
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
        let mut settings = Self::defaults();
        for property in &properties {
            settings.set(place, property)?;
        }
        settings.complete(place)?;
        Ok(settings)
    }

    /// What `ottla-broker dev` runs with: one broker, its own quorum, on the loopback address.
    ///
    /// # Errors
    /// `data` is no value of `log.dirs`.
    pub fn dev(data: &Path, port: u16) -> Result<Self, Error> {
        let text = format!(
            "node.id=0\nlisteners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:0\n\
             controller.quorum.voters=0@127.0.0.1:9091\nauto.create.topics.enable=true\n\
             offsets.topic.replication.factor=1\n\
             transaction.state.log.replication.factor=1\nottla.http.listener=\nlog.dirs={}\n",
            data.display()
        );
        Self::from_properties("--data-dir", &text)
    }

    fn set(&mut self, place: &str, property: &Property) -> Result<(), Error> {
        let place = format!("{place}:{}", property.line);
        let Some(name) = find(Scope::Broker, &property.key) else {
            let suggestion = closest(&property.key);
            return Err(Error::UnknownKey {
                place,
                key: property.key.clone(),
                suggestion: suggestion
                    .map_or_else(String::new, |name| format!(" (did you mean '{name}'?)")),
            });
        };
        let expected = |_| format!("give {}", name.expected());
        let parsed = name.parse(&property.value).map_err(expected);
        let value = parsed.and_then(|value| self.fill(name.kept_as(), &value).map(|()| value));
        let value = value.map_err(|reason| Error::WrongValue {
            place,
            key: property.key.clone(),
            value: property.value.clone(),
            reason,
        })?;
        self.statics.insert(name.kept_as().to_owned(), value);
        Ok(())
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
        self.check_protocols().map_err(conflict)?;
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

    /// Whether every listener speaks what the map of protocols says: all are PLAINTEXT.
    fn check_protocols(&self) -> Result<(), String> {
        let protocols = self.statics.get("listener.security.protocol.map");
        let protocols = protocols.map_or_else(String::new, ToString::to_string);
        for pair in protocols.split(',').map(str::trim) {
            let Some((name, protocol)) = pair.split_once(':') else {
                continue;
            };
            let is_used = self
                .listeners
                .iter()
                .any(|l| l.name.eq_ignore_ascii_case(name));
            if is_used && protocol != "PLAINTEXT" {
                return Err(format!(
                    "listener.security.protocol.map makes {name} a listener of {protocol}; \
                     listeners are PLAINTEXT, so map it to that or name another listener"
                ));
            }
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
}
