package io.ottla.proofs;

import java.nio.charset.StandardCharsets;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * A whole Flink in this process that copies a topic into the same partitions of another one, by its
 * exactly-once sink: BOOTSTRAP FROM TO CHECKPOINTS [CHECKPOINT]. It goes on from the checkpoint it
 * is told of; a failure of the job makes it go on from the last one by itself.
 */
public final class FlinkCopier {
  private static final String[][] SETTINGS = {
    {"execution.checkpointing.interval", "2s"},
    {"execution.checkpointing.timeout", "60s"},
    {"execution.checkpointing.tolerable-failed-checkpoints", "1000"},
    {"execution.checkpointing.storage", "filesystem"},
    // those of a process that was killed are what the next one goes on from
    {"execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION"},
    {"restart-strategy.type", "fixed-delay"},
    {"restart-strategy.fixed-delay.attempts", "1000000"},
    {"restart-strategy.fixed-delay.delay", "1s"},
    {"parallelism.default", "2"},
  };

  public static void main(String[] args) throws Exception {
    Configuration settings = new Configuration();
    for (String[] setting : SETTINGS) {
      settings.setString(setting[0], setting[1]);
    }
    settings.setString("execution.checkpointing.dir", "file://" + args[3]);
    if (args.length > 4) {
      settings.setString("execution.state-recovery.path", "file://" + args[4]);
    }
    StreamExecutionEnvironment flink =
        StreamExecutionEnvironment.getExecutionEnvironment(settings);
    KafkaSource<String> source =
        KafkaSource.<String>builder()
            .setBootstrapServers(args[0])
            .setTopics(args[1])
            .setGroupId("flink")
            .setStartingOffsets(OffsetsInitializer.earliest())
            .setProperty("isolation.level", "read_committed")
            .setDeserializer(new WithPartition())
            .build();
    KafkaSink<String> sink =
        KafkaSink.<String>builder()
            .setBootstrapServers(args[0])
            .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
            .setTransactionalIdPrefix("flink")
            // the longest that brokers permit by default
            .setProperty("transaction.timeout.ms", "900000")
            .setRecordSerializer(new IntoPartition(args[2]))
            .build();
    flink.fromSource(source, WatermarkStrategy.noWatermarks(), "input").sinkTo(sink);
    flink.execute("copier");
  }

  /** A value with the partition it is from. */
  private static final class WithPartition implements KafkaRecordDeserializationSchema<String> {
    @Override
    public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<String> out) {
      String value = new String(record.value(), StandardCharsets.UTF_8);
      out.collect(record.partition() + ":" + value);
    }

    @Override
    public TypeInformation<String> getProducedType() {
      return Types.STRING;
    }
  }

  /** A value for the partition it was from. */
  private static final class IntoPartition implements KafkaRecordSerializationSchema<String> {
    private final String topic;

    IntoPartition(String topic) {
      this.topic = topic;
    }

    @Override
    public ProducerRecord<byte[], byte[]> serialize(
        String record, KafkaSinkContext context, Long timestamp) {
      String[] parts = record.split(":", 2);
      byte[] value = parts[1].getBytes(StandardCharsets.UTF_8);
      return new ProducerRecord<>(topic, Integer.valueOf(parts[0]), null, value);
    }
  }
}
