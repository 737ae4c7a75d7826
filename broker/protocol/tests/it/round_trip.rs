//! What is read is written again as it was, in every version of every message.

use bytes::BytesMut;
use proptest::prelude::*;

use crate::catalogue;
use crate::forms::{self, Draw};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_form_read_and_written_is_the_same(seed: u64) {
        let mut draw = Draw(seed);
        for entry in catalogue::all() {
            for version in entry.versions.clone() {
                let form = forms::draw(&entry, version, &mut draw);
                let again = (entry.transcode)(BytesMut::from(&form[..]), version);
                let told = format!("{} v{version}", entry.name);
                prop_assert_eq!(again.as_deref(), Ok(&form[..]), "{}", told);
            }
        }
    }
}
