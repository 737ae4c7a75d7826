//! Offsets in transactions that have not ended: they count for nobody until a marker says so.

use std::collections::{BTreeMap, BTreeSet};

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
    /// A producer wrote an offset in its transaction. Returns the one before it there.
    pub(super) fn add(
        &mut self,
        producer: ProducerId,
        key: Key,
        value: CommittedOffset,
    ) -> Option<Pending> {
        let place = self.places;
        self.places += 1;
        let pending = Pending { value, place };
        let transaction = self.by_producer.entry(producer).or_default();
        transaction.insert(key, pending)
    }

    /// What a producer wrote last of an offset was not written.
    pub(super) fn take_back(&mut self, producer: ProducerId, key: Key, before: Option<Pending>) {
        let transaction = self.by_producer.entry(producer).or_default();
        match before {
            Some(before) => transaction.insert(key, before),
            None => transaction.remove(&key),
        };
        if transaction.is_empty() {
            self.by_producer.remove(&producer);
        }
    }

    /// Whether a transaction that is open may change this offset.
    pub(super) fn has(&self, group: &GroupId, topic: &TopicName, partition: i32) -> bool {
        let key = (group.clone(), topic.clone(), partition);
        let mut open = self.by_producer.values();
        open.any(|offsets| offsets.contains_key(&key))
    }

    /// The offsets of the group that open transactions may change.
    pub(super) fn of_group(&self, group: &str) -> BTreeSet<&Key> {
        let keys = self.by_producer.values().flat_map(BTreeMap::keys);
        keys.filter(|(id, _, _)| &**id == group).collect()
    }

    /// All offsets that open transactions may change, and to what.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &CommittedOffset)> {
        let offsets = self.by_producer.values().flatten();
        offsets.map(|(key, pending)| (key, &pending.value))
    }

    /// Whether a transaction that is open may change any offset of the group.
    pub(super) fn has_group(&self, group: &str) -> bool {
        let mut keys = self.by_producer.values().flat_map(BTreeMap::keys);
        keys.any(|(id, _, _)| &**id == group)
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
