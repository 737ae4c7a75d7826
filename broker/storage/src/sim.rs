//! A disk in memory that loses what was not synced.
//!
//! [`SimDisk`] keeps, beside what a process sees, what a power cut would leave: of each unsynced
//! write any of its sectors may have arrived or not, of the unsynced names in a directory the
//! first few, as the seed has it. After [`SimDisk::crash`] every open handle is dead. Faults:
//! a failing fsync, errors, a full disk, flipped bits, commits that take long or stall (whose time
//! the caller spends: see [`Disk::commit_time`]). The same seed and the same calls give the same
//! disk.

mod faults;
mod random;
mod tree;

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::disk::{DIRECT_ALIGN, Disk, Entry, File, Lock, Mode, Space};
use crate::serving::at_disk;
pub use random::Random;
use tree::{Change, Inode, Tree};

/// What a power cut keeps or loses as one.
const SECTOR_BYTES: usize = 512;

/// What a disk holds at most, where nothing else is said: more than is ever written.
const BYTES_MAX: u64 = 1 << 40;

/// One commit in so many takes much longer than the others.
const SLOW_COMMITS_ONE_IN: usize = 24;

/// How much longer.
const SLOW_COMMIT_FACTOR: usize = 16;

#[derive(Debug)]
struct Inner {
    tree: Tree,
    random: Random,
    /// Counts crashes and kills: handles of an earlier life are dead.
    life: u64,
    locks: BTreeSet<PathBuf>,
    bytes_max: u64,
    /// Writes, syncs and changes of names left until one fails.
    fails_after: Option<u64>,
    /// Whether the failing call is the only one, or all after it fail too.
    fails_once: bool,
    /// Whether a call failed since the last restart.
    has_failed: bool,
    /// Whether syncs do nothing, as on a disk that lies.
    ignores_syncs: bool,
    syncs: u64,
    read_bytes: u64,
    /// Apart from `random`: what a crash leaves does not depend on how many commits there were.
    times: Random,
    /// What an ordinary commit takes at most.
    commit_time_max: Duration,
    is_stalled: bool,
    is_full: bool,
}

/// A disk in memory; cheap to clone, all clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: Arc<Mutex<Inode>>,
    life: u64,
    is_writable: bool,
    is_direct: bool,
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    life: u64,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut inner = self.disk.inner();
        if inner.life == self.life {
            inner.locks.remove(&self.path);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            tree: Tree::default(),
            random: Random::new(seed),
            life: 0,
            locks: BTreeSet::new(),
            bytes_max: BYTES_MAX,
            fails_after: None,
            fails_once: false,
            has_failed: false,
            ignores_syncs: false,
            syncs: 0,
            read_bytes: 0,
            times: Random::new(!seed),
            commit_time_max: Duration::ZERO,
            is_stalled: false,
            is_full: false,
        })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.0)
    }

    /// A call of a process, which waits for it.
    fn touched(&self) -> MutexGuard<'_, Inner> {
        at_disk();
        self.inner()
    }

    /// A power cut: what was not synced is lost, or kept, or torn. Open handles are dead.
    pub fn crash(&self) {
        let mut inner = self.inner();
        let Inner { tree, random, .. } = &mut *inner;
        tree.crash(random);
        inner.restart();
    }

    /// The process ends at once, the machine does not: everything written is there.
    pub fn kill(&self) {
        self.inner().restart();
    }

    /// The disk holds at most this much.
    pub fn set_bytes_max(&self, bytes: u64) {
        self.inner().bytes_max = bytes;
    }

    /// How much it holds now.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.inner().tree.used_bytes()
    }

    /// Whether a call failed since the last crash or kill.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.inner().has_failed
    }

    /// How many bytes of files were read.
    #[must_use]
    pub fn read_bytes(&self) -> u64 {
        self.inner().read_bytes
    }

    /// Whether there is no room at all.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.inner().is_full
    }

    /// How many syncs there were.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.inner().syncs
    }

    /// The files, sorted by name.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.inner().tree.files.keys().cloned().collect()
    }

    /// A file's content as a process sees it.
    #[must_use]
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        self.inner()
            .tree
            .files
            .get(path)
            .map(|inode| lock(inode).bytes.clone())
    }

    /// How long a file is, as a process sees it.
    #[must_use]
    pub fn length(&self, path: &Path) -> usize {
        let inner = self.inner();
        let inode = inner.tree.files.get(path);
        inode.map_or(0, |inode| lock(inode).bytes.len())
    }
}

impl Inner {
    fn restart(&mut self) {
        self.life += 1;
        self.locks.clear();
        self.fails_after = None;
        self.has_failed = false;
    }

    /// Counts a call that a fault may hit.
    fn step(&mut self) -> io::Result<()> {
        match &mut self.fails_after {
            Some(0) => {
                if self.fails_once {
                    self.fails_after = None;
                }
                self.has_failed = true;
                Err(io::Error::other("simulated failure"))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>> {
        let mut inner = self.touched();
        let create = matches!(mode, Mode::Create | Mode::CreateDirect);
        let inode = match inner.tree.files.get(path) {
            Some(inode) => inode.clone(),
            None if create => {
                inner.step()?;
                inner.tree.create(path)?
            }
            None => return Err(not_found()),
        };
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            inode,
            life: inner.life,
            is_writable: mode != Mode::Read,
            is_direct: mode == Mode::CreateDirect,
        }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.touched().tree.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut inner = self.touched();
        inner.step()?;
        inner.tree.create_dir_all(dir);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        assert_eq!(
            from.parent(),
            to.parent(),
            "renames stay within a directory"
        );
        let mut inner = self.touched();
        inner.step()?;
        inner.tree.change(Change::Rename(from.into(), to.into()))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.touched();
        inner.step()?;
        inner.tree.change(Change::Remove(path.into()))
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut inner = self.touched();
        inner.step()?;
        inner.tree.change(Change::RemoveAll(dir.into()))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut inner = self.touched();
        inner.step()?;
        inner.syncs += 1;
        inner.tree.sync_dir(dir)
    }

    fn sync_all(&self, _dir: &Path) -> io::Result<()> {
        let mut inner = self.touched();
        inner.step()?;
        inner.syncs += 1;
        inner.tree.sync_all();
        Ok(())
    }

    fn space(&self, _dir: &Path) -> io::Result<Space> {
        let inner = self.touched();
        let bytes_max = if inner.is_full { 0 } else { inner.bytes_max };
        let free_bytes = bytes_max.saturating_sub(inner.tree.used_bytes());
        Ok(Space {
            free_bytes,
            total_bytes: inner.bytes_max,
        })
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Result<Box<dyn Lock>, String>> {
        let mut inner = self.touched();
        if !inner.locks.insert(path.to_path_buf()) {
            let inode = inner.tree.files.get(path).ok_or_else(not_found)?;
            return Ok(Err(String::from_utf8_lossy(&lock(inode).bytes).into_owned()));
        }
        let inode = match inner.tree.files.get(path) {
            Some(inode) => inode.clone(),
            None => inner.tree.create(path)?,
        };
        lock(&inode).bytes = holder.as_bytes().to_vec();
        let life = inner.life;
        Ok(Ok(Box::new(SimLock {
            disk: self.clone(),
            path: path.to_path_buf(),
            life,
        })))
    }

    fn exists(&self, path: &Path) -> bool {
        let inner = self.touched();
        inner.tree.files.contains_key(path) || inner.tree.dirs.contains(path)
    }

    fn commit_time(&self) -> Duration {
        let mut inner = self.inner();
        let most = inner.commit_time_max.as_micros() as usize;
        if most == 0 {
            return Duration::ZERO;
        }
        let is_slow = inner.times.one_in(SLOW_COMMITS_ONE_IN);
        let slower = if is_slow { SLOW_COMMIT_FACTOR } else { 1 };
        Duration::from_micros((inner.times.below(most) * slower) as u64)
    }

    fn is_stalled(&self) -> bool {
        self.inner().is_stalled
    }
}

impl SimFile {
    /// A call, which dead handles refuse.
    fn touched(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let inner = self.disk.touched();
        if inner.life != self.life {
            return Err(io::Error::other(
                "the process that opened this file is gone",
            ));
        }
        Ok(inner)
    }

    /// Counts a changing call; handles for reading refuse it.
    fn step(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let mut inner = self.touched()?;
        if !self.is_writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        inner.step()?;
        Ok(inner)
    }
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut Vec<u8>, position: u64, bytes: usize) -> io::Result<usize> {
        drop(self.touched()?);
        let inode = lock(&self.inode);
        let start = inode.bytes.len().min(position as usize);
        let end = inode.bytes.len().min(start + bytes);
        buffer.extend_from_slice(&inode.bytes[start..end]);
        drop(inode);
        self.disk.inner().read_bytes += (end - start) as u64;
        Ok(end - start)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        if self.is_direct {
            let is_aligned = |place: usize| place.is_multiple_of(DIRECT_ALIGN);
            let places = [bytes.as_ptr() as usize, bytes.len(), position as usize];
            assert!(
                places.into_iter().all(is_aligned),
                "a direct write is aligned"
            );
        }
        let inner = self.step()?;
        let mut inode = lock(&self.inode);
        let growth = (position + bytes.len() as u64).saturating_sub(inode.bytes.len() as u64);
        drop(inode);
        let missing = match inner.is_full {
            true => growth,
            // to add up all files at every write takes most of a simulation's time
            false if growth == 0 || inner.bytes_max == BYTES_MAX => 0,
            false => (inner.tree.used_bytes() + growth).saturating_sub(inner.bytes_max),
        };
        inode = lock(&self.inode);
        if growth > 0 && missing > 0 {
            // as real ones do, it takes what it has room for
            let part = (bytes.len() as u64).saturating_sub(missing);
            inode.write(position as usize, &bytes[..part as usize]);
            return Err(io::ErrorKind::StorageFull.into());
        }
        inode.write(position as usize, bytes);
        Ok(())
    }

    fn write_vectored_at(&self, slices: &mut [IoSlice<'_>], mut position: u64) -> io::Result<()> {
        for slice in slices {
            self.write_at(slice, position)?;
            position += slice.len() as u64;
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let synced = self.step().map(|mut inner| {
            inner.syncs += 1;
            inner.ignores_syncs
        });
        let mut inode = lock(&self.inode);
        match synced {
            Ok(false) => inode.sync(),
            Ok(true) => {}
            Err(_) => inode.forget(),
        }
        synced.map(|_| ())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        drop(self.step()?);
        lock(&self.inode).set_len(bytes as usize);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.inode).bytes.len() as u64)
    }
}
