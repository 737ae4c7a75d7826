use expect_test::{Expect, expect};

use super::{Health, ObservedBroker, plan};

/// A broker a character: `.` ready, `!` ready and to be restarted, `x` down, `X` down and to be
/// restarted, `f` failing. Then the partitions out of sync, as `name:ids`.
fn check(brokers: &str, controller: i32, out_of_sync: &str, expected: Expect) {
    let brokers: Vec<ObservedBroker> = (0..)
        .zip(brokers.chars())
        .map(|(id, c)| ObservedBroker {
            id,
            ready: c == '.' || c == '!',
            message: if c == 'f' { "exits at once" } else { "starts" }.to_owned(),
            restart: (c == '!' || c == 'X').then(|| "num.partitions changed".to_owned()),
        })
        .collect();
    let out_of_sync = out_of_sync
        .split_whitespace()
        .map(|one| {
            let (name, ids) = one.split_once(':').unwrap();
            let ids = ids.split(',').map(|id| id.parse().unwrap()).collect();
            (name.to_owned(), ids)
        })
        .collect();
    let health = Health::Known {
        controller: Some(controller),
        out_of_sync,
    };
    let plan = plan(&brokers, &health);
    let mut shown = format!("restart {:?}\n", plan.restart);
    for (id, why) in plan.waiting {
        shown += &format!("{id} waits: {why}\n");
    }
    expected.assert_eq(&shown);
}

#[test]
fn nothing_to_do() {
    check(
        "...",
        0,
        "",
        expect![[r#"
        restart None
    "#]],
    );
}

#[test]
fn one_at_a_time_and_the_controller_last() {
    check(
        "!!!",
        0,
        "",
        expect![[r#"
        restart Some(1)
        0 waits: broker 1 goes first
        2 waits: broker 1 goes first
    "#]],
    );
    check(
        "!..",
        0,
        "",
        expect![[r#"
        restart Some(0)
    "#]],
    );
}

#[test]
fn the_others_must_serve_and_be_in_sync() {
    check(
        ".x!",
        0,
        "",
        expect![[r#"
            restart None
            2 waits: broker 1 does not serve (starts)
        "#]],
    );
    check(
        ".f!",
        0,
        "",
        expect![[r#"
            restart None
            2 waits: broker 1 does not serve (exits at once)
        "#]],
    );
    check(
        "..!",
        0,
        "orders-1:1 orders-2:0,1",
        expect![[r#"
        restart None
        2 waits: orders-1 is not in sync on broker 1, and 1 more partitions
    "#]],
    );
}

#[test]
fn a_broker_behind_may_itself_be_restarted() {
    check(
        "..!",
        0,
        "orders-1:2",
        expect![[r#"
        restart Some(2)
    "#]],
    );
}

#[test]
fn brokers_that_are_down_go_first() {
    check(
        "!!X",
        0,
        "orders-1:2",
        expect![[r#"
        restart Some(2)
        0 waits: broker 2 goes first
        1 waits: broker 2 goes first
    "#]],
    );
    check(
        "!XX",
        0,
        "",
        expect![[r#"
        restart Some(1)
        0 waits: broker 1 goes first
        2 waits: broker 1 goes first
    "#]],
    );
}

#[test]
fn without_an_answer_nothing_goes() {
    let broker = ObservedBroker {
        id: 0,
        ready: true,
        message: "serves".to_owned(),
        restart: Some("image changed".to_owned()),
    };
    let plan = plan(&[broker], &Health::Unknown("no connection".to_owned()));
    assert_eq!(plan.restart, None);
    assert_eq!(
        plan.waiting[&0],
        "the cluster cannot be asked: no connection"
    );
}
