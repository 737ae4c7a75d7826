//! The files of a compaction: segments read in steps, a new one written, and what crashes left of
//! earlier ones removed.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use ottla_protocol::ids::Offset;
use ottla_protocol::log::LeaderEpochs;
use ottla_protocol::record::{self, Record};
use ottla_protocol::record_batch::{DECOMPRESSED_BYTES_MAX, HEADER_BYTES, Header, RecordBatch};

use super::retention::Retention;
use super::transactions::Passed;
use super::{Compaction, Halt, Owner, Source, Sources};
use crate::disk::{self, Mode};
use crate::error::Context;
use crate::log::index::Index;
use crate::log::order::{self, BASE_OFFSET_BYTES, Order};
use crate::log::state::Doomed;
use crate::log::{SharedLog, scan};
use crate::ranked::lock;
use crate::segment::{self, Kind, SEGMENT_HEADER_BYTES, Segment, SegmentId};
use crate::{Error, File, Result};

type Halting<T> = std::result::Result<T, Halt>;

/// Gives every batch between two positions of a segment, while `visit` says so.
pub(super) fn batches(
    log: &SharedLog,
    (id, from, until): (SegmentId, u64, u64),
    mut order: Order,
    terms: &Compaction,
    owner: &mut dyn Owner,
    visit: &mut dyn FnMut(&[u8], &Header) -> Result<bool>,
) -> Halting<()> {
    let path = || segment::path(&log.dir, id, Kind::Data);
    if from >= until {
        return Ok(());
    }
    let file = scan::data_file(log, id)?;
    let mut position = from;
    let mut step = terms.buffer_bytes.max(HEADER_BYTES);
    let mut buffer = Vec::new();
    while position < until {
        let left = usize::try_from(until - position).unwrap_or(usize::MAX);
        buffer.clear();
        let wanted = step.min(left);
        let read = file.read_at(&mut buffer, position, wanted);
        read.context("read", &path())?;
        if !owner.goes_on(buffer.len() as u64) {
            return Err(Halt::Stopped);
        }
        let corrupt = |at: usize, what: Cow<'static, str>| {
            Error::corrupt(&path(), position + at as u64, what)
        };
        let mut at = 0;
        while at < buffer.len() {
            let rest = &buffer[at..];
            // with the front of the batch behind it, unless it is the last
            let is_whole = |header: &Header| {
                let end = at + header.bytes();
                let needed = (end + BASE_OFFSET_BYTES).min(left);
                end <= left && needed <= buffer.len()
            };
            let header = match Header::read_placed(rest) {
                Ok(header) if is_whole(&header) => header,
                Ok(header) if at + header.bytes() > left => {
                    return Err(corrupt(at, "a record batch is cut off".into()).into());
                }
                // the next read begins with it
                Ok(header) if at == 0 && buffer.len() == wanted => {
                    step = step.max(header.bytes() + BASE_OFFSET_BYTES);
                    break;
                }
                Err(error) if at == 0 || rest.len() >= HEADER_BYTES || at + rest.len() == left => {
                    return Err(corrupt(at, error.to_string().into()).into());
                }
                Ok(_) if at == 0 => {
                    return Err(corrupt(at, "the segment is cut off".into()).into());
                }
                _ => break,
            };
            let after = order::base_offset(&rest[header.bytes()..]);
            order
                .pass(&header, after.filter(|_| at + header.bytes() < left))
                .map_err(|what| corrupt(at, what.into()))?;
            if !header.crc_holds(rest) {
                let what = "a record batch's checksum does not match".into();
                return Err(corrupt(at, what).into());
            }
            if !visit(&rest[..header.bytes()], &header)? {
                return Ok(());
            }
            at += header.bytes();
        }
        position += at as u64;
    }
    Ok(())
}

/// A segment that is being written.
struct Output<'a> {
    log: &'a SharedLog,
    file: Arc<dyn File>,
    segment: Segment,
    buffer: Vec<u8>,
    buffer_bytes: usize,
    /// Whether it differs from what was read.
    is_changed: bool,
    /// The last batch that went, without records, where no other came after it.
    dropped_last: Option<Vec<u8>>,
}

impl<'a> Output<'a> {
    fn create(log: &'a SharedLog, id: SegmentId, buffer_bytes: usize) -> Result<Self> {
        let path = segment::path(&log.dir, id, Kind::Data);
        let file = log.shared.disk.open(&path, Mode::Create);
        let file = file.context("create", &path)?;
        // what a crash may have left under this name
        file.set_len(0).context("cut", &path)?;
        Ok(Self {
            log,
            file,
            segment: Segment {
                generation: id.generation,
                bytes: 0,
                index_cut: None,
                ..Segment::new(id.base_offset, -1)
            },
            buffer: segment::encode_header(log.id, id).to_vec(),
            buffer_bytes,
            is_changed: false,
            dropped_last: None,
        })
    }

    fn push(&mut self, bytes: &[u8], header: &Header, horizon: Option<i64>) -> Result<()> {
        self.is_changed |= self.dropped_last.take().is_some();
        if header.records_count > 0 {
            let segment = &mut self.segment;
            if segment.first_timestamp < 0 {
                segment.first_timestamp = header.max_timestamp;
            }
            segment.max_timestamp = segment.max_timestamp.max(header.max_timestamp);
            let horizon = horizon.unwrap_or(i64::MAX);
            segment.delete_horizon_ms = segment.delete_horizon_ms.min(horizon);
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= self.buffer_bytes {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        let path = segment::path(&self.log.dir, self.segment.id(), Kind::Data);
        let written = self.file.write_at(&self.buffer, self.segment.bytes);
        written.context("write", &path)?;
        self.segment.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes what stays of a batch.
    fn filter(
        &mut self,
        bytes: &[u8],
        header: &Header,
        (retention, passed): (&Retention<'_>, &mut Passed),
    ) -> Result<()> {
        let whole = |output: &mut Self| output.push(bytes, header, None);
        if retention.is_beyond(header) {
            return whole(self);
        }
        let standing = passed.pass(header, retention.aborted);
        // what cannot be looked into stays as it is
        let Ok(read) = RecordBatch::first(bytes) else {
            return whole(self);
        };
        let Ok(body) = read.decompressed(DECOMPRESSED_BYTES_MAX) else {
            return whole(self);
        };
        let records = record::iterate(&body, header.records_count);
        let Ok(verdict) = retention.judge(header, standing, records) else {
            return whole(self);
        };
        let horizon = match verdict.has_tombstone {
            true => verdict.new_horizon.or(header.delete_horizon()),
            false => None,
        };
        if verdict.is_whole() {
            return self.push(bytes, header, horizon);
        }
        let mut keep = |record: &Record<'_>| retention.keeps(header, standing, record);
        let Ok(rebuilt) = read.compacted(&body, verdict.new_horizon, &mut keep) else {
            return whole(self);
        };
        if header.is_control() && verdict.kept == 0 && verdict.seen > 0 {
            passed.removed.push(header.base_offset);
        }
        // an empty batch that stays once more is no change
        self.is_changed |= verdict.seen > 0;
        let header = Header::read_placed(&rebuilt).map_err(Error::InvalidBatches)?;
        if verdict.kept > 0 || retention.is_needed_empty(&header) {
            return self.push(&rebuilt, &header, horizon);
        }
        let before = self.dropped_last.replace(rebuilt.to_vec());
        self.is_changed |= before.is_some();
        Ok(())
    }

    /// All batches were seen. Where none came after one that went, its offsets would be missing
    /// at the end of all that is compacted: a follower could never reach the end of the log.
    fn finish(&mut self, is_last: bool) -> Result<()> {
        match self.dropped_last.take() {
            Some(bytes) if is_last => {
                let header = Header::read_placed(&bytes).map_err(Error::InvalidBatches)?;
                self.push(&bytes, &header, None)?;
            }
            Some(_) => self.is_changed = true,
            None => {}
        }
        self.write()
    }
}

/// Writes what stays of a group of segments into one new segment, durably. `None`: all stays as it
/// is.
pub(super) fn group(
    log: &SharedLog,
    sources: &Sources,
    group: &[Source],
    (retention, passed, is_last): (&Retention<'_>, &mut Passed, bool),
    terms: &Compaction,
    owner: &mut dyn Owner,
) -> Halting<Option<Segment>> {
    // metadata and deletions need the reserve
    if !log
        .shared
        .has_room_for(group.iter().map(|source| source.bytes).sum())?
    {
        return Err(log.shared.full().into());
    }
    let generations = group.iter().map(|source| source.id.generation);
    let id = SegmentId {
        base_offset: group[0].id.base_offset,
        generation: generations.max().unwrap_or(0) + 1,
    };
    let written = write_group(
        log,
        id,
        group,
        (retention, passed, is_last),
        (terms, sources),
        owner,
    );
    match written {
        Ok(Some(segment)) => Ok(Some(segment)),
        Ok(None) => {
            discard(log, id)?;
            Ok(None)
        }
        Err(halt) => {
            // on a full or failing disk it may stay: the next compaction sweeps
            let _ = discard(log, id);
            Err(halt)
        }
    }
}

fn write_group(
    log: &SharedLog,
    id: SegmentId,
    group: &[Source],
    (retention, passed, is_last): (&Retention<'_>, &mut Passed, bool),
    (terms, sources): (&Compaction, &Sources),
    owner: &mut dyn Owner,
) -> Halting<Option<Segment>> {
    let mut output = Output::create(log, id, terms.buffer_bytes).map_err(settle(log))?;
    for source in group {
        let mut visit = |bytes: &[u8], header: &Header| {
            // what is below the start of the log is nobody's any more
            if header.last_offset() >= sources.log_start_offset {
                let filtered = output.filter(bytes, header, (retention, &mut *passed));
                filtered.map_err(settle(log))?;
            } else {
                output.is_changed = true;
            }
            Ok(true)
        };
        let whole = (source.id, SEGMENT_HEADER_BYTES, source.bytes);
        batches(log, whole, sources.order(source), terms, owner, &mut visit)?;
    }
    output.finish(is_last).map_err(settle(log))?;
    let segment = output.segment.clone();
    let is_same = group.len() == 1
        && !output.is_changed
        && segment.delete_horizon_ms == group[0].delete_horizon_ms;
    if is_same {
        return Ok(None);
    }
    if !owner.goes_on(segment.bytes) {
        return Err(Halt::Stopped);
    }
    make_durable(log, &output, sources.index_interval_bytes).map_err(settle(log))?;
    Ok(Some(segment))
}

/// Syncs the file, its index and their names.
fn make_durable(log: &SharedLog, output: &Output<'_>, interval: u64) -> Result<()> {
    let id = output.segment.id();
    let path = segment::path(&log.dir, id, Kind::Data);
    output.file.sync_data().sync_context(&path)?;
    let mut index = Index::open(log, id, output.segment.bytes, 0)?;
    let order = Order::new(id.base_offset, Offset(i64::MAX), LeaderEpochs::default());
    index.catch_up(log, id, (output.segment.bytes, order), interval)?;
    let disk = &log.shared.disk;
    disk.sync_dir(&log.dir).sync_context(&log.dir)
}

/// A full disk is waited for; any other failure of a write takes the directory offline.
fn settle(log: &SharedLog) -> impl Fn(Error) -> Error {
    |error| match error {
        // its directory may be gone
        _ if lock(&log.state).is_deleted => Error::LogDeleted(log.name.clone()),
        error if error.is_no_space() => log.shared.full(),
        error @ (Error::DiskFull { .. } | Error::Offline { .. }) => error,
        error => log.shared.fail(&error),
    }
}

/// Removes the files of a segment that is in no state.
pub(super) fn discard(log: &SharedLog, id: SegmentId) -> Result<()> {
    for kind in [Kind::Data, Kind::Index] {
        log.shared.files.close((log.number, id, kind));
        let path = segment::path(&log.dir, id, kind);
        disk::remove_file(&*log.shared.disk, &path).context("remove", &path)?;
    }
    Ok(())
}

/// Removes the segment files that a crash left: those that are in no state.
pub(super) fn sweep(log: &SharedLog) -> Result<()> {
    let entries = match log.shared.disk.list(&log.dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        listed => listed.context("list", &log.dir)?,
    };
    let found = entries
        .iter()
        .filter_map(|entry| segment::parse(&entry.name));
    let mut state = lock(&log.state);
    let is_orphan = |id: &SegmentId| {
        let is_live = state.segments.iter().any(|segment| segment.id() == *id);
        let doomed = Doomed::Segment(*id);
        !is_live && !state.doomed.iter().any(|(_, known)| *known == doomed)
    };
    let orphans: BTreeSet<SegmentId> = found.filter(is_orphan).collect();
    let (appended, compacted): (Vec<_>, Vec<_>) =
        orphans.into_iter().partition(|id| id.generation == 0);
    // appends may need such a name again: the flusher removes the file before it writes that
    let lsn = state.lsn;
    let appended = appended.into_iter().map(|id| (lsn, Doomed::Segment(id)));
    state.doomed.extend(appended);
    drop(state);
    // only a compaction makes these, and this is the only one
    for id in compacted {
        discard(log, id)?;
    }
    Ok(())
}
