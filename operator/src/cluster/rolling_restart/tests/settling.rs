//! Brokers that have just come back.

use expect_test::expect;

use super::check;

/// Clients of one that serves go to the others as soon as it goes.
#[test]
fn one_that_serves_waits_until_clients_reach_the_others() {
    let partition = "orders:0,1,2/0,1,2";
    check(
        "s!.",
        "0* 1 2",
        partition,
        expect![[r#"
            restart None
            1 waits: broker 0 has just come back, and clients may not reach it yet
        "#]],
    );
    // one that is behind, and one that has just come back itself, keep nobody waiting
    check(
        "sB.",
        "0* 1 2",
        partition,
        expect![[r#"
            restart Some(1)
        "#]],
    );
    check(
        "S..",
        "0* 1 2",
        partition,
        expect![[r#"
            restart Some(0)
        "#]],
    );
}
