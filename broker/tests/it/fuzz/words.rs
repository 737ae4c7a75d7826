//! What made-up requests are made of: names that exist and such that do not, limits, nonsense.

use ottla_protocol::ids::Uuid;
use ottla_protocol::record::NewRecord;
use ottla_protocol::record_batch::Builder;

use crate::forms::{Choose, Draw};

/// Names of topics; some are made as the requests go on.
const TOPICS: &[&str] = &[
    "t0",
    "t1",
    "t.1",
    "__consumer_offsets",
    "..",
    "t/0",
    "__cluster_metadata",
];

/// Configs and values of them, of all kinds of resources.
const CONFIGS: &[&str] = &[
    "cleanup.policy",
    "retention.ms",
    "min.insync.replicas",
    "segment.bytes",
    "max.message.bytes",
    "message.timestamp.type",
    "compression.type",
    "leader.replication.throttled.replicas",
    "log.retention.ms",
    "log.cleaner.threads",
    "consumer.session.timeout.ms",
    "interval.ms",
    "no.such.config",
];
const VALUES: &[&str] = &[
    "compact",
    "delete",
    "compact,delete",
    "-1",
    "0",
    "1",
    "60000",
    "9223372036854775807",
    "true",
    "LogAppendTime",
    "producer",
    "*",
    "1e9",
    " 1 ",
    "0:1,1:2",
];

/// Other words that mean something somewhere.
const WORDS: &[&str] = &[
    "g0",
    "g1",
    "g2",
    "0",
    "1",
    "consumer",
    "range",
    "roundrobin",
    "User:ANONYMOUS",
    "User:*",
    "*",
    "127.0.0.1",
    "kafka-cluster",
    "metadata.version",
    "group.version",
    "SCRAM-SHA-256",
    "PLAINTEXT",
];

/// The longest strings that there are, and those of the usual limits.
const LENGTHS: &[u64] = &[1, 3, 249, 250, 255, 256, 4096, 4097, 32_766, 32_767];

/// Numbers at the edges of something.
const EDGES: &[i64] = &[
    i64::MIN,
    i64::MAX,
    i32::MIN as i64,
    i32::MAX as i64,
    i16::MIN as i64,
    i16::MAX as i64,
    -6,
    -5,
    -4,
    -3,
    -2,
    -1,
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    32,
    100,
    1000,
];

/// Draws what means something often, and what means nothing sometimes.
pub struct Words {
    draw: Draw,
    members: Vec<String>,
    topics: Vec<Uuid>,
    sessions: Vec<i32>,
    epochs: Vec<i32>,
}

impl Words {
    pub fn new(seed: u64) -> Self {
        Self {
            draw: Draw(seed),
            members: vec![String::new()],
            topics: vec![Uuid::ZERO],
            sessions: vec![0],
            epochs: vec![-1],
        }
    }

    pub fn member(&mut self, id: String) {
        self.members.push(id);
    }

    pub fn topic(&mut self, id: Uuid) {
        self.topics.push(id);
    }

    pub fn session(&mut self, id: i32) {
        self.sessions.push(id);
    }

    pub fn epoch(&mut self, epoch: i32) {
        self.epochs.push(epoch);
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.draw.below(count) == 0
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.draw.below(of.len() as u64) as usize]
    }

    /// The last ones are the ones that still mean something.
    fn recent<T: Clone>(&mut self, of: impl Fn(&Self) -> &[T]) -> T {
        let count = of(self).len() as u64;
        let back = self.draw.below(count.min(3));
        of(self)[(count - 1 - back) as usize].clone()
    }

    fn long(&mut self) -> Vec<u8> {
        let length = *self.one(LENGTHS);
        vec![b'a' + self.draw.below(26) as u8; length as usize]
    }

    fn batch(&mut self) -> Vec<u8> {
        let mut builder = Builder::new();
        for _ in 0..1 + self.draw.below(3) {
            let key = self.text("key", false);
            builder.push(&NewRecord {
                timestamp_ms: self.draw.below(3) as i64,
                key: (!self.one_in(4)).then_some(&key),
                value: Some(b"v"),
                headers: &[],
            });
        }
        let mut batch = builder.build().to_vec();
        if self.one_in(3) {
            let at = self.draw.below(batch.len() as u64) as usize;
            batch[at] = self.draw.below(256) as u8;
        }
        batch
    }
}

impl Choose for Words {
    fn draw(&mut self) -> &mut Draw {
        &mut self.draw
    }

    fn text(&mut self, field: &str, full: bool) -> Vec<u8> {
        if self.one_in(24) {
            return self.long();
        }
        if self.one_in(24) && !full {
            return Vec::new();
        }
        let list = match field {
            "name" | "topic" | "topics" | "topic_names" | "resource_name" => {
                match self.draw.below(4) {
                    0 => CONFIGS,
                    1 => WORDS,
                    _ => TOPICS,
                }
            }
            "value" | "values" => VALUES,
            "member_id" | "leader_id" if !full => {
                return self.recent(|words| &words.members).into_bytes();
            }
            "configuration_keys" => CONFIGS,
            _ => WORDS,
        };
        self.one(list).as_bytes().to_vec()
    }

    fn bytes(&mut self, field: &str, full: bool) -> Vec<u8> {
        match field {
            "records" => self.batch(),
            _ => self.text(field, full),
        }
    }

    fn number(&mut self, field: &str, width: usize, _: bool) -> Vec<u8> {
        if width == 16 {
            return self.recent(|words| &words.topics).0.to_vec();
        }
        let number = match field {
            // what a machine of this size can hold
            "num_partitions" | "count" => self.draw.below(6) as i64 - 2,
            "session_timeout_ms" => 6000 + self.draw.below(2) as i64 * 1000,
            "replication_factor" => self.draw.below(3) as i64 - 1,
            "session_id" => self.recent(|words| &words.sessions).into(),
            "generation_id" | "generation_id_or_member_epoch" => {
                self.recent(|words| &words.epochs).into()
            }
            _ if self.one_in(16) => *self.one(EDGES),
            _ => self.draw.below(5) as i64 - 1,
        };
        number.to_be_bytes()[8 - width..].to_vec()
    }
}
