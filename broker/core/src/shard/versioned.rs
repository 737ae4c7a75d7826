//! Keys and values of internal topics, in Apache Kafka's own format: tools and backups can read
//! them. Each begins with its version; a key's version says of which kind its record is.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use ottla_protocol::codec::{Decode, Encode, Error, Message, Reader, Writer};

/// The schema version of the keys' fields, whatever their prefix says.
const KEY_SCHEMA_VERSION: i16 = 0;

pub(crate) fn encode_key<M: Message>(version: i16, key: &M) -> Result<Bytes, Error> {
    encode(version, KEY_SCHEMA_VERSION, key)
}

pub(crate) fn encode_value<M: Message>(version: i16, value: &M) -> Result<Bytes, Error> {
    encode(version, version, value)
}

fn encode<M: Message>(prefix: i16, version: i16, message: &M) -> Result<Bytes, Error> {
    let mut writer = Writer::new();
    writer.buffer().put_i16(prefix);
    message.encode(&mut writer, version)?;
    Ok(writer.into_bytes())
}

/// The version, and the fields after it.
pub(crate) fn split_version(mut bytes: &[u8]) -> Result<(i16, &[u8]), Error> {
    let version = bytes
        .try_get_i16()
        .map_err(|_| Error::Truncated { missing: 2 })?;
    Ok((version, bytes))
}

/// A key's fields.
pub(crate) fn decode_key<M: Message>(fields: &[u8]) -> Result<M, Error> {
    decode_fields(fields, KEY_SCHEMA_VERSION)
}

pub(crate) fn decode_value<M: Message>(bytes: &[u8]) -> Result<M, Error> {
    let (version, fields) = split_version(bytes)?;
    decode_fields(fields, version)
}

/// Fields of a version.
pub(crate) fn decode_fields<M: Message>(bytes: &[u8], version: i16) -> Result<M, Error> {
    let mut reader = Reader::new(BytesMut::from(bytes));
    M::decode(&mut reader, version)
}
