package org.apache.kafka.common.test;

import io.ottla.suites.Broker;
import io.ottla.suites.Login;
import io.ottla.suites.Settings;
import io.ottla.suites.StandIn;
import io.ottla.suites.Worker;

import kafka.raft.KafkaRaftManager;
import kafka.server.BrokerServer;
import kafka.server.ControllerServer;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.FeatureUpdate;
import org.apache.kafka.clients.admin.UpdateFeaturesOptions;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.security.auth.SecurityProtocol;
import org.apache.kafka.common.utils.Utils;
import org.apache.kafka.controller.Controller;
import org.apache.kafka.server.common.ApiMessageAndVersion;
import org.apache.kafka.server.common.Feature;

import org.opentest4j.TestAbortedException;

import java.io.File;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/**
 * The class of this name in Kafka's test jars starts a cluster in the JVM of the test. This one,
 * first on the class path, starts processes of ottla-broker. Tests get all addresses from it.
 */
public class KafkaClusterTestKit implements AutoCloseable {
    /** Takes what a test asks for. */
    public static class Builder {
        private final TestKitNodes nodes;
        private final Map<String, Object> asked = new TreeMap<>();
        private boolean deletes = true;

        /** For these brokers and controllers. */
        public Builder(TestKitNodes nodes) {
            this.nodes = nodes;
        }

        /** A property of all nodes. */
        public Builder setConfigProp(String name, Object value) {
            asked.put(name, value);
            return this;
        }

        /** Says how a quorum is formatted, which brokers here do by themselves. */
        public Builder setStandalone(boolean standalone) {
            return this;
        }

        /** As {@link #setStandalone}. */
        public Builder setInitialVoterSet(Map<Integer, Uuid> voters) {
            return this;
        }

        /** Whether the data goes with the cluster. */
        public Builder setDeleteOnClose(boolean deletes) {
            this.deletes = deletes;
            return this;
        }

        /**
         * The cluster, not yet started. Kafka runs a test with controllers beside the brokers and
         * again with controllers in them, which is the same code here: the second ends at once.
         */
        public KafkaClusterTestKit build() throws Exception {
            List<?> own = nodes.brokerNodes().values().stream()
                .map(TestKitNode::propertyOverrides).toList();
            String wish = String.join("|", Worker.currentTest(), asked.toString(), own.toString(),
                nodes.bootstrapMetadata().records().toString());
            boolean combined =
                nodes.controllerNodes().keySet().stream().anyMatch(nodes::isCombined);
            if (Worker.hasRunWithOtherPlaceOfControllers(wish, combined)) {
                throw new TestAbortedException("has run: only the controllers' place differs");
            }
            return new KafkaClusterTestKit(nodes, asked, deletes);
        }
    }

    private static final int POLL_MS = 20;

    /** Features whose levels go down. */
    private static final List<Feature> FEATURES =
        List.of(Feature.TRANSACTION_VERSION, Feature.GROUP_VERSION,
            Feature.ELIGIBLE_LEADER_REPLICAS_VERSION);

    private final TestKitNodes nodes;
    private final boolean deletes;
    /** Of brokers and controllers. */
    private final SortedMap<Integer, Broker> processes = new TreeMap<>();
    private final List<Integer> voters;
    private final Map<Integer, BrokerServer> brokers = new TreeMap<>();
    private final Map<Integer, ControllerServer> controllers = new TreeMap<>();
    private final MockFaultHandler fatal = new MockFaultHandler("fatal");
    private final MockFaultHandler nonFatal = new MockFaultHandler("nonFatal");

    private KafkaClusterTestKit(TestKitNodes nodes, Map<String, Object> asked, boolean deletes)
            throws Exception {
        this.nodes = nodes;
        this.deletes = deletes;
        this.voters = List.copyOf(nodes.controllerNodes().keySet());
        SortedMap<Integer, Settings> settings = new TreeMap<>();
        for (TestKitNode node : nodes.controllerNodes().values()) {
            settings.put(node.id(), Settings.ofController(nodes, node, asked));
        }
        for (TestKitNode node : nodes.brokerNodes().values()) {
            settings.put(node.id(), Settings.of(nodes, node, asked));
        }
        String quorum = voters.stream().map(id -> settings.get(id).voter(id))
            .collect(Collectors.joining(","));
        settings.forEach((id, own) -> {
            own.join(nodes.brokerNodes().containsKey(id), voters.contains(id), quorum);
            processes.put(id, new Broker(id, own, nodes));
        });
        for (int id : nodes.brokerNodes().keySet()) {
            brokers.put(id, StandIn.ofBroker(this, processes.get(id)));
        }
        for (int id : voters) {
            controllers.put(id, StandIn.ofController(this, processes.get(id)));
        }
    }

    /** A broker formats its folder when it starts. */
    public void format() {
    }

    /** Starts all brokers and waits until they know one another. */
    public void startup() throws Exception {
        try {
            for (Broker broker : processes.values()) {
                broker.start();
            }
            waitForReadyBrokers();
            setFeatures();
        } catch (Exception failure) {
            // a test does not close what has not started
            close();
            throw failure;
        }
    }

    /** The levels that the test asks for; new clusters have the newest. */
    private void setFeatures() throws Exception {
        Map<String, FeatureUpdate> updates = new HashMap<>();
        for (Feature feature : FEATURES) {
            short wanted = nodes.bootstrapMetadata().featureLevel(feature.featureName());
            if (wanted < feature.latestProduction()) {
                updates.put(feature.featureName(),
                    new FeatureUpdate(wanted, FeatureUpdate.UpgradeType.SAFE_DOWNGRADE));
            }
        }
        if (!updates.isEmpty()) {
            try (Admin admin = admin()) {
                admin.updateFeatures(updates, new UpdateFeaturesOptions()).all().get();
            }
        }
    }

    /** Until each broker that runs lists all that run. Without a quorum none can. */
    public void waitForReadyBrokers() throws InterruptedException {
        long alive = voters.stream().filter(id -> processes.get(id).isRunning()).count();
        if (alive * 2 <= voters.size()) {
            return;
        }
        List<Broker> running = brokers.keySet().stream().map(processes::get)
            .filter(Broker::isRunning).toList();
        List<Integer> ids = running.stream().map(Broker::id).toList();
        for (Broker broker : running) {
            broker.awaitBrokers(ids);
        }
    }

    @Override
    public void close() throws Exception {
        for (Broker broker : processes.values()) {
            broker.kill();
        }
        if (deletes) {
            Utils.delete(new File(nodes.baseDirectory()));
        }
    }

    /** Where clients connect. */
    public String bootstrapServers() {
        return brokers.keySet().stream().map(id -> processes.get(id).address())
            .collect(Collectors.joining(","));
    }

    /** Where clients of controllers connect. */
    public String bootstrapControllers() {
        return voters.stream().map(id -> processes.get(id).controllerAddress())
            .collect(Collectors.joining(","));
    }

    /** A client for administration. */
    public Admin admin() {
        return admin(Map.of());
    }

    /** One with these configs. */
    public Admin admin(Map<String, Object> configs) {
        return admin(configs, false);
    }

    /** One that asks the brokers, or the controllers. */
    public Admin admin(Map<String, Object> configs, boolean asksControllers) {
        Map<String, Object> all = new HashMap<>(configs);
        if (asksControllers) {
            all.putIfAbsent("bootstrap.controllers", bootstrapControllers());
        } else {
            all.putIfAbsent("bootstrap.servers", bootstrapServers());
        }
        boolean hasLogins = nodes.brokerListenerProtocol() == SecurityProtocol.SASL_PLAINTEXT;
        if (hasLogins && !asksControllers) {
            Login.ofAdmin().forEach(all::putIfAbsent);
        }
        return Admin.create(all);
    }

    /** Stand-ins for the controllers. */
    public Map<Integer, ControllerServer> controllers() {
        return controllers;
    }

    /** Stand-ins for the brokers. */
    public Map<Integer, BrokerServer> brokers() {
        return brokers;
    }

    /** A stand-in for the active controller, once there is one. */
    public Controller waitForActiveController() throws InterruptedException {
        for (;;) {
            for (ControllerServer server : controllers.values()) {
                if (server.controller().isActive()) {
                    return server.controller();
                }
            }
            TimeUnit.MILLISECONDS.sleep(POLL_MS);
        }
    }

    /** Stand-ins for the quorum's members, which brokers are too. */
    public Map<Integer, KafkaRaftManager<ApiMessageAndVersion>> raftManagers() {
        Map<Integer, KafkaRaftManager<ApiMessageAndVersion>> managers = new TreeMap<>();
        ControllerServer any = controllers.values().iterator().next();
        processes.keySet().forEach(id ->
            managers.put(id, controllers.getOrDefault(id, any).raftManager()));
        return managers;
    }

    /** What the test asked for. */
    public TestKitNodes nodes() {
        return nodes;
    }

    /** Nothing in this JVM reports a fault. */
    public MockFaultHandler fatalFaultHandler() {
        return fatal;
    }

    /** As {@link #fatalFaultHandler}. */
    public MockFaultHandler nonFatalFaultHandler() {
        return nonFatal;
    }
}
