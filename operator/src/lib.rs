//! Reconciles `KafkaCluster` and `KafkaTopic` into brokers and topics.
