//! Looks inside compressed batches: only where a decision needs the records (offsets by timestamp,
//! compaction), never on the way from producer to consumer.
//!
//! What comes out is bounded by the caller's limit, whatever the compressed bytes declare.

use std::borrow::Cow;
use std::io::Read;

use crate::record::{self, Error};
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
    let decompressed = match compression {
        Compression::None => return Ok(Cow::Borrowed(body)),
        Compression::Gzip => limited(flate2::read::MultiGzDecoder::new(body), bytes_max),
        Compression::Snappy => snappy(body, bytes_max),
        Compression::Lz4 => limited(lz4_flex::frame::FrameDecoder::new(body), bytes_max),
        Compression::Zstd => zstd(body, bytes_max),
    };
    decompressed.map(Cow::Owned)
}

fn limited(reader: impl Read, bytes_max: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(bytes_max)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let read = reader.take(limit).read_to_end(&mut bytes);
    match read.map_err(|_| Error::Compression)? {
        count if count > bytes_max => Err(Error::TooLarge { bytes_max }),
        _ => Ok(bytes),
    }
}

fn zstd(body: &[u8], bytes_max: usize) -> Result<Vec<u8>, Error> {
    // the decoder keeps a window of output, so its size must be bounded before it starts
    if zstd_window(body)? > ZSTD_WINDOW_BYTES_MAX.max(bytes_max as u64) {
        return Err(Error::TooLarge { bytes_max });
    }
    let reader = ruzstd::decoding::StreamingDecoder::new(body);
    limited(reader.map_err(|_| Error::Compression)?, bytes_max)
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

fn snappy(body: &[u8], bytes_max: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    if !body.starts_with(XERIAL_MAGIC) {
        snappy_block(body, bytes_max, &mut bytes)?;
        return Ok(bytes);
    }
    let mut rest = body.get(XERIAL_HEADER_BYTES..).ok_or(Error::Truncated)?;
    while let Some((size, after)) = rest.split_first_chunk::<4>() {
        let length = i32::from_be_bytes(*size);
        let block = usize::try_from(length)
            .ok()
            .and_then(|size| after.split_at_checked(size));
        let (block, after) = block.ok_or(Error::InvalidLength { length })?;
        snappy_block(block, bytes_max, &mut bytes)?;
        rest = after;
    }
    if rest.is_empty() {
        Ok(bytes)
    } else {
        Err(Error::Truncated)
    }
}

fn snappy_block(block: &[u8], bytes_max: usize, bytes: &mut Vec<u8>) -> Result<(), Error> {
    let length = snap::raw::decompress_len(block).map_err(|_| Error::Compression)?;
    if length > bytes_max - bytes.len() {
        return Err(Error::TooLarge { bytes_max });
    }
    // one byte of snappy gives 64 at most: a longer block is a lie, and is not made room for
    if length > block.len().saturating_mul(64) {
        return Err(Error::Compression);
    }
    let start = bytes.len();
    bytes.resize(start + length, 0);
    let room = bytes.get_mut(start..).unwrap_or_default();
    snap::raw::Decoder::new()
        .decompress(block, room)
        .map_err(|_| Error::Compression)?;
    Ok(())
}
