//! Members of both protocols in one group, chance, and coordinators that fail.
//!
//! Classic members are eager, or cooperative: those have what they had while they join. Whoever
//! leads leaves each partition with the member that says it has it, up to the member's fair share;
//! what is above that is nobody's until its owner has joined without it. The others go to those
//! that have least.
//!
//! - No partition is two members', by what they were told and have not given up yet.
//! - Once nothing changes any more, all come to rest, and every partition is somebody's.

use std::collections::BTreeMap;

use super::random::Chance;
use super::world::{Partitions, World};
use crate::group::Migration;
use crate::group::consumer::embedded;

const MEMBERS: u64 = 6;
const STEPS: usize = 1_000;

/// Where a classic member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Joins,
    Waits,
    Syncs { leads: bool },
    IsIn,
}

struct Group {
    world: World,
    chance: Chance,
    /// Those of the classic protocol.
    classic: BTreeMap<String, Phase>,
    /// What members had when they asked for their part, until they join again.
    had: BTreeMap<String, Partitions>,
    counts: [(&'static str, i32); 2],
}

#[test]
fn whichever_protocols_members_speak_no_partition_is_two_members() {
    for seed in (1..=10).chain([30]) {
        let mut group = Group {
            world: World::new(),
            chance: Chance(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15)),
            classic: BTreeMap::new(),
            had: BTreeMap::new(),
            counts: [("t", 3), ("u", 5)],
        };
        group.world.set_policy(match seed {
            4 => Migration::Upgrade,
            8 => Migration::Downgrade,
            _ => Migration::Bidirectional,
        });
        group.world.topic("t", 3);
        group.world.topic("u", 5);
        for _ in 0..STEPS {
            group.world.is_refusing = group.chance.one_in(20);
            group.step();
            group.check();
        }
        group.settle();
    }
}

fn is_cooperative(member: &str) -> bool {
    member.ends_with(['1', '3', '5'])
}

impl Group {
    fn step(&mut self) {
        let member = format!("m{}", self.chance.below(MEMBERS));
        match self.chance.below(40) {
            0 => {
                self.world.is_refusing = false;
                self.world.reload();
            }
            1 => {
                self.world.is_refusing = false;
                self.world.compact();
                self.world.reload();
            }
            2..=4 => {
                let ms = 1 + self.chance.below(6_000);
                self.world.wait(ms);
            }
            5 if self.counts[0].1 < 9 => {
                self.world.is_refusing = false;
                self.counts[0].1 += 1;
                self.world.topic("t", self.counts[0].1 as usize);
            }
            6 => self.leave(&member),
            7..=9 if !self.classic.contains_key(&member) => self.leave(&member),
            10 if self.chance.one_in(8) => {
                // it dies without a word
                self.forget(&member);
            }
            _ => self.act(&member),
        }
        self.hear();
    }

    fn leave(&mut self, member: &str) {
        match self.classic.contains_key(member) {
            true => self.world.classic_leave(member),
            false if self.world.members.contains_key(member) => {
                self.world.act(member, "leave");
            }
            false => {}
        }
        self.forget(member);
    }

    fn forget(&mut self, member: &str) {
        self.world.members.remove(member);
        self.world.stop_waiting(member);
        self.classic.remove(member);
    }

    fn act(&mut self, member: &str) {
        match self.classic.get(member).copied() {
            Some(phase) => self.act_classic(member, phase),
            None if self.world.members.contains_key(member) => self.told(member, "has"),
            // few consumers, so that the group is a classic one now and then
            None if self.chance.one_in(4) => self.told(member, "join topics=t,u rebalance=30000"),
            None => self.act_classic(member, Phase::Joins),
        }
    }

    fn told(&mut self, member: &str, words: &str) {
        let answer = self.world.act(member, words);
        self.world.say(&format!("{member} {words}: {answer}"));
        assert!(
            !answer.contains("INVALID"),
            "{member}: {answer}\n{}",
            self.world.seen()
        );
        let is_out = ["FENCED", "UNKNOWN", "NOT_FOUND"]
            .iter()
            .any(|w| answer.contains(w));
        if is_out || (answer == "refused" && words.starts_with("join")) {
            self.forget(member);
        }
    }

    fn act_classic(&mut self, member: &str, phase: Phase) {
        match phase {
            Phase::Syncs { .. } => {
                let has = self.world.members[member].has.clone();
                self.had.insert(member.to_owned(), has);
            }
            Phase::Joins => drop(self.had.remove(member)),
            Phase::Waits | Phase::IsIn => {}
        }
        let answer = match phase {
            Phase::Waits => return,
            Phase::Joins => {
                let known = self.world.members.get(member);
                let is_known = known.is_some_and(|known| known.id.is_some());
                let mut words = vec!["topics=t,u", "session=45000", "rebalance=30000"];
                if !is_known {
                    words.push("first");
                }
                if !is_cooperative(member) {
                    words.push("has=");
                }
                self.world.classic(member, "join-group", &words)
            }
            Phase::Syncs { leads: true } => {
                let gives = self.assign(member);
                let words: Vec<&str> = gives.iter().map(String::as_str).collect();
                self.world.classic(member, "sync-group", &words)
            }
            Phase::Syncs { leads: false } => self.world.classic(member, "sync-group", &[]),
            Phase::IsIn => self.world.classic(member, "heartbeat", &[]),
        };
        self.world.say(&format!("{member} {phase:?}: {answer}"));
        self.answered(member, &answer);
    }

    /// What leaders do: what members say they have is theirs, up to their share.
    fn assign(&self, leader: &str) -> Vec<String> {
        let led = &self.world.led[leader];
        let mut given: Vec<Partitions> = vec![Partitions::new(); led.len()];
        let mut owners: BTreeMap<(String, i32), usize> = BTreeMap::new();
        for (place, (_, metadata)) in led.iter().enumerate() {
            let said = embedded::subscription(metadata).expect("a subscription");
            for owned in said.owned_partitions {
                for partition in owned.partitions {
                    let before = owners.insert((owned.topic.clone(), partition), place);
                    assert_eq!(before, None, "{} {partition} is two members'", owned.topic);
                }
            }
        }
        let all = self.counts.iter().map(|(_, count)| *count as usize);
        let share = all.sum::<usize>().div_ceil(led.len());
        for (topic, count) in self.counts {
            for partition in 0..count {
                let partition = (topic.to_owned(), partition);
                let least = (0..led.len()).min_by_key(|place| given[*place].len());
                let place = match owners.get(&partition) {
                    Some(owner) if given[*owner].len() >= share => continue,
                    Some(owner) => *owner,
                    None => least.expect("a member"),
                };
                given[place].insert(partition);
            }
        }
        let of = led.iter().zip(given);
        of.map(|((id, _), given)| format!("gives:{id}={}", super::world::shown(&given)))
            .collect()
    }

    fn answered(&mut self, member: &str, answer: &str) {
        let phase = match answer {
            "waits" => Phase::Waits,
            "NONE" => Phase::IsIn,
            "ILLEGAL_GENERATION" => {
                // it has lost what it had
                self.world
                    .members
                    .entry(member.to_owned())
                    .or_default()
                    .has
                    .clear();
                Phase::Joins
            }
            "refused"
            | "MEMBER_ID_REQUIRED"
            | "REBALANCE_IN_PROGRESS"
            | "COORDINATOR_NOT_AVAILABLE" => Phase::Joins,
            _ if answer.starts_with("generation") => Phase::Syncs {
                leads: answer.ends_with("leads"),
            },
            _ if answer.starts_with("has") => {
                let had = self.had.get(member).cloned().unwrap_or_default();
                match had.is_subset(&self.world.members[member].has) {
                    true => Phase::IsIn,
                    false => Phase::Joins, // without what it has given up
                }
            }
            "UNKNOWN_MEMBER_ID" => return self.forget(member),
            // what ends a client of Java's
            fatal => panic!("{member} is told {fatal}\n{}", self.world.seen()),
        };
        self.classic.insert(member.to_owned(), phase);
    }

    /// What came to those who waited.
    fn hear(&mut self) {
        for (member, told) in std::mem::take(&mut self.world.waited) {
            self.answered(&member, &told);
        }
    }

    fn check(&mut self) {
        let ids = self.world.ids();
        let mut owners: BTreeMap<(String, i32), String> = BTreeMap::new();
        let members: Vec<String> = self.world.members.keys().cloned().collect();
        for member in members {
            if !ids.contains(&self.world.id_of(&member)) {
                continue;
            }
            // an eager one has nothing while it joins
            let is_joining =
                matches!(self.classic.get(&member), Some(phase) if *phase != Phase::IsIn);
            if is_joining && !is_cooperative(&member) {
                continue;
            }
            // a cooperative one gives up by and by what it is told to, and a consumer takes at once
            // what it is
            let known = &self.world.members[&member];
            let other = match self.classic.contains_key(&member) {
                true => self.had.get(&member).cloned().unwrap_or_default(),
                false => known.told.clone(),
            };
            for partition in known.has.union(&other).cloned().collect::<Partitions>() {
                let before = owners.insert(partition.clone(), member.clone());
                assert_eq!(
                    before,
                    None,
                    "{partition:?} is {member}'s too\n{}",
                    self.world.seen()
                );
            }
        }
    }

    /// All come to rest, first those who are there, then with whoever comes again: a newcomer would
    /// mend a group that has come to a stand.
    fn settle(&mut self) {
        self.world.is_refusing = false;
        for newcomers in [false, true] {
            for round in 0..60 {
                for member in 0..MEMBERS {
                    let member = format!("m{member}");
                    let is_in = self.world.members.contains_key(&member);
                    if newcomers || is_in || self.classic.contains_key(&member) {
                        self.act(&member);
                    }
                    self.hear();
                    self.check();
                }
                self.world.wait(if round < 30 { 3_000 } else { 200 });
                self.hear();
            }
            if newcomers || !self.world.ids().is_empty() {
                self.all_are_given();
            }
        }
    }

    fn all_are_given(&self) {
        let mut has: Vec<(String, i32)> = Vec::new();
        for known in self.world.members.values() {
            has.extend(known.has.iter().cloned());
        }
        has.sort();
        let all = self
            .counts
            .iter()
            .flat_map(|(t, count)| (0..*count).map(|p| ((*t).to_owned(), p)));
        let all: Vec<(String, i32)> = all.collect();
        assert_eq!(has, all, "all are somebody's\n{}", self.world.seen());
    }
}
