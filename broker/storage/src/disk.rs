//! The seam to the file system: everything storage does to a disk goes through [`Disk`].
//!
//! Contract, which the real disk and the simulated one both keep: written bytes survive a power
//! cut only after [`File::sync_data`]; a created, renamed or removed name survives only after
//! [`Disk::sync_dir`] of its directory. A failed sync may have lost anything unsynced, and a later
//! successful one proves nothing.

pub(crate) mod aligned;
mod real;

use std::fmt;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use real::RealDisk;

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It must exist; reads only.
    Read,
    /// It must exist; reads and writes.
    Write,
    /// Reads and writes; made where missing.
    Create,
    /// As [`Mode::Create`], past the page cache where the file system can. Buffers, offsets and
    /// lengths of writes are multiples of [`DIRECT_ALIGN`].
    CreateDirect,
}

/// What [`Mode::CreateDirect`] asks of addresses, offsets and lengths.
pub const DIRECT_ALIGN: usize = 4096;

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name, without its directory.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// A file system's room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that may still be written.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

/// A held lock; dropping it (or the end of the process) frees it.
pub trait Lock: Send + Sync + fmt::Debug {}

/// A file system.
pub trait Disk: Send + Sync + fmt::Debug + 'static {
    /// Opens a file.
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>>;
    /// The names in a directory, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Makes a directory and its parents where missing.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Renames within one directory, replacing a file of that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory and what is in it.
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Makes the names in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes everything in `dir`'s file system durable: cheaper than many single syncs.
    fn sync_all(&self, dir: &Path) -> io::Result<()>;
    /// How much room there is.
    fn space(&self, dir: &Path) -> io::Result<Space>;
    /// Takes the file as an exclusive lock and writes `holder` into it.
    /// The inner `Err` is what the present holder wrote.
    fn lock(&self, path: &Path, holder: &str) -> io::Result<Result<Box<dyn Lock>, String>>;

    /// Whether the name exists.
    fn exists(&self, path: &Path) -> bool {
        self.open(path, Mode::Read).is_ok()
    }

    /// What a commit takes beside the time of its calls; only a simulated disk takes any.
    fn commit_time(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether no commit ends at present; a real disk says nothing of it.
    fn is_stalled(&self) -> bool {
        false
    }
}

/// An open file. Positions are explicit, so one handle serves any number of threads.
pub trait File: Send + Sync + fmt::Debug {
    /// Appends up to `bytes` bytes from `position` to `buffer`; fewer only at the end of the file.
    fn read_at(&self, buffer: &mut Vec<u8>, position: u64, bytes: usize) -> io::Result<usize>;
    /// Writes all of `bytes` at `position`.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;
    /// Writes all of `bytes` at `position`, and makes them durable: [`File::write_at`] and
    /// [`File::sync_data`] in one, for the bytes of this write only.
    fn write_durably_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.write_at(bytes, position)?;
        self.sync_data()
    }
    /// Writes all of the slices, one after the other, from `position`.
    fn write_vectored_at(&self, slices: &mut [IoSlice<'_>], position: u64) -> io::Result<()>;
    /// Makes what was written durable, with the length.
    fn sync_data(&self) -> io::Result<()>;
    /// Cuts or extends (with zeros).
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// The file's length.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// Removes a file; whether there was one.
pub(crate) fn remove_file(disk: &dyn Disk, path: &Path) -> io::Result<bool> {
    match disk.remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true),
    }
}

/// All of a small file; longer ones than `bytes_max` are an error.
pub fn read_whole(disk: &dyn Disk, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let file = disk.open(path, Mode::Read)?;
    let length = file.len()?;
    if length > bytes_max as u64 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{length} bytes long, at most {bytes_max} expected"),
        ));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.read_at(&mut bytes, 0, length as usize)?;
    Ok(bytes)
}
