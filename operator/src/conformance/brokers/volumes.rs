//! The volumes of brokers that are not there.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use super::{Brokers, Kafka};
use crate::platform::Volume;

/// The volumes of all brokers.
#[derive(Default)]
pub(super) struct Volumes {
    /// How many each broker has given up.
    given_up: RefCell<BTreeMap<i32, u32>>,
    /// Brokers whose volume goes once they do.
    going: RefCell<BTreeSet<i32>>,
    /// Brokers without a volume.
    lost: RefCell<BTreeSet<i32>>,
    /// Whether brokers that are told to go are there still.
    is_lingering: Cell<bool>,
    /// Whether their volumes do not show that they are to go, as folders do not.
    is_untold: Cell<bool>,
}

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
        let given_up = self.kafka.volumes.given_up.borrow();
        given_up.get(&broker).copied().unwrap_or_default()
    }

    /// The volume that a broker has.
    pub fn volume(&self, broker: i32) -> Option<Volume> {
        let volumes = &self.kafka.volumes;
        let is_there = !volumes.lost.borrow().contains(&broker);
        is_there.then(|| Volume {
            id: format!("volume-{}", self.given_up(broker)),
            is_going: !volumes.is_untold.get() && volumes.going.borrow().contains(&broker),
        })
    }

    /// Has brokers that are told to go take their time, and their volumes not show it.
    pub fn linger_untold(&self) {
        self.kafka.volumes.is_untold.set(true);
        self.linger(true);
    }

    /// Has brokers that are told to go take their time, or be gone at last.
    pub fn linger(&self, is_lingering: bool) {
        let volumes = &self.kafka.volumes;
        volumes.is_lingering.set(is_lingering);
        if !is_lingering {
            let going = std::mem::take(&mut *volumes.going.borrow_mut());
            going.into_iter().for_each(|broker| self.empty(broker));
        }
    }

    /// Has a broker have no volume, and none come; what it had is gone.
    pub fn lose_volume(&self, broker: i32) {
        self.kafka.volumes.lost.borrow_mut().insert(broker);
        self.take_down(broker);
    }

    /// Has a broker give up its volume, which goes with it; says whether it was not told before.
    pub fn give_up(&self, broker: i32) -> bool {
        if self.kafka.volumes.is_lingering.get() {
            return self.kafka.volumes.going.borrow_mut().insert(broker);
        }
        self.empty(broker);
        true
    }

    /// Has a broker start with an empty volume.
    pub fn empty(&self, broker: i32) {
        let mut given_up = self.kafka.volumes.given_up.borrow_mut();
        *given_up.entry(broker).or_default() += 1;
        self.fall_behind(broker, true);
        self.bring(broker, true);
    }
}

impl Kafka {
    pub(super) fn out_of_sync(&self) -> BTreeSet<i32> {
        &*self.down.borrow() | &*self.behind.borrow()
    }
}
