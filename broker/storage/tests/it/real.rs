//! The real disk, with the store's own threads.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use ottla_protocol::ids::Offset;
use ottla_storage::sim::SimDisk;
use ottla_storage::{Committed, Disk, Error, Listener, Opened, RealDisk, Store, serving};

use crate::crash::{identity, small};
use crate::model::observe;
use crate::store::{create, fill};

#[derive(Default)]
struct Waiter {
    durable: Mutex<i64>,
    changed: Condvar,
}

impl Listener for Waiter {
    fn committed(&self, committed: Committed) {
        let ends = committed.logs.iter().map(|log| log.durable_end_offset.0);
        let mut durable = self.durable.lock().expect("unpoisoned");
        *durable = ends.fold(*durable, i64::max);
        self.changed.notify_all();
    }

    fn offline(&self, error: &Error) {
        panic!("{error}");
    }
}

#[test]
#[cfg(debug_assertions)]
fn no_disk_is_touched_by_who_serves() {
    let (real, simulated) = (RealDisk, SimDisk::new(1));
    let disks: [&dyn Disk; 2] = [&real, &simulated];
    for disk in disks {
        let look = || drop(disk.list(Path::new("/")));
        let looked = std::panic::catch_unwind(AssertUnwindSafe(|| serving::serving(look)));
        assert!(looked.is_err(), "{disk:?}");
        serving::serving(|| serving::blocking(look));
    }
}

#[test]
fn threads_commit_flush_and_close() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = || Store::open(Arc::new(RealDisk), dir.path(), identity(), small());
    let Opened { store, .. } = open().expect("opens");
    let waiter = Arc::new(Waiter::default());
    store.spawn(waiter.clone());
    let mut log = create(&store, "real", 0);
    for _ in 0..40 {
        fill(&mut log, 10);
    }
    let (lock, limit) = (
        waiter.durable.lock().expect("unpoisoned"),
        Duration::from_secs(20),
    );
    let waited = waiter
        .changed
        .wait_timeout_while(lock, limit, |durable| *durable < 1200);
    assert!(
        !waited.expect("unpoisoned").1.timed_out(),
        "everything becomes durable"
    );
    let error = open().expect_err("in use").to_string();
    assert!(
        error.contains(&format!("process {}", std::process::id())),
        "{error}"
    );
    let before = observe(&log, 3000);
    store.close().expect("closes");
    drop((store, log));
    let Opened { store, logs } = open().expect("opens again");
    assert_eq!(observe(&logs[0], 3000), before);
    assert_eq!(logs[0].durable_end_offset(), Offset(1200));
    drop((store, logs));
    // a process that ends without closing: the WAL is replayed
    let Opened { store, mut logs } = open().expect("opens");
    fill(&mut logs[0], 5);
    store.commit().expect("commits");
    let before = observe(&logs[0], 3000);
    drop((store, logs));
    let Opened { logs, .. } = open().expect("opens");
    assert_eq!(observe(&logs[0], 3000), before);
}
