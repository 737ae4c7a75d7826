use expect_test::expect;
use ottla_protocol::ids::{LeaderEpoch, PartitionEpoch, PartitionIndex};
use ottla_protocol::messages::cluster::{
    ElectLeadersRequest, FeatureUpdateKey, TopicPartitions, UpdateFeaturesRequest,
};

use super::*;
use crate::metadata::features::ELIGIBLE_LEADER_REPLICAS_VERSION;
use crate::metadata::request::{AlterPartition, AlterPartitionItem, IsrMember, RebalanceLeaders};

/// The ISR that `node` asks for, by the registration as it is.
pub(super) fn item(cluster: &Cluster, name: &str, isr: &[i32]) -> AlterPartitionItem {
    let topic = cluster.metadata.image().topic(name).unwrap();
    let p = &topic.partitions[0];
    let member = |node: &i32| IsrMember {
        node_id: NodeId(*node),
        broker_epoch: cluster.broker_epoch(*node),
    };
    AlterPartitionItem {
        topic_id: topic.id,
        partition: PartitionIndex(0),
        leader_epoch: p.leader_epoch,
        partition_epoch: p.partition_epoch,
        new_isr: isr.iter().map(member).collect(),
    }
}

pub(super) fn alter(cluster: &mut Cluster, node: i32, item: AlterPartitionItem) -> String {
    let request = AlterPartition {
        node_id: NodeId(node),
        broker_epoch: cluster.broker_epoch(node),
        partitions: vec![item],
    };
    match cluster.ask(Request::AlterPartition(request)) {
        Response::AlterPartition(Ok(results)) => outcome(results[0].error_code, None) + "\n",
        Response::AlterPartition(Err(r)) => outcome(r.error_code, Some(&r.message)) + "\n",
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_isr_changes_only_by_the_leader_that_sees_what_is_so() {
    let mut cluster = Cluster::of(4);
    cluster.create("t", &[&[0, 1, 2]], &[]);
    let good = item(&cluster, "t", &[0, 1]);
    let with = |change: &dyn Fn(&mut AlterPartitionItem)| {
        let mut changed = good.clone();
        change(&mut changed);
        changed
    };
    let mut text = String::new();
    for (node, item) in [
        (1, good.clone()),
        (0, with(&|i| i.topic_id.0 = Uuid([3; 16]))),
        (0, with(&|i| i.partition = PartitionIndex(5))),
        (0, with(&|i| i.leader_epoch = LeaderEpoch(9))),
        (0, with(&|i| i.partition_epoch = PartitionEpoch(9))),
        (0, with(&|i| i.leader_epoch = LeaderEpoch(-1))),
        (0, with(&|i| i.partition_epoch = PartitionEpoch(-1))),
        (0, with(&|i| i.new_isr.retain(|m| m.node_id != NodeId(0)))),
        (0, with(&|i| i.new_isr[1].node_id = NodeId(3))),
        (0, with(&|i| i.new_isr.push(i.new_isr[1]))),
        (0, with(&|i| i.new_isr.clear())),
        // a broker that restarted since the leader counted its fetches (KIP-903)
        (0, with(&|i| i.new_isr[1].broker_epoch.0 -= 1)),
        (0, good.clone()),
        (0, good.clone()),
    ] {
        text += &alter(&mut cluster, node, item);
    }
    expect![[r#"
        INVALID_REQUEST
        UNKNOWN_TOPIC_ID
        UNKNOWN_TOPIC_OR_PARTITION
        NOT_CONTROLLER
        NOT_CONTROLLER
        FENCED_LEADER_EPOCH
        INVALID_UPDATE_VERSION
        INVALID_REQUEST
        INVALID_REQUEST
        INVALID_REQUEST
        INVALID_REQUEST
        INELIGIBLE_REPLICA
        ok
        INVALID_UPDATE_VERSION
    "#]]
    .assert_eq(&text);
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 0/1 replicas 0,1,2 isr 0,1
    "#]]);
}

#[test]
fn a_fenced_or_leaving_broker_does_not_come_into_an_isr() {
    let mut cluster = Cluster::of(3);
    cluster.create("t", &[&[0, 1, 2]], &[]);
    cluster.fence(1);
    let back = item(&cluster, "t", &[0, 1, 2]);
    assert_eq!(alter(&mut cluster, 0, back), "INELIGIBLE_REPLICA\n");
    cluster.start(1);
    cluster.heartbeat(1, true);
    let back = item(&cluster, "t", &[0, 1, 2]);
    assert_eq!(alter(&mut cluster, 0, back), "INELIGIBLE_REPLICA\n");
    cluster.fence(1);
    cluster.start(1);
    let back = item(&cluster, "t", &[0, 1, 2]);
    assert_eq!(alter(&mut cluster, 0, back), "ok\n");
}

#[test]
fn below_min_isr_those_who_left_stay_eligible() {
    let mut cluster = Cluster::of(3);
    cluster.create("t", &[&[0, 1, 2]], &[]);
    for isr in [&[0, 1][..], &[0], &[0, 2], &[0]] {
        let shrunk = item(&cluster, "t", isr);
        assert_eq!(alter(&mut cluster, 0, shrunk), "ok\n");
    }
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 0/4 replicas 0,1,2 isr 0 elr 2
    "#]]);
    // 2 holds all that is committed, so it may lead; 1 does not
    cluster.fence(0);
    cluster.check(expect![[r#"
        t-0 leader 2 epochs 1/5 replicas 0,1,2 isr 2 elr 0
    "#]]);
}

/// Finalizes a level of eligible.leader.replicas.version.
fn keep_eligible(cluster: &mut Cluster, level: i16, upgrade_type: i8) {
    let request = UpdateFeaturesRequest {
        feature_updates: vec![FeatureUpdateKey {
            feature: ELIGIBLE_LEADER_REPLICAS_VERSION.to_owned(),
            max_version_level: level,
            upgrade_type,
            ..FeatureUpdateKey::default()
        }],
        ..UpdateFeaturesRequest::default()
    };
    let Response::UpdateFeatures(response) = cluster.ask(Request::UpdateFeatures(request)) else {
        panic!("another answer");
    };
    assert_eq!(
        outcome(response.error_code, response.error_message.as_deref()),
        "ok"
    );
}

#[test]
fn where_nobody_is_kept_eligible_the_last_in_sync_is_waited_for() {
    let mut cluster = Cluster::of(3);
    keep_eligible(&mut cluster, 0, 2);
    cluster.create("t", &[&[0, 1, 2]], &[]);
    cluster.create(
        "u",
        &[&[0, 1]],
        &[("unclean.leader.election.enable", "true")],
    );
    for (name, isr) in [("t", &[0, 1][..]), ("t", &[0]), ("u", &[0])] {
        let shrunk = item(&cluster, name, isr);
        assert_eq!(alter(&mut cluster, 0, shrunk), "ok\n");
    }
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 0/2 replicas 0,1,2 isr 0
        u-0 leader 0 epochs 0/1 replicas 0,1 isr 0
    "#]]);
    cluster.fence(0);
    cluster.check(expect![[r#"
        t-0 leader none epochs 1/3 replicas 0,1,2 isr 0 last 0
        u-0 leader 1 epochs 1/2 replicas 0,1 isr 1
    "#]]);
    // 1 is alive, and not in sync: it is not elected, though it is there
    cluster.start(1);
    cluster.start(0);
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 2/4 replicas 0,1,2 isr 0
        u-0 leader 1 epochs 3/4 replicas 0,1 isr 1
    "#]]);
}

#[test]
fn where_nobody_is_kept_eligible_nobody_is_from_the_start() {
    let mut cluster = Cluster::of(3);
    keep_eligible(&mut cluster, 0, 2);
    cluster.fence(1);
    cluster.fence(2);
    cluster.create("t", &[&[0, 1, 2]], &[]);
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 0/0 replicas 0,1,2 isr 0
    "#]]);
}

#[test]
fn who_was_eligible_before_is_so_no_more_unless_there_is_nobody_else() {
    let mut cluster = Cluster::of(3);
    for name in ["led", "waits"] {
        cluster.create(name, &[&[0, 1, 2]], &[]);
        for isr in [&[0, 1][..], &[0]] {
            let shrunk = item(&cluster, name, isr);
            assert_eq!(alter(&mut cluster, 0, shrunk), "ok\n");
        }
    }
    cluster.create("lone", &[&[1]], &[]);
    cluster.fence(1);
    cluster.check(expect![[r#"
        led-0 leader 0 epochs 0/2 replicas 0,1,2 isr 0 elr 1
        lone-0 leader none epochs 1/1 replicas 1 isr  elr 1 last 1
        waits-0 leader 0 epochs 0/2 replicas 0,1,2 isr 0 elr 1
    "#]]);
    keep_eligible(&mut cluster, 0, 2);
    cluster.check(expect![[r#"
        led-0 leader 0 epochs 0/3 replicas 0,1,2 isr 0
        lone-0 leader none epochs 1/1 replicas 1 isr  elr 1 last 1
        waits-0 leader 0 epochs 0/3 replicas 0,1,2 isr 0
    "#]]);
    cluster.fence(0);
    cluster.check(expect![[r#"
        led-0 leader none epochs 1/4 replicas 0,1,2 isr 0 last 0
        lone-0 leader none epochs 1/1 replicas 1 isr  elr 1 last 1
        waits-0 leader none epochs 1/4 replicas 0,1,2 isr 0 last 0
    "#]]);
    cluster.start(1);
    cluster.start(0);
    cluster.check(expect![[r#"
        led-0 leader 0 epochs 2/5 replicas 0,1,2 isr 0
        lone-0 leader 1 epochs 2/2 replicas 1 isr 1
        waits-0 leader 0 epochs 2/5 replicas 0,1,2 isr 0
    "#]]);
    // and kept from then on
    keep_eligible(&mut cluster, 1, 1);
    cluster.fence(0);
    cluster.check(expect![[r#"
        led-0 leader none epochs 3/6 replicas 0,1,2 isr  elr 0 last 0
        lone-0 leader 1 epochs 2/2 replicas 1 isr 1
        waits-0 leader none epochs 3/6 replicas 0,1,2 isr  elr 0 last 0
    "#]]);
}

fn elect(cluster: &mut Cluster, election_type: i8, partitions: Option<&[(&str, i32)]>) -> String {
    let asked = |(topic, index): &(&str, i32)| TopicPartitions {
        topic: (*topic).to_owned(),
        partitions: vec![*index],
    };
    let response = cluster.ask(Request::ElectLeaders(ElectLeadersRequest {
        election_type,
        topic_partitions: partitions.map(|p| p.iter().map(asked).collect()),
        ..ElectLeadersRequest::default()
    }));
    let Response::ElectLeaders(response) = response else {
        panic!("{response:?}")
    };
    let mut text = String::new();
    if response.error_code != 0 {
        let _ = writeln!(text, "{}", outcome(response.error_code, None));
    }
    for topic in response.replica_election_results {
        for p in topic.partition_result {
            let outcome = outcome(p.error_code, p.error_message.as_deref());
            let _ = writeln!(text, "{}-{} {outcome}", topic.topic, p.partition_id);
        }
    }
    text
}

#[test]
fn elections_are_held_where_they_are_needed_and_possible() {
    let mut cluster = Cluster::of(3);
    cluster.create("moved", &[&[0, 1]], &[]);
    cluster.create("stays", &[&[1, 2]], &[]);
    cluster.create("stuck", &[&[0, 2]], &[]);
    cluster.fence(0);
    cluster.start(0);
    let back = item(&cluster, "moved", &[1, 0]);
    alter(&mut cluster, 1, back);
    let all = [
        ("moved", 0),
        ("stays", 0),
        ("stuck", 0),
        ("moved", 7),
        ("nowhere", 0),
    ];
    let text = elect(&mut cluster, 0, Some(&all));
    expect![[r#"
        moved-0 ok
        moved-7 UNKNOWN_TOPIC_OR_PARTITION: No such partition as moved-7
        nowhere-0 UNKNOWN_TOPIC_OR_PARTITION: No such partition as nowhere-0
        stays-0 ELECTION_NOT_NEEDED: Leader election not needed for topic partiti
        stuck-0 PREFERRED_LEADER_NOT_AVAILABLE: The preferred leader was not available.
    "#]]
    .assert_eq(&text);
    cluster.check(expect![[r#"
        moved-0 leader 1 epochs 1/3 replicas 0,1 isr 1,0 successor 0
        stays-0 leader 1 epochs 0/0 replicas 1,2 isr 1,2
        stuck-0 leader 2 epochs 1/1 replicas 0,2 isr 2
    "#]]);
    let text = elect(&mut cluster, 0, None) + &elect(&mut cluster, 9, None);
    expect![[r#"
        moved-0 ok
        stuck-0 PREFERRED_LEADER_NOT_AVAILABLE: The preferred leader was not available.
        INVALID_REQUEST
    "#]]
    .assert_eq(&text);
    // asked twice, the leader still hands over and is not put off
    cluster.check(expect![[r#"
        moved-0 leader 1 epochs 1/3 replicas 0,1 isr 1,0 successor 0
        stays-0 leader 1 epochs 0/0 replicas 1,2 isr 1,2
        stuck-0 leader 2 epochs 1/1 replicas 0,2 isr 2
    "#]]);
}

#[test]
fn an_unclean_election_is_only_held_when_asked_for() {
    let mut cluster = Cluster::of(3);
    cluster.create("t", &[&[0, 1, 2]], &[("min.insync.replicas", "1")]);
    cluster.create(
        "u",
        &[&[0, 1]],
        &[("unclean.leader.election.enable", "true")],
    );
    for (name, isr) in [("t", &[0][..]), ("u", &[0])] {
        let shrunk = item(&cluster, name, isr);
        alter(&mut cluster, 0, shrunk);
    }
    cluster.fence(0);
    cluster.check(expect![[r#"
        t-0 leader none epochs 1/2 replicas 0,1,2 isr  elr 0 last 0
        u-0 leader 1 epochs 1/2 replicas 0,1 isr 1
    "#]]);
    let text = elect(&mut cluster, 1, Some(&[("t", 0), ("u", 0)]));
    expect![[r#"
        t-0 ok
        u-0 ELECTION_NOT_NEEDED: Leader election not needed for topic partiti
    "#]]
    .assert_eq(&text);
    cluster.check(expect![[r#"
        t-0 leader 1 epochs 2/3 replicas 0,1,2 isr 1
        u-0 leader 1 epochs 1/2 replicas 0,1 isr 1
    "#]]);
}

#[test]
fn leaders_go_back_where_too_many_are_away() {
    let mut cluster = Cluster::of(2);
    cluster.create("t", &[&[0, 1]], &[]);
    cluster.create("u", &[&[1, 0]], &[]);
    cluster.fence(0);
    cluster.start(0);
    for name in ["t", "u"] {
        let back = item(&cluster, name, &[0, 1]);
        alter(&mut cluster, 1, back);
    }
    let rebalance = |imbalance_percent_max| {
        Request::RebalanceLeaders(RebalanceLeaders {
            imbalance_percent_max,
        })
    };
    assert_eq!(
        cluster.ask(rebalance(100)),
        Response::RebalanceLeaders(Ok(0))
    );
    assert_eq!(
        cluster.ask(rebalance(10)),
        Response::RebalanceLeaders(Ok(1))
    );
    cluster.hand_over(1);
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 2/4 replicas 0,1 isr 0,1
        u-0 leader 1 epochs 0/2 replicas 1,0 isr 0,1
    "#]]);
}
