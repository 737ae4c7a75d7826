package io.ottla.suites;

import org.apache.kafka.common.test.api.ClusterTemplate;
import org.apache.kafka.common.test.api.ClusterTest;
import org.apache.kafka.common.test.api.ClusterTests;

import java.io.IOException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.Arrays;
import java.util.List;
import java.util.jar.JarFile;

/** Prints the classes of each jar that have tests on the cluster of KafkaClusterTestKit. */
public final class Catalogue {
    private Catalogue() {
    }

    /** A jar each. */
    public static void main(String[] jars) throws IOException {
        for (String path : jars) {
            try (JarFile jar = new JarFile(path)) {
                jar.stream().map(entry -> entry.getName())
                    .filter(name -> name.endsWith("Test.class"))
                    .map(name -> name.replace('/', '.').replaceAll("\\.class$", ""))
                    .filter(Catalogue::isOnCluster).sorted().forEach(System.out::println);
            }
        }
    }

    private static boolean isOnCluster(String name) {
        try {
            Class<?> type = Class.forName(name, false, Catalogue.class.getClassLoader());
            List<Method> methods = Arrays.asList(type.getDeclaredMethods());
            if (name.contains("$")) {
                // the same tests once more, on a cluster with other settings
                return Modifier.isStatic(type.getModifiers()) && type.getSuperclass() != null
                    && isOnCluster(type.getSuperclass().getName());
            }
            return !Modifier.isAbstract(type.getModifiers())
                && (methods.stream().anyMatch(Catalogue::isTest) || mentionsKit(type, methods));
        } catch (ClassNotFoundException | LinkageError ofAnotherModule) {
            return false;
        }
    }

    private static boolean isTest(Method method) {
        return method.isAnnotationPresent(ClusterTest.class)
            || method.isAnnotationPresent(ClusterTests.class)
            || method.isAnnotationPresent(ClusterTemplate.class);
    }

    /** A class that keeps its cluster itself has the kit in a field or in what it hands around. */
    private static boolean mentionsKit(Class<?> type, List<Method> methods) {
        String kit = "org.apache.kafka.common.test.KafkaClusterTestKit";
        return Arrays.stream(type.getDeclaredFields())
                .anyMatch(field -> field.getType().getName().equals(kit))
            || methods.stream().flatMap(method -> Arrays.stream(method.getParameterTypes()))
                .anyMatch(parameter -> parameter.getName().equals(kit));
    }
}
