//! Walks the batches of a segment's file.

use std::sync::Arc;

use ottla_protocol::record_batch::{self, HEADER_BYTES, Header};

use super::SharedLog;
use super::order::Order;
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

/// Gives the headers from `from` (where a batch begins) to `until`, while `more` says so: each once
/// it is held against its neighbours.
pub(crate) fn headers(
    log: &SharedLog,
    id: SegmentId,
    span: (u64, u64),
    order: Order,
    more: &mut dyn FnMut(u64, &Header) -> bool,
) -> Result<()> {
    judged(log, id, span, order, &mut |position, header, damage| {
        damage.map_or(Ok(()), Err)?;
        Ok(more(position, header))
    })
}

/// The same, with the damage of those that are not where they should be: what lies behind them may
/// be good.
pub(crate) fn judged(
    log: &SharedLog,
    id: SegmentId,
    (from, until): (u64, u64),
    mut order: Order,
    more: &mut dyn FnMut(u64, &Header, Option<Error>) -> Result<bool>,
) -> Result<()> {
    let mut steps = Steps::new(log, id, (from, until))?;
    let mut last: Option<(u64, Header)> = None;
    loop {
        let next = steps.next();
        if let Some((position, header)) = &last {
            // what lies before damage is good still
            let after = match &next {
                Ok(Some((_, next))) => Some(next.base_offset),
                Ok(None) | Err(_) => None,
            };
            let path = || segment::path(&log.dir, id, Kind::Data);
            let damage = order.pass(header, after).err();
            let damage = damage.map(|what| Error::corrupt(&path(), *position, what));
            if !more(*position, header, damage)? {
                return Ok(());
            }
        }
        last = next?;
        if last.is_none() {
            return Ok(());
        }
    }
}

/// Header after header, as they are.
struct Steps<'a> {
    log: &'a SharedLog,
    id: SegmentId,
    file: Option<Arc<dyn File>>,
    buffer: Vec<u8>,
    /// Where the buffer begins.
    front: u64,
    position: u64,
    until: u64,
}

impl<'a> Steps<'a> {
    fn new(log: &'a SharedLog, id: SegmentId, (from, until): (u64, u64)) -> Result<Self> {
        let file = (from < until).then(|| data_file(log, id)).transpose()?;
        Ok(Self {
            log,
            id,
            file,
            buffer: Vec::with_capacity(STEP_BYTES),
            front: from,
            position: from,
            until,
        })
    }

    fn next(&mut self) -> Result<Option<(u64, Header)>> {
        let (position, until) = (self.position, self.until);
        let Some(file) = self.file.as_ref().filter(|_| position < until) else {
            return Ok(None);
        };
        let path = || segment::path(&self.log.dir, self.id, Kind::Data);
        let ahead = (position - self.front) as usize;
        if self.buffer.len() < ahead + HEADER_BYTES {
            self.buffer.clear();
            self.front = position;
            file.read_at(&mut self.buffer, position, STEP_BYTES)
                .context("read", &path())?;
        }
        let bytes = &self.buffer[(position - self.front) as usize..];
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
        self.position += header.bytes() as u64;
        Ok(Some((position, header)))
    }
}
