package io.ottla.proofs;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;

/**
 * Takes a transactional id over, commits numbers under it, aborts one more, and says so: BOOTSTRAP
 * TOPIC ID FROM COUNT. Told by a line that another has the id, it tries to commit once more; that
 * must be refused.
 */
public final class Writer {
  public static void main(String[] args) throws Exception {
    String topic = args[1];
    int from = Integer.parseInt(args[3]);
    int count = Integer.parseInt(args[4]);
    Properties properties = new Properties();
    properties.put("bootstrap.servers", args[0]);
    properties.put("transactional.id", args[2]);
    properties.put("key.serializer", "org.apache.kafka.common.serialization.StringSerializer");
    properties.put("value.serializer", "org.apache.kafka.common.serialization.StringSerializer");
    KafkaProducer<String, String> producer = new KafkaProducer<>(properties);
    producer.initTransactions();
    producer.beginTransaction();
    for (int number = from; number < from + count; number++) {
      producer.send(new ProducerRecord<>(topic, Integer.toString(number)));
    }
    producer.commitTransaction();
    producer.beginTransaction();
    producer.send(new ProducerRecord<>(topic, "aborted")).get();
    producer.abortTransaction();
    // left open: whoever comes next ends it
    producer.beginTransaction();
    producer.send(new ProducerRecord<>(topic, "left open")).get();
    System.out.println("committed");
    new BufferedReader(new InputStreamReader(System.in)).readLine();
    try {
      producer.send(new ProducerRecord<>(topic, "late"));
      producer.commitTransaction();
      System.out.println("not refused");
    } catch (KafkaException refusal) {
      System.out.println("refused: " + refusal);
    }
    System.exit(0);
  }
}
