package io.ottla.proofs;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.streams.tests.SmokeTestDriver;

/**
 * Kafka Streams' own SmokeTestDriver, for as long as it is told: BOOTSTRAP RECORDS_PER_KEY SECONDS.
 * The last line of what it verified is SUCCESS or FAILURE.
 */
public final class StreamsDriver {
  private static final int KEYS = 10;
  private static final int PARTITIONS = 5;
  private static final short REPLICAS = 3;

  public static void main(String[] args) throws Exception {
    String bootstrap = args[0];
    int records = Integer.parseInt(args[1]);
    Duration duration = Duration.ofSeconds(Long.parseLong(args[2]));
    List<NewTopic> topics = new ArrayList<>();
    for (String topic : SmokeTestDriver.topics()) {
      topics.add(new NewTopic(topic, PARTITIONS, REPLICAS));
    }
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
      admin.createTopics(topics).all().get();
    }
    System.out.println("topics are there");
    Map<String, Set<Integer>> sent = SmokeTestDriver.generate(bootstrap, KEYS, records, duration);
    System.out.println("all is sent");
    SmokeTestDriver.verify(bootstrap, sent, records, true);
  }
}
