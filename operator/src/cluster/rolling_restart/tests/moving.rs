//! Restarts beside moves of replicas.

use expect_test::expect;

use super::{brokers, check, health, plan};

#[test]
fn a_copy_on_its_way_is_waited_for_by_its_name_and_keeps_others_from_beginning() {
    check(
        "!...",
        "0* 1 2",
        "a:0,1/0,1 b:0,1,3+/0,1 c:1,2+,3+/1",
        expect![[r#"
        restart None
        0 waits: b-0 is being copied to broker 3, and 1 more partitions
    "#]],
    );
    // What does not end by itself is told first.
    check(
        "!...",
        "0* 1 2",
        "a:0,1,3+/0,1 b:0,1,3+/0",
        expect![[r#"
        restart None
        0 waits: b-0 is not in sync on brokers 1, 3
    "#]],
    );
    // A replica of a cancelled move, kept for a while, gets no copy.
    check(
        "!...",
        "0* 1 2",
        "a:0,1,3+-/0,1",
        expect![[r#"
        restart None
        0 waits: a-0 is not in sync on broker 3
    "#]],
    );
    let holds = |letters: &str, partitions: &str| {
        let health = health("0* 1 2", partitions);
        plan(&brokers(letters), &health, (true, 1)).holds_moves()
    };
    assert!(holds("!...", "a:0,3+/0"));
    assert!(holds("!...", "a:0,3/0,3"), "one goes now");
    assert!(
        !holds("!...", "a:0,3/0"),
        "what is amiss may need to be moved"
    );
    assert!(!holds("....", "a:0,3+/0"));
}
