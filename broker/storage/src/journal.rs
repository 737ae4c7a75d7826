//! A small synced record log: consecutive numbered entries, cut at either end.
//!
//! For the metadata quorum's own log. Entries are kept in memory too, so it suits logs that
//! snapshots keep short.
//!
//! ```text
//! <dir>/<sequence, 20 digits>.journal: records, one after the other, and whatever
//! 0        4       8        12     16      24        32
//! | magic  | crc   | length | kind | index | synced  | payload …
//! | "OTJ2" | u32   | u32    | u32  | u64   | u64     |
//! <dir>/first: the first index that counts (a snapshot file, u64)
//! <dir>/spare: the file of the next start
//! ```
//! Little-endian; the crc covers all after it, payload included, seeded with the file's sequence.
//! Kinds: 1 an entry; 2 cut: the journal ends at `index` (each file begins with one, for those
//! before it may be removed). `synced` is how much of the file was durable when the record was
//! written: a bad record that a later one calls durable is damage, any other is a torn tail.
//!
//! A file is written before it is used: its blocks are there, so a full disk stops no record until
//! its end, and no start, which takes the spare and makes the file of before the next one. A start
//! writes again what the newest file held: all of it is in the spare, and durable, before that gets
//! its name, for it begins with a cut that takes away what the older file says of the same. Where
//! there is no room the call fails with [`Error::DiskFull`], nothing has changed, and it may be
//! made again.
//! The files of before, with the magic "OTJR", have no seed and no spare.

mod record;

use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use self::record::{CUT, ENTRY, Format, HEADER_BYTES, decode, encode, is_seeded, says_durable};
use crate::disk::{self, Mode};
use crate::error::Context;
use crate::fields::eight;
use crate::{Disk, Error, File, Result, snapshot_file};

/// The length of a file before it is used; it takes no records beyond, but for one that is longer.
const FILE_BYTES: u64 = 256 << 10;
/// A file that is longer is taken for damage.
const READ_BYTES_MAX: usize = 1 << 30;
/// Names the first index that counts.
const FIRST: &str = "first";
/// The file of the next start, written already.
const SPARE: &str = "spare";
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
    /// Up to where that file may have bytes of calls that found no room.
    refused: u64,
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
            refused: 0,
            failed: None,
        };
        for sequence in journal.files.clone() {
            journal.load(sequence)?;
        }
        journal.entries.purge(first_index);
        journal.rewrite_newest()?;
        Ok(journal)
    }

    /// A file of its own for this life; that of before becomes the spare. What the newest file held
    /// is written again: it may have been read from a page cache that an earlier, failed fsync left
    /// with bytes that the medium never got. Whoever dies meanwhile leaves all as it was.
    fn rewrite_newest(&mut self) -> Result<()> {
        let newest = self.entries.list.back().map(|(file, _)| *file);
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
        // the newest first: each begins with a cut, which counts on what lies before it
        let before: Vec<u64> = self.files.iter().rev().copied().collect();
        self.begin_process(&again)?;
        for sequence in before {
            let mut holders = self.entries.list.iter().map(|(file, _)| *file);
            if !holders.any(|file| file == sequence) {
                self.files.retain(|file| *file != sequence);
                self.retire(sequence)?;
            }
        }
        self.make_spare()
    }

    fn load(&mut self, sequence: u64) -> Result<()> {
        let path = path(&self.dir, sequence);
        let bytes = disk::read_whole(&*self.disk, &path, READ_BYTES_MAX).context("read", &path)?;
        let format = Format::found(sequence, &bytes);
        let mut at = 0;
        while at < bytes.len() {
            let corrupt = |what: &'static str| Error::corrupt(&path, at as u64, what);
            let Some((kind, index, _, payload)) = decode(&bytes[at..], format) else {
                if says_durable(&bytes[at..], format, at as u64) {
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
        let bytes: usize = entries.iter().map(|entry| HEADER_BYTES + entry.len()).sum();
        let is_begun = self.position > HEADER_BYTES as u64;
        if is_begun && self.position + bytes as u64 > FILE_BYTES {
            self.roll()?;
        }
        let sequence = self.files.back().copied().unwrap_or(0);
        let mut bytes = Vec::with_capacity(bytes);
        for (index, entry) in (self.next_index()..).zip(entries) {
            encode(&mut bytes, sequence, ENTRY, index, self.position, entry);
        }
        self.write(bytes)?;
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
        first.map_err(|error| self.settle(error))?;
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
            self.retire(sequence)?;
            self.files.pop_front();
        }
        Ok(())
    }

    fn cut(&mut self, index: u64) -> Result<()> {
        let sequence = self.files.back().copied().unwrap_or(0);
        let mut bytes = Vec::new();
        encode(&mut bytes, sequence, CUT, index, self.position, &[]);
        self.write(bytes)?;
        self.entries.cut(index);
        Ok(())
    }

    /// The file of this process, which begins with these entries: those of the newest file before.
    fn begin_process(&mut self, entries: &[Bytes]) -> Result<()> {
        let sequence = self.files.back().map_or(0, |last| last + 1);
        let (path, spare) = (path(&self.dir, sequence), self.dir.join(SPARE));
        if !self.disk.exists(&spare) {
            self.fill(&spare)?;
        }
        let lengths = entries.iter().map(|entry| HEADER_BYTES + entry.len());
        let end = HEADER_BYTES + lengths.sum::<usize>();
        let mut bytes = Vec::with_capacity(end);
        // all of it is durable before it is anything
        let synced = end as u64;
        encode(&mut bytes, sequence, CUT, self.next_index(), synced, &[]);
        for (index, entry) in (self.next_index()..).zip(entries) {
            encode(&mut bytes, sequence, ENTRY, index, synced, entry);
        }
        // a start that came less far may have left records of the same sequence behind
        bytes.resize(end.max(FILE_BYTES as usize), 0);
        let file = self.disk.open(&spare, Mode::Create);
        let written = file.context("open", &spare).and_then(|file| {
            file.write_at(&bytes, 0).context("write", &spare)?;
            file.sync_data().sync_context(&spare)?;
            self.disk.rename(&spare, &path).context("rename", &spare)?;
            self.disk.sync_dir(&self.dir).sync_context(&self.dir)
        });
        written.map_err(|error| self.settle(error))?;
        let file = self.disk.open(&path, Mode::Create);
        self.file = Some(file.context("open", &path)?);
        self.files.push_back(sequence);
        (self.position, self.refused) = (end as u64, 0);
        let entries = entries.iter().map(|entry| (sequence, entry.clone()));
        self.entries.list.extend(entries);
        Ok(())
    }

    /// Goes on in a new file. The spare is for the start of a process, which cannot wait.
    fn roll(&mut self) -> Result<()> {
        self.check()?;
        let sequence = self.files.back().map_or(0, |last| last + 1);
        let path = path(&self.dir, sequence);
        self.fill(&path)?;
        let file = self
            .disk
            .open(&path, Mode::Create)
            .context("create", &path)?;
        let mut bytes = Vec::new();
        encode(&mut bytes, sequence, CUT, self.next_index(), 0, &[]);
        let written = file.write_at(&bytes, 0).context("write", &path);
        let synced = written.and_then(|()| file.sync_data().sync_context(&path));
        let named = synced.and_then(|()| self.disk.sync_dir(&self.dir).sync_context(&self.dir));
        named.map_err(|error| self.settle(error))?;
        self.file = Some(file);
        self.files.push_back(sequence);
        (self.position, self.refused) = (bytes.len() as u64, 0);
        Ok(())
    }

    /// Writes a file once, so that its blocks are there.
    fn fill(&mut self, path: &Path) -> Result<()> {
        let file = self.disk.open(path, Mode::Create).context("create", path);
        let filled = file.and_then(|file| {
            file.write_at(&vec![0; FILE_BYTES as usize], 0)
                .context("write", path)?;
            file.sync_data().sync_context(path)
        });
        if filled.as_ref().is_err_and(Error::is_no_space) {
            disk::remove_file(&*self.disk, path).context("remove", path)?;
        }
        filled.map_err(|error| self.settle(error))
    }

    /// Makes a file for the next start, where there is room for it.
    fn make_spare(&mut self) -> Result<()> {
        let spare = self.dir.join(SPARE);
        if !self.disk.exists(&spare) {
            match self.fill(&spare) {
                Err(Error::DiskFull { .. }) => {}
                filled => filled?,
            }
        }
        let synced = self.disk.sync_dir(&self.dir).sync_context(&self.dir);
        synced.map_err(|error| self.fail(error))
    }

    /// Takes a file out of use; its blocks are kept for another one.
    fn retire(&mut self, sequence: u64) -> Result<()> {
        let (path, spare) = (path(&self.dir, sequence), self.dir.join(SPARE));
        // without a seed its records could be taken for those of the file that it becomes
        let mut front = Vec::new();
        let length = self.disk.open(&path, Mode::Read).and_then(|file| {
            file.read_at(&mut front, 0, HEADER_BYTES)?;
            file.len()
        });
        let is_whole = length.context("look at", &path)? >= FILE_BYTES && is_seeded(&front);
        if is_whole && !self.disk.exists(&spare) {
            return self.disk.rename(&path, &spare).context("rename", &path);
        }
        disk::remove_file(&*self.disk, &path).context("remove", &path)?;
        Ok(())
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

    /// What becomes of a failed call: no room is waited for, all else is final.
    fn settle(&mut self, error: Error) -> Error {
        if error.is_no_space() {
            let dir = self.dir.clone();
            return Error::DiskFull { dir };
        }
        self.fail(error)
    }

    fn write(&mut self, mut bytes: Vec<u8>) -> Result<()> {
        self.check()?;
        let Some(file) = self.file.clone() else {
            unreachable!("a file is open")
        };
        let end = self.position + bytes.len() as u64;
        // what a refused call left must not be taken for what follows this one
        let refused = self.refused.saturating_sub(end) as usize;
        bytes.resize(bytes.len() + refused, 0);
        let written = file.write_at(&bytes, self.position);
        let written = written.context("write", &self.dir);
        if written.is_err() {
            let length = file.len().context("look at", &self.dir)?;
            self.refused = self.refused.max(end.min(length));
        }
        let synced = written.and_then(|()| file.sync_data().sync_context(&self.dir));
        synced.map_err(|error| self.settle(error))?;
        (self.position, self.refused) = (end, 0);
        Ok(())
    }
}
