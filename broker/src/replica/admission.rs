//! What a leader takes from a producer: what Kafka checks before an append, with Kafka's errors.
//!
//! Every record is looked at once, in place: what is in the log, consumers can read. The batch
//! stays as it came but for its max timestamp, which is that of the records whatever its header
//! says: retention, lookups by time and the bounds of timestamps go by it.

use ottla_core::config::TopicConfig;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, NodeId};
use ottla_protocol::record::{self, Seen};
use ottla_protocol::record_batch::{self, Compression, Header, RecordBatch};

/// The first version of Produce whose clients know Zstandard.
const ZSTD_VERSION_MIN: i16 = 7;

/// How many records of a batch are named in an answer that refuses it.
const RECORD_ERRORS_MAX: usize = 100;

/// The most bytes that a batch may decompress to: consumers have to do it too.
const DECOMPRESSED_BYTES_MAX: usize = 256 << 20;

/// What is decompressed at once on a thread that serves connections, half a millisecond of work.
const SERVED_BYTES_MAX: usize = 256 << 10;

/// Why a batch was not appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Kafka's error.
    pub error: ErrorCode,
    /// One sentence, where there is more to say.
    pub message: Option<String>,
    /// Which records are wrong, and in what.
    pub records: Vec<(i32, String)>,
    /// Who leads instead, as far as is known here.
    pub leader: Option<(NodeId, LeaderEpoch)>,
    /// It is for another broker, and nothing was done.
    pub is_untaken: bool,
}

impl From<ErrorCode> for Refused {
    fn from(error: ErrorCode) -> Self {
        Self {
            error,
            message: None,
            records: Vec::new(),
            leader: None,
            is_untaken: false,
        }
    }
}

/// What a batch is judged by.
pub(super) struct Terms<'a> {
    /// The topic's configs.
    pub(super) config: &'a TopicConfig,
    /// The version of the request.
    pub(super) api_version: i16,
    /// What time it is, in ms.
    pub(super) now_ms: i64,
    /// Whether this thread may not be left to one batch for long.
    pub(super) is_serving: bool,
}

impl Terms<'_> {
    /// Checks a batch, and sets the times that the leader sets.
    pub(super) fn admit(&self, batch: &mut [u8]) -> Result<Header, Refused> {
        let header = record_batch::validate_produced(batch).map_err(refused)?;
        if batch.len() > self.config.max_message_bytes {
            let (bytes, limit) = (batch.len(), self.config.max_message_bytes);
            return Err(Refused {
                message: Some(format!(
                    "the batch has {bytes} bytes, and max.message.bytes is {limit}"
                )),
                ..Refused::from(ErrorCode::MessageTooLarge)
            });
        }
        if self.api_version < ZSTD_VERSION_MIN && header.compression() == Ok(Compression::Zstd) {
            return Err(ErrorCode::UnsupportedCompressionType.into());
        }
        let judge = self.judge_records(batch)?;
        if self.config.is_log_append_time {
            record_batch::set_log_append_time(batch, self.now_ms);
        } else if judge.max_timestamp != header.max_timestamp {
            record_batch::set_max_timestamp(batch, judge.max_timestamp);
        } else {
            return Ok(header);
        }
        Header::read(batch).map_err(refused)
    }

    fn judge_records(&self, batch: &[u8]) -> Result<Judge, Refused> {
        let batch = RecordBatch::first(batch).map_err(refused)?;
        let judged = match self.is_serving {
            true => self.walk(&batch, SERVED_BYTES_MAX),
            false => self.walk(&batch, DECOMPRESSED_BYTES_MAX),
        };
        match judged {
            Err(record_batch::Error::Records(record::Error::TooLarge { .. }))
                if self.is_serving =>
            {
                tokio::task::block_in_place(|| self.walk(&batch, DECOMPRESSED_BYTES_MAX))
            }
            judged => judged,
        }
        .map_err(refused)?
        .verdict()
    }

    fn walk(
        &self,
        batch: &RecordBatch<'_>,
        bytes_max: usize,
    ) -> Result<Judge, record_batch::Error> {
        let config = self.config;
        let (after, before) = (
            config.message_timestamp_after_max_ms,
            config.message_timestamp_before_max_ms,
        );
        let mut judge = Judge {
            base_timestamp: batch.header.base_timestamp,
            needs_key: config.is_compacted,
            earliest: self.now_ms.saturating_sub(before),
            latest: self.now_ms.saturating_add(after),
            max_timestamp: -1,
            is_untimely: false,
            wrong: Vec::new(),
        };
        if config.is_log_append_time {
            (judge.earliest, judge.latest) = (0, i64::MAX); // the records' own times do not count
        }
        batch.walk(bytes_max, |record| judge.see(record))?;
        Ok(judge)
    }
}

fn refused(error: record_batch::Error) -> Refused {
    Refused {
        message: Some(error.to_string()),
        ..Refused::from(error.code())
    }
}

/// What is found out about records on a walk over them.
struct Judge {
    base_timestamp: i64,
    needs_key: bool,
    earliest: i64,
    latest: i64,
    max_timestamp: i64,
    is_untimely: bool,
    wrong: Vec<(i32, String)>,
}

impl Judge {
    #[inline]
    fn see(&mut self, record: Seen) {
        let timestamp = self.base_timestamp.saturating_add(record.timestamp_delta);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let is_timely = timestamp < 0 || (self.earliest..=self.latest).contains(&timestamp);
        if is_timely && (record.has_key || !self.needs_key) {
            return;
        }
        self.find_wrong(record, timestamp, is_timely);
    }

    #[cold]
    fn find_wrong(&mut self, record: Seen, timestamp: i64, is_timely: bool) {
        let what = if record.has_key || !self.needs_key {
            let (earliest, latest) = (self.earliest, self.latest);
            format!("timestamp {timestamp} is not between {earliest} and {latest}")
        } else {
            // there is nothing to compact by (KIP-467)
            "a compacted topic takes no record without a key".to_owned()
        };
        self.is_untimely |= !is_timely;
        if self.wrong.len() < RECORD_ERRORS_MAX {
            self.wrong.push((record.place, what));
        }
    }

    fn verdict(self) -> Result<Self, Refused> {
        if self.wrong.is_empty() {
            return Ok(self);
        }
        let error = match self.is_untimely {
            true => ErrorCode::InvalidTimestamp,
            false => ErrorCode::InvalidRecord,
        };
        Err(Refused {
            message: Some("one or more records have been rejected".to_owned()),
            records: self.wrong,
            ..Refused::from(error)
        })
    }
}
