//! Small files that change as a whole or not at all, checked by a CRC.
//!
//! ```text
//! 0        4          8
//! | magic  | crc32c   | content …
//! ```
//! Written beside (`.tmp`), synced, renamed over the old one, and the directory synced.

use std::io;
use std::path::Path;

use crate::error::Context;
use crate::{Disk, Error, Result};

const MAGIC: [u8; 4] = *b"OTSF";
const HEADER_BYTES: usize = 8;
/// A larger one is taken for damage.
const BYTES_MAX: usize = 1 << 30;

/// Replaces the file's content; durable when it returns.
pub fn write(disk: &dyn Disk, path: &Path, content: &[u8]) -> Result<()> {
    write_plain(disk, path, &envelope(content))
}

/// As [`write()`], but a power cut may leave the old content, the new, or one whose checksum fails.
pub(crate) fn write_unsynced(disk: &dyn Disk, path: &Path, content: &[u8]) -> Result<()> {
    let file = disk
        .open(path, crate::disk::Mode::Create)
        .context("create", path)?;
    file.set_len(0).context("cut", path)?;
    file.write_at(&envelope(content), 0).context("write", path)
}

fn envelope(content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + content.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&crc32c::crc32c(content).to_le_bytes());
    bytes.extend_from_slice(content);
    bytes
}

/// The file's content; `None` where there is no such file.
pub fn read(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>> {
    let mut bytes = match crate::disk::read_whole(disk, path, BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.context("read", path)?,
    };
    let damaged = |what: &'static str| Err(Error::corrupt(path, 0, what));
    if bytes.len() < HEADER_BYTES || bytes[..4] != MAGIC {
        return damaged("not a snapshot file of Ottla");
    }
    let content = bytes.split_off(HEADER_BYTES);
    if crc32c::crc32c(&content).to_le_bytes() != bytes[4..HEADER_BYTES] {
        return damaged("its checksum does not match its content");
    }
    Ok(Some(content))
}

/// Replaces a file without the envelope, for those that people read; durable when it returns.
pub(crate) fn write_plain(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let file = disk
        .open(&temporary, crate::disk::Mode::Create)
        .context("create", &temporary)?;
    file.set_len(0).context("cut", &temporary)?;
    file.write_at(bytes, 0).context("write", &temporary)?;
    file.sync_data().sync_context(&temporary)?;
    disk.rename(&temporary, path)
        .context("rename", &temporary)?;
    let dir = path.parent().unwrap_or(Path::new("."));
    disk.sync_dir(dir).sync_context(dir)
}
