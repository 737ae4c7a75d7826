//! One log of a few segments, compacted once.

use bytes::Bytes;
use ottla_storage::Error;

use super::*;

/// A store with a log of three segments of one record each, all of the same key, and nothing of it
/// in memory.
fn three_segments(disk: &SimDisk) -> (Arc<Store>, Log) {
    let terms = || Settings {
        disk_reserve_bytes: RESERVE_BYTES,
        ..small()
    };
    let records = (0..3).map(|n| {
        let record = Written {
            key: "k".into(),
            value: Some(format!("v{n}")),
            timestamp: n,
        };
        batch(n, 0, -1, &[record])
    });
    opened_anew(disk, terms, records)
}

fn all_of_it() -> Compaction {
    Compaction {
        until: Offset(2),
        now_ms: 0,
        delete_retention_ms: 0,
        forgets: true,
        keys_bytes_max: 1 << 10,
        buffer_bytes: 1 << 10,
        producers: BTreeMap::new(),
        aborted: Vec::new(),
    }
}

#[test]
fn the_reserve_is_not_for_compaction() {
    let disk = SimDisk::new(1);
    let (_store, mut log) = three_segments(&disk);
    let mut holder = Holder {
        log: &mut log,
        steps_left: usize::MAX,
    };
    let reader = holder.log.reader();
    // of a small disk a tenth is the reserve
    disk.set_bytes_max((disk.used_bytes() + 50) * 10 / 9);
    let refused = reader.compact(&all_of_it(), &mut holder);
    assert!(
        matches!(refused, Err(Error::DiskFull { .. })),
        "{refused:?}"
    );
    disk.set_bytes_max(disk.used_bytes() * 2);
    let done = reader.compact(&all_of_it(), &mut holder).unwrap();
    assert_eq!(done.clean_end_offset, Offset(2));
}

#[test]
fn a_read_that_a_compaction_overtakes_goes_on_in_the_new_file() {
    let (store, mut log) = three_segments(&SimDisk::new(1));
    let planned = log.read(Offset(0), 1 << 10, Offset(2)).unwrap();
    assert!(matches!(planned, ottla_storage::Read::Segment(_)));
    let terms = all_of_it();
    let mut holder = Holder {
        log: &mut log,
        steps_left: usize::MAX,
    };
    let reader = holder.log.reader();
    let done = reader.compact(&terms, &mut holder).unwrap();
    assert_eq!(done.clean_end_offset, Offset(2));
    store.commit().unwrap();
    store.checkpoint(&Quiet).unwrap();
    let found = planned.perform().unwrap().concat();
    let header = record_batch::Header::read(&found).unwrap();
    assert_eq!(header.base_offset, Offset(1));
}

#[test]
fn no_offset_that_turned_over_is_compacted() {
    let all = |log: &LogReader| -> Vec<(i64, Bytes)> {
        let mut found = Vec::new();
        let mut next = Offset(0);
        while next < log.log_end_offset() {
            let bytes = log.read(next, 1, log.log_end_offset()).unwrap();
            let bytes = Bytes::from(bytes.perform().unwrap().concat());
            let header = record_batch::Header::read(&bytes).unwrap();
            next = header.next_offset();
            found.push((header.base_offset.0, bytes));
        }
        found
    };
    let compacted = |flipped: Option<usize>| {
        let disk = SimDisk::new(1);
        let (store, mut log) = three_segments(&disk);
        let paths: Vec<_> = disk.files().into_iter().collect();
        let path = paths
            .iter()
            .find(|path| path.ends_with("00000000000000000001.log"));
        let path = path.expect("the second segment");
        if let Some(bit) = flipped {
            disk.flip_bit(path, 64 + bit / 8, (bit % 8) as u8);
        }
        let mut holder = Holder {
            log: &mut log,
            steps_left: usize::MAX,
        };
        let reader = holder.log.reader();
        let done = reader.compact(&all_of_it(), &mut holder);
        store.commit().unwrap();
        done.map(|_| all(&reader))
    };
    let sound = compacted(None).unwrap();
    assert_eq!(sound.len(), 2, "one of three is gone");
    for bit in 0..record_batch::UNCOVERED_BYTES * 8 {
        match compacted(Some(bit)) {
            Err(error) => assert!(error.is_damage(), "bit {bit}: {error}"),
            Ok(found) => assert_eq!(found, sound, "bit {bit}"),
        }
    }
}
