//! The Kubernetes types of `ottla.io/v1alpha1`: what a user writes, and what a status says.
//!
//! One kind per file. The doc comments here are what `kubectl explain` shows, so they speak to users.
//!
//! Invariant: nothing here does I/O, and no field is ever removed or changes its meaning within v1alpha1.

pub mod cluster;
pub mod topic;

use std::collections::BTreeMap;

use kube::CustomResourceExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use cluster::{KafkaCluster, KafkaClusterSpec, KafkaClusterStatus};
pub use topic::{KafkaTopic, KafkaTopicSpec, KafkaTopicStatus};

/// The API group of every kind.
pub const GROUP: &str = "ottla.io";
/// The API version of every kind, as a manifest names it.
pub const API_VERSION: &str = "ottla.io/v1alpha1";
/// Who writes, as server-side apply records it.
pub const FIELD_MANAGER: &str = "ottla-operator";
/// At most so many entries in a `config`.
pub const CONFIG_ENTRIES_MAX: u32 = 200;

/// Kafka's settings by Kafka's names. A null value means: managed elsewhere, leave it alone.
pub type KafkaConfig = BTreeMap<String, Option<String>>;

/// One statement about an object, in the form that kstatus, Argo CD and Flux understand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What the statement is about: Ready, Reconciling, Stalled, or one of the kind's own.
    #[serde(rename = "type")]
    pub type_: String,
    /// True, False or Unknown.
    pub status: String,
    /// Why, as one word for machines. The words are listed in the documentation of the kind.
    pub reason: String,
    /// Why, as one sentence for people; where something is wrong it says how to mend it.
    pub message: String,
    /// When the status last changed from one value to another.
    pub last_transition_time: String,
    /// The metadata.generation that this statement was made about.
    pub observed_generation: i64,
}

/// The CRDs in the order in which they are printed and installed: each with its file name.
#[must_use]
pub fn all() -> Vec<(&'static str, String)> {
    [
        ("ottla.io_kafkaclusters.yaml", KafkaCluster::crd()),
        ("ottla.io_kafkatopics.yaml", KafkaTopic::crd()),
    ]
    .into_iter()
    .map(|(file, crd)| {
        let yaml = serde_yaml::to_string(&crd).expect("a CRD made of plain data serializes");
        (file, format!("---\n# Printed by `ottla-operator crds`; the types are in operator/src/crd.\n{yaml}"))
    })
    .collect()
}

fn config_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let _ = generator;
    schemars::json_schema!({
        "type": "object",
        "maxProperties": CONFIG_ENTRIES_MAX,
        "additionalProperties": { "type": "string", "nullable": true, "maxLength": 4096 },
    })
}

/// Values are patches of their own type: each item is told apart by its key, not by its place.
fn list_map(schema: &mut schemars::Schema, key: &str) {
    schema.insert("x-kubernetes-list-type".to_owned(), "map".into());
    schema.insert("x-kubernetes-list-map-keys".to_owned(), vec![key].into());
}

fn list_map_by_type(schema: &mut schemars::Schema) {
    list_map(schema, "type");
}

fn list_map_by_name(schema: &mut schemars::Schema) {
    list_map(schema, "name");
}

fn list_map_by_id(schema: &mut schemars::Schema) {
    list_map(schema, "id");
}
