//! Who may connect to the pods of brokers and dedicated controllers.
//!
//! Brokers without certificates do not ask who speaks to them on the port that they use among
//! themselves, so nobody else may reach it. What reads metrics may come from anywhere, and so may
//! clients of a listener that does not say who.

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::super::pool::Pool;
use super::{COMPONENT, metadata, selector};
use crate::crd::cluster::Listener;
use crate::validated::{BROKER_PORT, HTTP_PORT, PEER_PORT, ValidatedCluster};

/// The NetworkPolicy.
#[must_use]
pub fn build(cluster: &ValidatedCluster) -> NetworkPolicy {
    let name = &cluster.key.name;
    let mut nodes = LabelSelector {
        match_labels: Some(selector(name, Pool::Brokers)),
        ..LabelSelector::default()
    };
    if let Some(labels) = &mut nodes.match_labels
        && !cluster.controllers.ids.is_empty()
    {
        labels.remove(COMPONENT);
        let components = Pool::ALL.map(|pool| pool.component().to_owned());
        nodes.match_expressions = Some(vec![LabelSelectorRequirement {
            key: COMPONENT.to_owned(),
            operator: "In".to_owned(),
            values: Some(components.into()),
        }]);
    }
    let (open, narrow): (Vec<&Listener>, Vec<&Listener>) = cluster
        .listeners
        .iter()
        .partition(|listener| listener.reach.allowed_from.is_empty());
    let open = open.into_iter().map(|listener| listener.port);
    // There everybody shows a certificate; where the operator runs is not known here.
    let brokers_meet = cluster.mutual_tls.then_some(BROKER_PORT);
    let open = open.chain(brokers_meet).chain([HTTP_PORT]).map(port);
    let narrow = narrow.into_iter().map(|listener| {
        let mut from = listener.reach.allowed_from.clone();
        // brokers replicate over the first one, where they have no other
        from.push(NetworkPolicyPeer {
            pod_selector: Some(nodes.clone()),
            ..NetworkPolicyPeer::default()
        });
        NetworkPolicyIngressRule {
            from: Some(from),
            ports: Some(vec![port(listener.port)]),
        }
    });
    let narrow: Vec<NetworkPolicyIngressRule> = narrow.collect();
    let among_nodes = NetworkPolicyIngressRule {
        from: Some(vec![NetworkPolicyPeer {
            pod_selector: Some(nodes.clone()),
            ..NetworkPolicyPeer::default()
        }]),
        ports: Some(vec![port(PEER_PORT)]),
    };
    let from_anywhere = NetworkPolicyIngressRule {
        from: None,
        ports: Some(open.collect()),
    };
    NetworkPolicy {
        metadata: metadata(cluster, Pool::Brokers, name.clone()),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(nodes),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(
                [among_nodes, from_anywhere]
                    .into_iter()
                    .chain(narrow)
                    .collect(),
            ),
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
