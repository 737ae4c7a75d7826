//! Replicas in, moves out. A partition is written as its replicas, those being added with +, those
//! being removed with -, those that are not in sync with ?.

use expect_test::{Expect, expect};

use super::*;

fn partition(text: &str) -> ObservedPartition {
    let mut partition = ObservedPartition {
        has_leader: true,
        ..ObservedPartition::default()
    };
    for replica in text.split(',') {
        let id: i32 = replica.trim_matches(['+', '-', '?']).parse().unwrap();
        partition.replicas.push(id);
        if replica.contains('+') {
            partition.adding.push(id);
        }
        if replica.contains('-') {
            partition.removing.push(id);
        }
        if !replica.contains('?') {
            partition.isr.push(id);
        }
    }
    partition
}

fn topic(partitions: &str) -> ObservedTopic {
    ObservedTopic {
        topic_id: "id".to_owned(),
        partitions: partitions.split_whitespace().map(partition).collect(),
        ..ObservedTopic::default()
    }
}

/// Brokers as their racks; a rack with ! has a broker that does not serve, with * one that is
/// cordoned.
fn brokers(racks: &str) -> BTreeMap<i32, RegisteredBroker> {
    let broker = |rack: &str| RegisteredBroker {
        rack: Some(rack.trim_end_matches(['!', '*']).to_owned()),
        is_fenced: rack.ends_with('!'),
        is_cordoned: rack.ends_with('*'),
        ..RegisteredBroker::default()
    };
    (0..).zip(racks.split_whitespace().map(broker)).collect()
}

fn show(
    partitions: &str,
    wanted: Option<i32>,
    racks: &str,
    leaving: &[i32],
    sizes: &Sizes,
) -> String {
    let topics = BTreeMap::from([("t".to_owned(), topic(partitions))]);
    let situation = Situation {
        topics: &topics,
        wanted: &wanted
            .map(|wanted| ("t".to_owned(), wanted))
            .into_iter()
            .collect(),
        brokers: &brokers(racks),
        leaving: &leaving.iter().copied().collect(),
        newcomers: &BTreeSet::new(),
    };
    let moves = plan(&situation, sizes);
    let targets = moves
        .targets
        .iter()
        .map(|((_, index), target)| match target {
            Some(target) => format!("{index}: {target:?}\n"),
            None => format!("{index}: cancel\n"),
        });
    let waiting = moves.waiting.values().map(|why| format!("{why}\n"));
    targets.chain(waiting).collect()
}

fn check(partitions: &str, wanted: i32, racks: &str, expected: Expect) {
    let shown = show(partitions, Some(wanted), racks, &[], &Sizes::new());
    expected.assert_eq(&shown);
}

#[test]
fn replicas_are_added_in_other_racks_and_removed_where_a_rack_has_two() {
    check(
        "0 1 2",
        2,
        "a a b b",
        expect![[r#"
        0: [0, 3]
        1: [1, 3]
        2: [2, 1]
    "#]],
    );
    check(
        "0,1,2 1,2,0",
        2,
        "a a b",
        expect![[r#"
        0: [0, 2]
        1: [1, 2]
    "#]],
    );
    check("0,1 1,2", 2, "a a b", expect![[""]]);
}

#[test]
fn a_cordoned_broker_keeps_what_it_holds_and_gets_nothing() {
    check(
        "0 1 2",
        2,
        "a* b c",
        expect![[r#"
        0: [0, 2]
        1: [1, 2]
        2: [2, 1]
    "#]],
    );
    check(
        "0 1",
        3,
        "a* b c",
        expect![[r#"
        3 brokers that serve and stay are needed and there are 2; broker 0 is cordoned
    "#]],
    );
}

#[test]
fn replicas_are_made_even_by_themselves_once_a_broker_lacks_enough_and_can_be_given_it() {
    let skewed = |partitions: &str, racks: &str, percent: usize| {
        let topics = BTreeMap::from([("t".to_owned(), topic(partitions))]);
        let situation = Situation {
            topics: &topics,
            wanted: &BTreeMap::new(),
            brokers: &brokers(racks),
            leaving: &BTreeSet::new(),
            newcomers: &BTreeSet::new(),
        };
        super::skewed(&situation, percent)
            .into_iter()
            .collect::<Vec<_>>()
    };
    // five of ten, where five are its share
    let none: [i32; 0] = [];
    assert_eq!(skewed("0 0 0 0 0 1 1 1 1 1", "a b", 5), none);
    // four of ten: a fifth of its share is lacking
    assert_eq!(skewed("0 0 0 0 0 0 1 1 1 1", "a b", 20), [1]);
    assert_eq!(skewed("0 0 0 0 0 0 1 1 1 1", "a b", 21), none);
    // one lacks enough, and the other that lacks less is given its share as well
    assert_eq!(skewed("0 0 0 0 0 0 1", "a b c", 100), [1, 2]);
    // it takes nothing, or nothing can be given without a rack less
    assert_eq!(skewed("0 0 0 0", "a b*", 50), none);
    assert_eq!(skewed("0 0 0 0", "a b!", 50), none);
    assert_eq!(skewed("0,2 0,2 0,2", "a a b", 50), [1]);
    assert_eq!(skewed("0,2 0,2 0,2", "a b b", 50), [1]);
    assert_eq!(skewed("", "a b", 50), none);
}

#[test]
fn what_is_under_way_goes_on_or_is_replaced_or_cancelled() {
    check(
        "0,1+?,2+? 1",
        3,
        "a b c",
        expect![[r#"
        1: [1, 2, 0]
    "#]],
    );
    check(
        "0,1+?,2+? 1,2+? 2,0,1",
        1,
        "a b c",
        expect![[r#"
        0: cancel
        1: cancel
        2: [2]
    "#]],
    );
    check(
        "0,1+?,2+?",
        2,
        "a b c",
        expect![[r#"
        0: [0, 1]
    "#]],
    );
    // somebody moves a partition, and the replication factor is as it is wanted
    check("2+?,0-", 1, "a b c", expect![[""]]);
}

#[test]
fn new_replicas_wait_for_brokers_that_serve() {
    check(
        "0",
        3,
        "a b c!",
        expect![[r#"
        3 brokers that serve and stay are needed and there are 2
    "#]],
    );
    check(
        "0,1,2?",
        2,
        "a b c!",
        expect![[r#"
        0: [0, 1]
    "#]],
    );
}

#[test]
fn brokers_that_leave_hand_their_replicas_over() {
    let leave = |partitions: &str, racks: &str, leaving: &[i32]| {
        show(partitions, None, racks, leaving, &Sizes::new())
    };
    expect![[r#"
        0: [0, 2]
        1: [1, 0]
    "#]]
    .assert_eq(&leave("0,3 3,1 1,2", "a b c d", &[3]));
    expect![[r#"
        2 brokers that serve and stay are needed and there are 1
    "#]]
    .assert_eq(&leave("0,1", "a b", &[1]));
    // scaled back: what is not done is not gone on with, what is done stays
    expect![[""]].assert_eq(&leave("0,3 0,1", "a b c d", &[]));
}

#[test]
fn only_so_many_bytes_and_partitions_are_on_the_way() {
    let of = |bytes: u64, count: usize| {
        let partitions = vec!["0"; count].join(" ");
        let sizes: Sizes = (0..)
            .take(count)
            .map(|index| (("t".to_owned(), index), BTreeMap::from([(0, bytes)])))
            .collect();
        show(&partitions, Some(2), "a b", &[], &sizes)
            .lines()
            .count()
    };
    assert_eq!(of(1, 200), PARTITIONS_MAX);
    assert_eq!(of(BYTES_MAX / 4, 200), 4);
    assert_eq!(of(BYTES_MAX * 2, 200), 1, "one that is larger goes alone");
    let sizes = Sizes::from([(
        ("t".to_owned(), 0),
        BTreeMap::from([(0, BYTES_MAX), (1, 7)]),
    )]);
    let under_way = "0,1+? 0 0,1,2";
    expect![[r#"
        2: [0, 1]
    "#]]
    .assert_eq(&show(under_way, Some(2), "a b c", &[], &{
        let mut sizes = sizes.clone();
        sizes.insert(("t".to_owned(), 1), BTreeMap::from([(0, 1000)]));
        sizes
    }));
}

#[test]
fn progress_is_told_now_and_then_with_the_time_that_is_left() {
    use super::progress::progress;
    let of = |partitions: &str, held: u64, before: Option<&_>, now: &str| {
        let sizes = (0..2).map(|index| {
            let held = BTreeMap::from([(0, 1000 << 20), (1, held << 20)]);
            (("t".to_owned(), index), held)
        });
        let now = format!("2026-01-01T00:{now}Z");
        progress(
            "t",
            &topic(partitions),
            Some(2),
            &sizes.collect(),
            before,
            &now,
        )
    };
    let first = of("0,1+? 0", 0, None, "00:00").unwrap();
    assert_eq!(first.summary, "2 partitions, 1.9 GiB of 1.9 GiB left");
    let soon = of("0,1+? 0", 500, Some(&first), "00:04").unwrap();
    assert_eq!(soon, first, "too soon to be told");
    let later = of("0,1+? 0", 500, Some(&first), "00:50").unwrap();
    assert_eq!(
        later.summary,
        "2 partitions, 1.4 GiB of 1.9 GiB left, about 2 min"
    );
    assert_eq!(later.moving[0].bytes_left, 500 << 20);
    let next = of("0,1 0,1+?", 500, Some(&later), "00:51").unwrap();
    assert_eq!(
        next.summary,
        "1 partition, 500.0 MiB of 1.9 GiB left, about 17 s"
    );
    assert_eq!(of("0,1 0,1", 1000, Some(&next), "01:40"), None);
}

/// A replica of a move that was cancelled, kept until another may lead, is no copy on its way.
#[test]
fn what_is_only_kept_for_a_while_is_not_being_copied() {
    use super::progress::progress;
    let held = BTreeMap::from([(0, 1000), (2, 100)]);
    let sizes = Sizes::from([(("t".to_owned(), 0), held)]);
    let told = progress("t", &topic("0,1,2+-?"), Some(2), &sizes, None, "now").unwrap();
    assert_eq!((told.bytes_left, told.bytes_total), (0, 0));
    let moving = &told.moving[0];
    assert_eq!((&moving.adding, &moving.removing), (&vec![], &vec![2]));
    assert_eq!(moving.bytes_total, 0);
    // nor is its broker waited for
    expect![[r#"
        u-0: Some([0, 2])
    "#]]
    .assert_eq(&plan_two("0,1,3+-?", "0", 2, "a b c d!", &Sizes::new()));
}

#[test]
fn brokers_that_come_get_their_share_of_what_is_not_moved_already() {
    let of = |partitions: &str, racks: &str| {
        let topics = BTreeMap::from([("t".to_owned(), topic(partitions))]);
        let situation = Situation {
            topics: &topics,
            wanted: &BTreeMap::new(),
            brokers: &brokers(racks),
            leaving: &BTreeSet::new(),
            newcomers: &BTreeSet::from([2]),
        };
        let moves = plan(&situation, &Sizes::new());
        let shown = moves
            .targets
            .iter()
            .map(|((_, index), target)| format!("{index}: {target:?}\n"));
        let shown: String = shown.collect();
        format!("{shown}unfilled: {:?}\n", unfilled(&situation))
    };
    expect![[r#"
        0: Some([2, 1])
        2: Some([0, 2])
        unfilled: {2}
    "#]]
    .assert_eq(&of("0,1 1,0 0,1", "a b c"));
    expect![[r#"
        2: Some([0, 2])
        unfilled: {2}
    "#]]
    .assert_eq(&of("2+?,1,0- 1,0 0,1", "a b c"));
    expect![[r#"
        unfilled: {2}
    "#]]
    .assert_eq(&of("0,1,2+-", "a b c"));
    expect![[r#"
        unfilled: {2}
    "#]]
    .assert_eq(&of("0,1 1,0 0,1", "a b c!"));
    expect![[r#"
        unfilled: {}
    "#]]
    .assert_eq(&of("2,1 1,2 0,1", "a b c"));
}

/// What is planned for two topics: `t`, and `u`, which is wanted with so many replicas.
fn plan_two(t: &str, u: &str, wanted: i32, racks: &str, sizes: &Sizes) -> String {
    let topics =
        [("t", t), ("u", u)].map(|(name, partitions)| (name.to_owned(), topic(partitions)));
    let topics = BTreeMap::from(topics);
    let situation = Situation {
        topics: &topics,
        wanted: &BTreeMap::from([("u".to_owned(), wanted)]),
        brokers: &brokers(racks),
        leaving: &BTreeSet::new(),
        newcomers: &BTreeSet::from([2]),
    };
    let moves = plan(&situation, sizes);
    let targets = moves.targets.iter();
    let targets = targets.map(|((topic, index), target)| format!("{topic}-{index}: {target:?}\n"));
    let waiting = moves.waiting.iter();
    let waiting = waiting.map(|(topic, why)| format!("{topic}: {why}\n"));
    targets.chain(waiting).collect()
}

#[test]
fn a_topic_that_waits_keeps_no_newcomer_waiting() {
    expect![[r#"
        t-0: Some([2, 1])
        t-1: Some([1, 2])
        u: 4 brokers that serve and stay are needed and there are 3
    "#]]
    .assert_eq(&plan_two("0,1 1,0 0,1", "0", 4, "a b c", &Sizes::new()));
}

#[test]
fn a_move_that_gets_nowhere_leaves_its_room_to_others() {
    let large = |topic: &str| {
        let held = BTreeMap::from([(0, BYTES_MAX)]);
        ((topic.to_owned(), 0), held)
    };
    let sizes = Sizes::from([large("t"), large("u")]);
    // broker 3 does not serve
    expect![[r#"
        u-0: Some([0, 2])
        t: t-0 is to be copied to broker 3, which does not serve
    "#]]
    .assert_eq(&plan_two("0,3+?", "0", 2, "a b c d!", &sizes));
    // nor where it is to be left on it
    expect![[r#"
        u-0: Some([0, 2])
        t: t-0 is to be left on broker 3, which does not serve
    "#]]
    .assert_eq(&plan_two("3?,0,1-", "0", 2, "a b c d!", &sizes));
    expect![[""]].assert_eq(&plan_two("0,1+?", "0", 2, "a b c d!", &sizes));
}

#[test]
fn the_size_of_all_that_may_move_is_asked_for() {
    let topics = BTreeMap::from([("t".to_owned(), topic("0,1 1,0 0,1"))]);
    let situation = Situation {
        topics: &topics,
        wanted: &BTreeMap::new(),
        brokers: &brokers("a b c"),
        leaving: &BTreeSet::new(),
        newcomers: &BTreeSet::from([2]),
    };
    let asked: BTreeSet<PartitionKey> = concerned(&situation, false).into_iter().collect();
    let moved = plan(&situation, &Sizes::new()).targets.into_keys();
    assert_eq!(asked, moved.collect());
    let held = |key: &PartitionKey| (key.clone(), BTreeMap::from([(0, BYTES_MAX)]));
    let sizes: Sizes = asked.iter().map(held).collect();
    assert_eq!(plan(&situation, &sizes).targets.len(), 1);
}

#[test]
fn nothing_begins_while_brokers_are_to_be_restarted() {
    let topics = BTreeMap::from([("t".to_owned(), topic("0,1+? 0"))]);
    let mut situation = Situation {
        topics: &topics,
        wanted: &BTreeMap::from([("t".to_owned(), 1)]),
        brokers: &brokers("a b"),
        leaving: &BTreeSet::new(),
        newcomers: &BTreeSet::new(),
    };
    let held = |situation: &Situation<'_>| {
        let mut moves = plan(situation, &Sizes::new());
        moves.hold();
        let targets = moves.targets.into_values().collect::<Vec<_>>();
        let waiting = moves.waiting.into_values().collect::<Vec<_>>();
        (targets, waiting)
    };
    assert_eq!(
        held(&situation),
        (vec![None], vec![]),
        "what is not wanted any more is cancelled"
    );
    let two = BTreeMap::from([("t".to_owned(), 2)]);
    situation.wanted = &two;
    let why = vec!["brokers are restarted first".to_owned()];
    assert_eq!(held(&situation), (vec![], why));
}

#[test]
fn newcomers_get_their_share_of_what_will_be() {
    let topics = [("grows", "0 0 0 0 0 0"), ("stays", "0 0 0")];
    let topics = topics.map(|(name, partitions)| (name.to_owned(), topic(partitions)));
    let topics = BTreeMap::from(topics);
    let situation = Situation {
        topics: &topics,
        wanted: &BTreeMap::from([("grows".to_owned(), 3)]),
        brokers: &brokers("a b c"),
        leaving: &BTreeSet::new(),
        newcomers: &BTreeSet::from([1, 2]),
    };
    let moves = plan(&situation, &Sizes::new()).targets;
    let of = |broker: i32| {
        let stays = moves.iter().filter(|((topic, _), _)| topic == "stays");
        stays
            .filter(|(_, target)| **target == Some(vec![broker]))
            .count()
    };
    assert_eq!((of(1), of(2)), (1, 1));
}

#[test]
fn all_that_will_be_copied_is_weighed_and_not_what_is_copied_first() {
    let topics = BTreeMap::from([("t".to_owned(), topic(&"0,1 ".repeat(120)))]);
    let sizes = (0..120).map(|index| (("t".to_owned(), index), BTreeMap::from([(0, 1)])));
    let sizes: Sizes = sizes.collect();
    let situation = Situation {
        topics: &topics,
        wanted: &BTreeMap::new(),
        brokers: &brokers("a a a"),
        leaving: &BTreeSet::new(),
        newcomers: &BTreeSet::from([2]),
    };
    assert_eq!(bytes(&situation, &sizes), Some(80));
    assert_eq!(bytes(&situation, &Sizes::new()), None);
    assert_eq!(concerned(&situation, true).len(), 80);
}
