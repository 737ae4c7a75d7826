//! Bytes that nobody meant well: nothing panics, and nothing costs more memory than its bytes.

use bytes::BytesMut;
use ottla_protocol::codec::{MEMORY_FACTOR_MAX, MEMORY_FREE_BYTES};
use proptest::prelude::*;

use crate::allocations;
use crate::catalogue::{self, Entry};
use crate::forms::{self, Draw};

/// What splitting a buffer and the like may take beyond the decoded value.
const OVERHEAD_BYTES: usize = 4096;

fn check(entry: &Entry, version: i16, bytes: &[u8]) -> Result<(), TestCaseError> {
    let buffer = BytesMut::from(bytes);
    let (_, allocated) = allocations::during(|| (entry.decode)(buffer, version));
    let allowed = MEMORY_FACTOR_MAX * bytes.len() + MEMORY_FREE_BYTES + OVERHEAD_BYTES;
    prop_assert!(
        allocated <= allowed,
        "{} v{version}: {allocated} bytes for {}",
        entry.name,
        bytes.len()
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for entry in catalogue::all() {
            for version in entry.versions.clone() {
                check(&entry, version, &bytes)?;
            }
        }
    }

    #[test]
    fn forms_with_a_few_bytes_changed(seed: u64) {
        let mut draw = Draw(seed);
        for entry in catalogue::all() {
            for version in entry.versions.clone() {
                let mut form = forms::draw(&entry, version, &mut draw);
                for _ in 0..1 + draw.below(3) {
                    if form.is_empty() {
                        break;
                    }
                    let at = draw.below(form.len() as u64) as usize;
                    match draw.below(4) {
                        0 => form.truncate(at),
                        1 => form.insert(at, 0xff),
                        2 => form[at] = 0xff,
                        _ => form[at] = draw.below(256) as u8,
                    }
                }
                check(&entry, version, &form)?;
            }
        }
    }
}

/// An array of the most items that the bytes could be: the worst that a count can do honestly.
#[test]
fn arrays_of_empty_items_stay_within_the_memory_limit() {
    let zeros = [
        [0; 4].as_slice(),
        &0x0001_ffff_i32.to_be_bytes(),
        &[1; 1 << 17],
    ]
    .concat();
    let compact = [[0x81, 0x80, 0x08].as_slice(), &[1; 1 << 17]].concat();
    for entry in catalogue::all() {
        for version in entry.versions.clone() {
            for bytes in [&zeros, &zeros[4..].to_vec(), &compact] {
                if let Err(error) = check(&entry, version, bytes) {
                    panic!("{error}");
                }
            }
        }
    }
}
