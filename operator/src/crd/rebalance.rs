//! `KafkaRebalance`: a plan by which replicas of a cluster are spread anew, and how far that is.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Condition;
use super::topic::{ClusterRef, Reassignment};

/// What is to be made even, and how.
#[allow(
    clippy::duplicated_attributes,
    reason = "each of the columns has its type"
)]
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "ottla.io",
    version = "v1alpha1",
    kind = "KafkaRebalance",
    namespaced,
    status = "KafkaRebalanceStatus",
    shortname = "kfr",
    category = "kafka",
    derive = "PartialEq",
    doc = "A plan by which replicas of a Kafka cluster are spread anew once somebody consents.",
    annotation("helm.sh/resource-policy", "keep"),
    printcolumn(
        name = "Cluster",
        type_ = "string",
        json_path = ".spec.clusterRef.name",
        description = "The KafkaCluster whose replicas move"
    ),
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.state",
        description = "How far it has come"
    ),
    printcolumn(
        name = "Plan",
        type_ = "string",
        json_path = ".status.plan.summary",
        description = "What is to move"
    ),
    printcolumn(
        name = "Progress",
        type_ = "string",
        json_path = ".status.progress.summary",
        description = "What is left to move"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why it is done or is not"
    ),
    printcolumn(
        name = "Hash",
        type_ = "string",
        json_path = ".status.plan.hash",
        description = "What ottla.io/approve-plan must have for the plan to be carried out",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Since when the object exists"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(self.mode == 'Full') == \
        (!has(self.brokers) || self.brokers.size() == 0)")
        .message("brokers are named with the modes AddBrokers and RemoveBrokers, and with those \
        alone")
)]
pub struct KafkaRebalanceSpec {
    /// The cluster, in the namespace of this object. Cannot be changed later.
    #[x_kube(validation = Rule::new("self == oldSelf").message(
        "clusterRef cannot be changed: create a second KafkaRebalance for the other cluster"
    ))]
    pub cluster_ref: ClusterRef,

    /// Full (default): all brokers are made even. AddBrokers: replicas go to the brokers named, and
    /// to no others. RemoveBrokers: the brokers named give all their replicas to the others.
    #[serde(default)]
    pub mode: RebalanceMode,

    /// The brokers that the mode speaks of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "set"))]
    pub brokers: Vec<i32>,

    /// What is made even: Replicas, the number of them; Bytes, what they hold; Leaders, the
    /// partitions whose preferred leader a broker is. An earlier one goes before a later one.
    /// Default: Replicas and Leaders. No partition is in fewer racks afterwards, but where a broker
    /// is to give everything and no other one is in a rack that lacks it; the plan counts those.
    #[serde(default = "default_goals", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3), extend("x-kubernetes-list-type" = "set"))]
    pub goals: Vec<RebalanceGoal>,

    /// How many bytes a second each broker copies at most while this is carried out. Default: what
    /// the brokers are set to. It may change meanwhile. A rate that was set on one of these brokers
    /// alone is gone afterwards; that of the cluster's spec.config holds again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub throttle: Option<i64>,
}

fn default_goals() -> Vec<RebalanceGoal> {
    vec![RebalanceGoal::Replicas, RebalanceGoal::Leaders]
}

/// Who gives, and who gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum RebalanceMode {
    /// All brokers.
    #[default]
    Full,
    /// Others give, the brokers named get.
    AddBrokers,
    /// The brokers named give everything, others get.
    RemoveBrokers,
}

/// What is made even.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum RebalanceGoal {
    /// How many replicas a broker has.
    Replicas,
    /// How many bytes they hold.
    Bytes,
    /// Of how many partitions it is the preferred leader.
    Leaders,
}

/// What was planned, and how far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaRebalanceStatus {
    /// The metadata.generation that this status speaks about.
    #[serde(default)]
    pub observed_generation: i64,
    /// Ready, Reconciling and Stalled.
    #[serde(default)]
    #[schemars(length(max = 16), transform = super::list_map_by_type)]
    pub conditions: Vec<Condition>,
    /// NotReady, ProposalReady, Approved, Rebalancing, Ready or Stopped.
    #[serde(default)]
    pub state: RebalanceState,
    /// The plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<RebalancePlan>,
    /// Which replicas it moves now, at most 500. Of a larger plan the others follow in turns of as
    /// many, each planned from where replicas are by then, until as many are moved as the plan has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500))]
    pub moves: Vec<RebalanceMove>,
    /// How many partitions earlier turns had.
    #[serde(default)]
    pub moved: i32,
    /// How many partitions of the plan did not come to be where it has them: others moved or
    /// deleted them, or a broker that was to have them has gone.
    #[serde(default)]
    pub missed: i32,
    /// What is left of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Reassignment>,
    /// The brokers whose copies are held to spec.throttle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "set"))]
    pub throttled: Vec<i32>,
    /// The value of the annotation `ottla.io/rebalance` that was heeded last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub asked: String,
    /// How many plans were made.
    #[serde(default)]
    pub plans: i64,
}

/// How far a rebalance has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum RebalanceState {
    /// There is no plan yet, or none can be made.
    #[default]
    NotReady,
    /// The plan waits for consent.
    ProposalReady,
    /// It has it, and waits for its turn.
    Approved,
    /// Replicas move.
    Rebalancing,
    /// All is done.
    Ready,
    /// Somebody has stopped it.
    Stopped,
}

/// A plan in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct RebalancePlan {
    /// What consents to it.
    pub hash: String,
    /// What stands for the spec that it was made for, the throttle left out.
    #[serde(default)]
    pub spec: String,
    /// The plan in one line.
    pub summary: String,
    /// How many partitions move, in all turns together.
    pub partitions: i32,
    /// How many bytes are copied; none where brokers did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    /// The brokers with the most and with the least, before and after.
    #[schemars(length(max = 3))]
    pub skew: Vec<RebalanceSkew>,
}

/// How uneven brokers are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct RebalanceSkew {
    /// In what.
    pub goal: RebalanceGoal,
    /// The least and the most that a broker has, such as 2–9.
    pub before: String,
    /// The same once the plan is carried out.
    pub after: String,
}

/// A partition that gets other replicas, or another preferred leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct RebalanceMove {
    /// Its topic.
    pub topic: String,
    /// Kafka's own id of that topic: one that is made again under its name is another.
    #[serde(default)]
    pub topic_id: String,
    /// Its index.
    pub partition: i32,
    /// Its replicas when the plan was made, the preferred leader first.
    #[schemars(length(max = 100))]
    pub from: Vec<i32>,
    /// Those it gets.
    #[schemars(length(max = 100))]
    pub to: Vec<i32>,
}
