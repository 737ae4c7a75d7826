//! A walk over the records of a batch that a client sent: each must be what consumers can read.
//!
//! It looks at every length and at every offset, passes over keys, values and headers, and
//! allocates nothing. Compressed records are walked over as they come out of the decoder, in a
//! window that does not grow with them.

use std::io::Read;

use super::Error;
use super::varint::{VARLONG_BYTES_MAX, take_varint, take_varlong};

/// How much of a stream is looked at at once.
const WINDOW_BYTES: usize = 16 * 1024;

/// What a walk tells of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Where it is among the batch's records, which is its offset delta too.
    pub place: i32,
    /// Its timestamp in ms less the batch's base timestamp.
    pub timestamp_delta: i64,
    /// Whether it has a key.
    pub has_key: bool,
}

/// Bytes that are walked over.
trait Source {
    /// The bytes at hand.
    fn at_hand(&self) -> &[u8];
    /// Leaves the first `count` of the bytes at hand behind.
    fn pass(&mut self, count: usize);
    /// Brings more bytes behind those at hand, of which there are few; false at the end.
    fn bring(&mut self) -> Result<bool, Error>;
}

impl Source for &[u8] {
    fn at_hand(&self) -> &[u8] {
        self
    }

    fn pass(&mut self, count: usize) {
        *self = self.get(count..).unwrap_or_default();
    }

    fn bring(&mut self) -> Result<bool, Error> {
        Ok(false)
    }
}

/// Walks over the `count` records in `bytes`, which must hold no others.
pub(crate) fn walk(mut bytes: &[u8], count: i32, see: impl FnMut(Seen)) -> Result<(), Error> {
    walk_source(&mut bytes, count, see)
}

/// Walks over the `count` records that come out of `reader`, `bytes_max` bytes at most.
pub(crate) fn walk_stream(
    reader: &mut dyn Read,
    bytes_max: usize,
    count: i32,
    see: impl FnMut(Seen),
) -> Result<(), Error> {
    let mut window = Window {
        reader,
        bytes_max,
        bytes_left: bytes_max,
        bytes: [0; WINDOW_BYTES],
        begin: 0,
        end: 0,
    };
    walk_source(&mut window, count, see)
}

fn walk_source<S: Source>(
    source: &mut S,
    count: i32,
    mut see: impl FnMut(Seen),
) -> Result<(), Error> {
    for place in 0..count {
        if source.at_hand().is_empty() && !source.bring()? {
            return Err(Error::WrongCount);
        }
        see(pass_record(source, place)?);
    }
    match source.at_hand().is_empty() && !source.bring()? {
        true => Ok(()),
        false => Err(Error::WrongCount),
    }
}

#[inline]
fn pass_record<S: Source>(source: &mut S, place: i32) -> Result<Seen, Error> {
    let mut unbounded = usize::MAX;
    let length = take(source, &mut unbounded, take_varint)?;
    let mut left = usize::try_from(length).map_err(|_| Error::InvalidLength { length })?;
    pass(source, &mut left, 1)?; // attributes, of which there are none
    let timestamp_delta = take(source, &mut left, take_varlong)?;
    let found = take(source, &mut left, take_varint)?;
    if found != place {
        return Err(Error::WrongOffset { place, found });
    }
    let has_key = pass_bytes(source, &mut left)?;
    pass_bytes(source, &mut left)?;
    let length = take(source, &mut left, take_varint)?;
    // each header takes two bytes at least
    let headers = usize::try_from(length)
        .ok()
        .filter(|count| *count <= left / 2);
    for _ in 0..headers.ok_or(Error::InvalidLength { length })? {
        if !pass_bytes(source, &mut left)? {
            return Err(Error::UnexpectedNull);
        }
        pass_bytes(source, &mut left)?;
    }
    match left {
        0 => Ok(Seen {
            place,
            timestamp_delta,
            has_key,
        }),
        _ => Err(Error::WrongLength),
    }
}

/// Reads a number, which lies within the `left` bytes of its record.
#[inline]
fn take<S: Source, T>(
    source: &mut S,
    left: &mut usize,
    read: impl FnOnce(&mut &[u8]) -> Result<T, Error>,
) -> Result<T, Error> {
    let wanted = VARLONG_BYTES_MAX.min(*left);
    while source.at_hand().len() < wanted && source.bring()? {}
    let at_hand = source.at_hand();
    let mut bytes = at_hand.get(..*left).unwrap_or(at_hand);
    let before = bytes.len();
    let number = read(&mut bytes)?;
    let taken = before - bytes.len();
    source.pass(taken);
    *left -= taken;
    Ok(number)
}

/// Passes over bytes with their length before them; false where they are null.
#[inline]
fn pass_bytes<S: Source>(source: &mut S, left: &mut usize) -> Result<bool, Error> {
    let length = take(source, left, take_varint)?;
    if length == -1 {
        return Ok(false);
    }
    let count = usize::try_from(length).map_err(|_| Error::InvalidLength { length })?;
    pass(source, left, count)?;
    Ok(true)
}

#[inline]
fn pass<S: Source>(source: &mut S, left: &mut usize, count: usize) -> Result<(), Error> {
    *left = left.checked_sub(count).ok_or(Error::WrongLength)?;
    let mut count = count;
    loop {
        let at_hand = source.at_hand().len();
        if count <= at_hand {
            source.pass(count);
            return Ok(());
        }
        source.pass(at_hand);
        count -= at_hand;
        if !source.bring()? {
            return Err(Error::Truncated);
        }
    }
}

/// The part of a stream that is looked at.
struct Window<'a> {
    reader: &'a mut dyn Read,
    bytes_max: usize,
    bytes_left: usize,
    bytes: [u8; WINDOW_BYTES],
    begin: usize,
    end: usize,
}

impl Source for Window<'_> {
    fn at_hand(&self) -> &[u8] {
        self.bytes.get(self.begin..self.end).unwrap_or_default()
    }

    fn pass(&mut self, count: usize) {
        self.begin += count;
    }

    fn bring(&mut self) -> Result<bool, Error> {
        self.bytes.copy_within(self.begin..self.end, 0);
        (self.begin, self.end) = (0, self.end - self.begin);
        let room = self.bytes.get_mut(self.end..).unwrap_or_default();
        let read = self.reader.read(room).map_err(Error::of_stream)?;
        let bytes_max = self.bytes_max;
        let left = self.bytes_left.checked_sub(read);
        self.bytes_left = left.ok_or(Error::TooLarge { bytes_max })?;
        self.end += read;
        Ok(read > 0)
    }
}
