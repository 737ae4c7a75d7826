//! Topic configs: all of Apache Kafka 4.3.1's, and ours.

use crate::config::Bounds::{Any, AtLeast, Between, BetweenOr, OneOf, PartitionReplicas};
use crate::config::Effect::{self, AcceptedWithoutEffect, Applied};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;

const TIERED: Effect = AcceptedWithoutEffect("there is no tiered storage");
const LAYOUT: Effect =
    AcceptedWithoutEffect("how segments lie on disk is this broker's own affair");
const SYNCED: Effect =
    AcceptedWithoutEffect("every acknowledged record is on disk already; see durability");
const RECOMPRESSION: Effect = AcceptedWithoutEffect("batches stay as the producer compressed them");
const BY_FOLLOWER: Effect =
    AcceptedWithoutEffect("followers keep to a rate: see follower.replication.throttled.replicas");

keys! {
    "cleanup.policy" List "delete" OneOf(&["compact", "delete"]),
        Topic Dynamic ["log.cleanup.policy"] Applied,
        "How old records go: by age and size (delete), by key (compact), both, or with an empty \
         list not at all.";
    "compression.gzip.level" Int "-1" BetweenOr(1, 9, -1),
        Topic Dynamic ["compression.gzip.level"] RECOMPRESSION,
        "The gzip level where compression.type is gzip; -1 is the codec's own default.";
    "compression.lz4.level" Int "9" Between(1, 17),
        Topic Dynamic ["compression.lz4.level"] RECOMPRESSION,
        "The lz4 level where compression.type is lz4.";
    "compression.type" String "producer"
        OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        Topic Dynamic ["compression.type"] RECOMPRESSION,
        "The codec that batches are stored with; producer keeps the producer's choice.";
    "compression.zstd.level" Int "3" Between(-131_072, 22),
        Topic Dynamic ["compression.zstd.level"] RECOMPRESSION,
        "The zstd level where compression.type is zstd.";
    "delete.retention.ms" Long "86400000" AtLeast(0),
        Topic Dynamic ["log.cleaner.delete.retention.ms"] Applied,
        "How long a compacted topic keeps the tombstone of a deleted key, from the first \
         compaction on that saw it; longer while a replica is not in sync, which may not have it.";
    "file.delete.delay.ms" Long "60000" AtLeast(0),
        Topic Dynamic ["log.segment.delete.delay.ms"] LAYOUT,
        "How long a removed segment's file lingers before it is deleted.";
    "flush.messages" Long "9223372036854775807" AtLeast(1),
        Topic Dynamic ["log.flush.interval.messages"] SYNCED,
        "After how many records the log is synced to disk.";
    "flush.ms" Long "9223372036854775807" AtLeast(0),
        Topic Dynamic ["log.flush.interval.ms", "log.flush.scheduler.interval.ms"] SYNCED,
        "After how long the log is synced to disk.";
    "follower.replication.throttled.replicas" List "" PartitionReplicas,
        Topic Dynamic [] Applied,
        "Replicas that are copied at follower.replication.throttled.rate until they are in sync, \
         as partition:broker pairs, or * for all; those that a reassignment adds are, named or \
         not.";
    "index.interval.bytes" Int "4096" AtLeast(0),
        Topic Dynamic ["log.index.interval.bytes"] LAYOUT,
        "How many bytes of log lie between two entries of the offset index.";
    "internal.segment.bytes" Int "" Any,
        Topic Dynamic [] AcceptedWithoutEffect("a hook of Apache Kafka's own tests"),
        "Lets tests make segments smaller than segment.bytes allows.";
    "leader.replication.throttled.replicas" List "" PartitionReplicas,
        Topic Dynamic [] BY_FOLLOWER,
        "Replicas whose serving of followers is throttled, as partition:broker pairs, or * for \
         all.";
    "local.retention.bytes" Long "-2" AtLeast(-2),
        Topic Dynamic ["log.local.retention.bytes"] TIERED,
        "How much of a tiered log stays local; -2 follows retention.bytes.";
    "local.retention.ms" Long "-2" AtLeast(-2),
        Topic Dynamic ["log.local.retention.ms"] TIERED,
        "How long a tiered log stays local; -2 follows retention.ms.";
    "max.compaction.lag.ms" Long "9223372036854775807" AtLeast(1),
        Topic Dynamic ["log.cleaner.max.compaction.lag.ms"] Applied,
        "After how long at the latest a record is compacted. A segment is closed after this long \
         too, by the next record.";
    "max.message.bytes" Int "1048588" AtLeast(0),
        Topic Dynamic ["message.max.bytes"] Applied,
        "The largest record batch that is accepted, as it is stored.";
    "message.timestamp.after.max.ms" Long "3600000" AtLeast(0),
        Topic Dynamic ["log.message.timestamp.after.max.ms"] Applied,
        "How far ahead of the broker's clock a record's timestamp may be.";
    "message.timestamp.before.max.ms" Long "9223372036854775807" AtLeast(0),
        Topic Dynamic ["log.message.timestamp.before.max.ms"] Applied,
        "How far behind the broker's clock a record's timestamp may be.";
    "message.timestamp.type" String "CreateTime" OneOf(&["CreateTime", "LogAppendTime"]),
        Topic Dynamic ["log.message.timestamp.type"] Applied,
        "Whether a record's timestamp is the producer's or the time of its append.";
    "min.cleanable.dirty.ratio" Double "0.5" Between(0, 1),
        Topic Dynamic ["log.cleaner.min.cleanable.ratio"] Applied,
        "Which share of a log's sealed segments must be uncompacted before it is compacted.";
    "min.compaction.lag.ms" Long "0" AtLeast(0),
        Topic Dynamic ["log.cleaner.min.compaction.lag.ms"] Applied,
        "How long a record stays uncompacted at least.";
    "min.insync.replicas" Int "1" AtLeast(1),
        Topic Dynamic ["min.insync.replicas"] Applied,
        "How many replicas must hold a record before acks=all is answered. Where nobody set it: 2 \
         for topics of three replicas and more, else 1.";
    "ottla.durability" String "Fsync" OneOf(&["Fsync", "Replicated"]),
        Topic Dynamic ["ottla.durability"] Applied,
        "What acks wait for: Fsync, the disk of each replica that counts; Replicated, its memory. \
         Not a config of Apache Kafka.";
    "preallocate" Boolean "false" Any,
        Topic Dynamic ["log.preallocate"] LAYOUT,
        "Whether a segment's file is given its full size at once.";
    "remote.log.copy.disable" Boolean "false" Any,
        Topic Dynamic [] TIERED,
        "Stops copying a tiered log to remote storage.";
    "remote.log.delete.on.disable" Boolean "false" Any,
        Topic Dynamic [] TIERED,
        "Deletes the remote part of a log when tiering is switched off.";
    "remote.storage.enable" Boolean "false" Any,
        Topic Dynamic [] AcceptedWithoutEffect("only false is accepted: no tiered storage here"),
        "Switches tiered storage on for the topic.";
    "retention.bytes" Long "-1" Any,
        Topic Dynamic ["log.retention.bytes"] Applied,
        "How large a partition grows before its oldest segments go; -1 is without limit.";
    "retention.ms" Long "604800000" AtLeast(-1),
        Topic Dynamic
        ["log.retention.ms", "log.retention.minutes" * MINUTE_MS, "log.retention.hours" * HOUR_MS]
        Applied,
        "How long records are kept; -1 is for ever.";
    "segment.bytes" Int "1073741824" AtLeast(1_048_576),
        Topic Dynamic ["log.segment.bytes"] Applied,
        "How large a segment grows before the next one begins; retention removes whole segments.";
    "segment.index.bytes" Int "10485760" AtLeast(4),
        Topic Dynamic ["log.index.size.max.bytes"] LAYOUT,
        "How large a segment's offset index may grow.";
    "segment.jitter.ms" Long "0" AtLeast(0),
        Topic Dynamic ["log.roll.jitter.ms", "log.roll.jitter.hours" * HOUR_MS] LAYOUT,
        "By how much at most segment.ms is shortened, at random.";
    "segment.ms" Long "604800000" AtLeast(1),
        Topic Dynamic ["log.roll.ms", "log.roll.hours" * HOUR_MS] Applied,
        "How old a segment grows before the next one begins.";
    "unclean.leader.election.enable" Boolean "false" Any,
        Topic Dynamic ["unclean.leader.election.enable"] Applied,
        "Whether a replica that may lack acknowledged records leads when nobody else can.";
}
