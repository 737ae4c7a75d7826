//! Groups that change their protocol while they have members.

#![allow(clippy::too_many_lines, reason = "a table is of one piece")]

use expect_test::expect;

use super::world::check;

#[test]
fn an_eager_member_and_a_consumer_share_a_group_until_the_consumer_leaves() {
    check(
        "
        topic t 3
        A join-group new
        wait 3000
        A sync-group gives:A=t-0,t-1,t-2
        B join topics=t
        list
        describe
        A heartbeat epoch=2
        B heartbeat
        C heartbeat
        A heartbeat
        A commit t-2=5 v=8
        A fetch
        A join-group has= type=connect
        C join-group protocols=roundrobin
        A join-group has=
        A sync-group epoch=1
        A sync-group protocol=roundrobin
        A sync-group
        A commit t-0=6
        A commit t-2=6 epoch=1
        B beat
        describe
        A heartbeat
        reload
        describe
        B leave
        list
        A heartbeat
        A join-group
        A sync-group gives:A=t-0,t-1,t-2
        log
        ",
        &expect![[r#"
            topic t 3
            A join-group new
                A: waits
            wait 3000
                A waited: generation 1 by range, leads
            A sync-group gives:A=t-0,t-1,t-2
                A: has [t-0,t-1,t-2]
            B join topics=t
                B: epoch 2 has []
            list
                g consumer "consumer" Reconciling
            describe
                Reconciling 2/2 by uniform
                A (classic) epoch 1 has [t-0,t-1,t-2] of [t-0,t-1]
                B epoch 2 has [] of [t-2]
            A heartbeat epoch=2
                A: ILLEGAL_GENERATION
            B heartbeat
                B: UNKNOWN_MEMBER_ID
            C heartbeat
                C: UNKNOWN_MEMBER_ID
            A heartbeat
                A: REBALANCE_IN_PROGRESS
            A commit t-2=5 v=8
                A: NONE
            A fetch
                A: NONE t-2=5
            A join-group has= type=connect
                A: INCONSISTENT_GROUP_PROTOCOL
            C join-group protocols=roundrobin
                C: INCONSISTENT_GROUP_PROTOCOL
            A join-group has=
                A: generation 2 by range
            A sync-group epoch=1
                A: ILLEGAL_GENERATION
            A sync-group protocol=roundrobin
                A: INCONSISTENT_GROUP_PROTOCOL
            A sync-group
                A: has [t-0,t-1]
            A commit t-0=6
                A: NONE
            A commit t-2=6 epoch=1
                A: ILLEGAL_GENERATION
            B beat
                B: epoch 2 has [t-2]
            describe
                Stable 2/2 by uniform
                A (classic) epoch 2 has [t-0,t-1] of [t-0,t-1]
                B epoch 2 has [t-2] of [t-2]
            A heartbeat
                A: NONE
            reload
            describe
                Stable 2/2 by uniform
                A (classic) epoch 2 has [t-0,t-1] of [t-0,t-1]
                B epoch 2 has [t-2] of [t-2]
            B leave
                B: epoch -1
            list
                g classic "consumer" PreparingRebalance
            A heartbeat
                A: REBALANCE_IN_PROGRESS
            A join-group
                A: generation 3 by range, leads
            A sync-group gives:A=t-0,t-1,t-2
                A: has [t-0,t-1,t-2]
            log
                classic 3
                classic ended 1
                current 4
                current ended 2
                group 2
                group ended 1
                member 2
                member ended 2
                offset 2
                target 3
                target ended 2
                target epoch 2
                target epoch ended 1
        "#]],
    );
}

#[test]
fn a_cooperative_member_gives_up_what_it_shall_before_it_joins_again() {
    check(
        "
        topic t 3
        A join-group new
        wait 3000
        A sync-group gives:A=t-0,t-1,t-2
        B join topics=t
        A heartbeat
        A join-group has=t-0,t-1,t-2
        B beat
        A sync-group
        B beat
        A heartbeat
        A join-group
        A sync-group
        B beat
        A heartbeat
        B beat topics=
        A heartbeat
        A join-group
        A sync-group
        B leave
        A heartbeat
        A join-group
        ",
        &expect![[r#"
            topic t 3
            A join-group new
                A: waits
            wait 3000
                A waited: generation 1 by range, leads
            A sync-group gives:A=t-0,t-1,t-2
                A: has [t-0,t-1,t-2]
            B join topics=t
                B: epoch 2 has []
            A heartbeat
                A: REBALANCE_IN_PROGRESS
            A join-group has=t-0,t-1,t-2
                A: generation 1 by range
            B beat
                B: epoch 2
            A sync-group
                A: has [t-0,t-1]
            B beat
                B: epoch 2
            A heartbeat
                A: REBALANCE_IN_PROGRESS
            A join-group
                A: generation 2 by range
            A sync-group
                A: has [t-0,t-1]
            B beat
                B: epoch 2 has [t-2]
            A heartbeat
                A: NONE
            B beat topics=
                B: epoch 2 has []
            A heartbeat
                A: REBALANCE_IN_PROGRESS
            A join-group
                A: generation 3 by range
            A sync-group
                A: has [t-0,t-1]
            B leave
                B: epoch -1
            A heartbeat
                A: REBALANCE_IN_PROGRESS
            A join-group
                A: generation 4 by range, leads
        "#]],
    );
}

#[test]
fn members_of_both_protocols_come_and_go() {
    check(
        "
        topic t 4
        A join topics=t
        B join-group
        C join-group new
        B sync-group
        A has
        A has
        B heartbeat
        B join-group
        B sync-group
        C heartbeat
        describe
        wait 9999
        A beat
        B heartbeat
        wait 1
        describe
        B join topics=t
        describe
        B beat
        D join-group
        A,B classic-leave
        list
        ",
        &expect![[r#"
            topic t 4
            A join topics=t
                A: epoch 2 has [t-0,t-1,t-2,t-3]
            B join-group
                B: generation 3 by range
            C join-group new
                C: generation 4 by range
            B sync-group
                B: REBALANCE_IN_PROGRESS
            A has
                A: epoch 2 has [t-0]
            A has
                A: epoch 4
            B heartbeat
                B: REBALANCE_IN_PROGRESS
            B join-group
                B: generation 4 by range
            B sync-group
                B: has [t-2,t-3]
            C heartbeat
                C: REBALANCE_IN_PROGRESS
            describe
                Reconciling 4/4 by uniform
                C (classic) epoch 4 has [] of [t-1]
                B (classic) epoch 4 has [t-2,t-3] of [t-2,t-3]
                A epoch 4 has [t-0] of [t-0]
            wait 9999
            A beat
                A: epoch 4
            B heartbeat
                B: NONE
            wait 1
            describe
                Assigning 5/4 by uniform
                B (classic) epoch 4 has [t-2,t-3] of [t-2,t-3]
                A epoch 4 has [t-0] of [t-0]
            B join topics=t
                B: epoch 5 has [t-2,t-3]
            describe
                Reconciling 5/5 by uniform
                B epoch 5 has [t-2,t-3] of [t-2,t-3]
                A epoch 4 has [t-0] of [t-0,t-1]
            B beat
                B: epoch 5
            D join-group
                D: generation 6 by range
            A,B classic-leave
                NONE, NONE
            list
                g classic "consumer" PreparingRebalance
        "#]],
    );
}

#[test]
fn whoever_does_not_join_or_sync_in_time_is_removed() {
    check(
        "
        topic t 2
        A join topics=t
        B join-group rebalance=5000 session=20000
        wait 4999
        B sync-group
        wait 5000
        B heartbeat
        A has
        A has
        B heartbeat
        wait 4000
        B heartbeat
        wait 999
        describe
        wait 1
        describe
        B join-group rebalance=5000 session=20000
        wait 5000
        describe
        ",
        &expect![[r#"
            topic t 2
            A join topics=t
                A: epoch 2 has [t-0,t-1]
            B join-group rebalance=5000 session=20000
                B: generation 3 by range
            wait 4999
            B sync-group
                B: has []
            wait 5000
            B heartbeat
                B: NONE
            A has
                A: epoch 2 has [t-0]
            A has
                A: epoch 3
            B heartbeat
                B: REBALANCE_IN_PROGRESS
            wait 4000
            B heartbeat
                B: REBALANCE_IN_PROGRESS
            wait 999
            describe
                Reconciling 3/3 by uniform
                B (classic) epoch 3 has [] of [t-1]
                A epoch 3 has [t-0] of [t-0]
            wait 1
            describe
                Assigning 4/3 by uniform
                A epoch 3 has [t-0] of [t-0]
            B join-group rebalance=5000 session=20000
                B: generation 5 by range
            wait 5000
            describe
                Assigning 6/5 by uniform
                A epoch 3 has [t-0] of [t-0]
        "#]],
    );
}

#[test]
fn static_members_change_their_protocol_in_place() {
    check(
        "
        topic t 2
        A join topics=t static=X
        B join topics=t static=Y
        A has
        A has
        B beat
        C join-group new static=X
        C sync-group
        A beat
        C heartbeat
        D join-group first static=Y
        list
        D sync-group protocol=range
        C heartbeat
        B beat
        E join topics=t static=X
        list
        E beat
        describe
        F join-group static=Y
        F join-group static=Z
        D join-group static=Z
        ",
        &expect![[r#"
            topic t 2
            A join topics=t static=X
                A: epoch 2 has [t-0,t-1]
            B join topics=t static=Y
                B: epoch 3 has []
            A has
                A: epoch 2 has [t-0]
            A has
                A: epoch 3
            B beat
                B: epoch 3 has [t-1]
            C join-group new static=X
                C: generation 3 by range
            C sync-group
                C: has [t-0]
            A beat
                A: FENCED_INSTANCE_ID Instance id X is that of another member.
            C heartbeat
                C: NONE
            D join-group first static=Y
                D: generation 3 by range, leads, assigns nothing
            list
                g classic "consumer" Stable
            D sync-group protocol=range
                D: has [t-1]
            C heartbeat
                C: NONE
            B beat
                B: GROUP_ID_NOT_FOUND Group g is not a consumer group.
            E join topics=t static=X
                E: epoch 4 has [t-0]
            list
                g consumer "consumer" Reconciling
            E beat
                E: epoch 4
            describe
                Reconciling 4/4 by uniform
                D (classic) epoch 3 has [t-1] of [t-1]
                E epoch 4 has [t-0] of [t-0]
            F join-group static=Y
                F: FENCED_INSTANCE_ID
            F join-group static=Z
                F: UNKNOWN_MEMBER_ID
            D join-group static=Z
                D: UNKNOWN_MEMBER_ID
        "#]],
    );
}

#[test]
fn members_that_wait_when_the_group_changes_join_again() {
    check(
        "
        topic t 2
        A join-group new
        wait 3000
        B join topics=t
        A sync-group
        A join-group
        A sync-group
        B leave
        A heartbeat
        C join-group new
        D join topics=t
        describe
        refused D leave
        describe
        D leave
        ",
        &expect![[r#"
            topic t 2
            A join-group new
                A: waits
            wait 3000
                A waited: generation 1 by range, leads
            B join topics=t
                B: epoch 2 has [t-0]
            A sync-group
                A: REBALANCE_IN_PROGRESS
            A join-group
                A: generation 2 by range
            A sync-group
                A: has [t-1]
            B leave
                B: epoch -1
            A heartbeat
                A: REBALANCE_IN_PROGRESS
            C join-group new
                C: waits
            D join topics=t
                C waited: REBALANCE_IN_PROGRESS
                D: epoch 3 has [t-0]
            describe
                Reconciling 3/3 by uniform
                C (classic) epoch 2 has [] of []
                A (classic) epoch 2 has [t-1] of [t-1]
                D epoch 3 has [t-0] of [t-0]
            refused D leave
                D: refused
            describe
                Reconciling 3/3 by uniform
                C (classic) epoch 2 has [] of []
                A (classic) epoch 2 has [t-1] of [t-1]
                D epoch 3 has [t-0] of [t-0]
            D leave
                D: epoch -1
        "#]],
    );
}
