//! A disk of a broker's own: a file system in a file, on a loop device. It can lose its power, run
//! full, hang, be slow and fail, and no other broker notices.
//!
//! A copy of the file is what is on the disk at that moment: what the file system holds back in
//! memory is not in it. So a broker that is killed and started on such a copy has been through a
//! power cut.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::run;

/// A mounted file system of one broker. Dropped, it is unmounted; its file stays.
pub struct Disk {
    image: PathBuf,
    mount: PathBuf,
    copies: u32,
    slowed: Option<PathBuf>,
}

impl Disk {
    /// Makes an empty one of this size and mounts it.
    ///
    /// # Errors
    /// One of the tools fails: this needs root.
    pub fn make(image: &Path, mount: &Path, mib: u32) -> Result<Self> {
        std::fs::create_dir_all(mount)?;
        let disk = Self {
            image: image.to_path_buf(),
            mount: mount.to_path_buf(),
            copies: 0,
            slowed: None,
        };
        disk.format(mib)?;
        disk.attach()?;
        Ok(disk)
    }

    fn format(&self, mib: u32) -> Result<()> {
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .open(&self.image)?;
        file.set_len(u64::from(mib) << 20)?;
        let image = self.image.display().to_string();
        run("mkfs.ext4", &["-q", "-F", "-m", "0", &image])
    }

    fn attach(&self) -> Result<()> {
        let (image, mount) = (self.image.display(), self.mount.display());
        run(
            "mount",
            &["-o", "loop", &image.to_string(), &mount.to_string()],
        )
    }

    fn detach(&self) -> Result<()> {
        run("umount", &[&self.mount.display().to_string()])
    }

    /// Keeps what is on the disk now. Nobody may write to it meanwhile.
    ///
    /// # Errors
    /// It cannot be copied.
    pub fn keep(&mut self) -> Result<PathBuf> {
        self.copies += 1;
        let copy = self.image.with_extension(format!("cut-{}", self.copies));
        let (from, to) = (self.image.display().to_string(), copy.display().to_string());
        run("cp", &["--sparse=always", &from, &to])?;
        Ok(copy)
    }

    /// Puts another in its place, as [`Disk::keep`] kept it. Nobody may have files of it open.
    ///
    /// # Errors
    /// It cannot be unmounted or mounted.
    pub fn replace(&mut self, kept: PathBuf) -> Result<()> {
        self.detach()?;
        let before = std::mem::replace(&mut self.image, kept);
        let _ = std::fs::remove_file(before);
        self.attach()
    }

    /// Puts an empty one in its place.
    ///
    /// # Errors
    /// One of the tools fails.
    pub fn renew(&mut self, mib: u32) -> Result<()> {
        self.detach()?;
        self.format(mib)?;
        self.attach()
    }

    /// Writes all that the file system holds back.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn sync(&self) -> Result<()> {
        run("sync", &["-f", &self.mount.display().to_string()])
    }

    /// Lets every write hang until [`Disk::thaw`].
    ///
    /// # Errors
    /// The file system refuses.
    pub fn freeze(&self) -> Result<()> {
        run("fsfreeze", &["-f", &self.mount.display().to_string()])
    }

    /// The end of [`Disk::freeze`].
    ///
    /// # Errors
    /// The file system refuses.
    pub fn thaw(&self) -> Result<()> {
        run("fsfreeze", &["-u", &self.mount.display().to_string()])
    }

    /// Takes all its room but this much.
    ///
    /// # Errors
    /// The room cannot be taken.
    pub fn fill_up_to(&self, left_mib: u64) -> Result<()> {
        let space = rustix::fs::statvfs(&self.mount)?;
        let free = space.f_bavail * space.f_frsize;
        let size = free.saturating_sub(left_mib << 20).to_string();
        let ballast = self.ballast().display().to_string();
        run("fallocate", &["-l", &size, &ballast])
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// There was none taken.
    pub fn free(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.ballast())?)
    }

    fn ballast(&self) -> PathBuf {
        self.mount.join("lost+found/ballast")
    }

    /// Lets every read and write beyond this place fail from now on (EIO).
    ///
    /// # Errors
    /// The file cannot be cut.
    pub fn fail_beyond(&self, mib: u64) -> Result<()> {
        let file = OpenOptions::new().write(true).open(&self.image)?;
        Ok(file.set_len(mib << 20)?)
    }

    /// Holds the writes of a process to so many bytes a second, until [`Disk::full_speed`].
    ///
    /// # Errors
    /// The kernel has no blkio controller to ask.
    pub fn slow_down(&mut self, pid: u32, bytes_per_second: u64) -> Result<()> {
        let group = PathBuf::from(format!("/sys/fs/cgroup/blkio/ottla-{pid}"));
        std::fs::create_dir_all(&group).context("a group of cgroup v1's blkio")?;
        let device = rustix::fs::stat(&self.mount)?.st_dev;
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let limit = format!("{major}:{minor} {bytes_per_second}");
        std::fs::write(group.join("blkio.throttle.write_bps_device"), limit)?;
        std::fs::write(group.join("cgroup.procs"), pid.to_string())?;
        self.slowed = Some(group);
        Ok(())
    }

    /// The end of [`Disk::slow_down`].
    ///
    /// # Errors
    /// The processes cannot be moved back.
    pub fn full_speed(&mut self) -> Result<()> {
        let Some(group) = self.slowed.take() else {
            return Ok(());
        };
        for pid in std::fs::read_to_string(group.join("cgroup.procs"))?.lines() {
            std::fs::write("/sys/fs/cgroup/blkio/cgroup.procs", pid)?;
        }
        Ok(std::fs::remove_dir(group)?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.thaw();
        let _ = self.full_speed();
        let _ = self.detach();
    }
}
