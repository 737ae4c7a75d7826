//! What the brokers say of the restart that is planned.

use expect_test::{Expect, expect};

use super::super::{Advice, Plan, heed};
use crate::testing::fold;

/// The page of the broker that would go, and what becomes of the plan to restart it.
fn check(page: &str, allow_unavailable: bool, expected: Expect) {
    let plan = Plan {
        restart: Some(1),
        ..Plan::default()
    };
    let check = serde_json::from_str(page).map_err(|error| error.to_string());
    let plan = heed(
        plan,
        1,
        &Advice {
            check,
            allow_unavailable,
        },
    );
    let mut shown = format!("restart {:?}\n", plan.restart);
    for (id, why) in plan.waiting {
        shown += &format!("{id} waits: {why}\n");
    }
    expected.assert_eq(&fold(&shown));
}

#[test]
fn a_restart_that_harms_nothing_goes() {
    let page = r#"{"broker":1,"votersLeft":2,"voters":3,"harmed":[],"more":0}"#;
    check(
        page,
        false,
        expect![[r#"
        restart Some(1)
    "#]],
    );
    // a broker that has not started yet, and one that is the only voter
    check(
        "{}",
        false,
        expect![[r#"
        restart Some(1)
    "#]],
    );
    check(
        r#"{"votersLeft":0,"voters":1}"#,
        false,
        expect![[r#"
        restart Some(1)
    "#]],
    );
}

#[test]
fn what_would_be_away_is_named_and_allowed_by_the_spec() {
    let page = r#"{"harmed":[{"partition":"alone-0","why":"OnlyReplica"},
        {"partition":"pair-0","why":"UnderMinIsr"}],"more":3}"#;
    check(
        page,
        false,
        expect![[r#"
        restart None
        1 waits: alone-0 has its only replica there; more replicas, or
            spec.allowUnavailable, let it go, and 4 more partitions
    "#]],
    );
    check(
        &page.replace(r#""more":3"#, r#""more":0"#),
        true,
        expect![[r#"
            restart Some(1)
        "#]],
    );
    let page = r#"{"harmed":[{"partition":"pair-0","why":"UnderMinIsr"}]}"#;
    check(
        page,
        false,
        expect![[r#"
        restart None
        1 waits: pair-0 would have fewer replicas in sync than min.insync.replicas asks
            for; more replicas, a smaller min.insync.replicas, or spec.allowUnavailable,
            let it go
    "#]],
    );
    let page = r#"{"harmed":[{"partition":"t-0","why":"OnlyInSync"}]}"#;
    check(
        page,
        false,
        expect![[r#"
        restart None
        1 waits: t-0 is in sync nowhere else; it goes when another replica is, or by
            spec.allowUnavailable
    "#]],
    );
}

#[test]
fn a_reassignment_and_the_quorum_are_waited_for_in_any_case() {
    let page = r#"{"votersLeft":2,"voters":3,"harmed":[{"partition":"t-0","why":"Reassigning"}]}"#;
    check(
        page,
        true,
        expect![[r#"
        restart None
        1 waits: t-0 has replicas that are being added or removed
    "#]],
    );
    check(
        r#"{"votersLeft":1,"voters":3}"#,
        true,
        expect![[r#"
        restart None
        1 waits: only 1 of 3 voters would be left
    "#]],
    );
    check(
        r#"{"harmed":[{"partition":"t-0","why":"Haunted"}]}"#,
        true,
        expect![[r#"
            restart None
            1 waits: t-0 would suffer in a way that a newer operator knows
        "#]],
    );
}

#[test]
fn without_a_say_nothing_goes() {
    check(
        "<html>",
        true,
        expect![[r#"
        restart None
        1 waits: the cluster cannot be asked: expected value at line 1 column 1
    "#]],
    );
}
