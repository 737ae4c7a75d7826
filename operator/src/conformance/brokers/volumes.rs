//! The volumes of brokers that are not there.

use std::collections::BTreeSet;

use super::{Brokers, Kafka};
use crate::platform::Volume;

impl Brokers {
    /// Has a broker be behind in all that it holds, or not.
    pub fn fall_behind(&self, broker: i32, is_behind: bool) {
        let mut behind = self.kafka.behind.borrow_mut();
        match is_behind {
            true => behind.insert(broker),
            false => behind.remove(&broker),
        };
    }

    /// How many volumes a broker has given up.
    pub fn given_up(&self, broker: i32) -> u32 {
        let given_up = self.kafka.given_up.borrow();
        given_up.get(&broker).copied().unwrap_or_default()
    }

    /// The volume that a broker has.
    pub fn volume(&self, broker: i32) -> Volume {
        Volume {
            id: format!("volume-{}", self.given_up(broker)),
            is_going: false,
        }
    }

    /// Has a broker start with an empty volume.
    pub fn empty(&self, broker: i32) {
        *self.kafka.given_up.borrow_mut().entry(broker).or_default() += 1;
        self.fall_behind(broker, true);
        self.bring(broker, true);
    }
}

impl Kafka {
    pub(super) fn out_of_sync(&self) -> BTreeSet<i32> {
        &*self.down.borrow() | &*self.behind.borrow()
    }
}
