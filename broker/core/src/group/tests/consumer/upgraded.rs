//! What a group has to make up for that is upgraded while something was under way.

use expect_test::expect;

use super::world::check;

/// What members have when a group is upgraded is not all that there is: somebody has left, one more
/// waits to be let in, or a topic has grown. Who joins has it assigned anew, whatever it asks for.
#[test]
fn a_rebalance_that_runs_at_an_upgrade_is_made_up_for() {
    check(
        "
        topic t 4
        A join-group new static=X
        B join-group new
        wait 6000
        A sync-group gives:A=t-0,t-1 gives:B=t-2,t-3
        B sync-group
        B classic-leave
        C join topics=t static=X
        C has t-0,t-1
        C beat
        describe
        ",
        &expect![[r#"
            topic t 4
            A join-group new static=X
                A: waits
            B join-group new
                B: waits
            wait 6000
                A waited: generation 1 by range, leads
                B waited: generation 1 by range
            A sync-group gives:A=t-0,t-1 gives:B=t-2,t-3
                A: has [t-0,t-1]
            B sync-group
                B: has [t-2,t-3]
            B classic-leave
                NONE
            C join topics=t static=X
                C: epoch 2 has [t-0,t-1,t-2,t-3]
            C has t-0,t-1
                C: epoch 2
            C beat
                C: epoch 2
            describe
                Stable 2/2 by uniform
                C epoch 2 has [t-0,t-1,t-2,t-3] of [t-0,t-1,t-2,t-3]
        "#]],
    );
    check(
        "
        topic t 2
        A join-group new static=X
        wait 3000
        A sync-group gives:A=t-0,t-1
        topic t 4
        C join topics=t static=X
        C beat
        describe
        ",
        &expect![[r#"
            topic t 2
            A join-group new static=X
                A: waits
            wait 3000
                A waited: generation 1 by range, leads
            A sync-group gives:A=t-0,t-1
                A: has [t-0,t-1]
            topic t 4
            C join topics=t static=X
                C: epoch 2 has [t-0,t-1,t-2,t-3]
            C beat
                C: epoch 2
            describe
                Stable 2/2 by uniform
                C epoch 2 has [t-0,t-1,t-2,t-3] of [t-0,t-1,t-2,t-3]
        "#]],
    );
}

/// A consumer is a member of an epoch from the first answer on, however young the classic group is.
#[test]
fn a_group_without_a_generation_is_upgraded_to_an_epoch() {
    check(
        "
        topic t 2
        A join-group new
        B join topics=
        B beat
        A join-group
        A sync-group
        describe
        ",
        &expect![[r#"
            topic t 2
            A join-group new
                A: waits
            B join topics=
                A waited: REBALANCE_IN_PROGRESS
                B: epoch 1 has []
            B beat
                B: epoch 1
            A join-group
                A: generation 2 by range
            A sync-group
                A: has [t-1]
            describe
                Reconciling 2/2 by uniform
                client-00000000-0000-0000-4141-414141414141 (classic) epoch 0 has [] of [t-0]
                B epoch 1 has [] of []
                A (classic) epoch 2 has [t-1] of [t-1]
        "#]],
    );
}

/// The epoch changes with an upgrade, also where none of the topics is there that are asked for.
#[test]
fn a_group_of_topics_that_are_not_there_is_upgraded_to_an_epoch_of_its_own() {
    check(
        "
        topic t 2
        A join-group new static=X topics=zz
        C join topics=zz static=X
        C beat
        ",
        &expect![[r#"
            topic t 2
            A join-group new static=X topics=zz
                A: waits
            C join topics=zz static=X
                A waited: REBALANCE_IN_PROGRESS
                C: epoch 1 has []
            C beat
                C: epoch 1
        "#]],
    );
    check(
        "
        topic t 2
        A join-group new static=X
        wait 3000
        A sync-group gives:A=t-0,t-1
        A join-group topics=zz static=X
        C join topics=zz static=X
        ",
        &expect![[r#"
            topic t 2
            A join-group new static=X
                A: waits
            wait 3000
                A waited: generation 1 by range, leads
            A sync-group gives:A=t-0,t-1
                A: has [t-0,t-1]
            A join-group topics=zz static=X
                A: generation 2 by range, leads
            C join topics=zz static=X
                C: epoch 3 has []
        "#]],
    );
}
