//! Records of a shard to batches of its log.

use bytes::BytesMut;
use ottla_core::group::Record;
use ottla_protocol::codec;
use ottla_protocol::record::NewRecord;
use ottla_protocol::record_batch::Builder;

/// A batch takes no more records once it has this many bytes.
const BATCH_BYTES_MAX: usize = 512 * 1024;

/// The records in order, in as few batches as their size lets.
///
/// # Errors
/// A record that cannot be written, so that none may be.
pub(super) fn build(records: &[Record], timestamp_ms: i64) -> Result<Vec<BytesMut>, codec::Error> {
    let mut batches = Vec::new();
    let mut builder = Builder::new();
    for record in records {
        let (key, value) = record.encode()?;
        builder.push(&NewRecord {
            timestamp_ms,
            key: Some(&key),
            value: value.as_deref(),
            headers: &[],
        });
        if builder.bytes() >= BATCH_BYTES_MAX {
            batches.push(std::mem::take(&mut builder).build());
        }
    }
    if builder.count() > 0 {
        batches.push(builder.build());
    }
    Ok(batches)
}
