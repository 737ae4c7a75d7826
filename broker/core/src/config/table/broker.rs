//! Settings of a broker.

use crate::config::Bounds::{AddressCounts, Any, AtLeast, Between, BetweenOr, OneOf};
use crate::config::Effect::Applied;

keys! {
    "node.id" Int "0" AtLeast(0),
        Broker Restart ["broker.id"] Applied,
        "The id of this broker, unique in the cluster. In Kubernetes and locally it is the \
         ordinal.";
    "process.roles" List "broker,controller" OneOf(&["broker", "controller"]),
        Broker Restart [] Applied,
        "What this node is. `broker`: it holds partitions and never votes. `controller`: it votes, \
         or may come to, holds no partition and has no listener but that of \
         `controller.listener.names`. Both: a broker that may vote; whether it does, \
         `controller.quorum.voters` and AddRaftVoter say, so that any broker can take the place of \
         a voter that is lost.";
    "listeners" List "PLAINTEXT://:9092,CONTROLLER://:9091" Any,
        Broker Restart [] Applied,
        "Where the broker listens: `NAME://host:port`, separated by commas. The one that \
         `controller.listener.names` names is for peers (gRPC); all others are for clients. A \
         controller that is no broker has that one alone.";
    "advertised.listeners" List "" Any,
        Broker Restart [] Applied,
        "What clients are told to connect to, by listener name. Where one is missing: its host in \
         `listeners`, or the host's name.";
    "controller.listener.names" String "CONTROLLER" Any,
        Broker Restart [] Applied,
        "The name of the listener for peers. Of a node that may vote it serves Kafka's clients as \
         well, with what they ask controllers (`bootstrap.controllers`).";
    "inter.broker.listener.name" String "" Any,
        Broker Restart [] Applied,
        "The listener that other brokers replicate from. Empty: the first one for clients.";
    "controller.quorum.voters" List "" Any,
        Broker Restart [] Applied,
        "The voters of the metadata quorum, `id@host:port` of their peer listeners, the same list \
         on every node. Empty: this node alone. Once the quorum is there the brokers agree on \
         who votes, and this says where to look for them: AddRaftVoter and RemoveRaftVoter change \
         who does. Name a node here, in the file of every node, before it gets a vote, and until \
         it has none: a voter that loses its disk asks those that its file names, and forms a new \
         cluster where that is itself alone.";
    "log.dirs" List "./data" Any,
        Broker Restart ["log.dir"] Applied,
        "The data directory.";
    "broker.rack" String "" Any,
        Broker Restart [] Applied,
        "The zone this broker stands in; replicas are spread over racks.";
    "cluster.id" String "" Any,
        Broker Restart [] Applied,
        "The cluster that this broker must belong to. Empty: the one it finds.";
    "ottla.http.listener" String "0.0.0.0:9404" Any,
        Broker Restart [] Applied,
        "`host:port` of `/metrics`, `/livez`, `/readyz` and `/pre-restart-check`. Empty: none.";
    "num.network.threads" Int "0" Between(0, 256),
        Broker Restart [] Applied,
        "Threads that serve connections. 0: half as many as there are CPUs, at least one.";
    "socket.request.max.bytes" Int "104857600" AtLeast(1024),
        Broker Restart [] Applied,
        "The largest request, in bytes.";
    "queued.max.request.bytes" Long "268435456" BetweenOr(1, 1_099_511_627_776, -1),
        Broker Restart [] Applied,
        "All requests being read or waiting to be answered, in bytes; at the limit reading \
         stops. There is always a limit: -1 is the default.";
    "ottla.connection.requests.max" Int "64" Between(1, 10_000),
        Broker Restart [] Applied,
        "Requests of one connection that may wait for their replication at a time.";
    "max.connections" Int "2147483647" AtLeast(0),
        Broker Dynamic [] Applied,
        "Connections at a time. 0: as many as the limit of open files leaves room for, which are \
         never exceeded.";
    "max.connections.per.ip" Int "2147483647" AtLeast(0),
        Broker Dynamic [] Applied,
        "Connections from one address at a time.";
    "max.connections.per.ip.overrides" List "" AddressCounts,
        Broker Dynamic [] Applied,
        "Exceptions to `max.connections.per.ip`, as `address:count` pairs.";
    "connections.max.idle.ms" Long "600000" BetweenOr(1, 17_592_186_044_415, -1),
        Broker Restart [] Applied,
        "A connection without traffic for this long is closed, in milliseconds. -1: never.";
    "ottla.first.request.timeout.ms" Long "10000" Between(100, 3_600_000),
        Broker Restart [] Applied,
        "A connection that has not sent its first request for this long is closed, in \
         milliseconds.";
    "broker.heartbeat.interval.ms" Int "250" Between(20, 60_000),
        Broker Restart [] Applied,
        "How often a broker renews its lease with the active controller, in milliseconds.";
    "broker.session.timeout.ms" Int "1500" Between(100, 600_000),
        Broker Restart [] Applied,
        "The lease: a broker not heard of for this long is fenced, in milliseconds.";
    "controller.quorum.election.timeout.ms" Int "400" Between(50, 60_000),
        Broker Restart [] Applied,
        "Voters elect a new active controller after this long without one, in milliseconds.";
    "ottla.scrub.interval.ms" Long "86400000" Between(0, 2_592_000_000),
        Broker Restart [] Applied,
        "How long the broker rests between two readings of all its logs, which find damage that no \
         reader has met yet, in milliseconds; 0: it never reads them.";
    "ottla.controlled.shutdown.timeout.ms" Long "20000" Between(0, 3_600_000),
        Broker Restart [] Applied,
        "How long a stop on SIGTERM may take to move leaderships away, in milliseconds.";
    "controlled.shutdown.enable" Boolean "true" Any,
        Broker Restart [] Applied,
        "Whether leaderships are moved away before a stop on SIGTERM.";
    "auto.create.topics.enable" Boolean "false" Any,
        Broker Restart [] Applied,
        "Whether Metadata requests create the topics they name.";
    "delete.topic.enable" Boolean "true" Any,
        Broker Restart [] Applied,
        "Whether DeleteTopics works.";
    "authorizer.class.name" String "" Any,
        Broker Restart [] Applied,
        "What asks the ACLs before a request is served: Kafka's \
         `org.apache.kafka.metadata.authorizer.StandardAuthorizer`. Empty: nothing, everyone may \
         do everything. On a PLAINTEXT listener every client is `User:ANONYMOUS`: ACLs then tell \
         hosts apart, not users. Brokers trust each other's fetches by a secret of each process, \
         which who can listen on the network can read unless the listener between brokers speaks \
         SSL; on the listener for peers they ask who connects only where that speaks SSL.";
    "ottla.audit.log" String "" Any,
        Broker Restart [] Applied,
        "The file that the audit log goes to, a line of JSON each: what was denied to whom, what \
         somebody created, altered or deleted, and logins that failed. `-`: the standard output. \
         Empty: none.";
    "ottla.audit.topic" String "" Any,
        Broker Restart [] Applied,
        "The topic that the audit log goes to, beside the file or alone, a record for each line; \
         it is created where it is missing. Give it on every broker, and let nobody else write \
         to it. A line may stand in it twice, and is lost where it cannot be written for half a \
         minute. Controllers that are no brokers have the file alone. Empty: none.";
    "super.users" String "" Any,
        Broker Restart [] Applied,
        "Principals that may do everything, as `User:name`, separated by semicolons.";
    "allow.everyone.if.no.acl.found" Boolean "false" Any,
        Broker Restart [] Applied,
        "Whether everyone may do everything with a resource that no ACL is about.";
    "num.partitions" Int "1" Between(1, 10_000),
        Broker Restart [] Applied,
        "Partitions of a topic created without a number.";
    "default.replication.factor" Int "-1" Between(-1, 32_767),
        Broker Restart [] Applied,
        "Replication factor of a topic created without one. -1: three, or all brokers if fewer.";
    "replica.lag.time.max.ms" Long "10000" Between(100, 86_400_000),
        Broker Restart [] Applied,
        "A follower that has not caught up for this long leaves the ISR, in milliseconds.";
    "replica.fetch.wait.max.ms" Int "500" Between(1, 60_000),
        Broker Restart [] Applied,
        "How long a fetch of a follower may wait for bytes, in milliseconds.";
    "replica.fetch.max.bytes" Int "1048576" AtLeast(1),
        Broker Restart [] Applied,
        "Bytes a follower asks for, per partition.";
    "replica.fetch.response.max.bytes" Int "10485760" AtLeast(1),
        Broker Restart [] Applied,
        "Bytes a follower asks for, in one fetch.";
    "fetch.max.bytes" Int "57671680" AtLeast(1024),
        Broker Restart [] Applied,
        "The most bytes a consumer's fetch returns, beyond the first batch.";
    "max.incremental.fetch.session.cache.slots" Int "1000" Between(0, 1_000_000),
        Broker Restart [] Applied,
        "Fetch sessions kept at a time (KIP-227).";
    "auto.leader.rebalance.enable" Boolean "true" Any,
        Broker Restart [] Applied,
        "Whether the preferred leader takes its partitions back by itself.";
    "leader.imbalance.check.interval.seconds" Long "300" Between(1, 86_400),
        Broker Restart [] Applied,
        "How often preferred leaders are checked, in seconds.";
    "leader.imbalance.per.broker.percentage" Int "10" Between(0, 100),
        Broker Restart [] Applied,
        "A broker that lacks more than this share of the leaderships it is preferred for gets \
         them back, in percent.";
    "log.retention.check.interval.ms" Long "300000" Between(1, 86_400_000),
        Broker Restart [] Applied,
        "How often retention is applied, in milliseconds.";
    "offsets.topic.num.partitions" Int "50" Between(1, 10_000),
        Broker Restart [] Applied,
        "Partitions of `__consumer_offsets`.";
    "offsets.topic.replication.factor" Int "3" Between(1, 32_767),
        Broker Restart [] Applied,
        "Replication factor of `__consumer_offsets`; fewer while there are fewer brokers.";
    "offsets.topic.segment.bytes" Int "104857600" AtLeast(1),
        Broker Restart [] Applied,
        "Segment size of `__consumer_offsets`, in bytes.";
    "offsets.retention.minutes" Int "10080" AtLeast(1),
        Broker Restart [] Applied,
        "Offsets of a group without members are forgotten after this many minutes.";
    "offsets.retention.check.interval.ms" Long "600000" Between(1, 86_400_000),
        Broker Restart [] Applied,
        "How often expired offsets are looked for, in milliseconds.";
    "offsets.commit.timeout.ms" Int "5000" Between(1, 3_600_000),
        Broker Restart [] Applied,
        "How long an answer of the group coordinator waits for its records to be committed, in \
         milliseconds.";
    "offset.metadata.max.bytes" Int "4096" Between(0, 1_048_576),
        Broker Restart [] Applied,
        "The largest metadata string of an offset commit, in bytes.";
    "group.initial.rebalance.delay.ms" Int "3000" Between(0, 600_000),
        Broker Restart [] Applied,
        "How long a new group waits for more members, in milliseconds.";
    "group.min.session.timeout.ms" Int "6000" Between(0, 86_400_000),
        Broker Restart [] Applied,
        "The shortest session timeout a member may ask for, in milliseconds.";
    "group.max.session.timeout.ms" Int "1800000" Between(1, 86_400_000),
        Broker Restart [] Applied,
        "The longest session timeout a member may ask for, in milliseconds.";
    "group.max.size" Int "5000" AtLeast(1),
        Broker Restart [] Applied,
        "Members of a group at most.";
    "group.consumer.max.size" Int "5000" AtLeast(1),
        Broker Restart [] Applied,
        "Members of a group with the consumer protocol at most.";
    "group.consumer.migration.policy" String "bidirectional"
        OneOf(&["bidirectional", "disabled", "downgrade", "upgrade"]),
        Broker Restart [] Applied,
        "Which way a group with members may go between the protocols: with `upgrade`, a member of \
         the consumer protocol may join a classic group, which becomes a consumer group; with \
         `downgrade`, a consumer group becomes a classic one again when the last member of the \
         consumer protocol leaves. An empty group is of whichever protocol its next member has.";
    "group.coordinator.rebalance.protocols" List "classic,consumer"
        OneOf(&["classic", "consumer", "share", "streams"]),
        Broker Restart [] Applied,
        "The protocols that groups may have. Classic groups are always served, share and streams \
         groups never; `consumer` (KIP-848) may be left out.";
    "producer.id.expiration.ms" Int "86400000" AtLeast(1),
        Broker Dynamic [] Applied,
        "The state of an idle producer is forgotten after this long, in milliseconds.";
    "add.partitions.to.txn.retry.backoff.ms" Int "20" AtLeast(1),
        Broker Restart [] Applied,
        "How long to wait before a partition is added to a transaction again, where the one before \
         it is still ending.";
    "add.partitions.to.txn.retry.backoff.max.ms" Int "100" AtLeast(0),
        Broker Restart [] Applied,
        "How long the broker tries that, before the producer does.";
    "producer.id.expiration.check.interval.ms" Int "600000" AtLeast(1),
        Broker Restart [] Applied,
        "How often idle producers are looked for, in milliseconds.";
}
