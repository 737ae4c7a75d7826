//! What there is: brokers, topics, partitions and who leads them.

mod brokers_and_topics;
mod describe_cluster;
mod describe_topic_partitions;

pub use self::brokers_and_topics::*;
pub use self::describe_cluster::*;
pub use self::describe_topic_partitions::*;
