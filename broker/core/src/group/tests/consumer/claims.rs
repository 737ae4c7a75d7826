//! What classic members say they had, when their group is upgraded: it is theirs until they join
//! again without it, and no longer than a rebalance may take.

#![allow(clippy::too_many_lines, reason = "a table is of one piece")]

use expect_test::expect;

use super::world::check;

/// A static member that hangs claims what it had generations ago, and by now another has; who takes
/// its place gives up the claim, and the other's stands (KIP-792).
#[test]
fn the_newest_claim_counts() {
    check(
        "
        topic t 3
        A join-group new static=X session=600000
        wait 3000
        A sync-group gives:A=t-0,t-1,t-2
        B join-group new session=600000
        A join-group static=X session=600000 has=t-0,t-1,t-2 of=1
        A sync-group gives:A=t-0
        B sync-group
        D join-group new session=600000
        B join-group session=600000
        wait 60000
        B sync-group gives:A=t-0 gives:B=t-1,t-2
        D sync-group
        E join-group new session=600000
        B join-group session=600000 has=t-1,t-2 of=3
        D join-group session=600000
        wait 60000
        B sync-group gives:A=t-0 gives:B=t-2
        D sync-group
        C join topics=t static=X
        D heartbeat
        D join-group session=600000
        D sync-group
        B join-group session=600000 has=t-2 of=4
        D heartbeat
        D join-group session=600000
        D sync-group
        ",
        &expect![[r#"
            topic t 3
            A join-group new static=X session=600000
                A: waits
            wait 3000
                A waited: generation 1 by range, leads
            A sync-group gives:A=t-0,t-1,t-2
                A: has [t-0,t-1,t-2]
            B join-group new session=600000
                B: waits
            A join-group static=X session=600000 has=t-0,t-1,t-2 of=1
                B waited: generation 2 by range
                A: generation 2 by range, leads
            A sync-group gives:A=t-0
                A: has [t-0]
            B sync-group
                B: has []
            D join-group new session=600000
                D: waits
            B join-group session=600000
                B: waits
            wait 60000
                B waited: generation 3 by range, leads
                D waited: generation 3 by range
            B sync-group gives:A=t-0 gives:B=t-1,t-2
                B: has [t-1,t-2]
            D sync-group
                D: has []
            E join-group new session=600000
                E: waits
            B join-group session=600000 has=t-1,t-2 of=3
                B: waits
            D join-group session=600000
                D: waits
            wait 60000
                B waited: generation 4 by range, leads
                D waited: generation 4 by range
                E waited: generation 4 by range
            B sync-group gives:A=t-0 gives:B=t-2
                B: has [t-2]
            D sync-group
                D: has []
            C join topics=t static=X
                C: epoch 5 has [t-0]
            D heartbeat
                D: REBALANCE_IN_PROGRESS
            D join-group session=600000
                D: generation 5 by range
            D sync-group
                D: has []
            B join-group session=600000 has=t-2 of=4
                B: generation 5 by range
            D heartbeat
                D: REBALANCE_IN_PROGRESS
            D join-group session=600000
                D: generation 5 by range
            D sync-group
                D: has [t-1]
        "#]],
    );
}

/// A client that goes on saying it has what it is to give up is put out like any that does not give
/// it up in time.
#[test]
fn a_claim_has_an_end() {
    check(
        "
        topic t 2
        A join-group new has=t-0,t-1 session=90000
        wait 3000
        A sync-group gives:A=t-0
        C join topics=t
        wait 25000
        C has
        A heartbeat
        A join-group has=t-0,t-1 session=90000
        A sync-group
        wait 25000
        C has
        A heartbeat
        A join-group has=t-0,t-1 session=90000
        A sync-group
        wait 12000
        C has
        A heartbeat
        ",
        &expect![[r#"
            topic t 2
            A join-group new has=t-0,t-1 session=90000
                A: waits
            wait 3000
                A waited: generation 1 by range, leads
            A sync-group gives:A=t-0
                A: has [t-0]
            C join topics=t
                C: epoch 2 has []
            wait 25000
            C has
                C: epoch 2
            A heartbeat
                A: REBALANCE_IN_PROGRESS
            A join-group has=t-0,t-1 session=90000
                A: generation 1 by range
            A sync-group
                A: has [t-0]
            wait 25000
            C has
                C: epoch 2
            A heartbeat
                A: REBALANCE_IN_PROGRESS
            A join-group has=t-0,t-1 session=90000
                A: generation 1 by range
            A sync-group
                A: has [t-0]
            wait 12000
            C has
                C: epoch 3 has [t-0,t-1]
            A heartbeat
                A: UNKNOWN_MEMBER_ID
        "#]],
    );
}

#[test]
fn claims_of_topics_that_a_member_does_not_subscribe_to_do_not_count() {
    check(
        "
        topic t 1
        topic s 1
        A join-group new has=s-0
        wait 3000
        A sync-group gives:A=t-0
        C join topics=t
        describe
        ",
        &expect![[r#"
            topic t 1
            topic s 1
            A join-group new has=s-0
                A: waits
            wait 3000
                A waited: generation 1 by range, leads
            A sync-group gives:A=t-0
                A: has [t-0]
            C join topics=t
                C: epoch 2 has []
            describe
                Reconciling 2/2 by uniform
                A (classic) epoch 1 has [t-0] of [t-0]
                C epoch 2 has [] of []
        "#]],
    );
}
