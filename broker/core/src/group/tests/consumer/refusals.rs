//! What is refused, and with which words.

use expect_test::expect;

use super::world::check;

#[test]
fn a_group_has_one_protocol_at_a_time() {
    check(
        "
        topic t 1
        A join topics=t
        classic-join
        classic-describe
        list
        A leave
        classic-join
        classic-describe
        A join topics=t
        list
        ",
        &expect![[r#"
            topic t 1
            A join topics=t
                A: epoch 2 has [t-0]
            classic-join
                INCONSISTENT_GROUP_PROTOCOL
            classic-describe
                GROUP_ID_NOT_FOUND Dead
            list
                g consumer "consumer" Stable
            A leave
                A: epoch -1
            classic-join
                waits
            classic-describe
                NONE PreparingRebalance
            A join topics=t
                A: GROUP_ID_NOT_FOUND Cannot upgrade classic group g to consumer group because the
                    embedded consumer protocol is malformed.
            list
                g classic "consumer" PreparingRebalance
        "#]],
    );
}

#[test]
fn a_request_that_makes_no_sense_is_refused_with_a_sentence() {
    check(
        "
        topic t 1
        A join topics=t v=1 id=
        A join
        A join topics=t rebalance=-1
        A join topics=t assignor=mine
        A beat epoch=-2
        A beat epoch=-3
        A beat epoch=1
        A leave
        A join topics=t static=
        ",
        &expect![[r#"
            topic t 1
            A join topics=t v=1 id=
                A: INVALID_REQUEST MemberId can't be empty.
            A join
                A: INVALID_REQUEST SubscribedTopicNames or SubscribedTopicRegex must be given.
            A join topics=t rebalance=-1
                A: INVALID_REQUEST RebalanceTimeoutMs must be provided in first request.
            A join topics=t assignor=mine
                A: UNSUPPORTED_ASSIGNOR ServerAssignor mine is none of uniform, range.
            A beat epoch=-2
                A: INVALID_REQUEST InstanceId can't be null where a member leaves for a while.
            A beat epoch=-3
                A: INVALID_REQUEST MemberEpoch is invalid: it is one that was told, 0, -1 or
                    -2.
            A beat epoch=1
                A: GROUP_ID_NOT_FOUND Group g not found.
            A leave
                A: GROUP_ID_NOT_FOUND Group g not found.
            A join topics=t static=
                A: INVALID_REQUEST InstanceId can't be empty.
        "#]],
    );
}

#[test]
fn a_classic_member_whose_group_the_log_refuses_is_sent_away() {
    check(
        "
        topic t 1
        A join topics=t
        A leave
        refused classic-join
        describe
        A join topics=t
        describe
        ",
        &expect![[r#"
            topic t 1
            A join topics=t
                A: epoch 2 has [t-0]
            A leave
                A: epoch -1
            refused classic-join
                COORDINATOR_NOT_AVAILABLE
            describe
                Empty 3/2 by uniform
            A join topics=t
                A: epoch 4 has [t-0]
            describe
                Stable 4/4 by uniform
                A epoch 4 has [t-0] of [t-0]
        "#]],
    );
}

#[test]
fn a_classic_member_that_is_refused_ends_no_group() {
    check(
        "
        topic t 1
        A join topics=t
        A leave
        classic-join session=1
        describe
        ",
        &expect![[r#"
            topic t 1
            A join topics=t
                A: epoch 2 has [t-0]
            A leave
                A: epoch -1
            classic-join session=1
                INVALID_SESSION_TIMEOUT
            describe
                Empty 3/2 by uniform
        "#]],
    );
}
