//! Reading a partition of an internal topic from its start to its end, into a shard.

use std::time::Duration;

use ottla_core::shard::Shard;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, Offset, TopicIdPartition};
use ottla_protocol::record::{self, ControlRecord};
use ottla_protocol::record_batch::{self, RecordBatch};
use tracing::warn;

use super::super::log::{Log, Part};

/// How much is read at a time.
const READ_BYTES_MAX: usize = 1 << 20;

/// How often to look whether the end of the log is committed.
const COMMIT_POLL: Duration = Duration::from_millis(5);

/// How many records that are not understood are told of, each.
const WARNINGS_MAX: usize = 10;

/// Why a log was not read.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Error {
    /// The replica does not let it be read.
    #[error("the log cannot be read: {}", .0.name())]
    Log(ErrorCode),
    /// The bytes are no records.
    #[error("the log is malformed at offset {offset}: {what}")]
    Malformed {
        /// Where.
        offset: Offset,
        /// What the decoder said.
        what: String,
    },
}

/// A shard that grows from its log.
pub(super) struct Loading<S> {
    pub(super) shard: S,
    /// How many records were replayed.
    pub(super) records: usize,
    /// How many were not understood: they are left out, as Apache Kafka does.
    skipped: usize,
}

/// Replays all records, then waits until they are committed.
///
/// The wait makes the shard as sure as its log: what an earlier leader appended and did not get
/// committed is in the log of this one, and once it is committed it may be shown.
pub(super) async fn read<S: Shard>(
    log: &dyn Log,
    partition: TopicIdPartition,
    leader_epoch: LeaderEpoch,
    settings: S::Settings,
) -> Result<Loading<S>, Error> {
    let part = |from| log.read(partition, leader_epoch, from, READ_BYTES_MAX);
    let mut loading = Loading {
        shard: S::new(settings),
        records: 0,
        skipped: 0,
    };
    let mut next = Offset::ZERO;
    let end = loop {
        let part: Part = part(next).await.map_err(Error::Log)?;
        if next < part.log_start_offset {
            next = part.log_start_offset;
            continue;
        }
        let reached = loading.replay_part(next, &part)?;
        if reached == next {
            break part.log_end_offset;
        }
        next = reached;
        // a long log must not keep other tasks from running
        tokio::task::yield_now().await;
    };
    if next < end {
        let what = "no batch where the log goes on".to_owned();
        return Err(Error::Malformed { offset: next, what });
    }
    while part(end).await.map_err(Error::Log)?.high_watermark < end {
        tokio::time::sleep(COMMIT_POLL).await;
    }
    Ok(loading)
}

impl<S: Shard> Loading<S> {
    /// Replays the records of `part` from offset `from` on; returns the offset after them.
    fn replay_part(&mut self, from: Offset, part: &Part) -> Result<Offset, Error> {
        let mut next = from;
        for bytes in &part.batches {
            for batch in record_batch::iterate(bytes) {
                let malformed = |what: String| Error::Malformed { offset: next, what };
                let batch = batch.map_err(|error| malformed(error.to_string()))?;
                if batch.header.next_offset() <= from {
                    continue;
                }
                self.replay_batch(&batch)
                    .map_err(|error| malformed(error.to_string()))?;
                next = batch.header.next_offset();
            }
        }
        Ok(next)
    }

    fn replay_batch(&mut self, batch: &RecordBatch<'_>) -> Result<(), record::Error> {
        let header = &batch.header;
        for record in record::iterate(batch.body(), header.records_count) {
            let record = record?;
            let Some(key) = record.key else { continue };
            if header.is_control() {
                let value = record.value.unwrap_or_default();
                if let Some(marker) = ControlRecord::read(key, value) {
                    self.shard.on_marker(header.producer_id, marker);
                }
                continue;
            }
            match S::decode(key, record.value) {
                Ok(Some(record)) => {
                    self.records += 1;
                    match header.is_transactional() {
                        true => {
                            drop(self.shard.replay_open(header.producer_id, record));
                        }
                        false => drop(self.shard.replay(record)),
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    self.skipped += 1;
                    if self.skipped <= WARNINGS_MAX {
                        let offset = header.base_offset;
                        warn!(topic = S::TOPIC, %offset, %error, "a record was left out");
                    }
                }
            }
        }
        Ok(())
    }
}
