//! Configs of consumer, share and streams groups.

use super::{Bounds, Effect, Key, Kind, Synonym};

const LATER: Effect =
    Effect::AcceptedWithoutEffect("groups of the new protocols are not served; classic ones are");

macro_rules! keys {
    ($($name:literal $kind:ident $default:literal $bounds:expr, $synonym:literal,
       $doc:literal;)*) => {
        /// Every group config by name, in order.
        pub static GROUP_CONFIGS: &[Key] = &[$(Key {
            name: $name,
            kind: Kind::$kind,
            default: $default,
            bounds: $bounds,
            effect: LATER,
            synonyms: &[Synonym { name: $synonym, scale: 1 }],
            doc: $doc,
        }),*];
    };
}

keys! {
    "consumer.assignment.interval.ms" Int "1000" Bounds::AtLeast(0),
        "group.consumer.assignment.interval.ms",
        "How long lies at least between two target assignments of a consumer group.";
    "consumer.heartbeat.interval.ms" Int "5000" Bounds::AtLeast(1),
        "group.consumer.heartbeat.interval.ms",
        "How often a member of a consumer group heartbeats.";
    "consumer.session.timeout.ms" Int "45000" Bounds::AtLeast(1),
        "group.consumer.session.timeout.ms",
        "After how long without a heartbeat a member of a consumer group is removed.";
    "share.assignment.interval.ms" Int "1000" Bounds::AtLeast(0),
        "group.share.assignment.interval.ms",
        "How long lies at least between two target assignments of a share group.";
    "share.auto.offset.reset" String "latest" Bounds::OffsetReset,
        "",
        "Where a share group begins on a partition that it has not read.";
    "share.delivery.count.limit" Int "5" Bounds::AtLeast(2),
        "group.share.delivery.count.limit",
        "How often a record is delivered to a share group before it is given up.";
    "share.heartbeat.interval.ms" Int "5000" Bounds::AtLeast(1),
        "group.share.heartbeat.interval.ms",
        "How often a member of a share group heartbeats.";
    "share.isolation.level" String "read_uncommitted"
        Bounds::OneOf(&["read_committed", "read_uncommitted"]),
        "",
        "Whether a share group sees records of open and aborted transactions.";
    "share.partition.max.record.locks" Int "2000" Bounds::AtLeast(100),
        "group.share.partition.max.record.locks",
        "How many records of a partition may be under acquisition at once.";
    "share.record.lock.duration.ms" Int "30000" Bounds::AtLeast(1000),
        "group.share.record.lock.duration.ms",
        "How long a member of a share group holds a record before others get it.";
    "share.renew.acknowledge.enable" Boolean "true" Bounds::Any,
        "",
        "Whether members of a share group may prolong their hold of a record.";
    "share.session.timeout.ms" Int "45000" Bounds::AtLeast(1),
        "group.share.session.timeout.ms",
        "After how long without a heartbeat a member of a share group is removed.";
    "streams.assignment.interval.ms" Int "1000" Bounds::AtLeast(0),
        "group.streams.assignment.interval.ms",
        "How long lies at least between two target assignments of a streams group.";
    "streams.heartbeat.interval.ms" Int "5000" Bounds::AtLeast(1),
        "group.streams.heartbeat.interval.ms",
        "How often a member of a streams group heartbeats.";
    "streams.initial.rebalance.delay.ms" Int "3000" Bounds::AtLeast(0),
        "group.streams.initial.rebalance.delay.ms",
        "How long the first assignment of a streams group waits for more members.";
    "streams.num.standby.replicas" Int "0" Bounds::AtLeast(0),
        "group.streams.num.standby.replicas",
        "How many standby copies of each task a streams group keeps.";
    "streams.session.timeout.ms" Int "45000" Bounds::AtLeast(1),
        "group.streams.session.timeout.ms",
        "After how long without a heartbeat a member of a streams group is removed.";
}

/// Why a group's configs cannot stand; `None` where they can.
pub fn conflict(configs: &crate::image::ConfigMap) -> Option<String> {
    configs
        .iter()
        .find_map(|(name, value)| match super::find(GROUP_CONFIGS, name) {
            Some(key) => key.validate(value).err().map(|e| e.to_string()),
            None => Some(format!("Unknown group config name: {name}")),
        })
}
