//! Gathers bytes for writes past the page cache, which want aligned memory, places and lengths.

use std::io;

use super::{DIRECT_ALIGN, File};

/// Bytes gathered before a write.
pub(crate) const STAGING_BYTES: usize = 1 << 20;

/// A buffer whose content begins at an address that direct writes accept; kept between uses.
#[derive(Debug, Default)]
pub(crate) struct Staging {
    buffer: Vec<u8>,
    front: usize,
    filled: usize,
}

impl Staging {
    fn clear(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = vec![0; STAGING_BYTES + DIRECT_ALIGN];
            self.front = self.buffer.as_ptr().align_offset(DIRECT_ALIGN);
        }
        self.filled = 0;
    }

    fn content(&self) -> &[u8] {
        &self.buffer[self.front..self.front + self.filled]
    }
}

/// Writes a file forward through a staging buffer.
pub(crate) struct Out<'a> {
    file: &'a dyn File,
    staging: &'a mut Staging,
    position: u64,
}

impl<'a> Out<'a> {
    /// Begins at `position`, a multiple of [`DIRECT_ALIGN`].
    pub(crate) fn new(file: &'a dyn File, staging: &'a mut Staging, position: u64) -> Self {
        assert!(
            position.is_multiple_of(DIRECT_ALIGN as u64),
            "direct writes begin at blocks"
        );
        staging.clear();
        Self {
            file,
            staging,
            position,
        }
    }

    /// Up to where the file is written.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let staging = &mut *self.staging;
            let now = bytes.len().min(STAGING_BYTES - staging.filled);
            let start = staging.front + staging.filled;
            staging.buffer[start..start + now].copy_from_slice(&bytes[..now]);
            staging.filled += now;
            bytes = &bytes[now..];
            if staging.filled == STAGING_BYTES {
                self.write()?;
            }
        }
        Ok(())
    }

    /// Writes what is gathered, with zeros up to the end of its last block.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.pad();
        self.write()
    }

    /// As [`Self::finish`], and makes this last write durable (only this one).
    pub(crate) fn finish_durably(&mut self) -> io::Result<()> {
        self.pad();
        self.file
            .write_durably_at(self.staging.content(), self.position)?;
        self.position += self.staging.filled as u64;
        self.staging.filled = 0;
        Ok(())
    }

    fn pad(&mut self) {
        let staging = &mut *self.staging;
        let padded = staging.filled.next_multiple_of(DIRECT_ALIGN);
        let start = staging.front + staging.filled;
        staging.buffer[start..staging.front + padded].fill(0);
        staging.filled = padded;
    }

    fn write(&mut self) -> io::Result<()> {
        if self.staging.filled == 0 {
            return Ok(());
        }
        self.file.write_at(self.staging.content(), self.position)?;
        self.position += self.staging.filled as u64;
        self.staging.filled = 0;
        Ok(())
    }
}
