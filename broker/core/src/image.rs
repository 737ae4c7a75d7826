//! The cluster's metadata as one immutable value: what every broker serves from.
//!
//! A [`MetadataImage`] is cheap to clone: its parts are shared, and replaying a batch of records
//! copies only the maps and topics that the batch touches. Whoever holds an image holds a
//! consistent moment of the cluster. Decisions read it; [`record`]s are the only way that it
//! changes, and a [`delta`] names what they changed.
//!
//! This is the ground floor: nothing here imports who decides.

pub mod delta;
mod partitions;
pub mod record;
mod replay;

pub use partitions::Partitions;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::record::DelegationTokenRecord;
use crate::acl::Acls;
use crate::authentication::{Credential, Mechanism};
use crate::config::{Agreed, ConfigMap, Layers, Scope, TopicConfig};
use crate::quota::ClientQuotas;
use ottla_protocol::codec::{Kafka, STRING_BYTES_MAX};
use ottla_protocol::ids::{
    BrokerEpoch, LeaderEpoch, NodeId, PartitionEpoch, PartitionIndex, ProducerId, TopicId,
    TopicIdPartition, TopicName, Uuid,
};

/// Everything the metadata quorum agreed on, up to one point of its log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataImage {
    /// The cluster's identity; empty until the cluster is formatted.
    pub cluster_id: Arc<str>,
    /// Every registered broker, fenced ones included.
    pub brokers: Arc<BTreeMap<NodeId, Arc<BrokerRegistration>>>,
    /// Every registered controller that is no broker.
    pub controllers: Arc<BTreeMap<NodeId, Arc<ControllerRegistration>>>,
    /// Every topic by name.
    pub topics: Arc<BTreeMap<TopicName, Arc<Topic>>>,
    /// The name of every topic by id. Invariant: the same topics as in `topics`.
    pub topic_names: Arc<BTreeMap<TopicId, TopicName>>,
    /// Dynamic configs; a resource without any is absent.
    pub configs: Arc<BTreeMap<ConfigResource, Arc<ConfigMap>>>,
    /// What the brokers' files come to of the configs that all must agree on; none while one of
    /// them has not told.
    pub agreed: Option<Arc<Agreed>>,
    /// Finalized feature levels.
    pub features: Arc<BTreeMap<String, i16>>,
    /// Who may do what, where an authorizer asks.
    pub acls: Arc<Acls>,
    /// Who may log in by SCRAM: of each user and mechanism the credential.
    pub scram_credentials: Arc<BTreeMap<(String, Mechanism), Credential>>,
    /// How much clients may take.
    pub client_quotas: Arc<ClientQuotas>,
    /// Delegation tokens, by their ids.
    pub delegation_tokens: Arc<BTreeMap<String, DelegationTokenRecord>>,
    /// The first producer id that no block was given out of.
    pub next_producer_id: ProducerId,
    /// The epoch that the next registration of a broker gets.
    pub next_broker_epoch: BrokerEpoch,
}

/// One incarnation of a broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// The broker's id.
    pub node_id: NodeId,
    /// Drawn anew by each process, so that a repeated request of one is told from a second process.
    pub incarnation_id: Uuid,
    /// Counts incarnations across the cluster; grows with each registration.
    pub broker_epoch: BrokerEpoch,
    /// The identity of the data directory; another one means that the broker lost its data.
    pub storage_id: Uuid,
    /// Where clients reach it, by listener.
    pub listeners: Vec<Endpoint>,
    /// Where brokers reach it.
    pub peer: Endpoint,
    /// Its failure domain.
    pub rack: Option<Arc<str>>,
    /// Feature levels that its binary supports.
    pub features: BTreeMap<String, (i16, i16)>,
    /// What its file sets of the configs that all brokers must agree on; none if it did not tell.
    pub configs: Option<ConfigMap>,
    /// A fenced broker leads nothing and is in no ISR but where it is the last.
    pub fenced: bool,
    /// A broker on its way out gets no leadership.
    pub in_controlled_shutdown: bool,
}

/// A controller that is no broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControllerRegistration {
    /// Its id.
    pub node_id: NodeId,
    /// The identity of its data directory.
    pub storage_id: Uuid,
    /// Where peers and clients of controllers reach it.
    pub peer: Endpoint,
    /// Feature levels that its binary supports.
    pub features: BTreeMap<String, (i16, i16)>,
}

/// Where a listener is reached.
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
pub struct Endpoint {
    /// The listener's name.
    pub name: String,
    /// Host name or address, as advertised.
    pub host: String,
    /// Port, as advertised.
    pub port: u16,
    /// Kafka's number of the security protocol: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
}

/// One incarnation of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    /// Its partitions by index, without gaps.
    pub partitions: Partitions,
}

/// Who holds and leads one partition.
///
/// Invariants: `isr` and `elr` are disjoint subsets of `replicas`; a leader is in `isr`, and so is
/// its successor, who is another; epochs only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionRegistration {
    /// All that hold the partition, the preferred leader first; during a reassignment the target
    /// comes first.
    pub replicas: Vec<NodeId>,
    /// In-sync replicas.
    pub isr: Vec<NodeId>,
    /// Replicas that a reassignment adds. One that is among those that it removes as well was added
    /// by an earlier one, and stays for a while.
    pub adding_replicas: Vec<NodeId>,
    /// Replicas that a reassignment removes.
    pub removing_replicas: Vec<NodeId>,
    /// Eligible leader replicas: left the ISR while it was below min ISR, so they hold all that is
    /// committed (KIP-966).
    pub elr: Vec<NodeId>,
    /// Who led last, while nobody leads; else empty.
    pub last_known_elr: Vec<NodeId>,
    /// The leader, or none while no eligible replica is alive.
    pub leader: Option<NodeId>,
    /// Whom the leader is to hand over to, once that replica has every byte.
    pub successor: Option<NodeId>,
    /// Grows with each change of the leader.
    pub leader_epoch: LeaderEpoch,
    /// Grows with each change of this registration.
    pub partition_epoch: PartitionEpoch,
}

/// What a config belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigResource {
    /// A topic, by name.
    Topic(TopicName),
    /// One broker.
    Broker(NodeId),
    /// All brokers: the cluster-wide dynamic default.
    Cluster,
    /// A consumer, share or streams group.
    Group(String),
    /// A subscription to clients' metrics (KIP-714).
    ClientMetrics(String),
}

impl MetadataImage {
    /// The topic of that name.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    /// The topic of that id.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.topic_names
            .get(&id)
            .and_then(|name| self.topics.get(name))
    }

    /// The partition of that topic id and index.
    pub fn partition(&self, partition: TopicIdPartition) -> Option<&Arc<PartitionRegistration>> {
        self.topic_by_id(partition.topic_id)?
            .partition(partition.partition)
    }

    /// The broker of that id, fenced or not.
    pub fn broker(&self, node: NodeId) -> Option<&Arc<BrokerRegistration>> {
        self.brokers.get(&node)
    }

    /// The identity of the data directory of a broker or a controller, and where its peers reach
    /// it; none where it has not registered.
    pub fn node(&self, node: NodeId) -> Option<(Uuid, &Endpoint)> {
        let broker = self.brokers.get(&node).map(|b| (b.storage_id, &b.peer));
        broker.or_else(|| {
            let controller = self.controllers.get(&node)?;
            Some((controller.storage_id, &controller.peer))
        })
    }

    /// Whether the broker is registered and not fenced.
    pub fn is_unfenced(&self, node: NodeId) -> bool {
        self.brokers.get(&node).is_some_and(|b| !b.fenced)
    }

    /// Whether the broker may join an ISR or lead: registered, not fenced and not on its way out.
    pub fn is_active(&self, node: NodeId) -> bool {
        self.brokers
            .get(&node)
            .is_some_and(|b| !b.fenced && !b.in_controlled_shutdown)
    }

    /// The ids of all brokers that are not fenced, in order.
    pub fn unfenced_brokers(&self) -> impl Iterator<Item = &Arc<BrokerRegistration>> {
        self.brokers.values().filter(|b| !b.fenced)
    }

    /// What was set on the resource; empty where nothing was.
    pub fn configs_of(&self, resource: &ConfigResource) -> Option<&Arc<ConfigMap>> {
        self.configs.get(resource)
    }

    /// The layers of configs that hold on a broker whose file has `statics`; without a broker,
    /// those that hold for the whole cluster, as the controller sees it.
    pub fn layers<'a>(&'a self, node: Option<NodeId>, statics: &'a ConfigMap) -> Layers<'a> {
        let set_on = |resource| self.configs_of(&resource).map(Arc::as_ref);
        Layers {
            own: None,
            broker: node.and_then(|node| set_on(ConfigResource::Broker(node))),
            cluster: set_on(ConfigResource::Cluster),
            statics,
            agreed: self.agreed.as_deref(),
        }
    }

    /// The same with a topic's own configs on top.
    pub fn topic_layers<'a>(
        &'a self,
        node: Option<NodeId>,
        statics: &'a ConfigMap,
        topic: &TopicName,
    ) -> Layers<'a> {
        let own = self.configs_of(&ConfigResource::Topic(topic.clone()));
        self.layers(node, statics).with(own.map(Arc::as_ref))
    }

    /// The configs of a topic on a broker whose file has `statics`.
    pub fn topic_config(&self, node: NodeId, statics: &ConfigMap, topic: &Topic) -> TopicConfig {
        let layers = self.topic_layers(Some(node), statics, &topic.name);
        TopicConfig::new(&layers, topic.replication_factor())
    }

    /// How many partitions the cluster has.
    pub fn partition_count(&self) -> usize {
        self.topics.values().map(|t| t.partitions.len()).sum()
    }

    /// The finalized level of a feature; 0 where it is off.
    pub fn feature(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }
}

impl Endpoint {
    /// Whether TLS is spoken there.
    pub fn has_tls(&self) -> bool {
        matches!(self.security_protocol, 1 | 3)
    }
}

impl BrokerRegistration {
    /// The endpoint of the listener of that name, or the first one.
    pub fn listener(&self, name: &str) -> Option<&Endpoint> {
        self.listeners
            .iter()
            .find(|l| l.name.eq_ignore_ascii_case(name))
            .or(self.listeners.first())
    }
}

impl Topic {
    /// The partition of that index.
    pub fn partition(&self, index: PartitionIndex) -> Option<&Arc<PartitionRegistration>> {
        usize::try_from(index.0)
            .ok()
            .and_then(|i| self.partitions.get(i))
    }

    /// Partitions with their indexes.
    pub fn indexed(
        &self,
    ) -> impl Iterator<Item = (PartitionIndex, &Arc<PartitionRegistration>)> + '_ {
        self.partitions
            .iter()
            .enumerate()
            .map(|(i, p)| (PartitionIndex(i as i32), p))
    }

    /// How many replicas a partition has for certain: the smallest over the partitions.
    pub fn replication_factor(&self) -> usize {
        self.partitions.factors().settled
    }

    /// How many replicas a partition is to have: the smallest over the partitions, without those
    /// being removed.
    pub fn target_replication_factor(&self) -> usize {
        self.partitions.factors().target
    }
}

impl PartitionRegistration {
    /// Whether replicas are being added or removed.
    pub fn is_reassigning(&self) -> bool {
        !self.adding_replicas.is_empty() || !self.removing_replicas.is_empty()
    }

    /// How many replicas `min.insync.replicas` can ask for: as many as there were before the
    /// reassignment under way, or will be after it, whichever is fewer. One that is being added
    /// holds nothing yet, so waiting for it would stop every producer for the whole copy.
    pub fn settled_replicas(&self) -> usize {
        let moving = self.adding_replicas.len().max(self.removing_replicas.len());
        self.replicas.len().saturating_sub(moving)
    }

    /// The replicas once the reassignment under way, if any, is done.
    pub fn target_replicas(&self) -> Vec<NodeId> {
        let staying = |node: &&NodeId| !self.removing_replicas.contains(node);
        self.replicas.iter().filter(staying).copied().collect()
    }

    /// The replicas to return to when the reassignment under way is cancelled.
    pub fn original_replicas(&self) -> Vec<NodeId> {
        let staying = |node: &&NodeId| !self.adding_replicas.contains(node);
        self.replicas.iter().filter(staying).copied().collect()
    }

    /// Whether a replica is not in sync that was to be so: not one that a reassignment adds, which
    /// is still being copied.
    pub fn is_under_replicated(&self) -> bool {
        let is_new = |node: &NodeId| self.adding_replicas.contains(node);
        let mut replicas = self.replicas.iter();
        replicas.any(|node| !is_new(node) && !self.isr.contains(node))
    }

    /// The replica that should lead while it is in sync: the first.
    pub fn preferred_leader(&self) -> Option<NodeId> {
        self.replicas.first().copied()
    }
}

impl ConfigResource {
    /// Which configs it has.
    pub fn scope(&self) -> Scope {
        match self {
            Self::Topic(_) => Scope::Topic,
            Self::Broker(_) | Self::Cluster => Scope::Broker,
            Self::Group(_) => Scope::Group,
            Self::ClientMetrics(_) => Scope::ClientMetrics,
        }
    }

    /// Kafka's number of the type, and the name, as on the wire.
    pub fn to_wire(&self) -> (i8, String) {
        match self {
            Self::Topic(name) => (2, name.to_string()),
            Self::Broker(node) => (4, node.to_string()),
            Self::Cluster => (4, String::new()),
            Self::ClientMetrics(name) => (16, name.clone()),
            Self::Group(name) => (32, name.clone()),
        }
    }

    /// The resource of that type and name; none where the type has no configs or the name is no
    /// broker's id.
    pub fn from_wire(resource_type: i8, name: &str) -> Option<Self> {
        match resource_type {
            _ if name.len() > STRING_BYTES_MAX => None, // nothing has such a name
            2 => Some(Self::Topic(name.into())),
            4 if name.is_empty() => Some(Self::Cluster),
            4 => name.parse().ok().map(|id| Self::Broker(NodeId(id))),
            16 => Some(Self::ClientMetrics(name.to_owned())),
            32 => Some(Self::Group(name.to_owned())),
            _ => None,
        }
    }
}
