//! From a log to a shard: only the last value of each key counts, so only that one is understood.

use std::collections::BTreeMap;

use super::classic::Classic;
use super::record::Error;
use super::{Group, Now, Record, Settings, Shard};

/// Collects the records of a log in order, then becomes a [`Shard`].
///
/// Invariant: holds one value a key, whatever the length of the log.
#[derive(Debug, Default)]
pub struct Loader {
    latest: BTreeMap<Box<[u8]>, Vec<u8>>,
}

impl Loader {
    /// Takes the next record of the log.
    pub fn observe(&mut self, key: &[u8], value: Option<&[u8]>) {
        let Some(value) = value else {
            self.latest.remove(key);
            return;
        };
        match self.latest.get_mut(key) {
            Some(last) => {
                last.clear();
                last.extend_from_slice(value);
            }
            None => {
                self.latest.insert(key.into(), value.to_vec());
            }
        }
    }

    /// The shard, and what could not be understood: such records are left out, as Kafka does.
    #[must_use]
    pub fn finish(self, now: Now, settings: Settings) -> (Shard, Vec<Error>) {
        let mut shard = Shard::new(settings);
        let mut errors = Vec::new();
        for (key, value) in self.latest {
            match Record::decode(&key, Some(&value)) {
                Ok(Some(record)) => shard.replay(record, now),
                Ok(None) => {}
                Err(error) => errors.push(error),
            }
        }
        for (id, group) in &mut shard.groups {
            shard.deadlines.schedule(id, group);
        }
        shard
            .deadlines
            .retention(now, &shard.settings, !shard.groups.is_empty());
        (shard, errors)
    }
}

impl Shard {
    /// Makes durable state what a record of the log says.
    fn replay(&mut self, record: Record, now: Now) {
        match record {
            Record::Offset {
                group,
                topic,
                partition,
                value,
            } => {
                let group = self.groups.entry(group).or_default();
                group.offsets.replay(&topic, partition, value);
            }
            Record::Group { group, value } => {
                let group: &mut Group = self.groups.entry(group).or_default();
                group.membership =
                    value.map_or_else(Classic::default, |value| Classic::restore(value, now));
            }
        }
    }
}
