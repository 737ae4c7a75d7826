//! Records inside a batch, and the control records among them.
//!
//! ```text
//! length varint | attributes i8 | timestamp delta varlong | offset delta varint
//!   | key: length varint, bytes | value: length varint, bytes
//!   | count of headers varint | each: key length varint, text | value length varint, bytes
//! ```
//!
//! Varints are zigzag; a length of -1 is null. Lengths are never believed beyond the bytes left.

mod control;
#[cfg(test)]
mod tests;
mod varint;
#[cfg(feature = "compression")]
mod walk;

pub use self::control::ControlRecord;
#[cfg(feature = "compression")]
pub use self::walk::Seen;
#[cfg(feature = "compression")]
pub(crate) use self::walk::{walk, walk_stream};

use bytes::{BufMut, BytesMut};

use self::varint::{put_varint, put_varlong, take_varint, take_varlong, varint_bytes};

/// Why bytes are not records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end inside a record.
    #[error("the bytes end inside a record")]
    Truncated,
    /// A variable-length integer of too many bytes.
    #[error("a variable-length integer is longer than its type")]
    InvalidVarint,
    /// A length or count below zero, or beyond the bytes left.
    #[error("impossible length {length}")]
    InvalidLength {
        /// The declared length.
        length: i32,
    },
    /// Null where only bytes may be.
    #[error("a header without a key")]
    UnexpectedNull,
    /// A record's parts do not fill its length.
    #[error("a record of another length than it declares")]
    WrongLength,
    /// Fewer or more records than the batch declares.
    #[error("another count of records than the batch declares")]
    WrongCount,
    /// A record that does not have the offset after the one before.
    #[error("record {place} has the offset delta {found}")]
    WrongOffset {
        /// Where it is among the batch's records.
        place: i32,
        /// Its offset less the batch's base offset.
        found: i32,
    },
    /// The compressed bytes are damaged.
    #[error("the compressed records are damaged")]
    Compression,
    /// The records are larger than the caller's limit once decompressed.
    #[error("more than {bytes_max} bytes once decompressed")]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
}

#[cfg(feature = "compression")]
impl Error {
    /// What a decoder failed by.
    pub(crate) fn of_stream(error: std::io::Error) -> Self {
        error.downcast().unwrap_or(Self::Compression)
    }
}

/// A record within decompressed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its offset less the batch's base offset.
    pub offset_delta: i32,
    /// Its timestamp in ms less the batch's base timestamp.
    pub timestamp_delta: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    headers_count: i32,
    headers: &'a [u8],
}

/// A record to be written.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewRecord<'a> {
    /// Its timestamp in ms since 1970.
    pub timestamp_ms: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers: a name and a value each.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// Reads the `count` records in `bytes`, which must hold no others. It ends at the first error.
#[must_use]
pub fn iterate(bytes: &[u8], count: i32) -> Records<'_> {
    Records {
        rest: bytes,
        left: count,
    }
}

/// See [`iterate`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    left: i32,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = match (self.left, self.rest.is_empty()) {
            (..=0, true) => return None,
            (..=0, false) | (_, true) => Err(Error::WrongCount),
            (left, false) => {
                self.left = left - 1;
                take_record(&mut self.rest)
            }
        };
        if next.is_err() {
            (self.left, self.rest) = (0, &[]);
        }
        Some(next)
    }
}

fn take_record<'a>(bytes: &mut &'a [u8]) -> Result<Record<'a>, Error> {
    let mut rest = take_bytes(bytes)?.ok_or(Error::InvalidLength { length: -1 })?;
    let (_attributes, after) = rest.split_first().ok_or(Error::Truncated)?;
    rest = after;
    let timestamp_delta = take_varlong(&mut rest)?;
    let offset_delta = take_varint(&mut rest)?;
    let key = take_bytes(&mut rest)?;
    let value = take_bytes(&mut rest)?;
    let headers_count = take_varint(&mut rest)?;
    // each header takes two bytes at least
    match usize::try_from(headers_count) {
        Ok(count) if count <= rest.len() / 2 => {}
        _ => {
            return Err(Error::InvalidLength {
                length: headers_count,
            });
        }
    }
    if headers_count == 0 && !rest.is_empty() {
        return Err(Error::WrongLength);
    }
    Ok(Record {
        offset_delta,
        timestamp_delta,
        key,
        value,
        headers_count,
        headers: rest,
    })
}

fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Error> {
    let length = take_varint(bytes)?;
    if length == -1 {
        return Ok(None);
    }
    let wanted = usize::try_from(length).map_err(|_| Error::InvalidLength { length })?;
    let (taken, rest) = bytes
        .split_at_checked(wanted)
        .ok_or(Error::InvalidLength { length })?;
    *bytes = rest;
    Ok(Some(taken))
}

impl<'a> Record<'a> {
    /// The headers: a name and a value each.
    pub fn headers(&self) -> impl Iterator<Item = Result<Header<'a>, Error>> + use<'a> {
        let mut rest = self.headers;
        (0..self.headers_count).map(move |_| {
            let key = take_bytes(&mut rest)?.ok_or(Error::UnexpectedNull)?;
            let value = take_bytes(&mut rest)?;
            Ok((key, value))
        })
    }
}

/// A header: its name, not checked to be UTF-8, and its value.
pub type Header<'a> = (&'a [u8], Option<&'a [u8]>);

/// Appends a record.
pub fn write(
    buffer: &mut BytesMut,
    offset_delta: i32,
    timestamp_delta: i64,
    record: &NewRecord<'_>,
) {
    let mut length = 1 + varint_bytes(timestamp_delta) + varint_bytes(i64::from(offset_delta));
    length += bytes_length(record.key) + bytes_length(record.value);
    length += varint_bytes(record.headers.len() as i64);
    for (name, value) in record.headers {
        length += bytes_length(Some(name.as_bytes())) + bytes_length(*value);
    }
    put_varint(buffer, length as i32);
    buffer.put_i8(0);
    put_varlong(buffer, timestamp_delta);
    put_varint(buffer, offset_delta);
    put_bytes(buffer, record.key);
    put_bytes(buffer, record.value);
    put_varint(buffer, record.headers.len() as i32);
    for (name, value) in record.headers {
        put_bytes(buffer, Some(name.as_bytes()));
        put_bytes(buffer, *value);
    }
}

/// Appends a record as it was read, with another timestamp.
#[cfg(feature = "compression")]
pub(crate) fn write_again(buffer: &mut BytesMut, timestamp_delta: i64, record: &Record<'_>) {
    let Record {
        offset_delta,
        key,
        value,
        headers_count,
        headers,
        ..
    } = *record;
    let mut length = 1 + varint_bytes(timestamp_delta) + varint_bytes(i64::from(offset_delta));
    length += bytes_length(key) + bytes_length(value);
    length += varint_bytes(i64::from(headers_count)) + headers.len();
    put_varint(buffer, length as i32);
    buffer.put_i8(0);
    put_varlong(buffer, timestamp_delta);
    put_varint(buffer, offset_delta);
    put_bytes(buffer, key);
    put_bytes(buffer, value);
    put_varint(buffer, headers_count);
    buffer.put_slice(headers);
}

fn bytes_length(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint_bytes(bytes.len() as i64) + bytes.len())
}

fn put_bytes(buffer: &mut BytesMut, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varint(buffer, -1),
        Some(bytes) => {
            put_varint(buffer, bytes.len() as i32);
            buffer.put_slice(bytes);
        }
    }
}
