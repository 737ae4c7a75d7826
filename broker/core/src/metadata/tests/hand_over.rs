use expect_test::expect;

use super::*;
use ottla_protocol::messages::configs::{
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResource, IncrementalAlterableConfig,
};

/// Sets `ottla.drain` of a broker, or takes it back.
fn drain(cluster: &mut Cluster, node: &str, is_on: bool) -> String {
    let config = IncrementalAlterableConfig {
        name: "ottla.drain".to_owned(),
        config_operation: i8::from(!is_on),
        value: is_on.then(|| "true".to_owned()),
    };
    let request = IncrementalAlterConfigsRequest {
        resources: vec![IncrementalAlterConfigsResource {
            resource_type: 4,
            resource_name: node.to_owned(),
            configs: vec![config],
        }],
        validate_only: false,
    };
    let Response::IncrementalAlterConfigs(response) =
        cluster.ask(Request::IncrementalAlterConfigs(request))
    else {
        panic!("configs are altered");
    };
    let altered = &response.responses[0];
    outcome(altered.error_code, altered.error_message.as_deref())
}

fn drains(cluster: &Cluster, node: i32) -> bool {
    let broker = cluster.metadata.image().broker(NodeId(node)).unwrap();
    broker.in_controlled_shutdown
}

#[test]
fn a_drained_broker_leads_nothing_and_stays_in_sync() {
    let mut cluster = Cluster::of(3);
    cluster.create("t", &[&[1, 2, 0], &[2, 1, 0]], &[]);
    cluster.create("alone", &[&[1]], &[]);
    assert_eq!(drain(&mut cluster, "1", true), "ok");
    cluster.check(expect![[r#"
        alone-0 leader 1 epochs 0/0 replicas 1 isr 1
        t-0 leader 1 epochs 0/1 replicas 1,2,0 isr 1,2,0 successor 2
        t-1 leader 2 epochs 0/0 replicas 2,1,0 isr 2,1,0
    "#]]);
    cluster.hand_over(1);
    cluster.check(expect![[r#"
        alone-0 leader 1 epochs 0/0 replicas 1 isr 1
        t-0 leader 2 epochs 1/2 replicas 1,2,0 isr 1,2,0
        t-1 leader 2 epochs 0/0 replicas 2,1,0 isr 2,1,0
    "#]]);
    // nothing comes back while it drains, in its order or by a failure
    cluster.fence(2);
    cluster.check(expect![[r#"
        alone-0 leader 1 epochs 0/0 replicas 1 isr 1
        t-0 leader 0 epochs 2/3 replicas 1,2,0 isr 1,0
        t-1 leader 0 epochs 1/1 replicas 2,1,0 isr 1,0
    "#]]);
    assert_eq!(drain(&mut cluster, "1", false), "ok");
    cluster.fence(0);
    cluster.check(expect![[r#"
        alone-0 leader 1 epochs 0/0 replicas 1 isr 1
        t-0 leader 1 epochs 3/4 replicas 1,2,0 isr 1 elr 0
        t-1 leader 1 epochs 2/2 replicas 2,1,0 isr 1 elr 0
    "#]]);
}

#[test]
fn a_drain_is_of_one_incarnation() {
    let mut cluster = Cluster::of(3);
    assert_eq!(drain(&mut cluster, "1", true), "ok");
    assert!(drains(&cluster, 1));
    cluster.fence(1);
    cluster.heartbeat(1, false);
    assert!(drains(&cluster, 1), "the same process goes on draining");
    cluster.start(1);
    assert!(!drains(&cluster, 1));
    let configs = cluster.metadata.image().configs.len();
    assert_eq!(configs, 0, "the config ends with it");
    let refused = drain(&mut cluster, "", true);
    assert_eq!(
        refused,
        "INVALID_CONFIG: ottla.drain is set for one broker, not for a"
    );
}

#[test]
fn a_hand_over_ends_where_the_successor_cannot_lead() {
    let mut cluster = Cluster::of(3);
    cluster.create("t", &[&[1, 2, 0]], &[]);
    drain(&mut cluster, "1", true);
    cluster.fence(2);
    cluster.check(expect![[r#"
        t-0 leader 1 epochs 0/2 replicas 1,2,0 isr 1,0
    "#]]);
    // the next beat names another
    cluster.heartbeat(1, false);
    cluster.check(expect![[r#"
        t-0 leader 1 epochs 0/3 replicas 1,2,0 isr 1,0 successor 0
    "#]]);
    // who drains is handed nothing
    drain(&mut cluster, "0", true);
    cluster.check(expect![[r#"
        t-0 leader 1 epochs 0/4 replicas 1,2,0 isr 1,0
    "#]]);
    assert_eq!(cluster.hand_over(1), Response::HandOver(Ok(0)));
    cluster.check(expect![[r#"
        t-0 leader 1 epochs 0/4 replicas 1,2,0 isr 1,0
    "#]]);
}

#[test]
fn a_large_broker_hands_over_in_batches() {
    let mut cluster = Cluster::of(2);
    let replicas: Vec<&[i32]> = vec![&[1, 0]; 150];
    cluster.create("t", &replicas, &[]);
    let successors = |cluster: &Cluster| cluster.partitions().matches("successor").count();
    let led = |cluster: &Cluster| cluster.partitions().matches("leader 1").count();
    drain(&mut cluster, "1", true);
    assert_eq!((led(&cluster), successors(&cluster)), (150, 100));
    cluster.hand_over(1);
    assert_eq!((led(&cluster), successors(&cluster)), (50, 50));
    cluster.hand_over(1);
    assert_eq!((led(&cluster), successors(&cluster)), (0, 0));
}

#[test]
fn a_leader_may_grow_its_isr_beside_a_broker_that_drains() {
    use crate::metadata::request::{AlterPartition, AlterPartitionItem, IsrMember};
    let mut cluster = Cluster::of(3);
    cluster.create("t", &[&[0, 1, 2]], &[]);
    cluster.fence(2);
    cluster.start(2);
    drain(&mut cluster, "1", true);
    let topic = cluster.metadata.image().topic("t").unwrap().clone();
    let member = |node| IsrMember {
        node_id: NodeId(node),
        broker_epoch: cluster.broker_epoch(node),
    };
    let item = AlterPartitionItem {
        topic_id: topic.id,
        partition: 0.into(),
        leader_epoch: topic.partitions[0].leader_epoch,
        partition_epoch: topic.partitions[0].partition_epoch,
        new_isr: vec![member(0), member(1), member(2)],
    };
    let request = AlterPartition {
        node_id: NodeId(0),
        broker_epoch: cluster.broker_epoch(0),
        partitions: vec![item],
    };
    cluster.ask(Request::AlterPartition(request));
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 0/2 replicas 0,1,2 isr 0,1,2
    "#]]);
}
