//! What is under way, or nobody's to do any more, where a group changes its protocol.

#![allow(clippy::too_many_lines, reason = "a table is of one piece")]

use expect_test::expect;

use super::world::check;

/// A member that was told by its leader to give a partition up has it until it joins again, also
/// where the group is upgraded meanwhile (KIP-429).
#[test]
fn what_a_member_is_about_to_give_up_is_nobody_elses_yet() {
    check(
        "
        topic t 2
        A join-group new
        wait 3000
        A sync-group gives:A=t-0,t-1
        B join-group new
        A join-group has=t-0,t-1
        A sync-group gives:A=t-0
        C join topics=t
        A commit t-1=5 epoch=2
        A heartbeat
        A join-group has=t-0
        A sync-group
        C has
        describe
        ",
        &expect![[r#"
            topic t 2
            A join-group new
                A: waits
            wait 3000
                A waited: generation 1 by range, leads
            A sync-group gives:A=t-0,t-1
                A: has [t-0,t-1]
            B join-group new
                B: waits
            A join-group has=t-0,t-1
                B waited: generation 2 by range
                A: generation 2 by range, leads
            A sync-group gives:A=t-0
                A: has [t-0]
            C join topics=t
                C: epoch 3 has []
            A commit t-1=5 epoch=2
                A: NONE
            A heartbeat
                A: REBALANCE_IN_PROGRESS
            A join-group has=t-0
                A: generation 3 by range
            A sync-group
                A: has [t-0]
            C has
                C: epoch 3 has [t-1]
            describe
                Reconciling 3/3 by uniform
                B (classic) epoch 2 has [] of []
                A (classic) epoch 3 has [t-0] of [t-0]
                C epoch 3 has [t-1] of [t-1]
        "#]],
    );
}

/// A classic member that takes the last consumer's place leads: somebody has to see topics grow.
/// One that knows of no skipped assignment has all join again (KIP-814).
#[test]
fn whoever_takes_the_last_consumers_place_leads() {
    check(
        "
        topic t 2
        A join topics=t static=X
        B join-group new
        A beat
        A has
        B join-group
        B sync-group
        C join-group first static=X
        C sync-group
        describe
        ",
        &expect![[r#"
            topic t 2
            A join topics=t static=X
                A: epoch 2 has [t-0,t-1]
            B join-group new
                B: generation 3 by range
            A beat
                A: epoch 2 has [t-0]
            A has
                A: epoch 3
            B join-group
                B: generation 3 by range
            B sync-group
                B: has [t-1]
            C join-group first static=X
                C: generation 3 by range, leads, assigns nothing
            C sync-group
                C: has [t-0]
            describe
                GROUP_ID_NOT_FOUND Group g is not a consumer group.
        "#]],
    );
    check(
        "
        topic t 2
        A join topics=t static=X
        B join-group new
        A beat
        A has
        B join-group
        B sync-group
        C join-group new static=X
        B heartbeat
        ",
        &expect![[r#"
            topic t 2
            A join topics=t static=X
                A: epoch 2 has [t-0,t-1]
            B join-group new
                B: generation 3 by range
            A beat
                A: epoch 2 has [t-0]
            A has
                A: epoch 3
            B join-group
                B: generation 3 by range
            B sync-group
                B: has [t-1]
            C join-group new static=X
                C: generation 3 by range
            B heartbeat
                B: REBALANCE_IN_PROGRESS
        "#]],
    );
}

/// Partitions that came since the consumers looked last are assigned.
#[test]
fn topics_that_grew_before_a_downgrade_are_assigned_anew() {
    check(
        "
        topic t 2
        A join topics=t static=X
        topic t 4
        C join-group first static=X
        C heartbeat
        ",
        &expect![[r#"
            topic t 2
            A join topics=t static=X
                A: epoch 2 has [t-0,t-1]
            topic t 4
            C join-group first static=X
                C: generation 2 by range
            C heartbeat
                C: REBALANCE_IN_PROGRESS
        "#]],
    );
}

/// Where no consumer is there to make the group's target, a classic member is told to.
#[test]
fn classic_members_do_not_wait_for_consumers_that_are_away() {
    check(
        "
        topic t 3
        A join topics=t static=X
        B join-group new
        C join-group new
        A beat
        A has
        B join-group
        B sync-group
        C join-group
        C sync-group
        B heartbeat
        C heartbeat
        A away
        B classic-leave
        C heartbeat
        ",
        &expect![[r#"
            topic t 3
            A join topics=t static=X
                A: epoch 2 has [t-0,t-1,t-2]
            B join-group new
                B: generation 3 by range
            C join-group new
                C: generation 4 by range
            A beat
                A: epoch 2 has [t-0]
            A has
                A: epoch 4
            B join-group
                B: generation 4 by range
            B sync-group
                B: has [t-2]
            C join-group
                C: generation 4 by range
            C sync-group
                C: has [t-1]
            B heartbeat
                B: NONE
            C heartbeat
                C: NONE
            A away
                A: epoch -2
            B classic-leave
                NONE
            C heartbeat
                C: REBALANCE_IN_PROGRESS
        "#]],
    );
    check(
        "
        topic t 2
        A join topics=t
        B join-group new session=45000
        A has
        A has
        B join-group session=45000
        B sync-group
        B heartbeat
        topic t 4
        B heartbeat
        wait 5000
        A beat
        B heartbeat
        B join-group session=45000 has=t-1
        B sync-group
        A has
        B heartbeat
        topic t 6
        wait 9000
        B heartbeat
        wait 2000
        B heartbeat
        ",
        &expect![[r#"
            topic t 2
            A join topics=t
                A: epoch 2 has [t-0,t-1]
            B join-group new session=45000
                B: generation 3 by range
            A has
                A: epoch 2 has [t-0]
            A has
                A: epoch 3
            B join-group session=45000
                B: generation 3 by range
            B sync-group
                B: has [t-1]
            B heartbeat
                B: NONE
            topic t 4
            B heartbeat
                B: NONE
            wait 5000
            A beat
                A: epoch 4 has [t-0,t-2]
            B heartbeat
                B: REBALANCE_IN_PROGRESS
            B join-group session=45000 has=t-1
                B: generation 4 by range
            B sync-group
                B: has [t-1,t-3]
            A has
                A: epoch 4
            B heartbeat
                B: NONE
            topic t 6
            wait 9000
            B heartbeat
                B: NONE
            wait 2000
            B heartbeat
                B: REBALANCE_IN_PROGRESS
        "#]],
    );
}

/// Topics that a group does not subscribe to are none of its members' business.
#[test]
fn classic_members_do_not_join_again_for_other_topics() {
    check(
        "
        policy upgrade
        topic t 2
        A join-group new
        wait 3000
        A sync-group gives:A=t-0,t-1
        B join topics=t
        A heartbeat
        A join-group
        A sync-group
        B has
        B leave
        A heartbeat
        A join-group
        A sync-group
        A heartbeat
        topic other 1
        A heartbeat
        topic t 3
        A heartbeat
        ",
        &expect![[r#"
            policy upgrade
            topic t 2
            A join-group new
                A: waits
            wait 3000
                A waited: generation 1 by range, leads
            A sync-group gives:A=t-0,t-1
                A: has [t-0,t-1]
            B join topics=t
                B: epoch 2 has []
            A heartbeat
                A: REBALANCE_IN_PROGRESS
            A join-group
                A: generation 1 by range
            A sync-group
                A: has [t-0]
            B has
                B: epoch 2
            B leave
                B: epoch -1
            A heartbeat
                A: REBALANCE_IN_PROGRESS
            A join-group
                A: generation 3 by range
            A sync-group
                A: has [t-0,t-1]
            A heartbeat
                A: NONE
            topic other 1
            A heartbeat
                A: NONE
            topic t 3
            A heartbeat
                A: REBALANCE_IN_PROGRESS
        "#]],
    );
}

/// A member asks for its part by the assignor that it was told, which the downgraded group does not
/// use: it joins again, which ends no client.
#[test]
fn a_sync_on_its_way_while_the_group_is_downgraded_is_told_to_join_again() {
    check(
        "
        topic t 2
        C join topics=t
        A join-group new protocols=roundrobin,range
        B join-group new protocols=range
        C has
        A join-group protocols=roundrobin,range
        C leave
        A sync-group protocol=roundrobin
        ",
        &expect![[r#"
            topic t 2
            C join topics=t
                C: epoch 2 has [t-0,t-1]
            A join-group new protocols=roundrobin,range
                A: generation 3 by roundrobin
            B join-group new protocols=range
                B: generation 4 by range
            C has
                C: epoch 2 has [t-0]
            A join-group protocols=roundrobin,range
                A: generation 4 by roundrobin
            C leave
                C: epoch -1
            A sync-group protocol=roundrobin
                A: REBALANCE_IN_PROGRESS
        "#]],
    );
}

/// The same the other way: the group that is upgraded went by an assignor that all know, and not
/// the one that this member likes best.
#[test]
fn a_sync_on_its_way_while_the_group_is_upgraded_is_told_to_join_again() {
    check(
        "
        topic t 2
        A join-group new protocols=roundrobin,range
        B join-group new protocols=range
        wait 6000
        C join topics=t
        A sync-group protocol=range
        ",
        &expect![[r#"
            topic t 2
            A join-group new protocols=roundrobin,range
                A: waits
            B join-group new protocols=range
                B: waits
            wait 6000
                A waited: generation 1 by range, leads
                B waited: generation 1 by range
            C join topics=t
                C: epoch 2 has [t-0]
            A sync-group protocol=range
                A: REBALANCE_IN_PROGRESS
        "#]],
    );
}
