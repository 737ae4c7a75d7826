//! Collects encoded bytes as segments, so that record bytes go out without being copied.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Context, Error, Value};

/// Shared bytes shorter than this are copied: a segment of their own would cost more.
const SPLICE_BYTES_MIN: usize = 4096;

/// The encoded form, in order; written with one vectored write.
pub type Segments = Vec<Bytes>;

/// A growing buffer, with shared bytes spliced in between.
#[derive(Debug, Default)]
pub struct Writer {
    /// The first segment stays writable for the frame's size.
    first: BytesMut,
    /// Segments after the first; empty while nothing was spliced.
    rest: Vec<Bytes>,
    rest_bytes: usize,
    tail: BytesMut,
    spliced: bool,
    long_strings: bool,
}

impl Writer {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with strings of any length where the version is flexible: for what
    /// [`Reader::with_long_strings`](super::Reader::with_long_strings) reads.
    #[must_use]
    pub fn with_long_strings(self) -> Self {
        Self {
            long_strings: true,
            ..self
        }
    }

    /// An empty writer with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            first: BytesMut::with_capacity(capacity),
            ..Self::default()
        }
    }

    /// How many bytes are written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.first.len() + self.rest_bytes + self.tail.len()
    }

    /// Whether nothing is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The buffer that bytes are appended to.
    #[inline]
    pub fn buffer(&mut self) -> &mut BytesMut {
        if self.spliced {
            &mut self.tail
        } else {
            &mut self.first
        }
    }

    /// Appends a copy of `bytes`.
    pub fn put(&mut self, bytes: &[u8]) {
        self.buffer().put_slice(bytes);
    }

    /// Appends `bytes` without a copy, unless they are few.
    pub fn splice(&mut self, bytes: &Bytes) {
        if bytes.len() < SPLICE_BYTES_MIN {
            return self.put(bytes);
        }
        self.end_tail();
        self.spliced = true;
        self.rest_bytes += bytes.len();
        self.rest.push(bytes.clone());
    }

    fn end_tail(&mut self) {
        if !self.tail.is_empty() {
            let tail = self.tail.split().freeze();
            self.rest_bytes += tail.len();
            self.rest.push(tail);
        }
    }

    /// Overwrites the four bytes at `at`, which must lie before any spliced bytes.
    pub fn set_i32(&mut self, at: usize, value: i32) {
        self.first[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }

    /// All that was written, in order.
    #[must_use]
    pub fn finish(mut self) -> Segments {
        self.end_tail();
        let mut segments = Vec::with_capacity(1 + self.rest.len());
        if !self.first.is_empty() {
            segments.push(self.first.freeze());
        }
        segments.append(&mut self.rest);
        segments
    }

    /// All that was written, as one buffer.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        if !self.spliced {
            return self.first.freeze();
        }
        let mut whole = BytesMut::with_capacity(self.len());
        for segment in self.finish() {
            whole.put_slice(&segment);
        }
        whole.freeze()
    }

    /// Appends an unsigned variable-length integer.
    pub fn uvarint(&mut self, mut value: u32) {
        let buffer = self.buffer();
        while value > 0x7f {
            buffer.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        buffer.put_u8(value as u8);
    }

    /// Appends the length of a string; `None` is null. No version of a message has longer strings
    /// than another.
    pub(crate) fn string_length(
        &mut self,
        length: Option<usize>,
        flexible: bool,
    ) -> Result<(), Error> {
        if flexible && self.long_strings {
            return self.compact_length(length);
        }
        let wire: i16 = length_or(-1, length)?;
        if flexible {
            return self.compact_length(length);
        }
        self.buffer().put_i16(wire);
        Ok(())
    }

    /// Appends the length of bytes or the count of an array; `None` is null.
    pub(crate) fn long_length(
        &mut self,
        length: Option<usize>,
        flexible: bool,
    ) -> Result<(), Error> {
        if flexible {
            return self.compact_length(length);
        }
        self.buffer().put_i32(length_or(-1, length)?);
        Ok(())
    }

    fn compact_length(&mut self, length: Option<usize>) -> Result<(), Error> {
        let wire: i32 = length_or(-1, length)?;
        self.uvarint((wire + 1) as u32);
        Ok(())
    }
}

/// The length as the wire has it; what is null has the length `null`.
fn length_or<N: TryFrom<usize>>(null: N, length: Option<usize>) -> Result<N, Error> {
    let Some(length) = length else {
        return Ok(null);
    };
    N::try_from(length).map_err(|_| Error::TooLong { length })
}

/// The tagged fields of one struct, collected before they are written because each is preceded by
/// its size and all by their count.
#[derive(Debug, Default)]
pub struct Tags {
    count: u32,
    fields: Writer,
}

impl Tags {
    /// Adds field `tag`; tags come in ascending order.
    pub fn put<V: Value>(&mut self, tag: u32, value: &V, context: Context) -> Result<(), Error> {
        let mut field = Writer::new();
        value.write(&mut field, context)?;
        self.count += 1;
        self.fields.uvarint(tag);
        self.fields.uvarint(field.len() as u32);
        for segment in field.finish() {
            self.fields.put(&segment);
        }
        Ok(())
    }

    /// Writes the section.
    pub fn write(self, writer: &mut Writer) {
        writer.uvarint(self.count);
        writer.put(&self.fields.into_bytes());
    }
}
