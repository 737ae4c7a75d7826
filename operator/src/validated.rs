//! A `KafkaCluster` of which everything is proven that a platform builds on; `cluster/validate`
//! makes it.

pub mod template;

use std::collections::{BTreeMap, BTreeSet};

use ottla_core::config::{Scope, find};

use crate::certificates::Lifetimes;
use crate::condition::Verdict;
use crate::crd::cluster::{ChangePolicy, Durability, Listener, Rack, Resources, Storage};
pub use crate::crd::nodes::FIRST_CONTROLLER;
use crate::object::ObjectKey;
use template::{PodExtension, ValidatedTemplate};

/// Where brokers listen for each other and for the operator.
pub const PEER_PORT: i32 = 9091;
/// Where brokers that know one another by certificates replicate from each other, and where they
/// meet the operator.
pub const BROKER_PORT: i32 = 9090;
/// The name of that port, and of the certificates that are shown there.
pub const BROKERS: &str = "brokers";
/// Where brokers serve `/metrics`, `/livez` and `/readyz`.
pub const HTTP_PORT: i32 = 9404;
/// The topics that brokers create for themselves, and what says how many replicas they get then.
const INTERNAL_TOPICS: [(&str, &str); 2] = [
    ("__consumer_offsets", "offsets.topic.replication.factor"),
    (
        "__transaction_state",
        "transaction.state.log.replication.factor",
    ),
];
/// What follows the name of a cluster in that of the Secret with its brokers' certificates.
pub const CERTIFICATES: &str = "certificates";
/// The most brokers of a cluster.
pub const REPLICAS_MAX: i32 = 100;
/// The most brokers that vote by a spec.
pub const CONTROLLERS_MAX: i32 = 5;
/// The ids of so many dedicated controllers.
#[must_use]
pub fn dedicated(count: i32) -> BTreeSet<i32> {
    (FIRST_CONTROLLER..FIRST_CONTROLLER + count).collect()
}

/// The nodes of a cluster that are no brokers, and vote.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ValidatedControllers {
    /// How many the spec wants; none: brokers vote.
    pub wanted: i32,
    /// Those to run, by id: those wanted, and those that exist and may not go yet.
    pub ids: BTreeSet<i32>,
    /// Those that exist, or may vote by what files or the status say.
    pub known: BTreeSet<i32>,
    /// Whether some of them vote beside brokers now.
    pub vote_beside_brokers: bool,
    /// The disk of each.
    pub storage: Option<Storage>,
    /// CPU and memory of each.
    pub resources: Resources,
    /// What is added to their pods.
    pub pod: PodExtension,
}

/// A cluster that can be built as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedCluster {
    /// Which object it is.
    pub key: ObjectKey,
    /// Its uid, by which it owns objects; empty where there are none.
    pub uid: String,
    /// The generation of its spec.
    pub generation: i64,
    /// Brokers to run: those wanted, or those that exist where that is more.
    pub replicas: i32,
    /// How many brokers there are ways to, by Services: as many as the spec has, or exist.
    pub ways: i32,
    /// Those of them that are to go, once they hold nothing any more: the last ones.
    pub leaving: BTreeSet<i32>,
    /// The voters that the nodes' files name: at least those that vote and those that are to.
    pub voters: BTreeSet<i32>,
    /// How many brokers are to vote by the spec.
    pub controllers_wanted: Option<i32>,
    /// The controllers that are no brokers.
    pub controllers: ValidatedControllers,
    /// The broker's image, where it is not the operator's default.
    pub image: Option<String>,
    /// What acks=all promises.
    pub durability: Durability,
    /// The disk of every broker.
    pub storage: Option<Storage>,
    /// Where racks come from.
    pub rack: Option<Rack>,
    /// How clients reach the brokers; the first is Internal.
    pub listeners: Vec<Listener>,
    /// Listeners that brokers are to have once somebody has assigned their addresses: all that it
    /// takes is made for them.
    pub awaited: Vec<Listener>,
    /// How long its certificates hold.
    pub lifetimes: Lifetimes,
    /// Settings of every broker, by Kafka's names.
    pub config: BTreeMap<String, String>,
    /// Settings that are managed elsewhere.
    pub unmanaged: BTreeSet<String>,
    /// CPU and memory of every broker.
    pub resources: Resources,
    /// What is added to the objects that are made for it.
    pub template: ValidatedTemplate,
    /// Whether brokers, and the operator, know one another by certificates.
    pub mutual_tls: bool,
    /// Who may do everything, where others may do what ACLs allow; none: anybody may do anything.
    pub super_users: Option<Vec<String>>,
    /// Namespaces whose topics are admitted, beside the cluster's own.
    pub topic_namespaces: Vec<String>,
    /// Namespaces whose users are admitted, beside the cluster's own.
    pub user_namespaces: Vec<String>,
    /// Whether restarts wait for approval.
    pub change_policy: ChangePolicy,
    /// Whether a broker may restart though partitions are away meanwhile.
    pub allow_unavailable: bool,
    /// How many brokers may restart at a time that have nothing in common.
    pub max_unavailable: usize,
    /// How many percent of its share a broker lacks where replicas are made even by themselves.
    pub rebalance_at_skew_percent: Option<i32>,
    /// Parts of the spec that are not carried out, with the reason; the rest is.
    pub refused: Vec<Verdict>,
}

impl ValidatedControllers {
    /// Whether a node is a controller that the spec wants no more.
    #[must_use]
    pub fn leaves(&self, id: i32) -> bool {
        id >= FIRST_CONTROLLER + self.wanted
    }
}

impl ValidatedCluster {
    /// How many brokers there are once those that are to go are gone.
    #[must_use]
    pub fn staying(&self) -> i32 {
        self.replicas - i32::try_from(self.leaving.len()).unwrap_or(0)
    }

    /// All nodes to run, brokers and dedicated controllers.
    #[must_use]
    pub fn nodes(&self) -> BTreeSet<i32> {
        let brokers = 0..self.replicas;
        brokers
            .chain(self.controllers.ids.iter().copied())
            .collect()
    }

    /// Whether brokers have certificates.
    #[must_use]
    pub fn has_certificates(&self) -> bool {
        self.mutual_tls || self.listeners.iter().any(|one| one.tls.is_some())
    }

    /// The topics that brokers keep for themselves, and how many replicas each is to have: what the
    /// config says, or as many as there are brokers that stay where that is fewer. One whose config
    /// is managed elsewhere is not among them.
    #[must_use]
    pub fn internal_topics(&self) -> BTreeMap<String, i32> {
        let topics = INTERNAL_TOPICS.iter().filter_map(|(topic, key)| {
            let known = find(Scope::Broker, key).filter(|_| !self.unmanaged.contains(*key))?;
            let set = self
                .config
                .get(*key)
                .map_or(known.key.default, String::as_str);
            let wanted: i32 = set.parse().ok()?;
            Some(((*topic).to_owned(), wanted.min(self.staying())))
        });
        topics.collect()
    }

    /// The listeners that something is made for: those of brokers, and those that they are to have.
    pub fn all_listeners(&self) -> impl Iterator<Item = &Listener> {
        self.listeners.iter().chain(&self.awaited)
    }

    /// The name of a broker's pod, which is also the name of its folder in local mode.
    #[must_use]
    pub fn pod(&self, ordinal: i32) -> String {
        format!("{}-{ordinal}", self.key.name)
    }
}
