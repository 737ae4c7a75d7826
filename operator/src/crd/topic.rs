//! `KafkaTopic`: one topic of a Kafka cluster.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Condition, KafkaConfig};

/// What a user wants of a topic.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "ottla.io",
    version = "v1alpha1",
    kind = "KafkaTopic",
    namespaced,
    status = "KafkaTopicStatus",
    shortname = "kft",
    category = "kafka",
    derive = "PartialEq",
    doc = "A topic of a Kafka cluster.",
    annotation("helm.sh/resource-policy", "keep"),
    printcolumn(
        name = "Cluster",
        type_ = "string",
        json_path = ".spec.clusterRef.name",
        description = "The KafkaCluster that holds the topic"
    ),
    printcolumn(
        name = "Partitions",
        type_ = "integer",
        json_path = ".status.partitions",
        description = "Partitions that the topic has"
    ),
    printcolumn(
        name = "RF",
        type_ = "integer",
        json_path = ".status.replicationFactor",
        description = "Replicas of each partition"
    ),
    printcolumn(
        name = "InSync",
        type_ = "string",
        json_path = ".status.inSync",
        description = "Replicas that are in sync, of all"
    ),
    printcolumn(
        name = "Moving",
        type_ = "string",
        json_path = ".status.reassignment.summary",
        description = "How far the move of replicas to other brokers has come"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether the topic is as its spec says"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why it is or is not"
    ),
    printcolumn(
        name = "Topic",
        type_ = "string",
        json_path = ".status.topicName",
        description = "The topic's name in Kafka",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Since when the object exists"
    ),
    validation = Rule::new("has(self.spec.topicName) && self.spec.topicName != '' || \
        self.metadata.name.size() <= 249")
        .message("a topic's name has at most 249 characters: set spec.topicName")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.topicName) ? self.topicName : '') == \
        (has(oldSelf.topicName) ? oldSelf.topicName : '')")
        .message("topicName cannot be changed: Kafka has no rename; create a second KafkaTopic"),
    validation = Rule::new("!has(oldSelf.partitions) || \
        (has(self.partitions) && self.partitions >= oldSelf.partitions)")
        .message("partitions may grow but never shrink: Kafka would lose the records of \
        the removed ones"),
    validation = Rule::new("!has(oldSelf.replicationFactor) || has(self.replicationFactor)")
        .message("replicationFactor cannot be removed once it is set")
)]
pub struct KafkaTopicSpec {
    /// The cluster that holds the topic. Cannot be changed later.
    #[x_kube(validation = Rule::new("self == oldSelf").message(
        "clusterRef cannot be changed: create a second KafkaTopic for the other cluster"
    ))]
    pub cluster_ref: ClusterRef,

    /// The topic's name in Kafka. Empty: the name of this object. Needed only for names that
    /// Kubernetes does not allow, such as those with capitals or underscores. Cannot be changed
    /// later.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 249), regex(pattern = "^[a-zA-Z0-9._-]*$"))]
    #[x_kube(validation = Rule::new("self != '.' && self != '..'")
        .message("a topic cannot be named . or .."))]
    pub topic_name: String,

    /// How many partitions the topic has. May grow, never shrink. Default: num.partitions of the
    /// cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub partitions: Option<i32>,

    /// How many brokers hold each partition. Default: default.replication.factor of the cluster.
    /// May change: replicas are copied, or removed, while the topic is used, and
    /// status.reassignment says how far that is. Setting it back cancels what is not done yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub replication_factor: Option<i32>,

    /// Topic settings by Kafka's names; values are text, numbers, true or false. Only the keys
    /// named here are managed; what somebody else changes in them is put back. A null value leaves
    /// a key alone.
    #[serde(
        default,
        deserialize_with = "super::read_config",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    #[schemars(schema_with = "super::config_schema")]
    pub config: KafkaConfig,

    /// What happens to the topic when this object is deleted: Delete (default) deletes it with its
    /// records; Retain leaves it in Kafka, where a new KafkaTopic of the same name finds it.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// The cluster that holds a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ClusterRef {
    /// The name of the KafkaCluster.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Its namespace. Default: the namespace of this object. Another namespace must consent in its
    /// KafkaCluster's spec.topicNamespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
}

/// What happens to a topic when its object is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum DeletionPolicy {
    /// The topic and its records are deleted.
    #[default]
    Delete,
    /// The topic stays in Kafka.
    Retain,
}

/// What the operator observed of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaTopicStatus {
    /// The metadata.generation that this status speaks about.
    #[serde(default)]
    pub observed_generation: i64,
    /// Ready, Reconciling and Stalled.
    #[serde(default)]
    #[schemars(length(max = 16), transform = super::list_map_by_type)]
    pub conditions: Vec<Condition>,
    /// The topic's name in Kafka.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub topic_name: String,
    /// Kafka's own id of the topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<String>,
    /// Partitions that the topic has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// Replicas that each partition has at least, those not counted that are still being copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_factor: Option<i32>,
    /// Replicas that are in sync, of all, such as 18/18.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub in_sync: String,
    /// The keys of config that this object manages. One that leaves the spec returns to its
    /// default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub managed_config: Vec<String>,
    /// While replicas are on their way to other brokers: how far that has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reassignment: Option<Reassignment>,
}

/// How far the move of a topic's replicas has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Reassignment {
    /// The same in one line.
    pub summary: String,
    /// When it began.
    pub started_at: String,
    /// When these figures were taken.
    pub updated_at: String,
    /// Partitions that are not yet as they should be.
    pub partitions_left: i32,
    /// Bytes to be copied, as far as it is known.
    pub bytes_total: i64,
    /// Those that are not copied yet.
    pub bytes_left: i64,
    /// About how long that will take, by the speed until now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<i64>,
    /// The partitions that are being copied now; the others wait for their turn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), transform = super::list_map_by_partition)]
    pub moving: Vec<MovingPartition>,
}

/// A partition whose replicas are being moved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct MovingPartition {
    /// Its index.
    pub partition: i32,
    /// The brokers that are to hold it as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adding: Vec<i32>,
    /// The brokers that are to hold it no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removing: Vec<i32>,
    /// Bytes to be copied.
    pub bytes_total: i64,
    /// Those that are not copied yet.
    pub bytes_left: i64,
}
