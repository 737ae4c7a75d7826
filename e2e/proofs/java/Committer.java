package io.ottla.proofs;

import java.util.Arrays;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * Commits one transaction after the other: BOOTSTRAP TOPIC TRANSACTIONS RECORDS_EACH RECORD_BYTES.
 * Ends with the summary of Kafka's ProducerPerformance, but its latencies are those of whole
 * transactions, from their begin to the end of their commit.
 */
public final class Committer {
  public static void main(String[] args) {
    String topic = args[1];
    int transactions = Integer.parseInt(args[2]);
    int each = Integer.parseInt(args[3]);
    byte[] value = new byte[Integer.parseInt(args[4])];
    Properties properties = new Properties();
    properties.put("bootstrap.servers", args[0]);
    properties.put("transactional.id", "committer");
    properties.put("batch.size", 65536);
    String serializer = "org.apache.kafka.common.serialization.ByteArraySerializer";
    properties.put("key.serializer", serializer);
    properties.put("value.serializer", serializer);
    long[] nanos = new long[transactions];
    try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(properties)) {
      producer.initTransactions();
      long began = System.nanoTime();
      for (int number = 0; number < transactions; number++) {
        long start = System.nanoTime();
        producer.beginTransaction();
        for (int record = 0; record < each; record++) {
          producer.send(new ProducerRecord<>(topic, value));
        }
        producer.commitTransaction();
        nanos[number] = System.nanoTime() - start;
      }
      double seconds = (System.nanoTime() - began) / 1e9;
      Arrays.sort(nanos);
      double records = (double) transactions * each;
      System.out.printf(
          "%.0f records sent, %.1f records/sec, %.2f ms 50th, %.2f ms 99th, %.2f ms 99.9th.%n",
          records, records / seconds, at(nanos, 0.5), at(nanos, 0.99), at(nanos, 0.999));
    }
  }

  private static double at(long[] sorted, double share) {
    return sorted[(int) Math.min(sorted.length - 1, sorted.length * share)] / 1e6;
  }
}
