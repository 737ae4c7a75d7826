//! Replays what fuzzing keeps: the seeds and finds under `fuzz/corpus`, one folder for each target.

use std::fs;
use std::path::Path;

use crate::decoders;

#[test]
fn the_fuzz_corpus_decodes_without_surprise() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut inputs = 0;
    for folder in fs::read_dir(&root).expect("fuzz/corpus") {
        let folder = folder.expect("readable").path();
        let target = folder
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        for file in fs::read_dir(&folder).expect("a folder for each target") {
            let input = fs::read(file.expect("readable").path()).expect("readable");
            match target.as_str() {
                "frames" => decoders::frames(&input),
                "batches" => decoders::batches(&input),
                "compressed" => decoders::compressed(&input),
                "login" => {} // of the core: its own tests say as much
                family => decoders::message(family, &input),
            }
            inputs += 1;
        }
    }
    assert!(inputs >= 30, "only {inputs} inputs in {}", root.display());
}
