//! Groups that keep their protocol, though members of the other one come or stay.

#![allow(clippy::too_many_lines, reason = "a table is of one piece")]

use expect_test::expect;

use super::world::check;

#[test]
fn a_group_stays_what_it_is_where_the_other_would_lose_something() {
    check(
        "
        topic t 2
        A join-group new
        wait 3000
        A sync-group gives:A=t-0,t-1 data=mine
        B join topics=t
        list
        A classic-leave
        A join-group new type=connect
        wait 3000
        B join topics=t
        B beat epoch=1
        A classic-leave
        policy disabled
        A join-group new
        wait 3000
        A sync-group gives:A=t-0,t-1
        B join topics=t
        policy downgrade
        B join topics=t
        policy upgrade
        B join topics=t
        A join-group
        B leave
        list
        A heartbeat
        A join-group
        A sync-group
        policy disabled
        A join-group
        C join-group new
        C join-group session=1
        policy bidirectional
        C join-group session=1
        ",
        &expect![[r#"
            topic t 2
            A join-group new
                A: waits
            wait 3000
                A waited: generation 1 by range, leads
            A sync-group gives:A=t-0,t-1 data=mine
                A: has [t-0,t-1]
            B join topics=t
                B: GROUP_ID_NOT_FOUND Cannot upgrade classic group g to consumer group because an
                    unsupported custom assignor is in use. Please refer to the
                    documentation or switch to a default assignor before
                    re-attempting the upgrade.
            list
                g classic "consumer" Stable
            A classic-leave
                NONE
            A join-group new type=connect
                A: waits
            wait 3000
                A waited: generation 3 by range, leads
            B join topics=t
                B: GROUP_ID_NOT_FOUND Cannot upgrade classic group g to consumer group because the
                    group does not use the consumer embedded protocol.
            B beat epoch=1
                B: GROUP_ID_NOT_FOUND Group g is not a consumer group.
            A classic-leave
                NONE
            policy disabled
            A join-group new
                A: waits
            wait 3000
                A waited: generation 5 by range, leads
            A sync-group gives:A=t-0,t-1
                A: has [t-0,t-1]
            B join topics=t
                B: GROUP_ID_NOT_FOUND Cannot upgrade classic group g to consumer group because
                    online upgrade is disabled.
            policy downgrade
            B join topics=t
                B: GROUP_ID_NOT_FOUND Cannot upgrade classic group g to consumer group because
                    online upgrade is disabled.
            policy upgrade
            B join topics=t
                B: epoch 6 has []
            A join-group
                A: generation 5 by range
            B leave
                B: epoch -1
            list
                g consumer "consumer" Assigning
            A heartbeat
                A: REBALANCE_IN_PROGRESS
            A join-group
                A: generation 5 by range
            A sync-group
                A: has [t-0]
            policy disabled
            A join-group
                A: INCONSISTENT_GROUP_PROTOCOL
            C join-group new
                C: INCONSISTENT_GROUP_PROTOCOL
            C join-group session=1
                C: INVALID_SESSION_TIMEOUT
            policy bidirectional
            C join-group session=1
                C: INVALID_SESSION_TIMEOUT
        "#]],
    );
}

#[test]
fn what_the_log_refuses_leaves_the_group_as_it_was() {
    check(
        "
        topic t 2
        A join-group new
        wait 3000
        A sync-group gives:A=t-0,t-1
        refused B join topics=t
        list
        A heartbeat
        B join topics=t
        refused A join-group has=
        A heartbeat
        describe
        refused B leave
        list
        describe
        A join-group has=
        A sync-group
        ",
        &expect![[r#"
            topic t 2
            A join-group new
                A: waits
            wait 3000
                A waited: generation 1 by range, leads
            A sync-group gives:A=t-0,t-1
                A: has [t-0,t-1]
            refused B join topics=t
                B: refused
            list
                g classic "consumer" Stable
            A heartbeat
                A: NONE
            B join topics=t
                B: epoch 2 has []
            refused A join-group has=
                A: refused
            A heartbeat
                A: REBALANCE_IN_PROGRESS
            describe
                Reconciling 2/2 by uniform
                A (classic) epoch 1 has [t-0,t-1] of [t-0]
                B epoch 2 has [] of [t-1]
            refused B leave
                B: refused
            list
                g consumer "consumer" Reconciling
            describe
                Reconciling 2/2 by uniform
                A (classic) epoch 1 has [t-0,t-1] of [t-0]
                B epoch 2 has [] of [t-1]
            A join-group has=
                A: generation 2 by range
            A sync-group
                A: has [t-0]
        "#]],
    );
}
