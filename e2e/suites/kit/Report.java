package io.ottla.suites;

import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.engine.support.descriptor.ClassSource;
import org.junit.platform.engine.support.descriptor.MethodSource;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.TestPlan;

import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;

/**
 * Answers {@code begin CLASS METHOD} and {@code test CLASS METHOD OUTCOME SECONDS WHY}. Of an
 * outcome there are passed, failed, internals (it asked for what is inside a broker) and skipped.
 */
final class Report implements TestExecutionListener {
    private static final int DEPTH_MAX = 8;
    private static final int CHARACTERS_MAX = 400;

    private final Map<String, Long> begun = new HashMap<>();
    private TestPlan plan;

    @Override
    public void testPlanExecutionStarted(TestPlan all) {
        plan = all;
    }

    @Override
    public void executionStarted(TestIdentifier test) {
        begun.put(test.getUniqueId(), System.nanoTime());
        Worker.begins(type(test) + "#" + method(test));
        if (test.isTest()) {
            Worker.answer("begin", type(test), method(test));
        }
    }

    @Override
    public void executionSkipped(TestIdentifier test, String reason) {
        tell(test, "skipped", 0, reason);
    }

    @Override
    public void executionFinished(TestIdentifier test, TestExecutionResult result) {
        double seconds = (System.nanoTime() - begun.get(test.getUniqueId())) / 1e9;
        Throwable failure = result.getThrowable().orElse(null);
        if (result.getStatus() == TestExecutionResult.Status.ABORTED) {
            tell(test, "skipped", seconds, sentence(failure));
        } else if (result.getStatus() == TestExecutionResult.Status.FAILED) {
            failure.printStackTrace();
            tell(test, isOutOfReach(failure) ? "internals" : "failed", seconds, sentence(failure));
        } else if (test.isTest()) {
            tell(test, "passed", seconds, "");
        }
    }

    /** A class or a template that ends early takes its tests with it; those that ran have told. */
    private void tell(TestIdentifier test, String outcome, double seconds, String why) {
        if (!test.isTest()) {
            Set<TestIdentifier> inside = plan.getDescendants(test);
            if (inside.stream().anyMatch(one -> begun.containsKey(one.getUniqueId()))) {
                return;
            }
            for (TestIdentifier one : inside) {
                answer(one, outcome, 0, why);
            }
            if (!inside.isEmpty()) {
                return;
            }
        }
        answer(test, outcome, seconds, why);
    }

    private static void answer(TestIdentifier test, String outcome, double seconds, String why) {
        Worker.answer("test", type(test), method(test), outcome,
            String.format("%.1f", seconds), why);
    }

    private static String type(TestIdentifier test) {
        Object source = test.getSource().orElse(null);
        if (source instanceof MethodSource method) {
            return method.getClassName();
        }
        return source instanceof ClassSource type ? type.getClassName() : "";
    }

    private static String method(TestIdentifier test) {
        return test.getSource().filter(MethodSource.class::isInstance)
            .map(source -> ((MethodSource) source).getMethodName()).orElse("(class)");
    }

    /** The first line of each failure in the chain. */
    static String sentence(Throwable failure) {
        Set<String> parts = new LinkedHashSet<>();
        int depth = 0;
        for (Throwable one = failure; one != null && depth < DEPTH_MAX; one = one.getCause()) {
            String said = one.getMessage() == null ? "" : one.getMessage().strip();
            parts.add(one.getClass().getSimpleName() + ": " + said.lines().findFirst().orElse(""));
            depth += 1;
        }
        String all = String.join("; ", parts);
        return all.substring(0, Math.min(all.length(), CHARACTERS_MAX));
    }

    private static boolean isOutOfReach(Throwable failure) {
        int depth = 0;
        for (Throwable one = failure; one != null && depth < DEPTH_MAX; one = one.getCause()) {
            if (one instanceof Act.OutOfReach) {
                return true;
            }
            for (Throwable hidden : one.getSuppressed()) {
                if (hidden instanceof Act.OutOfReach) {
                    return true;
                }
            }
            depth += 1;
        }
        return false;
    }
}
