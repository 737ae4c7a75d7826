//! Many members, chance, and coordinators that fail: what must hold whatever happens.
//!
//! - No partition is two members', by what they were told and have not given up yet; who was given
//!   up itself learns of it with its next heartbeat.
//! - What the log gives, whole or compacted, is what the coordinator has.
//! - Once nothing changes any more, all come to rest, and every partition is somebody's.

use std::collections::BTreeMap;

use super::world::World;

const MEMBERS: u64 = 9;
const STEPS: usize = 1_500;

/// xorshift64*: chance from a seed.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    pub(super) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

#[test]
fn whatever_happens_no_partition_is_two_members_and_all_come_to_rest() {
    for seed in 1..=12 {
        let mut world = World::new();
        let mut chance = Chance(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15));
        let mut counts = [3, 5];
        world.topic("t", counts[0]);
        world.topic("u", counts[1]);
        for _ in 0..STEPS {
            world.is_refusing = chance.one_in(15);
            step(&mut world, &mut chance, &mut counts);
            check(&mut world);
        }
        world.is_refusing = false;
        settle(&mut world, counts);
    }
}

fn step(world: &mut World, chance: &mut Chance, counts: &mut [usize; 2]) {
    let member = format!("m{}", chance.below(MEMBERS));
    let is_in = world
        .members
        .get(&member)
        .is_some_and(|known| known.epoch > 0);
    match chance.below(40) {
        0 => world.reload(),
        1 => {
            world.compact();
            world.reload();
        }
        2 => world.wait(1 + chance.below(20_000)),
        3 if counts[0] < 12 => {
            counts[0] += 1;
            // images are not refused
            world.is_refusing = false;
            world.topic("t", counts[0]);
        }
        4 if is_in => {
            forget(world, &member, "leave");
        }
        5 if is_in && chance.one_in(3) => {
            // it dies without a word
            world.members.remove(&member);
        }
        6..=9 if is_in => {
            let topics = ["topics=t", "topics=u", "topics=t,u"][chance.below(3) as usize];
            told(world, &member, &format!("beat {topics}"));
        }
        _ if is_in && chance.one_in(3) => told(world, &member, "beat"),
        // it gives up what it was told to, and begins with what it got
        _ if is_in => told(world, &member, "has"),
        _ => {
            let topics = ["topics=t", "topics=u", "topics=t,u"][chance.below(3) as usize];
            let assignor = ["uniform", "range"][chance.below(2) as usize];
            told(
                world,
                &member,
                &format!("join {topics} assignor={assignor} rebalance=30000"),
            );
        }
    }
}

fn told(world: &mut World, member: &str, words: &str) {
    let answer = world.act(member, words);
    if answer.contains("FENCED") || answer.contains("UNKNOWN") || answer.contains("NOT_FOUND") {
        // it gives up all it has, and joins again
        world.members.remove(member);
    } else if answer == "refused" && words.starts_with("join") {
        world.members.remove(member);
    }
}

fn forget(world: &mut World, member: &str, words: &str) {
    world.act(member, words);
    world.members.remove(member);
}

fn check(world: &mut World) {
    let group = world.described();
    let is_in = |name: &str| group.members.iter().any(|member| member.member_id == name);
    let mut owners: BTreeMap<&(String, i32), &String> = BTreeMap::new();
    for (member, known) in world.members.iter().filter(|(name, _)| is_in(name)) {
        for partition in &known.has {
            let before = owners.insert(partition, member);
            assert_eq!(before, None, "{partition:?} is {member}'s too");
        }
    }
}

fn settle(world: &mut World, counts: [usize; 2]) {
    // whoever died is given up
    for _ in 0..4 {
        beat_all(world);
        world.wait(20_000);
    }
    for member in 0..MEMBERS {
        let member = format!("m{member}");
        if !world.members.contains_key(&member) {
            told(world, &member, "join topics=t,u rebalance=30000");
        }
    }
    for _ in 0..6 {
        beat_all(world);
    }
    let group = world.described();
    assert_eq!(group.group_state, "Stable", "{group:?}");
    let mut has: Vec<(String, i32)> = Vec::new();
    for known in world.members.values() {
        has.extend(known.has.iter().cloned());
    }
    let subscribed = |name: &str| {
        let mut members = group.members.iter();
        members.any(|member| {
            member
                .subscribed_topic_names
                .iter()
                .any(|topic| topic == name)
        })
    };
    let expected = [("t", counts[0]), ("u", counts[1])];
    let expected = expected.iter().filter(|(name, _)| subscribed(name));
    let expected: usize = expected.map(|(_, count)| count).sum();
    assert_eq!(has.len(), expected, "all are somebody's");
    check(world);
    let before = world.described();
    world.compact();
    world.reload();
    assert_eq!(world.described(), before, "the log has all of it");
}

fn beat_all(world: &mut World) {
    let members: Vec<String> = world.members.keys().cloned().collect();
    for member in members {
        told(world, &member, "has");
    }
}
