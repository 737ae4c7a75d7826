//! Plans in text: partitions as `topic-0: 0 1 2 @ 100`, bytes behind the sign; brokers as
//! `0/rack`, `!` behind those that do not serve, `*` behind those that are cordoned.

use super::*;
use crate::observed::ObservedPartition;

struct Cluster {
    topics: BTreeMap<String, ObservedTopic>,
    brokers: BTreeMap<i32, RegisteredBroker>,
    sizes: Sizes,
}

impl Cluster {
    fn of(brokers: &str, partitions: &str) -> Self {
        let brokers = brokers.split_whitespace().map(|word| {
            let plain = word.trim_end_matches(['!', '*']);
            let (id, rack) = plain
                .split_once('/')
                .map_or((plain, None), |(id, r)| (id, Some(r)));
            let broker = RegisteredBroker {
                rack: rack.map(str::to_owned),
                is_fenced: word.ends_with('!'),
                is_cordoned: word.ends_with('*'),
                ..RegisteredBroker::default()
            };
            (id.parse().unwrap(), broker)
        });
        let mut cluster = Self {
            brokers: brokers.collect(),
            topics: BTreeMap::new(),
            sizes: Sizes::new(),
        };
        for line in partitions
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
        {
            let (name, rest) = line.split_once(':').unwrap();
            let (replicas, bytes) = rest.split_once('@').unwrap_or((rest, "10"));
            let replicas: Vec<i32> = replicas
                .split_whitespace()
                .map(|id| id.parse().unwrap())
                .collect();
            let bytes: u64 = bytes.trim().parse().unwrap();
            let topic = cluster.topics.entry(name.to_owned()).or_default();
            let index = topic.partitions.len() as i32;
            let held = replicas.iter().map(|id| (*id, bytes)).collect();
            cluster.sizes.insert((name.to_owned(), index), held);
            topic.partitions.push(ObservedPartition {
                has_leader: true,
                isr: replicas.clone(),
                replicas,
                ..ObservedPartition::default()
            });
        }
        cluster
    }

    fn facts<'a>(&'a self, leaving: &'a BTreeSet<i32>) -> Facts<'a> {
        Facts {
            topics: &self.topics,
            brokers: &self.brokers,
            leaving,
            sizes: &self.sizes,
        }
    }

    fn propose(&self, mode: RebalanceMode, named: &[i32], goals: &[RebalanceGoal]) -> Proposal {
        let named = named.iter().copied().collect();
        let wish = Wish {
            mode,
            named: &named,
            goals,
        };
        propose(self.facts(&BTreeSet::new()), &wish)
    }
}

use RebalanceGoal::{Bytes, Leaders, Replicas};
use RebalanceMode::{AddBrokers, Full, RemoveBrokers};

fn shown(proposal: &Proposal) -> String {
    let moves = proposal
        .moves
        .iter()
        .map(|((topic, index), (from, to))| format!("{topic}-{index} {from:?} to {to:?}; "));
    let skew = proposal.skew.iter().map(|(goal, before, after)| {
        format!(
            "{goal:?} {}-{} to {}-{}; ",
            before.0, before.1, after.0, after.1
        )
    });
    format!(
        "{}{}{:?} bytes",
        moves.collect::<String>(),
        skew.collect::<String>(),
        proposal.bytes
    )
}

#[test]
fn replicas_become_even_with_no_more_moves_than_it_takes() {
    let cluster = Cluster::of("0 1 2", "a: 0\na: 0\na: 0\nb: 0 @ 5\n");
    let proposal = cluster.propose(Full, &[], &[Replicas]);
    assert_eq!(
        shown(&proposal),
        "a-0 [0] to [2]; b-0 [0] to [1]; Replicas 0-4 to 1-2; Some(15) bytes"
    );
    let even = Cluster::of("0 1 2", "a: 0\na: 1\na: 2\nb: 0\n");
    assert!(
        even.propose(Full, &[], &[Replicas, Bytes, Leaders])
            .moves
            .is_empty()
    );
}

#[test]
fn leaders_change_places_without_a_copy() {
    let cluster = Cluster::of("0 1 2", "a: 0 1 2\na: 0 1 2\na: 0 1 2\n");
    let proposal = cluster.propose(Full, &[], &[Replicas, Leaders]);
    assert_eq!(proposal.bytes, Some(0));
    assert_eq!(proposal.moves.len(), 2);
    assert_eq!(proposal.skew[1], (Leaders, (0, 3), (1, 1)));
}

#[test]
fn bytes_become_even_by_the_largest_that_fit() {
    let cluster = Cluster::of("0 1", "a: 0 @ 500\nb: 0 @ 300\nc: 0 @ 200\nd: 1 @ 10\n");
    let proposal = cluster.propose(Full, &[], &[Bytes]);
    assert_eq!(
        shown(&proposal),
        "a-0 [0] to [1]; Bytes 10-1000 to 500-510; Some(500) bytes"
    );
}

#[test]
fn a_later_goal_undoes_no_earlier_one() {
    let cluster = Cluster::of("0 1", "a: 0 @ 500\nb: 0 @ 500\nc: 1 @ 1\nd: 1 @ 1\n");
    let proposal = cluster.propose(Full, &[], &[Replicas, Bytes]);
    assert!(proposal.moves.is_empty(), "{}", shown(&proposal));
    let alone = cluster.propose(Full, &[], &[Bytes]);
    assert_eq!(alone.skew[0].2, (500, 502));
}

#[test]
fn no_partition_is_in_fewer_racks_afterwards() {
    let cluster = Cluster::of("0/a 1/b 2/b", "a: 0 1\na: 0 1\na: 0 1\na: 0 1\n");
    let proposal = cluster.propose(Full, &[], &[Replicas]);
    for (from, to) in proposal.moves.values() {
        assert!(to.contains(&0), "{from:?} to {to:?}: 1 and 2 share a rack");
    }
    assert_eq!(proposal.skew[0].2, (2, 4));
}

#[test]
fn who_goes_or_does_not_serve_gets_nothing() {
    let cluster = Cluster::of("0 1! 2", "a: 0\na: 0\na: 0\na: 0\n");
    let leaving = BTreeSet::from([2]);
    let named = BTreeSet::new();
    let wish = Wish {
        mode: Full,
        named: &named,
        goals: &[Replicas],
    };
    assert!(propose(cluster.facts(&leaving), &wish).moves.is_empty());
    let cordoned = Cluster::of("0 1*", "a: 0\na: 0\n");
    let proposal = cordoned.propose(Full, &[], &[Replicas]);
    assert!(proposal.moves.is_empty(), "{}", shown(&proposal));
}

#[test]
fn brokers_that_are_named_get_or_give_and_no_others() {
    let cluster = Cluster::of("0 1 2 3", "a: 0 1\na: 0 1\na: 0 1\na: 0 2\n");
    let added = cluster.propose(AddBrokers, &[3], &[Replicas]);
    for (_, to) in added.moves.values() {
        assert!(to.contains(&3), "{}", shown(&added));
    }
    assert_eq!(added.moves.len(), 2, "{}", shown(&added));
    let removed = cluster.propose(RemoveBrokers, &[1], &[Replicas]);
    assert_eq!(removed.moves.len(), 3, "{}", shown(&removed));
    let holds = |replicas: &Vec<i32>| replicas.contains(&1);
    assert!(!removed.moves.values().any(|(_, to)| holds(to)));
}

#[test]
fn what_moves_already_stays_as_it_is() {
    let mut cluster = Cluster::of("0 1", "a: 0\na: 0\n");
    cluster.topics.get_mut("a").unwrap().partitions[0].adding = vec![0];
    let proposal = cluster.propose(Full, &[], &[Replicas]);
    assert_eq!(proposal.moves.keys().next().map(|key| key.1), Some(1));
}

/// What is carried out in turns may stop after any of them.
#[test]
fn each_move_makes_brokers_more_even_and_there_are_as_many_as_it_takes() {
    let mut partitions = String::new();
    for index in 0..1_800 {
        let others = if index % 2 == 0 { "1 2" } else { "2 1" };
        partitions += &format!("t{:02}: 0 {others} @ {}\n", index % 30, index % 7);
    }
    let cluster = Cluster::of("0 1 2 3", &partitions);
    let proposal = cluster.propose(Full, &[], &[Replicas, Leaders]);
    let skew: Vec<_> = proposal.skew.iter().map(|(_, _, after)| *after).collect();
    assert_eq!(skew, [(1_350, 1_350), (450, 450)]);
    let copied = |(from, to): &&(Vec<i32>, Vec<i32>)| from.contains(&3) != to.contains(&3);
    assert_eq!(proposal.moves.values().filter(copied).count(), 1_350);
    assert_eq!(proposal.order.len(), proposal.moves.len());
    let mut held = BTreeMap::from([(0, 1_800), (1, 1_800), (2, 1_800), (3, 0)]);
    for key in proposal.order.iter().take(500) {
        let (from, to) = &proposal.moves[key];
        from.iter().for_each(|id| *held.get_mut(id).unwrap() -= 1);
        to.iter().for_each(|id| *held.get_mut(id).unwrap() += 1);
    }
    let differ = held.values().max().unwrap() - held.values().min().unwrap();
    assert!(differ < 1_200, "{held:?}");
}

#[test]
fn a_rack_that_is_lost_with_its_broker_is_counted() {
    let cluster = Cluster::of("0/a 1/b 2/c 3/a", "a: 0 1 2\nb: 0 1 3\n");
    let proposal = cluster.propose(RemoveBrokers, &[2], &[Replicas]);
    assert_eq!((proposal.moves.len(), proposal.fewer_racks), (1, 1));
    let full = cluster.propose(Full, &[], &[Replicas]);
    assert_eq!(full.fewer_racks, 0);
}

#[test]
fn what_no_other_broker_can_take_remains() {
    let cluster = Cluster::of("0 1 2", "a: 0 1 2\nb: 2\n");
    let proposal = cluster.propose(RemoveBrokers, &[2], &[Replicas]);
    assert_eq!((proposal.moves.len(), proposal.remaining), (1, 1));
}

/// Which replica a broker gives to which other is found among its own, not among all: the plan is
/// made on the thread that keeps the operator's Lease.
#[test]
fn a_large_cluster_with_new_brokers_in_three_racks_becomes_even() {
    let mut brokers = String::new();
    for id in 0..50 {
        brokers += &format!("{id}/{} ", id % 3);
    }
    let mut partitions = String::new();
    for index in 0..4_000 {
        let first = index % 45;
        let replicas = [first, (first + 1) % 45, (first + 2) % 45];
        let [a, b, c] = replicas;
        partitions += &format!("t{}: {a} {b} {c} @ {}\n", index % 100, index % 97);
    }
    let cluster = Cluster::of(&brokers, &partitions);
    let proposal = cluster.propose(Full, &[], &[Replicas, Bytes, Leaders]);
    let (least, most) = proposal.skew[0].2;
    assert!(least >= 230 && most <= 250, "{least} to {most}");
}
