//! The one table of topic configs: all of Apache Kafka 4.3.1's, and ours.

use super::{Bounds, Effect, Key, Kind, Synonym};

const fn of(name: &'static str) -> Synonym {
    Synonym { name, scale: 1 }
}

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;

const TIERED: Effect = Effect::AcceptedWithoutEffect("there is no tiered storage");
const LAYOUT: Effect =
    Effect::AcceptedWithoutEffect("how segments lie on disk is this broker's own affair");
const SYNCED: Effect =
    Effect::AcceptedWithoutEffect("every acknowledged record is on disk already; see durability");
const RECOMPRESSION: Effect =
    Effect::AcceptedWithoutEffect("batches stay as the producer compressed them");
const THROTTLE: Effect = Effect::AcceptedWithoutEffect("replication is not throttled");

/// Our own config: what an acknowledgement waits for.
pub const DURABILITY: &str = "ottla.durability";

/// Every topic config by name, in order.
pub static TOPIC_CONFIGS: &[Key] = &[
    Key {
        name: "cleanup.policy",
        kind: Kind::List,
        default: "delete",
        bounds: Bounds::OneOf(&["compact", "delete"]),
        effect: Effect::Applied,
        synonyms: &[of("log.cleanup.policy")],
        doc: "How old records go: by age and size (delete), by key (compact), both, or with an \
              empty list not at all.",
    },
    Key {
        name: "compression.gzip.level",
        kind: Kind::Int,
        default: "-1",
        bounds: Bounds::BetweenOr(1, 9, -1),
        effect: RECOMPRESSION,
        synonyms: &[of("compression.gzip.level")],
        doc: "The gzip level where compression.type is gzip; -1 is the codec's own default.",
    },
    Key {
        name: "compression.lz4.level",
        kind: Kind::Int,
        default: "9",
        bounds: Bounds::Between(1, 17),
        effect: RECOMPRESSION,
        synonyms: &[of("compression.lz4.level")],
        doc: "The lz4 level where compression.type is lz4.",
    },
    Key {
        name: "compression.type",
        kind: Kind::String,
        default: "producer",
        bounds: Bounds::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        effect: RECOMPRESSION,
        synonyms: &[of("compression.type")],
        doc: "The codec that batches are stored with; producer keeps the producer's choice.",
    },
    Key {
        name: "compression.zstd.level",
        kind: Kind::Int,
        default: "3",
        bounds: Bounds::Between(-131_072, 22),
        effect: RECOMPRESSION,
        synonyms: &[of("compression.zstd.level")],
        doc: "The zstd level where compression.type is zstd.",
    },
    Key {
        name: "delete.retention.ms",
        kind: Kind::Long,
        default: "86400000",
        bounds: Bounds::AtLeast(0),
        effect: Effect::Applied,
        synonyms: &[of("log.cleaner.delete.retention.ms")],
        doc: "How long a compacted topic keeps the tombstone of a deleted key, from the first \
              compaction on that saw it.",
    },
    Key {
        name: "file.delete.delay.ms",
        kind: Kind::Long,
        default: "60000",
        bounds: Bounds::AtLeast(0),
        effect: LAYOUT,
        synonyms: &[of("log.segment.delete.delay.ms")],
        doc: "How long a removed segment's file lingers before it is deleted.",
    },
    Key {
        name: "flush.messages",
        kind: Kind::Long,
        default: "9223372036854775807",
        bounds: Bounds::AtLeast(1),
        effect: SYNCED,
        synonyms: &[of("log.flush.interval.messages")],
        doc: "After how many records the log is synced to disk.",
    },
    Key {
        name: "flush.ms",
        kind: Kind::Long,
        default: "9223372036854775807",
        bounds: Bounds::AtLeast(0),
        effect: SYNCED,
        synonyms: &[
            of("log.flush.interval.ms"),
            of("log.flush.scheduler.interval.ms"),
        ],
        doc: "After how long the log is synced to disk.",
    },
    Key {
        name: "follower.replication.throttled.replicas",
        kind: Kind::List,
        default: "",
        bounds: Bounds::PartitionReplicas,
        effect: THROTTLE,
        synonyms: &[],
        doc: "Replicas whose fetching is throttled, as partition:broker pairs, or * for all.",
    },
    Key {
        name: "index.interval.bytes",
        kind: Kind::Int,
        default: "4096",
        bounds: Bounds::AtLeast(0),
        effect: LAYOUT,
        synonyms: &[of("log.index.interval.bytes")],
        doc: "How many bytes of log lie between two entries of the offset index.",
    },
    Key {
        name: "internal.segment.bytes",
        kind: Kind::Int,
        default: "",
        bounds: Bounds::Any,
        effect: Effect::AcceptedWithoutEffect("a hook of Apache Kafka's own tests"),
        synonyms: &[],
        doc: "Lets tests make segments smaller than segment.bytes allows.",
    },
    Key {
        name: "leader.replication.throttled.replicas",
        kind: Kind::List,
        default: "",
        bounds: Bounds::PartitionReplicas,
        effect: THROTTLE,
        synonyms: &[],
        doc: "Replicas whose serving of followers is throttled, as partition:broker pairs, or * \
              for all.",
    },
    Key {
        name: "local.retention.bytes",
        kind: Kind::Long,
        default: "-2",
        bounds: Bounds::AtLeast(-2),
        effect: TIERED,
        synonyms: &[of("log.local.retention.bytes")],
        doc: "How much of a tiered log stays local; -2 follows retention.bytes.",
    },
    Key {
        name: "local.retention.ms",
        kind: Kind::Long,
        default: "-2",
        bounds: Bounds::AtLeast(-2),
        effect: TIERED,
        synonyms: &[of("log.local.retention.ms")],
        doc: "How long a tiered log stays local; -2 follows retention.ms.",
    },
    Key {
        name: "max.compaction.lag.ms",
        kind: Kind::Long,
        default: "9223372036854775807",
        bounds: Bounds::AtLeast(1),
        effect: Effect::Applied,
        synonyms: &[of("log.cleaner.max.compaction.lag.ms")],
        doc: "After how long at the latest a record is compacted. A segment is closed after this \
              long too, by the next record.",
    },
    Key {
        name: "max.message.bytes",
        kind: Kind::Int,
        default: "1048588",
        bounds: Bounds::AtLeast(0),
        effect: Effect::Applied,
        synonyms: &[of("message.max.bytes")],
        doc: "The largest record batch that is accepted, as it is stored.",
    },
    Key {
        name: "message.timestamp.after.max.ms",
        kind: Kind::Long,
        default: "3600000",
        bounds: Bounds::AtLeast(0),
        effect: Effect::Applied,
        synonyms: &[of("log.message.timestamp.after.max.ms")],
        doc: "How far ahead of the broker's clock a record's timestamp may be.",
    },
    Key {
        name: "message.timestamp.before.max.ms",
        kind: Kind::Long,
        default: "9223372036854775807",
        bounds: Bounds::AtLeast(0),
        effect: Effect::Applied,
        synonyms: &[of("log.message.timestamp.before.max.ms")],
        doc: "How far behind the broker's clock a record's timestamp may be.",
    },
    Key {
        name: "message.timestamp.type",
        kind: Kind::String,
        default: "CreateTime",
        bounds: Bounds::OneOf(&["CreateTime", "LogAppendTime"]),
        effect: Effect::Applied,
        synonyms: &[of("log.message.timestamp.type")],
        doc: "Whether a record's timestamp is the producer's or the time of its append.",
    },
    Key {
        name: "min.cleanable.dirty.ratio",
        kind: Kind::Double,
        default: "0.5",
        bounds: Bounds::Fraction,
        effect: Effect::Applied,
        synonyms: &[of("log.cleaner.min.cleanable.ratio")],
        doc: "Which share of a log's sealed segments must be uncompacted before it is compacted.",
    },
    Key {
        name: "min.compaction.lag.ms",
        kind: Kind::Long,
        default: "0",
        bounds: Bounds::AtLeast(0),
        effect: Effect::Applied,
        synonyms: &[of("log.cleaner.min.compaction.lag.ms")],
        doc: "How long a record stays uncompacted at least.",
    },
    Key {
        name: "min.insync.replicas",
        kind: Kind::Int,
        default: "1",
        bounds: Bounds::AtLeast(1),
        effect: Effect::Applied,
        synonyms: &[of("min.insync.replicas")],
        doc: "How many replicas must hold a record before acks=all is answered. Where nobody set \
              it: 2 for topics of three replicas and more, else 1.",
    },
    Key {
        name: DURABILITY,
        kind: Kind::String,
        default: "Fsync",
        bounds: Bounds::OneOf(&["Fsync", "Replicated"]),
        effect: Effect::Applied,
        synonyms: &[of(DURABILITY)],
        doc: "What acks wait for: Fsync, the disk of each replica that counts; Replicated, its \
              memory. Not a config of Apache Kafka.",
    },
    Key {
        name: "preallocate",
        kind: Kind::Boolean,
        default: "false",
        bounds: Bounds::Any,
        effect: LAYOUT,
        synonyms: &[of("log.preallocate")],
        doc: "Whether a segment's file is given its full size at once.",
    },
    Key {
        name: "remote.log.copy.disable",
        kind: Kind::Boolean,
        default: "false",
        bounds: Bounds::Any,
        effect: TIERED,
        synonyms: &[],
        doc: "Stops copying a tiered log to remote storage.",
    },
    Key {
        name: "remote.log.delete.on.disable",
        kind: Kind::Boolean,
        default: "false",
        bounds: Bounds::Any,
        effect: TIERED,
        synonyms: &[],
        doc: "Deletes the remote part of a log when tiering is switched off.",
    },
    Key {
        name: "remote.storage.enable",
        kind: Kind::Boolean,
        default: "false",
        bounds: Bounds::Any,
        effect: Effect::AcceptedWithoutEffect("only false is accepted: no tiered storage here"),
        synonyms: &[],
        doc: "Switches tiered storage on for the topic.",
    },
    Key {
        name: "retention.bytes",
        kind: Kind::Long,
        default: "-1",
        bounds: Bounds::Any,
        effect: Effect::Applied,
        synonyms: &[of("log.retention.bytes")],
        doc: "How large a partition grows before its oldest segments go; -1 is without limit.",
    },
    Key {
        name: "retention.ms",
        kind: Kind::Long,
        default: "604800000",
        bounds: Bounds::AtLeast(-1),
        effect: Effect::Applied,
        synonyms: &[
            of("log.retention.ms"),
            Synonym {
                name: "log.retention.minutes",
                scale: MINUTE_MS,
            },
            Synonym {
                name: "log.retention.hours",
                scale: HOUR_MS,
            },
        ],
        doc: "How long records are kept; -1 is for ever.",
    },
    Key {
        name: "segment.bytes",
        kind: Kind::Int,
        default: "1073741824",
        bounds: Bounds::AtLeast(1_048_576),
        effect: Effect::Applied,
        synonyms: &[of("log.segment.bytes")],
        doc: "How large a segment grows before the next one begins; retention removes whole \
              segments.",
    },
    Key {
        name: "segment.index.bytes",
        kind: Kind::Int,
        default: "10485760",
        bounds: Bounds::AtLeast(4),
        effect: LAYOUT,
        synonyms: &[of("log.index.size.max.bytes")],
        doc: "How large a segment's offset index may grow.",
    },
    Key {
        name: "segment.jitter.ms",
        kind: Kind::Long,
        default: "0",
        bounds: Bounds::AtLeast(0),
        effect: LAYOUT,
        synonyms: &[
            of("log.roll.jitter.ms"),
            Synonym {
                name: "log.roll.jitter.hours",
                scale: HOUR_MS,
            },
        ],
        doc: "By how much at most segment.ms is shortened, at random.",
    },
    Key {
        name: "segment.ms",
        kind: Kind::Long,
        default: "604800000",
        bounds: Bounds::AtLeast(1),
        effect: Effect::Applied,
        synonyms: &[
            of("log.roll.ms"),
            Synonym {
                name: "log.roll.hours",
                scale: HOUR_MS,
            },
        ],
        doc: "How old a segment grows before the next one begins.",
    },
    Key {
        name: "unclean.leader.election.enable",
        kind: Kind::Boolean,
        default: "false",
        bounds: Bounds::Any,
        effect: Effect::Applied,
        synonyms: &[of("unclean.leader.election.enable")],
        doc: "Whether a replica that may lack acknowledged records leads when nobody else can.",
    },
];

/// Why a topic's configs cannot stand together or alone; `None` where they can.
pub fn conflict(configs: &crate::image::ConfigMap) -> Option<String> {
    for (name, value) in configs {
        let Some(key) = super::find(TOPIC_CONFIGS, name) else {
            return Some(format!("Unknown topic config name: {name}"));
        };
        if let Err(invalid) = key.validate(value) {
            return Some(invalid.to_string());
        }
    }
    let is_true = |v: &String| v.trim().eq_ignore_ascii_case("true");
    if configs.get("remote.storage.enable").is_some_and(is_true) {
        return Some("Tiered storage is not available: remote.storage.enable must be false".into());
    }
    let number = |name: &str| configs.get(name)?.trim().parse::<i64>().ok();
    let min = number("min.compaction.lag.ms").unwrap_or(0);
    let max = number("max.compaction.lag.ms").unwrap_or(i64::MAX);
    (min > max).then(|| {
        format!(
            "conflict topic config setting min.compaction.lag.ms ({min}) > \
             max.compaction.lag.ms ({max})"
        )
    })
}
