//! Bytes that nobody meant well: nothing panics, and nothing costs more memory than its bytes.

use proptest::prelude::*;

use crate::catalogue;
use crate::decoders::bounded;
use crate::forms::{self, Draw};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for entry in catalogue::all() {
            for version in entry.versions.clone() {
                bounded(&entry, version, &bytes);
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
                bounded(&entry, version, &form);
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
                bounded(&entry, version, bytes);
            }
        }
    }
}
