//! What compaction knows of transactions: what was aborted, and of which there is anything left.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::ids::{Offset, ProducerId};
use ottla_protocol::record_batch::Header;

/// A transaction of which nothing counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Whose it was.
    pub producer_id: ProducerId,
    /// Its first offset.
    pub first_offset: Offset,
    /// The offset of its marker.
    pub last_offset: Offset,
}

/// The aborted transactions of a log.
#[derive(Debug, Default)]
pub(super) struct Aborted {
    /// First and last offset of each, in rising order.
    by_producer: BTreeMap<ProducerId, Vec<(Offset, Offset)>>,
}

impl Aborted {
    pub(super) fn new(transactions: &[AbortedTransaction]) -> Self {
        let mut by_producer: BTreeMap<ProducerId, Vec<(Offset, Offset)>> = BTreeMap::new();
        for transaction in transactions {
            let ranges = by_producer.entry(transaction.producer_id).or_default();
            ranges.push((transaction.first_offset, transaction.last_offset));
        }
        Self { by_producer }
    }

    /// Whether a batch is part of one.
    pub(super) fn has(&self, header: &Header) -> bool {
        if !header.is_transactional() {
            return false;
        }
        let Some(ranges) = self.by_producer.get(&header.producer_id) else {
            return false;
        };
        let offset = header.base_offset;
        let place = ranges.partition_point(|(_, last)| *last < offset);
        ranges.get(place).is_some_and(|(first, _)| *first <= offset)
    }
}

/// What a batch is to a compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Records that count.
    Data,
    /// Records that never happened.
    Aborted,
    /// A marker. Only where nothing before it is left of its transaction may it go.
    Marker {
        /// Whether that is so.
        is_last: bool,
    },
}

/// What a compaction has come by on its way from the start of the log.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// The producers of which there was data since their last markers.
    unended: BTreeSet<ProducerId>,
    /// The markers that go, in the order of the log.
    pub(super) removed: Vec<Offset>,
}

impl Passed {
    /// Comes by the next batch.
    pub(super) fn pass(&mut self, header: &Header, aborted: &Aborted) -> Standing {
        if header.is_control() {
            let is_last = !self.unended.remove(&header.producer_id);
            return Standing::Marker { is_last };
        }
        if header.is_transactional() {
            self.unended.insert(header.producer_id);
        }
        match aborted.has(header) {
            true => Standing::Aborted,
            false => Standing::Data,
        }
    }
}
