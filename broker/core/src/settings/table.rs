//! The one table of the broker's settings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use ottla_protocol::ids::NodeId;

use super::listener::{Listener, Voter};
use super::{Durability, parse};

/// The type of a setting, as DescribeConfigs names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// Text.
    String,
    /// 32 bits.
    Int,
    /// 64 bits.
    Long,
    /// Comma-separated.
    List,
}

/// What it takes to change a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// A restart of the broker.
    ReadOnly,
    /// IncrementalAlterConfigs, for one broker or for all.
    ClusterWide,
}

/// A row of the table.
pub struct Setting {
    /// Kafka's name for it, or one under `ottla.`.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its default, as a file would write it.
    pub default: &'static str,
    /// What it takes to change it.
    pub update: Update,
    /// What it does.
    pub doc: &'static str,
    /// Parses a value and stores it; refuses with the end of a sentence.
    pub set: fn(&mut Settings, &str) -> Result<(), String>,
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $field:ident: $type:ty = $name:literal, $kind:ident,
       $default:literal, $update:ident, $parse:expr;)*) => {
        /// Every setting of a broker, validated. A field bears the name of its property.
        #[derive(Clone, Debug)]
        pub struct Settings {
            $($(#[doc = $doc])+ pub $field: $type,)*
            /// Defaults of topic configs by their broker names (`log.retention.ms`), as written.
            pub topic_defaults: BTreeMap<String, String>,
            /// The values that the file sets, as it writes them.
            pub explicit: BTreeMap<&'static str, String>,
        }

        /// All settings but the defaults of topic configs, in the order of the documentation.
        pub static SETTINGS: &[Setting] = &[$(Setting {
            name: $name,
            kind: Kind::$kind,
            default: $default,
            update: Update::$update,
            doc: concat!($($doc),+),
            set: |settings, text| {
                let parse: fn(&str) -> Result<$type, String> = $parse;
                settings.$field = parse(text)?;
                Ok(())
            },
        }),*];

        /// Every setting at its default.
        pub(super) fn defaults() -> Settings {
            Settings {
                $($field: {
                    let parse: fn(&str) -> Result<$type, String> = $parse;
                    parse($default).expect("the default of a setting is valid")
                },)*
                topic_defaults: BTreeMap::new(),
                explicit: BTreeMap::new(),
            }
        }
    };
}

settings! {
    /// The id of this broker, unique in the cluster. In Kubernetes and locally it is the ordinal.
    node_id: NodeId = "node.id", Int, "0", ReadOnly, parse::node_id;
    /// Where the broker listens: `NAME://host:port`, separated by commas. The one that
    /// `controller.listener.names` names is for peers (gRPC); all others are for clients.
    listeners: Vec<Listener> = "listeners", List,
        "PLAINTEXT://:9092,CONTROLLER://:9091", ReadOnly, Listener::parse_list;
    /// What clients are told to connect to, by listener name. Where one is missing: its host in
    /// `listeners`, or the host's name.
    advertised_listeners: Vec<Listener> = "advertised.listeners", List, "", ReadOnly,
        Listener::parse_list;
    /// The name of the listener for peers.
    controller_listener_names: String = "controller.listener.names", String, "CONTROLLER", ReadOnly,
        |text| Ok(text.to_owned());
    /// The listener that other brokers replicate from. Empty: the first one for clients.
    inter_broker_listener_name: Option<String> = "inter.broker.listener.name", String, "", ReadOnly,
        parse::optional;
    /// The voters of the metadata quorum, `id@host:port` of their peer listeners, the same list on
    /// every broker. Empty: this broker alone.
    controller_quorum_voters: Vec<Voter> = "controller.quorum.voters", List, "", ReadOnly,
        Voter::parse_list;
    /// The data directory.
    log_dirs: Vec<PathBuf> = "log.dirs", List, "./data", ReadOnly,
        |text| parse::list(text).map(|l| l.into_iter().map(PathBuf::from).collect());
    /// The zone this broker stands in; replicas are spread over racks.
    broker_rack: Option<String> = "broker.rack", String, "", ReadOnly, parse::optional;
    /// The cluster that this broker must belong to. Empty: the one it finds.
    cluster_id: Option<String> = "cluster.id", String, "", ReadOnly, parse::optional;
    /// `host:port` of `/metrics`, `/livez` and `/readyz`. Empty: none.
    http_listener: Option<String> = "ottla.http.listener", String, "0.0.0.0:9404", ReadOnly,
        parse::optional;
    /// When a write counts as durable: `Fsync` (after fdatasync) or `Replicated` (in memory of the
    /// in-sync replicas).
    durability: Durability = "ottla.durability", String, "Fsync", ReadOnly, parse::durability;
    /// Threads that serve connections. 0: half as many as there are CPUs, at least one.
    network_threads: usize = "num.network.threads", Int, "0", ReadOnly,
        |text| parse::number(text, 0, 256);
    /// The largest request, in bytes.
    socket_request_bytes_max: usize = "socket.request.max.bytes", Int, "104857600", ReadOnly,
        |text| parse::number(text, 1024, 1 << 30);
    /// All requests being read or waiting to be answered, in bytes; at the limit reading stops.
    queued_bytes_max: usize = "queued.max.request.bytes", Long, "268435456", ReadOnly,
        |text| parse::number(text, 1 << 20, 1 << 40);
    /// Requests of one connection that may wait for their replication at a time.
    connection_requests_max: usize = "ottla.connection.requests.max", Int, "64", ReadOnly,
        |text| parse::number(text, 1, 10_000);
    /// Connections at a time. 0: as many as the limit of open files leaves room for.
    connections_max: usize = "max.connections", Int, "0", ReadOnly,
        |text| parse::number(text, 0, 1 << 24);
    /// Connections from one address at a time.
    connections_max_per_ip: usize = "max.connections.per.ip", Int, "2147483647", ReadOnly,
        |text| parse::number(text, 0, i32::MAX as usize);
    /// Exceptions to `max.connections.per.ip`, as `address:count` pairs.
    connections_max_per_ip_overrides: BTreeMap<String, u32> = "max.connections.per.ip.overrides",
        List, "", ReadOnly, parse::per_address;
    /// A connection without traffic for this long is closed, in milliseconds.
    connections_max_idle: Duration = "connections.max.idle.ms", Long, "600000", ReadOnly,
        |text| parse::milliseconds(text, 1000, u64::MAX >> 20);
    /// A connection that has not sent its first request for this long is closed, in milliseconds.
    first_request_timeout: Duration = "ottla.first.request.timeout.ms", Long, "10000", ReadOnly,
        |text| parse::milliseconds(text, 100, 3_600_000);
    /// How often a broker renews its lease with the active controller, in milliseconds.
    heartbeat_interval: Duration = "broker.heartbeat.interval.ms", Int, "250", ReadOnly,
        |text| parse::milliseconds(text, 20, 60_000);
    /// The lease: a broker not heard of for this long is fenced, in milliseconds.
    session_timeout: Duration = "broker.session.timeout.ms", Int, "1500", ReadOnly,
        |text| parse::milliseconds(text, 100, 600_000);
    /// Voters elect a new active controller after this long without one, in milliseconds.
    election_timeout: Duration = "controller.quorum.election.timeout.ms", Int, "400", ReadOnly,
        |text| parse::milliseconds(text, 50, 60_000);
    /// How long a stop on SIGTERM may take to move leaderships away, in milliseconds.
    controlled_shutdown_timeout: Duration = "ottla.controlled.shutdown.timeout.ms", Long, "20000",
        ReadOnly, |text| parse::milliseconds(text, 0, 3_600_000);
    /// Whether leaderships are moved away before a stop on SIGTERM.
    controlled_shutdown: bool = "controlled.shutdown.enable", Boolean, "true", ReadOnly,
        parse::boolean;
    /// Whether Metadata requests create the topics they name.
    auto_create_topics: bool = "auto.create.topics.enable", Boolean, "false", ReadOnly,
        parse::boolean;
    /// Whether DeleteTopics works.
    delete_topic: bool = "delete.topic.enable", Boolean, "true", ReadOnly, parse::boolean;
    /// What asks the ACLs before a request is served: Kafka's
    /// `org.apache.kafka.metadata.authorizer.StandardAuthorizer`. Empty: nothing, everyone may do
    /// everything. On a PLAINTEXT listener every client is `User:ANONYMOUS`: ACLs then tell hosts
    /// apart, not users. Brokers trust each other's fetches by a secret of each process, which who
    /// can listen on the network can read; they do not ask who connects to the listener for peers,
    /// so nobody else may reach that one.
    authorizer: bool = "authorizer.class.name", String, "", ReadOnly, parse::authorizer;
    /// Principals that may do everything, as `User:name`, separated by semicolons.
    super_users: BTreeSet<String> = "super.users", String, "", ReadOnly, parse::principals;
    /// Whether everyone may do everything with a resource that no ACL is about.
    allow_everyone_if_no_acl_found: bool = "allow.everyone.if.no.acl.found", Boolean, "false",
        ReadOnly, parse::boolean;
    /// Partitions of a topic created without a number.
    num_partitions: i32 = "num.partitions", Int, "1", ReadOnly,
        |text| parse::number(text, 1, 10_000);
    /// Replication factor of a topic created without one. 0: three, or all brokers if fewer.
    default_replication_factor: i16 = "default.replication.factor", Int, "0", ReadOnly,
        |text| parse::number(text, 0, i16::MAX);
    /// A follower that has not caught up for this long leaves the ISR, in milliseconds.
    replica_lag_time_max: Duration = "replica.lag.time.max.ms", Long, "10000", ReadOnly,
        |text| parse::milliseconds(text, 100, 86_400_000);
    /// How long a fetch of a follower may wait for bytes, in milliseconds.
    replica_fetch_wait_max: Duration = "replica.fetch.wait.max.ms", Int, "500", ReadOnly,
        |text| parse::milliseconds(text, 1, 60_000);
    /// Bytes a follower asks for, per partition.
    replica_fetch_bytes_max: i32 = "replica.fetch.max.bytes", Int, "1048576", ReadOnly,
        |text| parse::number(text, 1, i32::MAX);
    /// Bytes a follower asks for, in one fetch.
    replica_fetch_response_bytes_max: i32 = "replica.fetch.response.max.bytes", Int, "10485760",
        ReadOnly, |text| parse::number(text, 1, i32::MAX);
    /// The most bytes a consumer's fetch returns, beyond the first batch.
    fetch_bytes_max: i32 = "fetch.max.bytes", Int, "57671680", ReadOnly,
        |text| parse::number(text, 1024, i32::MAX);
    /// Fetch sessions kept at a time (KIP-227).
    fetch_session_cache_slots_max: usize = "max.incremental.fetch.session.cache.slots", Int,
        "1000", ReadOnly, |text| parse::number(text, 0, 1_000_000);
    /// Whether the preferred leader takes its partitions back by itself.
    auto_leader_rebalance: bool = "auto.leader.rebalance.enable", Boolean, "true", ReadOnly,
        parse::boolean;
    /// How often preferred leaders are checked, in seconds.
    leader_imbalance_check_interval_seconds: u64 = "leader.imbalance.check.interval.seconds",
        Long, "300", ReadOnly, |text| parse::number(text, 1, 86_400);
    /// A broker that lacks more than this share of the leaderships it is preferred for gets them
    /// back, in percent.
    leader_imbalance_percent_max: i32 = "leader.imbalance.per.broker.percentage", Int, "10",
        ReadOnly, |text| parse::number(text, 0, 100);
    /// How often retention is applied, in milliseconds.
    retention_check_interval: Duration = "log.retention.check.interval.ms", Long, "300000",
        ReadOnly, |text| parse::milliseconds(text, 1, 86_400_000);
    /// Partitions of `__consumer_offsets`.
    offsets_topic_num_partitions: i32 = "offsets.topic.num.partitions", Int, "50", ReadOnly,
        |text| parse::number(text, 1, 10_000);
    /// Replication factor of `__consumer_offsets`; fewer while there are fewer brokers.
    offsets_topic_replication_factor: i16 = "offsets.topic.replication.factor", Int, "3", ReadOnly,
        |text| parse::number(text, 1, i16::MAX);
    /// Segment size of `__consumer_offsets`, in bytes.
    offsets_topic_segment_bytes: i32 = "offsets.topic.segment.bytes", Int, "104857600", ReadOnly,
        |text| parse::number(text, 1, i32::MAX);
    /// Offsets of a group without members are forgotten after this many minutes.
    offsets_retention_minutes: i32 = "offsets.retention.minutes", Int, "10080", ReadOnly,
        |text| parse::number(text, 1, i32::MAX);
    /// How often expired offsets are looked for, in milliseconds.
    offsets_retention_check_interval: Duration = "offsets.retention.check.interval.ms", Long,
        "600000", ReadOnly, |text| parse::milliseconds(text, 1, 86_400_000);
    /// How long an answer of the group coordinator waits for its records to be committed, in
    /// milliseconds.
    offsets_commit_timeout: Duration = "offsets.commit.timeout.ms", Int, "5000", ReadOnly,
        |text| parse::milliseconds(text, 1, 3_600_000);
    /// The largest metadata string of an offset commit, in bytes.
    offset_metadata_bytes_max: usize = "offset.metadata.max.bytes", Int, "4096", ReadOnly,
        |text| parse::number(text, 0, 1 << 20);
    /// How long a new group waits for more members, in milliseconds.
    group_initial_rebalance_delay: Duration = "group.initial.rebalance.delay.ms", Int, "3000",
        ReadOnly, |text| parse::milliseconds(text, 0, 600_000);
    /// The shortest session timeout a member may ask for, in milliseconds.
    group_session_timeout_min: Duration = "group.min.session.timeout.ms", Int, "6000", ReadOnly,
        |text| parse::milliseconds(text, 1, 86_400_000);
    /// The longest session timeout a member may ask for, in milliseconds.
    group_session_timeout_max: Duration = "group.max.session.timeout.ms", Int, "1800000", ReadOnly,
        |text| parse::milliseconds(text, 1, 86_400_000);
    /// Members of a group at most.
    group_size_max: usize = "group.max.size", Int, "5000", ReadOnly,
        |text| parse::number(text, 1, i32::MAX as usize);
    /// The state of an idle producer is forgotten after this long, in milliseconds.
    producer_id_expiration: Duration = "producer.id.expiration.ms", Int, "86400000", ReadOnly,
        |text| parse::milliseconds(text, 1, u64::from(u32::MAX));
}

/// Names of Kafka's that mean one of ours.
const ALIASES: &[(&str, &str)] = &[("broker.id", "node.id"), ("log.dir", "log.dirs")];

/// The row of a property.
#[must_use]
pub fn find(name: &str) -> Option<&'static Setting> {
    let name = ALIASES
        .iter()
        .find(|(alias, _)| *alias == name)
        .map_or(name, |(_, name)| name);
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// The known name nearest to a mistyped one, where one is near.
pub(super) fn closest(name: &str) -> Option<&'static str> {
    let near = SETTINGS
        .iter()
        .map(|setting| (strsim::levenshtein(name, setting.name), setting.name))
        .min()?;
    (near.0 <= 3).then_some(near.1)
}
