//! The machine's own file system.

use std::fs;
use std::io::{self, IoSlice};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::{Errno, ReadWriteFlags};

use super::{Disk, Entry, File, Lock, Mode, Space};
use crate::serving::at_disk;

/// The machine's own file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

/// How long a descriptor is waited for, and how often it is asked for: connections end, and a
/// lack of descriptors is no failure of the disk.
const DESCRIPTOR_TRIES: u32 = 50;
const DESCRIPTOR_INTERVAL: Duration = Duration::from_millis(100);

fn patiently<T>(mut open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..DESCRIPTOR_TRIES {
        match open() {
            Err(error) if is_lack_of_descriptors(&error) => thread::sleep(DESCRIPTOR_INTERVAL),
            opened => return opened,
        }
    }
    open()
}

fn is_lack_of_descriptors(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    errno.is_some_and(|errno| errno == Errno::MFILE || errno == Errno::NFILE)
}

#[derive(Debug)]
struct RealFile(fs::File);

#[derive(Debug)]
struct RealLock(#[expect(dead_code, reason = "held, for its lock goes with it")] fs::File);

impl Lock for RealLock {}

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>> {
        at_disk();
        let mut options = fs::OpenOptions::new();
        options.read(true);
        match mode {
            Mode::Read => {}
            Mode::Write => {
                options.write(true);
            }
            Mode::Create => {
                options.write(true).create(true);
            }
            Mode::CreateDirect => {
                options.write(true).create(true);
                let mut direct = options.clone();
                direct.custom_flags(OFlags::DIRECT.bits() as i32);
                match patiently(|| direct.open(path)) {
                    // some file systems in memory know no direct writes
                    Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                    opened => return Ok(Arc::new(RealFile(opened?))),
                }
            }
        }
        Ok(Arc::new(RealFile(patiently(|| options.open(path))?)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        at_disk();
        let mut entries = Vec::new();
        for entry in patiently(|| fs::read_dir(dir))? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(Entry {
                    name,
                    is_dir: entry.file_type()?.is_dir(),
                });
            }
        }
        entries.sort();
        Ok(entries)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        at_disk();
        fs::create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        at_disk();
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        at_disk();
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        at_disk();
        patiently(|| fs::remove_dir_all(dir))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        at_disk();
        patiently(|| fs::File::open(dir))?.sync_all()
    }

    fn sync_all(&self, dir: &Path) -> io::Result<()> {
        at_disk();
        Ok(rustix::fs::syncfs(patiently(|| fs::File::open(dir))?)?)
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        at_disk();
        let system = rustix::fs::statvfs(dir)?;
        Ok(Space {
            free_bytes: system.f_bavail.saturating_mul(system.f_frsize),
            total_bytes: system.f_blocks.saturating_mul(system.f_frsize),
        })
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Result<Box<dyn Lock>, String>> {
        at_disk();
        let mut options = fs::OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Ok(Err(fs::read_to_string(path)?.trim().to_owned()));
            }
            Err(error) => return Err(error.into()),
        }
        file.set_len(0)?;
        RealFile(file.try_clone()?).write_at(holder.as_bytes(), 0)?;
        Ok(Ok(Box::new(RealLock(file))))
    }

    fn exists(&self, path: &Path) -> bool {
        at_disk();
        path.exists()
    }
}

impl File for RealFile {
    fn read_at(&self, buffer: &mut Vec<u8>, position: u64, bytes: usize) -> io::Result<usize> {
        at_disk();
        buffer.reserve_exact(bytes);
        let before = buffer.len();
        while buffer.len() - before < bytes {
            let done = buffer.len() - before;
            let room = rustix::buffer::spare_capacity(buffer);
            let read = rustix::io::pread(&self.0, room, position + done as u64);
            match read {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // the spare room may have been larger than what was asked for
        buffer.truncate(before + bytes);
        Ok(buffer.len() - before)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        at_disk();
        std::os::unix::fs::FileExt::write_all_at(&self.0, bytes, position)
    }

    fn write_durably_at(&self, mut bytes: &[u8], mut position: u64) -> io::Result<()> {
        at_disk();
        while !bytes.is_empty() {
            let slices = [IoSlice::new(bytes)];
            match rustix::io::pwritev2(&self.0, &slices, position, ReadWriteFlags::DSYNC) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = &bytes[written..];
                    position += written as u64;
                }
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                    self.write_at(bytes, position)?;
                    return self.sync_data();
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn write_vectored_at(
        &self,
        mut slices: &mut [IoSlice<'_>],
        mut position: u64,
    ) -> io::Result<()> {
        at_disk();
        /// As many slices as the system takes at once.
        const SLICES_MAX: usize = 1024;
        while !slices.is_empty() {
            let now = slices.len().min(SLICES_MAX);
            match rustix::io::pwritev(&self.0, &slices[..now], position) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    position += written as u64;
                    IoSlice::advance_slices(&mut slices, written);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        at_disk();
        self.0.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        at_disk();
        self.0.set_len(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        at_disk();
        Ok(self.0.metadata()?.len())
    }
}
