//! A broker's settings, typed, as its file says them.
//!
//! Each field is filled from the setting of Kafka's name by the [table]. The broker
//! reads its file so; the operator judges so what a spec says before any broker is started with it.
//!
//! Invariant: a [`Settings`] is valid; nothing after [`Settings::from_properties`] checks again.

pub mod listener;
pub mod properties;
mod read;
mod roles;
pub mod security;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ottla_protocol::ids::NodeId;

pub use self::listener::{Listener, Voter};
use self::properties::Property;
pub use self::roles::Roles;
use self::security::{ListenerSecurity, Protocol};
use super::ConfigMap;
use super::key::Scope;
use super::table::{self, closest, find};
use super::value::Value;
use crate::authentication::Secret;

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
            /// What the file sets for one listener, by the listener's name in capitals.
            by_listener: BTreeMap<String, ConfigMap>,
            /// What each listener demands, by its name in capitals.
            security: BTreeMap<String, Arc<ListenerSecurity>>,
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
                    by_listener: BTreeMap::new(),
                    security: BTreeMap::new(),
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
    roles: Roles = "process.roles", read::roles;
    listeners: Vec<Listener> = "listeners", read::listeners;
    advertised_listeners: Vec<Listener> = "advertised.listeners", read::listeners;
    controller_listener_names: String = "controller.listener.names", read::text;
    inter_broker_listener_name: Option<String> = "inter.broker.listener.name", read::optional;
    inter_broker_protocol: Option<Protocol> =
        "security.inter.broker.protocol", read::optional_protocol;
    security_protocols: BTreeMap<String, Protocol> =
        "listener.security.protocol.map", security::protocols;
    authentication_failure_delay: Duration =
        "connection.failed.authentication.delay.ms", read::milliseconds;
    delegation_token_secret: Option<Secret> = "delegation.token.secret.key", read::secret;
    delegation_token_check_interval: Duration =
        "delegation.token.expiry.check.interval.ms", read::milliseconds;
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
    audit_log: String = "ottla.audit.log", read::text;
    audit_topic: Option<String> = "ottla.audit.topic", read::optional;
    allow_everyone_if_no_acl_found: bool = "allow.everyone.if.no.acl.found", read::flag;
    quota_windows: i64 = "quota.window.num", read::number;
    quota_window_seconds: i64 = "quota.window.size.seconds", read::number;
    controller_quota_windows: i64 = "controller.quota.window.num", read::number;
    controller_quota_window_seconds: i64 =
        "controller.quota.window.size.seconds", read::number;
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
    consumer_group_size_max: usize = "group.consumer.max.size", read::number;
    consumer_group_migration_policy: String = "group.consumer.migration.policy", read::text;
    group_protocols: BTreeSet<String> =
        "group.coordinator.rebalance.protocols", read::names;
    transaction_timeout_max: Duration = "transaction.max.timeout.ms", read::milliseconds;
    transactional_id_expiration: Duration = "transactional.id.expiration.ms", read::milliseconds;
    transactional_id_expiration_check_interval: Duration =
        "transaction.remove.expired.transaction.cleanup.interval.ms", read::milliseconds;
    transaction_topic_num_partitions: i32 = "transaction.state.log.num.partitions", read::number;
    transaction_topic_replication_factor: i16 =
        "transaction.state.log.replication.factor", read::number;
    transaction_topic_min_in_sync: i16 = "transaction.state.log.min.isr", read::number;
    transaction_topic_segment_bytes: i32 = "transaction.state.log.segment.bytes", read::number;
    hanging_check_interval: Duration =
        "ottla.transaction.hanging.check.interval.ms", read::milliseconds;
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
        if let Some((listener, setting)) = security::split(&property.key) {
            let value = security::parse(setting, &property.value);
            let value = value.map_err(|reason| Error::WrongValue {
                place,
                key: property.key.clone(),
                value: "…".to_owned(), // it may be a secret
                reason,
            })?;
            let own = self.by_listener.entry(listener.to_ascii_uppercase());
            own.or_default().insert(setting.to_owned(), value);
            return Ok(());
        }
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
        self.fit_roles().map_err(conflict)?;
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
        self.read_security().map_err(conflict)?;
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

    /// What each listener demands; and which one brokers replicate over.
    fn read_security(&mut self) -> Result<(), String> {
        // brokers and controllers may be given the same lines, and have other listeners
        let is_known = |name| self.has(name) || self.security_protocols.contains_key(name);
        if let Some(name) = self.by_listener.keys().find(|name| !is_known(name)) {
            let name = name.to_lowercase();
            return Err(format!(
                "listener.name.{name} is of a listener that neither listeners nor \
                 listener.security.protocol.map has; use one of their names"
            ));
        }
        let has_map = self.statics.contains_key("listener.security.protocol.map");
        for listener in &self.listeners {
            let protocol = self.security_protocols.get(&listener.name);
            let is_peer = self.peer_listener() == Some(listener);
            if has_map && protocol.is_none() && !is_peer {
                return Err(format!(
                    "listener.security.protocol.map does not say what {} speaks; add {0}:PLAINTEXT \
                     or another protocol",
                    listener.name
                ));
            }
            let reader = security::Reader {
                listener: &listener.name,
                own: self.by_listener.get(&listener.name),
                statics: &self.statics,
            };
            let read = reader.read(protocol.copied().unwrap_or_default())?;
            self.security.insert(listener.name.clone(), Arc::new(read));
        }
        let peers = self.peer_listener().map(|l| (l, self.security(&l.name)));
        if let Some((listener, security)) = peers {
            if security.protocol.has_sasl() {
                return Err(format!(
                    "{} is the listener for peers, and brokers know one another by certificates; \
                     map it to PLAINTEXT or SSL in listener.security.protocol.map",
                    listener.name
                ));
            }
            if security
                .tls
                .as_ref()
                .is_some_and(|tls| tls.truststore.is_none())
            {
                return Err(format!(
                    "{} is the listener for peers and speaks TLS, where both sides show \
                     certificates; name those that sign them in \
                     listener.name.{}.ssl.truststore.location",
                    listener.name,
                    listener.name.to_lowercase()
                ));
            }
        }
        self.choose_inter_broker_listener()
    }

    fn has(&self, listener: &str) -> bool {
        let mut listeners = self.listeners.iter();
        listeners.any(|known| known.name.eq_ignore_ascii_case(listener))
    }

    /// The listener that the settings name, or the first one that brokers can use.
    fn choose_inter_broker_listener(&mut self) -> Result<(), String> {
        if !self.roles.broker {
            return Ok(()); // it replicates nothing
        }
        let wanted = self.inter_broker_protocol;
        let is_usable = |listener: &&Listener| {
            let protocol = self.security(&listener.name).protocol;
            !protocol.has_sasl() && wanted.is_none_or(|wanted| wanted == protocol)
        };
        let Some(name) = &self.inter_broker_listener_name else {
            let first = self.client_listeners().find(is_usable);
            let first = first.ok_or_else(|| {
                "no listener is one that brokers can replicate over, of PLAINTEXT or SSL; add one \
                 to listeners and name it in inter.broker.listener.name"
                    .to_owned()
            })?;
            self.inter_broker_listener_name = Some(first.name.clone());
            return Ok(());
        };
        let mut listeners = self.client_listeners();
        match listeners.find(|known| known.name.eq_ignore_ascii_case(name)) {
            Some(named) if self.security(&named.name).protocol.has_sasl() => Err(format!(
                "inter.broker.listener.name={name} is a listener of {}, and brokers know one \
                 another by certificates; name one of SSL or PLAINTEXT",
                self.security(&named.name).protocol
            )),
            // one that this broker does not have, another may
            _ => Ok(()),
        }
    }

    /// What the listener of that name demands.
    #[must_use]
    pub fn security(&self, listener: &str) -> Arc<ListenerSecurity> {
        let known = self.security.get(&listener.to_ascii_uppercase());
        known.cloned().unwrap_or_default()
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
