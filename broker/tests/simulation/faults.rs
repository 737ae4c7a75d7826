//! The faults: crashes, power cuts, stops, disks that fail or stall, networks that hold everything
//! back.
//!
//! A cut network holds packets instead of dropping them, as TCP does for its users: a connection
//! that outlives the cut goes on, whoever gave it up has to notice the other end's reset.

use std::collections::BTreeMap;

use ottla_storage::sim::Random;
use turmoil::Sim;

use crate::world::{BROKERS, Bug, Shared, host};

/// The hosts of the clients.
pub const CLIENTS: [&str; 2] = ["producers", "consumers"];

/// What ends a fault.
#[derive(Clone, Debug)]
enum Undo {
    Start(usize),
    Release(Vec<(String, String)>),
    Unstall(usize),
}

/// How many kinds of faults there are.
const KINDS: usize = 13;

/// The kind that cuts a broker off from the others, but not from clients.
const CUT_FROM_BROKERS: usize = 9;

/// The longest time between two faults, of which a seed draws one: a cluster that is never whole
/// shows other bugs than one that has just become whole.
const PACES_MS: [usize; 3] = [600, 2000, 5000];

/// The faults of one run, drawn from its seed.
pub struct Faults {
    pub shared: Shared,
    random: Random,
    /// The kinds of this run: a few of all, so that not every run is like the next.
    kinds: Vec<usize>,
    pace_ms: usize,
    next_at: u64,
    undo: Vec<(u64, Undo)>,
    is_up: [bool; BROKERS],
    held: BTreeMap<(String, String), usize>,
    pub count: usize,
}

impl Faults {
    pub fn new(shared: &Shared) -> Self {
        let mut random = shared.random(1);
        let count = 1 + random.below(KINDS / 2);
        let mut kinds: Vec<usize> = (0..count).map(|_| random.below(KINDS)).collect();
        let mut pace_ms = PACES_MS[random.below(PACES_MS.len())];
        if shared.with(|world| world.bug) == Some(Bug::EndlessLease) {
            (kinds, pace_ms) = (vec![CUT_FROM_BROKERS], PACES_MS[2]);
        }
        Self {
            shared: shared.clone(),
            kinds,
            pace_ms,
            random,
            next_at: 0,
            undo: Vec::new(),
            is_up: [true; BROKERS],
            held: BTreeMap::new(),
            count: 0,
        }
    }

    /// Begins and ends what is due; called between two steps.
    pub fn act(&mut self, sim: &mut Sim<'_>) {
        let now = sim.elapsed().as_millis() as u64;
        self.supervise(sim);
        if now >= self.next_at {
            self.begin(sim, now);
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
        for node in 0..BROKERS {
            if self.is_up[node] && self.shared.with(|world| world.machines[node].has_ended) {
                let until = now + 50 + self.random.below(1000) as u64;
                self.crash(sim, node, false, until);
            }
        }
    }

    fn end_due(&mut self, sim: &mut Sim<'_>, now: u64) {
        let (due, left) = self.undo.drain(..).partition(|(at, _)| *at <= now);
        self.undo = left;
        for (_, undo) in due {
            match undo {
                Undo::Start(node) => self.start(sim, node),
                Undo::Release(links) => self.release(sim, &links),
                Undo::Unstall(node) => self.set_stalled(node, false),
            }
        }
    }

    fn begin(&mut self, sim: &mut Sim<'_>, now: u64) {
        self.count += 1;
        let node = self.random.below(BROKERS);
        let until = now + 50 + self.random.below(4000) as u64;
        match self.kinds[self.random.below(self.kinds.len())] {
            0 | 1 => self.crash(sim, node, false, until),
            2 | 3 => self.crash(sim, node, true, until),
            4 => {
                self.log(format_args!("power cut of all"));
                for node in 0..BROKERS {
                    let until = until.min(now + 1000) + self.random.below(500) as u64;
                    self.crash(sim, node, true, until);
                }
            }
            5 => self.silent_power_cut(sim, node, until),
            6 => {
                self.log(format_args!("stop of {node}"));
                self.shared
                    .with(|world| world.machines[node].stop.send_replace(true));
            }
            7 => {
                let calls = self.random.below(200) as u64;
                self.log(format_args!("the disk of {node} fails in {calls} calls"));
                self.shared
                    .with(|world| world.machines[node].disk.fail_after(calls));
            }
            8 => self.cut(sim, &Self::links(node, true), until),
            CUT_FROM_BROKERS => {
                // clients still reach it, for longer than its lease lasts
                let long = until + 2000 + self.random.below(3000) as u64;
                self.cut(sim, &Self::links(node, false), long);
            }
            10 => {
                self.set_stalled(node, true);
                self.undo.push((until, Undo::Unstall(node)));
            }
            11 => {
                let other = (node + 1) % BROKERS;
                self.cut(sim, &[(host(node), host(other))], until);
            }
            _ => {
                let links = Self::links(node, self.random.one_in(2));
                let short = now + 5 + self.random.below(300) as u64;
                self.cut(sim, &links, short);
            }
        }
    }

    /// The links of a broker to the others, and to the clients where asked for.
    fn links(node: usize, with_clients: bool) -> Vec<(String, String)> {
        let others = (0..BROKERS).filter(|other| *other != node).map(host);
        let clients = CLIENTS
            .iter()
            .filter(|_| with_clients)
            .map(|c| (*c).to_owned());
        others
            .chain(clients)
            .map(|other| (host(node), other))
            .collect()
    }

    fn log(&self, what: std::fmt::Arguments<'_>) {
        self.shared.trace(format_args!("fault: {what}"));
    }

    fn set_stalled(&self, node: usize, is_stalled: bool) {
        let what = if is_stalled { "stalls" } else { "goes on" };
        self.log(format_args!("the disk of {node} {what}"));
        self.shared
            .with(|world| world.machines[node].disk.set_stalled(is_stalled));
    }

    fn crash(&mut self, sim: &mut Sim<'_>, node: usize, loses_power: bool, until: u64) {
        if !self.is_up[node] {
            return;
        }
        self.is_up[node] = false;
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

    /// Nobody is told: the machine is gone before its connections are.
    fn silent_power_cut(&mut self, sim: &mut Sim<'_>, node: usize, until: u64) {
        let links = Self::links(node, true);
        self.cut(sim, &links, until);
        self.crash(sim, node, true, until);
    }

    fn start(&mut self, sim: &mut Sim<'_>, node: usize) {
        self.is_up[node] = true;
        self.shared
            .with(|world| world.machines[node].has_ended = false);
        sim.bounce(host(node));
    }

    fn cut(&mut self, sim: &mut Sim<'_>, links: &[(String, String)], until: u64) {
        self.log(format_args!("cut of {links:?} until {until}"));
        for link in links {
            *self.held.entry(link.clone()).or_default() += 1;
            sim.hold(link.0.as_str(), link.1.as_str());
        }
        self.undo.push((until, Undo::Release(links.to_vec())));
    }

    fn release(&mut self, sim: &mut Sim<'_>, links: &[(String, String)]) {
        for link in links {
            let holds = self.held.entry(link.clone()).or_default();
            *holds -= 1;
            if *holds == 0 {
                sim.release(link.0.as_str(), link.1.as_str());
            }
        }
        self.log(format_args!("healed {links:?}"));
    }
}
