//! Where a listener of a `KafkaCluster` is reached from, and what clients are told.

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::template::{ObjectTemplate, is_default, list_of};

/// What stands for a broker's id in hosts, labels and annotations of a listener.
pub const BROKER: &str = "{broker}";
/// What stands for the host that clients are told in labels and annotations of a listener.
pub const HOST: &str = "{host}";

/// Where a listener is reachable from.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[schemars(inline)]
pub enum ListenerType {
    /// Inside the Kubernetes cluster, by the names of pods.
    #[default]
    Internal,
    /// Inside the Kubernetes cluster, by a Service for each broker, whose address stays when the
    /// broker's pod is made anew.
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    /// Through the address of every node.
    NodePort,
    /// Through a load balancer for each broker.
    LoadBalancer,
    /// Through an Ingress controller that passes TLS through by the name that clients ask for.
    Ingress,
    /// Through a Gateway that passes TLS through by the name that clients ask for.
    #[serde(rename = "TLSRoute")]
    TlsRoute,
}

impl ListenerType {
    /// Its name in a spec.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Internal => "Internal",
            Self::ClusterIp => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
            Self::Ingress => "Ingress",
            Self::TlsRoute => "TLSRoute",
        }
    }

    /// Whether what leads to a broker is found by the name that a client asks for in TLS.
    #[must_use]
    pub fn is_by_name(self) -> bool {
        matches!(self, Self::Ingress | Self::TlsRoute)
    }

    /// Whether each broker has a Service for it.
    #[must_use]
    pub fn has_services(self) -> bool {
        self != Self::Internal
    }
}

/// What clients are told, where that is not what Kubernetes assigns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
pub struct Advertised {
    /// The host of a broker; `{broker}` in it stands for the broker's id, as in
    /// `broker-{broker}.kafka.example.org`.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(
        length(max = 253),
        regex(pattern = r"^([A-Za-z0-9:]([-A-Za-z0-9.:]|\{broker\})*|\{broker\}[-A-Za-z0-9.]*)?$")
    )]
    pub host: String,
    /// The host for a client's first connection.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253), regex(pattern = "^([A-Za-z0-9:][-A-Za-z0-9.:]*)?$"))]
    pub bootstrap_host: String,
    /// The port of both. Default: with Ingress and TLSRoute 443, with NodePort that of the nodes,
    /// else the listener's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
}

/// The Services of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
pub struct ListenerService {
    /// Labels and annotations.
    #[serde(flatten)]
    pub added: ObjectTemplate,
    /// NodePort and LoadBalancer: the ports of the nodes, instead of what Kubernetes chooses.
    #[serde(skip_serializing_if = "is_default")]
    pub node_ports: NodePorts,
    /// NodePort and LoadBalancer: Local keeps the address that a client comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<ExternalTrafficPolicy>,
    /// LoadBalancer: which kind of load balancer. Cannot be changed: give the listener another name
    /// for that.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub load_balancer_class: String,
    /// LoadBalancer: from which networks clients may come, such as 203.0.113.0/24.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 64)))]
    pub source_ranges: Vec<String>,
}

/// Ports of the nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
pub struct NodePorts {
    /// For a client's first connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub bootstrap: Option<i32>,
    /// For broker 0; broker n has this one + n.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub first_broker: Option<i32>,
}

/// Through which nodes what comes from outside may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ExternalTrafficPolicy {
    /// Any.
    Cluster,
    /// That of the broker.
    Local,
}

/// A Gateway that a TLSRoute belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct GatewayRef {
    /// The Gateway's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its namespace, where that is not the cluster's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub namespace: String,
    /// Its listener, where it has several.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub section_name: String,
}

/// How a listener is reached, beside its type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
pub struct Reach {
    /// What clients are told, where that is not what Kubernetes assigns.
    #[serde(skip_serializing_if = "is_default")]
    pub advertised: Advertised,
    /// Its Services, Ingresses and TLSRoutes. In values of labels and annotations `{broker}` stands
    /// for the broker's id, or for `bootstrap`, and `{host}` for the host of advertised, as in
    /// `external-dns.alpha.kubernetes.io/hostname: "{host}"`.
    #[serde(skip_serializing_if = "is_default")]
    pub service: ListenerService,
    /// Ingress: the IngressClass. Empty: the default one.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub ingress_class: String,
    /// TLSRoute: the Gateways.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub gateways: Vec<GatewayRef>,
    /// Who may connect, as the `from` of a NetworkPolicy has it. Empty: anybody.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "list_of::<NetworkPolicyPeer>")]
    pub allowed_from: Vec<NetworkPolicyPeer>,
}

impl Advertised {
    /// The host of a broker; none where Kubernetes assigns it.
    #[must_use]
    pub fn host_of(&self, broker: i32) -> Option<String> {
        let host = self.host.replace(BROKER, &broker.to_string());
        Some(host).filter(|host| !host.is_empty())
    }
}
