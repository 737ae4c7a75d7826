//! A small synced record log: consecutive numbered entries, cut at either end.
//!
//! For the metadata quorum's own log. Entries are kept in memory too, so it suits logs that
//! snapshots keep short.
//!
//! ```text
//! <dir>/<sequence, 20 digits>.journal: records, one after the other
//! 0        4       8        12     16      24        32
//! | magic  | crc   | length | kind | index | synced  | payload …
//! | "OTJR" | u32   | u32    | u32  | u64   | u64     |
//! <dir>/first: the first index that counts (a snapshot file, u64)
//! ```
//! Little-endian; the crc covers all after it, payload included. Kinds: 1 an entry; 2 cut: the
//! journal ends at `index` (each file begins with one, for those before it may be removed).
//! `synced` is how much of the file was durable when the record was written: a bad record that a
//! later one calls durable is damage, any other is a torn tail.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::{self, Mode};
use crate::error::Context;
use crate::wal::{eight, four};
use crate::{Disk, Error, File, Result, snapshot_file};

/// A file takes no further records beyond this.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// A file that is longer is taken for damage.
const READ_BYTES_MAX: usize = 1 << 30;
/// Names the first index that counts.
const FIRST: &str = "first";
const MAGIC: [u8; 4] = *b"OTJR";
const HEADER_BYTES: usize = 32;
const ENTRY: u32 = 1;
const CUT: u32 = 2;

/// A synced record log.
#[derive(Debug)]
pub struct Journal {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    entries: Entries,
    /// The sequences of the files, ascending; the last one is written to.
    files: VecDeque<u64>,
    file: Option<Arc<dyn File>>,
    /// How much of that file is written, and durable.
    position: u64,
    /// The first failure of a write or sync; nothing is written after it.
    failed: Option<Error>,
}

/// Consecutive entries from `base` on, each with the sequence of its file.
#[derive(Debug, Default)]
struct Entries {
    base: u64,
    list: VecDeque<(u64, Bytes)>,
}

impl Entries {
    fn next(&self) -> u64 {
        self.base + self.list.len() as u64
    }

    /// The end is at `index` now.
    fn cut(&mut self, index: u64) {
        if index < self.base || index > self.next() {
            *self = Self {
                base: index,
                list: VecDeque::new(),
            };
        } else {
            self.list.truncate((index - self.base) as usize);
        }
    }

    /// The start is at `index` now.
    fn purge(&mut self, index: u64) {
        if index > self.next() {
            self.cut(index);
        } else if index > self.base {
            self.list.drain(..(index - self.base) as usize);
            self.base = index;
        }
    }
}

fn path(dir: &Path, sequence: u64) -> PathBuf {
    dir.join(format!("{sequence:020}.journal"))
}

fn encode(out: &mut Vec<u8>, kind: u32, index: u64, synced: u64, payload: &[u8]) {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&index.to_le_bytes());
    out.extend_from_slice(&synced.to_le_bytes());
    out.extend_from_slice(payload);
    let crc = crc32c::crc32c(&out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

/// One record at the front of `bytes`: kind, index, synced, payload.
fn decode(bytes: &[u8]) -> Option<(u32, u64, u64, &[u8])> {
    if bytes.len() < HEADER_BYTES || bytes[..4] != MAGIC {
        return None;
    }
    let length = u32::from_le_bytes(four(bytes, 8)) as usize;
    let record = bytes.get(..HEADER_BYTES.checked_add(length)?)?;
    if crc32c::crc32c(&record[8..]) != u32::from_le_bytes(four(bytes, 4)) {
        return None;
    }
    let kind = u32::from_le_bytes(four(bytes, 12));
    let index = u64::from_le_bytes(eight(bytes, 16));
    Some((
        kind,
        index,
        u64::from_le_bytes(eight(bytes, 24)),
        &record[HEADER_BYTES..],
    ))
}

/// Whether a record in `bytes`, which are bad at their front, calls `position` durable.
fn says_durable(bytes: &[u8], position: u64) -> bool {
    (1..bytes.len()).any(|at| {
        bytes[at] == MAGIC[0]
            && decode(&bytes[at..]).is_some_and(|(_, _, synced, _)| synced > position)
    })
}

impl Journal {
    /// Opens the directory of a journal, makes it where missing, cuts a torn tail.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self> {
        let first = dir.join(FIRST);
        disk.create_dir_all(dir).context("create", dir)?;
        // names that a killed process made may not be durable yet
        disk.sync_dir(dir).sync_context(dir)?;
        let first_index = snapshot_file::read(&*disk, &first)?;
        if first_index.is_none() {
            for above in dir.ancestors().skip(1) {
                // those that may not be synced were not made here
                let _ = disk.sync_dir(above);
            }
        }
        let first_index = match first_index.as_deref() {
            None => 0,
            Some(bytes) if bytes.len() == 8 => u64::from_le_bytes(eight(bytes, 0)),
            Some(_) => {
                let what = "it does not hold one index";
                return Err(Error::corrupt(&first, 0, what));
            }
        };
        let mut files = VecDeque::new();
        for entry in disk.list(dir).context("list", dir)? {
            let sequence = entry.name.strip_suffix(".journal");
            files.extend(sequence.and_then(|sequence| sequence.parse::<u64>().ok()));
        }
        let mut journal = Self {
            disk,
            dir: dir.to_path_buf(),
            entries: Entries::default(),
            files,
            file: None,
            position: 0,
            failed: None,
        };
        for sequence in journal.files.clone() {
            journal.load(sequence)?;
        }
        journal.entries.purge(first_index);
        journal.rewrite_newest()?;
        Ok(journal)
    }

    /// A file of its own for this life. What the newest file held is written again: it may have
    /// been read from a page cache that an earlier, failed fsync left with bytes that the medium
    /// never got.
    fn rewrite_newest(&mut self) -> Result<()> {
        let newest = self.files.back().copied();
        let older = self
            .entries
            .list
            .iter()
            .take_while(|(file, _)| Some(*file) != newest)
            .count();
        let again: Vec<_> = self
            .entries
            .list
            .drain(older..)
            .map(|(_, entry)| entry)
            .collect();
        self.roll()?;
        self.append(&again)
    }

    fn load(&mut self, sequence: u64) -> Result<()> {
        let path = path(&self.dir, sequence);
        let bytes = disk::read_whole(&*self.disk, &path, READ_BYTES_MAX).context("read", &path)?;
        let mut at = 0;
        while at < bytes.len() {
            let corrupt = |what: &'static str| Error::corrupt(&path, at as u64, what);
            let Some((kind, index, _, payload)) = decode(&bytes[at..]) else {
                if says_durable(&bytes[at..], at as u64) {
                    return Err(corrupt("a record of the journal is damaged"));
                }
                // a tail that a crash tore: it was never acknowledged
                return Ok(());
            };
            match kind {
                CUT => self.entries.cut(index),
                ENTRY if index == self.entries.next() => {
                    let entry = Bytes::copy_from_slice(payload);
                    self.entries.list.push_back((sequence, entry));
                }
                _ => return Err(corrupt("a record of the journal has an unexpected index")),
            }
            at += HEADER_BYTES + payload.len();
        }
        Ok(())
    }

    /// The first entry's index (= [`Journal::next_index`] where empty).
    #[must_use]
    pub fn first_index(&self) -> u64 {
        self.entries.base
    }

    /// The index that the next entry gets.
    #[must_use]
    pub fn next_index(&self) -> u64 {
        self.entries.next()
    }

    /// Appends entries and makes them durable with one fsync before it returns.
    pub fn append(&mut self, entries: &[Bytes]) -> Result<()> {
        if entries.is_empty() {
            return self.check();
        }
        if self.position >= FILE_BYTES_MAX {
            self.roll()?;
        }
        let mut bytes = Vec::new();
        for (index, entry) in (self.next_index()..).zip(entries) {
            encode(&mut bytes, ENTRY, index, self.position, entry);
        }
        self.write(&bytes)?;
        let sequence = self.files.back().copied().unwrap_or(0);
        self.entries
            .list
            .extend(entries.iter().map(|entry| (sequence, entry.clone())));
        Ok(())
    }

    /// The entries in a range of indexes, as far as they are within the journal.
    #[must_use]
    pub fn read(&self, range: Range<u64>) -> Vec<Bytes> {
        let Entries { base, list } = &self.entries;
        let end = (range.end.saturating_sub(*base) as usize).min(list.len());
        let start = (range.start.saturating_sub(*base) as usize).min(end);
        list.range(start..end)
            .map(|(_, entry)| entry.clone())
            .collect()
    }

    /// Removes the entries from `index` on; durable when it returns.
    pub fn truncate_suffix(&mut self, index: u64) -> Result<()> {
        if index >= self.next_index() {
            return Ok(());
        }
        assert!(
            index >= self.first_index(),
            "what is purged cannot be truncated"
        );
        self.cut(index)
    }

    /// Removes the entries below `index`, which may be beyond the end: then the journal is empty
    /// and goes on at `index`. Durable when it returns.
    pub fn purge_prefix(&mut self, index: u64) -> Result<()> {
        if index <= self.first_index() {
            return Ok(());
        }
        self.check()?;
        if index > self.next_index() {
            self.cut(index)?;
        }
        let first = snapshot_file::write(&*self.disk, &self.dir.join(FIRST), &index.to_le_bytes());
        first.map_err(|error| self.fail(error))?;
        self.entries.purge(index);
        // files before the one with the first entry hold nothing that counts
        let newest = self.files.back().copied().unwrap_or(0);
        let needed = self
            .entries
            .list
            .front()
            .map_or(newest, |(sequence, _)| *sequence);
        while let Some(&sequence) = self.files.front()
            && sequence < needed
        {
            let path = path(&self.dir, sequence);
            self.disk.remove_file(&path).context("remove", &path)?;
            self.files.pop_front();
        }
        Ok(())
    }

    fn cut(&mut self, index: u64) -> Result<()> {
        let mut bytes = Vec::new();
        encode(&mut bytes, CUT, index, self.position, &[]);
        self.write(&bytes)?;
        self.entries.cut(index);
        Ok(())
    }

    /// Goes on in a new file.
    fn roll(&mut self) -> Result<()> {
        self.check()?;
        let sequence = self.files.back().map_or(0, |last| last + 1);
        let path = path(&self.dir, sequence);
        let file = self
            .disk
            .open(&path, Mode::Create)
            .context("create", &path)?;
        file.set_len(0).context("cut", &path)?;
        self.file = Some(file);
        self.files.push_back(sequence);
        self.position = 0;
        let mut bytes = Vec::new();
        encode(&mut bytes, CUT, self.next_index(), 0, &[]);
        self.write(&bytes)?;
        let synced = self.disk.sync_dir(&self.dir).sync_context(&self.dir);
        synced.map_err(|error| self.fail(error))
    }

    fn check(&self) -> Result<()> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn fail(&mut self, error: Error) -> Error {
        let reason = error.to_string().into();
        let offline = Error::Offline {
            dir: self.dir.clone(),
            reason,
        };
        self.failed.get_or_insert(offline).clone()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.check()?;
        let Some(file) = self.file.clone() else {
            unreachable!("a file is open")
        };
        let written = file
            .write_at(bytes, self.position)
            .and_then(|()| file.sync_data());
        written
            .context("write", &self.dir)
            .map_err(|error| self.fail(error))?;
        self.position += bytes.len() as u64;
        Ok(())
    }
}
