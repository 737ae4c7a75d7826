//! What is proven of `spec.template`, and the names that it may not use.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, Container, EnvVar, LocalObjectReference, PodSecurityContext, Toleration,
    TopologySpreadConstraint, Volume, VolumeMount,
};

/// The container of a pod that is the broker.
pub const CONTAINER: &str = "broker";
/// The names of the volumes that every pod has.
pub const VOLUMES: [&str; 3] = ["data", "config", "pod"];
/// The folders of the broker's container that are its own.
pub const FOLDERS: [&str; 2] = ["/var/lib/ottla", "/etc/ottla"];
/// The environment variables that a broker's command line is made from.
pub const ENVIRONMENT: [&str; 2] = ["POD_NAME", "HOST_IP"];
/// The labels by which the objects of a cluster are found.
pub const LABELS: [&str; 4] = [
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/component",
    "app.kubernetes.io/managed-by",
];
/// How long a broker may take to stop unless it is said: longer than a controlled shutdown.
pub const TERMINATION_GRACE_SECONDS: i64 = 60;

/// Labels and annotations, in this order.
pub type Metadata = (BTreeMap<String, String>, BTreeMap<String, String>);

/// What is added to the objects of a cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ValidatedTemplate {
    /// To every broker's pod.
    pub pod: PodExtension,
    /// To all Services.
    pub service: Metadata,
    /// To the brokers' volume claims, when they are made.
    pub claim: Metadata,
}

/// What is added to every broker's pod; the fields are a pod's.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct PodExtension {
    pub metadata: Metadata,
    pub image_pull_secrets: Vec<LocalObjectReference>,
    pub tolerations: Vec<Toleration>,
    pub node_selector: BTreeMap<String, String>,
    pub affinity: Option<Affinity>,
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    pub priority_class_name: Option<String>,
    pub service_account_name: Option<String>,
    pub security_context: Option<PodSecurityContext>,
    pub termination_grace_seconds: i64,
    pub env: Vec<EnvVar>,
    pub volumes: Vec<Volume>,
    pub volume_mounts: Vec<VolumeMount>,
    pub containers: Vec<Container>,
    pub init_containers: Vec<Container>,
}

impl Default for PodExtension {
    fn default() -> Self {
        Self {
            metadata: Metadata::default(),
            image_pull_secrets: Vec::new(),
            tolerations: Vec::new(),
            node_selector: BTreeMap::new(),
            affinity: None,
            topology_spread_constraints: Vec::new(),
            priority_class_name: None,
            service_account_name: None,
            security_context: None,
            termination_grace_seconds: TERMINATION_GRACE_SECONDS,
            env: Vec::new(),
            volumes: Vec::new(),
            volume_mounts: Vec::new(),
            containers: Vec::new(),
            init_containers: Vec::new(),
        }
    }
}
