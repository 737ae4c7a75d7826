//! The faults: crashes, power cuts, stops, disks that fail, stall or are full, clocks that jump,
//! networks that hold back, lose, delay and refuse.

use std::collections::BTreeSet;
use std::time::Duration;

use ottla_broker::stream;
use ottla_core::planted::Planted;
use ottla_storage::sim::Random;
use turmoil::Sim;

use crate::links::{Ill, Link, Links};
use crate::world::{Bug, Shared, brokers, host};

/// The hosts of the clients.
pub const CLIENTS: [&str; 2] = ["producers", "consumers"];

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A process dies, its machine does not.
    Kill,
    /// A machine loses what its disk had not synced.
    PowerCut,
    PowerCutOfAll,
    /// Nobody is told: the machine is gone before its connections are.
    SilentPowerCut,
    /// A process is asked to stop.
    Stop,
    /// A call to the disk fails, and all after it.
    DiskFails,
    /// No commit ends for a while.
    DiskStalls,
    /// Nothing that grows can be written.
    DiskFills,
    /// The time of day of one machine.
    ClockJumps,
    /// A broker is cut off from everybody.
    CutOff,
    /// A broker is cut off from the others, but not from clients, for longer than its lease lasts.
    CutFromBrokers,
    /// Two brokers do not hear each other.
    CutBetweenTwo,
    /// A network that stutters.
    Stutter,
    /// A broker is not heard, or does not hear.
    OneWay,
    /// Some of what two brokers say to each other is lost.
    Loss,
    /// One link has a long tail.
    SlowLink,
    /// A broker's port refuses new connections, while those that are open go on.
    Refusal,
}

/// All kinds; those that find most stand there twice.
const KINDS: [Kind; 19] = [
    Kind::Kill,
    Kind::Kill,
    Kind::PowerCut,
    Kind::PowerCut,
    Kind::PowerCutOfAll,
    Kind::SilentPowerCut,
    Kind::Stop,
    Kind::DiskFails,
    Kind::DiskStalls,
    Kind::DiskFills,
    Kind::ClockJumps,
    Kind::CutOff,
    Kind::CutFromBrokers,
    Kind::CutBetweenTwo,
    Kind::Stutter,
    Kind::OneWay,
    Kind::Loss,
    Kind::SlowLink,
    Kind::Refusal,
];

/// The longest time between two faults, of which a seed draws one: a cluster that is never whole
/// shows other bugs than one that has just become whole.
const PACES_MS: [usize; 4] = [600, 2000, 5000, 15_000];

/// What brings a planted bug out, where most runs do not: the kinds of faults, and their pace.
fn favourites(bug: Bug) -> Option<(&'static [Kind], usize)> {
    let planted = match bug {
        Bug::EndlessLease => return Some((&[Kind::CutFromBrokers], 5000)),
        Bug::Planted(planted) => planted,
        _ => return None,
    };
    Some(match planted {
        Planted::IdleLag => (&[], 5000),
        // tails that another leader has not
        Planted::EpochsAfterTruncation
        | Planted::HighWatermarkOfDiverging
        | Planted::ProducersNotTruncated
        | Planted::AnswerOfOldEpoch
        | Planted::StaleAlteration => (
            &[
                Kind::CutFromBrokers,
                Kind::Kill,
                Kind::OneWay,
                Kind::Stutter,
            ],
            2000,
        ),
        // leaders that follow each other before all have come to the last one's epoch
        Planted::LargestEpochIgnored | Planted::EarlyJoin => (
            &[
                Kind::Kill,
                Kind::SlowLink,
                Kind::Stutter,
                Kind::CutBetweenTwo,
            ],
            600,
        ),
        Planted::OutOfTurn => (&[Kind::DiskFills, Kind::Kill], 2000),
        // one is behind, and then alone with what it has
        Planted::UncommittedShrink | Planted::EligibleForGood => (
            &[Kind::DiskStalls, Kind::CutBetweenTwo, Kind::PowerCutOfAll],
            5000,
        ),
        Planted::LeaderRemoved => (&[Kind::SlowLink, Kind::Loss], 600),
        Planted::DrainKept | Planted::HastyHandOver => (&[Kind::Stop], 2000),
        Planted::UnseenLosses => (&[Kind::CutOff], 2000),
        Planted::LeaseFromAnswer => (&[Kind::CutFromBrokers, Kind::SlowLink], 2000),
        Planted::NoBarrier | Planted::LeaderRestored => (&[Kind::PowerCut, Kind::Kill], 600),
        Planted::HoldsFirst => (&[Kind::CutOff, Kind::CutFromBrokers], 2000),
        Planted::UnsyncedMetadata => (&[Kind::PowerCutOfAll, Kind::PowerCut], 2000),
        _ => return None,
    })
}

/// How long it takes at most until the ends of a connection notice that something of it was lost.
const DEAD_CONNECTION_MS: u64 = 6000;

/// One run in so many has no faults at all.
const QUIET_ONE_IN: usize = 8;

/// Of the others, one in so many has nothing but processes that are asked to stop.
const PLANNED_ONE_IN: usize = 8;

/// How long those are apart.
const PLANNED_PAUSE_MS: u64 = 2000;

/// What ends a fault.
#[derive(Clone, Debug)]
enum Undo {
    Start(usize),
    Links(Vec<Link>, Ill),
    Unstall(usize),
    Empty(usize),
    Accept(usize),
}

/// The faults of one run, drawn from its seed.
pub struct Faults {
    pub shared: Shared,
    random: Random,
    /// The kinds of this run: a few of all, so that not every run is like the next.
    kinds: Vec<Kind>,
    pace_ms: usize,
    next_at: u64,
    undo: Vec<(u64, Undo)>,
    is_up: Vec<bool>,
    links: Links,
    /// Machines whose disks stall or are full, whose ports refuse, or that were asked to stop.
    ailing: BTreeSet<(usize, &'static str)>,
    /// Processes are asked to stop, one after another, and that is all.
    is_planned: bool,
    pub count: usize,
}

impl Faults {
    pub fn new(shared: &Shared) -> Self {
        let mut random = shared.random(1);
        let count = 1 + random.below(KINDS.len() / 2);
        let mut kinds: Vec<Kind> = (0..count)
            .map(|_| KINDS[random.below(KINDS.len())])
            .collect();
        let mut pace_ms = PACES_MS[random.below(PACES_MS.len())];
        if random.one_in(QUIET_ONE_IN) {
            kinds.clear();
        } else if shared.random(3).one_in(PLANNED_ONE_IN) {
            kinds = vec![Kind::Stop];
        }
        let bug = shared.with(|world| world.bug);
        if let Some((favourites, pace)) = bug.and_then(favourites) {
            (kinds, pace_ms) = (favourites.to_vec(), pace);
        }
        Self {
            shared: shared.clone(),
            is_planned: kinds.iter().all(|kind| *kind == Kind::Stop),
            kinds,
            pace_ms,
            random,
            next_at: 0,
            undo: Vec::new(),
            is_up: vec![true; brokers()],
            links: Links::default(),
            ailing: BTreeSet::new(),
            count: 0,
        }
    }

    /// Begins and ends what is due; called between two steps.
    pub fn act(&mut self, sim: &mut Sim<'_>) {
        let now = sim.elapsed().as_millis() as u64;
        self.supervise(sim);
        if now >= self.next_at && !self.kinds.is_empty() {
            self.begin(sim, now);
            // clients feel it in this very step
            if !self.is_planned {
                self.shared.with(|world| world.faulted_ms = now);
            }
            self.next_at = now + 100 + self.random.below(self.pace_ms) as u64;
        }
    }

    /// Ends everything at once.
    pub fn heal(&mut self, sim: &mut Sim<'_>) {
        self.end_due(sim, u64::MAX);
        self.shared
            .with(|world| world.machines.iter().for_each(|m| m.disk.heal()));
    }

    /// Starts processes again that ended by themselves, as their supervisor would.
    pub fn supervise(&mut self, sim: &mut Sim<'_>) {
        let now = sim.elapsed().as_millis() as u64;
        self.end_due(sim, now);
        for node in 0..brokers() {
            if self.is_up[node] && self.shared.with(|world| world.machines[node].has_ended) {
                let until = now + 50 + self.random.below(1000) as u64;
                self.crash(sim, node, false, until);
            }
        }
        let is_well = self.links.are_well() && self.ailing.is_empty();
        if !is_well || self.is_up.contains(&false) {
            self.shared
                .with(|world| world.disturbed_ms = world.disturbed_ms.max(now));
            if !self.is_planned {
                self.shared.with(|world| world.faulted_ms = now);
            }
        }
    }

    fn end_due(&mut self, sim: &mut Sim<'_>, now: u64) {
        let (due, left) = self.undo.drain(..).partition(|(at, _)| *at <= now);
        self.undo = left;
        for (_, undo) in due {
            match undo {
                Undo::Start(node) => self.start(sim, node),
                Undo::Links(links, ill) => {
                    self.log(format_args!("no more {ill:?} {links:?}"));
                    for link in &links {
                        self.links.change(sim, link, ill, false);
                    }
                }
                Undo::Unstall(node) => self.set_stalled(node, false),
                Undo::Empty(node) => self.set_full(node, false),
                Undo::Accept(node) => self.set_refusing(node, false),
            }
        }
    }

    fn begin(&mut self, sim: &mut Sim<'_>, now: u64) {
        self.count += 1;
        let node = self.random.below(brokers());
        let until = now + 50 + self.random.below(4000) as u64;
        match self.kinds[self.random.below(self.kinds.len())] {
            Kind::Kill => self.crash(sim, node, false, until),
            Kind::PowerCut => self.crash(sim, node, true, until),
            Kind::PowerCutOfAll => {
                self.log(format_args!("power cut of all"));
                for node in 0..brokers() {
                    let until = until.min(now + 1000) + self.random.below(500) as u64;
                    self.crash(sim, node, true, until);
                }
            }
            Kind::SilentPowerCut => {
                self.spoil(sim, links_of(node, true), Ill::Held, until);
                self.crash(sim, node, true, until);
            }
            Kind::Stop if self.is_planned && !self.is_whole(now) => {}
            Kind::Stop => self.stop(node),
            Kind::DiskFails => {
                let calls = self.random.below(200) as u64;
                self.log(format_args!("the disk of {node} fails in {calls} calls"));
                self.shared
                    .with(|world| world.machines[node].disk.fail_after(calls));
            }
            Kind::DiskStalls => {
                self.set_stalled(node, true);
                self.undo.push((until, Undo::Unstall(node)));
            }
            Kind::DiskFills => {
                self.set_full(node, true);
                self.undo.push((until, Undo::Empty(node)));
            }
            Kind::ClockJumps => self.jump(node),
            Kind::Refusal => {
                self.set_refusing(node, true);
                self.undo.push((until, Undo::Accept(node)));
            }
            of_network => self.begin_on_network(sim, of_network, node, until),
        }
    }

    /// As [`Self::begin`], of what is amiss with links.
    fn begin_on_network(&mut self, sim: &mut Sim<'_>, kind: Kind, node: usize, until: u64) {
        let now = sim.elapsed().as_millis() as u64;
        let other = (node + 1) % brokers();
        match kind {
            Kind::CutOff => self.spoil(sim, links_of(node, true), Ill::Held, until),
            Kind::CutFromBrokers => {
                let long = until + 2000 + self.random.below(3000) as u64;
                self.spoil(sim, links_of(node, false), Ill::Held, long);
            }
            Kind::CutBetweenTwo => {
                self.spoil(sim, vec![(host(node), host(other))], Ill::Held, until);
            }
            Kind::Stutter => {
                let links = links_of(node, self.random.one_in(2));
                let short = now + 5 + self.random.below(300) as u64;
                self.spoil(sim, links, Ill::Held, short);
            }
            Kind::OneWay => {
                let mut links = links_of(node, false);
                if self.random.one_in(2) {
                    links = links.into_iter().map(|(from, to)| (to, from)).collect();
                }
                self.spoil(sim, links, Ill::Dropped, until);
            }
            Kind::Loss => {
                let short = now + 1 + self.random.below(40) as u64;
                self.spoil(sim, vec![(host(node), host(other))], Ill::Dropped, short);
                self.spoil(sim, vec![(host(other), host(node))], Ill::Dropped, short);
            }
            Kind::SlowLink => {
                let latency = Duration::from_millis(20 + self.random.below(400) as u64);
                self.spoil(
                    sim,
                    vec![(host(node), host(other))],
                    Ill::Slow(latency),
                    until,
                );
            }
            of_machine => unreachable!("{of_machine:?} is no matter of links"),
        }
    }

    fn log(&self, what: std::fmt::Arguments<'_>) {
        self.shared.trace(format_args!("fault: {what}"));
    }

    fn ail(&mut self, node: usize, what: &'static str, is_so: bool) {
        self.log(format_args!("{what} of {node}: {is_so}"));
        match is_so {
            true => self.ailing.insert((node, what)),
            false => self.ailing.remove(&(node, what)),
        };
    }

    fn set_stalled(&mut self, node: usize, is_stalled: bool) {
        self.ail(node, "stalled disk", is_stalled);
        self.shared
            .with(|world| world.machines[node].disk.set_stalled(is_stalled));
    }

    fn set_full(&mut self, node: usize, is_full: bool) {
        self.ail(node, "full disk", is_full);
        self.shared
            .with(|world| world.machines[node].disk.set_full(is_full));
    }

    fn set_refusing(&mut self, node: usize, is_refusing: bool) {
        self.ail(node, "refusing port", is_refusing);
        stream::refuse(&host(node), is_refusing);
    }

    /// Whether everything is up and has been for a while: a replica that comes back is in sync.
    fn is_whole(&self, now: u64) -> bool {
        let disturbed = self.shared.with(|world| world.disturbed_ms);
        now > disturbed + PLANNED_PAUSE_MS
    }

    fn stop(&mut self, node: usize) {
        self.ail(node, "stop", true);
        self.shared
            .with(|world| world.machines[node].stop.send_replace(true));
    }

    /// Up to an hour, there or back.
    fn jump(&mut self, node: usize) {
        let ahead_ms = self.random.below(7_200_000) as i64 - 3_600_000;
        self.log(format_args!("the clock of {node} is {ahead_ms} ms ahead"));
        self.shared
            .with(|world| world.machines[node].set_clock(ahead_ms));
    }

    fn crash(&mut self, sim: &mut Sim<'_>, node: usize, loses_power: bool, until: u64) {
        if !self.is_up[node] {
            return;
        }
        self.is_up[node] = false;
        self.ailing.remove(&(node, "stop"));
        let kind = if loses_power { "power cut" } else { "kill" };
        self.log(format_args!("{kind} of {node} until {until}"));
        sim.crash(host(node));
        self.shared.with(|world| {
            let machine = &mut world.machines[node];
            machine.context = std::sync::Weak::new();
            if loses_power {
                machine.disk.crash();
            } else {
                machine.disk.kill();
            }
        });
        self.undo.push((until, Undo::Start(node)));
    }

    fn start(&mut self, sim: &mut Sim<'_>, node: usize) {
        self.is_up[node] = true;
        self.shared
            .with(|world| world.machines[node].has_ended = false);
        sim.bounce(host(node));
    }

    /// Has something amiss with these links for a while.
    fn spoil(&mut self, sim: &mut Sim<'_>, links: Vec<Link>, ill: Ill, until: u64) {
        self.log(format_args!("{ill:?} {links:?} until {until}"));
        if ill == Ill::Dropped {
            let noticed = until + DEAD_CONNECTION_MS;
            self.shared
                .with(|world| world.disturbed_ms = world.disturbed_ms.max(noticed));
        }
        for link in &links {
            self.links.change(sim, link, ill, true);
        }
        self.undo.push((until, Undo::Links(links, ill)));
    }
}

/// The links of a broker to the others, and to the clients where asked for.
fn links_of(node: usize, with_clients: bool) -> Vec<Link> {
    let others = (0..brokers()).filter(|other| *other != node).map(host);
    let clients = CLIENTS
        .iter()
        .filter(|_| with_clients)
        .map(|client| (*client).to_owned());
    others
        .chain(clients)
        .map(|other| (host(node), other))
        .collect()
}
