use expect_test::expect;
use ottla_protocol::ids::PartitionIndex;
use ottla_protocol::messages::cluster::*;

use super::in_sync::{alter, item};
use super::*;
use crate::config::ConfigMap;
use crate::metadata::reassignments::ongoing_reassignments;

pub fn reassign(cluster: &mut Cluster, name: &str, index: i32, target: Option<&[i32]>) -> String {
    let response = cluster.ask(Request::AlterPartitionReassignments(
        AlterPartitionReassignmentsRequest {
            topics: vec![ReassignableTopic {
                name: name.to_owned(),
                partitions: vec![ReassignablePartition {
                    partition_index: index,
                    replicas: target.map(<[i32]>::to_vec),
                }],
            }],
            ..AlterPartitionReassignmentsRequest::default()
        },
    ));
    let Response::AlterPartitionReassignments(response) = response else {
        panic!("{response:?}")
    };
    let p = &response.responses[0].partitions[0];
    outcome(p.error_code, p.error_message.as_deref()) + "\n"
}

#[test]
fn replicas_are_added_first_and_dropped_once_the_new_ones_are_in_sync() {
    let mut cluster = Cluster::of(5);
    cluster.create("t", &[&[0, 1, 2]], &[]);
    assert_eq!(reassign(&mut cluster, "t", 0, Some(&[3, 4, 1])), "ok\n");
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 0/1 replicas 3,4,1,0,2 isr 0,1,2 adding 3,4 removing 0,2
    "#]]);
    let listed = ongoing_reassignments(cluster.metadata.image(), &Default::default());
    assert_eq!(listed[0].partitions[0].adding_replicas, [3, 4]);
    let joined = item(&cluster, "t", &[0, 1, 2, 3]);
    alter(&mut cluster, 0, joined);
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 0/2 replicas 3,4,1,0,2 isr 0,1,2,3 adding 3,4 removing 0,2
    "#]]);
    let joined = item(&cluster, "t", &[0, 1, 2, 3, 4]);
    // the old leader is no replica any more, and is told so
    assert_eq!(alter(&mut cluster, 0, joined), "NEW_LEADER_ELECTED\n");
    cluster.hear(0);
    cluster.check(expect![[r#"
        t-0 leader 3 epochs 2/4 replicas 3,4,1 isr 1,3,4
    "#]]);
    let listed = ongoing_reassignments(cluster.metadata.image(), &Default::default());
    assert!(listed.is_empty());
}

#[test]
fn a_leader_that_is_removed_stays_in_sync_until_it_has_heard_of_it() {
    let mut cluster = Cluster::of(4);
    cluster.create("t", &[&[0, 1], &[0, 1]], &[]);
    for index in 0..2 {
        reassign(&mut cluster, "t", index, Some(&[1]));
    }
    let waits = |cluster: &Cluster| {
        cluster.check(expect![[r#"
            t-0 leader 1 epochs 1/1 replicas 1,0 isr 0,1 removing 0
            t-1 leader 1 epochs 1/1 replicas 1,0 isr 0,1 removing 0
        "#]]);
    };
    waits(&cluster);
    // nor does it go with what its successor asks for meanwhile
    let same = item(&cluster, "t", &[0, 1]);
    assert_eq!(alter(&mut cluster, 1, same), "ok\n");
    cluster.hear(3);
    waits(&cluster);
    cluster.hear(0);
    cluster.check(expect![[r#"
        t-0 leader 1 epochs 2/2 replicas 1 isr 1
        t-1 leader 1 epochs 2/2 replicas 1 isr 1
    "#]]);
}

#[test]
fn who_led_until_just_now_is_removed_once_it_has_heard_of_that_or_is_fenced() {
    for is_fenced in [false, true] {
        let mut cluster = Cluster::of(3);
        cluster.create("t", &[&[1, 2, 0]], &[]);
        reassign(&mut cluster, "t", 0, Some(&[2, 1, 0]));
        cluster.ask(Request::ElectLeaders(ElectLeadersRequest::default()));
        reassign(&mut cluster, "t", 0, Some(&[2, 0]));
        cluster.check(expect![[r#"
            t-0 leader 2 epochs 1/2 replicas 2,0,1 isr 1,2,0 removing 1
        "#]]);
        match is_fenced {
            true => cluster.fence(1),
            false => cluster.hear(1),
        }
        cluster.check(expect![[r#"
            t-0 leader 2 epochs 2/3 replicas 2,0 isr 2,0
        "#]]);
    }
}

/// A move of [1, 3] to [2, 4] that is not done, and that 2 leads in already.
fn led_by_an_added_one() -> Cluster {
    let mut cluster = Cluster::of(5);
    cluster.create("t", &[&[1, 3]], &[]);
    reassign(&mut cluster, "t", 0, Some(&[2, 4]));
    let joined = item(&cluster, "t", &[1, 3, 2, 4]);
    assert_eq!(alter(&mut cluster, 1, joined), "NEW_LEADER_ELECTED\n");
    cluster.check(expect![[r#"
        t-0 leader 2 epochs 1/2 replicas 2,4,1,3 isr 1,3,2,4 adding 2,4 removing 1,3
    "#]]);
    cluster
}

/// The leader was added by a reassignment that is not done, and the next one does not want it.
#[test]
fn a_leader_that_a_reassignment_added_is_removed_by_the_next_once_it_has_heard_of_that() {
    let mut cluster = led_by_an_added_one();
    reassign(&mut cluster, "t", 0, Some(&[0, 3]));
    cluster.check(expect![[r#"
        t-0 leader 2 epochs 2/3 replicas 0,3,1,2 isr 1,3,2 adding 0,2 removing 1,2
    "#]]);
    let joined = item(&cluster, "t", &[1, 3, 2, 0]);
    assert_eq!(alter(&mut cluster, 2, joined), "NEW_LEADER_ELECTED\n");
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 3/4 replicas 0,3,1,2 isr 1,3,2,0 adding 0,2 removing 1,2
    "#]]);
    cluster.hear(1);
    cluster.hear(2);
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 4/5 replicas 0,3 isr 3,0
    "#]]);
    // the same where it is cancelled
    let mut cluster = led_by_an_added_one();
    reassign(&mut cluster, "t", 0, None);
    cluster.check(expect![[r#"
        t-0 leader 1 epochs 2/3 replicas 1,3,2 isr 1,3,2 adding 2 removing 2
    "#]]);
    cluster.hear(2);
    cluster.check(expect![[r#"
        t-0 leader 1 epochs 3/4 replicas 1,3 isr 1,3
    "#]]);
}

/// A move of [1] to [2, 0] that is not done: 2 alone has all that was committed, and is away.
fn held_by_an_added_one() -> Cluster {
    let mut cluster = Cluster::of(4);
    cluster.create("t", &[&[1]], &[]);
    reassign(&mut cluster, "t", 0, Some(&[2, 0]));
    let joined = item(&cluster, "t", &[1, 2]);
    assert_eq!(alter(&mut cluster, 1, joined), "ok\n");
    cluster.fence(1);
    cluster.fence(2);
    cluster.check(expect![[r#"
        t-0 leader none epochs 2/4 replicas 2,0,1 isr  adding 2,0 removing 1 elr 2 last 2
    "#]]);
    cluster
}

/// Nobody is in sync, and who is eligible was added.
#[test]
fn what_an_added_replica_alone_holds_is_not_given_up_while_it_is_away() {
    let mut cluster = held_by_an_added_one();
    let refused = reassign(&mut cluster, "t", 0, None);
    assert!(
        refused.starts_with("INVALID_REPLICA_ASSIGNMENT"),
        "{refused}"
    );
    assert_eq!(reassign(&mut cluster, "t", 0, Some(&[0, 3])), "ok\n");
    cluster.check(expect![[r#"
        t-0 leader none epochs 2/5 replicas 0,3,1,2 isr  adding 0,3,2 removing 1,2 elr 2 last 2
    "#]]);
    cluster.heartbeat(2, false);
    cluster.check(expect![[r#"
        t-0 leader 2 epochs 3/6 replicas 0,3,1,2 isr 2 adding 0,3,2 removing 1,2
    "#]]);
}

/// One that is only kept until it has heard is no replica to return to.
#[test]
fn what_is_kept_for_a_while_is_not_kept_for_good() {
    let mut cluster = led_by_an_added_one();
    assert_eq!(reassign(&mut cluster, "t", 0, None), "ok\n");
    assert_eq!(reassign(&mut cluster, "t", 0, None), "ok\n");
    cluster.check(expect![[r#"
        t-0 leader 1 epochs 2/3 replicas 1,3,2 isr 1,3,2 adding 2 removing 2
    "#]]);
    assert_eq!(min_isr(&cluster, "t"), 1);
    // another target, and that is cancelled as well
    reassign(&mut cluster, "t", 0, Some(&[4, 3]));
    cluster.check(expect![[r#"
        t-0 leader 1 epochs 2/4 replicas 4,3,1,2 isr 1,3,2 adding 4,2 removing 1,2
    "#]]);
    assert_eq!(reassign(&mut cluster, "t", 0, None), "ok\n");
    cluster.hear(2);
    cluster.check(expect![[r#"
        t-0 leader 1 epochs 4/6 replicas 3,1 isr 1,3
    "#]]);
    // the one that is kept is wanted after all
    let mut cluster = led_by_an_added_one();
    reassign(&mut cluster, "t", 0, None);
    reassign(&mut cluster, "t", 0, Some(&[2, 3]));
    cluster.check(expect![[r#"
        t-0 leader 2 epochs 3/4 replicas 2,3,1 isr 1,3,2 adding 2 removing 1
    "#]]);
    cluster.hear(1);
    cluster.check(expect![[r#"
        t-0 leader 2 epochs 4/5 replicas 2,3 isr 3,2
    "#]]);
}

/// The only original that is in sync is on its way out.
#[test]
fn a_cancellation_takes_no_partition_offline() {
    let mut cluster = Cluster::of(5);
    cluster.create("t", &[&[2, 1]], &[]);
    cluster.create("u", &[&[2, 0]], &[]);
    reassign(&mut cluster, "t", 0, Some(&[3, 4]));
    let joined = item(&cluster, "t", &[2, 1, 3]);
    alter(&mut cluster, 2, joined);
    cluster.ask(Request::ElectLeaders(ElectLeadersRequest {
        topic_partitions: None,
        ..ElectLeadersRequest::default()
    }));
    cluster.hand_over(2);
    let left = item(&cluster, "t", &[2, 3]);
    alter(&mut cluster, 3, left);
    cluster.heartbeat(2, true);
    cluster.check(expect![[r#"
        t-0 leader 3 epochs 1/5 replicas 3,4,2,1 isr 2,3 adding 3,4 removing 2,1
        u-0 leader 2 epochs 0/1 replicas 2,0 isr 2,0 successor 0
    "#]]);
    assert_eq!(reassign(&mut cluster, "t", 0, None), "ok\n");
    cluster.check(expect![[r#"
        t-0 leader 3 epochs 2/6 replicas 2,1,3 isr 2,3 adding 3 removing 3
        u-0 leader 2 epochs 0/1 replicas 2,0 isr 2,0 successor 0
    "#]]);
    // it goes, another original comes
    cluster.hand_over(2);
    cluster.heartbeat(2, true);
    cluster.fence(2);
    let back = item(&cluster, "t", &[3, 1]);
    alter(&mut cluster, 3, back);
    cluster.hear(3);
    cluster.check(expect![[r#"
        t-0 leader 1 epochs 4/9 replicas 2,1 isr 1
        u-0 leader 0 epochs 1/3 replicas 2,0 isr 0
    "#]]);
}

#[test]
fn a_copy_that_is_on_its_way_is_no_missing_replica() {
    let mut cluster = Cluster::of(5);
    cluster.create("t", &[&[0, 1, 2]], &[]);
    let is_short = |cluster: &Cluster| {
        let topic = cluster.metadata.image().topic("t").unwrap();
        topic.partitions[0].is_under_replicated()
    };
    assert_eq!(reassign(&mut cluster, "t", 0, Some(&[3, 4, 1])), "ok\n");
    assert!(!is_short(&cluster));
    let left = item(&cluster, "t", &[0, 1]);
    alter(&mut cluster, 0, left);
    assert!(is_short(&cluster));
}

#[test]
fn a_reassignment_is_refused_replaced_or_cancelled() {
    let mut cluster = Cluster::of(5);
    cluster.create("t", &[&[0, 1]], &[]);
    let mut text = String::new();
    for target in [
        None,
        Some(&[][..]),
        Some(&[0, 9]),
        Some(&[2, 2]),
        Some(&[2, 3]),
    ] {
        text += &reassign(&mut cluster, "t", 0, target);
    }
    text += &reassign(&mut cluster, "t", 4, None);
    text += &reassign(&mut cluster, "nowhere", 0, Some(&[0]));
    expect![[r#"
        NO_REASSIGNMENT_IN_PROGRESS: No partition reassignment is in progress.
        INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes an
        INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes bro
        INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes the
        ok
        UNKNOWN_TOPIC_OR_PARTITION: This server does not host this topic-partiti
        UNKNOWN_TOPIC_OR_PARTITION: This server does not host this topic-partiti
    "#]]
    .assert_eq(&text);
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 0/1 replicas 2,3,0,1 isr 0,1 adding 2,3 removing 0,1
    "#]]);
    reassign(&mut cluster, "t", 0, Some(&[3, 4]));
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 1/2 replicas 3,4,0,1 isr 0,1 adding 3,4 removing 0,1
    "#]]);
    assert_eq!(reassign(&mut cluster, "t", 0, None), "ok\n");
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 2/3 replicas 0,1 isr 0,1
    "#]]);
}

#[test]
fn neither_cancelling_nor_completing_drops_the_last_in_sync_replica() {
    let mut cluster = Cluster::of(4);
    cluster.create("t", &[&[0, 1]], &[]);
    reassign(&mut cluster, "t", 0, Some(&[2, 3]));
    let joined = item(&cluster, "t", &[0, 2]);
    alter(&mut cluster, 0, joined);
    cluster.fence(0);
    cluster.check(expect![[r#"
        t-0 leader 2 epochs 1/3 replicas 2,3,0,1 isr 2 adding 2,3 removing 0,1
    "#]]);
    expect![[r#"
        INVALID_REPLICA_ASSIGNMENT: Cancelling would leave no replica in sync: o
    "#]]
    .assert_eq(&reassign(&mut cluster, "t", 0, None));
    // another target without the only one in sync: it is kept until then
    assert_eq!(reassign(&mut cluster, "t", 0, Some(&[1, 3])), "ok\n");
    cluster.check(expect![[r#"
        t-0 leader 2 epochs 1/4 replicas 1,3,0,2 isr 2 adding 3,2 removing 0,2
    "#]]);
    let joined = item(&cluster, "t", &[2, 1, 3]);
    alter(&mut cluster, 2, joined);
    cluster.hear(2);
    cluster.check(expect![[r#"
        t-0 leader 1 epochs 3/6 replicas 1,3 isr 1,3
    "#]]);
}

#[test]
fn a_smaller_replication_factor_waits_for_min_isr() {
    let mut cluster = Cluster::of(3);
    cluster.create("t", &[&[0, 1, 2]], &[("min.insync.replicas", "2")]);
    let shrunk = item(&cluster, "t", &[0, 2]);
    alter(&mut cluster, 0, shrunk);
    reassign(&mut cluster, "t", 0, Some(&[0, 1]));
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 0/2 replicas 0,1,2 isr 0,2 removing 2
    "#]]);
    let back = item(&cluster, "t", &[0, 1, 2]);
    alter(&mut cluster, 0, back);
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 1/3 replicas 0,1 isr 0,1
    "#]]);
}

#[test]
fn nobody_stays_eligible_when_a_smaller_factor_means_a_smaller_min_isr() {
    let mut cluster = Cluster::of(3);
    cluster.create("t", &[&[0, 1, 2], &[1, 2, 0]], &[]);
    let shrunk = item(&cluster, "t", &[0]);
    alter(&mut cluster, 0, shrunk);
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 0/1 replicas 0,1,2 isr 0 elr 1,2
        t-1 leader 1 epochs 0/0 replicas 1,2,0 isr 1,2,0
    "#]]);
    reassign(&mut cluster, "t", 1, Some(&[1, 2]));
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 0/2 replicas 0,1,2 isr 0
        t-1 leader 1 epochs 1/1 replicas 1,2 isr 1,2
    "#]]);
}

/// What producers with acks=all wait for in a topic, by the controller's count.
fn min_isr(cluster: &Cluster, name: &str) -> usize {
    let image = cluster.metadata.image();
    let topic = image.topic(name).unwrap();
    let config = image.topic_config(NodeId(0), &ConfigMap::default(), topic);
    let partition = topic.partition(PartitionIndex(0)).unwrap();
    config.min_insync_replicas.min(partition.settled_replicas())
}

#[test]
fn replicas_that_are_being_added_are_not_asked_for() {
    for configs in [&[][..], &[("min.insync.replicas", "2")][..]] {
        let mut cluster = Cluster::of(3);
        cluster.create("t", &[&[0]], configs);
        assert_eq!(min_isr(&cluster, "t"), 1);
        assert_eq!(reassign(&mut cluster, "t", 0, Some(&[0, 1, 2])), "ok\n");
        assert_eq!(min_isr(&cluster, "t"), 1, "while they are copied to");
        let joined = item(&cluster, "t", &[0, 1]);
        alter(&mut cluster, 0, joined);
        // it leaves again: the leader goes on alone, so it is not eligible
        let left = item(&cluster, "t", &[0]);
        alter(&mut cluster, 0, left);
        cluster.check(expect![[r#"
            t-0 leader 0 epochs 0/3 replicas 0,1,2 isr 0 adding 1,2
        "#]]);
        for isr in [&[0, 1][..], &[0, 1, 2]] {
            let joined = item(&cluster, "t", isr);
            alter(&mut cluster, 0, joined);
        }
        assert_eq!(min_isr(&cluster, "t"), 2, "once they are in sync");
        cluster.check(expect![[r#"
            t-0 leader 0 epochs 0/5 replicas 0,1,2 isr 0,1,2
        "#]]);
    }
}

#[test]
fn a_move_waits_for_the_min_isr_that_its_topic_is_to_have() {
    let mut cluster = Cluster::of(4);
    cluster.create("t", &[&[0], &[0]], &[]);
    for index in [0, 1] {
        assert_eq!(reassign(&mut cluster, "t", index, Some(&[0, 1, 2])), "ok\n");
    }
    for isr in [&[0, 1][..], &[0, 1, 2], &[0]] {
        let altered = item(&cluster, "t", isr);
        alter(&mut cluster, 0, altered);
    }
    reassign(&mut cluster, "t", 0, Some(&[1, 2, 3]));
    let joined = item(&cluster, "t", &[0, 3]);
    alter(&mut cluster, 0, joined);
    // without 0 there would be one in sync, and producers are to wait for two once 1 has grown too
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 0/6 replicas 1,2,3,0 isr 0,3 adding 3 removing 0
        t-1 leader 0 epochs 0/1 replicas 0,1,2 isr 0 adding 1,2
    "#]]);
}

/// A replica that an unfinished reassignment added may be one of those that an acknowledgement
/// waited for: it goes once another has its place in the ISR.
#[test]
fn neither_cancelling_nor_replacing_takes_the_isr_below_its_minimum() {
    let mut text = String::new();
    for another in [None, Some(&[0, 1][..])] {
        let mut cluster = Cluster::of(3);
        cluster.create("u", &[&[0, 1]], &[("min.insync.replicas", "2")]);
        let left = item(&cluster, "u", &[0]);
        alter(&mut cluster, 0, left);
        reassign(&mut cluster, "u", 0, Some(&[1, 2]));
        let joined = item(&cluster, "u", &[0, 2]);
        alter(&mut cluster, 0, joined);
        assert_eq!(reassign(&mut cluster, "u", 0, another), "ok\n");
        text += &cluster.partitions();
        let back = item(&cluster, "u", &[0, 2, 1]);
        text += &alter(&mut cluster, 0, back);
        text += &cluster.partitions();
    }
    expect![[r#"
        u-0 leader 0 epochs 0/4 replicas 1,0,2 isr 0,2 adding 2 removing 2
        ok
        u-0 leader 0 epochs 1/5 replicas 1,0 isr 0,1
        u-0 leader 0 epochs 0/4 replicas 0,1,2 isr 0,2 adding 2 removing 2
        ok
        u-0 leader 0 epochs 1/5 replicas 0,1 isr 0,1
    "#]]
    .assert_eq(&text);
}
