//! Groups with the consumer protocol, told line by line.
//!
//! ```text
//! A join [topics=t,u] [regex=R] [static=X] [assignor=NAME] [rebalance=MS] [epoch=N] [v=N]
//! A beat [epoch=N] [topics=…]     as it is; says nothing of what it has
//! A has [t-0,t-1]                 says what it has: all that it was told, or this
//! A leave | A away
//! A commit t-0=5 [epoch=N] [v=N] | A fetch [epoch=N]
//! topic NAME COUNT                a topic is made, or grows | topic-gone NAME
//! refused …                       the log refuses the records of what follows
//! wait MS | reload | describe | list | delete
//! log                             the keys that are written, and how often
//! A txn-commit t-0=5 [epoch=N]    a commit in a producer's transaction
//! classic-join [session=MS] | classic-describe
//! A join-group [topics=t] [has=t-0] [of=GENERATION] [protocols=range] [static=X] [session=MS]
//!              [rebalance=MS]     `of`: the generation in which it had what it has
//! A sync-group [epoch=N] [gives:B=t-0] [data=X]   what the leader gives, and words of its own
//! A heartbeat [epoch=N]           in the classic protocol | policy WORD
//! A,B,:X classic-leave            LeaveGroup of members, and of whoever has the instance id X
//! ```

mod claims;
mod coming_and_going;
mod left_over;
mod migration;
mod mixed;
mod not_migrated;
mod offsets;
mod random;
mod refusals;
mod upgraded;
mod world;

use expect_test::expect;

use world::check;

#[test]
fn members_come_one_after_the_other_and_share() {
    check(
        "
        topic t 4
        A join topics=t
        B join topics=t
        A beat
        A has t-0,t-1,t-2,t-3
        A has
        B beat
        A beat
        describe
        ",
        &expect![[r#"
            topic t 4
            A join topics=t
                A: epoch 2 has [t-0,t-1,t-2,t-3]
            B join topics=t
                B: epoch 3 has []
            A beat
                A: epoch 2 has [t-0,t-1]
            A has t-0,t-1,t-2,t-3
                A: epoch 2
            A has
                A: epoch 3
            B beat
                B: epoch 3 has [t-2,t-3]
            A beat
                A: epoch 3
            describe
                Stable 3/3 by uniform
                B epoch 3 has [t-2,t-3] of [t-2,t-3]
                A epoch 3 has [t-0,t-1] of [t-0,t-1]
        "#]],
    );
}

#[test]
fn a_member_that_does_not_give_up_in_time_is_removed() {
    check(
        "
        topic t 2
        A join topics=t rebalance=1000
        B join topics=t
        A beat
        wait 999
        A beat
        B beat
        wait 1
        A beat
        B beat
        ",
        &expect![[r#"
            topic t 2
            A join topics=t rebalance=1000
                A: epoch 2 has [t-0,t-1]
            B join topics=t
                B: epoch 3 has []
            A beat
                A: epoch 2 has [t-0]
            wait 999
            A beat
                A: epoch 2
            B beat
                B: epoch 3
            wait 1
            A beat
                A: UNKNOWN_MEMBER_ID Member A is not a member of the group.
            B beat
                B: epoch 4 has [t-0,t-1]
        "#]],
    );
}

#[test]
fn a_member_that_is_not_heard_of_is_removed() {
    check(
        "
        topic t 2
        A join topics=t
        wait 44999
        describe
        wait 1
        describe
        A beat
        A join topics=t
        ",
        &expect![[r#"
            topic t 2
            A join topics=t
                A: epoch 2 has [t-0,t-1]
            wait 44999
            describe
                Stable 2/2 by uniform
                A epoch 2 has [t-0,t-1] of [t-0,t-1]
            wait 1
            describe
                Empty 3/2 by uniform
            A beat
                A: UNKNOWN_MEMBER_ID Member A is not a member of the group.
            A join topics=t
                A: epoch 4 has [t-0,t-1]
        "#]],
    );
}

#[test]
fn an_answer_that_was_lost_is_given_again_and_an_older_epoch_is_fenced() {
    check(
        "
        topic t 2
        A join topics=t
        B join topics=t
        A beat
        A has t-0
        A has t-0 epoch=2
        A beat epoch=2
        A has t-0 epoch=2
        A beat epoch=7
        C beat epoch=2
        ",
        &expect![[r#"
            topic t 2
            A join topics=t
                A: epoch 2 has [t-0,t-1]
            B join topics=t
                B: epoch 3 has []
            A beat
                A: epoch 2 has [t-0]
            A has t-0
                A: epoch 3
            A has t-0 epoch=2
                A: epoch 3
            A beat epoch=2
                A: FENCED_MEMBER_EPOCH The member's epoch is 3, not 2; it has to join again.
            A has t-0 epoch=2
                A: epoch 3
            A beat epoch=7
                A: FENCED_MEMBER_EPOCH The member's epoch is 3, not 7; it has to join again.
            C beat epoch=2
                C: UNKNOWN_MEMBER_ID Member C is not a member of the group.
        "#]],
    );
}

#[test]
fn a_static_member_comes_back_to_what_it_had() {
    check(
        "
        topic t 2
        A join topics=t static=x
        B join topics=t static=y
        A has
        A has
        B beat
        C join topics=t static=x
        A away
        B beat
        C join topics=t static=x
        A beat
        describe
        C leave
        B beat
        ",
        &expect![[r#"
            topic t 2
            A join topics=t static=x
                A: epoch 2 has [t-0,t-1]
            B join topics=t static=y
                B: epoch 3 has []
            A has
                A: epoch 2 has [t-0]
            A has
                A: epoch 3
            B beat
                B: epoch 3 has [t-1]
            C join topics=t static=x
                C: UNRELEASED_INSTANCE_ID The instance id is still that of another member.
            A away
                A: epoch -2
            B beat
                B: epoch 3
            C join topics=t static=x
                C: epoch 3 has [t-0]
            A beat
                A: FENCED_INSTANCE_ID Instance id x is that of another member.
            describe
                Stable 3/3 by uniform
                C epoch 3 has [t-0] of [t-0]
                B epoch 3 has [t-1] of [t-1]
            C leave
                C: epoch -1
            B beat
                B: epoch 4 has [t-0,t-1]
        "#]],
    );
}

#[test]
fn topics_that_come_or_grow_are_assigned_with_the_next_heartbeat() {
    check(
        "
        topic t 1
        A join topics=t,u
        topic u 2
        A beat
        topic t 3
        A beat
        A beat
        topic-gone u
        A has
        A has
        ",
        &expect![[r#"
            topic t 1
            A join topics=t,u
                A: epoch 2 has [t-0]
            topic u 2
            A beat
                A: epoch 3 has [t-0,u-0,u-1]
            topic t 3
            A beat
                A: epoch 4 has [t-0,t-1,t-2,u-0,u-1]
            A beat
                A: epoch 4
            topic-gone u
            A has
                A: epoch 5 has [t-0,t-1,t-2]
            A has
                A: epoch 5
        "#]],
    );
}

#[test]
fn an_expression_matches_whole_names_of_topics_that_are_there() {
    check(
        "
        topic ab 1
        topic xab 1
        topic __consumer_offsets 1
        A join regex=a.*|__.*
        topic ac 1
        A beat
        wait 10000
        A beat
        B join regex=a.*|__.* topics=xab
        A has
        B beat
        B leave
        A beat topics=xab
        C join regex=(
        ",
        &expect![[r#"
            topic ab 1
            topic xab 1
            topic __consumer_offsets 1
            A join regex=a.*|__.*
                A: epoch 2 has [ab-0]
            topic ac 1
            A beat
                A: epoch 2
            wait 10000
            A beat
                A: epoch 3 has [ab-0,ac-0]
            B join regex=a.*|__.* topics=xab
                B: epoch 4 has [xab-0]
            A has
                A: epoch 4
            B beat
                B: epoch 4
            B leave
                B: epoch -1
            A beat topics=xab
                A: epoch 6 has [ab-0,ac-0,xab-0]
            C join regex=(
                C: INVALID_REGULAR_EXPRESSION SubscribedTopicRegex is none, or too large: (
        "#]],
    );
}

#[test]
fn a_new_coordinator_goes_on_where_the_last_one_stood() {
    check(
        "
        topic t 2
        A join topics=t
        B join topics=t
        A beat
        reload
        describe
        B beat
        A has t-0
        B beat
        log
        A leave
        B leave
        delete
        reload
        describe
        log
        ",
        &expect![[r#"
            topic t 2
            A join topics=t
                A: epoch 2 has [t-0,t-1]
            B join topics=t
                B: epoch 3 has []
            A beat
                A: epoch 2 has [t-0]
            reload
            describe
                Reconciling 3/3 by uniform
                B epoch 3 has [] of [t-1]
                A epoch 2 has [t-0,t-1] of [t-0]
            B beat
                B: epoch 3
            A has t-0
                A: epoch 3
            B beat
                B: epoch 3 has [t-1]
            log
                current 5
                group 2
                member 2
                target 3
                target epoch 2
            A leave
                A: epoch -1
            B leave
                B: epoch -1
            delete
                NONE
            reload
            describe
                GROUP_ID_NOT_FOUND Group g not found.
            log
                current 5
                current ended 2
                group 4
                group ended 1
                member 2
                member ended 2
                target 3
                target ended 2
                target epoch 2
                target epoch ended 1
        "#]],
    );
}

#[test]
fn what_the_log_refuses_has_not_happened() {
    check(
        "
        topic t 2
        refused A join topics=t
        describe
        A join topics=t
        refused B join topics=t
        describe
        A beat
        refused A leave
        A beat
        ",
        &expect![[r#"
            topic t 2
            refused A join topics=t
                A: refused
            describe
                GROUP_ID_NOT_FOUND Group g not found.
            A join topics=t
                A: epoch 2 has [t-0,t-1]
            refused B join topics=t
                B: refused
            describe
                Stable 2/2 by uniform
                A epoch 2 has [t-0,t-1] of [t-0,t-1]
            A beat
                A: epoch 2
            refused A leave
                A: refused
            A beat
                A: epoch 2
        "#]],
    );
}

#[test]
fn who_is_to_give_up_more_has_its_time_anew() {
    check(
        "
        topic t 6
        A join topics=t rebalance=2000
        B join topics=t
        A beat
        wait 1500
        C join topics=t
        A has
        wait 1999
        A beat
        wait 1
        A beat
        ",
        &expect![[r#"
            topic t 6
            A join topics=t rebalance=2000
                A: epoch 2 has [t-0,t-1,t-2,t-3,t-4,t-5]
            B join topics=t
                B: epoch 3 has []
            A beat
                A: epoch 2 has [t-0,t-1,t-2]
            wait 1500
            C join topics=t
                C: epoch 4 has []
            A has
                A: epoch 2 has [t-0,t-1]
            wait 1999
            A beat
                A: epoch 2
            wait 1
            A beat
                A: UNKNOWN_MEMBER_ID Member A is not a member of the group.
        "#]],
    );
}
