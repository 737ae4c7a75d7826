use std::fmt::Write as _;

use ottla_protocol::ids::Uuid;

use super::*;

fn topic(id: u8) -> TopicId {
    TopicId(Uuid([id; 16]))
}

/// A member that subscribes to these topics, and what it had.
struct Given {
    id: MemberId,
    topics: BTreeSet<TopicId>,
    before: Partitions,
}

/// `a:12` is a member that subscribes to topics 1 and 2.
fn members(text: &str) -> Vec<Given> {
    let words = text.split_whitespace();
    let member = |word: &str| {
        let (id, topics) = word.split_once(':').expect("topics");
        let topics = topics.bytes().map(|digit| topic(digit - b'0'));
        Given {
            id: id.into(),
            topics: topics.collect(),
            before: Partitions::new(),
        }
    };
    words.map(member).collect()
}

fn targets(assignor: &str, members: &[Given], counts: &[i32]) -> Vec<Partitions> {
    let counts = (1..).zip(counts).map(|(id, count)| (topic(id), *count));
    let subscribers = members.iter().map(|member| Subscriber {
        id: &member.id,
        instance_id: None,
        topics: Arc::new(member.topics.clone()),
        before: &member.before,
    });
    let subscribers: Vec<Subscriber<'_>> = subscribers.collect();
    assign(assignor, &subscribers, &counts.collect())
}

/// `a=1:0,1 2:0` for each member.
fn shown(members: &[Given], targets: &[Partitions]) -> String {
    let mut text = String::new();
    for (member, target) in members.iter().zip(targets) {
        let _ = write!(text, "{}=", member.id);
        for (topic, partitions) in target {
            let partitions: Vec<String> = partitions.iter().map(i32::to_string).collect();
            let _ = write!(text, "{}:{} ", topic.0.0[0], partitions.join(","));
        }
    }
    text.trim_end().to_owned()
}

#[test]
fn ranges_are_the_same_in_topics_of_as_many_partitions() {
    let three = members("b:12 a:12 c:1");
    let targets = targets(RANGE, &three, &[5, 5]);
    let expected = "b=1:2,3 2:3,4 a=1:0,1 2:0,1,2 c=1:4";
    assert_eq!(shown(&three, &targets), expected);
}

#[test]
fn who_comes_gets_a_share_and_the_others_keep_the_rest() {
    let mut group = members("a:1 b:1");
    let two = targets(UNIFORM, &group, &[7]);
    assert_eq!(shown(&group, &two), "a=1:0,2,4,6 b=1:1,3,5");
    for (member, target) in group.iter_mut().zip(two) {
        member.before = target;
    }
    group.extend(members("c:1"));
    let three = targets(UNIFORM, &group, &[7]);
    assert_eq!(shown(&group, &three), "a=1:0,2 b=1:1,3,5 c=1:4,6");
}

#[test]
fn what_few_can_take_they_get() {
    let group = members("a:1 b:12 c:12");
    let all = targets(UNIFORM, &group, &[3, 3]);
    assert_eq!(shown(&group, &all), "a=1:0,1 b=2:0,2 c=1:2 2:1");
}

/// A source of numbers that gives the same ones each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

#[test]
fn every_partition_is_one_members_and_nobody_has_two_more_than_who_could_take_one() {
    for seed in 0..300 {
        let mut numbers = Numbers(seed);
        let mut group = Vec::new();
        let mut counts: Vec<i32> = (0..4).map(|_| numbers.below(9) as i32).collect();
        for round in 0..6 {
            if numbers.below(3) == 0 && !group.is_empty() {
                group.remove(numbers.below(group.len() as u64) as usize);
            } else {
                let topics = (1..=4).filter(|_| numbers.below(3) > 0).map(topic);
                group.push(Given {
                    id: format!("{round}").into(),
                    topics: topics.collect(),
                    before: Partitions::new(),
                });
            }
            counts[numbers.below(4) as usize] += 1;
            let targets = targets(UNIFORM, &group, &counts);
            check(&group, &targets, &counts);
            for (member, target) in group.iter_mut().zip(targets) {
                member.before = target;
            }
        }
    }
}

fn check(group: &[Given], targets: &[Partitions], counts: &[i32]) {
    let load = |target: &Partitions| target.values().map(BTreeSet::len).sum::<usize>();
    for (id, count) in (1..).zip(counts) {
        let topic = topic(id);
        let mut takers = group
            .iter()
            .zip(targets)
            .filter(|(m, _)| m.topics.contains(&topic));
        let least = takers.clone().map(|(_, target)| load(target)).min();
        let mut partitions: Vec<i32> = Vec::new();
        for target in targets {
            partitions.extend(target.get(&topic).into_iter().flatten());
        }
        partitions.sort_unstable();
        let all: Vec<i32> = (0..*count).collect();
        assert_eq!(partitions, if least.is_some() { all } else { Vec::new() });
        let is_even = takers.all(|(_, target)| {
            !target.contains_key(&topic) || load(target) <= least.unwrap_or(0) + 1
        });
        assert!(is_even, "topic {id}");
    }
    for (member, target) in group.iter().zip(targets) {
        assert!(target.keys().all(|topic| member.topics.contains(topic)));
    }
}

/// Ten thousand topics and a second member: half of the partitions move, one after the other.
#[test]
fn who_joins_a_member_of_very_many_topics_gets_half_of_them() {
    let topics: BTreeSet<TopicId> = (0..10_000_u32)
        .map(|id| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&id.to_be_bytes());
            TopicId(Uuid(bytes))
        })
        .collect();
    let counts = topics.iter().map(|id| (*id, 1)).collect();
    let topics = Arc::new(topics);
    let all: Partitions = topics.iter().map(|id| (*id, [0].into())).collect();
    let (none, ids) = (Partitions::new(), ["a", "b"].map(MemberId::from));
    let subscriber = |id, before| Subscriber {
        id,
        instance_id: None,
        topics: Arc::clone(&topics),
        before,
    };
    let two = [subscriber(&ids[0], &all), subscriber(&ids[1], &none)];
    let targets = assign(UNIFORM, &two, &counts);
    assert_eq!(targets[0].len(), 5_000);
    assert_eq!(targets[1].len(), 5_000);
    assert!(targets[0].keys().all(|topic| all.contains_key(topic)));
}
