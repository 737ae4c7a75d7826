package io.ottla.suites;

import static org.junit.platform.engine.discovery.ClassNameFilter.includeClassNamePatterns;
import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClass;

import org.junit.platform.engine.FilterResult;
import org.junit.platform.engine.TestDescriptor;
import org.junit.platform.engine.support.descriptor.MethodSource;
import org.junit.platform.launcher.Launcher;
import org.junit.platform.launcher.PostDiscoveryFilter;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;

import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Pattern;

/**
 * Runs the classes that it reads, one a line: {@code CLASS TAB METHODS TAB LEFT-OUT}, both of them
 * regular expressions, empty for all and for none. What becomes of each test is a line of its
 * answer (see {@link Report}); {@code end} follows when the class is over. What tests print goes to
 * the log of their class.
 */
public final class Worker {
    private static final Path LOGS = Path.of(System.getProperty("ottla.logs"));

    /** By what a test wants of a cluster: whether its controllers were in the brokers. */
    private static final Map<String, Boolean> WISHES = new ConcurrentHashMap<>();

    private static final PrintStream ANSWERS = new PrintStream(
        new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);

    private static volatile String currentTest = "";

    private Worker() {
    }

    /** Serves until its input ends. */
    public static void main(String[] arguments) throws IOException {
        Output output = new Output();
        PrintStream log = new PrintStream(output, true, StandardCharsets.UTF_8);
        System.setOut(log);
        System.setErr(log);
        Launcher launcher = LauncherFactory.create();
        BufferedReader requests =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = requests.readLine(); line != null; line = requests.readLine()) {
            String[] request = line.split("\t", -1);
            output.open(LOGS.resolve(request[0] + ".log"));
            run(launcher, request[0], request[1], request[2]);
            answer("end");
        }
        // a test may have left threads behind
        System.exit(0);
    }

    private static void run(Launcher launcher, String name, String methods, String leftOut) {
        try {
            Class<?> type = Class.forName(name, false, Worker.class.getClassLoader());
            launcher.execute(LauncherDiscoveryRequestBuilder.request()
                .selectors(selectClass(type))
                .filters(includeClassNamePatterns(".*"), named(methods, leftOut))
                .configurationParameter("junit.jupiter.extensions.autodetection.enabled", "true")
                .build(), new Report());
        } catch (Throwable failure) {
            failure.printStackTrace();
            answer("test", name, "(class)", "failed", "0", Report.sentence(failure));
        }
    }

    private static PostDiscoveryFilter named(String wanted, String leftOut) {
        Pattern only = Pattern.compile(wanted.isEmpty() ? ".*" : wanted);
        Pattern not = Pattern.compile(leftOut);
        return (TestDescriptor test) -> {
            String method = test.getSource().filter(MethodSource.class::isInstance)
                .map(source -> ((MethodSource) source).getMethodName()).orElse(null);
            boolean runs = method == null
                || only.matcher(method).matches() && !not.matcher(method).matches();
            return FilterResult.includedIf(runs);
        };
    }

    /** One line to whoever started this. */
    static synchronized void answer(String... fields) {
        StringBuilder line = new StringBuilder();
        for (String field : fields) {
            line.append(line.isEmpty() ? "" : "\t").append(field.replaceAll("\\s+", " "));
        }
        ANSWERS.println(line);
    }

    /** Tells of a property that the broker was started without. */
    static void refused(String name, String value, String why) {
        answer("refused", name, value, why);
    }

    static void begins(String test) {
        currentTest = test;
    }

    /** The class and the method that run. */
    public static String currentTest() {
        return currentTest;
    }

    /** Whether a cluster of this kind was made, with controllers in the other place. */
    public static boolean hasRunWithOtherPlaceOfControllers(String wish, boolean combined) {
        Boolean first = WISHES.putIfAbsent(wish, combined);
        return first != null && first != combined;
    }

    static Path logOfBroker(int id) {
        String file = currentTest.replaceAll("[^A-Za-z0-9.#_-]+", "_") + "-" + id + ".log";
        return LOGS.resolve("brokers").resolve(file);
    }

    /** What is printed, to the file of the class that runs. */
    private static final class Output extends OutputStream {
        private volatile OutputStream file = OutputStream.nullOutputStream();

        void open(Path path) throws IOException {
            file.close();
            file = new FileOutputStream(path.toFile(), true);
        }

        @Override
        public void write(int oneByte) throws IOException {
            file.write(oneByte);
        }

        @Override
        public void write(byte[] bytes, int from, int length) throws IOException {
            file.write(bytes, from, length);
        }
    }
}
