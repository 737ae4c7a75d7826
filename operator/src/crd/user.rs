//! `KafkaUser`: a client of a Kafka cluster, its credentials and its rights.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Condition;
use super::listener::Authentication;
use super::topic::ClusterRef;

/// What a user wants to be and to do.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "ottla.io",
    version = "v1alpha1",
    kind = "KafkaUser",
    namespaced,
    status = "KafkaUserStatus",
    shortname = "kfu",
    category = "kafka",
    derive = "PartialEq",
    doc = "A user of a Kafka cluster: how it shows who it is, and what it may do.",
    annotation("helm.sh/resource-policy", "keep"),
    printcolumn(
        name = "Cluster",
        type_ = "string",
        json_path = ".spec.clusterRef.name",
        description = "The KafkaCluster that it is a user of"
    ),
    printcolumn(
        name = "Authentication",
        type_ = "string",
        json_path = ".spec.authentication.type",
        description = "How it shows who it is"
    ),
    printcolumn(
        name = "Principal",
        type_ = "string",
        json_path = ".status.principal",
        description = "What it is called in ACLs"
    ),
    printcolumn(
        name = "ACLs",
        type_ = "integer",
        json_path = ".status.acls",
        description = "ACLs that it has"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether it is as its spec says"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why it is or is not"
    ),
    printcolumn(
        name = "Secret",
        type_ = "string",
        json_path = ".status.secretName",
        description = "The Secret with its credentials",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Since when the object exists"
    ),
    validation = Rule::new("self.metadata.name.size() <= 64")
        .message("a user's name has at most 64 characters, because it stands in its certificate")
)]
#[serde(rename_all = "camelCase")]
pub struct KafkaUserSpec {
    /// The cluster. Cannot be changed later.
    #[x_kube(validation = Rule::new("self == oldSelf").message(
        "clusterRef cannot be changed: create a second KafkaUser for the other cluster"
    ))]
    pub cluster_ref: ClusterRef,

    /// How the user shows who it is. Scram: by its name and the password in its Secret. MutualTls:
    /// by the certificate in its Secret; its principal is User:CN= and its name then. The Secret
    /// has the name and the namespace of this object, and a client.properties ready to use. The
    /// annotation `ottla.io/rotate` with another value has new credentials made.
    pub authentication: Authentication,

    /// What it may do. An ACL of its principal that is not among these is removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub acls: Vec<UserAcl>,

    /// How much it may take of each broker. A quota of the user alone that is not among these is
    /// removed; those that Kafka's tools set for a user and a client id together, or for all users
    /// or client ids, hold as Kafka has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quotas: Option<UserQuotas>,
}

/// How much a user may take, all its clients together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct UserQuotas {
    /// Bytes a second that it may produce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub producer_byte_rate: Option<i64>,
    /// Bytes a second that it may consume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub consumer_byte_rate: Option<i64>,
    /// Time in which its requests are worked on, in percent of one thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub request_percentage: Option<i64>,
    /// Partitions a second that it may create and delete, in the whole cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub controller_mutation_rate: Option<i64>,
}

/// Operations on a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct UserAcl {
    /// On what.
    pub resource: AclResource,
    /// What is done with it.
    #[schemars(length(min = 1, max = 16))]
    pub operations: Vec<AclOperation>,
    /// From where: an address, or a network such as 10.0.0.0/8; * (default) is anywhere.
    #[serde(default = "anywhere")]
    #[schemars(length(min = 1, max = 64))]
    pub host: String,
    /// Allow (default), or Deny: then nothing else allows it.
    #[serde(default)]
    pub permission: AclPermission,
}

fn anywhere() -> String {
    "*".to_owned()
}

/// What is protected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct AclResource {
    /// Its type.
    #[serde(rename = "type")]
    pub type_: AclResourceType,
    /// Its name; * is all. A cluster has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 249))]
    pub name: String,
    /// Literal (default): the one of that name. Prefixed: all whose names begin so.
    #[serde(default)]
    pub pattern: AclPattern,
}

/// Types of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum AclResourceType {
    /// A topic.
    Topic,
    /// A consumer group.
    Group,
    /// The cluster as a whole.
    Cluster,
    /// A transactional id.
    TransactionalId,
}

/// How a resource is named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum AclPattern {
    /// By its name.
    #[default]
    Literal,
    /// By the beginning of its name.
    Prefixed,
}

/// Whether an ACL gives or takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum AclPermission {
    /// It gives.
    #[default]
    Allow,
    /// It takes, whatever others give.
    Deny,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum AclOperation {
    /// Every operation.
    All,
    /// Reads records, joins a group, commits its offsets.
    Read,
    /// Writes records.
    Write,
    /// Creates topics.
    Create,
    /// Deletes topics, records, groups.
    Delete,
    /// Changes the resource.
    Alter,
    /// Learns that the resource is there, and what it is like.
    Describe,
    /// What brokers do among themselves.
    ClusterAction,
    /// Reads configs.
    DescribeConfigs,
    /// Sets configs.
    AlterConfigs,
    /// Writes with a producer id.
    IdempotentWrite,
    /// Prepares a transaction.
    TwoPhaseCommit,
}

/// What the operator observed of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaUserStatus {
    /// The metadata.generation that this status speaks about.
    #[serde(default)]
    pub observed_generation: i64,
    /// Ready, Reconciling and Stalled.
    #[serde(default)]
    #[schemars(length(max = 16), transform = super::list_map_by_type)]
    pub conditions: Vec<Condition>,
    /// What the user is called in ACLs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub principal: String,
    /// The Secret with its credentials; in local mode the folder.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub secret_name: String,
    /// ACLs that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acls: Option<i32>,
    /// When its certificate expires. Another one is made before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// What the annotation `ottla.io/rotate` had when its credentials were made.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rotated: String,
}
