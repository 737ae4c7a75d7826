//! How clients reach the brokers of a `KafkaCluster`, who they are, and what they may do.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::reach::{ListenerType, Reach};

/// One way for clients to reach the brokers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(
    validation = Rule::new("!has(self.authentication) || \
        self.authentication.type != 'MutualTls' || has(self.tls)")
        .message("MutualTls needs tls: clients show their certificates in the handshake of TLS"),
    validation = Rule::new("!has(self.authentication) || \
        self.authentication.type != 'OAuth' || has(self.tls)")
        .message("OAuth needs tls: who reads a token along the way logs in by it"),
    validation = Rule::new("!(self.type in ['Ingress', 'TLSRoute']) || has(self.tls)")
        .message("Ingress and TLSRoute need tls: the broker is found by the name in its handshake"),
    validation = Rule::new("!(self.type in ['Ingress', 'TLSRoute']) || (has(self.advertised) && \
        has(self.advertised.bootstrapHost) && has(self.advertised.host) && \
        self.advertised.host.contains('{broker}'))")
        .message("Ingress and TLSRoute need advertised.bootstrapHost, and advertised.host with \
        {broker} in it: each broker is found by a name of its own"),
    validation = Rule::new("self.type != 'TLSRoute' || \
        (has(self.gateways) && self.gateways.size() > 0)")
        .message("TLSRoute needs gateways: whoever passes TLS through"),
    validation = Rule::new("self.type != 'NodePort' || !has(self.advertised) || \
        !has(self.advertised.port) || (has(self.advertised.host) && \
        self.advertised.host.contains('{broker}'))")
        .message("NodePort with advertised.port needs advertised.host with {broker} in it: else \
        all brokers had one address")
)]
pub struct Listener {
    /// The listener's name, unique in the cluster.
    #[schemars(
        length(min = 1, max = 15),
        regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$")
    )]
    #[x_kube(
        validation = Rule::new("!(self in ['controller', 'peer', 'http'])")
            .message("brokers have ports of these names themselves"),
        validation = Rule::new("!self.contains('--')")
            .message("the name of a port has no two dashes in a row")
    )]
    pub name: String,
    /// The port. In local mode broker n listens on this port + n. Ports 9091 and 9404 are taken by
    /// the brokers themselves.
    #[schemars(range(min = 1024, max = 65535))]
    #[x_kube(validation = Rule::new("!(self in [9091, 9404])")
        .message("brokers use this port themselves"))]
    pub port: i32,
    /// Internal: reachable inside the Kubernetes cluster, by the names of pods. ClusterIP: the
    /// same, by a Service for each broker. NodePort: through every node's address. LoadBalancer:
    /// through a load balancer for each broker. Ingress, TLSRoute: through what passes TLS through
    /// by the name that clients ask for. Local mode takes all for Internal.
    #[serde(rename = "type", default)]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("a listener keeps its type: add one of another name, and remove this one once \
        clients have moved"))]
    pub type_: ListenerType,
    /// How it is reached, beside that.
    #[serde(flatten)]
    pub reach: Reach,
    /// Encrypts the listener; `{}`: with a certificate that the operator makes and renews.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
    /// Who clients are. Without it nobody is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<ListenerAuthentication>,
}

/// The certificate of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ListenerTls {
    /// A Secret of the cluster's namespace with a certificate of your own: tls.crt and tls.key, as
    /// cert-manager makes it, and ca.crt with whom clients are to trust. It is looked at every few
    /// seconds; what in it cannot be used is told, and the old certificate stays. Empty: the
    /// operator makes one. In local mode a folder of this name in `<data-dir>/secrets`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(
        length(max = 253),
        regex(pattern = "^([a-z0-9]([-.a-z0-9]*[a-z0-9])?)?$")
    )]
    pub secret_name: String,
}

/// How clients of a listener say who they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(
    validation = Rule::new("self.type != 'OAuth' || \
        has(self.jwksEndpoint) && has(self.issuer) && has(self.audiences)")
        .message("OAuth needs jwksEndpoint, issuer and audiences: a token that cannot be judged is \
            not taken"),
    validation = Rule::new("self.type == 'OAuth' || !has(self.jwksEndpoint) && \
        !has(self.issuer) && !has(self.audiences) && !has(self.principalClaim) && \
        !has(self.trustedCertificates)")
        .message("all but the type is for OAuth alone")
)]
pub struct ListenerAuthentication {
    /// Scram: by name and password, SCRAM-SHA-512. MutualTls: by a certificate. OAuth: by a token
    /// that an issuer has signed, OAUTHBEARER.
    #[serde(rename = "type")]
    pub type_: ListenerAuthenticationType,
    /// OAuth: where the issuer's keys are, a JSON Web Key Set behind https:// or http://; in local
    /// mode a file by file:/// as well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024), regex(pattern = "^(https?://|file:///)[^\\s]+$"))]
    pub jwks_endpoint: String,
    /// OAuth: who must have issued a token, its claim iss.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024), regex(pattern = "^[^\\s]+$"))]
    pub issuer: String,
    /// OAuth: whom a token must be for, one of these in its claim aud.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 256), regex(pattern = "^[^,\\s]+$"))
    )]
    pub audiences: Vec<String>,
    /// OAuth: the claim that says whose a token is. Empty: sub.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256), regex(pattern = "^[^\\s]+$"))]
    pub principal_claim: String,
    /// OAuth: certificates in PEM of which one must have signed that of the jwksEndpoint. Empty:
    /// the authorities of the brokers' image, or of this machine in local mode.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 65536))]
    pub trusted_certificates: String,
}

/// How clients of a listener say who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ListenerAuthenticationType {
    /// By name and password, SCRAM-SHA-512.
    Scram,
    /// By a certificate.
    MutualTls,
    /// By a token that an issuer has signed, OAUTHBEARER.
    OAuth,
}

impl From<ListenerAuthenticationType> for ListenerAuthentication {
    /// That one, and no more.
    fn from(type_: ListenerAuthenticationType) -> Self {
        Self {
            type_,
            jwks_endpoint: String::new(),
            issuer: String::new(),
            audiences: Vec::new(),
            principal_claim: String::new(),
            trusted_certificates: String::new(),
        }
    }
}

impl ListenerAuthentication {
    /// How the KafkaUsers say who they are that log in there; none where others know the users.
    #[must_use]
    pub fn of_users(&self) -> Option<AuthenticationType> {
        match self.type_ {
            ListenerAuthenticationType::Scram => Some(AuthenticationType::Scram),
            ListenerAuthenticationType::MutualTls => Some(AuthenticationType::MutualTls),
            ListenerAuthenticationType::OAuth => None,
        }
    }
}

/// How a user says who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Authentication {
    /// Scram: by name and password, SCRAM-SHA-512. MutualTls: by a certificate.
    #[serde(rename = "type")]
    pub type_: AuthenticationType,
}

/// How a user says who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum AuthenticationType {
    /// By name and password, SCRAM-SHA-512.
    Scram,
    /// By a certificate.
    MutualTls,
}

/// Who may do what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Authorization {
    /// Acl: what no ACL allows is denied.
    #[serde(rename = "type", default)]
    pub type_: AuthorizationType,
    /// Principals that may do everything, such as User:admin or User:CN=admin.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        inner(length(max = 256), regex(pattern = "^User:[^;]+$"))
    )]
    pub super_users: Vec<String>,
}

/// How it is decided who may do what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum AuthorizationType {
    /// By ACLs.
    #[default]
    Acl,
}

/// One internal listener on port 9092.
#[must_use]
pub fn default_listeners() -> Vec<Listener> {
    vec![Listener {
        name: "internal".to_owned(),
        port: 9092,
        type_: ListenerType::Internal,
        reach: Reach::default(),
        tls: None,
        authentication: None,
    }]
}
