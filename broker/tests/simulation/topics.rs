//! The topics that clients write to and read, and their partitions.

use std::fmt;

/// A topic that clients write to and read.
pub struct Topic {
    pub name: &'static str,
    pub partitions: i32,
    pub factor: usize,
}

/// The topic with traffic.
pub const BUSY: &str = "busy";

/// The topic that is written to now and then, with more than the lag limit between.
pub const IDLE: &str = "idle";

/// All of them.
pub const TOPICS: [Topic; 4] = [
    Topic {
        name: BUSY,
        partitions: 2,
        factor: 3,
    },
    Topic {
        name: IDLE,
        partitions: 6,
        factor: 3,
    },
    Topic {
        name: "pair",
        partitions: 1,
        factor: 2,
    },
    Topic {
        name: "single",
        partitions: 1,
        factor: 1,
    },
];

/// One partition of one of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(usize);

impl Slot {
    /// All there are.
    pub fn all() -> impl Iterator<Item = Self> + Clone {
        let count = TOPICS.iter().map(|topic| topic.partitions as usize).sum();
        (0..count).map(Self)
    }

    /// All of one topic.
    pub fn of_topic(name: &str) -> impl Iterator<Item = Self> + Clone {
        Self::all().filter(move |slot| slot.topic().name == name)
    }

    /// The slot of a partition that a broker holds; none where no client writes to it.
    pub fn find(topic: &str, partition: i32) -> Option<Self> {
        Self::of_topic(topic).find(|slot| slot.partition() == partition)
    }

    /// Its place among all.
    pub fn index(self) -> usize {
        self.0
    }

    fn place(self) -> (&'static Topic, i32) {
        let mut left = self.0 as i32;
        for topic in &TOPICS {
            if left < topic.partitions {
                return (topic, left);
            }
            left -= topic.partitions;
        }
        unreachable!("a slot is a partition of a topic")
    }

    pub fn topic(self) -> &'static Topic {
        self.place().0
    }

    pub fn partition(self) -> i32 {
        self.place().1
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic().name, self.partition())
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
