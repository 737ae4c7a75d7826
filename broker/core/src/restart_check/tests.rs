use expect_test::expect;
use ottla_protocol::ids::NodeId;
use ottla_protocol::messages::cluster::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};

use super::harms;
use crate::config::ConfigMap;
use crate::metadata::Request;
use crate::metadata::tests::Cluster;

/// `partition: why`, a line each.
fn shown(cluster: &Cluster, node: i32) -> String {
    let image = cluster.metadata.image();
    let harms = harms(image, &ConfigMap::new(), NodeId(node));
    let lines = harms
        .iter()
        .map(|harm| format!("{harm} {}\n", harm.why.name()));
    lines.collect()
}

#[test]
fn a_restart_is_told_of_what_it_would_harm() {
    let mut cluster = Cluster::of(4);
    cluster.create("alone", &[&[0], &[1]], &[]);
    cluster.create("pair", &[&[0, 1]], &[("min.insync.replicas", "2")]);
    cluster.create("three", &[&[0, 1, 2]], &[("min.insync.replicas", "2")]);
    cluster.create("moving", &[&[0, 1, 2]], &[]);
    cluster.ask(Request::AlterPartitionReassignments(
        AlterPartitionReassignmentsRequest {
            topics: vec![ReassignableTopic {
                name: "moving".to_owned(),
                partitions: vec![ReassignablePartition {
                    partition_index: 0,
                    replicas: Some(vec![0, 1, 3]),
                }],
            }],
            ..AlterPartitionReassignmentsRequest::default()
        },
    ));
    expect![[r#"
        alone-0 OnlyReplica
        moving-0 Reassigning
        pair-0 UnderMinIsr
    "#]]
    .assert_eq(&shown(&cluster, 0));
    expect![[r#"
        moving-0 Reassigning
    "#]]
    .assert_eq(&shown(&cluster, 3));
    // with another one away, three has no replica to spare
    cluster.fence(2);
    expect![[r#"
        alone-0 OnlyReplica
        moving-0 Reassigning
        pair-0 UnderMinIsr
        three-0 UnderMinIsr
    "#]]
    .assert_eq(&shown(&cluster, 0));
    cluster.fence(1);
    expect![[r#"
        alone-0 OnlyReplica
        moving-0 OnlyInSync
        pair-0 OnlyInSync
        three-0 OnlyInSync
    "#]]
    .assert_eq(&shown(&cluster, 0));
}
