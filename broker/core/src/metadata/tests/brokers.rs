use expect_test::expect;
use ottla_protocol::messages::cluster::UnregisterBrokerRequest;

use super::*;
use crate::metadata::request::{AllocateProducerIds, ProducerIdBlock, RebalanceLeaders};

fn register(cluster: &mut Cluster, change: impl Fn(&mut RegisterBroker)) -> String {
    let mut registration = cluster.registration(1);
    change(&mut registration);
    match cluster.ask(Request::RegisterBroker(registration)) {
        Response::RegisterBroker(Ok(epoch)) => format!("epoch {epoch}\n"),
        Response::RegisterBroker(Err(r)) => outcome(r.error_code, Some(&r.message)) + "\n",
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_id_belongs_to_one_live_process() {
    let mut cluster = Cluster::of(2);
    let before = cluster
        .metadata
        .image()
        .broker(NodeId(1))
        .unwrap()
        .incarnation_id;
    let mut text = register(&mut cluster, |r| r.cluster_id = "other".to_owned());
    // sent again by the same process
    text += &register(&mut cluster, |r| r.incarnation_id = before);
    // another process with another directory, while the first one lives
    text += &register(&mut cluster, |r| r.storage_id = Uuid([9; 16]));
    // another process that holds the same directory: the first one is dead
    text += &register(&mut cluster, |_| {});
    text += &register(&mut cluster, |r| r.features.clear());
    expect![[r#"
        INCONSISTENT_CLUSTER_ID: Broker 1 belongs to cluster other, this is c
        epoch 2
        DUPLICATE_BROKER_REGISTRATION: Another broker with id 1 is alive.
        epoch 3
        UNSUPPORTED_VERSION: Broker 1 does not support level 1 of feature
    "#]]
    .assert_eq(&text);
}

#[test]
fn the_last_in_sync_replica_stays_eligible_through_its_death() {
    let mut cluster = Cluster::of(3);
    cluster.create("t", &[&[0, 1, 2]], &[]);
    cluster.create("u", &[&[2, 0, 1]], &[]);
    cluster.fence(0);
    cluster.fence(2);
    cluster.check(expect![[r#"
        t-0 leader 1 epochs 1/2 replicas 0,1,2 isr 1 elr 2
        u-0 leader 1 epochs 1/2 replicas 2,0,1 isr 1 elr 2
    "#]]);
    cluster.fence(1);
    cluster.check(expect![[r#"
        t-0 leader none epochs 2/3 replicas 0,1,2 isr  elr 1,2 last 1
        u-0 leader none epochs 2/3 replicas 2,0,1 isr  elr 1,2 last 1
    "#]]);
    // 0 left while the ISR was at its minimum: it may lack what 1 and 2 committed then
    cluster.start(0);
    cluster.check(expect![[r#"
        t-0 leader none epochs 2/3 replicas 0,1,2 isr  elr 1,2 last 1
        u-0 leader none epochs 2/3 replicas 2,0,1 isr  elr 1,2 last 1
    "#]]);
    cluster.start(2);
    cluster.check(expect![[r#"
        t-0 leader 2 epochs 3/4 replicas 0,1,2 isr 2 elr 1
        u-0 leader 2 epochs 3/4 replicas 2,0,1 isr 2 elr 1
    "#]]);
}

#[test]
fn a_broker_that_lost_its_disk_is_not_eligible() {
    let mut cluster = Cluster::of(3);
    cluster.create("one", &[&[1]], &[]);
    cluster.create("three", &[&[1, 2, 0]], &[]);
    for node in [0, 2, 1] {
        cluster.fence(node);
    }
    cluster.check(expect![[r#"
        one-0 leader none epochs 1/1 replicas 1 isr  elr 1 last 1
        three-0 leader none epochs 1/3 replicas 1,2,0 isr  elr 1,2 last 1
    "#]]);
    register(&mut cluster, |r| r.storage_id = Uuid([9; 16]));
    cluster.heartbeat(1, false);
    // a partition's only replica begins anew; with others, it waits for one that has the records
    cluster.check(expect![[r#"
        one-0 leader 1 epochs 2/3 replicas 1 isr 1
        three-0 leader none epochs 1/4 replicas 1,2,0 isr  elr 2 last 1
    "#]]);
    cluster.start(2);
    cluster.check(expect![[r#"
        one-0 leader 1 epochs 2/3 replicas 1 isr 1
        three-0 leader 2 epochs 2/5 replicas 1,2,0 isr 2
    "#]]);
}

#[test]
fn a_crash_loses_what_was_acknowledged_in_memory_only() {
    let mut cluster = Cluster::of(2);
    cluster.create("memory", &[&[1, 0]], &[("ottla.durability", "Replicated")]);
    cluster.create("disk", &[&[1, 0]], &[]);
    cluster.fence(0);
    cluster.fence(1);
    register(&mut cluster, |r| r.clean_shutdown = false);
    cluster.check(expect![[r#"
        disk-0 leader none epochs 1/2 replicas 1,0 isr  elr 1 last 1
        memory-0 leader none epochs 1/3 replicas 1,0 isr  last 1
    "#]]);
    cluster.heartbeat(1, false);
    cluster.check(expect![[r#"
        disk-0 leader 1 epochs 2/3 replicas 1,0 isr 1
        memory-0 leader 1 epochs 2/4 replicas 1,0 isr 1
    "#]]);
}

fn may_stop(response: Response) -> bool {
    let Response::BrokerHeartbeat(Ok(standing)) = response else {
        panic!("{response:?}")
    };
    assert!(!standing.is_fenced);
    standing.should_shut_down
}

#[test]
fn a_controlled_shutdown_moves_what_can_move() {
    let mut cluster = Cluster::of(3);
    cluster.create("alone", &[&[1]], &[]);
    cluster.create("t", &[&[1, 2, 0], &[0, 1, 2]], &[]);
    assert!(!may_stop(cluster.heartbeat(1, true)));
    cluster.check(expect![[r#"
        alone-0 leader 1 epochs 0/0 replicas 1 isr 1
        t-0 leader 1 epochs 0/1 replicas 1,2,0 isr 1,2,0 successor 2
        t-1 leader 0 epochs 0/0 replicas 0,1,2 isr 0,1,2
    "#]]);
    cluster.hand_over(1);
    assert!(may_stop(cluster.heartbeat(1, true)));
    cluster.check(expect![[r#"
        alone-0 leader 1 epochs 0/0 replicas 1 isr 1
        t-0 leader 2 epochs 1/3 replicas 1,2,0 isr 2,0
        t-1 leader 0 epochs 0/1 replicas 0,1,2 isr 0,2
    "#]]);
    // it is fenced when it stops, and is like any other when it is back
    cluster.fence(1);
    cluster.start(1);
    cluster.check(expect![[r#"
        alone-0 leader 1 epochs 2/2 replicas 1 isr 1
        t-0 leader 2 epochs 1/3 replicas 1,2,0 isr 2,0
        t-1 leader 0 epochs 0/1 replicas 0,1,2 isr 0,2
    "#]]);
}

#[test]
fn an_older_incarnation_is_not_listened_to() {
    let mut cluster = Cluster::of(2);
    let old = cluster.broker_epoch(1);
    cluster.start(1);
    let stale = |r: Response| {
        let refusal = match r {
            Response::BrokerHeartbeat(Err(r)) | Response::FenceBroker(Err(r)) => r,
            Response::AllocateProducerIds(Err(r)) => r,
            other => panic!("{other:?}"),
        };
        assert_eq!(refusal.error(), ErrorCode::StaleBrokerEpoch);
    };
    let (node_id, broker_epoch) = (NodeId(1), old);
    stale(cluster.ask(Request::BrokerHeartbeat(BrokerHeartbeat {
        node_id,
        broker_epoch,
        ready: true,
        want_shut_down: true,
        has_heard: false,
    })));
    let fence = FenceBroker {
        node_id,
        broker_epoch,
    };
    stale(cluster.ask(Request::FenceBroker(fence)));
    let ids = AllocateProducerIds {
        node_id,
        broker_epoch,
    };
    stale(cluster.ask(Request::AllocateProducerIds(ids)));
    assert!(cluster.metadata.image().is_active(NodeId(1)));
}

#[test]
fn no_producer_id_is_given_twice() {
    let mut cluster = Cluster::of(2);
    for (node, first) in [(0, 0), (1, 1000), (0, 2000)] {
        let broker_epoch = cluster.broker_epoch(node);
        let node_id = NodeId(node);
        let ids = AllocateProducerIds {
            node_id,
            broker_epoch,
        };
        let expected = ProducerIdBlock {
            first: ottla_protocol::ids::ProducerId(first),
            count: 1000,
        };
        let response = cluster.ask(Request::AllocateProducerIds(ids));
        assert_eq!(response, Response::AllocateProducerIds(Ok(expected)));
    }
}

#[test]
fn an_unregistered_broker_is_gone_and_its_epoch_is_not_given_again() {
    let mut cluster = Cluster::of(3);
    cluster.create("t", &[&[1, 2]], &[]);
    let old = cluster.broker_epoch(2);
    let unregister = |broker_id| Request::UnregisterBroker(UnregisterBrokerRequest { broker_id });
    cluster.ask(unregister(2));
    cluster.check(expect![[r#"
        t-0 leader 1 epochs 0/1 replicas 1,2 isr 1
    "#]]);
    let Response::UnregisterBroker(again) = cluster.ask(unregister(2)) else {
        panic!()
    };
    assert_eq!(again.error_code, ErrorCode::BrokerIdNotRegistered.code());
    let mut copy = Metadata::new(config::ConfigMap::new());
    copy.install(&cluster.metadata.image().to_records());
    assert_eq!(copy.image(), cluster.metadata.image());
    cluster.start(2);
    assert!(cluster.broker_epoch(2) > old);
}

fn unregister(cluster: &mut Cluster, broker_id: i32) {
    let request = UnregisterBrokerRequest { broker_id };
    match cluster.ask(Request::UnregisterBroker(request)) {
        Response::UnregisterBroker(response) => assert_eq!(response.error_code, 0),
        other => panic!("{other:?}"),
    }
}

/// Which disk it had is not known any more: whatever comes with its id may be empty.
#[test]
fn who_was_unregistered_is_not_eligible() {
    let mut cluster = Cluster::of(3);
    cluster.create("t", &[&[0, 1, 2]], &[("min.insync.replicas", "3")]);
    cluster.fence(1);
    cluster.fence(2);
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 0/2 replicas 0,1,2 isr 0 elr 1,2
    "#]]);
    unregister(&mut cluster, 1);
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 0/3 replicas 0,1,2 isr 0 elr 2
    "#]]);
    register(&mut cluster, |r| r.storage_id = Uuid([9; 16]));
    cluster.heartbeat(1, false);
    cluster.fence(0);
    cluster.check(expect![[r#"
        t-0 leader none epochs 1/4 replicas 0,1,2 isr  elr 0,2 last 0
    "#]]);
}

/// Records of older controllers: they kept whom they unregistered eligible.
#[test]
fn who_registers_without_a_predecessor_is_not_eligible() {
    let mut cluster = Cluster::of(3);
    cluster.create("t", &[&[0, 1, 2]], &[("min.insync.replicas", "3")]);
    cluster.fence(1);
    let gone = crate::image::record::RemoveBrokerRecord { node_id: 1 };
    cluster.metadata.replay(&Record::RemoveBroker(gone));
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 0/1 replicas 0,1,2 isr 0,2 elr 1
    "#]]);
    cluster.start(1);
    cluster.check(expect![[r#"
        t-0 leader 0 epochs 0/2 replicas 0,1,2 isr 0,2
    "#]]);
}

/// What it has not written yet is never acknowledged; followers the lag limit would put out.
#[test]
fn a_leader_whose_disk_is_full_gives_way_to_who_has_room() {
    let mut cluster = Cluster::of(3);
    cluster.create("t", &[&[0, 1, 2], &[1, 0, 2]], &[]);
    cluster.create("alone", &[&[0]], &[]);
    // it is to hand over, and goes without where that came to nothing, once its lease has run out
    cluster.has_room(1, false);
    cluster.heartbeat(1, false);
    cluster.check(expect![[r#"
        alone-0 leader 0 epochs 0/0 replicas 0 isr 0
        t-0 leader 0 epochs 0/0 replicas 0,1,2 isr 0,1,2
        t-1 leader 1 epochs 0/1 replicas 1,0,2 isr 1,0,2 successor 0
    "#]]);
    cluster.has_no_lease(1);
    cluster.check(expect![[r#"
        alone-0 leader 0 epochs 0/0 replicas 0 isr 0
        t-0 leader 0 epochs 0/0 replicas 0,1,2 isr 0,1,2
        t-1 leader 0 epochs 1/2 replicas 1,0,2 isr 1,0,2
    "#]]);
    cluster.has_room(0, false);
    cluster.check(expect![[r#"
        alone-0 leader 0 epochs 0/0 replicas 0 isr 0
        t-0 leader 0 epochs 0/1 replicas 0,1,2 isr 0,1,2 successor 2
        t-1 leader 0 epochs 1/3 replicas 1,0,2 isr 1,0,2 successor 2
    "#]]);
    cluster.hand_over(0);
    cluster.check(expect![[r#"
        alone-0 leader 0 epochs 0/0 replicas 0 isr 0
        t-0 leader 2 epochs 1/2 replicas 0,1,2 isr 0,1,2
        t-1 leader 2 epochs 2/4 replicas 1,0,2 isr 1,0,2
    "#]]);
    // nobody has room: who leads stays, and whoever is left leads where it dies
    cluster.has_room(2, false);
    cluster.fence(2);
    cluster.check(expect![[r#"
        alone-0 leader 0 epochs 0/0 replicas 0 isr 0
        t-0 leader 0 epochs 2/3 replicas 0,1,2 isr 0,1
        t-1 leader 1 epochs 3/5 replicas 1,0,2 isr 1,0
    "#]]);
    // nor does one without room lead because it is the preferred leader
    cluster.has_room(1, true);
    cluster.heartbeat(0, false);
    cluster.has_no_lease(0);
    let rebalance = RebalanceLeaders {
        imbalance_percent_max: 0,
    };
    cluster.ask(Request::RebalanceLeaders(rebalance));
    cluster.check(expect![[r#"
        alone-0 leader 0 epochs 0/0 replicas 0 isr 0
        t-0 leader 1 epochs 3/5 replicas 0,1,2 isr 0,1
        t-1 leader 1 epochs 3/5 replicas 1,0,2 isr 1,0
    "#]]);
}
