//! What the simulation knows of all nodes and clients, and the trace of what happened.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use ottla_broker::api::Context;
use ottla_core::planted::{self, Planted};
use ottla_storage::sim::{Random, SimDisk};
use tokio::sync::watch;

use crate::checks::Checks;
use crate::links::LATENCY_MAX;
use crate::members::Members;
use crate::transactions::Told;

/// The brokers of a simulated cluster, of which a seed draws one.
const COUNTS: [usize; 4] = [3, 3, 4, 5];

/// The most that there are.
pub const BROKERS_MAX: usize = 5;

/// How many of them vote.
pub const VOTERS: usize = 3;

/// The brokers of this process's run.
static BROKERS: OnceLock<usize> = OnceLock::new();

/// How many brokers there are in this run.
pub fn brokers() -> usize {
    BROKERS.get().copied().unwrap_or(COUNTS[0])
}

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

/// In one run of so many old segments go.
const RETENTION_ONE_IN: usize = 4;

/// The time of day at the start, in milliseconds since 1970.
const UNIX_MS_AT_START: i64 = 1_700_000_000_000;

/// By how much the clocks of machines are apart at most.
const SKEWS_MS: usize = 5000;

/// What an ordinary commit takes at most, of which each machine's disk draws one.
const COMMIT_TIMES: [Duration; 3] = [
    Duration::from_millis(2),
    Duration::from_millis(8),
    Duration::from_millis(25),
];

/// A bug put in on purpose, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The disks answer a sync without having done anything.
    LazyFsync,
    /// The producers take an acknowledgement of the leader alone for one of the ISR.
    AckBeforeIsr,
    /// The leases of brokers never run out.
    EndlessLease,
    /// The producers send a batch again without a producer id to know it by.
    NoIdempotence,
    /// One in the broker's own code.
    Planted(Planted),
}

impl Bug {
    /// All there are: their names, and what each makes of the run.
    pub fn all() -> Vec<(&'static str, &'static str, Self)> {
        let around = [
            (
                "lazy-fsync",
                "the disks answer a sync without having done anything",
                Self::LazyFsync,
            ),
            (
                "ack-before-isr",
                "producers take an acknowledgement of the leader alone for one of the ISR",
                Self::AckBeforeIsr,
            ),
            (
                "endless-lease",
                "the leases of brokers never run out",
                Self::EndlessLease,
            ),
            (
                "no-idempotence",
                "producers send a batch again without a producer id to know it by",
                Self::NoIdempotence,
            ),
        ];
        let within = Planted::ALL.iter();
        let within = within.map(|(name, what, bug)| (*name, *what, Self::Planted(*bug)));
        around.into_iter().chain(within).collect()
    }

    /// Whether it takes transactions to find it.
    pub fn is_of_transactions(self) -> bool {
        use Planted::*;
        matches!(
            self,
            Self::Planted(
                CommittedIsStable
                    | MarkerAtOnce
                    | AbortedUntold
                    | UnverifiedTransaction
                    | EpochUnseen
                    | OngoingKept
                    | MarkersOrderedOnce
                    | OffsetsAtOnce
                    | UnstableOffsets
            )
        )
    }
}

/// One broker's machine: its disk outlives its process.
pub struct Machine {
    pub disk: SimDisk,
    /// Counts its processes.
    pub life: u64,
    /// What API handlers work with, while the process lives.
    pub context: Weak<Context>,
    /// The life and the entry of the metadata log up to which its image was checked.
    pub checked_image: (u64, u64),
    /// Whether the process has ended by itself.
    pub has_ended: bool,
    /// Asks the process to stop in order.
    pub stop: watch::Sender<bool>,
    /// How far its clock is ahead of the time of day.
    pub clock_ms: Arc<AtomicI64>,
}

impl Machine {
    /// Its clock is ahead by so much from now on.
    pub fn set_clock(&self, ahead_ms: i64) {
        self.clock_ms.store(ahead_ms, Ordering::Relaxed);
    }
}

/// Everything the tasks of one run share.
pub struct World {
    pub seed: u64,
    pub bug: Option<Bug>,
    pub machines: Vec<Machine>,
    pub checks: Checks,
    /// Producers finish what they have begun.
    pub is_ending: bool,
    /// The clients that are still at work.
    pub clients: BTreeSet<String>,
    /// The first thing found wrong.
    pub violation: Option<String>,
    /// Milliseconds since the start, as of the last step.
    pub now_ms: u64,
    /// What the members of the group were told.
    pub members: Members,
    /// What clients were told of their transactions.
    pub told: Told,
    /// Until when something was amiss with a machine, a link or a connection.
    pub disturbed_ms: u64,
    pub has_retention: bool,
    /// The same without processes that were asked to stop, one at a time.
    pub faulted_ms: u64,
    /// Whether partitions move to other brokers: a leader that is removed does not hand over.
    pub moves_replicas: bool,
    trace: u64,
    is_shown: bool,
}

/// A handle on the world; all of a run is one thread.
#[derive(Clone)]
pub struct Shared(Rc<RefCell<World>>);

impl Shared {
    pub fn new(seed: u64, bug: Option<Bug>) -> Self {
        if let Some(Bug::Planted(bug)) = bug {
            planted::plant(bug);
        }
        let mut random = Random::new(!seed);
        BROKERS.get_or_init(|| COUNTS[Random::new(seed ^ 0x5eed).below(COUNTS.len())]);
        let mut machine = |node: usize| {
            let disk = SimDisk::new(seed.wrapping_mul(31).wrapping_add(node as u64));
            disk.set_syncs_ignored(bug == Some(Bug::LazyFsync));
            disk.set_commit_time(COMMIT_TIMES[random.below(COMMIT_TIMES.len())]);
            Machine {
                disk,
                life: 0,
                context: Weak::new(),
                checked_image: (0, 0),
                has_ended: false,
                stop: watch::channel(false).0,
                clock_ms: Arc::new(AtomicI64::new(random.below(SKEWS_MS) as i64)),
            }
        };
        let shared = Self(Rc::new(RefCell::new(World {
            seed,
            bug,
            machines: (0..brokers()).map(&mut machine).collect(),
            checks: Checks::default(),
            is_ending: false,
            clients: BTreeSet::new(),
            violation: None,
            now_ms: 0,
            members: Members::default(),
            told: Told::default(),
            disturbed_ms: 0,
            faulted_ms: 0,
            moves_replicas: false,
            trace: 0xcbf2_9ce4_8422_2325,
            is_shown: std::env::var_os("SIM_TRACE").is_some(),
            has_retention: false,
        })));
        let has_retention = shared.random(8).one_in(RETENTION_ONE_IN);
        shared.with(|world| world.has_retention = has_retention);
        shared
    }

    /// The time of day of the simulation, in milliseconds since 1970.
    pub fn unix_ms(&self) -> i64 {
        UNIX_MS_AT_START + self.with(|world| world.now_ms) as i64
    }

    /// Does something with the world; never across an await.
    pub fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut self.0.borrow_mut())
    }

    /// A generator for one part of the run, apart from all others.
    pub fn random(&self, part: u64) -> Random {
        let seed = self.with(|world| world.seed);
        let mut random = Random::new(seed ^ part.wrapping_mul(0xd6e8_feb8_6659_fd93));
        random.next_u64();
        random
    }

    /// Whether the topic with traffic keeps little of it in this run.
    pub fn has_retention(&self) -> bool {
        self.with(|world| world.has_retention)
    }

    /// Notes that something happened, at the present time.
    pub fn trace(&self, what: fmt::Arguments<'_>) {
        self.with(|world| world.trace(what));
    }

    /// A client begins its work.
    pub fn join(&self, client: &str) {
        self.with(|world| world.clients.insert(client.to_owned()));
    }

    /// A client has done its work.
    pub fn leave(&self, client: &str) {
        self.with(|world| world.clients.remove(client));
    }

    /// Notes that something is wrong; the first thing counts.
    pub fn violate(&self, what: String) {
        self.with(|world| world.violate(what));
    }
}

/// How long what was amiss may still be felt: a lease ends, connections are found dead.
const AFTERMATH_MS: u64 = 5000;

/// How long a broker sends on what it gets for a partition that it has handed over, at least.
const FORWARDS_MS: u64 = 29_000;

/// How long a broker that stops serves clients after it has led last, at least.
const LINGER_MS: u64 = 100;

impl World {
    /// Whether a producer that asks this process is to see no error: leaderships are handed over
    /// and nothing else happens, the partition may lose a broker, and that process led it not long
    /// ago. Whoever comes later goes by metadata of the past.
    pub fn is_orderly(&mut self, slot: Slot, (node, life): (usize, u64), sent_ms: u64) -> bool {
        let now_ms = self.now_ms;
        let (led_life, led_ms) = self.checks.of(slot).led[node];
        // answers may be read long after they came
        let is_calm = sent_ms > self.faulted_ms + AFTERMATH_MS;
        let has_led = life == led_life && now_ms < led_ms + FORWARDS_MS;
        let factor = slot.topic().factor;
        let stays = factor == brokers() || !self.moves_replicas;
        is_calm && has_led && stays && factor >= 3
    }

    /// Whether this process has to answer what was sent to it then: it goes on, or it cannot have
    /// closed connections before that came. What crosses the end of one, nobody can answer.
    pub fn owes_answer(&mut self, slot: Slot, (node, life): (usize, u64), sent_ms: u64) -> bool {
        let machine = &self.machines[node];
        let stops = machine.life != life || machine.has_ended || *machine.stop.borrow();
        let (_, led_ms) = self.checks.of(slot).led[node];
        !stops || sent_ms + LATENCY_MAX.as_millis() as u64 + 1 < led_ms + LINGER_MS
    }

    pub fn trace(&mut self, what: fmt::Arguments<'_>) {
        let line = format!("{:>6} {what}", self.now_ms);
        if self.is_shown {
            eprintln!("{line}");
        }
        for byte in line.bytes().chain([b'\n']) {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub fn violate(&mut self, what: String) {
        self.trace(format_args!("VIOLATION {what}"));
        self.violation.get_or_insert(what);
    }

    /// What stands for everything that happened so far.
    pub fn hash(&self) -> u64 {
        self.trace
    }

    /// What API handlers of a live process work with.
    pub fn context(&self, node: usize) -> Option<Arc<Context>> {
        self.machines[node].context.upgrade()
    }
}

/// The name of a broker's host.
pub fn host(node: usize) -> String {
    format!("broker-{node}")
}
