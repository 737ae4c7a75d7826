//! Flipped bits and swapped files: seen before they are served, and told with their place.

use std::path::{Path, PathBuf};

use ottla_protocol::ids::Offset;
use ottla_protocol::record_batch;
use ottla_storage::sim::SimDisk;
use ottla_storage::{Error, Log, Opened};

use crate::crash::Quiet;
use crate::model::observe;
use crate::store::{create, fill, open};

fn find(disk: &SimDisk, part: &str) -> PathBuf {
    let mut files = disk.files().into_iter();
    files
        .find(|path| path.to_string_lossy().contains(part))
        .expect("there is such a file")
}

/// The file of the WAL with the last frames, and where its frames begin.
fn find_wal(disk: &SimDisk) -> (PathBuf, Vec<usize>) {
    let files = disk
        .files()
        .into_iter()
        .filter(|path| path.extension() == Some("wal".as_ref()));
    let frames = |path: &PathBuf| -> Vec<usize> {
        let bytes = disk.content(path).expect("content");
        (0..bytes.len())
            .step_by(4096)
            .filter(|&at| bytes[at..].starts_with(b"OTWF"))
            .collect()
    };
    let found = files.map(|path| (path.clone(), frames(&path)));
    found
        .max_by_key(|(_, frames)| frames.len())
        .expect("there is a WAL")
}

fn flip(disk: &SimDisk, path: &Path, at: usize) {
    let mut bytes = disk.content(path).expect("content");
    bytes[at] ^= 0x10;
    disk.set_content(path, bytes);
}

/// A store with two logs of several segments, checkpointed; then three more commits.
fn prepare(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    let Opened { store, .. } = open(&disk).expect("opens");
    let mut logs = [create(&store, "a", 0), create(&store, "b", 0)];
    for log in &mut logs {
        fill(log, 60);
    }
    store.commit().expect("commits");
    store.checkpoint(&Quiet).expect("checkpoints");
    for _ in 0..3 {
        fill(&mut logs[0], 1);
        store.commit().expect("commits");
    }
    drop(store);
    drop(logs);
    disk.kill();
    disk
}

#[test]
fn a_flipped_bit_in_a_segment_is_never_served() {
    let disk = prepare(1);
    let path = find(&disk, "a-0/00000000000000000000.log");
    flip(&disk, &path, 700);
    let Opened { logs, .. } = open(&disk).expect("opens");
    let mut next = Offset(0);
    let error = loop {
        let read = logs[0].read(next, 10_000, Offset(100)).expect("plans");
        match read.perform() {
            Err(error) => break error,
            Ok(bytes) => {
                for found in record_batch::headers(&bytes.concat()) {
                    next = found.expect("whole").1.next_offset();
                }
            }
        }
    };
    assert!(next > Offset(0), "what lies before it is served");
    assert!(error.is_damage());
    assert!(
        matches!(&error, Error::Corrupt { path: found, .. } if *found == path),
        "{error}"
    );
    let other = observe(&logs[1], 10_000);
    assert_eq!(other.batches.len(), 60, "other logs are served");
}

#[test]
fn a_damaged_or_missing_index_is_made_again() {
    for part in ["flip", "empty", "garbage"] {
        let disk = prepare(2);
        let path = find(&disk, "a-0/00000000000000000000.index");
        let mut bytes = disk.content(&path).expect("content");
        assert!(bytes.len() > 60, "sparse but there");
        match part {
            "flip" => bytes[25] ^= 1,
            "empty" => bytes.clear(),
            _ => bytes.fill(0xa5),
        }
        disk.set_content(&path, bytes);
        let Opened { logs, .. } = open(&disk).expect("opens");
        each_offset_is_found(&logs[0]);
    }
}

#[test]
fn an_index_that_is_damaged_while_the_disk_is_full_keeps_nobody_from_reading() {
    let disk = prepare(2);
    let path = find(&disk, "a-0/00000000000000000000.index");
    let Opened { logs, .. } = open(&disk).expect("opens");
    let bytes = disk.content(&path).expect("content").len();
    disk.set_content(&path, vec![0xa5; bytes]);
    disk.set_full(true);
    each_offset_is_found(&logs[0]);
    disk.set_full(false);
    each_offset_is_found(&logs[0]);
}

fn each_offset_is_found(log: &Log) {
    for offset in 0..30 {
        let read = log.read(Offset(offset), 1, Offset(100)).expect("plans");
        let bytes = read.perform().expect("reads");
        let header = ottla_protocol::record_batch::Header::read_placed(&bytes[0]).expect("a batch");
        assert!(header.base_offset.0 <= offset && offset <= header.last_offset().0);
    }
}

#[test]
fn damage_in_the_wal_before_its_tail_is_told_with_its_place() {
    let disk = prepare(3);
    let (path, frames) = find_wal(&disk);
    assert!(frames.len() >= 3, "{frames:?}");
    // the second to last commit: a later one says that it was durable
    let at = frames[frames.len() - 2];
    for byte in [2, 20, 70, 100, 200] {
        let before = disk.content(&path).expect("content");
        flip(&disk, &path, at + byte);
        let error = open(&disk).expect_err("damaged").to_string();
        let place = format!("{} is damaged at byte {at}", path.display());
        assert!(error.contains(&place), "byte {byte}: {error}");
        disk.set_content(&path, before);
        disk.kill();
    }
}

#[test]
fn a_torn_tail_of_the_wal_is_cut() {
    let disk = prepare(4);
    let (path, frames) = find_wal(&disk);
    flip(&disk, &path, frames[frames.len() - 1] + 200);
    let Opened { logs, .. } = open(&disk).expect("opens");
    assert_eq!(
        logs[0].log_end_offset(),
        Offset(186),
        "the last commit of 3 records is gone"
    );
    assert_eq!(observe(&logs[0], 1000).batches.len(), 62);
}

#[test]
fn a_flipped_bit_in_a_small_file_is_told() {
    for name in ["checkpoint", "meta.properties"] {
        let disk = prepare(5);
        let path = find(&disk, name);
        flip(&disk, &path, 9);
        let error = open(&disk).expect_err("damaged");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn swapped_segments_are_refused() {
    let disk = prepare(6);
    let one = find(&disk, "a-0/00000000000000000000.log");
    let other = find(&disk, "b-0/00000000000000000000.log");
    let content = disk.content(&other).expect("content");
    disk.set_content(&one, content);
    let Opened { logs, .. } = open(&disk).expect("opens");
    let read = logs[0]
        .read(Offset(0), 1000, Offset(100))
        .expect("plans")
        .perform();
    assert!(matches!(read, Err(Error::WrongIdentity { .. })));
}
