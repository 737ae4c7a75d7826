//! What a field can be.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::{Error, Reader, Type, Writer};
use crate::ids::{
    BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch, PartitionIndex, ProducerEpoch,
    ProducerId, Sequence, TopicId, Uuid,
};

/// What the form of a field depends on.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The message's version.
    pub version: i16,
    /// Whether lengths are compact and structs end with tagged fields.
    pub flexible: bool,
    /// Whether this field may be null.
    pub nullable: bool,
}

impl Context {
    /// The context of a whole message.
    #[must_use]
    pub fn new(version: i16, flexible: bool) -> Self {
        Self {
            version,
            flexible,
            nullable: false,
        }
    }

    /// Whether the version lies within `first` and `last`.
    #[inline]
    #[must_use]
    pub fn within(self, first: i16, last: i16) -> bool {
        first <= self.version && self.version <= last
    }

    /// The context of a field that may be null from `first` to `last`.
    #[inline]
    #[must_use]
    pub fn nullable(self, first: i16, last: i16) -> Self {
        Self {
            nullable: self.within(first, last),
            ..self
        }
    }

    /// What leaving out `field` in this version means: nothing, where it holds its default.
    #[inline]
    pub fn absent(self, is_default: bool, field: &'static str) -> Result<(), Error> {
        if is_default {
            return Ok(());
        }
        Err(Error::FieldUnsupported {
            field,
            version: self.version,
        })
    }
}

/// A type that a field can have.
pub trait Value: Sized + Default + PartialEq {
    /// The fewest bytes it takes on the wire.
    const BYTES_MIN: usize;
    /// Its description.
    const TYPE: Type;

    /// Reads it.
    fn read(reader: &mut Reader, context: Context) -> Result<Self, Error>;

    /// Writes it.
    fn write(&self, writer: &mut Writer, context: Context) -> Result<(), Error>;

    /// Whether it equals `other`: what a field is compared with its default by.
    fn is(&self, other: &Self) -> bool {
        self == other
    }

    /// Reads it where it may be null. A struct is preceded by a byte that says whether it is there.
    fn read_nullable(reader: &mut Reader, context: Context) -> Result<Option<Self>, Error> {
        match reader.i8()? {
            0.. => Self::read(reader, context).map(Some),
            _ => Ok(None),
        }
    }

    /// Writes it where it may be null.
    fn write_nullable(
        value: Option<&Self>,
        writer: &mut Writer,
        context: Context,
    ) -> Result<(), Error> {
        writer.buffer().put_i8(if value.is_some() { 1 } else { -1 });
        value.map_or(Ok(()), |value| value.write(writer, context))
    }
}

impl<V: Value> Value for Option<V> {
    const BYTES_MIN: usize = 1;
    const TYPE: Type = V::TYPE;

    fn read(reader: &mut Reader, context: Context) -> Result<Self, Error> {
        if context.nullable {
            V::read_nullable(reader, context)
        } else {
            V::read(reader, context).map(Some)
        }
    }

    fn write(&self, writer: &mut Writer, context: Context) -> Result<(), Error> {
        if context.nullable {
            return V::write_nullable(self.as_ref(), writer, context);
        }
        self.as_ref()
            .ok_or(Error::UnexpectedNull)?
            .write(writer, context)
    }
}

macro_rules! number {
    ($($type:ty, $wire:literal, $read:ident, $put:ident);*) => {$(
        impl Value for $type {
            const BYTES_MIN: usize = size_of::<$type>();
            const TYPE: Type = Type::Plain($wire);

            #[inline]
            fn read(reader: &mut Reader, _: Context) -> Result<Self, Error> {
                reader.$read()
            }

            #[inline]
            fn write(&self, writer: &mut Writer, _: Context) -> Result<(), Error> {
                writer.buffer().$put(*self);
                Ok(())
            }
        }
    )*};
}

number! {
    i8, "int8", i8, put_i8; i16, "int16", i16, put_i16; u16, "uint16", u16, put_u16;
    i32, "int32", i32, put_i32; u32, "uint32", u32, put_u32; i64, "int64", i64, put_i64;
    f64, "float64", f64, put_f64
}

macro_rules! newtype {
    ($($type:ident)*) => {$(
        impl Value for $type {
            const BYTES_MIN: usize = size_of::<$type>();
            const TYPE: Type = Type::Plain(stringify!($type));

            fn read(reader: &mut Reader, context: Context) -> Result<Self, Error> {
                Value::read(reader, context).map(Self)
            }

            fn write(&self, writer: &mut Writer, context: Context) -> Result<(), Error> {
                self.0.write(writer, context)
            }
        }
    )*};
}

newtype! {
    NodeId PartitionIndex Offset LeaderEpoch PartitionEpoch BrokerEpoch ProducerId ProducerEpoch
    Sequence TopicId
}

impl Value for bool {
    const BYTES_MIN: usize = 1;
    const TYPE: Type = Type::Plain("bool");

    fn read(reader: &mut Reader, _: Context) -> Result<Self, Error> {
        Ok(reader.i8()? != 0)
    }

    fn write(&self, writer: &mut Writer, _: Context) -> Result<(), Error> {
        writer.buffer().put_i8(i8::from(*self));
        Ok(())
    }
}

impl Value for Uuid {
    const BYTES_MIN: usize = 16;
    const TYPE: Type = Type::Plain("uuid");

    fn read(reader: &mut Reader, _: Context) -> Result<Self, Error> {
        reader.uuid().map(Self)
    }

    fn write(&self, writer: &mut Writer, _: Context) -> Result<(), Error> {
        writer.put(&self.0);
        Ok(())
    }
}

/// The values that are a length and bytes: how long the length is, and what the bytes become.
macro_rules! text_or_bytes {
    ($type:ty, $wire:literal, $length:ident, $read:expr, $write:expr) => {
        impl Value for $type {
            const BYTES_MIN: usize = 1;
            const TYPE: Type = Type::Plain($wire);

            fn read(reader: &mut Reader, context: Context) -> Result<Self, Error> {
                Self::read_nullable(reader, context)?.ok_or(Error::UnexpectedNull)
            }

            fn write(&self, writer: &mut Writer, context: Context) -> Result<(), Error> {
                Self::write_nullable(Some(self), writer, context)
            }

            fn read_nullable(reader: &mut Reader, context: Context) -> Result<Option<Self>, Error> {
                let read: fn(&mut Reader, usize) -> Result<Self, Error> = $read;
                let length = reader.$length(context.flexible)?;
                length.map(|length| read(reader, length)).transpose()
            }

            fn write_nullable(
                value: Option<&Self>,
                writer: &mut Writer,
                context: Context,
            ) -> Result<(), Error> {
                let write: fn(&mut Writer, &Self) = $write;
                writer.$length(value.map(|value| value.len()), context.flexible)?;
                if let Some(value) = value {
                    write(writer, value);
                }
                Ok(())
            }
        }
    };
}

fn read_str(reader: &mut Reader, length: usize) -> Result<&str, Error> {
    reader.charge(length)?;
    std::str::from_utf8(reader.slice(length)?).map_err(|_| Error::InvalidUtf8)
}

text_or_bytes!(
    String,
    "string",
    string_length,
    |reader, length| read_str(reader, length).map(str::to_owned),
    |writer, value| writer.put(value.as_bytes())
);

text_or_bytes!(
    Arc<str>,
    "string",
    string_length,
    |reader, length| read_str(reader, length).map(Arc::from),
    |writer, value| writer.put(value.as_bytes())
);

text_or_bytes!(
    Bytes,
    "bytes",
    long_length,
    |reader, length| {
        reader.charge(length)?;
        reader.slice(length).map(Bytes::copy_from_slice)
    },
    |writer, value| writer.splice(value)
);

text_or_bytes!(
    BytesMut,
    "records",
    long_length,
    |reader, length| reader.split(length),
    |writer, value| writer.put(value)
);

text_or_bytes!(
    Records,
    "records",
    long_length,
    |reader, length| reader.split(length).map(|bytes| bytes.freeze().into()),
    |writer, value| value.chunks.iter().for_each(|chunk| writer.splice(chunk))
);

/// Record batches as they lie in a log: a list of byte chunks that are sent one after the other.
#[derive(Clone, Debug, Default)]
pub struct Records {
    chunks: Vec<Bytes>,
    bytes: usize,
}

impl Records {
    /// Adds a chunk at the end.
    pub fn push(&mut self, chunk: Bytes) {
        self.bytes += chunk.len();
        self.chunks.push(chunk);
    }

    /// How many bytes they are together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The chunks in order.
    #[must_use]
    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// All as one buffer: without a copy where there is one chunk, as after decoding.
    #[must_use]
    pub fn into_bytes(mut self) -> Bytes {
        if self.chunks.len() <= 1 {
            return self.chunks.pop().unwrap_or_default();
        }
        let mut whole = BytesMut::with_capacity(self.bytes);
        self.chunks.iter().for_each(|chunk| whole.put_slice(chunk));
        whole.freeze()
    }
}

impl PartialEq for Records {
    fn eq(&self, other: &Self) -> bool {
        let bytes = |records: &Self| records.clone().into_bytes();
        self.bytes == other.bytes && bytes(self) == bytes(other)
    }
}

impl From<Bytes> for Records {
    fn from(chunk: Bytes) -> Self {
        Self {
            bytes: chunk.len(),
            chunks: vec![chunk],
        }
    }
}

impl From<Vec<Bytes>> for Records {
    fn from(chunks: Vec<Bytes>) -> Self {
        Self {
            bytes: chunks.iter().map(Bytes::len).sum(),
            chunks,
        }
    }
}

impl<V: Value> Value for Vec<V> {
    const BYTES_MIN: usize = 1;
    const TYPE: Type = Type::Array(&V::TYPE);

    fn read(reader: &mut Reader, context: Context) -> Result<Self, Error> {
        Self::read_nullable(reader, context)?.ok_or(Error::UnexpectedNull)
    }

    fn write(&self, writer: &mut Writer, context: Context) -> Result<(), Error> {
        Self::write_nullable(Some(self), writer, context)
    }

    fn read_nullable(reader: &mut Reader, context: Context) -> Result<Option<Self>, Error> {
        let count = reader.count(context.flexible, V::BYTES_MIN, size_of::<V>())?;
        let Some(count) = count else {
            return Ok(None);
        };
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(V::read(reader, context)?);
        }
        Ok(Some(items))
    }

    fn write_nullable(
        value: Option<&Self>,
        writer: &mut Writer,
        context: Context,
    ) -> Result<(), Error> {
        writer.long_length(value.map(Vec::len), context.flexible)?;
        value
            .into_iter()
            .flatten()
            .try_for_each(|item| item.write(writer, context))
    }
}
