//! What the nodes of a cluster are made of: disks, CPU and memory, racks; and the controllers that
//! are no brokers.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::template::PodTemplate;

/// The id of the first dedicated controller: brokers have lower ones.
pub const FIRST_CONTROLLER: i32 = 1000;

/// Controllers that are no brokers: nodes that vote in the metadata quorum and hold no partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(
    validation = Rule::new("has(self.storage) == has(oldSelf.storage) && (!has(self.storage) || \
        (has(self.storage.storageClassName) == has(oldSelf.storage.storageClassName) && \
        (!has(self.storage.storageClassName) || \
        self.storage.storageClassName == oldSelf.storage.storageClassName)))")
        .message("of the storage of dedicated controllers only the size can be changed while they \
        are there"),
)]
pub struct DedicatedControllers {
    /// How many there are: 1, 3 or 5. Their ids are 1000 and up. A change is made one voter at a
    /// time.
    #[serde(default = "default_controllers")]
    #[x_kube(validation = Rule::new("self in [1, 3, 5]")
        .message("dedicated controllers must be 1, 3 or 5: an even number tolerates no more \
            failures"))]
    #[schemars(range(min = 1, max = 5))]
    pub replicas: i32,

    /// The disk of every controller; the metadata take little. Default: one as spec.storage has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<ControllersStorage>,

    /// CPU and memory of every controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// What is added to the controllers' pods, instead of what spec.template adds to pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<ControllersTemplate>,
}

/// The disk of a dedicated controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ControllersStorage {
    /// The size of each volume, such as 10Gi. May grow where the storage class can, never shrink.
    #[schemars(
        length(max = 32),
        regex(pattern = r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$")
    )]
    #[x_kube(validation = Rule::new("quantity(self).compareTo(quantity(oldSelf)) >= 0")
        .message("a volume cannot shrink: keep the old size or choose a larger one"))]
    pub size: String,
    /// The storage class. Default: the cluster-wide default class. Cannot be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub storage_class_name: Option<String>,
    /// What happens to the volumes when the KafkaCluster is deleted. Default: what happens to those
    /// of the brokers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reclaim_policy: Option<ReclaimPolicy>,
}

/// What is added to the objects that are made for controllers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(inline)]
pub struct ControllersTemplate {
    /// The controllers' pods. A change restarts the controllers, one at a time.
    pub pod: PodTemplate,
}

/// The disk of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Storage {
    /// The size of each volume, such as 100Gi. May grow where the storage class can, never
    /// shrink.
    #[schemars(
        length(max = 32),
        regex(pattern = r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$")
    )]
    #[x_kube(validation = Rule::new("quantity(self).compareTo(quantity(oldSelf)) >= 0")
        .message("a volume cannot shrink: keep the old size or choose a larger one"))]
    pub size: String,
    /// The storage class. Default: the cluster-wide default class. Cannot be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub storage_class_name: Option<String>,
    /// What happens to the volumes when the KafkaCluster is deleted: Retain (default) keeps them,
    /// and a cluster created again under the same name finds its data; Delete removes them.
    #[serde(default)]
    pub reclaim_policy: ReclaimPolicy,
}

/// What happens to volumes when their cluster is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ReclaimPolicy {
    /// They are kept.
    #[default]
    Retain,
    /// They are deleted.
    Delete,
}

/// How far a node is that gets an empty volume in place of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ReplacementStatus {
    /// What the annotation had.
    pub asked: String,
    /// The broker or dedicated controller, by its id.
    pub id: i32,
    /// The volume that is given up: the uid of its claim, or in local mode the id that stands in
    /// the folder.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub volume: String,
    /// Replacing: that volume is to go, or goes. CatchingUp: that is done, and another one gets
    /// what the others have. Replaced: it has all of that.
    pub phase: ReplacementPhase,
    /// What the annotation had before, where that was done: it asks for nothing if it comes back
    /// before this is done.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub done: String,
}

/// What is done for a node that gets an empty volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ReplacementPhase {
    /// Its volume goes.
    Replacing,
    /// It has another one, and copies.
    CatchingUp,
    /// It has what it is to have.
    Replaced,
}

/// Where a broker's rack comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Rack {
    /// The node label whose value is the rack, such as topology.kubernetes.io/zone.
    #[schemars(length(min = 1, max = 317))]
    pub topology_key: String,
}

/// CPU and memory of a broker, as Kubernetes quantities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Resources {
    /// What is set aside for the broker, such as cpu: 500m, memory: 512Mi.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub requests: BTreeMap<String, String>,
    /// What the broker may use at most.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub limits: BTreeMap<String, String>,
}

fn default_controllers() -> i32 {
    3
}
