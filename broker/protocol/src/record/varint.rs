//! Zigzag integers of variable length.

use bytes::{BufMut, BytesMut};

use super::Error;

/// The most bytes that a number takes.
pub(super) const VARLONG_BYTES_MAX: usize = 10;

pub(super) fn put_varint(buffer: &mut BytesMut, value: i32) {
    put_varlong(buffer, i64::from(value));
}

pub(super) fn put_varlong(buffer: &mut BytesMut, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest > 0x7f {
        buffer.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    buffer.put_u8(rest as u8);
}

pub(super) fn varint_bytes(value: i64) -> usize {
    let bits = 64 - ((value << 1) ^ (value >> 63)).leading_zeros() as usize;
    bits.div_ceil(7).max(1)
}

#[inline]
pub(super) fn take_varint(bytes: &mut &[u8]) -> Result<i32, Error> {
    i32::try_from(take_zigzag::<5>(bytes)?).map_err(|_| Error::InvalidVarint)
}

#[inline]
pub(super) fn take_varlong(bytes: &mut &[u8]) -> Result<i64, Error> {
    take_zigzag::<VARLONG_BYTES_MAX>(bytes)
}

#[inline]
fn take_zigzag<const BYTES_MAX: usize>(bytes: &mut &[u8]) -> Result<i64, Error> {
    // nearly all are of one byte
    if let [byte @ ..0x80, rest @ ..] = *bytes {
        let value = u64::from(*byte);
        *bytes = rest;
        return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
    }
    take_long_zigzag::<BYTES_MAX>(bytes)
}

fn take_long_zigzag<const BYTES_MAX: usize>(bytes: &mut &[u8]) -> Result<i64, Error> {
    let mut value = 0u64;
    for (place, byte) in bytes.iter().take(BYTES_MAX).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if place == 9 && bits > 1 {
            return Err(Error::InvalidVarint);
        }
        value |= bits << (7 * place);
        if byte & 0x80 == 0 {
            *bytes = bytes.get(place + 1..).unwrap_or_default();
            return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    Err(if bytes.len() < BYTES_MAX {
        Error::Truncated
    } else {
        Error::InvalidVarint
    })
}
