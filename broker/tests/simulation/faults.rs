//! The faults: crashes, power cuts, stops, disks that fail, stall or are full, clocks that jump,
//! networks that hold back, lose, delay and refuse.

mod aimed;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use ottla_broker::stream::simulated as network;
use ottla_storage::sim::Random;

use crate::cluster::{brokers, host, machines};
use crate::hosts::Hosts;
use crate::kinds::{AIMED, KINDS, Kind, PACES_MS, favourites};
use crate::links::{Ill, Link, Links};
use crate::world::{Shared, Slot, World};
use aimed::Aim;

/// The hosts of the clients.
pub const CLIENTS: [&str; 2] = ["producers", "consumers"];

/// How long it takes at most until the ends of a connection notice that something of it was lost.
const DEAD_CONNECTION_MS: u64 = 6000;

/// One run in so many has no faults at all.
const QUIET_ONE_IN: usize = 8;

/// Of the others, one in so many has nothing but processes that are asked to stop.
const PLANNED_ONE_IN: usize = 8;

/// One run in so many has a fault beside the others that is aimed.
const AIMED_ONE_IN: usize = 4;

/// One run in so many with other faults has requests that come late, too.
const LATE_REQUEST_ONE_IN: usize = 16;

/// How long those are apart.
const PLANNED_PAUSE_MS: u64 = 2000;

/// One fault in so many lasts longer by so much: others get along without whom it concerns.
const LONG_ONE_IN: usize = 10;
const LONG_MS: u64 = 9000;

/// Of so many pauses one is of several brokers.
const PAUSES_TOGETHER_ONE_IN: usize = 3;

/// What ends a fault.
#[derive(Clone, Debug)]
enum Undo {
    Start(usize),
    /// With which broker it began.
    Links(usize, Vec<Link>, Ill),
    Wake(usize),
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
    /// The only machine on whose disk bits turn over, and the only one that gets another disk. No
    /// run has both.
    rotting: usize,
    replaced: usize,
    aims: Vec<Aim>,
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
        let mut aimed = shared.random(15);
        if aimed.one_in(AIMED_ONE_IN) && kinds.iter().any(|kind| *kind != Kind::Stop) {
            kinds.push(AIMED[aimed.below(AIMED.len())]);
        }
        let has_others = kinds.iter().any(|kind| *kind != Kind::Stop);
        if shared.random(21).one_in(LATE_REQUEST_ONE_IN) && has_others {
            kinds.push(Kind::LateRequest);
        }
        if kinds.contains(&Kind::DiskReplaced) {
            kinds.retain(|kind| *kind != Kind::Rot);
        }
        let sought = shared.with(|world| world.sought);
        if let Some(wanted) = sought.and_then(favourites) {
            (kinds, pace_ms) = (wanted.kinds.to_vec(), wanted.pace_ms);
        }
        Self {
            shared: shared.clone(),
            rotting: shared.random(12).below(brokers()),
            replaced: shared.random(16).below(machines()),
            aims: Vec::new(),
            is_planned: kinds.iter().all(|kind| *kind == Kind::Stop),
            kinds,
            pace_ms,
            random,
            next_at: 0,
            undo: Vec::new(),
            is_up: vec![true; machines()],
            links: Links::default(),
            ailing: BTreeSet::new(),
            count: 0,
        }
    }

    /// Begins and ends what is due; called between two steps.
    pub fn act(&mut self, hosts: &mut Hosts) {
        let now = hosts.now_ms();
        self.supervise(hosts);
        self.aim(hosts, now);
        if now >= self.next_at && !self.kinds.is_empty() {
            self.begin(hosts, now);
            // clients feel it in this very step
            if !self.is_planned {
                self.shared.with(|world| world.faulted_ms = now);
            }
            self.next_at = now + 100 + self.random.below(self.pace_ms) as u64;
        }
    }

    /// Ends everything at once.
    pub fn heal(&mut self, hosts: &mut Hosts) {
        self.aims.clear();
        self.end_due(hosts, u64::MAX);
        self.shared
            .with(|world| world.machines.iter().for_each(|m| m.disk.heal()));
    }

    /// Starts processes again that ended by themselves, as their supervisor would.
    pub fn supervise(&mut self, hosts: &mut Hosts) {
        let now = hosts.now_ms();
        self.end_due(hosts, now);
        for node in 0..machines() {
            if self.is_up[node] && self.shared.with(|world| world.machines[node].has_ended) {
                let until = now + 50 + self.random.below(1000) as u64;
                self.crash(hosts, node, false, until);
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
        self.shared.with(|world| self.note_unwell(world, now));
    }

    /// Who may not answer, and where something is amiss.
    fn note_unwell(&self, world: &mut World, now: u64) {
        let is_any_ill = !self.links.are_well();
        for (node, machine) in world.machines.iter_mut().enumerate() {
            let ails = |what| self.ailing.contains(&(node, what));
            let mut clients = CLIENTS.iter();
            let is_cut =
                is_any_ill && clients.any(|client| !self.links.is_well(&host(node), client));
            let is_spoilt = |undo: &Undo| matches!(undo, Undo::Links(of, ..) if *of == node);
            let is_spoilt = self.undo.iter().any(|(_, undo)| is_spoilt(undo));
            let is_down = !self.is_up[node] || machine.has_ended || !machine.is_serving;
            let has_stopped = is_down || ails("pause") || ails("stop");
            if has_stopped || is_cut {
                machine.unwell_ms = now;
            }
            let is_amiss = self.ailing.iter().any(|(ailing, _)| *ailing == node);
            if has_stopped || is_amiss || is_spoilt {
                machine.note_amiss(now, now);
            }
        }
    }

    fn end_due(&mut self, hosts: &mut Hosts, now: u64) {
        let (due, left) = self.undo.drain(..).partition(|(at, _)| *at <= now);
        self.undo = left;
        for (_, undo) in due {
            match undo {
                Undo::Start(node) => self.start(hosts, node),
                Undo::Links(_, links, ill) => {
                    self.log(format_args!("no more {ill:?} {links:?}"));
                    for link in &links {
                        self.links.change(link, ill, false);
                    }
                }
                Undo::Wake(node) => self.set_paused(hosts, node, false),
                Undo::Unstall(node) => self.set_stalled(node, false),
                Undo::Empty(node) => self.set_full(node, false),
                Undo::Accept(node) => self.set_refusing(node, false),
            }
        }
    }

    fn begin(&mut self, hosts: &mut Hosts, now: u64) {
        self.count += 1;
        let node = self.random.below(machines());
        let is_long = self.random.one_in(LONG_ONE_IN);
        let until = now + 50 + self.random.below(4000) as u64;
        let until = if is_long { until + LONG_MS } else { until };
        match self.kinds[self.random.below(self.kinds.len())] {
            Kind::Kill => self.crash(hosts, node, false, until),
            Kind::Pause => self.begin_pauses(hosts, node, until),
            Kind::PowerCut => self.crash(hosts, node, true, until),
            Kind::PowerCutOfAll => {
                self.log(format_args!("power cut of all"));
                for node in 0..machines() {
                    let until = until.min(now + 1000) + self.random.below(500) as u64;
                    self.crash(hosts, node, true, until);
                }
            }
            Kind::SilentPowerCut => {
                self.spoil(node, links_of(node, true), Ill::Held, until);
                self.crash(hosts, node, true, until);
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
            Kind::Rot => self.rot(),
            Kind::Relay => self.begin_relay(now, until),
            Kind::Blink => self.blink(hosts, now),
            Kind::LeaderBeforeReturn => self.kill_leader_before_return(hosts, now),
            Kind::LateRequest => self.begin_late_request(now),
            Kind::DiskReplaced => self.replace_disk(hosts, until),
            Kind::ClockJumps => self.jump(node),
            Kind::Refusal => {
                self.set_refusing(node, true);
                self.undo.push((until, Undo::Accept(node)));
            }
            of_network => self.begin_on_network(now, of_network, node, until),
        }
    }

    /// As [`Self::begin`], of what is amiss with links.
    fn begin_on_network(&mut self, now: u64, kind: Kind, node: usize, until: u64) {
        let other = (node + 1) % machines();
        match kind {
            Kind::CutOff => self.spoil(node, links_of(node, true), Ill::Held, until),
            Kind::CutFromBrokers => {
                let long = until + 2000 + self.random.below(3000) as u64;
                self.spoil(node, links_of(node, false), Ill::Held, long);
            }
            Kind::CutBetweenTwo => {
                self.spoil(node, vec![(host(node), host(other))], Ill::Held, until);
            }
            Kind::Stutter => {
                let links = links_of(node, self.random.one_in(2));
                let short = now + 5 + self.random.below(300) as u64;
                self.spoil(node, links, Ill::Held, short);
            }
            Kind::OneWay => {
                let mut links = links_of(node, false);
                if self.random.one_in(2) {
                    links = links.into_iter().map(|(from, to)| (to, from)).collect();
                }
                self.spoil(node, links, Ill::Dropped, until);
            }
            Kind::Loss => {
                let short = now + 1 + self.random.below(40) as u64;
                self.spoil(node, vec![(host(node), host(other))], Ill::Dropped, short);
                self.spoil(node, vec![(host(other), host(node))], Ill::Dropped, short);
            }
            Kind::SlowLink => {
                let latency = Duration::from_millis(20 + self.random.below(400) as u64);
                self.spoil(
                    node,
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
        self.shared.with(|world| {
            let now = world.now_ms;
            if is_so {
                world.machines[node].begin_amiss(now);
            }
        });
        match is_so {
            true => self.ailing.insert((node, what)),
            false => self.ailing.remove(&(node, what)),
        };
    }

    /// Those of several begin and end at about the same time, as where a machine is overloaded.
    fn begin_pauses(&mut self, hosts: &mut Hosts, node: usize, until: u64) {
        let count = match self.random.one_in(PAUSES_TOGETHER_ONE_IN) {
            true => 2 + self.random.below(machines() - 1),
            false => 1,
        };
        for node in (node..node + count).map(|node| node % machines()) {
            if self.is_up[node] {
                self.set_paused(hosts, node, true);
                let until = until + self.random.below(200) as u64;
                self.undo.push((until, Undo::Wake(node)));
            }
        }
    }

    fn set_paused(&mut self, hosts: &mut Hosts, node: usize, is_paused: bool) {
        self.ail(node, "pause", is_paused);
        hosts.pause(&host(node), is_paused);
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
        network::refuse(&host(node), is_refusing);
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

    /// A bit of a segment that nothing is appended to any more, where there are other copies.
    fn rot(&mut self) {
        let slots: Vec<Slot> = Slot::all()
            .filter(|slot| slot.topic().factor >= 3)
            .collect();
        let slot = slots[self.random.below(slots.len())];
        let disk = self
            .shared
            .with(|world| world.machines[self.rotting].disk.clone());
        let is_of_slot = |dir: &Path| {
            dir.file_name()
                .is_some_and(|name| *name == *slot.to_string())
        };
        let mut segments = disk.files();
        segments.retain(|path| {
            path.extension().is_some_and(|ending| ending == "log")
                && path.parent().is_some_and(is_of_slot)
        });
        segments.pop();
        if segments.is_empty() {
            return;
        }
        let segment = &segments[self.random.below(segments.len())];
        let position = self.random.below(disk.length(segment).max(1));
        disk.flip_bit(segment, position, self.random.below(8) as u8);
        self.shared
            .with(|world| world.machines[self.rotting].has_rotted = true);
        let (node, segment) = (self.rotting, segment.display());
        self.log(format_args!(
            "a bit of {segment} at {position} turns over on {node}"
        ));
    }

    /// Up to an hour, there or back.
    fn jump(&mut self, node: usize) {
        let ahead_ms = self.random.below(7_200_000) as i64 - 3_600_000;
        self.log(format_args!("the clock of {node} is {ahead_ms} ms ahead"));
        self.shared
            .with(|world| world.machines[node].set_clock(ahead_ms));
    }

    fn crash(&mut self, hosts: &mut Hosts, node: usize, loses_power: bool, until: u64) {
        if !self.is_up[node] {
            return;
        }
        self.is_up[node] = false;
        self.ailing.remove(&(node, "stop"));
        self.ailing.remove(&(node, "pause"));
        let kind = if loses_power { "power cut" } else { "kill" };
        self.log(format_args!("{kind} of {node} until {until}"));
        hosts.crash(&host(node));
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

    fn start(&mut self, hosts: &mut Hosts, node: usize) {
        self.is_up[node] = true;
        self.shared
            .with(|world| world.machines[node].has_ended = false);
        hosts.start(&host(node));
    }

    /// Has something amiss with these links for a while.
    fn spoil(&mut self, node: usize, links: Vec<Link>, ill: Ill, until: u64) {
        self.log(format_args!("{ill:?} {links:?} until {until}"));
        self.shared.with(|world| {
            let now = world.now_ms;
            world.machines[node].begin_amiss(now);
        });
        if ill == Ill::Dropped {
            let noticed = until + DEAD_CONNECTION_MS;
            self.shared.with(|world| {
                world.disturbed_ms = world.disturbed_ms.max(noticed);
                let now = world.now_ms;
                world.machines[node].note_amiss(now, noticed);
            });
        }
        for link in &links {
            self.links.change(link, ill, true);
        }
        self.undo.push((until, Undo::Links(node, links, ill)));
    }
}

/// The links of a broker to the others, and to the clients where asked for.
fn links_of(node: usize, with_clients: bool) -> Vec<Link> {
    let others = (0..machines()).filter(|other| *other != node).map(host);
    let clients = CLIENTS
        .iter()
        .filter(|_| with_clients)
        .map(|client| (*client).to_owned());
    others
        .chain(clients)
        .map(|other| (host(node), other))
        .collect()
}
