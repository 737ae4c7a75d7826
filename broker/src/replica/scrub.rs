//! Reads what nobody reads: a damaged record that is met by chance is met too late, when another
//! copy is gone as well. Slowly, so that nobody notices.

use std::sync::Arc;
use std::time::Duration;

use ottla_protocol::ids::Offset;
use ottla_protocol::record_batch;
use ottla_storage::Error;
use ottla_storage::log::Read;

use super::Shared;
use super::partition::Replica;
use crate::threads;

/// How much is read at a time, and how much in a second.
const STEP_BYTES: usize = 512 << 10;
const BYTES_PER_SECOND: usize = 4 << 20;

/// Reads all logs from end to end, again and again, until the broker stops.
pub(super) async fn run(shared: Arc<Shared>) {
    let interval = shared.settings.scrub_interval;
    if interval.is_zero() {
        return;
    }
    loop {
        tokio::time::sleep(interval).await;
        for replica in shared.index.all() {
            if shared.is_stopping() {
                return;
            }
            if let Err(error) = scrub(&shared, &replica).await {
                replica.note_damage(&error);
            }
        }
    }
}

/// Reads what of one log is in segments; storage looks at the checksums.
async fn scrub(shared: &Shared, replica: &Arc<Replica>) -> Result<(), Error> {
    let end = replica.reader.log_end_offset();
    let mut next = replica.reader.log_start_offset();
    while next < end && !replica.is_deleted() && !shared.is_stopping() {
        let read = match replica.reader.read(next, STEP_BYTES, end) {
            Ok(Read::Segment(read)) => read,
            // what is in memory came by a checksum just now; and a log that was cut is another one
            Ok(Read::Memory(_)) | Err(Error::OffsetOutOfRange { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let Some(bytes) = threads::blocking(shared.inline, || read.perform()).await else {
            return Ok(()); // the runtime is going down
        };
        let bytes = bytes?;
        let Some(after) = end_of(&bytes) else {
            return Ok(());
        };
        next = after;
        tokio::time::sleep(pause(bytes.len())).await;
    }
    Ok(())
}

/// How long so many bytes are to take.
fn pause(bytes: usize) -> Duration {
    Duration::from_secs_f64(bytes as f64 / BYTES_PER_SECOND as f64)
}

fn end_of(batches: &[u8]) -> Option<Offset> {
    let headers = record_batch::headers(batches).map_while(Result::ok);
    headers.last().map(|(_, header)| header.next_offset())
}
