//! The newest offset of each key: bounded memory, whatever the keys are.

use std::hash::{BuildHasher, RandomState};

use ottla_protocol::ids::Offset;

/// What one key costs.
const ENTRY_BYTES: usize = std::mem::size_of::<Entry>();
/// The table is never fuller than this, in tenths.
const FILL_TENTHS_MAX: usize = 9;
const SLOTS_MIN: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: [u64; 2],
    /// −1: vacant.
    offset: i64,
}

const VACANT: Entry = Entry {
    hash: [0; 2],
    offset: -1,
};

/// Keys by 128 bits of two hashes with secret seeds, so that nobody can make two keys that are
/// taken for one. Grows up to its limit, then refuses new keys.
#[derive(Debug)]
pub(super) struct Keys {
    seeds: [RandomState; 2],
    slots: Vec<Entry>,
    count: usize,
    slots_max: usize,
}

impl Keys {
    /// For a table of at most so many bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        let slots_max = (bytes_max / ENTRY_BYTES).max(SLOTS_MIN);
        Self {
            seeds: [RandomState::new(), RandomState::new()],
            slots: vec![VACANT; SLOTS_MIN],
            count: 0,
            slots_max,
        }
    }

    /// Notes a record. `false`: it is of a new key, for which there is no room.
    pub(super) fn note(&mut self, key: &[u8], offset: Offset) -> bool {
        let hash = self.hash(key);
        let mut place = self.place(hash);
        if self.slots[place].offset < 0 {
            if !self.has_room() {
                return false;
            }
            place = self.place(hash);
            self.count += 1;
        }
        let entry = &mut self.slots[place];
        entry.hash = hash;
        entry.offset = entry.offset.max(offset.0);
        true
    }

    /// The newest offset of the key, where it was noted.
    pub(super) fn newest(&self, key: &[u8]) -> Option<Offset> {
        let entry = self.slots[self.place(self.hash(key))];
        (entry.offset >= 0).then_some(Offset(entry.offset))
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        [self.seeds[0].hash_one(key), self.seeds[1].hash_one(key)]
    }

    /// Where the hash is, or would be.
    fn place(&self, hash: [u64; 2]) -> usize {
        let mut place = (hash[0] % self.slots.len() as u64) as usize;
        while self.slots[place].offset >= 0 && self.slots[place].hash != hash {
            place = (place + 1) % self.slots.len();
        }
        place
    }

    /// Whether one more key fits; grows for it.
    fn has_room(&mut self) -> bool {
        if self.count < self.slots.len() * FILL_TENTHS_MAX / 10 {
            return true;
        }
        if self.slots.len() >= self.slots_max {
            return false;
        }
        let slots = vec![VACANT; (self.slots.len() * 2).min(self.slots_max)];
        for entry in std::mem::replace(&mut self.slots, slots) {
            if entry.offset >= 0 {
                let place = self.place(entry.hash);
                self.slots[place] = entry;
            }
        }
        self.count < self.slots.len() * FILL_TENTHS_MAX / 10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_offset_counts_and_the_limit_holds() {
        let mut keys = Keys::new(1000 * ENTRY_BYTES);
        let mut noted = 0;
        for n in 0..2000_i64 {
            let key = n.to_le_bytes();
            if !keys.note(&key, Offset(n)) {
                break;
            }
            assert!(keys.note(&key, Offset(n + 5000)));
            assert!(
                keys.note(&key, Offset(n + 10)),
                "an older one changes nothing"
            );
            noted += 1;
        }
        assert_eq!(noted, 900);
        for n in 0..2000_i64 {
            let newest = (n < noted).then_some(Offset(n + 5000));
            assert_eq!(keys.newest(&n.to_le_bytes()), newest);
        }
        assert!(
            keys.note(&3_i64.to_le_bytes(), Offset(9000)),
            "a known key has its place"
        );
        assert_eq!(keys.slots.len(), 1000);
    }
}
