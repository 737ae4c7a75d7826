//! What happens by itself: commits tell the partitions, followers' lag is looked at, old segments
//! go, high watermarks are kept. One timer each for all partitions.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use ottla_core::disk_watch::DiskWatch;
use ottla_core::partition::Input;
use ottla_protocol::ids::{Offset, TopicIdPartition};
use ottla_storage::{Committed, Error, Listener, ProducerState, serving};
use tracing::{error, warn};

use super::{Shared, compaction, producer_state, scrub};
use crate::env::spend_commit_time;
use crate::threads;

/// How often high watermarks are kept, where they moved.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);

/// From here on a clock that was set forward is told of.
const CLOCK_AHEAD_MS: i64 = 60_000;

/// How often a simulation looks by itself whether there is something to commit.
const COMMIT_LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How often it is looked whether the disk hangs, in parts of the limit.
const DISK_LOOKS_PER_LIMIT: u32 = 10;

/// How often lag is looked at, in parts of the limit.
const LAG_CHECKS_PER_LIMIT: u32 = 4;

/// How often it is looked for a lease once there is none: after the second look a leader whose
/// followers take nothing sends its producers away.
const LEASE_LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Starts everything.
pub(super) fn start(shared: &Arc<Shared>) {
    if shared.inline {
        threads::spawn(commit_inline(Arc::clone(shared)));
    } else {
        let listener = StoreListener {
            shared: Arc::downgrade(shared),
        };
        shared.store.spawn(Arc::new(listener));
    }
    let lag_interval = shared.settings.replica_lag_time_max / LAG_CHECKS_PER_LIMIT;
    every(shared, lag_interval, |shared| {
        for replica in shared.index.all() {
            replica.tell(Input::LagChecked);
        }
    });
    threads::spawn(watch_disk(Arc::clone(shared)));
    threads::spawn(watch_lease(Arc::clone(shared)));
    every(shared, CHECKPOINT_INTERVAL, |shared| {
        if let Err(error) = write_high_watermarks(shared) {
            error!(%error, "high watermarks could not be kept");
        }
        shared.retry_missing();
        shared.delete_old_strays();
    });
    let check_interval = shared.settings.producer_id_expiration_check_interval;
    every(shared, check_interval, |shared| {
        let image = shared.controller.image();
        let layers = image.layers(Some(shared.settings.node_id), &shared.settings.statics);
        let age_max = layers.number("producer.id.expiration.ms");
        let oldest = shared.env.age_ms().saturating_sub(age_max);
        for replica in shared.index.all() {
            replica.tell(Input::ProducersExpired(oldest));
        }
    });
    every(
        shared,
        shared.settings.retention_check_interval,
        apply_retention,
    );
    threads::spawn(compact(Arc::clone(shared)));
    threads::spawn(scrub::run(Arc::clone(shared)));
}

/// Compacts what is due, again and again until the broker stops.
async fn compact(shared: Arc<Shared>) {
    let mut failed = compaction::Failed::default();
    loop {
        tokio::time::sleep(compaction::backoff(&shared)).await;
        if shared.is_stopping() {
            return;
        }
        let listener = StoreListener {
            shared: Arc::downgrade(&shared),
        };
        let acting = Arc::clone(&shared);
        let act = move || {
            let mut failed = failed;
            compaction::round(&acting, &listener, &mut failed);
            failed
        };
        match threads::blocking(shared.inline, act).await {
            Some(still_failed) => failed = still_failed,
            None => return, // the runtime is going down
        }
    }
}

/// Notices a disk that hangs, which reports nothing, and one without room.
async fn watch_disk(shared: Arc<Shared>) {
    let limit = shared.settings.replica_lag_time_max;
    let mut watch = DiskWatch::new(limit);
    let (mut was_stalled, mut was_full) = (false, false);
    while !shared.is_stopping() {
        tokio::time::sleep(limit / DISK_LOOKS_PER_LIMIT).await;
        let (queued, durable) = shared.store.progress();
        let now = shared.env.now();
        let is_full = shared.store.is_full();
        let is_stalled = watch.is_stalled(now, queued, durable, is_full);
        match (was_stalled, is_stalled) {
            (false, true) => {
                error!("the disk has taken nothing for {limit:?}: others lead until it does")
            }
            (true, false) => warn!("the disk takes what it is given again"),
            _ => {}
        }
        if is_full && !was_full {
            warn!("the disk has no room for records: brokers lead whose disks have");
        }
        (was_stalled, was_full) = (is_stalled, is_full);
        shared.controller.set_disk_stalled(is_stalled);
        shared.controller.set_disk_full(is_full);
    }
}

/// Tells the partitions while there is no lease, and when there is one again.
async fn watch_lease(shared: Arc<Shared>) {
    let mut was_missed = false;
    while !shared.is_stopping() {
        let left = shared.controller.lease_left();
        let is_missed = left.is_zero();
        if !is_missed && !was_missed {
            tokio::time::sleep(left).await;
            continue;
        }
        was_missed = is_missed;
        let acting = Arc::clone(&shared);
        let tell = move || {
            for replica in acting.index.all() {
                replica.tell_if_free(match is_missed {
                    true => Input::LeaseMissed,
                    false => Input::LeaseRenewed,
                });
            }
        };
        if threads::blocking(shared.inline, tell).await.is_none() {
            return; // the runtime is going down
        }
        tokio::time::sleep(LEASE_LOOK_INTERVAL).await;
    }
}

/// Runs `act` every `interval` until the broker stops, away from the threads that serve.
fn every(shared: &Arc<Shared>, interval: Duration, act: fn(&Arc<Shared>)) {
    let shared = Arc::clone(shared);
    threads::spawn(async move {
        let mut timer = tokio::time::interval(interval);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        timer.tick().await;
        loop {
            timer.tick().await;
            if shared.is_stopping() {
                return;
            }
            let acting = Arc::clone(&shared);
            let done = threads::blocking(shared.inline, move || act(&acting)).await;
            if done.is_none() {
                return; // the runtime is going down
            }
        }
    });
}

/// The leader decides what is too old; followers learn where its log starts.
fn apply_retention(shared: &Arc<Shared>) {
    let now_ms = shared.env.age_ms();
    let ahead_ms = shared.env.unix_ms().saturating_sub(now_ms);
    if ahead_ms > CLOCK_AHEAD_MS {
        warn!(
            ahead_ms,
            "the clock of this machine was set forward: what goes by its age stays longer by that, \
             until the clock is right, or for half a day: then it is believed"
        );
    }
    for replica in shared.index.all() {
        let mut state = replica.lock();
        if !state.partition.is_leader() {
            continue;
        }
        let high_watermark = state.partition.marks().high_watermark;
        let moved = match &mut state.log {
            Some(log) => log.apply_retention(now_ms, high_watermark),
            None => Ok(None),
        };
        drop(state);
        match moved {
            Ok(Some(log_start_offset)) => replica.tell(Input::LogStartMoved(log_start_offset)),
            Ok(None) => {}
            Err(error) => error!(partition = ?replica, %error, "retention failed"),
        }
    }
}

/// Keeps the high watermarks, where one moved since the last time.
pub(super) fn write_high_watermarks(shared: &Shared) -> Result<(), Error> {
    if !shared.high_watermarks_moved.swap(false, Ordering::Relaxed) {
        return Ok(());
    }
    let marks: Vec<(TopicIdPartition, Offset)> = shared
        .index
        .all()
        .into_iter()
        .map(|replica| (replica.id, replica.lock().partition.marks().high_watermark))
        .collect();
    shared.store.write_high_watermarks(&marks)
}

/// Hears from the store's threads. Weak, so that the store does not keep alive what owns it.
struct StoreListener {
    shared: Weak<Shared>,
}

impl Listener for StoreListener {
    fn committed(&self, committed: Committed) {
        if let Some(shared) = self.shared.upgrade() {
            shared.metrics.commit_time.observe(committed.took);
            on_committed(&shared, &committed);
        }
    }

    fn offline(&self, error: &Error) {
        if let Some(shared) = self.shared.upgrade() {
            on_offline(&shared, error);
        }
    }

    fn producer_state(&self, id: TopicIdPartition) -> Option<ProducerState> {
        let shared = self.shared.upgrade()?;
        let replica = shared.index.get(id)?;
        let state = replica.lock();
        let producers = state.partition.producers();
        (!producers.is_empty()).then(|| ProducerState {
            offset: state.partition.marks().log_end_offset,
            bytes: producer_state::encode(producers),
        })
    }
}

/// One pass over the partitions of one commit.
fn on_committed(shared: &Arc<Shared>, committed: &Committed) {
    let _hold = shared.fetchers.hold();
    for durable in &committed.logs {
        if let Some(replica) = shared.index.get(durable.id) {
            let mut state = replica.lock();
            // the log's own word, not the commit's: the log may have been truncated since
            let flushed = replica.reader.durable_end_offset();
            let input = Input::Flushed(flushed);
            let _ = replica.step(&mut state, input, super::partition::AtHand::Nothing);
        }
    }
}

fn on_offline(shared: &Arc<Shared>, error: &Error) {
    error!(%error, "the data directory is offline: this broker leads and follows nothing more");
    for replica in shared.index.all() {
        replica.tell(Input::WentOffline);
    }
}

/// The store's threads as one task, for simulations.
async fn commit_inline(shared: Arc<Shared>) {
    let listener = StoreListener {
        shared: Arc::downgrade(&shared),
    };
    let mut is_refused = false;
    while !shared.is_stopping() {
        // Only appends wake this task. It looks by itself whether there is room again on a full
        // disk, which refuses them, and whether anything else waits, as a new log does.
        let woken = tokio::time::timeout(COMMIT_LOOK_INTERVAL, shared.uncommitted.notified()).await;
        let (queued, durable) = shared.store.progress();
        let is_due = is_refused || shared.store.is_full() || queued > durable;
        if woken.is_err() && !is_due {
            continue;
        }
        let began = shared.env.now();
        spend_commit_time(shared.store.disk()).await;
        let took = shared.env.now().saturating_sub(began);
        shared.metrics.commit_time.observe(took);
        is_refused = match serving::blocking(|| commit_once(&shared, &listener)) {
            Ok(()) => false,
            Err(Error::DiskFull { .. }) => true,
            Err(error) => return on_offline(&shared, &error),
        };
    }
}

fn commit_once(shared: &Arc<Shared>, listener: &StoreListener) -> Result<(), Error> {
    on_committed(shared, &shared.store.commit()?);
    shared.store.maintain(listener)?;
    // what the maintenance had to commit is told, too
    on_committed(shared, &shared.store.commit()?);
    Ok(())
}
