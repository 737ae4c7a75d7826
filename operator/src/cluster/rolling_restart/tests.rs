//! Brokers as a row of letters in, plan out.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};

use super::{Health, ObservedBroker, plan};
use crate::observed::{ObservedCluster, ObservedPartition, ObservedQuorum, ObservedTopic};
use crate::testing::fold;

/// A broker a letter, another case (or `!`) for one that is to be restarted: `.` serves, `s` does
/// since a moment ago, `b` runs, is not ready, `x` is on its way back without a process, `f` does
/// not come up by itself.
pub(in crate::cluster) fn brokers(letters: &str) -> Vec<ObservedBroker> {
    let broker = |(id, letter): (i32, char)| {
        let (message, state) = match letter.to_ascii_lowercase() {
            'f' => ("exits at once", 'f'),
            'x' => ("its pod is being created", 'x'),
            'b' => ("is behind", 'b'),
            's' => ("serves", 's'),
            _ => ("serves", '.'),
        };
        let must_go = letter == '!' || letter.is_ascii_uppercase();
        ObservedBroker {
            id,
            ready: ".s".contains(state),
            settles: state == 's',
            runs: ".sb".contains(state),
            fails: state == 'f',
            message: message.to_owned(),
            restart: must_go.then(|| "num.partitions changed".to_owned()),
        }
    };
    (0..).zip(letters.chars()).map(broker).collect()
}

/// The leader of the quorum has a `*`, voters that do not follow it a `-`; partitions are
/// `name:replicas/isr`, replicas that are being added with a `+`.
pub(in crate::cluster) fn health(voters: &str, partitions: &str) -> Health {
    let ids = |text: &str| -> Vec<i32> {
        let ids = text.split(',').map(|id| id.trim_end_matches(['+', '-']));
        ids.map(|id| id.parse().unwrap()).collect()
    };
    let mut quorum = Err("no active controller".to_owned());
    let all: BTreeMap<i32, bool> = voters
        .split_whitespace()
        .map(|voter| {
            let id: i32 = voter.trim_end_matches(['*', '-']).parse().unwrap();
            (id, !voter.ends_with('-'))
        })
        .collect();
    if let Some(leader) = voters.split_whitespace().find(|one| one.ends_with('*')) {
        quorum = Ok(ObservedQuorum {
            leader: leader.trim_end_matches('*').parse().unwrap(),
            voters: all,
        });
    }
    let topics = partitions.split_whitespace().map(|one| {
        let (name, nodes) = one.split_once(':').unwrap();
        let (replicas, isr) = nodes.split_once('/').unwrap();
        let with = |sign: char| {
            let marked = replicas.split(',').filter(|id| id.contains(sign));
            marked.flat_map(ids).collect()
        };
        let partition = ObservedPartition {
            has_leader: true,
            replicas: ids(replicas),
            isr: ids(isr),
            adding: with('+'),
            removing: with('-'),
        };
        let topic = ObservedTopic {
            partitions: vec![partition],
            ..ObservedTopic::default()
        };
        (name.to_owned(), topic)
    });
    Health::Known {
        cluster: ObservedCluster {
            topics: topics.collect(),
            ..ObservedCluster::default()
        },
        quorum,
    }
}

fn shown(letters: &str, health: &Health, has_served: bool) -> String {
    let plan = plan(&brokers(letters), health, (has_served, 1));
    let mut shown = format!("restart {:?}\n", plan.restart);
    for (id, why) in plan.waiting {
        shown += &format!("{id} waits: {why}\n");
    }
    fold(&shown)
}

fn check(letters: &str, voters: &str, partitions: &str, expected: Expect) {
    let health = health(voters, partitions);
    expected.assert_eq(&shown(letters, &health, true));
}

#[test]
fn nothing_to_do() {
    check(
        "...",
        "0* 1 2",
        "",
        expect![[r#"
        restart None
    "#]],
    );
}

#[test]
fn one_at_a_time_and_the_active_controller_last() {
    check(
        "!!!",
        "0* 1 2",
        "",
        expect![[r#"
        restart Some(1)
        0 waits: broker 1 goes first
        2 waits: broker 1 goes first
    "#]],
    );
    check(
        "!..",
        "0* 1 2",
        "",
        expect![[r#"
        restart Some(0)
    "#]],
    );
    check(
        "!!!!",
        "1* 2 3",
        "",
        expect![[r#"
        restart Some(0)
        1 waits: broker 0 goes first
        2 waits: broker 0 goes first
        3 waits: broker 0 goes first
    "#]],
    );
}

#[test]
fn the_others_must_serve_and_be_in_sync() {
    check(
        ".x!",
        "0* 1- 2",
        "",
        expect![[r#"
        restart None
        2 waits: broker 1 does not serve (its pod is being created)
    "#]],
    );
    check(
        ".f!",
        "0* 1- 2",
        "",
        expect![[r#"
        restart None
        2 waits: broker 1 does not serve (exits at once)
    "#]],
    );
    check(
        ".b!",
        "0* 1 2",
        "",
        expect![[r#"
        restart None
        2 waits: broker 1 does not serve (is behind)
    "#]],
    );
    check(
        "..!",
        "0* 1 2",
        "orders:0,1,2/0,2 pays:0,1,2/2",
        expect![[r#"
            restart None
            2 waits: orders-0 is not in sync on broker 1, and 1 more partitions
        "#]],
    );
}

#[test]
fn a_broker_behind_may_itself_be_restarted() {
    check(
        "..!",
        "0* 1 2",
        "orders:0,1,2/0,1",
        expect![[r#"
        restart Some(2)
    "#]],
    );
    check(
        "!!B",
        "0* 1 2",
        "orders:0,1,2/0,1",
        expect![[r#"
        restart Some(2)
        0 waits: broker 2 goes first
        1 waits: broker 2 goes first
    "#]],
    );
}

#[test]
fn what_is_not_ready_and_leads_is_not_taken_for_down() {
    // Another is away in the middle of a roll, and this one has missed two probes.
    check(
        ".xB",
        "0* 1- 2",
        "orders:0,1,2/0,2",
        expect![[r#"
        restart None
        2 waits: broker 1 does not serve (its pod is being created)
    "#]],
    );
    // The leader of a partition that nobody else has whole.
    check(
        "..B",
        "0* 1 2",
        "orders:0,1,2/2 pays:0,1,2/0,2",
        expect![[r#"
            restart None
            2 waits: orders-0 would be in sync on no broker that serves, and 1 more
                partitions
        "#]],
    );
    // Another was just restarted, and is still catching up.
    check(
        ".bB",
        "0* 1 2",
        "orders:0,1,2/0,2",
        expect![[r#"
            restart None
            2 waits: orders-0 would be in sync on broker 0 only
        "#]],
    );
    // Another hangs, and is in the ISR for as long as nobody has noticed.
    check(
        ".bB",
        "0* 1 2",
        "orders:0,1,2/1,2",
        expect![[r#"
            restart None
            2 waits: orders-0 would be in sync on no broker that serves
        "#]],
    );
    // Enough stay, whatever else is missing.
    check(
        "..bB",
        "0* 1 2",
        "orders:0,1,2,3/0,1,3 pays:0,1,2/0,1",
        expect![[r#"
            restart Some(3)
        "#]],
    );
    // Nobody else will ever have it: to wait would help nobody.
    check(
        "..B",
        "0* 1 2",
        "orders:2/2",
        expect![[r#"
        restart Some(2)
    "#]],
    );
}

#[test]
fn all_disks_full_is_one_after_the_other() {
    check(
        "BBB",
        "0* 1 2",
        "orders:0,1,2/0,1,2",
        expect![[r#"
        restart Some(1)
        0 waits: broker 1 goes first
        2 waits: broker 1 goes first
    "#]],
    );
    check(
        "BxB",
        "0* 1- 2",
        "orders:0,1,2/0,2",
        expect![[r#"
        restart None
        0 waits: broker 1 does not serve (its pod is being created)
        2 waits: broker 1 does not serve (its pod is being created)
    "#]],
    );
    check(
        "BbB",
        "0* 1 2",
        "orders:0,1,2/0,2",
        expect![[r#"
        restart None
        0 waits: orders-0 would be in sync on no broker that serves
        2 waits: orders-0 would be in sync on no broker that serves
    "#]],
    );
    check(
        "Bbb",
        "0* 1 2",
        "orders:0,1,2/0,1,2",
        expect![[r#"
        restart Some(0)
    "#]],
    );
}

#[test]
fn without_a_quorum_nothing_goes_that_serves() {
    check(
        "xx!!!",
        "",
        "",
        expect![[r#"
        restart None
        2 waits: broker 0 does not serve (its pod is being created)
        3 waits: broker 0 does not serve (its pod is being created)
        4 waits: broker 0 does not serve (its pod is being created)
    "#]],
    );
    check(
        "bbBBB",
        "",
        "",
        expect![[r#"
        restart None
        2 waits: the metadata quorum is not there: no active controller
        3 waits: the metadata quorum is not there: no active controller
        4 waits: the metadata quorum is not there: no active controller
    "#]],
    );
    // Who has no process takes nothing away, and may bring the quorum back.
    check(
        "FFBBB",
        "",
        "",
        expect![[r#"
        restart Some(0)
        1 waits: broker 0 goes first
        2 waits: broker 0 goes first
        3 waits: broker 0 goes first
        4 waits: broker 0 goes first
    "#]],
    );
    check(
        "xFBBB",
        "",
        "",
        expect![[r#"
        restart Some(1)
        2 waits: broker 1 goes first
        3 waits: broker 1 goes first
        4 waits: broker 1 goes first
    "#]],
    );
}

#[test]
fn the_voters_that_stay_are_a_majority() {
    check(
        "!...",
        "0* 1 2-",
        "",
        expect![[r#"
        restart None
        0 waits: only 1 of 3 voters would be left
    "#]],
    );
    check(
        "...!",
        "0* 1 2-",
        "",
        expect![[r#"
        restart Some(3)
    "#]],
    );
    check(
        "!!.",
        "0*",
        "",
        expect![[r#"
        restart Some(1)
        0 waits: broker 1 goes first
    "#]],
    );
    // Not ready, and a vote all the same.
    check(
        "Bb..",
        "0 1- 2*",
        "",
        expect![[r#"
        restart None
        0 waits: only 1 of 3 voters would be left
    "#]],
    );
    check(
        "B...",
        "0 1 2*",
        "",
        expect![[r#"
        restart Some(0)
    "#]],
    );
}

#[test]
fn brokers_that_are_down_go_first_and_one_at_a_time() {
    check(
        "!!F",
        "0* 1 2-",
        "orders:0,1,2/0,1",
        expect![[r#"
        restart Some(2)
        0 waits: broker 2 goes first
        1 waits: broker 2 goes first
    "#]],
    );
    check(
        "!XX",
        "0*",
        "",
        expect![[r#"
        restart Some(1)
        0 waits: broker 1 goes first
        2 waits: broker 1 goes first
    "#]],
    );
    check(
        "FFF",
        "",
        "",
        expect![[r#"
        restart Some(0)
        1 waits: broker 0 goes first
        2 waits: broker 0 goes first
    "#]],
    );
    // One whose node is dead may be on its way for ever.
    check(
        "xFF",
        "",
        "",
        expect![[r#"
        restart Some(1)
        2 waits: broker 1 goes first
    "#]],
    );
    check(
        ".Fx",
        "0* 1- 2-",
        "orders:0,1,2/0",
        expect![[r#"
        restart Some(1)
    "#]],
    );
    check(
        "bFF",
        "",
        "",
        expect![[r#"
        restart Some(1)
        2 waits: broker 1 goes first
    "#]],
    );
}

mod at_once;
mod controllers;
mod heeded;
mod moving;
mod settling;
mod unasked;
