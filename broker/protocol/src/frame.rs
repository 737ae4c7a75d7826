//! Frames: a size, a header, a message.
//!
//! ```text
//! request   size i32 | key i16, version i16, correlation id i32, client id, (tags) | body
//! response  size i32 | correlation id i32, (tags)                                  | body
//! ```

use bytes::{Buf, BytesMut};

use crate::api::ApiKey;
use crate::codec::{self, Decode, Encode, Reader, Request, Segments, Writer};

/// The bytes of a frame's size.
const SIZE_BYTES: usize = 4;

/// Room for an answer without record batches, so that most need one allocation.
const RESPONSE_BYTES: usize = 256;

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The size is negative or above the limit.
    #[error("a frame of {bytes} bytes: the limit is {bytes_max}")]
    Size {
        /// The declared size.
        bytes: i32,
        /// The most that is accepted.
        bytes_max: usize,
    },
    /// The header's bytes are wrong.
    #[error("malformed header: {0}")]
    Header(#[from] codec::Error),
    /// No API has this key.
    #[error("unknown API key {key}")]
    UnknownApi {
        /// The key.
        key: i16,
    },
}

/// Takes the next whole frame, without its size, off the front of what was read; `None` until all
/// of it is there. Nothing is set aside for a frame before its bytes arrive.
pub fn split(buffer: &mut BytesMut, bytes_max: usize) -> Result<Option<BytesMut>, Error> {
    let Some(size) = buffer.first_chunk::<SIZE_BYTES>() else {
        return Ok(None);
    };
    let bytes = i32::from_be_bytes(*size);
    let size = match usize::try_from(bytes) {
        Ok(size) if size <= bytes_max => size,
        _ => return Err(Error::Size { bytes, bytes_max }),
    };
    if buffer.len() - SIZE_BYTES < size {
        return Ok(None);
    }
    buffer.advance(SIZE_BYTES);
    Ok(Some(buffer.split_to(size)))
}

/// The header of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// The API.
    pub api_key: ApiKey,
    /// The version; not checked against what is known.
    pub api_version: i16,
    /// What the answer repeats.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<String>,
}

impl RequestHeader {
    /// Reads it; the body is what `reader` has left.
    pub fn read(reader: &mut Reader) -> Result<Self, Error> {
        let key = reader.i16()?;
        let api_key = ApiKey::from_key(key).ok_or(Error::UnknownApi { key })?;
        let api_version = reader.i16()?;
        let correlation_id = reader.i32()?;
        // never compact, so that a broker can read the header of a version it does not know
        let client_id = match reader.string_length(false)? {
            None => None,
            Some(length) => {
                let text = std::str::from_utf8(reader.slice(length)?);
                Some(text.map_err(|_| codec::Error::InvalidUtf8)?.to_owned())
            }
        };
        if api_key.request_header_version(api_version) >= 2 {
            reader.skip_tags()?;
        }
        Ok(Self {
            api_key,
            api_version,
            correlation_id,
            client_id,
        })
    }

    /// Writes it.
    pub fn write(&self, writer: &mut Writer) -> Result<(), codec::Error> {
        for number in [self.api_key.key(), self.api_version] {
            writer.put(&number.to_be_bytes());
        }
        writer.put(&self.correlation_id.to_be_bytes());
        writer.string_length(self.client_id.as_ref().map(String::len), false)?;
        writer.put(self.client_id.as_deref().unwrap_or_default().as_bytes());
        if self.api_key.request_header_version(self.api_version) >= 2 {
            writer.uvarint(0);
        }
        Ok(())
    }
}

/// A whole response frame, its size included.
pub fn response(
    header: &RequestHeader,
    version: i16,
    body: &impl Encode,
) -> Result<Segments, codec::Error> {
    let mut writer = Writer::with_capacity(RESPONSE_BYTES);
    writer.put(&[0; SIZE_BYTES]);
    writer.put(&header.correlation_id.to_be_bytes());
    if header.api_key.response_header_version(version) >= 1 {
        writer.uvarint(0);
    }
    body.encode(&mut writer, version)?;
    finish(writer)
}

/// A whole request frame, its size included.
pub fn request<R: Request>(
    version: i16,
    correlation_id: i32,
    client_id: &str,
    body: &R,
) -> Result<Segments, codec::Error> {
    let header = RequestHeader {
        api_key: R::KEY,
        api_version: version,
        correlation_id,
        client_id: Some(client_id.to_owned()),
    };
    let mut writer = Writer::with_capacity(RESPONSE_BYTES);
    writer.put(&[0; SIZE_BYTES]);
    header.write(&mut writer)?;
    body.encode(&mut writer, version)?;
    finish(writer)
}

/// Reads a response frame without its size: the correlation id, and the body.
pub fn read_response<R: Request>(
    frame: BytesMut,
    version: i16,
) -> Result<(i32, R::Response), codec::Error> {
    let mut reader = Reader::new(frame);
    let correlation_id = reader.i32()?;
    if R::KEY.response_header_version(version) >= 1 {
        reader.skip_tags()?;
    }
    let response = R::Response::decode(&mut reader, version)?;
    reader.finish()?;
    Ok((correlation_id, response))
}

fn finish(mut writer: Writer) -> Result<Segments, codec::Error> {
    let length = writer.len() - SIZE_BYTES;
    let size = i32::try_from(length).map_err(|_| codec::Error::TooLong { length })?;
    writer.set_i32(0, size);
    Ok(writer.finish())
}
