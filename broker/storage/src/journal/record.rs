//! The records of a journal's files, and what is none.

use crate::fields::{eight, four};

const MAGIC: [u8; 4] = *b"OTJ2";
/// Of files whose records are not told from those of another file.
const MAGIC_UNSEEDED: [u8; 4] = *b"OTJR";
pub(super) const HEADER_BYTES: usize = 32;
pub(super) const ENTRY: u32 = 1;
pub(super) const CUT: u32 = 2;

/// How the records of one file are told from all other bytes.
#[derive(Clone, Copy)]
pub(super) struct Format {
    magic: [u8; 4],
    seed: u32,
}

/// Whether a file that begins with these bytes is told from all others.
pub(super) fn is_seeded(front: &[u8]) -> bool {
    !front.starts_with(&MAGIC_UNSEEDED)
}

impl Format {
    fn of(sequence: u64) -> Self {
        Self {
            magic: MAGIC,
            seed: crc32c::crc32c(&sequence.to_le_bytes()),
        }
    }

    /// The format of a file with these bytes.
    pub(super) fn found(sequence: u64, bytes: &[u8]) -> Self {
        match is_seeded(bytes) {
            true => Self::of(sequence),
            false => Self {
                magic: MAGIC_UNSEEDED,
                seed: 0,
            },
        }
    }
}

pub(super) fn encode(
    out: &mut Vec<u8>,
    sequence: u64,
    kind: u32,
    index: u64,
    synced: u64,
    payload: &[u8],
) {
    let format = Format::of(sequence);
    let start = out.len();
    out.extend_from_slice(&format.magic);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&index.to_le_bytes());
    out.extend_from_slice(&synced.to_le_bytes());
    out.extend_from_slice(payload);
    let crc = crc32c::crc32c_append(format.seed, &out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

/// One record at the front of `bytes`: kind, index, synced, payload.
pub(super) fn decode(bytes: &[u8], format: Format) -> Option<(u32, u64, u64, &[u8])> {
    if bytes.len() < HEADER_BYTES || bytes[..4] != format.magic {
        return None;
    }
    let length = u32::from_le_bytes(four(bytes, 8)) as usize;
    let record = bytes.get(..HEADER_BYTES.checked_add(length)?)?;
    if crc32c::crc32c_append(format.seed, &record[8..]) != u32::from_le_bytes(four(bytes, 4)) {
        return None;
    }
    let kind = u32::from_le_bytes(four(bytes, 12));
    let index = u64::from_le_bytes(eight(bytes, 16));
    Some((
        kind,
        index,
        u64::from_le_bytes(eight(bytes, 24)),
        &record[HEADER_BYTES..],
    ))
}

/// Whether a record in `bytes`, which are bad at their front, calls `position` durable.
pub(super) fn says_durable(bytes: &[u8], format: Format, position: u64) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    let says = |at: usize| {
        bytes[at] == format.magic[0]
            && decode(&bytes[at..], format).is_some_and(|(_, _, synced, _)| synced > position)
    };
    // most of a file was never written
    let mut pieces = (0..bytes.len()).step_by(ZEROS.len()).filter_map(|from| {
        let to = bytes.len().min(from + ZEROS.len());
        (bytes[from..to] != ZEROS[..to - from]).then_some(from.max(1)..to)
    });
    pieces.any(|mut piece| piece.any(says))
}
