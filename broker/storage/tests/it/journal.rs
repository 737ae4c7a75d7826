//! The journal against its model: a vector with a first index.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ottla_storage::sim::{Random, SimDisk};
use ottla_storage::{Error, Journal};

const DIR: &str = "/data/raft";

#[derive(Clone, Debug, PartialEq, Eq)]
struct Model {
    first: u64,
    entries: Vec<Bytes>,
}

fn observe(journal: &Journal) -> Model {
    let (first, next) = (journal.first_index(), journal.next_index());
    Model {
        first,
        entries: journal.read(first..next),
    }
}

fn open(disk: &SimDisk) -> Result<Journal, Error> {
    Journal::open(Arc::new(disk.clone()), Path::new(DIR))
}

fn entry(random: &mut Random) -> Bytes {
    vec![random.next_u64() as u8; random.below(700)].into()
}

/// One change; `before` becomes what the model is after it.
fn change(journal: &mut Journal, model: &mut Model, random: &mut Random) -> Result<(), Error> {
    let next = model.first + model.entries.len() as u64;
    match random.below(10) {
        0..7 => {
            let entries: Vec<_> = (0..=random.below(4)).map(|_| entry(random)).collect();
            model.entries.extend(entries.iter().cloned());
            journal.append(&entries)
        }
        7..9 => {
            let keep = random.below(model.entries.len() + 1);
            model.entries.truncate(keep);
            journal.truncate_suffix(model.first + keep as u64)
        }
        _ => {
            let index = model.first + random.below((next - model.first) as usize + 3) as u64;
            let gone = ((index - model.first) as usize).min(model.entries.len());
            model.entries.drain(..gone);
            model.first = index;
            journal.purge_prefix(index)
        }
    }
}

#[test]
fn what_was_acknowledged_survives_any_crash() {
    for seed in 0..150 {
        let disk = SimDisk::new(seed);
        let mut random = Random::new(!seed);
        let mut journal = open(&disk).expect("opens");
        let mut model = Model {
            first: 0,
            entries: Vec::new(),
        };
        for _ in 0..40 {
            if random.one_in(6) {
                disk.fail_after(random.below(8) as u64);
            }
            let before = model.clone();
            let changed = change(&mut journal, &mut model, &mut random);
            if changed.is_ok() && !random.one_in(8) {
                assert!(observe(&journal) == model, "seed {seed}");
                continue;
            }
            if random.one_in(2) {
                disk.kill()
            } else {
                disk.crash()
            }
            journal = open(&disk).expect("opens");
            let found = observe(&journal);
            if changed.is_ok() {
                assert!(found == model, "seed {seed}");
            } else {
                check_partial(&found, &before, &model, seed);
            }
            model = found;
        }
    }
}

/// A change that failed happened, or not, or in part.
fn check_partial(found: &Model, before: &Model, after: &Model, seed: u64) {
    let is_prefix = found.first == before.first && after.entries.starts_with(&found.entries);
    let is_part = is_prefix && found.entries.len() >= before.entries.len();
    let is_emptied = found.entries.is_empty() && found.first == after.first;
    assert!(
        found == before || found == after || is_part || is_emptied,
        "seed {seed}: found {}.. with {} entries",
        found.first,
        found.entries.len(),
    );
}

#[test]
fn damage_before_the_tail_is_told_with_its_place() {
    let disk = SimDisk::new(1);
    let mut journal = open(&disk).expect("opens");
    for n in 0..5_u8 {
        journal.append(&[vec![n; 50].into()]).expect("appends");
    }
    drop(journal);
    let path = disk
        .files()
        .into_iter()
        .find(|path| path.ends_with("00000000000000000000.journal"));
    let path = path.expect("the file");
    let mut bytes = disk.content(&path).expect("content");
    bytes[200] ^= 4;
    disk.set_content(&path, bytes);
    let error = open(&disk).expect_err("damaged").to_string();
    assert!(
        error.contains("00000000000000000000.journal is damaged at byte"),
        "{error}"
    );
}

/// As long as the disk has no room the same call is made again; then it succeeds.
#[test]
fn a_full_disk_is_waited_for() {
    let disk = SimDisk::new(1);
    let mut journal = open(&disk).expect("opens");
    let large = |n: u8| Bytes::from(vec![n; 100 << 10]);
    journal.append(&[large(0)]).expect("appends");
    let used = disk.used_bytes();
    disk.set_bytes_max(used);
    let mut appended = 1_u8;
    let error = loop {
        assert!(appended < 20, "the disk is never full");
        match journal.append(&[large(appended), large(appended + 1)]) {
            Ok(()) => appended += 2,
            Err(error) => break error,
        }
    };
    assert!(error.is_retriable(), "{error}");
    assert_eq!(journal.next_index(), u64::from(appended));
    let again = journal.append(&[large(appended), large(appended + 1)]);
    assert!(again.expect_err("full").is_retriable());
    disk.set_bytes_max(used * 4);
    let entries = [large(appended), large(appended + 1)];
    journal.append(&entries).expect("there is room");
    let all: Vec<Bytes> = (0..appended + 2).map(large).collect();
    assert!(journal.read(0..100) == all);
    drop(journal);
    disk.crash();
    let journal = open(&disk).expect("opens");
    assert!(journal.read(0..100) == all);
}

/// Files are written in blocks that are there already, in this life and the next.
#[test]
fn a_restart_on_a_full_disk_has_the_room_that_it_needs() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let mut journal = open(&disk).expect("opens");
        let entries: Vec<Bytes> = (0..20_u8).map(|n| vec![n; 5000].into()).collect();
        journal.append(&entries).expect("appends");
        disk.set_bytes_max(disk.used_bytes());
        for count in 20..25 {
            disk.crash();
            drop(journal);
            journal = open(&disk).expect("opens");
            assert_eq!(journal.next_index(), count, "seed {seed}");
            journal.append(&entries[..1]).expect("appends");
        }
    }
}

/// A call that the full disk refused may be followed by another one: nothing of the first stays.
#[test]
fn what_a_full_disk_refused_does_not_come_back() {
    let disk = SimDisk::new(1);
    let mut journal = open(&disk).expect("opens");
    let of = |n: u8, bytes: usize| Bytes::from(vec![n; bytes]);
    journal.append(&[of(0, 10)]).expect("appends");
    disk.set_bytes_max(disk.used_bytes());
    let refused = [of(1, 100), of(2, 100), of(3, 3 << 20)];
    assert!(journal.append(&refused).expect_err("full").is_retriable());
    journal.append(&[of(4, 100)]).expect("there is room for it");
    drop(journal);
    disk.kill();
    let journal = open(&disk).expect("opens");
    assert!(journal.read(0..9) == [of(0, 10), of(4, 100)]);
}

#[test]
fn a_start_that_ends_anywhere_loses_nothing() {
    for seed in 0..8 {
        let mut random = Random::new(seed);
        for calls in 0..60 {
            let disk = SimDisk::new(seed);
            let mut model = Model {
                first: 0,
                entries: Vec::new(),
            };
            let mut journal = open(&disk).expect("opens");
            // some in a file of an earlier life, some in the newest
            for _ in 0..2 {
                let entries: Vec<_> = (0..5).map(|_| entry(&mut random)).collect();
                journal.append(&entries).expect("appends");
                model.entries.extend(entries);
                drop(journal);
                disk.kill();
                journal = open(&disk).expect("opens");
            }
            journal.purge_prefix(3).expect("purges");
            model.entries.drain(..3);
            model.first = 3;
            drop(journal);
            disk.kill();
            for attempt in 0..3 {
                disk.fail_after(calls);
                let started = open(&disk);
                let is_done = started.is_ok();
                drop(started);
                match random.one_in(2) {
                    true => disk.crash(),
                    false => disk.kill(),
                }
                disk.heal();
                let found = observe(&open(&disk).expect("opens again"));
                assert!(
                    found == model,
                    "seed {seed}: start {attempt} ended at call {calls}, done: {is_done}"
                );
                disk.kill();
            }
        }
    }
}

#[test]
fn a_start_that_ends_between_two_files_loses_nothing_of_the_older_ones() {
    for calls in 0..60 {
        let disk = SimDisk::new(calls);
        let mut random = Random::new(calls);
        let mut journal = open(&disk).expect("opens");
        let large = |count: usize| vec![Bytes::from(vec![7; 100 << 10]); count];
        // three files: a cut in the last goes back to the first
        journal.append(&large(2)).expect("appends");
        journal.append(&large(2)).expect("appends");
        journal.append(&large(2)).expect("appends");
        journal.truncate_suffix(2).expect("cuts");
        let again = vec![entry(&mut random)];
        journal.append(&again).expect("appends");
        let model = observe(&journal);
        drop(journal);
        disk.kill();
        disk.fail_after(calls);
        drop(open(&disk));
        disk.kill();
        disk.heal();
        let found = observe(&open(&disk).expect("opens again"));
        assert!(found == model, "a start ended at call {calls}");
    }
}
