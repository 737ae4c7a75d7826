//! Who may connect to the pods of brokers and dedicated controllers.
//!
//! Brokers without certificates do not ask who speaks to them on the port that they use among
//! themselves, so nobody else may reach it. Clients may come from anywhere, where their listener
//! does not say who, and so may what reads metrics, which are served to whoever asks, unless the
//! operator is told its namespaces. A node's own probes reach its pods whatever a policy says.

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
pub fn build(cluster: &ValidatedCluster, metrics_namespaces: &[String]) -> NetworkPolicy {
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
    let are_metrics_open = metrics_namespaces.is_empty();
    let open = open.chain(brokers_meet);
    let open = open.chain(are_metrics_open.then_some(HTTP_PORT));
    let open: Vec<NetworkPolicyPort> = open.map(port).collect();
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
    let to_metrics = (!are_metrics_open).then(|| to_metrics(metrics_namespaces));
    let among_nodes = NetworkPolicyIngressRule {
        from: Some(vec![NetworkPolicyPeer {
            pod_selector: Some(nodes.clone()),
            ..NetworkPolicyPeer::default()
        }]),
        ports: Some(vec![port(PEER_PORT)]),
    };
    // a rule without ports would open them all
    let from_anywhere = (!open.is_empty()).then_some(NetworkPolicyIngressRule {
        from: None,
        ports: Some(open),
    });
    let ingress = std::iter::once(among_nodes).chain(from_anywhere);
    let ingress = ingress.chain(narrow).chain(to_metrics);
    NetworkPolicy {
        metadata: metadata(cluster, Pool::Brokers, name.clone()),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(nodes),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(ingress.collect()),
            ..NetworkPolicySpec::default()
        }),
    }
}

/// Who may fetch metrics: pods of these namespaces, by the label that each namespace has of its
/// name.
fn to_metrics(namespaces: &[String]) -> NetworkPolicyIngressRule {
    let named = LabelSelectorRequirement {
        key: "kubernetes.io/metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(namespaces.to_vec()),
    };
    NetworkPolicyIngressRule {
        from: Some(vec![NetworkPolicyPeer {
            namespace_selector: Some(LabelSelector {
                match_expressions: Some(vec![named]),
                ..LabelSelector::default()
            }),
            ..NetworkPolicyPeer::default()
        }]),
        ports: Some(vec![port(HTTP_PORT)]),
    }
}

fn port(port: i32) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(port)),
        protocol: Some("TCP".to_owned()),
        ..NetworkPolicyPort::default()
    }
}
