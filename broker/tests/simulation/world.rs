//! What the simulation knows of all nodes and clients, and the trace of what happened.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use ottla_broker::api::Context;
use ottla_broker::replica::Inspected;
use ottla_core::planted;
use ottla_protocol::api::ApiKey;
use ottla_storage::sim::{Random, SimDisk};
use tokio::sync::watch;

pub use crate::bugs::Bug;
use crate::checks::Checks;
use crate::cluster::{self, brokers, machines};
use crate::decided::Decided;
use crate::hosts::STEP_MS;
use crate::links::LATENCY_MAX;
use crate::members::Members;
pub use crate::topics::{BUSY, IDLE, Slot, TOPICS};
use crate::transactions::Told;

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

/// One machine: its disk outlives its process.
pub struct Machine {
    pub disk: SimDisk,
    /// Counts its processes.
    pub life: u64,
    /// What API handlers work with, while the process lives.
    pub context: Weak<Context>,
    /// What was seen of its replicas last, by slot, and in which life; where there is a process
    /// to be seen, also up to which change of them.
    pub seen: Vec<Option<Inspected>>,
    pub seen_life: u64,
    pub looked: Option<u64>,
    /// Whether the process has come so far that it serves, and whether it has ended by itself.
    pub is_serving: bool,
    pub has_ended: bool,
    /// When it was last that not all clients had a way to a process that serves.
    pub unwell_ms: u64,
    /// Until when something was amiss with it or, where that began with it, with its links.
    pub disturbed_ms: u64,
    /// Since when there was no moment without, and nothing came to it.
    pub amiss_since_ms: u64,
    /// Whether bits of it have turned over: replicas on it are emptied, and filled again.
    pub has_rotted: bool,
    /// Asks the process to stop in order.
    pub stop: watch::Sender<bool>,
    /// Whether it got an empty disk: then it has not what it once told.
    pub is_replaced: bool,
    /// How far its clock is ahead of the time of day.
    pub clock_ms: Arc<AtomicI64>,
}

impl Machine {
    /// Something is amiss with it now, and is felt until then.
    pub fn note_amiss(&mut self, now_ms: u64, until_ms: u64) {
        if self.disturbed_ms + STEP_MS < now_ms {
            self.amiss_since_ms = now_ms;
        }
        self.disturbed_ms = self.disturbed_ms.max(until_ms);
    }

    /// Something new is amiss with it: how long that may be felt counts from now.
    pub fn begin_amiss(&mut self, now_ms: u64) {
        self.note_amiss(now_ms, now_ms);
        self.amiss_since_ms = now_ms;
    }

    /// Its clock is ahead by so much from now on.
    pub fn set_clock(&self, ahead_ms: i64) {
        self.clock_ms.store(ahead_ms, Ordering::Relaxed);
    }
}

/// Everything the tasks of one run share.
pub struct World {
    pub seed: u64,
    /// The bug that was put in.
    pub bug: Option<Bug>,
    /// The one that the surroundings are to bring out, put in or not.
    pub sought: Option<Bug>,
    pub machines: Vec<Machine>,
    pub checks: Checks,
    /// What the quorum has decided, as brokers show it.
    pub decided: Decided,
    /// Producers finish what they have begun.
    pub is_ending: bool,
    /// The clients that are still at work.
    pub clients: BTreeSet<String>,
    /// The first thing found wrong.
    pub violation: Option<String>,
    /// Milliseconds since the start, as of the last step.
    pub now_ms: u64,
    /// When the replicas were looked at last.
    pub looked_ms: u64,
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
    /// A run of this seed, with what brings a bug out that is sought, `is_planted` or not.
    pub fn new(seed: u64, sought: Option<Bug>, is_planted: bool) -> Self {
        let bug = sought.filter(|_| is_planted);
        if let Some(Bug::Planted(bug)) = bug {
            planted::plant(bug);
        }
        let mut random = Random::new(!seed);
        cluster::draw(seed, sought);
        let mut machine = |node: usize| {
            let disk = SimDisk::new(seed.wrapping_mul(31).wrapping_add(node as u64));
            disk.set_syncs_ignored(bug == Some(Bug::LazyFsync));
            disk.set_commit_time(COMMIT_TIMES[random.below(COMMIT_TIMES.len())]);
            Machine {
                disk,
                life: 0,
                context: Weak::new(),
                seen: Slot::all().map(|_| None).collect(),
                seen_life: 0,
                looked: None,
                is_serving: false,
                has_ended: false,
                unwell_ms: 0,
                disturbed_ms: 0,
                amiss_since_ms: 0,
                has_rotted: false,
                stop: watch::channel(false).0,
                is_replaced: false,
                clock_ms: Arc::new(AtomicI64::new(random.below(SKEWS_MS) as i64)),
            }
        };
        let shared = Self(Rc::new(RefCell::new(World {
            seed,
            bug,
            sought,
            machines: (0..machines()).map(&mut machine).collect(),
            checks: Checks::default(),
            decided: Decided::default(),
            is_ending: false,
            clients: BTreeSet::new(),
            violation: None,
            now_ms: 0,
            looked_ms: 0,
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

/// How long after that nobody waits in vain any more, and how long after all that one broker does
/// may others still wait for it: twice the lag limit, and some more.
const PEACE_MS: u64 = 15_000;
const BEARABLE_MS: u64 = 7000;

/// How long what crosses a link takes there and back, by far.
const CROSSING_MS: u64 = 50;

/// How long what was amiss may still be felt: a lease ends, connections are found dead, and a fetch
/// whose answer was lost is given up after 5.5 s.
const AFTERMATH_MS: u64 = 7000;

/// How long a broker sends on what it gets for a partition that it has handed over, at least.
const FORWARDS_MS: u64 = 29_000;

/// How long a broker that stops serves clients after it has led last, at least.
const LINGER_MS: u64 = 100;

impl World {
    /// Whether a producer that asks this process is to see no error: leaderships are handed over
    /// and nothing else happens, or has when that process led last, the partition may lose a
    /// broker, and that was not long ago. Whoever comes later goes by metadata of the past.
    pub fn is_orderly(&self, slot: Slot, (node, life): (usize, u64), sent_ms: u64) -> bool {
        let now_ms = self.now_ms;
        let (led_life, led_ms) = self.led(slot, node);
        // answers may be read long after they came
        let is_calm = sent_ms.min(led_ms) > self.faulted_ms + AFTERMATH_MS;
        let has_led = life == led_life && now_ms < led_ms + FORWARDS_MS;
        let factor = slot.topic().factor;
        let stays = factor == brokers() || !self.moves_replicas;
        is_calm && has_led && stays && factor >= 3
    }

    /// Whether this process has to answer what was sent to it then: it goes on, or it cannot have
    /// closed connections before that came. What crosses the end of one, nobody can answer.
    pub fn owes_answer(&self, slot: Slot, (node, life): (usize, u64), sent_ms: u64) -> bool {
        let machine = &self.machines[node];
        let stops = machine.life != life || machine.has_ended || *machine.stop.borrow();
        let (_, led_ms) = self.led(slot, node);
        !stops || sent_ms + LATENCY_MAX.as_millis() as u64 + 1 < led_ms + LINGER_MS
    }

    /// A request was answered now, or still is not: a broker that works answers in time, also
    /// where it can do nothing.
    pub fn check_answered(
        &mut self,
        (node, life): (usize, u64),
        api: ApiKey,
        sent_ms: u64,
        limit_ms: u64,
    ) {
        let machine = &self.machines[node];
        let is_well = machine.life == life && machine.unwell_ms < sent_ms;
        let took_ms = self.now_ms - sent_ms;
        if is_well && took_ms > limit_ms + CROSSING_MS {
            self.violate(format!(
                "Unanswered: {api:?} at broker {node}, sent at {sent_ms}, has no answer for \
                 {took_ms} ms"
            ));
        }
    }

    /// A producer with acks=all was told that its time is over. Not where nothing was amiss for
    /// long, nor where only one broker was and the partition kept its leader meanwhile.
    pub fn timed_out(&mut self, slot: Slot, node: usize, value: &str, sent_ms: u64) {
        let is_calm = |amiss_ms: u64, calm_ms: u64| amiss_ms + calm_ms < sent_ms;
        let disturbed_ms = self.disturbed_ms;
        if is_calm(disturbed_ms, PEACE_MS) {
            self.violate(format!(
                "TimedOutInPeace: {slot} {value} at {node}, sent at {sent_ms}, nothing was amiss \
                 since {disturbed_ms}"
            ));
        }
        let machines = self.machines.iter().enumerate();
        let Some((one, machine)) = machines.max_by_key(|(_, machine)| machine.disturbed_ms) else {
            return;
        };
        let others = self.machines.iter().enumerate().filter(|(n, _)| *n != one);
        let others_ms = others.map(|(_, m)| m.disturbed_ms).max().unwrap_or(0);
        let is_long_amiss = machine.disturbed_ms + STEP_MS >= self.now_ms
            && is_calm(machine.amiss_since_ms, BEARABLE_MS);
        let leads_since_ms = self.checks.seen(slot).leads_since_ms;
        let is_bearable = is_long_amiss
            && is_calm(others_ms, BEARABLE_MS)
            && is_calm(leads_since_ms, BEARABLE_MS);
        if is_bearable && slot.topic().factor >= 3 && !self.moves_replicas {
            self.violate(format!(
                "NoProgressWithoutOne: {slot} {value} at {node}, sent at {sent_ms}, nothing was \
                 amiss but with broker {one} since {others_ms}"
            ));
        }
    }

    /// When a machine led the partition last, in which life.
    fn led(&self, slot: Slot, node: usize) -> (u64, u64) {
        let machine = &self.machines[node];
        match &machine.seen[slot.index()] {
            Some(seen) if seen.is_leader => (machine.seen_life, self.looked_ms),
            Some(_) | None => self.checks.seen(slot).led[node],
        }
    }

    /// Tells how the replicas of a partition were seen last, for who looks into a violation.
    pub fn trace_replicas(&mut self, slot: Slot) {
        for node in 0..brokers() {
            let machine = &self.machines[node];
            let (life, seen) = (machine.seen_life, &machine.seen[slot.index()]);
            let what = format!("{slot} on broker {node} in life {life}: {seen:?}");
            self.trace(format_args!("{what}"));
        }
    }

    pub fn trace(&mut self, what: fmt::Arguments<'_>) {
        let now_ms = self.now_ms;
        if self.is_shown {
            eprintln!("{now_ms:>6} {what}");
        }
        let hashed = writeln!(Hasher(&mut self.trace), "{now_ms:>6} {what}");
        hashed.expect("a hash takes everything");
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

/// Takes text into a hash, where it is made.
struct Hasher<'a>(&'a mut u64);

impl fmt::Write for Hasher<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            *self.0 = (*self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}
