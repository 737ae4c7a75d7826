//! Several brokers that restart at a time.

use std::collections::BTreeSet;

use expect_test::{Expect, expect};

use super::super::{Advice, Health, Obstacle, Plan, heed};
use super::{brokers, health, plan};
use crate::testing::fold;

fn check(letters: &str, (voters, partitions): (&str, &str), most: usize, expected: Expect) {
    let plan = plan(&brokers(letters), &health(voters, partitions), (true, most));
    let going: Vec<i32> = plan.going().collect();
    let mut shown = format!("restart {going:?}\n");
    for (id, why) in plan.waiting {
        shown += &format!("{id} waits: {why}\n");
    }
    expected.assert_eq(&fold(&shown));
}

/// Two brokers in each of three racks, each partition in all racks.
const RACKS: &str = "a:0,2,4/0,2,4 b:1,3,5/1,3,5 c:0,3,4/0,3,4";

#[test]
fn those_of_a_rack_go_together_where_they_may() {
    check(
        "!!!!!!",
        ("0* 2 4", RACKS),
        1,
        expect![[r#"
        restart [1]
        0 waits: broker 1 goes first
        2 waits: broker 1 goes first
        3 waits: broker 1 goes first
        4 waits: broker 1 goes first
        5 waits: broker 1 goes first
    "#]],
    );
    check(
        "!!!!!!",
        ("0* 2 4", RACKS),
        2,
        expect![[r#"
        restart [1, 2]
        0 waits: broker 1 goes first
        3 waits: broker 1 goes first
        4 waits: broker 1 goes first
        5 waits: broker 1 goes first
    "#]],
    );
    // They are not chosen by racks, but by what they hold.
    check(
        "!.!!!!",
        ("0* 2 4", RACKS),
        3,
        expect![[r#"
        restart [2, 3]
        0 waits: broker 2 goes first
        4 waits: broker 2 goes first
        5 waits: broker 2 goes first
    "#]],
    );
    check(
        "!x!!!!",
        ("0* 2 4", RACKS),
        3,
        expect![[r#"
        restart []
        0 waits: broker 1 does not serve (its pod is being created)
        2 waits: broker 1 does not serve (its pod is being created)
        3 waits: broker 1 does not serve (its pod is being created)
        4 waits: broker 1 does not serve (its pod is being created)
        5 waits: broker 1 does not serve (its pod is being created)
    "#]],
    );
}

#[test]
fn who_does_not_serve_goes_alone() {
    check(
        "..BB..",
        ("0* 1 4", RACKS),
        3,
        expect![[r#"
        restart [2]
        3 waits: broker 2 goes first
    "#]],
    );
    check(
        "..F!..",
        ("0* 1 4", RACKS),
        3,
        expect![[r#"
        restart [2]
        3 waits: broker 2 goes first
    "#]],
    );
}

/// Whatever there is: no partition loses two replicas, nor the quorum two voters, and none that is
/// short of one loses another.
#[test]
fn what_goes_together_has_nothing_in_common() {
    let mut together = 0;
    for seed in 0..2000 {
        let mut state: u64 = seed;
        let mut below = |limit: i32| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            i32::try_from(state >> 33).unwrap() % limit
        };
        let count = 3 + below(7);
        let letter = |number: i32| match number {
            0 => '.',
            1 if seed % 4 == 0 => 'b',
            2 if seed % 4 == 1 => 'x',
            _ => '!',
        };
        let letters: String = (0..count).map(|_| letter(below(8))).collect();
        let mut partitions = String::new();
        for index in 0..below(8) {
            let mut replicas = BTreeSet::new();
            while replicas.len() < 1 + usize::try_from(index % 3).unwrap() {
                replicas.insert(below(count));
            }
            let all: Vec<String> = replicas.iter().map(ToString::to_string).collect();
            let isr = match below(16) {
                0 => &all[..1],
                _ => &all[..],
            };
            partitions += &format!("t{index}:{}/{} ", all.join(","), isr.join(","));
        }
        let voters = ["0* 1 2", "0 1* 2", "0 1 2*"][usize::try_from(below(3)).unwrap()];
        let most = usize::try_from(1 + below(4)).unwrap();
        let health = health(voters, partitions.trim());
        let plan = plan(&brokers(&letters), &health, (true, most));
        judge(&plan, &letters, &health, most);
        together += usize::from(!plan.beside.is_empty());
    }
    assert!(together > 100, "{together}");
}

fn judge(plan: &Plan, letters: &str, health: &Health, most: usize) {
    let going: BTreeSet<i32> = plan.going().collect();
    let told = || format!("{letters} {health:?}: {plan:?}");
    assert!(going.len() <= most, "{}", told());
    assert_eq!(going.len(), plan.going().count(), "{}", told());
    assert!(going.iter().all(|id| !plan.waiting.contains_key(id)));
    let Health::Known {
        cluster,
        quorum: Ok(quorum),
    } = health
    else {
        panic!("both are known");
    };
    let mut partitions = cluster.topics.values().flat_map(|topic| &topic.partitions);
    let hit = |ids: &[i32]| ids.iter().filter(|id| going.contains(id)).count();
    assert!(partitions.all(|p| hit(&p.replicas) <= 1), "{}", told());
    let voters: Vec<i32> = quorum.voters.keys().copied().collect();
    assert!(hit(&voters) <= 1, "{}", told());
    if going.len() > 1 {
        let serve = brokers(letters).into_iter();
        let mut others = serve.filter(|one| !going.contains(&one.id));
        assert!(others.all(|one| one.ready), "{}", told());
    }
    // Who must go and does not is told why.
    let waits = |id: &i32| plan.waiting.contains_key(id) || going.contains(id);
    let must_go = brokers(letters).into_iter();
    let mut must_go = must_go.filter(|one| one.restart.is_some());
    assert!(must_go.all(|one| waits(&one.id)), "{}", told());
}

#[test]
fn one_with_what_nobody_may_see_goes_alone() {
    let planned = || plan(&brokers("!!!!!!"), &health("4*", RACKS), (true, 3));
    let going = |plan: &Plan| plan.going().collect::<Vec<i32>>();
    assert_eq!(going(&planned()), vec![0, 1]);
    let mut first = planned();
    first.goes_alone(0);
    assert_eq!(going(&first), [0]);
    let mut other = planned();
    other.goes_alone(1);
    assert_eq!(going(&other), [0]);
    assert_eq!(other.waiting.get(&1), Some(&Obstacle::GoesFirst(0)));
    let mut after = planned().after(Some(3));
    assert_eq!(going(&after), Vec::<i32>::new());
    after.goes_alone(0);
    assert_eq!(after.waiting.len(), 6);
}

/// The others wait for one that goes, not for one that waits itself.
#[test]
fn where_the_first_may_not_go_the_others_wait_for_the_next() {
    let plan = plan(&brokers("!!!!!!"), &health("4*", RACKS), (true, 3));
    let asked = Advice {
        check: Err("nobody answers".to_owned()),
        allow_unavailable: false,
    };
    let plan = heed(plan, 0, &asked);
    assert_eq!(plan.going().collect::<Vec<i32>>(), [1]);
    let waiting: BTreeSet<i32> = plan.waiting.keys().copied().collect();
    assert_eq!(waiting, BTreeSet::from([0, 2, 3, 4, 5]));
    let behind = plan.waiting.iter().filter(|(id, _)| **id != 0);
    for (id, why) in behind {
        assert_eq!(*why, Obstacle::GoesFirst(1), "{id}");
    }
}
