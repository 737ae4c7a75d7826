//! Batches of idempotent producers that were refused and are to be sent again.
//!
//! A producer sends several batches one behind the other. Where the first is refused with an error
//! that asks for it again (too few replicas in sync, a full disk, a leader that is about to be one)
//! and the second is not, a partition that knows nothing of the producer would take the second for
//! its first (KIP-360), and then refuse the first for good. So whoever refuses a batch remembers
//! it for a while: until it comes again, what was sent after it is out of order.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_protocol::ids::{ProducerEpoch, ProducerId, Sequence};

use super::{Batch, Producers};
use crate::planted::{self, Planted};

/// How many producers are remembered; beyond it the ones that were refused first are forgotten.
pub const REFUSED_MAX: usize = 1000;

/// How long a refused batch is remembered: whatever was sent behind it is here by then.
const REMEMBERED: Duration = Duration::from_secs(30);

/// The first batch of a producer that was refused.
#[derive(Clone, Copy, Debug)]
struct Refused {
    producer_epoch: ProducerEpoch,
    first_sequence: Sequence,
    at: Duration,
}

/// The refused batches of a broker, by partition and producer.
#[derive(Clone, Debug)]
pub struct RefusedBatches<P> {
    by_producer: BTreeMap<(P, ProducerId), Refused>,
}

impl<P> Default for RefusedBatches<P> {
    fn default() -> Self {
        Self {
            by_producer: BTreeMap::new(),
        }
    }
}

/// Whether a sequence comes after another; after 2³¹ − 1 comes 0.
pub(super) fn is_after(sequence: Sequence, other: Sequence) -> bool {
    let ahead = sequence.0.wrapping_sub(other.0) & i32::MAX;
    (1..1 << 30).contains(&ahead)
}

impl<P: Ord + Clone> RefusedBatches<P> {
    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_producer.is_empty()
    }

    /// Whether a batch was sent behind one that was refused, and the partition cannot tell by
    /// `producers` what comes next.
    #[must_use]
    pub fn is_out_of_turn(
        &self,
        now: Duration,
        partition: &P,
        batch: &Batch,
        producers: &Producers,
    ) -> bool {
        if batch.producer_id == ProducerId::NONE || producers.knows_sequence(batch.producer_id) {
            return false;
        }
        if planted::is(Planted::OutOfTurn) {
            return false;
        }
        let refused = self
            .by_producer
            .get(&(partition.clone(), batch.producer_id));
        refused.is_some_and(|refused| {
            refused.producer_epoch == batch.producer_epoch
                && now.saturating_sub(refused.at) <= REMEMBERED
                && is_after(batch.base_sequence, refused.first_sequence)
        })
    }

    /// A batch was refused with an error that asks for it again.
    pub fn refused(&mut self, now: Duration, partition: &P, batch: &Batch) {
        if batch.producer_id == ProducerId::NONE {
            return; // there is no order to keep
        }
        let key = (partition.clone(), batch.producer_id);
        let mut refused = Refused {
            producer_epoch: batch.producer_epoch,
            first_sequence: batch.base_sequence,
            at: now,
        };
        let known = self.by_producer.get(&key);
        if let Some(known) = known
            && known.producer_epoch == batch.producer_epoch
            && is_after(batch.base_sequence, known.first_sequence)
        {
            refused.first_sequence = known.first_sequence;
        }
        if known.is_none() && self.by_producer.len() >= REFUSED_MAX {
            let oldest = self.by_producer.iter().min_by_key(|(_, r)| r.at);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.by_producer.remove(&oldest);
            }
        }
        self.by_producer.insert(key, refused);
    }

    /// A batch that is not out of turn is in the log, so that the partition knows its producer from
    /// now on, or on its way to the leader, who is asked instead.
    pub fn came_again(&mut self, partition: &P, batch: &Batch) {
        self.by_producer
            .remove(&(partition.clone(), batch.producer_id));
    }
}

#[cfg(test)]
mod tests;
