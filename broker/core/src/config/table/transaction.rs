//! Settings of transactions and of the topic that their coordinators keep them in.

use crate::config::Bounds::{Any, AtLeast, Between};
use crate::config::Effect::{AcceptedWithoutEffect, Applied};

keys! {
    "transaction.max.timeout.ms" Int "900000" AtLeast(1),
        Broker Restart [] Applied,
        "The longest timeout that a producer may ask for its transactions, in milliseconds.";
    "transactional.id.expiration.ms" Int "604800000" AtLeast(1),
        Broker Restart [] Applied,
        "A transactional id that is not used for so long is forgotten, in milliseconds.";
    "transaction.remove.expired.transaction.cleanup.interval.ms" Int "3600000" AtLeast(1),
        Broker Restart [] Applied,
        "How often transactional ids to be forgotten are looked for, in milliseconds.";
    "transaction.abort.timed.out.transaction.cleanup.interval.ms" Int "10000" AtLeast(1),
        Broker Restart []
        AcceptedWithoutEffect("a transaction is aborted when its time is over, not a while later"),
        "";
    "transaction.state.log.num.partitions" Int "50" Between(1, 10_000),
        Broker Restart [] Applied,
        "Partitions of `__transaction_state`.";
    "transaction.state.log.replication.factor" Short "3" Between(1, 32_767),
        Broker Restart [] Applied,
        "Replication factor of `__transaction_state`; fewer while there are fewer brokers.";
    "transaction.state.log.min.isr" Int "2" AtLeast(1),
        Broker Restart [] Applied,
        "How many replicas of `__transaction_state` must be in sync for a transaction to go on; \
         all of them where there are fewer.";
    "transaction.state.log.segment.bytes" Int "104857600" AtLeast(1),
        Broker Restart [] Applied,
        "Segment size of `__transaction_state`, in bytes.";
    "transaction.state.log.load.buffer.size" Int "5242880" AtLeast(1),
        Broker Restart []
        AcceptedWithoutEffect("the log is read in parts of a size of the broker's own"), "";
    "ottla.transaction.hanging.check.interval.ms" Long "60000" Between(100, 86_400_000),
        Broker Restart [] Applied,
        "How often open transactions are looked for that no coordinator knows of, and how long \
         one has been quiet before coordinators are asked, in milliseconds. What they do not know \
         twice is aborted; else consumers of what is committed would wait for it for good.";
    "transaction.two.phase.commit.enable" Boolean "false" Any,
        Broker Restart [] Applied,
        "Whether a producer may have transactions without a timeout, which another coordinator \
         commits (KIP-939). The version of InitProducerId that asks for it is unstable in Kafka \
         4.3, and is not served.";
}
