//! Cuts a follower's log where it departs from its leader's.
//!
//! Where that is in the files, and which producers there were by then, is read from the disk: away
//! from the threads that serve, and without the partition's lock. Meanwhile the partition is as it
//! was, and not fetched. The decision is the core's, before and again when all is read: whoever has
//! another leader by then cuts nothing.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use ottla_core::partition::{Effects, Fetched, Input};
use ottla_protocol::ids::{LeaderEpoch, Offset};
use ottla_storage::{Error, LogReader, serving};
use tokio::sync::mpsc;
use tracing::warn;

use super::partition::{AtHand, Found, Replica, State};
use super::{Shared, producer_state};
use crate::threads;

/// How many logs are cut at a time: a broker that comes back may have to cut all that it led.
const AT_A_TIME: usize = 8;

/// An answer by which a log is to be cut.
pub(super) struct Truncation {
    pub(super) replica: Arc<Replica>,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) fetch_offset: Offset,
    pub(super) diverging: Option<(LeaderEpoch, Offset)>,
}

/// Cuts what it is told of until the broker stops.
pub(super) async fn run(shared: Arc<Shared>, told: mpsc::UnboundedReceiver<Truncation>) {
    let told = stream::unfold(told, |mut told| async {
        let truncation = told.recv().await?;
        Some((truncation, told))
    });
    told.for_each_concurrent(AT_A_TIME, |truncation| async {
        // where the runtime goes down, nobody needs it any more
        threads::blocking(shared.inline, move || truncation.perform()).await;
    })
    .await;
}

impl Truncation {
    fn perform(&self) {
        let replica = &self.replica;
        self.cut();
        let state = replica.lock();
        if let Some(leader) = state.partition.leader() {
            replica.shared.fetchers.resume(replica.id, leader);
        }
    }

    /// Cuts the log, unless the answer holds no more. Where compaction changed the log meanwhile,
    /// the place is another.
    fn cut(&self) {
        let replica = &self.replica;
        let decided = || {
            let state = replica.lock();
            let offset = state.partition.truncation(&self.answer())?;
            Some((offset, replica.reader.lsn()))
        };
        while let Some((offset, lsn)) = decided() {
            let found = find(&replica.reader, offset);
            let mut state = replica.lock();
            if replica.reader.lsn() != lsn {
                continue;
            }
            if state.partition.truncation(&self.answer()) != Some(offset) {
                return;
            }
            match found {
                Ok(found) => {
                    let answer = Input::Fetched(self.answer());
                    // a failure took the partition offline, and was told
                    let _ = replica.step(&mut state, answer, AtHand::Found(Box::new(found)));
                }
                Err(error) => {
                    drop(state);
                    replica.fail(&error);
                }
            }
            return;
        }
    }

    fn answer(&self) -> Fetched<'static> {
        Fetched {
            leader_epoch: self.leader_epoch,
            fetch_offset: self.fetch_offset,
            error: None,
            diverging: self.diverging,
            // nothing else of it holds for a log that departs
            high_watermark: Offset::ZERO,
            log_start_offset: Offset::ZERO,
            batches: &[],
        }
    }
}

impl Replica {
    /// Cuts the log, where that was found.
    pub(super) fn truncate_to(
        self: &Arc<Self>,
        state: &mut State,
        offset: Offset,
        bytes: &mut AtHand<'_>,
    ) -> Result<(), Error> {
        warn!(partition = ?self, %offset, "truncating to the leader's log");
        let cut = match bytes {
            AtHand::Found(found) => found.cut.clone(),
            _ => {
                // a bug that a simulation puts in cuts with an image, and has looked nowhere
                let found = serving::blocking(|| find(&self.reader, offset))?;
                let cut = found.cut.clone();
                *bytes = AtHand::Found(Box::new(found));
                cut
            }
        };
        let end = state.with_log(|log| log.cut(&cut))?;
        let Some(end) = end.filter(|end| *end < offset) else {
            return Ok(());
        };
        let mut effects = Effects::new();
        let truncated = Input::TruncatedTo(end);
        state
            .partition
            .step(self.shared.env.now(), truncated, &mut effects);
        let mut effects = effects.into_iter();
        effects.try_for_each(|effect| self.perform(state, effect, &mut AtHand::Nothing))
    }
}

/// Reads what a truncation to the offset needs.
fn find(reader: &LogReader, offset: Offset) -> Result<Found, Error> {
    let cut = reader.find_cut(offset)?;
    let producers = producer_state::load(reader, cut.end_offset)?;
    Ok(Found { cut, producers })
}
