package io.ottla.suites;

import kafka.log.LogManager;
import kafka.network.SocketServer;
import kafka.raft.KafkaRaftManager;
import kafka.server.BrokerServer;
import kafka.server.ControllerServer;
import kafka.server.KafkaApis;
import kafka.server.KafkaConfig;
import kafka.server.ReplicaManager;
import kafka.server.SharedServer;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.TopicListing;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.internals.Plugin;
import org.apache.kafka.common.network.ListenerName;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.requests.MetadataResponse.PartitionMetadata;
import org.apache.kafka.common.requests.MetadataResponse.TopicMetadata;
import org.apache.kafka.common.test.KafkaClusterTestKit;
import org.apache.kafka.controller.Controller;
import org.apache.kafka.coordinator.group.GroupCoordinator;
import org.apache.kafka.image.loader.MetadataLoader;
import org.apache.kafka.metadata.BrokerState;
import org.apache.kafka.metadata.KRaftMetadataCache;
import org.apache.kafka.metadata.LeaderAndIsr;
import org.apache.kafka.metadata.LeaderRecoveryState;
import org.apache.kafka.raft.KafkaRaftClient;
import org.apache.kafka.raft.LeaderAndEpoch;
import org.apache.kafka.raft.LogOffsetMetadata;
import org.apache.kafka.raft.RaftLog;
import org.apache.kafka.server.authorizer.Authorizer;

import org.mockito.invocation.InvocationOnMock;

import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Properties;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;
import java.util.stream.Collectors;

/**
 * What tests ask a broker or a controller for as an object. Answered is what the process says of
 * itself over the wire; a test that wants more cannot run against a process.
 */
public final class StandIn {
    private final KafkaClusterTestKit cluster;
    private final Broker broker;
    private final KafkaConfig config;

    private StandIn(KafkaClusterTestKit cluster, Broker broker) {
        this.cluster = cluster;
        this.broker = broker;
        this.config = broker.config();
    }

    /** For one of {@link KafkaClusterTestKit#brokers}. */
    public static BrokerServer ofBroker(KafkaClusterTestKit cluster, Broker broker) {
        StandIn own = new StandIn(cluster, broker);
        return own.server(Act.as(BrokerServer.class))
            .on("isShutdown", call -> !broker.isRunning())
            .on("brokerState", call ->
                broker.isRunning() ? BrokerState.RUNNING : BrokerState.NOT_RUNNING)
            .on("boundPort", own::port)
            .on("metadataCache", call -> own.metadataCache())
            .on("dataPlaneRequestProcessor", call -> own.requestProcessor())
            .on("groupCoordinator", call -> own.groupCoordinator())
            .on("replicaManager", call -> own.replicaManager())
            .on("logManager", call -> own.logManager())
            .on("sharedServer", call -> sharedServer())
            .object();
    }

    /** For one of {@link KafkaClusterTestKit#controllers}. */
    public static ControllerServer ofController(KafkaClusterTestKit cluster, Broker broker) {
        StandIn own = new StandIn(cluster, broker);
        return own.server(Act.as(ControllerServer.class))
            .on("raftManager", call -> own.raftManager())
            .on("controller", call -> own.controller())
            .object();
    }

    /** What both have. */
    private <T> Act<T> server(Act<T> act) {
        return act.on("config", call -> config)
            .on("startup", call -> start())
            .on("shutdown", call -> stop())
            .on("awaitShutdown", call -> null)
            .on("clusterId", call -> asked(admin -> admin.describeCluster().clusterId()
                .toCompletionStage().toCompletableFuture().join()))
            .on("authorizerPlugin", call -> authorizer())
            .on("socketServer", call ->
                Act.as(SocketServer.class).on("boundPort", this::port).object());
    }

    private Object start() throws Exception {
        broker.start();
        cluster.waitForReadyBrokers();
        return null;
    }

    private Object stop() throws InterruptedException {
        broker.stop();
        return null;
    }

    private int port(InvocationOnMock call) {
        return broker.port(call.<ListenerName>getArgument(0).value());
    }

    private <T> T asked(Function<Admin, T> question) {
        try (Admin admin = cluster.admin()) {
            return question.apply(admin);
        }
    }

    private LeaderAndEpoch leaderAndEpoch() {
        // brokers may advertise what nobody reaches
        try (Admin admin = cluster.admin(Map.of(), true)) {
            return admin.describeMetadataQuorum().quorumInfo().toCompletionStage()
                .thenApply(quorum -> new LeaderAndEpoch(
                    OptionalInt.of(quorum.leaderId()), (int) quorum.leaderEpoch()))
                .toCompletableFuture().join();
        }
    }

    private Controller controller() {
        return Act.as(Controller.class)
            .on("isActive", call ->
                broker.isRunning() && leaderAndEpoch().isLeader(broker.id()))
            .on("findAllTopicIds", call -> asked(admin -> admin.listTopics().listings()
                .toCompletionStage().toCompletableFuture().thenApply(topics -> topics.stream()
                    .collect(Collectors.toMap(TopicListing::name, TopicListing::topicId)))
                .thenApply(CompletableFuture::completedFuture).join()))
            .object();
    }

    private KRaftMetadataCache metadataCache() {
        return Act.as(KRaftMetadataCache.class)
            .on("contains", call -> call.getArgument(0) instanceof TopicPartition wanted
                ? partition(wanted.topic(), wanted.partition()).isPresent()
                : topic(call.getArgument(0)).isPresent())
            .on("numPartitions", call ->
                topic(call.getArgument(0)).map(topic -> topic.partitionMetadata().size()))
            .on("getTopicId", call ->
                topic(call.getArgument(0)).map(TopicMetadata::topicId).orElseThrow())
            .on("getLeaderAndIsr", call ->
                partition(call.getArgument(0), call.getArgument(1)).map(StandIn::leaderAndIsr))
            .on("getAliveBrokerNodes", call -> List.copyOf(broker.metadata(List.of()).brokers()))
            .on("hasAliveBroker", call ->
                broker.metadata(List.of()).brokersById().containsKey(call.<Integer>getArgument(0)))
            .object();
    }

    private Optional<TopicMetadata> topic(String name) throws IOException {
        return broker.metadata(List.of(name)).topicMetadata().stream()
            .filter(topic -> topic.error() == Errors.NONE).findFirst();
    }

    private Optional<PartitionMetadata> partition(String name, int index) throws IOException {
        return topic(name).stream().flatMap(topic -> topic.partitionMetadata().stream())
            .filter(partition -> partition.partition() == index).findFirst();
    }

    private static LeaderAndIsr leaderAndIsr(PartitionMetadata of) {
        return new LeaderAndIsr(of.leaderId.orElse(-1), of.leaderEpoch.orElse(0),
            of.inSyncReplicaIds, LeaderRecoveryState.RECOVERED, 0);
    }

    /** For those who wait until a topic is gone; the files of one that is there are private. */
    private Object noneOnceDeleted(InvocationOnMock call) throws IOException {
        if (topic(call.<TopicPartition>getArgument(0).topic()).isPresent()) {
            throw Act.outOfReach(call);
        }
        return scala.Option.empty();
    }

    private ReplicaManager replicaManager() {
        return Act.as(ReplicaManager.class).on("onlinePartition", this::noneOnceDeleted).object();
    }

    private LogManager logManager() {
        return Act.as(LogManager.class)
            .on("getLog", this::noneOnceDeleted)
            .on("getLog$default$2", call -> false)
            .on("liveLogDirs", call ->
                scala.jdk.javaapi.CollectionConverters.asScala(List.of()).toSeq())
            .object();
    }

    private KafkaApis requestProcessor() {
        return Act.as(KafkaApis.class)
            .on("isConsumerGroupProtocolEnabled", call -> asked(admin -> admin.describeFeatures()
                .featureMetadata().toCompletionStage().toCompletableFuture().join()
                .finalizedFeatures().containsKey("group.version")))
            .object();
    }

    private GroupCoordinator groupCoordinator() {
        Properties configs = new Properties();
        configs.put("cleanup.policy", "compact");
        configs.put("compression.type", "producer");
        configs.put("segment.bytes",
            Integer.toString(config.groupCoordinatorConfig().offsetsTopicSegmentBytes()));
        return Act.as(GroupCoordinator.class)
            .on("groupMetadataTopicConfigs", call -> configs).object();
    }

    private scala.Option<Plugin<Authorizer>> authorizer() {
        String name = "authorizer.class.name";
        if (config.originals().getOrDefault(name, "").equals("")) {
            return scala.Option.empty();
        }
        Authorizer authorizer = Act.as(Authorizer.class)
            .on("acls", call -> asked(admin -> admin.describeAcls(call.getArgument(0)).values()
                .toCompletionStage().toCompletableFuture().join()))
            .object();
        return scala.Option.apply(Plugin.wrapInstance(authorizer, null, name));
    }

    /**
     * Tests wait until every broker has applied the whole metadata log. Each broker's image was
     * looked at over the wire just before, so the log may count as empty.
     */
    private KafkaRaftManager<?> raftManager() {
        RaftLog log = Act.as(RaftLog.class)
            .on("endOffset", call -> new LogOffsetMetadata(0)).object();
        KafkaRaftClient<?> client = Act.as(KafkaRaftClient.class)
            .on("leaderAndEpoch", call -> leaderAndEpoch()).object();
        return Act.as(KafkaRaftManager.class)
            .on("raftLog", call -> log).on("client", call -> client).object();
    }

    private static SharedServer sharedServer() {
        MetadataLoader loader = Act.as(MetadataLoader.class)
            .on("lastAppliedOffset", call -> 0L).object();
        return Act.as(SharedServer.class).on("loader", call -> loader).object();
    }
}
