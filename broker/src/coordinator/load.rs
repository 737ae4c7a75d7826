//! Reading a partition of `__consumer_offsets` from its start to its end.

use std::time::Duration;

use ottla_core::group::Loader;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, Offset, TopicIdPartition};
use ottla_protocol::record;
use ottla_protocol::record_batch;

use super::log::{Log, Part};

/// How much is read at a time.
const READ_BYTES_MAX: usize = 1 << 20;

/// How often to look whether the end of the log is committed.
const COMMIT_POLL: Duration = Duration::from_millis(5);

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

/// Reads all records, then waits until they are committed.
///
/// The wait makes the shard as sure as its log: what an earlier leader appended and did not get
/// committed is in the log of this one, and once it is committed it may be shown.
pub(super) async fn read(
    log: &dyn Log,
    partition: TopicIdPartition,
    leader_epoch: LeaderEpoch,
) -> Result<Loader, Error> {
    let part = |from| log.read(partition, leader_epoch, from, READ_BYTES_MAX);
    let mut loader = Loader::default();
    let mut next = Offset::ZERO;
    let end = loop {
        let part: Part = part(next).await.map_err(Error::Log)?;
        if next < part.log_start_offset {
            next = part.log_start_offset;
            continue;
        }
        let reached = observe(&mut loader, next, &part)?;
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
    Ok(loader)
}

/// Shows the records of `part` from offset `from` on to the loader; returns the offset after them.
fn observe(loader: &mut Loader, from: Offset, part: &Part) -> Result<Offset, Error> {
    let mut next = from;
    for bytes in &part.batches {
        for batch in record_batch::iterate(bytes) {
            let malformed = |what: String| Error::Malformed { offset: next, what };
            let batch = batch.map_err(|error| malformed(error.to_string()))?;
            let header = batch.header;
            if header.next_offset() <= from {
                continue;
            }
            // control batches end transactions, of which there are none here yet
            if !header.is_control() {
                for record in record::iterate(batch.body(), header.records_count) {
                    let record = record.map_err(|error| malformed(error.to_string()))?;
                    if let Some(key) = record.key {
                        loader.observe(key, record.value);
                    }
                }
            }
            next = header.next_offset();
        }
    }
    Ok(next)
}
