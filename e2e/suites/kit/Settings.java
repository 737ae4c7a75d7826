package io.ottla.suites;

import org.apache.kafka.common.config.types.Password;
import org.apache.kafka.common.security.auth.SecurityProtocol;
import org.apache.kafka.common.test.JaasUtils;
import org.apache.kafka.common.test.TestKitNode;
import org.apache.kafka.common.test.TestKitNodes;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.stream.Collectors;

/** The properties of a node: what the test asks for, and what makes a cluster of processes. */
public final class Settings {
    /** The kernel hands these out to nobody by itself, so a broker finds its port free again. */
    private static final int PORT_MIN = 10_000;
    private static final int PORT_MAX = 31_999;

    /** The listener for other brokers, where that of clients has logins. */
    private static final String BETWEEN = "BETWEEN";

    private final SortedMap<String, String> properties = new TreeMap<>();
    private final Map<String, Integer> ports = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
    private final String controllerListener;

    private Settings(String controllerListener) {
        this.controllerListener = controllerListener;
    }

    /** For a broker, which may be a controller too. */
    public static Settings of(TestKitNodes nodes, TestKitNode node, Map<String, Object> asked)
            throws IOException {
        Settings settings = common(nodes, node, asked);
        settings.put("log.dirs", String.join(",", node.logDataDirectories()));
        settings.openPorts();
        return settings;
    }

    /** For a controller that is no broker. */
    public static Settings ofController(
            TestKitNodes nodes, TestKitNode node, Map<String, Object> asked) throws IOException {
        Settings settings = common(nodes, node, asked);
        settings.put("log.dirs", node.metadataDirectory());
        settings.put("listeners", settings.controllerListener + "://localhost:0");
        settings.remove("advertised.listeners");
        settings.remove("inter.broker.listener.name");
        settings.openPorts();
        return settings;
    }

    /** Its own properties win over those of all, and both over what tests expect. */
    private static Settings common(
            TestKitNodes nodes, TestKitNode node, Map<String, Object> asked) {
        Settings settings = new Settings(nodes.controllerListenerName().value());
        Map<String, String> properties = settings.properties;
        properties.putAll(expected(nodes));
        asked.forEach((name, value) -> properties.put(name, text(value)));
        properties.putAll(node.propertyOverrides());
        properties.put("node.id", Integer.toString(node.id()));
        properties.put("cluster.id", nodes.clusterId());
        return settings;
    }

    /** Kafka's defaults where those of Ottla differ, and the listeners as the test names them. */
    private static Map<String, String> expected(TestKitNodes nodes) {
        Map<String, String> properties = new TreeMap<>();
        String clients = nodes.brokerListenerName().value();
        String controllers = nodes.controllerListenerName().value();
        properties.put("auto.create.topics.enable", "true");
        properties.put("unstable.api.versions.enable", "true");
        properties.put("unstable.feature.versions.enable", "true");
        properties.put("listeners", clients + "://localhost:0");
        properties.put("inter.broker.listener.name", clients);
        properties.put("controller.listener.names", controllers);
        properties.put("listener.security.protocol.map",
            clients + ":" + nodes.brokerListenerProtocol().name
                + "," + controllers + ":" + SecurityProtocol.PLAINTEXT.name
                + "," + BETWEEN + ":" + SecurityProtocol.PLAINTEXT.name);
        if (nodes.brokerListenerProtocol() == SecurityProtocol.SASL_PLAINTEXT) {
            // brokers know one another by certificates or not at all
            properties.put("listeners",
                clients + "://localhost:0," + BETWEEN + "://localhost:0");
            properties.put("inter.broker.listener.name", BETWEEN);
            properties.put("sasl.enabled.mechanisms", "PLAIN");
            properties.put("authorizer.class.name",
                "org.apache.kafka.metadata.authorizer.StandardAuthorizer");
            properties.put("super.users", "User:" + JaasUtils.KAFKA_PLAIN_ADMIN);
            properties.put(jaasOf(clients), Login.ofListener());
        }
        return properties;
    }

    private static String jaasOf(String listener) {
        return "listener.name." + listener.toLowerCase(Locale.ROOT) + ".plain.sasl.jaas.config";
    }

    private static String text(Object value) {
        return value instanceof Password password ? password.value() : String.valueOf(value);
    }

    /** Each listener gets a port that is known before the start, and the controller one. */
    private void openPorts() throws IOException {
        List<String> listeners = new ArrayList<>();
        Collections.addAll(listeners, properties.get("listeners").split("\\s*,\\s*"));
        if (listeners.stream().noneMatch(one -> one.startsWith(controllerListener + "://"))) {
            listeners.add(controllerListener + "://localhost:0");
        }
        listeners.replaceAll(one ->
            one.endsWith(":0") ? one.replaceAll("0$", Integer.toString(freePort())) : one);
        for (String one : listeners) {
            String[] parts = one.split(":");
            ports.put(parts[0], Integer.valueOf(parts[parts.length - 1]));
        }
        properties.put("listeners", String.join(",", listeners));
        // where the test advertises another host, the controllers' is the machine's all the same
        String own = controllerListener + "://localhost:" + ports.get(controllerListener);
        properties.computeIfPresent("advertised.listeners",
            (name, advertised) -> advertised + "," + own);
    }

    private static int freePort() {
        for (;;) {
            int port = ThreadLocalRandom.current().nextInt(PORT_MIN, PORT_MAX + 1);
            try (ServerSocket probe =
                    new ServerSocket(port, 1, InetAddress.getLoopbackAddress())) {
                return probe.getLocalPort();
            } catch (IOException taken) {
                // the next one then
            }
        }
    }

    /** Makes it a member of the cluster. */
    public void join(boolean isBroker, boolean votes, String quorum) {
        String role = isBroker ? "broker" : "controller";
        properties.put("process.roles", isBroker && votes ? "broker,controller" : role);
        properties.put("controller.quorum.voters", quorum);
        if (votes) {
            // Kafka's default, which a broker's file would turn into what its user has chosen
            properties.putIfAbsent("default.replication.factor", "1");
        }
    }

    /** As {@code controller.quorum.voters} names it. */
    public String voter(int id) {
        return id + "@localhost:" + ports.get(controllerListener);
    }

    /** The port of a listener, 0 where there is none. */
    int port(String listener) {
        return ports.getOrDefault(listener, 0);
    }

    /** As Kafka's own configuration reads them: only a voter listens as a controller. */
    SortedMap<String, String> forKafka() {
        SortedMap<String, String> all = new TreeMap<>(properties);
        if ("broker".equals(all.get("process.roles"))) {
            String clients = List.of(all.get("listeners").split(",")).stream()
                .filter(one -> !one.startsWith(controllerListener + "://"))
                .collect(Collectors.joining(","));
            all.put("listeners", clients);
            all.computeIfPresent("advertised.listeners", (name, advertised) ->
                advertised.replaceAll("," + controllerListener + "://[^,]*$", ""));
        }
        return all;
    }

    /** As the broker's file has them, a line each. */
    List<String> lines() {
        return properties.entrySet().stream()
            .map(one -> one.getKey() + "=" + one.getValue().replaceAll("\\s*\\R\\s*", " "))
            .toList();
    }

    String get(String name) {
        return properties.get(name);
    }

    void put(String name, String value) {
        properties.put(name, value);
    }

    void remove(String name) {
        properties.remove(name);
    }
}
