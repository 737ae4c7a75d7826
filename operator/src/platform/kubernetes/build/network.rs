//! Who may connect to the brokers' pods.
//!
//! Brokers without certificates do not ask who speaks to them on the port that they use among
//! themselves, so nobody else may reach it. Clients and what reads metrics may come from anywhere.

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{metadata, selector};
use crate::validated::{BROKER_PORT, HTTP_PORT, PEER_PORT, ValidatedCluster};

/// The NetworkPolicy.
#[must_use]
pub fn build(cluster: &ValidatedCluster) -> NetworkPolicy {
    let name = &cluster.key.name;
    let brokers = LabelSelector {
        match_labels: Some(selector(name)),
        ..LabelSelector::default()
    };
    let open = cluster.listeners.iter().map(|listener| listener.port);
    // There everybody shows a certificate; where the operator runs is not known here.
    let brokers_meet = cluster.mutual_tls.then_some(BROKER_PORT);
    let open = open.chain(brokers_meet).chain([HTTP_PORT]).map(port);
    let among_brokers = NetworkPolicyIngressRule {
        from: Some(vec![NetworkPolicyPeer {
            pod_selector: Some(brokers.clone()),
            ..NetworkPolicyPeer::default()
        }]),
        ports: Some(vec![port(PEER_PORT)]),
    };
    let from_anywhere = NetworkPolicyIngressRule {
        from: None,
        ports: Some(open.collect()),
    };
    NetworkPolicy {
        metadata: metadata(cluster, name.clone()),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(brokers),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![among_brokers, from_anywhere]),
            ..NetworkPolicySpec::default()
        }),
    }
}

fn port(port: i32) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(port)),
        protocol: Some("TCP".to_owned()),
        ..NetworkPolicyPort::default()
    }
}
