//! `KafkaCluster`: brokers that make up one Kafka cluster.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lifetimes::Certificates;
use super::listener::default_listeners;
use super::template::{Template, is_default};
use super::{Condition, KafkaConfig};

pub use super::nodes::{
    ControllersTemplate, DedicatedControllers, Rack, ReclaimPolicy, ReplacementPhase,
    ReplacementStatus, Resources, Storage,
};

pub use super::listener::{
    Authentication, AuthenticationType, Authorization, AuthorizationType, Listener,
    ListenerAuthentication, ListenerAuthenticationType, ListenerTls, ListenerType, Reach,
};

/// What a user wants of a Kafka cluster.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "ottla.io",
    version = "v1alpha1",
    kind = "KafkaCluster",
    namespaced,
    status = "KafkaClusterStatus",
    shortname = "kfc",
    category = "kafka",
    derive = "PartialEq",
    doc = "A Kafka cluster: brokers, their storage and how clients reach them.",
    annotation("helm.sh/resource-policy", "keep"),
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Brokers",
        type_ = "string",
        json_path = ".status.brokersReady",
        description = "Brokers that are ready, of those that are wanted"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether the cluster is as its spec says"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why it is or is not"
    ),
    printcolumn(
        name = "Plan",
        type_ = "string",
        json_path = ".status.plan.summary",
        description = "Changes that wait for consent"
    ),
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".status.brokerVersion",
        description = "The version that brokers start with"
    ),
    printcolumn(
        name = "Bootstrap",
        type_ = "string",
        json_path = ".status.bootstrapServers",
        description = "Where clients connect first",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Since when the object exists"
    ),
    validation = Rule::new("self.metadata.name.size() <= 40 && \
        self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("a cluster's name is at most 40 lower-case letters, digits and dashes and starts \
        with a letter, because pods and host names are made from it"),
    validation = Rule::new("!has(self.spec.listeners) || self.spec.listeners.all(l, \
        l.type == 'Internal' || self.metadata.name.size() + l.name.size() <= 52)")
        .message("the names of the cluster and of a listener that is not Internal have at most 52 \
        letters together, because Services are named after both")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.controllers) || self.controllers <= self.replicas")
        .message("controllers are brokers: there cannot be more controllers than replicas"),
    validation = Rule::new("!has(self.controllers) || !has(self.dedicatedControllers)")
        .message("either brokers vote or dedicated controllers do: leave out controllers or \
        dedicatedControllers"),
    validation = Rule::new("!has(self.storage) || self.storage.reclaimPolicy != 'Retain' || \
        !has(self.dedicatedControllers) || !has(self.dedicatedControllers.storage) || \
        !has(self.dedicatedControllers.storage.reclaimPolicy) || \
        self.dedicatedControllers.storage.reclaimPolicy != 'Delete'")
        .message("the volumes of brokers are kept and those of dedicated controllers deleted, but \
        nobody can read the records without what the controllers have: leave out the controllers' \
        reclaimPolicy, or set both to Delete"),
    validation = Rule::new("has(self.storage) == has(oldSelf.storage) && (!has(self.storage) || \
        (has(self.storage.storageClassName) == has(oldSelf.storage.storageClassName) && \
        (!has(self.storage.storageClassName) || \
        self.storage.storageClassName == oldSelf.storage.storageClassName)))")
        .message("the storage class cannot be changed after the cluster was created"),
    validation = Rule::new("(has(self.template) && has(self.template.claim)) == \
        (has(oldSelf.template) && has(oldSelf.template.claim)) && (!has(self.template) || \
        !has(self.template.claim) || self.template.claim == oldSelf.template.claim)")
        .message("template.claim cannot be changed after the cluster was created: Kubernetes keeps \
        the claims of a StatefulSet as they were made")
)]
pub struct KafkaClusterSpec {
    /// How many brokers the cluster has. Their ids are 0 to replicas − 1. May be raised at any
    /// time. Where it is lowered, the last brokers go once their replicas are copied to the
    /// others; not below the replicas of a topic.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 1, max = 100))]
    pub replicas: i32,

    /// How many of the brokers, counted from 0, also vote in the metadata quorum: 1, 3 or 5.
    /// A cluster stays manageable while more than half of them run. Default: 3, or 1 where there
    /// are fewer than 3 replicas. A change is made one voter at a time; no broker restarts for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self in [1, 3, 5]")
        .message("controllers must be 1, 3 or 5: an even number tolerates no more failures"))]
    #[schemars(range(min = 1, max = 5))]
    pub controllers: Option<i32>,

    /// Controllers that are no brokers, which vote instead of brokers. Where they come or go, the
    /// votes move one at a time; no broker restarts for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedicated_controllers: Option<DedicatedControllers>,

    /// The broker's container image. Empty: the image that belongs to the operator's own version.
    /// A change is rolled out one broker at a time.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub image: String,

    /// What acks=all promises. Fsync (default): a record is on the disks of the in-sync replicas.
    /// Replicated: it is in their memory, as in Apache Kafka; faster on slow disks, but a power cut
    /// that hits all of them loses the last moments.
    #[serde(default)]
    pub durability: Durability,

    /// The disk of every broker. Without it data lives as long as the pod: for tests only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,

    /// Where brokers learn their rack from, so that replicas of a partition are spread over racks
    /// and consumers can read from the nearest one. Brokers are spread over the racks as evenly as
    /// the nodes have room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rack: Option<Rack>,

    /// How clients reach the brokers. Default: one internal listener on port 9092. The first one
    /// must be Internal; brokers also use it to replicate.
    #[serde(default = "default_listeners")]
    #[schemars(length(min = 1, max = 8), transform = super::list_map_by_name)]
    #[x_kube(
        validation = Rule::new("self.size() == 0 || self[0].type == 'Internal'")
            .message("the first listener must be of type Internal: brokers replicate over it"),
        validation = Rule::new(
            "self.size() == 0 || oldSelf.size() == 0 || self[0].name == oldSelf[0].name"
        )
        .message("the first listener keeps its name: brokers replicate over it"),
        validation = Rule::new("self.all(a, self.filter(b, b.port == a.port).size() == 1)")
            .message("two listeners have the same port")
    )]
    pub listeners: Vec<Listener>,

    /// Who may do what. Without it anybody may do anything, unless a listener authenticates: then
    /// only what ACLs allow is allowed, and KafkaUsers bring them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,

    /// How long the certificates hold that the operator signs.
    #[serde(default, skip_serializing_if = "is_default")]
    pub certificates: Certificates,

    /// Broker settings by Kafka's names; values are text, numbers, true or false. Settings that
    /// Kafka can change while it runs are changed so; others by a rolling restart. A null value
    /// leaves a setting alone.
    #[serde(
        default,
        deserialize_with = "super::read_config",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    #[schemars(schema_with = "super::config_schema")]
    pub config: KafkaConfig,

    /// CPU and memory of every broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// What is added to the pods, Services and volume claims that are made for the cluster. Local
    /// mode has none of them and leaves it alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,

    /// Which other namespaces may hold KafkaTopics of this cluster. Its own always may.
    #[serde(default, skip_serializing_if = "TopicNamespaces::is_empty")]
    pub topic_namespaces: TopicNamespaces,

    /// Which other namespaces may hold KafkaUsers of this cluster. Its own always may. Whoever may
    /// make one gives it what rights he likes.
    #[serde(default, skip_serializing_if = "UserNamespaces::is_empty")]
    pub user_namespaces: UserNamespaces,

    /// Apply (default): changes are carried out at once, restarts one broker at a time.
    /// Plan: what restarts brokers, copies replicas to other brokers or deletes topics stands in
    /// status.plan first, and waits until the annotation `ottla.io/approve-plan` has that plan's
    /// hash.
    #[serde(default)]
    pub change_policy: ChangePolicy,

    /// Whether brokers may restart though partitions are away meanwhile: those with one replica,
    /// and for acks=all those with no more than min.insync.replicas. Without it such a restart
    /// waits, and the status names the partitions. In a cluster of one broker nothing waits.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_unavailable: bool,

    /// How many brokers may restart at a time, where they have no partition in common and at most
    /// one of them votes: those of one rack, where replicas are spread over racks. One broker
    /// always stays. Default: 1.
    #[serde(default = "default_max_unavailable", skip_serializing_if = "is_one")]
    #[schemars(range(min = 1, max = 50))]
    pub max_unavailable: i32,

    /// Has replicas made even by themselves once a broker holds so many percent fewer of them than
    /// it would if all were even. Without it they are where somebody asks: by the annotation
    /// `ottla.io/rebalance`, or a KafkaRebalance. With changePolicy Plan they wait for consent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5, max = 100))]
    pub rebalance_at_skew_percent: Option<i32>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !value
}

/// What acks=all promises.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[schemars(inline)]
pub enum Durability {
    /// On the disks of the in-sync replicas.
    #[default]
    Fsync,
    /// In the memory of the in-sync replicas.
    Replicated,
}

/// Which other namespaces may hold topics of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct TopicNamespaces {
    /// Namespaces by name. A single "*" admits all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(max = 63)))]
    pub match_names: Vec<String>,
}

/// Which other namespaces may hold users of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct UserNamespaces {
    /// Namespaces by name. A single "*" admits all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(max = 63)))]
    pub match_names: Vec<String>,
}

impl UserNamespaces {
    fn is_empty(&self) -> bool {
        self.match_names.is_empty()
    }
}

impl TopicNamespaces {
    fn is_empty(&self) -> bool {
        self.match_names.is_empty()
    }
}

/// When changes are carried out that take something from clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ChangePolicy {
    /// At once.
    #[default]
    Apply,
    /// When they were approved.
    Plan,
}

/// What the operator observed of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaClusterStatus {
    /// The metadata.generation that this status speaks about.
    #[serde(default)]
    pub observed_generation: i64,
    /// Ready, Reconciling and Stalled.
    #[serde(default)]
    #[schemars(length(max = 16), transform = super::list_map_by_type)]
    pub conditions: Vec<Condition>,
    /// Kafka's own id of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// How many nodes vote in the metadata quorum, as was last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controllers: Option<i32>,
    /// Which nodes vote, as was last seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "set"))]
    pub voters: Vec<i32>,
    /// Dedicated controllers that are ready, of those wanted, such as 3/3.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub controllers_ready: String,
    /// The dedicated controllers, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5), transform = super::list_map_by_id)]
    pub dedicated_controllers: Vec<BrokerStatus>,
    /// Brokers that exist, for the scale subresource.
    #[serde(default)]
    pub replicas: i32,
    /// Brokers that are ready, of those wanted, such as 2/3.
    #[serde(default)]
    pub brokers_ready: String,
    /// The labels of this cluster's pods, for the scale subresource.
    #[serde(default)]
    pub selector: String,
    /// Where clients connect first: the value for bootstrap.servers.
    #[serde(default)]
    pub bootstrap_servers: String,
    /// Bootstrap addresses of every listener, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub listeners: BTreeMap<String, String>,
    /// The listeners that encrypt nothing, by name: who can listen to the network reads along.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "set"))]
    pub plain_listeners: Vec<String>,
    /// Whether brokers, and the operator, know one another by certificates; fixed when the cluster
    /// was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutual_tls: Option<bool>,
    /// The certificates in use, and when they expire.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), transform = super::list_map_by_name)]
    pub certificates: Vec<CertificateStatus>,
    /// The brokers, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), transform = super::list_map_by_id)]
    pub brokers: Vec<BrokerStatus>,
    /// Brokers that are to go: they get no new replicas, and are removed once they hold none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "set"))]
    pub leaving: Vec<i32>,
    /// Brokers that have come to a cluster that was there, and have not got their share of its
    /// replicas yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "set"))]
    pub newcomers: Vec<i32>,
    /// How far replicas are made even, which the annotation `ottla.io/rebalance` asks for, or
    /// spec.rebalanceAtSkewPercent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebalance: Option<RebalanceStatus>,
    /// The node that gets an empty volume in place of its own, which the annotation
    /// `ottla.io/replace-broker` asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacement: Option<ReplacementStatus>,
    /// The version that brokers start with: the tag of their image, or its digest.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub broker_version: String,
    /// With changePolicy Plan: the changes that wait for consent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
    /// Changes that were consented to and are not done yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500), extend("x-kubernetes-list-type" = "set"))]
    pub approved: Vec<String>,
    /// How many plans were consented to.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub plans_approved: i64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// A certificate in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct CertificateStatus {
    /// Whose it is: a listener's by its name, `brokers` for what brokers know one another by, and
    /// `ca` and `users-ca` for what the operator signs those of brokers and of users with.
    pub name: String,
    /// When it expires. What the operator made it renews before.
    pub expires_at: String,
    /// When another is due to take its place. One of your own is to be renewed by then: a fifth of
    /// its time is left, and not more than 14 days.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub renewal_due: String,
    /// The Secret that it comes from, where that is one of your own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub secret_name: String,
}

/// How far replicas are made even.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct RebalanceStatus {
    /// What the annotation had, or the field of the spec that had it begin by itself.
    pub asked: String,
    /// The brokers that have less than their share yet; none: it is done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "set"))]
    pub brokers: Vec<i32>,
}

/// Changes that wait for consent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct PlanStatus {
    /// What the annotation `ottla.io/approve-plan` must have for the plan to be carried out. It
    /// stands for this plan alone: another change, and the same one after consent, has another.
    pub hash: String,
    /// The plan in one line.
    pub summary: String,
    /// The changes, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500))]
    pub steps: Vec<String>,
    /// The brokers that restart, go or come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "set"))]
    pub brokers: Vec<i32>,
    /// Bytes to be copied between brokers, when the plan was made; absent while brokers do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
}

/// What the operator observed of one broker or dedicated controller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct BrokerStatus {
    /// Its id: a broker's is the ordinal of its pod, a dedicated controller's 1000 more.
    pub id: i32,
    /// Whether it serves: registered, unfenced and caught up.
    pub ready: bool,
    /// What it is doing, or what it waits for, in one sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Why it is yet to be restarted, where it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub restart_reason: String,
}

fn default_replicas() -> i32 {
    3
}

fn default_max_unavailable() -> i32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_one(number: &i32) -> bool {
    *number == 1
}
