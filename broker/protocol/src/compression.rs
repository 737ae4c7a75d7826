//! Looks inside compressed batches: where a decision needs the records (offsets by timestamp,
//! compaction), and once before a batch is taken from a producer. They stay as they are.
//!
//! What comes out is bounded by the caller's limit, whatever the compressed bytes declare.

use std::borrow::Cow;
use std::io::Read;

use crate::record::{self, Error, Seen};
use crate::record_batch::{self, Compression, RecordBatch, TimestampType};

use crate::ids::Offset;

/// How snappy-java begins a stream of blocks; what does not begin so is one raw block.
const XERIAL_MAGIC: &[u8] = b"\x82SNAPPY\x00";

/// The magic, and two versions.
const XERIAL_HEADER_BYTES: usize = 16;

/// The largest window that a Zstandard frame may ask for, unless the caller's limit is larger: what
/// decoders must support (RFC 8878), and what all levels up to 19 stay within.
const ZSTD_WINDOW_BYTES_MAX: u64 = 8 * 1024 * 1024;

impl<'a> RecordBatch<'a> {
    /// The records' bytes, decompressed to at most `bytes_max`.
    pub fn decompressed(&self, bytes_max: usize) -> Result<Cow<'a, [u8]>, record_batch::Error> {
        let compression = self.header.compression()?;
        Ok(decompress(compression, self.body(), bytes_max)?)
    }

    /// Walks over the records, at most `bytes_max` bytes of them once decompressed, and tells of
    /// each. It holds no more than a part of them at a time, and a decoder's window.
    ///
    /// # Errors
    /// Consumers could not read them: lengths that do not fit, another count of records or other
    /// offsets than the header says.
    pub fn walk(&self, bytes_max: usize, see: impl FnMut(Seen)) -> Result<(), record_batch::Error> {
        let (body, count) = (self.body(), self.header.records_count);
        let compression = self.header.compression()?;
        if compression == Compression::None {
            return Ok(record::walk(body, count, see)?);
        }
        let mut rest = body;
        let mut reader = reader(compression, &mut rest, bytes_max)?;
        record::walk_stream(&mut *reader, bytes_max, count, see)?;
        drop(reader);
        match rest {
            [] => Ok(()),
            _ => Err(Error::Compression.into()), // what no decoder came to
        }
    }

    /// The offset and timestamp of the first record at or after `timestamp_ms`.
    pub fn first_at_or_after(
        &self,
        timestamp_ms: i64,
        bytes_max: usize,
    ) -> Result<Option<(Offset, i64)>, record_batch::Error> {
        if self.header.max_timestamp < timestamp_ms {
            return Ok(None);
        }
        if self.header.timestamp_type() == TimestampType::LogAppendTime {
            return Ok(Some((self.header.base_offset, self.header.max_timestamp)));
        }
        let header = &self.header;
        let body = self.decompressed(bytes_max)?;
        for found in record::iterate(&body, header.records_count) {
            let record = found?;
            let timestamp = header.base_timestamp.wrapping_add(record.timestamp_delta);
            if timestamp >= timestamp_ms {
                let offset = header.base_offset.plus(i64::from(record.offset_delta));
                return Ok(Some((offset, timestamp)));
            }
        }
        Ok(None)
    }
}

/// The bytes that were compressed, at most `bytes_max` of them.
pub fn decompress(
    compression: Compression,
    body: &[u8],
    bytes_max: usize,
) -> Result<Cow<'_, [u8]>, Error> {
    if compression == Compression::None {
        return Ok(Cow::Borrowed(body));
    }
    let mut rest = body;
    let reader = reader(compression, &mut rest, bytes_max)?;
    let mut bytes = Vec::new();
    let limit = u64::try_from(bytes_max)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let read = reader.take(limit).read_to_end(&mut bytes);
    match read.map_err(Error::of_stream)? {
        count if count > bytes_max => Err(Error::TooLarge { bytes_max }),
        _ => Ok(Cow::Owned(bytes)),
    }
}

/// Gives the bytes that were compressed, and leaves behind of `body` what it decoded.
fn reader<'a, 'b: 'a>(
    compression: Compression,
    body: &'a mut &'b [u8],
    bytes_max: usize,
) -> Result<Box<dyn Read + 'a>, Error> {
    Ok(match compression {
        Compression::None => Box::new(body),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(body)),
        Compression::Snappy => Box::new(Snappy::new(body, bytes_max)?),
        Compression::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(body)),
        Compression::Zstd => {
            // the decoder keeps a window of output, so its size must be bounded before it starts
            if zstd_window(body)? > ZSTD_WINDOW_BYTES_MAX.max(bytes_max as u64) {
                return Err(Error::TooLarge { bytes_max });
            }
            let reader = ruzstd::decoding::StreamingDecoder::new(body);
            Box::new(reader.map_err(|_| Error::Compression)?)
        }
    })
}

/// The window that the frame's header asks for (RFC 8878, 3.1.1.1).
fn zstd_window(body: &[u8]) -> Result<u64, Error> {
    let [_, _, _, _, descriptor, rest @ ..] = body else {
        return Err(Error::Truncated);
    };
    if descriptor & 0x20 == 0 {
        let window = *rest.first().ok_or(Error::Truncated)?;
        let base = 1u64 << (10 + (window >> 3));
        return Ok(base + base / 8 * u64::from(window & 7));
    }
    // a single segment: the window is the content, whose size follows the dictionary's id
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let (width, more) = [(1, 0), (2, 256), (4, 0), (8, 0)][usize::from(descriptor >> 6)];
    let size = rest
        .get(dictionary..dictionary + width)
        .ok_or(Error::Truncated)?;
    let size = size
        .iter()
        .rev()
        .fold(0u64, |size, byte| size << 8 | u64::from(*byte));
    Ok(size.saturating_add(more))
}

/// A stream of Snappy blocks, or one raw block.
struct Snappy<'a, 'b> {
    rest: &'a mut &'b [u8],
    is_raw: bool,
    bytes_left: usize,
    bytes_max: usize,
    block: Vec<u8>,
    position: usize,
}

impl<'a, 'b> Snappy<'a, 'b> {
    fn new(rest: &'a mut &'b [u8], bytes_max: usize) -> Result<Self, Error> {
        let is_raw = !rest.starts_with(XERIAL_MAGIC);
        if !is_raw {
            *rest = rest.get(XERIAL_HEADER_BYTES..).ok_or(Error::Truncated)?;
        }
        Ok(Self {
            rest,
            is_raw,
            bytes_left: bytes_max,
            bytes_max,
            block: Vec::new(),
            position: 0,
        })
    }

    /// Decodes the next block; false where there is none.
    fn next_block(&mut self) -> Result<bool, Error> {
        if self.rest.is_empty() {
            return Ok(false);
        }
        let mut block = *self.rest;
        *self.rest = &[];
        if !self.is_raw {
            let (size, after) = block.split_first_chunk::<4>().ok_or(Error::Truncated)?;
            let length = i32::from_be_bytes(*size);
            let split = usize::try_from(length)
                .ok()
                .and_then(|size| after.split_at_checked(size));
            (block, *self.rest) = split.ok_or(Error::InvalidLength { length })?;
        }
        let length = snap::raw::decompress_len(block).map_err(|_| Error::Compression)?;
        let bytes_max = self.bytes_max;
        let left = self.bytes_left.checked_sub(length);
        self.bytes_left = left.ok_or(Error::TooLarge { bytes_max })?;
        // one byte of snappy gives 64 at most: a longer block is a lie, and is not made room for
        if length > block.len().saturating_mul(64) {
            return Err(Error::Compression);
        }
        self.position = 0;
        self.block.resize(length, 0);
        let decoded = snap::raw::Decoder::new().decompress(block, &mut self.block);
        decoded.map_err(|_| Error::Compression)?;
        Ok(true)
    }
}

impl Read for Snappy<'_, '_> {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        while self.position == self.block.len() {
            if !self.next_block().map_err(std::io::Error::other)? {
                return Ok(0);
            }
        }
        let mut at_hand = self.block.get(self.position..).unwrap_or_default();
        let read = at_hand.read(room)?;
        self.position += read;
        Ok(read)
    }
}
