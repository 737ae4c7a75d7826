//! Settings of Apache Kafka 4.3.1's brokers that change nothing here: a file that works there is
//! read here too. What asks for a promise that is not kept, as a policy, is refused.

use crate::config::Bounds::{self, Any, AtLeast, Between, OneOf};
use crate::config::Effect::{self, AcceptedWithoutEffect};

const NOTHING: Bounds = OneOf(&[""]);
const LEADER: &str = "org.apache.kafka.common.replica.LeaderSelector";
const RACK_AWARE: &str = "org.apache.kafka.common.replica.RackAwareReplicaSelector";
const DEFAULT_PRINCIPALS: &str =
    "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder";

const TIERED: Effect = AcceptedWithoutEffect("there is no tiered storage");
const RUSTLS: Effect = AcceptedWithoutEffect("TLS is rustls's, with its own strong suites");
const RELOADED: Effect =
    AcceptedWithoutEffect("a certificate that has changed is taken, whatever it names");
const VERIFIED: Effect = AcceptedWithoutEffect("brokers always verify each other's host names");
const ONE_PRINCIPAL: Effect =
    AcceptedWithoutEffect("a principal is named by its certificate or its login");
const OF_LISTENERS: Effect =
    AcceptedWithoutEffect("each listener has its own, listener.name.L.plain.sasl.jaas.config");
const NO_LOGIN: Effect = AcceptedWithoutEffect("brokers know one another by certificates");
const NO_OAUTH: Effect = AcceptedWithoutEffect("brokers judge tokens, and get none for themselves");
const NO_KERBEROS: Effect = AcceptedWithoutEffect("no listener logs in by Kerberos");
const LATER: Effect = AcceptedWithoutEffect("share and streams groups are not served");
const BOTH: Effect =
    AcceptedWithoutEffect("uniform and range are there; uniform, where no member says which");
const BOUNDS: Effect = AcceptedWithoutEffect("a group's own configs are held against it, no more");
const NO_WINDOWS: Effect =
    AcceptedWithoutEffect("what is copied is paid for by time, and not measured in windows");
const ONE_DIR: Effect = AcceptedWithoutEffect("a broker has one log directory");
const VOTERS: Effect =
    AcceptedWithoutEffect("the voters of the quorum stand in controller.quorum.voters");
const QUORUM: Effect = AcceptedWithoutEffect("the metadata quorum keeps its own times and sizes");
const NO_REPORTERS: Effect = AcceptedWithoutEffect("metrics are at ottla.http.listener");
const NO_POLICY: Effect = AcceptedWithoutEffect("no class is loaded");
const SOCKETS: Effect =
    AcceptedWithoutEffect("sockets have the kernel's buffers and the broker's own timeouts");
const NO_PURGATORY: Effect = AcceptedWithoutEffect("there is no purgatory to purge");
const THREADS: Effect =
    AcceptedWithoutEffect("tasks are spread over as many threads as there are cores");
const COMPACTS: Effect = AcceptedWithoutEffect("compaction is always on");
const NEAREST: Effect = AcceptedWithoutEffect(
    "a consumer that names its rack reads from the nearest replica in any case",
);
const OWN_WAY: Effect = AcceptedWithoutEffect("the broker has its own way of this");
const LAYOUT: Effect = AcceptedWithoutEffect("how logs lie on disk is this broker's own affair");
const AT_ONCE: Effect =
    AcceptedWithoutEffect("an unclean election is held as soon as it is allowed");
const NOTHING_UNSTABLE: Effect = AcceptedWithoutEffect("all that is served is stable");
const ENVIRONMENT: Effect =
    AcceptedWithoutEffect("${env:NAME} is always replaced, and nothing else");

keys! {
    "alter.config.policy.class.name" Class "" NOTHING, Broker Restart [] NO_POLICY, "";
    "alter.log.dirs.replication.quota.window.num" Int "11" AtLeast(1),
        Broker Restart [] ONE_DIR, "";
    "alter.log.dirs.replication.quota.window.size.seconds" Int "1" AtLeast(1),
        Broker Restart [] ONE_DIR, "";
    "client.quota.callback.class" Class "" NOTHING, Broker Restart [] NO_POLICY, "";
    "config.providers" List "" Any, Broker Dynamic [] ENVIRONMENT, "";
    "controller.quorum.append.linger.ms" Int "25" AtLeast(0), Broker Restart [] QUORUM, "";
    "controller.quorum.auto.join.enable" Boolean "false" Any, Broker Restart [] QUORUM, "";
    "controller.quorum.bootstrap.servers" List "" NOTHING, Broker Restart [] VOTERS, "";
    "controller.quorum.election.backoff.max.ms" Int "1000" AtLeast(0), Broker Restart [] QUORUM, "";
    "controller.quorum.fetch.max.bytes" Int "1048576" AtLeast(1), Broker Restart [] QUORUM, "";
    "controller.quorum.fetch.snapshot.max.bytes" Int "1048576" AtLeast(1),
        Broker Restart [] QUORUM, "";
    "controller.quorum.fetch.timeout.ms" Int "2000" AtLeast(0), Broker Restart [] QUORUM, "";
    "controller.quorum.request.timeout.ms" Int "2000" AtLeast(0), Broker Restart [] QUORUM, "";
    "controller.quorum.retry.backoff.ms" Int "20" AtLeast(0), Broker Restart [] QUORUM, "";
    "controller.socket.timeout.ms" Int "30000" Any, Broker Restart [] QUORUM, "";
    "create.topic.policy.class.name" Class "" NOTHING, Broker Restart [] NO_POLICY, "";
    "delete.records.purgatory.purge.interval.requests" Int "1" Any,
        Broker Restart [] NO_PURGATORY, "";
    "early.start.listeners" List "" Any, Broker Restart [] OWN_WAY, "";
    "fetch.purgatory.purge.interval.requests" Int "1000" Any, Broker Restart [] NO_PURGATORY, "";
    "follower.fetch.last.tiered.offset.enable" Boolean "false" Any, Broker Dynamic [] TIERED, "";
    "group.consumer.assignors" List "uniform,range" Any, Broker Restart [] BOTH, "";
    "group.consumer.max.assignment.interval.ms" Int "15000" AtLeast(0),
        Broker Restart [] BOUNDS, "";
    "group.consumer.max.heartbeat.interval.ms" Int "15000" AtLeast(1), Broker Restart [] BOUNDS, "";
    "group.consumer.max.session.timeout.ms" Int "60000" AtLeast(1), Broker Restart [] BOUNDS, "";
    "group.consumer.min.assignment.interval.ms" Int "0" AtLeast(0), Broker Restart [] BOUNDS, "";
    "group.consumer.min.heartbeat.interval.ms" Int "5000" AtLeast(1), Broker Restart [] BOUNDS, "";
    "group.consumer.min.session.timeout.ms" Int "45000" AtLeast(1), Broker Restart [] BOUNDS, "";
    "group.coordinator.append.linger.ms" Int "-1" AtLeast(-1), Broker Restart [] OWN_WAY, "";
    "group.coordinator.background.threads" Int "2" AtLeast(1), Broker Restart [] THREADS, "";
    "group.coordinator.cached.buffer.max.bytes" Int "1048588" AtLeast(524_288),
        Broker Dynamic [] OWN_WAY, "";
    "group.coordinator.threads" Int "4" AtLeast(1), Broker Restart [] THREADS, "";
    "group.share.assignors" List "simple" Any, Broker Restart [] LATER, "";
    "group.share.max.assignment.interval.ms" Int "15000" AtLeast(0), Broker Restart [] LATER, "";
    "group.share.max.delivery.count.limit" Int "10" Between(5, 25), Broker Restart [] LATER, "";
    "group.share.max.heartbeat.interval.ms" Int "15000" AtLeast(1), Broker Restart [] LATER, "";
    "group.share.max.partition.max.record.locks" Int "4000" Between(2000, 10_000),
        Broker Restart [] LATER, "";
    "group.share.max.record.lock.duration.ms" Int "60000" Between(30_000, 3_600_000),
        Broker Restart [] LATER, "";
    "group.share.max.session.timeout.ms" Int "60000" AtLeast(1), Broker Restart [] LATER, "";
    "group.share.max.share.sessions" Int "2000" AtLeast(1), Broker Restart [] LATER, "";
    "group.share.max.size" Int "200" Between(1, 1000), Broker Restart [] LATER, "";
    "group.share.min.assignment.interval.ms" Int "0" AtLeast(0), Broker Restart [] LATER, "";
    "group.share.min.delivery.count.limit" Int "2" Between(2, 5), Broker Restart [] LATER, "";
    "group.share.min.heartbeat.interval.ms" Int "5000" AtLeast(1), Broker Restart [] LATER, "";
    "group.share.min.partition.max.record.locks" Int "100" Between(100, 2000),
        Broker Restart [] LATER, "";
    "group.share.min.record.lock.duration.ms" Int "15000" Between(1000, 30_000),
        Broker Restart [] LATER, "";
    "group.share.min.session.timeout.ms" Int "45000" AtLeast(1), Broker Restart [] LATER, "";
    "group.streams.max.assignment.interval.ms" Int "15000" AtLeast(0), Broker Restart [] LATER, "";
    "group.streams.max.heartbeat.interval.ms" Int "15000" AtLeast(1), Broker Restart [] LATER, "";
    "group.streams.max.session.timeout.ms" Int "60000" AtLeast(1), Broker Restart [] LATER, "";
    "group.streams.max.size" Int "2147483647" AtLeast(1), Broker Restart [] LATER, "";
    "group.streams.max.standby.replicas" Int "2" AtLeast(0), Broker Restart [] LATER, "";
    "group.streams.min.assignment.interval.ms" Int "0" AtLeast(0), Broker Restart [] LATER, "";
    "group.streams.min.heartbeat.interval.ms" Int "5000" AtLeast(1), Broker Restart [] LATER, "";
    "group.streams.min.session.timeout.ms" Int "45000" AtLeast(1), Broker Restart [] LATER, "";
    "initial.broker.registration.timeout.ms" Int "60000" Any, Broker Restart [] QUORUM, "";
    "kafka.metrics.polling.interval.secs" Int "10" AtLeast(1), Broker Restart [] NO_REPORTERS, "";
    "kafka.metrics.reporters" List "" Any, Broker Restart [] NO_REPORTERS, "";
    "log.cleaner.enable" Boolean "true" Any, Broker Restart [] COMPACTS, "";
    "log.dir.failure.timeout.ms" Long "30000" AtLeast(1), Broker Restart [] LAYOUT, "";
    "log.initial.task.delay.ms" Long "30000" AtLeast(0), Broker Restart [] OWN_WAY, "";
    "log.flush.offset.checkpoint.interval.ms" Int "60000" AtLeast(0), Broker Restart [] LAYOUT, "";
    "log.flush.start.offset.checkpoint.interval.ms" Int "60000" AtLeast(0),
        Broker Restart [] LAYOUT, "";
    "max.request.partition.size.limit" Int "2000" AtLeast(1), Broker Restart [] OWN_WAY, "";
    "metadata.log.dir" String "" Any, Broker Restart [] QUORUM, "";
    "metadata.log.max.record.bytes.between.snapshots" Long "20971520" AtLeast(1),
        Broker Restart [] QUORUM, "";
    "metadata.log.max.snapshot.interval.ms" Long "3600000" AtLeast(0), Broker Restart [] QUORUM, "";
    "metadata.log.segment.bytes" Int "1073741824" AtLeast(8_388_608), Broker Restart [] QUORUM, "";
    "metadata.log.segment.ms" Long "604800000" Any, Broker Restart [] QUORUM, "";
    "metadata.max.idle.interval.ms" Int "500" AtLeast(0), Broker Restart [] QUORUM, "";
    "metadata.max.retention.bytes" Long "104857600" Any, Broker Restart [] QUORUM, "";
    "metadata.max.retention.ms" Long "604800000" Any, Broker Restart [] QUORUM, "";
    "metric.reporters" List "org.apache.kafka.common.metrics.JmxReporter" Any,
        Broker Dynamic [] NO_REPORTERS, "";
    "metrics.num.samples" Int "2" AtLeast(1), Broker Restart [] NO_REPORTERS, "";
    "metrics.recording.level" String "INFO" Any, Broker Restart [] NO_REPORTERS, "";
    "metrics.sample.window.ms" Long "30000" AtLeast(1), Broker Restart [] NO_REPORTERS, "";
    "num.replica.alter.log.dirs.threads" Int "" Any, Broker Restart [] THREADS, "";
    "offsets.load.buffer.size" Int "5242880" AtLeast(1), Broker Restart [] OWN_WAY, "";
    "offsets.topic.compression.codec" Int "0" Any, Broker Restart [] OWN_WAY, "";
    "principal.builder.class" Class
        "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder"
        OneOf(&["", DEFAULT_PRINCIPALS]),
        Broker Dynamic [] ONE_PRINCIPAL, "";
    "producer.purgatory.purge.interval.requests" Int "1000" Any, Broker Restart [] NO_PURGATORY, "";
    "queued.max.requests" Int "500" AtLeast(1), Broker Restart [] THREADS, "";
    "remote.fetch.max.wait.ms" Int "500" AtLeast(1), Broker Dynamic [] TIERED, "";
    "remote.list.offsets.request.timeout.ms" Long "30000" AtLeast(1), Broker Dynamic [] TIERED, "";
    "remote.log.index.file.cache.total.size.bytes" Long "1073741824" AtLeast(1),
        Broker Dynamic [] TIERED, "";
    "remote.log.manager.copier.thread.pool.size" Int "10" AtLeast(1), Broker Dynamic [] TIERED, "";
    "remote.log.manager.copy.max.bytes.per.second" Long "9223372036854775807" AtLeast(1),
        Broker Dynamic [] TIERED, "";
    "remote.log.manager.copy.quota.window.num" Int "11" AtLeast(1), Broker Restart [] TIERED, "";
    "remote.log.manager.copy.quota.window.size.seconds" Int "1" AtLeast(1),
        Broker Restart [] TIERED, "";
    "remote.log.manager.expiration.thread.pool.size" Int "10" AtLeast(1),
        Broker Dynamic [] TIERED, "";
    "remote.log.manager.fetch.max.bytes.per.second" Long "9223372036854775807" AtLeast(1),
        Broker Dynamic [] TIERED, "";
    "remote.log.manager.fetch.quota.window.num" Int "11" AtLeast(1), Broker Restart [] TIERED, "";
    "remote.log.manager.fetch.quota.window.size.seconds" Int "1" AtLeast(1),
        Broker Restart [] TIERED, "";
    "remote.log.manager.follower.thread.pool.size" Int "2" AtLeast(1), Broker Dynamic [] TIERED, "";
    "remote.log.manager.task.interval.ms" Long "30000" AtLeast(1), Broker Restart [] TIERED, "";
    "remote.log.manager.thread.pool.size" Int "2" AtLeast(1), Broker Restart [] TIERED, "";
    "remote.log.metadata.custom.metadata.max.bytes" Int "128" AtLeast(0),
        Broker Restart [] TIERED, "";
    "remote.log.metadata.manager.class.name" String
        "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager"
        Any,
        Broker Restart [] TIERED, "";
    "remote.log.metadata.manager.class.path" String "" Any, Broker Restart [] TIERED, "";
    "remote.log.metadata.manager.impl.prefix" String "rlmm.config." Any,
        Broker Restart [] TIERED, "";
    "remote.log.metadata.manager.listener.name" String "" Any, Broker Restart [] TIERED, "";
    "remote.log.reader.max.pending.tasks" Int "100" AtLeast(1), Broker Restart [] TIERED, "";
    "remote.log.reader.threads" Int "10" AtLeast(1), Broker Dynamic [] TIERED, "";
    "remote.log.storage.manager.class.name" String "" Any, Broker Restart [] TIERED, "";
    "remote.log.storage.manager.class.path" String "" Any, Broker Restart [] TIERED, "";
    "remote.log.storage.manager.impl.prefix" String "rsm.config." Any, Broker Restart [] TIERED, "";
    "remote.log.storage.system.enable" Boolean "false" OneOf(&["false"]),
        Broker Restart [] TIERED, "";
    "replica.fetch.backoff.ms" Int "1000" AtLeast(0), Broker Restart [] OWN_WAY, "";
    "replica.fetch.min.bytes" Int "1" Any, Broker Restart [] OWN_WAY, "";
    "replica.high.watermark.checkpoint.interval.ms" Long "5000" Any, Broker Restart [] LAYOUT, "";
    "replica.selector.class" String "" OneOf(&["", LEADER, RACK_AWARE]),
        Broker Restart [] NEAREST, "";
    "replica.socket.receive.buffer.bytes" Int "65536" Any, Broker Restart [] SOCKETS, "";
    "replica.socket.timeout.ms" Int "30000" Any, Broker Restart [] SOCKETS, "";
    "replication.quota.window.num" Int "11" AtLeast(1), Broker Restart [] NO_WINDOWS, "";
    "replication.quota.window.size.seconds" Int "1" AtLeast(1), Broker Restart [] NO_WINDOWS, "";
    "request.timeout.ms" Int "30000" Any, Broker Restart [] SOCKETS, "";
    "sasl.client.callback.handler.class" Class "" Any, Broker Restart [] NO_LOGIN, "";
    "sasl.jaas.config" Password "" Any, Broker Dynamic [] OF_LISTENERS, "";
    "sasl.kerberos.principal.to.local.rules" List "DEFAULT" Any, Broker Dynamic [] NO_KERBEROS, "";
    "sasl.login.callback.handler.class" Class "" Any, Broker Restart [] NO_LOGIN, "";
    "sasl.login.class" Class "" Any, Broker Restart [] NO_LOGIN, "";
    "sasl.login.connect.timeout.ms" Int "" Any, Broker Restart [] NO_LOGIN, "";
    "sasl.login.read.timeout.ms" Int "" Any, Broker Restart [] NO_LOGIN, "";
    "sasl.login.retry.backoff.max.ms" Long "10000" Any, Broker Restart [] NO_LOGIN, "";
    "sasl.login.retry.backoff.ms" Long "100" Any, Broker Restart [] NO_LOGIN, "";
    "sasl.mechanism.controller.protocol" String "GSSAPI" Any, Broker Restart [] NO_LOGIN, "";
    "sasl.mechanism.inter.broker.protocol" String "GSSAPI" Any, Broker Dynamic [] NO_LOGIN, "";
    "sasl.oauthbearer.assertion.algorithm" String "RS256" Any, Broker Restart [] NO_OAUTH, "";
    "sasl.oauthbearer.assertion.claim.aud" String "" Any, Broker Restart [] NO_OAUTH, "";
    "sasl.oauthbearer.assertion.claim.exp.seconds" Int "300" Between(0, 86_400),
        Broker Restart [] NO_OAUTH, "";
    "sasl.oauthbearer.assertion.claim.iss" String "" Any, Broker Restart [] NO_OAUTH, "";
    "sasl.oauthbearer.assertion.claim.jti.include" Boolean "false" Any,
        Broker Restart [] NO_OAUTH, "";
    "sasl.oauthbearer.assertion.claim.nbf.seconds" Int "60" Between(0, 3600),
        Broker Restart [] NO_OAUTH, "";
    "sasl.oauthbearer.assertion.claim.sub" String "" Any, Broker Restart [] NO_OAUTH, "";
    "sasl.oauthbearer.assertion.file" String "" Any, Broker Restart [] NO_OAUTH, "";
    "sasl.oauthbearer.assertion.private.key.file" String "" Any, Broker Restart [] NO_OAUTH, "";
    "sasl.oauthbearer.assertion.private.key.passphrase" Password "" Any,
        Broker Restart [] NO_OAUTH, "";
    "sasl.oauthbearer.assertion.template.file" String "" Any, Broker Restart [] NO_OAUTH, "";
    "sasl.oauthbearer.client.credentials.client.id" String "" Any, Broker Restart [] NO_OAUTH, "";
    "sasl.oauthbearer.client.credentials.client.secret" Password "" Any,
        Broker Restart [] NO_OAUTH, "";
    "sasl.oauthbearer.jwt.retriever.class" Class
        "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever"
        Any,
        Broker Restart [] NO_OAUTH, "";
    "sasl.oauthbearer.jwt.validator.class" Class
        "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator"
        Any,
        Broker Restart [] NO_OAUTH, "";
    "sasl.oauthbearer.scope" String "" Any, Broker Restart [] NO_OAUTH, "";
    "sasl.oauthbearer.token.endpoint.url" String "" Any, Broker Restart [] NO_OAUTH, "";
    "security.providers" String "" Any, Broker Restart [] RUSTLS, "";
    "share.coordinator.append.linger.ms" Int "-1" AtLeast(-1), Broker Restart [] LATER, "";
    "share.coordinator.cached.buffer.max.bytes" Int "1048588" AtLeast(524_288),
        Broker Dynamic [] LATER, "";
    "share.coordinator.load.buffer.size" Int "5242880" AtLeast(1), Broker Restart [] LATER, "";
    "share.coordinator.snapshot.update.records.per.snapshot" Int "500" Between(0, 500),
        Broker Restart [] LATER, "";
    "share.coordinator.state.topic.compression.codec" Int "0" Any, Broker Restart [] LATER, "";
    "share.coordinator.state.topic.min.isr" Short "2" AtLeast(1), Broker Restart [] LATER, "";
    "share.coordinator.state.topic.num.partitions" Int "50" AtLeast(1), Broker Restart [] LATER, "";
    "share.coordinator.state.topic.replication.factor" Short "3" AtLeast(1),
        Broker Restart [] LATER, "";
    "share.coordinator.state.topic.segment.bytes" Int "104857600" AtLeast(1),
        Broker Restart [] LATER, "";
    "share.coordinator.threads" Int "1" AtLeast(1), Broker Restart [] LATER, "";
    "share.coordinator.write.timeout.ms" Int "5000" AtLeast(1), Broker Restart [] LATER, "";
    "share.fetch.purgatory.purge.interval.requests" Int "1000" Any, Broker Restart [] LATER, "";
    "socket.connection.setup.timeout.max.ms" Long "30000" Any, Broker Restart [] SOCKETS, "";
    "socket.connection.setup.timeout.ms" Long "10000" Any, Broker Restart [] SOCKETS, "";
    "socket.listen.backlog.size" Int "50" AtLeast(1), Broker Restart [] SOCKETS, "";
    "socket.receive.buffer.bytes" Int "102400" Any, Broker Restart [] SOCKETS, "";
    "socket.send.buffer.bytes" Int "102400" Any, Broker Restart [] SOCKETS, "";
    "ssl.allow.dn.changes" Boolean "false" Any, Broker Restart [] RELOADED, "";
    "ssl.allow.san.changes" Boolean "false" Any, Broker Restart [] RELOADED, "";
    "ssl.cipher.suites" List "" NOTHING, Broker Dynamic [] RUSTLS, "";
    "ssl.endpoint.identification.algorithm" String "https" Any, Broker Dynamic [] VERIFIED, "";
    "ssl.engine.factory.class" Class "" NOTHING, Broker Dynamic [] RUSTLS, "";
    "ssl.keymanager.algorithm" String "SunX509" Any, Broker Dynamic [] RUSTLS, "";
    "ssl.protocol" String "TLSv1.3" Any, Broker Dynamic [] RUSTLS, "";
    "ssl.provider" String "" Any, Broker Dynamic [] RUSTLS, "";
    "ssl.secure.random.implementation" String "" Any, Broker Dynamic [] RUSTLS, "";
    "ssl.trustmanager.algorithm" String "PKIX" Any, Broker Dynamic [] RUSTLS, "";
    "telemetry.max.bytes" Int "1048576" AtLeast(1), Broker Restart [] NO_REPORTERS, "";
    "unclean.leader.election.interval.ms" Long "300000" AtLeast(1), Broker Restart [] AT_ONCE, "";
    "unstable.api.versions.enable" Boolean "false" Any, Broker Restart [] NOTHING_UNSTABLE, "";
    "unstable.feature.versions.enable" Boolean "false" Any, Broker Restart [] NOTHING_UNSTABLE, "";
}
