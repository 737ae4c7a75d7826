//! Compaction of this broker's logs, leaders' and followers' alike: each broker compacts its own.
//!
//! One log at a time, on a thread that may block. The partition's lock is taken only to put a
//! segment that is written and synced in the place of the old ones, so appends and reads go on.
//!
//! While a replica of a partition is not in sync, none of the others takes tombstones or markers
//! of transactions away: a leader by its own ISR, all by the metadata they know.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ottla_core::compaction::{Due, due};
use ottla_core::partition::Input;
use ottla_core::partition::producers::Transactions;
use ottla_core::planted::{self, Planted};
use ottla_protocol::ids::{Offset, TopicIdPartition};
use ottla_storage::compaction::{AbortedTransaction, Cleanliness, Owner};
use ottla_storage::{Compaction, Error, Listener, Log};
use tracing::{debug, error, info, warn};

use super::Shared;
use super::partition::Replica;

/// A log that could not be compacted is tried again after this long.
const RETRY_AFTER: Duration = Duration::from_secs(600);

/// How long at a time a compaction sleeps to keep to its rate: a stop is noticed in between.
const NAP_MAX: Duration = Duration::from_millis(200);

/// Logs that could not be compacted, and until when they are left alone.
pub(super) type Failed = BTreeMap<TopicIdPartition, Duration>;

/// What the broker's configs say.
struct Limits {
    keys_bytes_max: usize,
    buffer_bytes: usize,
    bytes_per_second_max: f64,
}

impl Limits {
    fn new(shared: &Shared) -> Self {
        let image = shared.controller.image();
        let layers = image.layers(Some(shared.settings.node_id), &shared.settings.statics);
        let size = |name| usize::try_from(layers.number(name)).unwrap_or(usize::MAX);
        Self {
            keys_bytes_max: size("log.cleaner.dedupe.buffer.size"),
            buffer_bytes: size("log.cleaner.io.buffer.size"),
            bytes_per_second_max: layers.get("log.cleaner.io.max.bytes.per.second").double(),
        }
    }
}

/// How long to rest before the next round.
pub(super) fn backoff(shared: &Shared) -> Duration {
    let image = shared.controller.image();
    let layers = image.layers(Some(shared.settings.node_id), &shared.settings.statics);
    let backoff = u64::try_from(layers.number("log.cleaner.backoff.ms")).unwrap_or(0);
    // at zero it would never rest
    Duration::from_millis(backoff.max(10))
}

/// One round over all logs that are due. What failed is noted.
pub(super) fn round(shared: &Arc<Shared>, listener: &dyn Listener, failed: &mut Failed) {
    let now = shared.env.now();
    failed.retain(|_, until| *until > now);
    let mut waiting: Vec<(Due, Arc<Replica>)> = Vec::new();
    let mut is_checkpoint_needed = false;
    for replica in shared.index.all() {
        if !failed.contains_key(&replica.id)
            && let Some((due, cleanliness)) = judge(shared, &replica)
        {
            is_checkpoint_needed |= due.until > cleanliness.checkpointed_offset;
            waiting.push((due, replica));
        }
    }
    if is_checkpoint_needed && let Err(error) = shared.store.checkpoint(listener) {
        warn!(%error, "no checkpoint before compaction");
        return;
    }
    // what the checkpoint had to commit is to be told
    shared.appended();
    waiting.sort_by(|(a, _), (b, _)| b.is_before(a).cmp(&a.is_before(b)));
    let limits = Limits::new(shared);
    for (due, replica) in waiting {
        if shared.is_stopping() {
            return;
        }
        match compact(shared, &replica, due, &limits) {
            Ok(()) => {}
            Err(error @ (Error::DiskFull { .. } | Error::Offline { .. })) => {
                warn!(partition = ?replica, %error, "compaction waits");
                return;
            }
            Err(error) => {
                error!(partition = ?replica, %error, "a log could not be compacted");
                replica.note_damage(&error);
                failed.insert(replica.id, shared.env.now() + RETRY_AFTER);
            }
        }
    }
}

/// Whether a log is due.
fn judge(shared: &Shared, replica: &Replica) -> Option<(Due, Cleanliness)> {
    let (policy, committed, own_isr) = {
        let state = replica.lock();
        if !state.config.is_compacted || state.log.is_none() {
            return None;
        }
        let marks = state.partition.marks();
        let stable = state.partition.last_stable_offset();
        let committed = stable.min(marks.flushed_offset);
        let isr = state.partition.isr().to_vec();
        (state.config.compaction, committed, isr)
    };
    // after the marks: who joins later holds all that was committed then
    let image = shared.controller.image();
    let are_all_in_sync = image.partition(replica.id).is_some_and(|registration| {
        let isr = &registration.isr;
        let is_in_sync =
            |node| isr.contains(node) && (own_isr.is_empty() || own_isr.contains(node));
        registration.replicas.iter().all(is_in_sync)
    });
    let forgets = are_all_in_sync || planted::is(Planted::TombstonesForgotten);
    let cleanliness = replica.reader.cleanliness();
    let (sealed, clean_end) = (&cleanliness.sealed, cleanliness.clean_end_offset);
    let now_ms = shared.env.age_ms();
    let due = due(now_ms, &policy, sealed, clean_end, committed, forgets)?;
    Some((due, cleanliness))
}

/// Compacts one log up to where it was due: in several rounds where it has many keys.
fn compact(
    shared: &Arc<Shared>,
    replica: &Arc<Replica>,
    Due { until, forgets, .. }: Due,
    limits: &Limits,
) -> Result<(), Error> {
    let mut reached = None;
    loop {
        let (delete_retention_ms, producers, aborted) = {
            let state = replica.lock();
            let producers = state.partition.producers().iter();
            let last = producers.filter_map(|(id, producer)| {
                let last = producer.batches.back()?;
                Some((id, last.last_offset))
            });
            let aborted = aborted(state.partition.producers().transactions(), until);
            let retention_ms = state.config.delete_retention_ms;
            (retention_ms, last.collect(), aborted)
        };
        let terms = Compaction {
            until,
            now_ms: shared.env.age_ms(),
            delete_retention_ms,
            forgets,
            keys_bytes_max: limits.keys_bytes_max,
            buffer_bytes: limits.buffer_bytes,
            producers,
            aborted,
        };
        let mut holder = Holder {
            shared,
            replica,
            bytes_per_second_max: limits.bytes_per_second_max,
            began: shared.env.now(),
            bytes: 0,
        };
        let done = replica.reader.compact(&terms, &mut holder)?;
        if !done.removed_markers.is_empty() {
            replica.tell(Input::MarkersRemoved(&done.removed_markers));
        }
        let (before, after) = (done.bytes_before, done.bytes_after);
        let end = done.clean_end_offset;
        if after < before {
            info!(partition = ?replica, %end, before, after, "compacted");
        } else {
            debug!(partition = ?replica, %end, before, after, "compacted");
        }
        // where it gets no further, another round would not either
        if done.is_stopped || end >= until || reached >= Some(end) {
            return Ok(());
        }
        reached = Some(end);
    }
}

/// The aborted transactions that begin below `until`, wherever their markers are: `until` is not
/// above the last stable offset, so all of them are decided.
fn aborted(transactions: &Transactions, until: Offset) -> Vec<AbortedTransaction> {
    let aborted = transactions.aborted(Offset::ZERO, until).into_iter();
    let aborted = aborted.map(|aborted| AbortedTransaction {
        producer_id: aborted.producer_id,
        first_offset: aborted.first_offset,
        last_offset: aborted.last_offset,
    });
    aborted.collect()
}

/// Lets a compaction have the log for moments, and keeps it to its rate.
struct Holder<'a> {
    shared: &'a Arc<Shared>,
    replica: &'a Arc<Replica>,
    bytes_per_second_max: f64,
    began: Duration,
    bytes: u64,
}

impl Owner for Holder<'_> {
    fn goes_on(&mut self, bytes: u64) -> bool {
        self.bytes += bytes;
        let is_wanted = || !self.shared.is_stopping() && !self.replica.is_deleted();
        let seconds = self.bytes as f64 / self.bytes_per_second_max;
        // in simulations nobody may sleep; a year is as good as for ever
        while is_wanted() && !self.shared.inline && seconds < 3e7 {
            let earliest = self.began + Duration::from_secs_f64(seconds);
            match earliest.saturating_sub(self.shared.env.now()) {
                Duration::ZERO => break,
                left => std::thread::sleep(left.min(NAP_MAX)),
            }
        }
        is_wanted()
    }

    fn with_log(
        &mut self,
        act: &mut dyn FnMut(&mut Log) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut state = self.replica.lock();
        if let Some(log) = &mut state.log {
            act(log)?;
        }
        drop(state);
        self.shared.appended();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ottla_core::partition::{Batch, Producers};
    use ottla_protocol::ids::{LeaderEpoch, ProducerEpoch, ProducerId, Sequence};
    use ottla_protocol::record::ControlRecord;

    use super::*;

    #[test]
    fn what_was_aborted_counts_from_its_first_offset_wherever_its_marker_is() {
        let mut producers = Producers::default();
        let abort = Some(ControlRecord::Abort {
            coordinator_epoch: 0,
        });
        // producer 1 is aborted at 3 and 6, producer 2 at 4
        let log = [(1, None), (2, None), (1, None), (1, abort), (2, abort)];
        for (offset, (id, marker)) in log.into_iter().chain([(1, None), (1, abort)]).enumerate() {
            let _ = producers.appended(&Batch {
                base_offset: Offset(offset as i64),
                last_offset_delta: 0,
                leader_epoch: LeaderEpoch(0),
                producer_id: ProducerId(id),
                producer_epoch: ProducerEpoch(0),
                base_sequence: Sequence(offset as i32),
                max_timestamp: 0,
                is_transactional: true,
                is_control: marker.is_some(),
                marker,
            });
        }
        let found = |until| -> Vec<(i64, i64, i64)> {
            let found = aborted(producers.transactions(), Offset(until));
            let shown = found
                .iter()
                .map(|a| (a.producer_id.0, a.first_offset.0, a.last_offset.0));
            shown.collect()
        };
        assert_eq!(found(0), []);
        assert_eq!(found(1), [(1, 0, 3)]);
        assert_eq!(found(2), [(1, 0, 3), (2, 1, 4)]);
        assert_eq!(found(5), [(1, 0, 3), (2, 1, 4)]);
        assert_eq!(found(6), [(1, 0, 3), (2, 1, 4), (1, 5, 6)]);
    }
}
