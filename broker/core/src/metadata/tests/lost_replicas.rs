use expect_test::expect;
use ottla_protocol::ids::PartitionIndex;

use super::in_sync::{alter, item};
use super::*;
use crate::metadata::request::{LoseReplicas, LostReplica};

/// Partition 0 of a topic is damaged on a broker, which goes on with it; what is answered.
fn lose(cluster: &mut Cluster, node: i32, name: &str) -> String {
    lose_as(cluster, node, name, false)
}

fn lose_as(cluster: &mut Cluster, node: i32, name: &str, is_offline: bool) -> String {
    let topic_id = cluster.metadata.image().topic(name).unwrap().id;
    let request = LoseReplicas {
        node_id: NodeId(node),
        broker_epoch: cluster.broker_epoch(node),
        partitions: vec![LostReplica {
            topic_id,
            partition: PartitionIndex(0),
            is_offline,
        }],
    };
    match cluster.ask(Request::LoseReplicas(request)) {
        Response::LoseReplicas(Ok(epochs)) => format!("epoch {}", epochs[0]),
        Response::LoseReplicas(Err(r)) => outcome(r.error_code, Some(&r.message)),
        other => panic!("{other:?}"),
    }
}

/// Only the leader, broker 0, is in sync with partition 0 of the topic t.
fn shrunk(min_isr: &str) -> Cluster {
    let mut cluster = Cluster::of(3);
    cluster.create("t", &[&[0, 1]], &[("min.insync.replicas", min_isr)]);
    let shrunk = item(&cluster, "t", &[0]);
    alter(&mut cluster, 0, shrunk);
    cluster
}

#[test]
fn a_damaged_leader_hands_over_and_is_not_eligible() {
    let mut cluster = Cluster::of(3);
    cluster.create("t", &[&[0, 1]], &[("min.insync.replicas", "2")]);
    assert_eq!(lose(&mut cluster, 0, "t"), "epoch 1");
    cluster.check(expect![[r#"
        t-0 leader 1 epochs 1/1 replicas 0,1 isr 1
    "#]]);
}

#[test]
fn a_damaged_follower_leaves_and_its_leader_begins_a_new_epoch() {
    let mut cluster = Cluster::of(3);
    cluster.create("t", &[&[0, 1, 2]], &[]);
    let joining = item(&cluster, "t", &[0, 1, 2]);
    assert_eq!(lose(&mut cluster, 1, "t"), "epoch 1");
    // what the leader asked for while it counted on the replica
    assert_eq!(alter(&mut cluster, 0, joining), "FENCED_LEADER_EPOCH\n");
    // told twice, because the answer was lost: the broker goes by the later epoch
    assert_eq!(lose(&mut cluster, 1, "t"), "epoch 2");
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 2/2 replicas 0,1,2 isr 0,2
    "#]]);
}

#[test]
fn the_last_replica_in_sync_stays_what_it_is() {
    let mut cluster = shrunk("1");
    assert_eq!(lose_as(&mut cluster, 0, "t", true), "epoch -1");
    assert_eq!(lose(&mut cluster, 2, "t"), "epoch -1");
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 0/1 replicas 0,1 isr 0
    "#]]);
}

/// Who left while the ISR was too small has all that was committed: nothing was since.
#[test]
fn an_eligible_replica_stands_in_for_the_last_one_in_sync() {
    let mut cluster = shrunk("2");
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 0/1 replicas 0,1 isr 0 elr 1
    "#]]);
    // it may have records that were promised to nobody but whoever asked for acks=1
    assert_eq!(lose(&mut cluster, 0, "t"), "epoch -1", "it serves");
    assert_eq!(lose_as(&mut cluster, 0, "t", true), "epoch 1");
    cluster.check(expect![[r#"
        t-0 leader 1 epochs 1/2 replicas 0,1 isr 1
    "#]]);
}

#[test]
fn nobody_stands_in_who_is_not_there() {
    let mut cluster = Cluster::of(3);
    cluster.create("t", &[&[0, 1]], &[("min.insync.replicas", "2")]);
    cluster.fence(1);
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 0/1 replicas 0,1 isr 0 elr 1
    "#]]);
    assert_eq!(lose_as(&mut cluster, 0, "t", true), "epoch -1");
}

/// Who is eligible only is spared by the one in sync, and eligible no more.
#[test]
fn a_damaged_replica_that_is_eligible_is_so_no_more() {
    let mut cluster = shrunk("2");
    assert_eq!(lose(&mut cluster, 1, "t"), "epoch 1");
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 1/2 replicas 0,1 isr 0
    "#]]);
}
