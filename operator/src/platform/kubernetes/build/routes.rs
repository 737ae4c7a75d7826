//! What leads to brokers by the name that a client asks for in TLS, which nobody on the way ends:
//! for each broker, and for the first connection, an Ingress or a TLSRoute to its Service.

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule,
    IngressServiceBackend, IngressSpec, IngressTLS, ServiceBackendPort,
};
use kube::api::DynamicObject;
use serde_json::json;

use super::super::apply::dynamic;
use super::services::Way;
use crate::crd::cluster::ListenerType;
use crate::validated::ValidatedCluster;

/// The kind of a route.
pub const TLS_ROUTE: &str = "TLSRoute";
/// The group of Gateway API's kinds.
pub const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";

/// By these annotations Ingress controllers (ingress-nginx, HAProxy Technologies', haproxy-ingress)
/// know that TLS is passed through.
const PASSTHROUGH: [&str; 3] = [
    "haproxy.org/ssl-passthrough",
    "nginx.ingress.kubernetes.io/ssl-passthrough",
    "ingress.kubernetes.io/ssl-passthrough",
];

/// All of them. `route_version` is the version of TLSRoute that the API server has.
pub fn build(cluster: &ValidatedCluster, route_version: &str) -> Vec<DynamicObject> {
    let ways = cluster
        .all_listeners()
        .flat_map(|one| Way::all(cluster, one));
    let objects = ways.filter_map(|way| match way.listener.type_ {
        ListenerType::Ingress => Some(ingress(cluster, &way)),
        ListenerType::TlsRoute if !route_version.is_empty() => {
            Some(route(cluster, &way, route_version))
        }
        _ => None,
    });
    objects.collect()
}

/// The kinds and names of all of them.
pub fn names(cluster: &ValidatedCluster) -> impl Iterator<Item = (&'static str, String)> {
    let ways = cluster
        .all_listeners()
        .flat_map(|one| Way::all(cluster, one));
    ways.filter_map(|way| {
        let kind = match way.listener.type_ {
            ListenerType::Ingress => "Ingress",
            ListenerType::TlsRoute => TLS_ROUTE,
            _ => return None,
        };
        Some((kind, way.name(&cluster.key.name)))
    })
}

/// Whether a cluster has a listener that needs TLSRoutes.
pub fn has_routes(cluster: &ValidatedCluster) -> bool {
    let mut listeners = cluster.all_listeners();
    listeners.any(|one| one.type_ == ListenerType::TlsRoute)
}

fn ingress(cluster: &ValidatedCluster, way: &Way<'_>) -> DynamicObject {
    let host = way.host();
    let mut metadata = way.metadata(cluster);
    let annotations = metadata.annotations.get_or_insert_default();
    for key in PASSTHROUGH {
        annotations
            .entry(key.to_owned())
            .or_insert("true".to_owned());
    }
    let class = way.listener.reach.ingress_class.clone();
    let backend = IngressBackend {
        service: Some(IngressServiceBackend {
            name: way.name(&cluster.key.name),
            port: Some(ServiceBackendPort {
                number: Some(way.listener.port),
                ..ServiceBackendPort::default()
            }),
        }),
        ..IngressBackend::default()
    };
    let path = HTTPIngressPath {
        backend,
        path: Some("/".to_owned()),
        path_type: "Prefix".to_owned(),
    };
    let ingress = Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: Some(class).filter(|class| !class.is_empty()),
            rules: Some(vec![IngressRule {
                host: host.clone(),
                http: Some(HTTPIngressRuleValue { paths: vec![path] }),
            }]),
            tls: Some(vec![IngressTLS {
                hosts: host.map(|host| vec![host]),
                secret_name: None,
            }]),
            ..IngressSpec::default()
        }),
        ..Ingress::default()
    };
    dynamic("networking.k8s.io/v1", "Ingress", &ingress)
}

fn route(cluster: &ValidatedCluster, way: &Way<'_>, version: &str) -> DynamicObject {
    let gateways = way.listener.reach.gateways.iter().map(|gateway| {
        let mut parent = json!({ "name": gateway.name });
        for (field, value) in [
            ("namespace", &gateway.namespace),
            ("sectionName", &gateway.section_name),
        ] {
            if !value.is_empty() {
                parent[field] = json!(value);
            }
        }
        parent
    });
    let backend = json!({ "name": way.name(&cluster.key.name), "port": way.listener.port });
    let route = json!({
        "metadata": way.metadata(cluster),
        "spec": {
            "parentRefs": gateways.collect::<Vec<_>>(),
            "hostnames": way.host().into_iter().collect::<Vec<_>>(),
            "rules": [{ "backendRefs": [backend] }],
        },
    });
    dynamic(&format!("{GATEWAY_GROUP}/{version}"), TLS_ROUTE, &route)
}
