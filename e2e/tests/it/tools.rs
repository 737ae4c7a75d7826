//! Apache Kafka's command-line tools, unmodified, one test each: what they print is what they print
//! against Apache Kafka.

mod acls;
mod cluster;
mod configs;
mod groups;
mod load;
mod partitions;
mod quotas;
mod records;
mod topics;
