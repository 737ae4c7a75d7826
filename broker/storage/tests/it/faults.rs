//! Single faults of the disk, each at every call that it can hit.

use ottla_storage::sim::SimDisk;
use ottla_storage::{Log, LogSettings, Opened};

use crate::batches::Batch;
use crate::store::{create, open};

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
