//! Bits that turn over where a batch's checksum does not look: in its offset, length and epoch.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use ottla_protocol::ids::Offset;
use ottla_protocol::record_batch::{self, Header, UNCOVERED_BYTES};
use ottla_storage::sim::SimDisk;
use ottla_storage::{Log, Opened, Store};

use crate::batches::Batch;
use crate::crash::Quiet;
use crate::store::{create, open};

const END: Offset = Offset(180);

/// Every batch of a log, with its place on the disk.
struct Whole {
    disk: SimDisk,
    log: Log,
    _store: Arc<Store>,
    batches: Vec<(Header, Bytes, PathBuf, usize)>,
}

/// A log of 60 batches of 3 records in several segments and in two epochs, all on the disk alone.
fn whole(seed: u64) -> Whole {
    let disk = SimDisk::new(seed);
    let Opened { store, .. } = open(&disk).expect("opens");
    let mut log = create(&store, "a", 0);
    for n in 0..60 {
        let batch = Batch {
            base_offset: n * 3,
            records: 3,
            leader_epoch: if n < 30 { 3 } else { 5 },
            timestamp: n * 30,
            value_bytes: 100,
            ..Batch::default()
        };
        log.append(batch.build(), 0, n).expect("appended");
    }
    store.commit().expect("commits");
    store.checkpoint(&Quiet).expect("checkpoints");
    drop((store, log));
    disk.kill();
    let Opened { store, mut logs } = open(&disk).expect("opens");
    let mut whole = Whole {
        batches: Vec::new(),
        log: logs.remove(0),
        _store: store,
        disk,
    };
    let mut files = whole.disk.files();
    files.retain(|path| path.extension() == Some("log".as_ref()));
    files.sort();
    for path in files {
        let content = Bytes::from(whole.disk.content(&path).expect("content"));
        let batches = content.slice(64..);
        for (at, header) in record_batch::headers(&batches).map_while(Result::ok) {
            let bytes = batches.slice(at..at + header.bytes());
            whole.batches.push((header, bytes, path.clone(), at + 64));
        }
    }
    assert_eq!(whole.batches.len(), 60);
    whole
}

impl Whole {
    /// Calls `check` with each bit of the headers of some batches turned over that the checksum
    /// does not cover.
    fn with_each_bit(&self, mut check: impl FnMut(&Header, &str)) {
        let is_first = |n: usize| n == 0 || self.batches[n - 1].2 != self.batches[n].2;
        let picked = (0..60).filter(|&n| {
            let beside_a_border = is_first(n) || n == 59 || is_first(n + 1);
            beside_a_border || n == 29 || n == 30 || n % 9 == 4
        });
        for n in picked {
            let (header, _, path, at) = &self.batches[n];
            for bit in 0..UNCOVERED_BYTES * 8 {
                let flip = || self.disk.flip_bit(path, at + bit / 8, (bit % 8) as u8);
                flip();
                check(header, &format!("bit {bit} of batch {n}"));
                flip();
            }
        }
    }

    /// What a read from an offset may give: this, or the front of it.
    fn from(&self, offset: Offset) -> Vec<u8> {
        let batches = self.batches.iter();
        let from = batches.skip_while(|(header, ..)| header.last_offset() < offset);
        from.flat_map(|(_, bytes, ..)| bytes.to_vec()).collect()
    }
}

#[test]
fn no_bit_of_a_header_turns_over_unseen() {
    let whole = whole(7);
    whole.with_each_bit(|header, what| {
        for from in header.base_offset.0 - 4..=header.last_offset().0 {
            for bytes_max in [1, 10_000] {
                let from = Offset(from.max(0));
                let read = whole.log.read(from, bytes_max, END).expect("plans");
                match read.perform().map(|found| found.concat()) {
                    Err(error) => assert!(error.is_damage(), "{what}: {error}"),
                    Ok(found) => {
                        assert!(
                            !found.is_empty() && whole.from(from).starts_with(&found),
                            "{what}: something else is served from {from} on"
                        );
                        let served = record_batch::headers(&found).map_while(Result::ok);
                        let has_it = served.map(|(_, found)| found.base_offset);
                        let has_it = has_it.into_iter().any(|base| base == header.base_offset);
                        assert!(!has_it, "{what}: it is served");
                    }
                }
            }
        }
    });
}

#[test]
fn what_lies_around_a_damaged_header_is_served() {
    let whole = whole(11);
    // a length, a format, or the sign of an offset
    let is_no_header = |bit| bit == 7 || (64..96).contains(&bit) || (128..136).contains(&bit);
    whole.with_each_bit(|damaged, what| {
        let bit: Option<usize> = what.split(' ').nth(1).and_then(|bit| bit.parse().ok());
        if is_no_header(bit.expect("a bit")) {
            return; // nobody knows where the next one begins, but an index
        }
        for (header, bytes, ..) in &whole.batches {
            if header.base_offset == damaged.base_offset {
                continue;
            }
            for from in [header.base_offset, header.last_offset()] {
                let read = whole.log.read(from, 1, END).expect("plans");
                let found = read.perform().map(|found| found.concat());
                match found {
                    Ok(found) => assert_eq!(found, *bytes, "{what}: from {from} on"),
                    Err(error) => panic!("{what}: from {from} on: {error}"),
                }
            }
        }
    });
}

#[test]
fn a_bound_within_a_batch_is_no_damage() {
    let whole = whole(12);
    for upper_bound in [32, 32, 180, 180] {
        let read = whole.log.read(Offset(31), 1, Offset(upper_bound));
        let found = read.expect("plans").perform().expect("nothing is damaged");
        assert_eq!(found.concat().is_empty(), upper_bound == 32);
    }
}

#[test]
fn no_log_is_cut_at_an_offset_that_turned_over() {
    let whole = whole(8);
    whole.with_each_bit(|header, what| {
        for offset in [header.base_offset, header.last_offset()] {
            match whole.log.find_cut(offset) {
                Err(error) => assert!(error.is_damage(), "{what}: {error}"),
                Ok(cut) => assert_eq!(cut.end_offset, header.base_offset, "{what}"),
            }
        }
    });
}

#[test]
fn no_time_is_answered_by_an_offset_that_turned_over() {
    let whole = whole(9);
    whole.with_each_bit(|header, what| {
        match whole.log.offset_for_timestamp(header.max_timestamp) {
            Err(error) => assert!(error.is_damage(), "{what}: {error}"),
            Ok(found) => {
                let found = found.map(|found| (found.offset, found.leader_epoch));
                let expected = (header.last_offset(), header.partition_leader_epoch);
                assert_eq!(found, Some(expected), "{what}");
            }
        }
    });
}

#[test]
fn a_store_with_a_damaged_header_opens_and_writes_on() {
    for bit in [5, 60, 70, 95, 130] {
        let disk = SimDisk::new(10);
        let Opened { store, .. } = open(&disk).expect("opens");
        let mut log = create(&store, "a", 0);
        crate::store::fill(&mut log, 5);
        store.commit().expect("commits");
        store.checkpoint(&Quiet).expect("checkpoints");
        crate::store::fill(&mut log, 1);
        store.commit().expect("commits");
        drop((store, log));
        disk.kill();
        let mut files = disk.files().into_iter();
        let path = files.find(|path| path.extension() == Some("log".as_ref()));
        let path = path.expect("a segment");
        disk.flip_bit(&path, 64 + bit / 8, (bit % 8) as u8);
        // as a disk may lose it too
        disk.set_content(&path.with_extension("index"), Vec::new());
        let Opened { store, mut logs } = open(&disk).expect("opens");
        let log = &mut logs[0];
        crate::store::fill(log, 30);
        store.commit().expect("commits");
        store.checkpoint(&Quiet).expect("checkpoints");
        drop((store, logs));
        disk.kill();
        let Opened { logs, .. } = open(&disk).expect("opens again");
        let read = logs[0].read(Offset(0), 1, Offset(100)).expect("plans");
        assert!(
            read.perform().expect_err("damaged").is_damage(),
            "bit {bit}"
        );
    }
}
