//! `spec.template`: what users add to the objects that are made for a cluster.
//!
//! Invariant: nothing here can take away what the operator itself relies on; `cluster/validate`
//! refuses what would.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    EnvVar, LocalObjectReference, PodSecurityContext, Toleration, TopologySpreadConstraint,
    VolumeMount,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is added to the objects that are made for a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
pub struct Template {
    /// The brokers' pods. A change restarts the brokers, one at a time.
    #[serde(skip_serializing_if = "is_default")]
    pub pod: PodTemplate,
    /// All Services.
    #[serde(skip_serializing_if = "is_default")]
    pub service: ObjectTemplate,
    /// The brokers' PersistentVolumeClaims. Cannot be changed after the cluster was created.
    #[serde(skip_serializing_if = "is_default")]
    pub claim: ObjectTemplate,
}

/// Labels and annotations of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
pub struct ObjectTemplate {
    /// Labels, beside those by which the operator finds its objects.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "names_to_texts")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "names_to_texts")]
    pub annotations: BTreeMap<String, String>,
}

/// What is added to every broker's pod, field by field as a pod has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
pub struct PodTemplate {
    /// Labels, beside those by which the operator finds its pods.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "names_to_texts")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "names_to_texts")]
    pub annotations: BTreeMap<String, String>,
    /// Secrets with credentials for the registry of the broker's image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "list_of::<LocalObjectReference>")]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// Taints of nodes that brokers bear.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "list_of::<Toleration>")]
    pub tolerations: Vec<Toleration>,
    /// Labels of the nodes that brokers may run on.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "names_to_texts")]
    pub node_selector: BTreeMap<String, String>,
    /// Which nodes and which neighbours brokers want or avoid: a pod's `affinity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "object")]
    pub affinity: Option<Value>,
    /// How brokers are spread, instead of evenly over racks and nodes where there is room. Without
    /// a labelSelector a constraint is about the brokers of this cluster.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "list_of::<TopologySpreadConstraint>")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// The PriorityClass of brokers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub priority_class_name: Option<String>,
    /// The ServiceAccount of brokers. Its token is not mounted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub service_account_name: Option<String>,
    /// The security context of the pod, instead of user, group and fsGroup 65532. On OpenShift,
    /// which chooses the user: `runAsNonRoot: true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "one::<PodSecurityContext>")]
    pub security_context: Option<PodSecurityContext>,
    /// How long a broker may take to stop before it is killed. Default: 60, or more where
    /// `ottla.controlled.shutdown.timeout.ms` asks for it; never less than that takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 3600))]
    pub termination_grace_period_seconds: Option<i64>,
    /// Environment variables of the broker's container.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "list_of::<EnvVar>")]
    pub env: Vec<EnvVar>,
    /// Volumes of the pod, for volumeMounts, containers and initContainers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "named_objects")]
    pub volumes: Vec<Value>,
    /// What is mounted into the broker's container.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "list_of::<VolumeMount>")]
    pub volume_mounts: Vec<VolumeMount>,
    /// Containers beside the broker's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "named_objects")]
    pub containers: Vec<Value>,
    /// Containers that run before the broker's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "named_objects")]
    pub init_containers: Vec<Value>,
}

/// At most so many entries in each list and map here.
const ENTRIES_MAX: u32 = 64;

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The schema of a type of Kubernetes', without its descriptions: `kubectl explain pod.spec` has
/// them, and they would make most of the CRD.
fn one<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = T::json_schema(generator);
    strip(schema.ensure_object());
    schema
}

fn strip(schema: &mut serde_json::Map<String, Value>) {
    schema.remove("description");
    schema.remove("title");
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties
            .values_mut()
            .filter_map(Value::as_object_mut)
            .for_each(strip);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(Value::Object(inner)) = schema.get_mut(inner) {
            strip(inner);
        }
    }
}

pub(super) fn list_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let items = one::<T>(generator);
    json_schema!({ "type": "array", "maxItems": ENTRIES_MAX, "items": items })
}

fn names_to_texts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": ENTRIES_MAX,
        "additionalProperties": { "type": "string", "maxLength": 4096 },
    })
}

/// Objects whose schema is larger than all of ours together; `cluster/validate` reads them.
fn named_objects(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": ENTRIES_MAX,
        "items": {
            "type": "object",
            "required": ["name"],
            "properties": { "name": { "type": "string", "maxLength": 63 } },
            "x-kubernetes-preserve-unknown-fields": true,
        },
    })
}

fn object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}
