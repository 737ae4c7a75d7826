//! Single faults of the disk, each at every call that it can hit.

use std::sync::Mutex;

use ottla_protocol::ids::{Offset, TopicIdPartition};
use ottla_storage::sim::SimDisk;
use ottla_storage::{Committed, Disk, Error, Listener, Log, LogSettings, Opened, ProducerState};

use crate::batches::Batch;
use crate::crash::Quiet;
use crate::store::{create, fill, open};

/// Calls of the disk that a case makes at most.
const CALLS_MAX: u64 = 60;

fn append_large(log: &mut Log, fill: u8) {
    let batch = Batch {
        base_offset: log.log_end_offset().0,
        value_bytes: 30 << 10,
        fill,
        ..Batch::default()
    };
    log.append(batch.build(), 0, 0).expect("appended");
}

#[test]
fn after_a_failed_sync_of_the_write_ahead_log_nothing_of_that_commit_is_durable() {
    let mut failures = 0;
    for calls in 0..CALLS_MAX {
        let disk = SimDisk::new(calls);
        let Opened { store, .. } = open(&disk).expect("opens");
        let mut log = create(&store, "a", 0);
        log.set_settings(LogSettings::default());
        store.commit().expect("commits");
        let before = log.durable_end_offset();
        // more than fits into one file of the log: the first is synced before the next has any
        for fill in 2..6 {
            append_large(&mut log, fill);
        }
        disk.fail_once_after(calls);
        if store.commit().is_ok() {
            continue;
        }
        failures += 1;
        assert!(store.offline().is_some(), "failure at call {calls}");
        assert_eq!(log.durable_end_offset(), before, "failure at call {calls}");
    }
    assert!(failures > 4, "{failures}");
}

/// Says its log's end as the state of the producers.
struct Producers(Mutex<i64>);

impl Listener for Producers {
    fn committed(&self, _: Committed) {}
    fn offline(&self, _: &Error) {}
    fn producer_state(&self, _: TopicIdPartition) -> Option<ProducerState> {
        let offset = *self.0.lock().expect("unpoisoned");
        Some(ProducerState {
            offset: Offset(offset),
            bytes: offset.to_string().into_bytes(),
        })
    }
}

#[test]
fn producer_state_that_a_truncation_removed_stays_gone_after_a_power_cut() {
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let Opened { store, .. } = open(&disk).expect("opens");
        let mut log = create(&store, "a", 0);
        let producers = Producers(Mutex::new(6));
        fill(&mut log, 2);
        store.checkpoint(&producers).expect("checkpoints");
        log.truncate_to(Offset(3)).expect("truncates");
        *producers.0.lock().expect("unpoisoned") = 3;
        // the truncation is no longer in the write-ahead log after it
        store.checkpoint(&producers).expect("checkpoints");
        fill(&mut log, 2);
        store.commit().expect("commits");
        disk.crash();
        drop((store, log));
        let Opened { logs, .. } = open(&disk).expect("opens");
        let found = logs[0].producer_snapshot(Offset(i64::MAX)).expect("reads");
        assert_ne!(found.state, Some(b"6".to_vec()), "seed {seed}");
    }
}

#[test]
fn a_log_made_anew_has_nothing_of_its_namesake_after_a_power_cut() {
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let Opened { store, .. } = open(&disk).expect("opens");
        let mut log = create(&store, "a", 0);
        fill(&mut log, 2);
        store
            .checkpoint(&Producers(Mutex::new(6)))
            .expect("checkpoints");
        disk.crash();
        drop((store, log));
        let Opened { store, mut logs } = open(&disk).expect("opens");
        store.delete(logs.remove(0)).expect("deletes");
        store.commit().expect("commits");
        store.maintain(&Quiet).expect("maintains");
        assert!(
            !disk.exists(&dir("a-0")),
            "seed {seed}: its directory is left"
        );
        let mut log = create(&store, "a", 0);
        fill(&mut log, 4);
        store.checkpoint(&Quiet).expect("checkpoints");
        let found = log.producer_snapshot(Offset(i64::MAX)).expect("reads");
        assert_eq!(found.state, None, "seed {seed}");
    }
}

#[test]
fn producer_state_of_another_log_is_not_taken() {
    let disk = SimDisk::new(1);
    let Opened { store, .. } = open(&disk).expect("opens");
    let mut log = create(&store, "a", 0);
    fill(&mut log, 2);
    store
        .checkpoint(&Producers(Mutex::new(6)))
        .expect("checkpoints");
    let file = dir("a-0").join("00000000000000000006.snapshot");
    let of_the_old = disk.content(&file).expect("saved");
    store.delete(log).expect("deletes");
    store.commit().expect("commits");
    let mut log = create(&store, "a", 0);
    fill(&mut log, 2);
    store.checkpoint(&Quiet).expect("checkpoints");
    disk.set_content(&file, of_the_old);
    let found = log.producer_snapshot(Offset(i64::MAX)).expect("reads");
    assert_eq!(found.state, None);
}

fn dir(log: &str) -> std::path::PathBuf {
    std::path::Path::new(crate::store::DIR).join(log)
}

#[test]
fn what_a_start_on_a_full_disk_calls_durable_survives_a_power_cut() {
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        let Opened { store, .. } = open(&disk).expect("opens");
        let mut log = create(&store, "a", 0);
        fill(&mut log, 3);
        store.commit().expect("commits");
        fill(&mut log, 3);
        // written, and not synced: a process that starts next finds it in the page cache
        disk.fail_after(1);
        store.commit().expect_err("it is not durable");
        drop((store, log));
        disk.heal();
        disk.kill();
        disk.set_full(true);
        let Opened { store, mut logs } = open(&disk).expect("opens on a full disk");
        let log = &mut logs[0];
        let durable = log.durable_end_offset();
        if seed % 2 == 0 {
            // a truncation, which segments may not be written before
            let end = log.log_end_offset();
            log.truncate_to(Offset(end.0 - 3)).expect("truncates");
        }
        let _ = store.commit();
        let _ = store.maintain(&Quiet);
        let durable = durable.min(log.log_end_offset());
        drop((store, logs));
        disk.crash();
        disk.set_full(false);
        let Opened { logs, .. } =
            open(&disk).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let found = logs[0].log_end_offset();
        assert!(found >= durable, "seed {seed}: {found} of {durable}");
    }
}

#[test]
fn what_follows_a_torn_frame_on_a_full_disk_is_not_lost() {
    let disk = SimDisk::new(3);
    let Opened { store, .. } = open(&disk).expect("opens");
    let mut log = create(&store, "a", 0);
    log.set_settings(LogSettings::default());
    // files of the write-ahead log that are free again
    for fill in 0..4 {
        append_large(&mut log, fill);
        store.commit().expect("commits");
    }
    store.checkpoint(&Quiet).expect("checkpoints");
    fill(&mut log, 3);
    store.commit().expect("commits");
    let before = log.log_end_offset();
    append_large(&mut log, 9);
    store.commit().expect("commits");
    drop((store, log));
    disk.kill();
    // of its last frame the first block alone is there
    let mut is_torn = false;
    for path in disk.files() {
        let mut bytes = disk.content(&path).expect("content");
        let is_wal = path.extension() == Some("wal".as_ref());
        let last = bytes.windows(64).position(|bytes| bytes == [9; 64]);
        if let Some(last) = last.filter(|_| is_wal) {
            let next_block = (last / 4096 + 1) * 4096;
            bytes[next_block..].fill(0);
            disk.set_content(&path, bytes);
            is_torn = true;
        }
    }
    assert!(is_torn);
    disk.set_full(true);
    let Opened { store, mut logs } = open(&disk).expect("opens on a full disk");
    assert_eq!(logs[0].log_end_offset(), before);
    let kept = Offset(before.0 - 3);
    logs[0].truncate_to(kept).expect("truncates");
    let is_durable = store.commit().is_ok();
    drop((store, logs));
    disk.crash();
    disk.set_full(false);
    let Opened { logs, .. } = open(&disk).expect("opens again");
    assert!(is_durable, "there was a file for it");
    assert_eq!(logs[0].log_end_offset(), kept);
}
