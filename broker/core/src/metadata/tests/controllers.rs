//! Controllers that are no brokers: who may register, and what is finalized beside them.

use expect_test::expect;
use ottla_protocol::messages::cluster::{
    FeatureUpdateKey, UnregisterBrokerRequest, UpdateFeaturesRequest,
};

use super::*;
use crate::image::record::ControllerRecord;
use crate::metadata::request::RegisterController;

fn register(cluster: &mut Cluster, node: i32, change: impl Fn(&mut RegisterController)) -> String {
    let mut request = RegisterController {
        cluster_id: "test".to_owned(),
        controller: ControllerRecord {
            node_id: node,
            storage_id: Uuid([node as u8; 16]),
            features: cluster.registration(node).features,
            ..ControllerRecord::default()
        },
    };
    change(&mut request);
    match cluster.ask(Request::RegisterController(request)) {
        Response::RegisterController(Ok(node)) => format!("{node}\n"),
        Response::RegisterController(Err(r)) => outcome(r.error_code, Some(&r.message)) + "\n",
        other => panic!("{other:?}"),
    }
}

fn known(cluster: &Cluster) -> Vec<i32> {
    let image = cluster.metadata.image();
    let mut rebuilt = Metadata::default();
    rebuilt.install(&image.to_records());
    assert_eq!(rebuilt.image(), image, "a snapshot has all of it");
    image.controllers.keys().map(|node| node.0).collect()
}

#[test]
fn a_controller_is_no_broker_and_holds_no_partition() {
    let mut cluster = Cluster::of(3);
    let mut text = register(&mut cluster, 100, |_| {});
    let records = cluster.log.len();
    text += &register(&mut cluster, 100, |_| {});
    assert_eq!(cluster.log.len(), records, "nothing new is no record");
    text += &register(&mut cluster, 100, |r| {
        r.controller.storage_id = Uuid([7; 16])
    });
    text += &register(&mut cluster, 101, |r| r.cluster_id = "other".to_owned());
    text += &register(&mut cluster, 2, |_| {});
    text += &register(&mut cluster, 101, |r| r.controller.features.clear());
    expect![[r#"
        100
        100
        100
        INCONSISTENT_CLUSTER_ID: Controller 101 belongs to cluster other, thi
        DUPLICATE_BROKER_REGISTRATION: Node 2 is registered as a broker. Move its r
        UNSUPPORTED_VERSION: Controller 101 does not support level 1 of f
    "#]]
    .assert_eq(&text);
    assert_eq!(known(&cluster), [100]);
    let created = cluster.ask(Request::CreateTopics(CreateTopicsRequest {
        topics: vec![topic("spread", 30, 3, &[]), topic("wide", 1, 4, &[])],
        ..CreateTopicsRequest::default()
    }));
    let Response::CreateTopics(created) = created else {
        panic!("{created:?}")
    };
    let errors = created.topics.iter().map(|topic| topic.error_code);
    let too_few = ErrorCode::InvalidReplicationFactor.code();
    assert_eq!(errors.collect::<Vec<i16>>(), [0, too_few]);
    let moved = super::reassignments::reassign(&mut cluster, "spread", 0, Some(&[0, 100]));
    assert!(moved.starts_with("INVALID_REPLICA_ASSIGNMENT"), "{moved}");
    let image = cluster.metadata.image();
    let partitions = image.topics.values().flat_map(|topic| topic.indexed());
    let mut replicas = partitions.flat_map(|(_, partition)| &partition.replicas);
    assert!(replicas.all(|node| node.0 < 3), "{}", cluster.partitions());
    assert_eq!(image.brokers.len(), 3);
    assert_eq!(image.node(NodeId(100)).unwrap().0, Uuid([7; 16]));
}

/// The record of a controller is not to be read by a version that knows none.
#[test]
fn no_controller_registers_before_all_brokers_know_controllers() {
    let mut cluster = Cluster::of(2);
    let mut old = cluster.registration(2);
    old.features
        .retain(|f| f.name != "ottla.controllers.version");
    cluster.ask(Request::RegisterBroker(old));
    let records = cluster.log.len();
    let refused = register(&mut cluster, 100, |_| {});
    assert!(
        refused.starts_with("UNSUPPORTED_VERSION: Broker 2 is of a version"),
        "{refused}"
    );
    assert_eq!(cluster.log.len(), records);
    cluster.start(2);
    assert_eq!(register(&mut cluster, 100, |_| {}), "100\n");
}

#[test]
fn a_controller_is_forgotten_or_becomes_a_broker() {
    let mut cluster = Cluster::of(1);
    register(&mut cluster, 100, |_| {});
    register(&mut cluster, 101, |_| {});
    let mut unregister = |broker_id| {
        let request = Request::UnregisterBroker(UnregisterBrokerRequest { broker_id });
        let Response::UnregisterBroker(response) = cluster.ask(request) else {
            panic!("another answer");
        };
        response.error_code
    };
    assert_eq!(unregister(100), 0);
    assert_ne!(unregister(100), 0);
    assert_eq!(known(&cluster), [101]);
    cluster.start(101);
    assert_eq!(known(&cluster), [0; 0]);
    assert!(cluster.metadata.image().is_unfenced(NodeId(101)));
}

#[test]
fn no_level_is_finalized_that_a_controller_lacks() {
    let mut cluster = Cluster::of(1);
    let update = |cluster: &mut Cluster, level, upgrade_type| {
        let request = UpdateFeaturesRequest {
            feature_updates: vec![FeatureUpdateKey {
                feature: "transaction.version".to_owned(),
                max_version_level: level,
                upgrade_type,
                ..FeatureUpdateKey::default()
            }],
            ..UpdateFeaturesRequest::default()
        };
        let Response::UpdateFeatures(response) = cluster.ask(Request::UpdateFeatures(request))
        else {
            panic!("another answer");
        };
        response.error_message.unwrap_or_default()
    };
    assert_eq!(update(&mut cluster, 0, 2), "");
    register(&mut cluster, 100, |r| {
        r.controller
            .features
            .retain(|f| f.name != "transaction.version");
    });
    let refused = update(&mut cluster, 2, 1);
    assert!(
        refused.ends_with("Controller 100 does not support it."),
        "{refused}"
    );
    register(&mut cluster, 100, |_| {});
    assert_eq!(update(&mut cluster, 2, 1), "");
}
