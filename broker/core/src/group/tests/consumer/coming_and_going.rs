//! Who comes without a subscription, and who leaves by LeaveGroup.

use expect_test::expect;

use super::world::check;

#[test]
fn members_leave_by_leave_group_too() {
    check(
        "
        topic t 3
        A join topics=t
        B join topics=t static=X
        C join topics=t
        A,:X,D,:Y classic-leave
        describe
        C beat
        C classic-leave
        describe
        C beat
        ",
        &expect![[r#"
            topic t 3
            A join topics=t
                A: epoch 2 has [t-0,t-1,t-2]
            B join topics=t static=X
                B: epoch 3 has []
            C join topics=t
                C: epoch 4 has []
            A,:X,D,:Y classic-leave
                NONE, NONE, UNKNOWN_MEMBER_ID, UNKNOWN_MEMBER_ID
            describe
                Assigning 5/4 by uniform
                C epoch 4 has [] of [t-1]
            C beat
                C: epoch 5 has [t-0,t-1,t-2]
            C classic-leave
                NONE
            describe
                Empty 6/5 by uniform
            C beat
                C: UNKNOWN_MEMBER_ID Member C is not a member of the group.
        "#]],
    );
}

#[test]
fn a_member_may_subscribe_to_nothing_yet_which_changes_nothing_of_the_group() {
    check(
        "
        topic t 1
        A join topics=
        describe
        B join regex=x.*
        A beat topics=t
        B beat
        topic x1 1
        wait 10000
        B beat
        A beat
        C join regex=
        ",
        &expect![[r#"
            topic t 1
            A join topics=
                A: epoch 1 has []
            describe
                Stable 1/1 by uniform
                A epoch 1 has [] of []
            B join regex=x.*
                B: epoch 1 has []
            A beat topics=t
                A: epoch 2 has [t-0]
            B beat
                B: epoch 2
            topic x1 1
            wait 10000
            B beat
                B: epoch 3 has [x1-0]
            A beat
                A: epoch 3
            C join regex=
                C: epoch 3 has []
        "#]],
    );
}

/// A member that was to leave, which the log refused, has as long to give up what it shall not keep
/// as a rebalance may take, and not as a session.
#[test]
fn what_the_log_refuses_takes_no_time_from_a_member_that_gives_something_up() {
    check(
        "
        topic t 2
        A join topics=t rebalance=60000
        B join topics=t
        A beat
        refused A leave
        wait 20000
        A beat
        B beat
        wait 20000
        A beat
        B beat
        wait 9000
        A beat
        ",
        &expect![[r#"
            topic t 2
            A join topics=t rebalance=60000
                A: epoch 2 has [t-0,t-1]
            B join topics=t
                B: epoch 3 has []
            A beat
                A: epoch 2 has [t-0]
            refused A leave
                A: refused
            wait 20000
            A beat
                A: epoch 2
            B beat
                B: epoch 3
            wait 20000
            A beat
                A: epoch 2
            B beat
                B: epoch 3
            wait 9000
            A beat
                A: epoch 2
        "#]],
    );
}
