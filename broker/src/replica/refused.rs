//! The refused batches of idempotent producers, as all connections see them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ottla_core::partition::refused::RefusedBatches;
use ottla_core::partition::{Batch, Producers};
use ottla_protocol::ids::ProducerId;

use super::lock;
use super::place::Place;

/// Nearly always there are none, and then no lock is taken.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    batches: Mutex<RefusedBatches<Place>>,
    has_any: AtomicBool,
}

impl Refusals {
    pub(super) fn is_out_of_turn(
        &self,
        now: Duration,
        place: &Place,
        batch: &Batch,
        producers: &Producers,
    ) -> bool {
        self.has_any.load(Ordering::Acquire)
            && lock(&self.batches).is_out_of_turn(now, place, batch, producers)
    }

    pub(super) fn refused(&self, now: Duration, place: &Place, batch: &Batch) {
        if batch.producer_id == ProducerId::NONE {
            return;
        }
        let mut batches = lock(&self.batches);
        batches.refused(now, place, batch);
        self.has_any.store(!batches.is_empty(), Ordering::Release);
    }

    pub(super) fn came_again(&self, place: &Place, batch: &Batch) {
        if !self.has_any.load(Ordering::Acquire) {
            return;
        }
        let mut batches = lock(&self.batches);
        batches.came_again(place, batch);
        self.has_any.store(!batches.is_empty(), Ordering::Release);
    }
}
