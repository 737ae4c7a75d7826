//! How values become bytes and back: the codec behind `#[derive(Kafka)]`.
//!
//! A struct derives [`Value`]: its fields in wire order, each present in the versions its attribute
//! says. A whole message is a [`Message`]: it also knows its own versions and since when it is
//! *flexible* (compact lengths, tagged fields). [`Encode`] and [`Decode`] are what callers use.
//!
//! Invariants: a declared count or length is never believed beyond the bytes that are left;
//! decoding takes no more memory than [`MEMORY_FACTOR_MAX`] times the bytes given plus
//! [`MEMORY_FREE_BYTES`]; no string is longer than [`STRING_BYTES_MAX`], read or written, so what
//! one version can say the others can too; but metadata records may hold longer ones, which older
//! brokers recorded; unknown tags are skipped and never stored; record bytes are never copied.

mod reader;
mod schema;
#[cfg(test)]
mod tests;
mod value;
mod writer;

use std::ops::RangeInclusive;

pub use ottla_protocol_derive::Kafka;

pub use self::reader::{MEMORY_FACTOR_MAX, MEMORY_FREE_BYTES, Reader};
pub use self::schema::{Field, Type};
pub use self::value::{Context, Records, Value};
pub use self::writer::{Segments, Tags, Writer};

use crate::api::ApiKey;

/// The longest string, in every version, also where its length is compact: as in Apache Kafka.
pub const STRING_BYTES_MAX: usize = i16::MAX as usize;

/// Why bytes are not the value they should be, or a value cannot be said in a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end inside a value.
    #[error("{missing} bytes missing: the value is longer than the bytes that are left")]
    Truncated {
        /// How many more bytes the value needs, as far as is known.
        missing: usize,
    },
    /// A count or length is below zero, or beyond what the bytes that are left could hold.
    #[error("impossible length {length}")]
    InvalidLength {
        /// What the bytes declare.
        length: i64,
    },
    /// Null where this version has no null.
    #[error("null where null is not allowed")]
    UnexpectedNull,
    /// A string that is not UTF-8.
    #[error("a string is not UTF-8")]
    InvalidUtf8,
    /// A variable-length integer of too many bytes.
    #[error("a variable-length integer is longer than its type")]
    InvalidVarint,
    /// A tagged field whose bytes do not end where its length says.
    #[error("tagged field {tag} does not fill its declared length")]
    InvalidTag {
        /// The field's tag.
        tag: u32,
    },
    /// The decoded value would take more memory than its bytes justify.
    #[error("the decoded value would take more memory than {MEMORY_FACTOR_MAX} times its bytes")]
    TooMuchMemory,
    /// Bytes are left after the value.
    #[error("{count} bytes are left after the value")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// The message does not exist in this version.
    #[error("{message} has no version {version}")]
    UnsupportedVersion {
        /// The message's name.
        message: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A field holds a value but does not exist in this version, and leaving it out would change
    /// what the message means.
    #[error("{field} does not exist in version {version}")]
    FieldUnsupported {
        /// The field's name.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A value is too long for its length prefix.
    #[error("{length} is too long for its length prefix")]
    TooLong {
        /// The value's length.
        length: usize,
    },
}

/// A value that has a wire form in some versions.
pub trait Encode {
    /// Appends the form of `version` to `writer`.
    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), Error>;
}

/// A value that is read from its wire form.
pub trait Decode: Sized {
    /// Reads the form of `version`.
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, Error>;
}

/// A struct with versions of its own: a request, a response, a record of an internal topic.
pub trait Message: Value {
    /// The schema's name.
    const NAME: &'static str;
    /// The versions that exist.
    const VERSIONS: RangeInclusive<i16>;
    /// The first flexible version; `i16::MAX` where none is.
    const FLEXIBLE: i16;

    /// How long a response tells the client to wait, where it has a field for that.
    fn throttle_time_ms(&mut self) -> Option<&mut i32> {
        None
    }
}

/// A request, and what answers it.
pub trait Request: Message {
    /// The API.
    const KEY: ApiKey;
    /// What answers it.
    type Response: Message;
}

impl<M: Message> Encode for M {
    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), Error> {
        self.write(writer, context::<M>(version)?)
    }
}

impl<M: Message> Decode for M {
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, Error> {
        Self::read(reader, context::<M>(version)?)
    }
}

fn context<M: Message>(version: i16) -> Result<Context, Error> {
    if !M::VERSIONS.contains(&version) {
        return Err(Error::UnsupportedVersion {
            message: M::NAME,
            version,
        });
    }
    Ok(Context::new(version, version >= M::FLEXIBLE))
}
