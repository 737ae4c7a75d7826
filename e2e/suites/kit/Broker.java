package io.ottla.suites;

import kafka.server.KafkaConfig;

import org.apache.kafka.common.Node;
import org.apache.kafka.common.message.SaslAuthenticateRequestData;
import org.apache.kafka.common.message.SaslHandshakeRequestData;
import org.apache.kafka.common.requests.MetadataRequest;
import org.apache.kafka.common.requests.MetadataResponse;
import org.apache.kafka.common.requests.SaslAuthenticateRequest;
import org.apache.kafka.common.requests.SaslHandshakeRequest;
import org.apache.kafka.common.security.auth.SecurityProtocol;
import org.apache.kafka.common.test.TestKitNodes;
import org.apache.kafka.server.IntegrationTestUtils;

import java.io.IOException;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * One broker or one controller, a process. Stopped and started again it has the same data and the
 * same ports.
 */
public final class Broker {
    private static final String BINARY = System.getProperty("ottla.broker");
    private static final String FILE = "server.properties";
    private static final long START_MAX_SECONDS = 30;
    private static final int ANSWER_MAX_MS = 10_000;

    /** What {@code --check} says of a line that it does not take. */
    private static final Pattern REFUSAL = Pattern.compile(Pattern.quote(FILE) + ":(\\d+): (.*)");

    /** Names that no broker takes, whatever their value: asked once a JVM. */
    private static final Set<String> UNKNOWN = ConcurrentHashMap.newKeySet();

    private final int id;
    private final Settings settings;
    private final TestKitNodes nodes;
    private final Path folder;
    private Process process;

    /** Not yet started. */
    public Broker(int id, Settings settings, TestKitNodes nodes) {
        this.id = id;
        this.settings = settings;
        this.nodes = nodes;
        this.folder = Path.of(nodes.baseDirectory(), "ottla-" + id);
    }

    /** Its {@code node.id}. */
    public int id() {
        return id;
    }

    /** Where clients connect. */
    public String address() {
        return "localhost:" + port();
    }

    /** Where clients of controllers connect. */
    public String controllerAddress() {
        return "localhost:" + port(nodes.controllerListenerName().value());
    }

    int port() {
        return port(nodes.brokerListenerName().value());
    }

    int port(String listener) {
        return settings.port(listener);
    }

    /** Kafka's own reading of the same properties, for tests that look at it. */
    KafkaConfig config() {
        return new KafkaConfig(settings.forKafka(), false);
    }

    /** Whether the process is there. */
    public boolean isRunning() {
        return process != null && process.isAlive();
    }

    /** Starts the process and does not wait for it to serve. */
    public void start() throws Exception {
        if (isRunning()) {
            return;
        }
        Files.createDirectories(folder);
        settings.put("ottla.http.listener", "");
        leaveOutWhatIsRefused();
        process = command("--config", FILE)
            .redirectOutput(ProcessBuilder.Redirect.appendTo(log().toFile())).start();
        // the JVM may be ended in the midst of a test
        Runtime.getRuntime().addShutdownHook(new Thread(process::destroyForcibly));
    }

    private ProcessBuilder command(String... arguments) {
        ProcessBuilder command = new ProcessBuilder(BINARY).directory(folder.toFile());
        command.command().addAll(List.of(arguments));
        return command.redirectErrorStream(true);
    }

    private Path log() {
        return Worker.logOfBroker(id);
    }

    /** Writes the file; a property that the broker refuses is left out, and told. */
    private void leaveOutWhatIsRefused() throws Exception {
        if (Files.exists(folder.resolve(FILE))) {
            // a cluster begins anew with the folders of another one, whose id they have
            settings.remove("cluster.id");
        }
        UNKNOWN.forEach(settings::remove);
        String directories = settings.get("log.dirs");
        if (directories.contains(",")) {
            settings.put("log.dirs", directories.substring(0, directories.indexOf(',')));
            Worker.refused("log.dirs", directories, "several");
        }
        for (;;) {
            List<String> lines = settings.lines();
            Files.write(folder.resolve(FILE), lines);
            Process check = command("--check", "--config", FILE).start();
            String said = new String(check.getInputStream().readAllBytes());
            if (check.waitFor() == 0) {
                return;
            }
            Matcher refusal = REFUSAL.matcher(said);
            if (!refusal.find()) {
                throw new IllegalStateException("the broker takes no such file: " + said);
            }
            String[] line = lines.get(Integer.parseInt(refusal.group(1)) - 1).split("=", 2);
            if (refusal.group(2).startsWith("unknown setting")) {
                UNKNOWN.add(line[0]);
            }
            settings.remove(line[0]);
            Worker.refused(line[0], line[1], refusal.group(2));
        }
    }

    /** Until its metadata names all of these brokers. */
    public void awaitBrokers(Collection<Integer> ids) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(START_MAX_SECONDS);
        String state = "has not answered";
        while (isRunning() && System.nanoTime() < end) {
            try {
                List<Integer> listed =
                    metadata(List.of()).brokers().stream().map(Node::id).toList();
                if (listed.containsAll(ids)) {
                    return;
                }
                state = "lists " + listed + " of " + ids;
            } catch (IOException notYet) {
                state = notYet.toString();
            }
            TimeUnit.MILLISECONDS.sleep(10);
        }
        String how = isRunning() ? "is not ready" : "has ended";
        throw new IllegalStateException("broker " + id + " " + how + " (" + state + "): " + log());
    }

    /** SIGTERM, as whoever runs a broker stops it; it hands over what it leads. */
    void stop() throws InterruptedException {
        if (isRunning()) {
            process.destroy();
            process.waitFor();
        }
    }

    /** SIGKILL. */
    public void kill() throws InterruptedException {
        if (process != null) {
            process.destroyForcibly().waitFor();
        }
    }

    /** What this broker says of these topics; null for all there are. */
    MetadataResponse metadata(List<String> topics) throws IOException {
        try (Socket socket = IntegrationTestUtils.connect(port())) {
            socket.setSoTimeout(ANSWER_MAX_MS);
            if (nodes.brokerListenerProtocol() == SecurityProtocol.SASL_PLAINTEXT) {
                logIn(socket);
            }
            return IntegrationTestUtils.sendAndReceive(
                new MetadataRequest.Builder(topics, false).build(), socket);
        }
    }

    private static void logIn(Socket socket) throws IOException {
        SaslHandshakeRequestData handshake = new SaslHandshakeRequestData().setMechanism("PLAIN");
        SaslAuthenticateRequestData login =
            new SaslAuthenticateRequestData().setAuthBytes(Login.token());
        IntegrationTestUtils.sendAndReceive(
            new SaslHandshakeRequest.Builder(handshake).build(), socket);
        IntegrationTestUtils.sendAndReceive(
            new SaslAuthenticateRequest.Builder(login).build(), socket);
    }
}
