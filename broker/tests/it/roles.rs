//! What a node is by `process.roles`, and who may ask controllers.

use std::collections::BTreeSet;
use std::time::Duration;

use ottla_broker::node::Surroundings;
use ottla_core::acl::Operation;
use ottla_core::image::record::FeatureRangeRecord;
use ottla_core::metadata::features::registered;
use ottla_core::metadata::request::RegisterBroker;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::NodeId;
use ottla_protocol::messages::access::{AclCreation, CreateAclsRequest};
use ottla_protocol::messages::cluster::UnregisterBrokerRequest;
use ottla_protocol::messages::metadata::DescribeClusterRequest;
use tokio::time::timeout;

use crate::dev_node::DevNode;

/// More than any of it takes, on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(60);

/// As in Apache Kafka: on brokers' listeners anybody may ask which brokers there are.
#[tokio::test]
async fn controllers_are_named_to_those_who_may_alter_the_cluster() {
    let mut node = DevNode::start_with(Surroundings::real(), |settings| {
        settings.authorizer = true;
        settings.super_users = BTreeSet::from(["User:root".to_owned()]);
    })
    .await;
    let of_controllers = DescribeClusterRequest {
        endpoint_type: 2,
        ..DescribeClusterRequest::default()
    };
    for (operation, is_named) in [(Operation::Describe, false), (Operation::Alter, true)] {
        node.be("root");
        let acl = AclCreation {
            resource_type: 4,
            resource_name: "kafka-cluster".to_owned(),
            resource_pattern_type: 3,
            principal: "User:alice".to_owned(),
            host: "*".to_owned(),
            operation: operation.to_wire(),
            permission_type: 3,
        };
        let creations = vec![acl];
        let created = node.ask(3, &CreateAclsRequest { creations }).await;
        assert_eq!(created.results[0].error_code, 0);
        node.be_on("CONTROLLER", "alice");
        let told = node.ask(1, &of_controllers).await;
        assert_eq!(told.brokers.len(), usize::from(is_named), "{told:?}");
        assert_eq!(told.cluster_id.is_empty(), !is_named, "{told:?}");
        let wanted = match is_named {
            true => ErrorCode::None,
            false => ErrorCode::ClusterAuthorizationFailed,
        };
        assert_eq!(told.error_code, wanted.code(), "{told:?}");
    }
}

/// A controller that is no broker, and has all of the quorum there is.
async fn controller() -> DevNode {
    DevNode::start_with(Surroundings::real(), |settings| {
        settings.roles.broker = false;
        let peers = settings.controller_listener_names.clone();
        settings.listeners.retain(|listener| listener.name == peers);
    })
    .await
}

#[tokio::test]
async fn a_controller_that_votes_is_not_unregistered() {
    let mut node = controller().await;
    node.be_on("CONTROLLER", "root");
    let told = node.ask(0, &UnregisterBrokerRequest { broker_id: 0 }).await;
    assert_eq!(
        told.error_code,
        ErrorCode::InvalidRequest.code(),
        "{told:?}"
    );
    let why = told.error_message.unwrap_or_default();
    assert!(why.contains("Controller 0 votes"), "{why}");
}

#[tokio::test]
async fn a_controller_whose_registration_is_refused_is_not_ready() {
    let node = controller().await;
    let handle = &node.node.context().controller;
    let mut presence = handle.presence();
    let range = |(name, min, max): (&str, i16, i16)| FeatureRangeRecord {
        name: name.to_owned(),
        min,
        max,
    };
    let as_a_broker = RegisterBroker {
        node_id: NodeId(0),
        cluster_id: handle.image().cluster_id.to_string(),
        features: registered().into_iter().map(range).collect(),
        ..RegisterBroker::default()
    };
    assert!(matches!(handle.submit(as_a_broker).await, Ok(Ok(_))));
    let is_refused = |standing: &Result<(), String>| {
        let why = standing.as_ref().err();
        why.is_some_and(|why| why.contains("Node 0 is registered as a broker"))
    };
    let refused = timeout(PATIENCE, presence.wait_for(is_refused)).await;
    assert!(matches!(refused, Ok(Ok(_))), "it is ready, and no broker");
}
