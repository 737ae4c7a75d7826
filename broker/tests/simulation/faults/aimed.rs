//! Faults that go by what the cluster is doing: who leads, who is the active controller, who has
//! just come back.

use super::{Faults, Undo};
use crate::cluster::{host, machines, voters};
use crate::hosts::Hosts;
use crate::links::{Ill, Link};
use crate::node::LAG_MAX;
use crate::world::{BUSY, Slot, World};

/// How long who leads a partition is looked for.
const LOOK_MS: u64 = 1500;

/// How long a leader is held apart from the active controller: that it is fenced, and less than
/// what it asks for in one call waits.
const APART_MS: u64 = 4500;

/// What is to happen, once it can.
#[derive(Clone, Debug)]
pub(super) struct Aim {
    /// From when on, and until when at the latest.
    at: u64,
    limit: u64,
    slot: Slot,
    deed: Deed,
}

/// What happens to whoever leads a partition.
#[derive(Clone, Debug)]
enum Deed {
    /// It dies, and comes back then.
    Kill { until: u64 },
    /// If it is this one still, it and the active controller do not hear each other.
    Part { leader: usize },
    /// Once it is another than this one, what the link has held back arrives, after so long.
    Release {
        leader: usize,
        link: Link,
        after_ms: u64,
    },
}

impl World {
    /// Who leads a partition, by its own word, in the newest epoch that there is.
    fn leader_of(&self, slot: Slot) -> Option<usize> {
        let machines = self.machines.iter().enumerate();
        let leaders = machines.filter_map(|(node, machine)| {
            let seen = machine.seen[slot.index()].as_ref()?;
            seen.is_leader.then_some((seen.leader_epoch, node))
        });
        leaders.max().map(|(_, node)| node)
    }

    /// Who is the active controller, by its own word.
    fn active_controller(&self) -> Option<usize> {
        let is_active = |node: &usize| {
            self.context(*node)
                .is_some_and(|context| context.controller.is_active())
        };
        (0..machines()).find(is_active)
    }

    /// The machines that hold a partition by the newest metadata.
    fn holders(&self, slot: Slot) -> Vec<usize> {
        let replicas = self.decided.replicas(slot).iter();
        replicas.map(|node| node.0 as usize).collect()
    }
}

impl Faults {
    /// Carries out what can be.
    pub(super) fn aim(&mut self, hosts: &mut Hosts, now: u64) {
        for aim in std::mem::take(&mut self.aims) {
            let leader = self.shared.with(|world| world.leader_of(aim.slot));
            let is_due = |leader: &usize| match aim.deed {
                Deed::Release { leader: past, .. } => *leader != past,
                Deed::Kill { .. } | Deed::Part { .. } => now >= aim.at && self.is_up[*leader],
            };
            match leader.filter(is_due) {
                Some(leader) => self.carry_out(hosts, now, aim, leader),
                None if now < aim.limit => self.aims.push(aim),
                None => {}
            }
        }
    }

    fn carry_out(&mut self, hosts: &mut Hosts, now: u64, aim: Aim, leader: usize) {
        match aim.deed {
            Deed::Kill { until } => self.crash(hosts, leader, false, until.max(now + 50)),
            Deed::Part { leader: meant } if meant == leader => self.part(aim.slot, now, leader),
            Deed::Part { .. } => {}
            Deed::Release { link, after_ms, .. } => self.release(&link, now + after_ms),
        }
    }

    fn kill_leader(&mut self, slot: Slot, at: u64, until: u64) {
        self.aims.push(Aim {
            at,
            limit: at + LOOK_MS,
            slot,
            deed: Deed::Kill { until },
        });
    }

    /// A leader that is another than the active controller loses sight of a follower, and of the
    /// controller just before it would say so. The controller hears of it once another leads.
    pub(super) fn begin_late_request(&mut self, now: u64) {
        let is_parting = |aim: &Aim| !matches!(aim.deed, Deed::Kill { .. });
        if self.aims.iter().any(is_parting) {
            return;
        }
        let active = self.shared.with(|world| world.active_controller());
        let found = Slot::of_topic(BUSY).find_map(|slot| {
            let leader = self.shared.with(|world| world.leader_of(slot))?;
            let holders = self.shared.with(|world| world.holders(slot));
            let mut others = holders.into_iter();
            let follower = others.find(|node| *node != leader && Some(*node) != active)?;
            (Some(leader) != active).then_some((slot, leader, follower))
        });
        let Some((slot, leader, follower)) = found else {
            return;
        };
        let lag_ms = LAG_MAX.as_millis() as u64;
        let until = now + lag_ms + 1000 + self.random.below(2000) as u64;
        let link = (host(leader), host(follower));
        self.spoil(leader, vec![link], Ill::Held, until);
        let at = now + lag_ms - self.random.below(700) as u64;
        self.aims.push(Aim {
            at,
            limit: at + 1,
            slot,
            deed: Deed::Part { leader },
        });
    }

    fn part(&mut self, slot: Slot, now: u64, leader: usize) {
        let active = self.shared.with(|world| world.active_controller());
        let Some(active) = active.filter(|active| *active != leader) else {
            return;
        };
        let link = (host(leader), host(active));
        let limit = now + APART_MS;
        self.spoil(leader, vec![link.clone()], Ill::Held, limit);
        let after_ms = self.random.below(1000) as u64;
        self.aims.push(Aim {
            at: now,
            limit,
            slot,
            deed: Deed::Release {
                leader,
                link,
                after_ms,
            },
        });
    }

    /// What this link alone holds back arrives then, and not later.
    fn release(&mut self, link: &Link, at: u64) {
        let own = std::slice::from_ref(link);
        let is_held = |undo: &Undo| matches!(undo, Undo::Links(_, of, Ill::Held) if of == own);
        for (until, _) in self.undo.iter_mut().filter(|(_, undo)| is_held(undo)) {
            *until = at.min(*until);
        }
    }

    /// The partition whose replicas can die without the quorum: one voter at most is among them.
    fn apart_from_quorum(&self) -> Option<Slot> {
        let few_voters = |slot: &Slot| {
            let holders = self.shared.with(|world| world.holders(*slot));
            let voters = holders
                .iter()
                .filter(|node| voters().contains(*node))
                .count();
            holders.len() >= 3 && voters <= 1
        };
        Slot::of_topic(BUSY).find(few_voters)
    }

    pub(super) fn begin_relay(&mut self, now: u64, until: u64) {
        let Some(slot) = self.apart_from_quorum() else {
            let slot = Slot::of_topic(BUSY).next().expect("there is one");
            return self.kill_leader(slot, now, until);
        };
        // who comes back first: often the one that led in the middle
        let order = match self.random.below(4) {
            0 | 1 => [1, 0, 2],
            2 => [2, 0, 1],
            _ => [0, 1, 2],
        };
        let mut back = [0; 3];
        let mut at = now + 1500 + self.random.below(1500) as u64;
        for turn in order {
            back[turn] = at;
            at += 200 + self.random.below(800) as u64;
        }
        let mut at = now;
        for until in back {
            self.kill_leader(slot, at, until);
            at += 100 + self.random.below(600) as u64;
        }
        self.log(format_args!("leaders of {slot} take turns until {back:?}"));
    }

    /// So soon that it goes on in its term, if anything lets it.
    pub(super) fn blink(&mut self, hosts: &mut Hosts, now: u64) {
        if let Some(active) = self.shared.with(|world| world.active_controller()) {
            let until = now + 5 + self.random.below(150) as u64;
            self.crash(hosts, active, true, until);
        }
    }

    pub(super) fn kill_leader_before_return(&mut self, hosts: &mut Hosts, now: u64) {
        let slots: Vec<Slot> = Slot::all().filter(|s| s.topic().factor >= 3).collect();
        let slot = slots[self.random.below(slots.len())];
        let (mut holders, leader) = self
            .shared
            .with(|world| (world.holders(slot), world.leader_of(slot)));
        holders.retain(|node| Some(*node) != leader);
        if holders.is_empty() {
            return;
        }
        let follower = holders[self.random.below(holders.len())];
        let kill = now + 50 + self.random.below(1500) as u64;
        let back = kill + self.random.below(100) as u64;
        let until = back + 200 + self.random.below(2000) as u64;
        self.crash(hosts, follower, false, back);
        self.kill_leader(slot, kill, until);
    }

    /// What has one replica only is not on it, and nobody else has lost anything.
    pub(super) fn replace_disk(&mut self, hosts: &mut Hosts, until: u64) {
        let node = self.replaced;
        let has_only = self.shared.with(|world| {
            let mut single = Slot::all().filter(|slot| slot.topic().factor == 1);
            single.any(|slot| world.holders(slot).contains(&node))
        });
        if has_only || !self.is_up[node] {
            return;
        }
        self.log(format_args!(
            "the disk of {node} is replaced by an empty one"
        ));
        self.crash(hosts, node, true, until);
        self.shared.with(|world| {
            world.machines[node].is_replaced = true;
            world.machines[node].disk.replace();
        });
    }
}
