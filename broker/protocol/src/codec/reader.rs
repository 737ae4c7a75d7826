//! Reads values off a buffer, and keeps count of what it believes.

use bytes::{Buf, BytesMut};

use super::{Error, STRING_BYTES_MAX};

/// A decoded value takes at most this many times its bytes in memory, beyond [`MEMORY_FREE_BYTES`].
pub const MEMORY_FACTOR_MAX: usize = 8;

/// What a decoded value may take in memory however few its bytes.
pub const MEMORY_FREE_BYTES: usize = 64 * 1024;

/// Owns the bytes of one frame and gives them out from the front.
///
/// It owns them mutably so that a produced batch can be split off and stamped in place without a
/// copy; other byte fields are copied out, so that what outlives the request does not keep the
/// whole frame alive.
#[derive(Debug)]
pub struct Reader {
    buffer: BytesMut,
    /// How much of `buffer` is read; splitting resets it.
    at: usize,
    /// How much memory decoded values may still take.
    memory: usize,
    /// The longest string of a flexible version.
    string_max: usize,
}

macro_rules! integers {
    ($($name:ident -> $type:ty),*) => {$(
        #[doc = concat!("The next `", stringify!($type), "`.")]
        #[inline]
        pub fn $name(&mut self) -> Result<$type, Error> {
            Ok(<$type>::from_be_bytes(self.array()?))
        }
    )*};
}

impl Reader {
    /// A reader of `buffer`.
    #[must_use]
    pub fn new(buffer: BytesMut) -> Self {
        let memory = buffer.len().saturating_mul(MEMORY_FACTOR_MAX) + MEMORY_FREE_BYTES;
        Self {
            buffer,
            at: 0,
            memory,
            string_max: STRING_BYTES_MAX,
        }
    }

    /// The same, with strings of any length where the version is flexible: what was recorded
    /// before strings had a limit must stay readable.
    #[must_use]
    pub fn with_long_strings(self) -> Self {
        Self {
            string_max: usize::MAX,
            ..self
        }
    }

    /// How many bytes are left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.buffer.len() - self.at
    }

    /// Fails where bytes are left.
    pub fn finish(&self) -> Result<(), Error> {
        match self.remaining() {
            0 => Ok(()),
            count => Err(Error::TrailingBytes { count }),
        }
    }

    /// Counts `bytes` of memory that a decoded value takes.
    pub fn charge(&mut self, bytes: usize) -> Result<(), Error> {
        self.memory = self.memory.checked_sub(bytes).ok_or(Error::TooMuchMemory)?;
        Ok(())
    }

    /// The next `length` bytes, not copied.
    pub fn slice(&mut self, length: usize) -> Result<&[u8], Error> {
        let bytes = self.buffer.get(self.at..).unwrap_or_default();
        let slice = bytes.get(..length).ok_or(Error::Truncated {
            missing: length.saturating_sub(bytes.len()),
        })?;
        self.at += length;
        Ok(slice)
    }

    /// The next `length` bytes, split off the buffer without a copy.
    pub fn split(&mut self, length: usize) -> Result<BytesMut, Error> {
        let remaining = self.remaining();
        if length > remaining {
            return Err(Error::Truncated {
                missing: length - remaining,
            });
        }
        self.buffer.advance(self.at);
        self.at = 0;
        Ok(self.buffer.split_to(length))
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let bytes = self.buffer.get(self.at..).unwrap_or_default();
        let array = bytes.first_chunk::<N>().ok_or(Error::Truncated {
            missing: N.saturating_sub(bytes.len()),
        })?;
        self.at += N;
        Ok(*array)
    }

    integers!(
        i8 -> i8, i16 -> i16, i32 -> i32, i64 -> i64, u8 -> u8, u16 -> u16, u32 -> u32, f64 -> f64
    );

    /// The next 16 bytes.
    pub fn uuid(&mut self) -> Result<[u8; 16], Error> {
        self.array()
    }

    /// The next unsigned variable-length integer.
    pub fn uvarint(&mut self) -> Result<u32, Error> {
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let byte = self.u8()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && bits > 0x0f {
                return Err(Error::InvalidVarint);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Error::InvalidVarint)
    }

    /// The length of a string: `None` is null.
    pub(crate) fn string_length(&mut self, flexible: bool) -> Result<Option<usize>, Error> {
        if !flexible {
            let length = self.i16()?;
            return self.length(i64::from(length));
        }
        match self.compact_length()? {
            Some(length) if length > self.string_max => Err(Error::InvalidLength {
                length: length as i64,
            }),
            length => Ok(length),
        }
    }

    /// The length of bytes, or the count of an array: `None` is null.
    pub(crate) fn long_length(&mut self, flexible: bool) -> Result<Option<usize>, Error> {
        if flexible {
            return self.compact_length();
        }
        let length = self.i32()?;
        self.length(i64::from(length))
    }

    fn compact_length(&mut self) -> Result<Option<usize>, Error> {
        let length = self.uvarint()?;
        self.length(i64::from(length) - 1)
    }

    /// A length of at least one byte an item, so beyond the bytes left it is a lie.
    fn length(&self, length: i64) -> Result<Option<usize>, Error> {
        match usize::try_from(length) {
            Ok(length) if length <= self.remaining() => Ok(Some(length)),
            _ if length == -1 => Ok(None),
            _ => Err(Error::InvalidLength { length }),
        }
    }

    /// The count of an array whose items take at least `item_bytes_min` on the wire and
    /// `item_memory` decoded.
    pub(crate) fn count(
        &mut self,
        flexible: bool,
        item_bytes_min: usize,
        item_memory: usize,
    ) -> Result<Option<usize>, Error> {
        let Some(count) = self.long_length(flexible)? else {
            return Ok(None);
        };
        if count > self.remaining() / item_bytes_min.max(1) {
            return Err(Error::InvalidLength {
                length: count as i64,
            });
        }
        self.charge(count.saturating_mul(item_memory))?;
        Ok(Some(count))
    }

    /// How many tagged fields follow.
    pub fn tags(&mut self) -> Result<u32, Error> {
        self.uvarint()
    }

    /// The next tagged field: its tag, and how many bytes will be left after it.
    pub fn tag(&mut self) -> Result<(u32, usize), Error> {
        let tag = self.uvarint()?;
        let length = self.uvarint()? as usize;
        let left = self
            .remaining()
            .checked_sub(length)
            .ok_or(Error::InvalidLength {
                length: length as i64,
            })?;
        Ok((tag, left))
    }

    /// Ends tagged field `tag`, after which `left` bytes must be left.
    pub fn end_tag(&self, tag: u32, left: usize) -> Result<(), Error> {
        if self.remaining() == left {
            Ok(())
        } else {
            Err(Error::InvalidTag { tag })
        }
    }

    /// Skips what is left of an unknown tagged field.
    pub fn skip_tag(&mut self, left: usize) {
        self.at = self.buffer.len() - left;
    }

    /// Skips a whole section of tagged fields, none of them known.
    pub fn skip_tags(&mut self) -> Result<(), Error> {
        for _ in 0..self.tags()? {
            let (_, left) = self.tag()?;
            self.skip_tag(left);
        }
        Ok(())
    }
}
