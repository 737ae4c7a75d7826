//! Plans where the brokers cannot be asked.

use expect_test::{Expect, expect};

use super::{Health, shown};

fn check_unasked(letters: &str, has_served: bool, expected: Expect) {
    let health = Health::Unknown("no connection".to_owned());
    expected.assert_eq(&shown(letters, &health, has_served));
}

#[test]
fn without_an_answer_only_what_has_no_process_goes() {
    check_unasked(
        "!..",
        true,
        expect![[r#"
        restart None
        0 waits: the cluster cannot be asked: no connection
    "#]],
    );
    check_unasked(
        "BB.",
        true,
        expect![[r#"
        restart None
        0 waits: the cluster cannot be asked: no connection
        1 waits: the cluster cannot be asked: no connection
    "#]],
    );
    check_unasked(
        "bbF",
        true,
        expect![[r#"
        restart Some(2)
    "#]],
    );
}

#[test]
fn in_a_cluster_that_was_never_up_there_is_nothing_to_lose() {
    check_unasked(
        "BBB",
        false,
        expect![[r#"
        restart Some(0)
        1 waits: broker 0 goes first
        2 waits: broker 0 goes first
    "#]],
    );
    check_unasked(
        "!BB",
        false,
        expect![[r#"
        restart Some(1)
        0 waits: broker 1 goes first
        2 waits: broker 1 goes first
    "#]],
    );
    check_unasked(
        "xBB",
        false,
        expect![[r#"
        restart None
        1 waits: broker 0 does not serve (its pod is being created)
        2 waits: broker 0 does not serve (its pod is being created)
    "#]],
    );
}
