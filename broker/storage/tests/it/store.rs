//! The store as a whole, on the simulated disk.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ottla_protocol::ids::{NodeId, Offset, PartitionIndex, TopicId, TopicIdPartition, Uuid};
use ottla_storage::sim::SimDisk;
use ottla_storage::{
    Committed, Error, Identity, Listener, Log, LogSettings, Opened, ProducerState, Result,
    Settings, Store,
};

use crate::batches::Batch;
use crate::crash::{Quiet, identity, log_settings, small};
use crate::model::observe;

pub const DIR: &str = "/data/store";

pub fn open(disk: &SimDisk) -> Result<Opened> {
    Store::open(Arc::new(disk.clone()), Path::new(DIR), identity(), small())
}

pub fn create(store: &Store, topic: &str, partition: i32) -> Log {
    let mut topic_id = [0; 16];
    topic_id[..topic.len()].copy_from_slice(topic.as_bytes());
    let id = TopicIdPartition {
        topic_id: TopicId(Uuid(topic_id)),
        partition: PartitionIndex(partition),
    };
    store
        .create(id, topic.into(), log_settings())
        .expect("created")
}

/// Appends `count` batches of 3 records; their timestamps are 10 × the base offset, and more.
pub fn fill(log: &mut Log, count: usize) {
    for _ in 0..count {
        let base_offset = log.log_end_offset().0;
        let timestamp = base_offset * 10;
        let batch = Batch {
            base_offset,
            records: 3,
            timestamp,
            value_bytes: 100,
            ..Batch::default()
        };
        log.append(batch.build(), 0, timestamp).expect("appended");
    }
}

#[test]
fn a_directory_is_refused_in_one_sentence_where_it_is_not_ours_to_open() {
    let disk = SimDisk::new(1);
    let first = open(&disk).expect("opens");
    let error = open(&disk).expect_err("in use").to_string();
    let process = format!("process {}", std::process::id());
    assert_eq!(
        error,
        format!("data directory {DIR} is in use by {process}: stop it or choose another log.dirs")
    );
    drop(first);
    let other = Identity {
        cluster_id: "other".into(),
        ..identity()
    };
    let opened = Store::open(Arc::new(disk.clone()), Path::new(DIR), other, small());
    let error = opened.expect_err("another cluster's").to_string();
    assert_eq!(
        error,
        format!(
            "data directory {DIR} belongs to cluster c, not to cluster other: choose another \
             log.dirs, or empty it to start anew"
        )
    );
    let other = Identity {
        node_id: NodeId(7),
        ..identity()
    };
    let opened = Store::open(Arc::new(disk.clone()), Path::new(DIR), other, small());
    assert!(
        opened
            .expect_err("another node's")
            .to_string()
            .contains("node 1, not to node 7")
    );
    let given = Identity {
        directory_id: Uuid([9; 16]),
        ..identity()
    };
    let opened = Store::open(Arc::new(disk.clone()), Path::new(DIR), given, small());
    let store = opened.expect("opens").store;
    assert_eq!(
        store.identity().directory_id,
        identity().directory_id,
        "it keeps its own id"
    );
}

#[test]
fn a_full_disk_refuses_appends_reads_on_and_resumes() {
    let disk = SimDisk::new(2);
    let settings = Settings {
        disk_reserve_bytes: 20 << 10,
        ..small()
    };
    disk.set_bytes_max(400 << 10);
    let opened = Store::open(Arc::new(disk.clone()), Path::new(DIR), identity(), settings);
    let store = opened.expect("opens").store;
    let mut log = create(&store, "full", 0);
    let mut refused = None;
    for _ in 0..2000 {
        let base_offset = log.log_end_offset().0;
        let batch = Batch {
            base_offset,
            value_bytes: 2000,
            ..Batch::default()
        };
        let appended = log.append(batch.build(), 0, 0).map(|_| ());
        let kept = appended.and_then(|()| store.commit().map(|_| ()));
        let kept = kept.and_then(|()| store.free_bytes().map(|_| ()));
        if let Err(error) = kept {
            refused = Some(error);
            break;
        }
        let maintained = store.maintain(&Quiet);
        assert!(maintained.is_ok() || maintained.is_err_and(|error| error.is_retriable()));
    }
    let refused = refused.expect("the disk gets full");
    assert!(matches!(refused, Error::DiskFull { .. }), "{refused}");
    assert!(store.offline().is_none());
    let end = log.log_end_offset();
    assert_eq!(observe(&log, 5000).end, end.0, "reads go on");
    log.set_log_start_offset(Offset(end.0 - 2))
        .expect("deletes");
    let mut resumed = false;
    for _ in 0..5 {
        let _ = store.maintain(&Quiet);
        resumed = resumed || store.commit().is_ok();
    }
    assert!(resumed);
    fill(&mut log, 1);
    store.commit().expect("commits");
    assert!(log.durable_end_offset() > end);
}

#[test]
fn a_failed_fsync_is_final() {
    let disk = SimDisk::new(3);
    let Opened { store, .. } = open(&disk).expect("opens");
    let mut log = create(&store, "t", 0);
    store.commit().expect("commits");
    fill(&mut log, 1);
    disk.fail_once_after(1);
    assert!(store.commit().is_err(), "the sync after the write fails");
    let error = store.commit().expect_err("no second try").to_string();
    assert!(
        error.starts_with("data directory /data/store is offline: "),
        "{error}"
    );
    assert!(log.append(Batch::default().build(), 0, 0).is_err());
    assert_eq!(log.durable_end_offset(), Offset(0));
}

#[test]
fn deleted_logs_leave_nothing_behind() {
    let disk = SimDisk::new(4);
    let Opened { store, .. } = open(&disk).expect("opens");
    let mut log = create(&store, "gone", 0);
    fill(&mut log, 20);
    store.checkpoint(&Quiet).expect("checkpoints");
    let reader = log.reader();
    store.delete(log).expect("deletes");
    // the same name again, at once
    let mut again = create(&store, "gone", 0);
    fill(&mut again, 2);
    store.commit().expect("commits");
    store.checkpoint(&Quiet).expect("checkpoints");
    assert!(matches!(
        reader.read(Offset(0), 1, Offset(9)),
        Err(Error::LogDeleted(_))
    ));
    store.delete(again).expect("deletes");
    store.commit().expect("commits");
    store.maintain(&Quiet).expect("maintains");
    let left = disk
        .files()
        .into_iter()
        .filter(|path| path.to_string_lossy().contains("gone"));
    assert_eq!(left.count(), 0);
}

#[test]
fn records_are_found_by_time_in_segments_and_in_memory() {
    let disk = SimDisk::new(5);
    let Opened { store, .. } = open(&disk).expect("opens");
    let mut log = create(&store, "t", 0);
    for round in 0..6 {
        fill(&mut log, 30);
        store.commit().expect("commits");
        if round < 5 {
            store.checkpoint(&Quiet).expect("checkpoints");
        }
    }
    for offset in (0..log.log_end_offset().0).step_by(7) {
        // record n of a batch at base b has the timestamp 10 b + n
        let (base, n) = (offset - offset % 3, offset % 3);
        let found = log
            .offset_for_timestamp(base * 10 + n)
            .expect("reads")
            .expect("found");
        assert_eq!((found.offset.0, found.timestamp), (offset, base * 10 + n));
    }
    let last = log.log_end_offset().0 - 3;
    let largest = log.max_timestamp().expect("reads").expect("found");
    assert_eq!(
        (largest.offset.0, largest.timestamp),
        (last + 2, last * 10 + 2)
    );
    assert_eq!(
        log.offset_for_timestamp(last * 10 + 3).expect("reads"),
        None
    );
}

#[test]
fn retention_deletes_by_time_and_never_above_the_high_watermark() {
    let disk = SimDisk::new(6);
    let Opened { store, .. } = open(&disk).expect("opens");
    let mut log = create(&store, "t", 0);
    log.set_settings(LogSettings {
        retention_ms: 1000,
        retention_bytes: -1,
        ..log_settings()
    });
    fill(&mut log, 100);
    store.checkpoint(&Quiet).expect("checkpoints");
    let before = disk.files().len();
    assert_eq!(
        log.apply_retention(1000, Offset(300)).expect("applies"),
        None
    );
    let start = log
        .apply_retention(i64::MAX, Offset(100))
        .expect("applies")
        .expect("moved");
    assert!(start <= Offset(100) && start > Offset(0), "{start}");
    let start = log
        .apply_retention(i64::MAX, Offset(300))
        .expect("applies")
        .expect("moved");
    assert_eq!((start, log.size_bytes()), (Offset(300), 0));
    store.commit().expect("commits");
    store.checkpoint(&Quiet).expect("checkpoints");
    assert!(disk.files().len() < before);
    fill(&mut log, 1);
    assert_eq!(observe(&log, 100).batches.len(), 1);
}

#[test]
fn high_watermarks_are_kept() {
    let disk = SimDisk::new(7);
    let Opened { store, .. } = open(&disk).expect("opens");
    assert_eq!(store.read_high_watermarks(), vec![]);
    let marks = vec![(create(&store, "t", 3).id(), Offset(42))];
    store.write_high_watermarks(&marks).expect("writes");
    drop(store);
    disk.crash();
    assert_eq!(
        open(&disk).expect("opens").store.read_high_watermarks(),
        marks
    );
}

/// Gives as producer state the log's end and the same as text.
struct Producers(Mutex<i64>);

impl Listener for Producers {
    fn committed(&self, _: Committed) {}
    fn offline(&self, _: &Error) {}
    fn producer_state(&self, _: TopicIdPartition) -> Option<ProducerState> {
        let offset = *self.0.lock().expect("unpoisoned");
        Some(ProducerState {
            offset: Offset(offset),
            bytes: offset.to_string().into(),
        })
    }
}

#[test]
fn producer_state_is_found_again_unless_truncation_made_it_false() {
    let disk = SimDisk::new(8);
    let Opened { store, .. } = open(&disk).expect("opens");
    let mut log = create(&store, "t", 0);
    let listener = Producers(Mutex::new(0));
    for _ in 0..3 {
        fill(&mut log, 2);
        *listener.0.lock().expect("unpoisoned") = log.log_end_offset().0;
        store.checkpoint(&listener).expect("checkpoints");
    }
    fill(&mut log, 1);
    store.commit().expect("commits");
    drop((store, log));
    disk.kill();
    let Opened { store, mut logs } = open(&disk).expect("opens");
    let found = logs[0].producer_snapshot(Offset(i64::MAX)).expect("reads");
    assert_eq!(
        (found.replay_from.0, found.state),
        (18, Some(b"18".to_vec()))
    );
    let left = logs[0].producer_snapshot(Offset(15)).expect("reads");
    assert_eq!(left.replay_from.0, 12, "of what a truncation would leave");
    logs[0].truncate_to(Offset(15)).expect("truncates");
    let found = logs[0].producer_snapshot(Offset(i64::MAX)).expect("reads");
    assert_eq!(
        (found.replay_from.0, found.state),
        (12, Some(b"12".to_vec()))
    );
    fill(&mut logs[0], 5);
    store.commit().expect("commits");
    drop((store, logs));
    disk.kill();
    let found = open(&disk).expect("opens").logs[0]
        .producer_snapshot(Offset(i64::MAX))
        .expect("reads");
    assert_eq!(
        (found.replay_from.0, found.state),
        (12, Some(b"12".to_vec()))
    );
}

/// What it says of open transactions is old: their markers may be among what is gone.
#[test]
fn producer_state_from_before_the_log_start_is_not_taken() {
    let disk = SimDisk::new(8);
    let Opened { store, .. } = open(&disk).expect("opens");
    let mut log = create(&store, "t", 0);
    fill(&mut log, 2);
    let end = Mutex::new(log.log_end_offset().0);
    store.checkpoint(&Producers(end)).expect("checkpoints");
    fill(&mut log, 2);
    store.commit().expect("commits");
    let found = |log: &Log| {
        let found = log.producer_snapshot(Offset(i64::MAX)).expect("reads");
        (found.replay_from.0, found.state)
    };
    log.set_log_start_offset(Offset(6)).expect("moves");
    assert_eq!(found(&log), (6, Some(b"6".to_vec())));
    log.set_log_start_offset(Offset(7)).expect("moves");
    assert_eq!(found(&log), (7, None));
    store.commit().expect("commits");
    drop((store, log));
    disk.kill();
    let Opened { logs, .. } = open(&disk).expect("opens");
    assert_eq!(found(&logs[0]), (7, None));
}

#[test]
fn a_truncation_reads_no_more_of_a_long_segment_than_of_a_short_one() {
    let disk = SimDisk::new(9);
    let Opened { store, .. } = open(&disk).expect("opens");
    let mut log = create(&store, "t", 0);
    log.set_settings(LogSettings::default());
    for _ in 0..60 {
        fill(&mut log, 20);
        store.commit().expect("commits");
        store.maintain(&Quiet).expect("maintains");
    }
    store.checkpoint(&Quiet).expect("checkpoints");
    assert!(log.size_bytes() > 400 << 10);
    let before = disk.read_bytes();
    let end = log.log_end_offset().0;
    log.truncate_to(Offset(end - 300)).expect("truncates");
    let read = disk.read_bytes() - before;
    assert!(read < 20 << 10, "{read} bytes");
    // the largest timestamp of what stays is known, as if all had been read
    let last = log.max_timestamp().expect("reads").expect("there is one");
    assert_eq!(last.offset, Offset(end - 301));
}

#[test]
fn a_cut_is_made_where_it_was_found_or_found_again_where_the_log_has_changed() {
    let disk = SimDisk::new(1);
    let store = open(&disk).expect("opens").store;
    for changes in [false, true] {
        let mut log = create(&store, if changes { "b" } else { "a" }, 0);
        fill(&mut log, 10);
        // batches have three records: the one with 20 begins at 18
        let cut = log.find_cut(Offset(20)).expect("found");
        assert_eq!(cut.end_offset, Offset(18));
        assert_eq!(log.log_end_offset(), Offset(30), "only looked at");
        if changes {
            log.truncate_to(Offset(24)).expect("cut");
            fill(&mut log, 5);
        }
        assert_eq!(log.cut(&cut).expect("cut"), Offset(18));
        assert_eq!(log.log_end_offset(), Offset(18));
        store.commit().expect("committed");
        fill(&mut log, 1);
        assert_eq!(log.log_end_offset(), Offset(21));
    }
}

#[test]
fn a_flush_keeps_the_disk_busy_no_longer_than_it_must() {
    let disk = SimDisk::new(1);
    let store = open(&disk).expect("opens").store;
    // some 1,100 bytes of memory each: together a little more than may wait
    let mut logs: Vec<Log> = (0..8).map(|n| create(&store, "t", n)).collect();
    logs.iter_mut().for_each(|log| fill(log, 2));
    store.commit().expect("commits");
    store.maintain(&Quiet).expect("maintains");
    let files = disk.files();
    let is_segment = |path: &&PathBuf| path.extension().is_some_and(|ending| ending == "log");
    let segments = files.iter().filter(is_segment);
    assert_eq!(segments.filter(|path| disk.length(path) > 0).count(), 2);
}
