package io.ottla.suites;

import static org.apache.kafka.common.test.JaasUtils.KAFKA_PLAIN_ADMIN;
import static org.apache.kafka.common.test.JaasUtils.KAFKA_PLAIN_ADMIN_PASSWORD;
import static org.apache.kafka.common.test.JaasUtils.KAFKA_PLAIN_USER1;
import static org.apache.kafka.common.test.JaasUtils.KAFKA_PLAIN_USER1_PASSWORD;

import java.util.Map;

/** The users of tests with passwords, as clients and brokers have them configured. */
public final class Login {
    private static final String MODULE =
        "org.apache.kafka.common.security.plain.PlainLoginModule required ";

    private Login() {
    }

    /** What a client of the administrator is configured with. */
    public static Map<String, String> ofAdmin() {
        return Map.of("security.protocol", "SASL_PLAINTEXT", "sasl.mechanism", "PLAIN",
            "sasl.jaas.config", MODULE + self() + ";");
    }

    /** What a listener is configured with: who may log in. */
    static String ofListener() {
        return MODULE + self() + user(KAFKA_PLAIN_ADMIN, KAFKA_PLAIN_ADMIN_PASSWORD)
            + user(KAFKA_PLAIN_USER1, KAFKA_PLAIN_USER1_PASSWORD) + ";";
    }

    /** What the PLAIN mechanism sends. */
    static byte[] token() {
        return ("\0" + KAFKA_PLAIN_ADMIN + "\0" + KAFKA_PLAIN_ADMIN_PASSWORD).getBytes();
    }

    private static String self() {
        return "username=\"" + KAFKA_PLAIN_ADMIN + "\" password=\"" + KAFKA_PLAIN_ADMIN_PASSWORD
            + "\"";
    }

    private static String user(String name, String password) {
        return " user_" + name + "=\"" + password + "\"";
    }
}
