//! Configs of groups, and of client metrics subscriptions (KIP-714).

use crate::config::Bounds::{Any, AtLeast, Between, OffsetReset, OneOf};
use crate::config::Effect::{self, AcceptedWithoutEffect, Applied};

const LATER: Effect = AcceptedWithoutEffect("share and streams groups are not served");
const NO_REPORTER: Effect =
    AcceptedWithoutEffect("clients push metrics only where a reporter takes them");

keys! {
    "consumer.assignment.interval.ms" Int "1000" AtLeast(0),
        Group Dynamic ["group.consumer.assignment.interval.ms"] Applied,
        "How long lies at least between two target assignments of a consumer group of more than \
         100 members, in milliseconds; a smaller one is assigned at once.";
    "consumer.heartbeat.interval.ms" Int "5000" AtLeast(1),
        Group Dynamic ["group.consumer.heartbeat.interval.ms"] Applied,
        "How often a member of a consumer group heartbeats.";
    "consumer.session.timeout.ms" Int "45000" AtLeast(1),
        Group Dynamic ["group.consumer.session.timeout.ms"] Applied,
        "After how long without a heartbeat a member of a consumer group is removed.";
    "share.assignment.interval.ms" Int "1000" AtLeast(0),
        Group Dynamic ["group.share.assignment.interval.ms"] LATER,
        "How long lies at least between two target assignments of a share group.";
    "share.auto.offset.reset" String "latest" OffsetReset,
        Group Dynamic [] LATER,
        "Where a share group begins on a partition that it has not read.";
    "share.delivery.count.limit" Int "5" AtLeast(2),
        Group Dynamic ["group.share.delivery.count.limit"] LATER,
        "How often a record is delivered to a share group before it is given up.";
    "share.heartbeat.interval.ms" Int "5000" AtLeast(1),
        Group Dynamic ["group.share.heartbeat.interval.ms"] LATER,
        "How often a member of a share group heartbeats.";
    "share.isolation.level" String "read_uncommitted"
        OneOf(&["read_committed", "read_uncommitted"]),
        Group Dynamic [] LATER,
        "Whether a share group sees records of open and aborted transactions.";
    "share.partition.max.record.locks" Int "2000" AtLeast(100),
        Group Dynamic ["group.share.partition.max.record.locks"] LATER,
        "How many records of a partition may be under acquisition at once.";
    "share.record.lock.duration.ms" Int "30000" AtLeast(1000),
        Group Dynamic ["group.share.record.lock.duration.ms"] LATER,
        "How long a member of a share group holds a record before others get it.";
    "share.renew.acknowledge.enable" Boolean "true" Any,
        Group Dynamic [] LATER,
        "Whether members of a share group may prolong their hold of a record.";
    "share.session.timeout.ms" Int "45000" AtLeast(1),
        Group Dynamic ["group.share.session.timeout.ms"] LATER,
        "After how long without a heartbeat a member of a share group is removed.";
    "streams.assignment.interval.ms" Int "1000" AtLeast(0),
        Group Dynamic ["group.streams.assignment.interval.ms"] LATER,
        "How long lies at least between two target assignments of a streams group.";
    "streams.heartbeat.interval.ms" Int "5000" AtLeast(1),
        Group Dynamic ["group.streams.heartbeat.interval.ms"] LATER,
        "How often a member of a streams group heartbeats.";
    "streams.initial.rebalance.delay.ms" Int "3000" AtLeast(0),
        Group Dynamic ["group.streams.initial.rebalance.delay.ms"] LATER,
        "How long the first assignment of a streams group waits for more members.";
    "streams.num.standby.replicas" Int "0" AtLeast(0),
        Group Dynamic ["group.streams.num.standby.replicas"] LATER,
        "How many standby copies of each task a streams group keeps.";
    "streams.session.timeout.ms" Int "45000" AtLeast(1),
        Group Dynamic ["group.streams.session.timeout.ms"] LATER,
        "After how long without a heartbeat a member of a streams group is removed.";
    "interval.ms" Int "300000" Between(100, 3_600_000),
        ClientMetrics Dynamic [] NO_REPORTER,
        "How often a client that matches pushes its metrics.";
    "match" List "" Any,
        ClientMetrics Dynamic [] NO_REPORTER,
        "Which clients are meant: name=pattern pairs, all of which must match.";
    "metrics" List "" Any,
        ClientMetrics Dynamic [] NO_REPORTER,
        "Prefixes of the names of the metrics that are wanted; * for all.";
}
