//! Walks the batches of a segment's file.

use std::sync::Arc;

use ottla_protocol::record_batch::{self, HEADER_BYTES, Header};

use super::SharedLog;
use crate::disk::Mode;
use crate::error::Context;
use crate::segment::{self, Kind, SEGMENT_HEADER_BYTES, SegmentId};
use crate::{Error, File, Result};

/// Bytes read at once: the headers of many small batches, or of one big one.
const STEP_BYTES: usize = 4096;

/// The data file of a segment, its identity checked when it is opened.
pub(crate) fn data_file(log: &SharedLog, id: SegmentId) -> Result<Arc<dyn File>> {
    let shared = &log.shared;
    let key = (log.number, id, Kind::Data);
    if let Some(file) = shared.files.get(key) {
        return Ok(file);
    }
    let path = segment::path(&log.dir, id, Kind::Data);
    let file = shared
        .files
        .open(&*shared.disk, key, &path, Mode::Write)
        .context("open", &path)?;
    let mut bytes = Vec::new();
    file.read_at(&mut bytes, 0, SEGMENT_HEADER_BYTES as usize)
        .context("read", &path)?;
    segment::check_header(&path, &bytes, log.id, id).inspect_err(|_| shared.files.close(key))?;
    Ok(file)
}

/// The header at a position, where a batch begins there that ends by `until`.
pub(crate) fn header_at(
    log: &SharedLog,
    id: SegmentId,
    position: u64,
    until: u64,
) -> Result<Option<Header>> {
    let file = data_file(log, id)?;
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    let read = file.read_at(&mut bytes, position, HEADER_BYTES);
    read.context("read", &segment::path(&log.dir, id, Kind::Data))?;
    let header = Header::read_placed(&bytes).ok();
    Ok(header.filter(|header| position + header.bytes() as u64 <= until))
}

/// Gives the headers from `from` (where a batch begins) to `until`, while `more` says so.
pub(crate) fn headers(
    log: &SharedLog,
    id: SegmentId,
    from: u64,
    until: u64,
    more: &mut dyn FnMut(u64, &Header) -> bool,
) -> Result<()> {
    if from >= until {
        return Ok(());
    }
    let file = data_file(log, id)?;
    let path = || segment::path(&log.dir, id, Kind::Data);
    let mut buffer = Vec::with_capacity(STEP_BYTES);
    let (mut front, mut position) = (from, from);
    while position < until {
        let ahead = (position - front) as usize;
        if buffer.len() < ahead + HEADER_BYTES {
            buffer.clear();
            front = position;
            file.read_at(&mut buffer, front, STEP_BYTES)
                .context("read", &path())?;
        }
        let bytes = &buffer[(position - front) as usize..];
        let header = Header::read_placed(bytes).and_then(|header| {
            let (needed, found) = (header.bytes(), (until - position) as usize);
            if needed <= found {
                Ok(header)
            } else {
                Err(record_batch::Error::Truncated { needed, found })
            }
        });
        let header =
            header.map_err(|error| Error::corrupt(&path(), position, error.to_string()))?;
        if !more(position, &header) {
            break;
        }
        position += header.bytes() as u64;
    }
    Ok(())
}
