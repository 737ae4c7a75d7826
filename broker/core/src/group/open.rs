//! Offsets in transactions that have not ended: they count for nobody until a marker says so.

use std::collections::BTreeMap;

use ottla_protocol::ids::{ProducerId, TopicName};
use ottla_protocol::record::ControlRecord;

use super::GroupId;
use super::record::CommittedOffset;

/// Which offset.
pub(super) type Key = (GroupId, TopicName, i32);

/// An offset that waits for its marker.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    value: CommittedOffset,
    /// Its place in the log among the others here.
    place: u64,
}

/// The offsets of all open transactions. Invariant: none is older than the offset that counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Open {
    by_producer: BTreeMap<ProducerId, BTreeMap<Key, Pending>>,
    places: u64,
}

impl Open {
    /// A producer wrote an offset in its transaction.
    pub(super) fn add(&mut self, producer: ProducerId, key: Key, value: CommittedOffset) {
        let place = self.places;
        self.places += 1;
        let pending = Pending { value, place };
        let transaction = self.by_producer.entry(producer).or_default();
        transaction.insert(key, pending);
    }

    /// An offset was written outside of transactions: those before it count no more, however
    /// their transactions end. Returns them.
    pub(super) fn overtake(&mut self, key: &Key) -> Vec<(ProducerId, Pending)> {
        let transactions = self.by_producer.iter_mut();
        transactions
            .filter_map(|(producer, offsets)| Some((*producer, offsets.remove(key)?)))
            .collect()
    }

    /// What was overtaken was not.
    pub(super) fn put_back(&mut self, key: &Key, overtaken: Vec<(ProducerId, Pending)>) {
        for (producer, pending) in overtaken {
            let transaction = self.by_producer.entry(producer).or_default();
            transaction.insert(key.clone(), pending);
        }
    }

    /// A transaction has ended: the offsets that count from now on.
    pub(super) fn end(
        &mut self,
        producer: ProducerId,
        marker: ControlRecord,
    ) -> Vec<(Key, CommittedOffset)> {
        let ended = self.by_producer.remove(&producer).unwrap_or_default();
        if matches!(marker, ControlRecord::Abort { .. }) {
            return Vec::new();
        }
        for (key, pending) in &ended {
            for offsets in self.by_producer.values_mut() {
                if offsets.get(key).is_some_and(|o| o.place < pending.place) {
                    offsets.remove(key);
                }
            }
        }
        let offsets = ended.into_iter();
        offsets.map(|(key, pending)| (key, pending.value)).collect()
    }
}
