//! What the active controller is asked, and answers.

use ottla_protocol::ids::{
    BrokerEpoch, LeaderEpoch, NodeId, PartitionEpoch, PartitionIndex, ProducerId, TopicId, Uuid,
};

use super::image::Endpoint;

/// A request to the active controller. Wire requests are Kafka's own structs.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Gives a new cluster its identity; a cluster that has one keeps it.
    FormatCluster(FormatCluster),
    /// A broker that starts asks for an epoch.
    RegisterBroker(RegisterBroker),
    /// A broker says how it is.
    BrokerHeartbeat(BrokerHeartbeat),
    /// A broker's lease has run out.
    FenceBroker(FenceBroker),
    /// A leader asks for another ISR.
    AlterPartition(AlterPartition),
    /// A broker asks for a block of producer ids.
    AllocateProducerIds(AllocateProducerIds),
    /// Moves leaderships back to preferred leaders where they are too far off.
    RebalanceLeaders,
}

/// The answer to the [`Request`] of the same name.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// See [`Request::FormatCluster`].
    FormatCluster(Result<(), Refusal>),
    /// See [`Request::RegisterBroker`].
    RegisterBroker(Result<BrokerEpoch, Refusal>),
    /// See [`Request::BrokerHeartbeat`].
    BrokerHeartbeat(Result<BrokerStanding, Refusal>),
    /// See [`Request::FenceBroker`].
    FenceBroker(Result<(), Refusal>),
    /// See [`Request::AlterPartition`].
    AlterPartition(Result<Vec<AlterPartitionResult>, Refusal>),
    /// See [`Request::AllocateProducerIds`].
    AllocateProducerIds(Result<ProducerIdBlock, Refusal>),
    /// See [`Request::RebalanceLeaders`]: how many partitions got their preferred leader.
    RebalanceLeaders(usize),
}

/// Why a request is refused: Kafka's error code and one sentence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// Kafka's error code.
    pub error_code: i16,
    /// What is wrong and with what.
    pub message: String,
}

/// See [`Request::FormatCluster`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FormatCluster {
    /// The identity, as text.
    pub cluster_id: String,
}

/// See [`Request::RegisterBroker`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegisterBroker {
    /// The broker's id.
    pub node_id: NodeId,
    /// Which cluster the broker believes to belong to.
    pub cluster_id: String,
    /// Drawn anew by each process.
    pub incarnation_id: Uuid,
    /// The identity of its data directory, drawn when that was made.
    pub storage_id: Uuid,
    /// Whether its last incarnation ended in order, so that also unsynced records are there.
    pub clean_shutdown: bool,
    /// Where clients reach it.
    pub listeners: Vec<Endpoint>,
    /// Where brokers reach it.
    pub peer: Endpoint,
    /// Its failure domain.
    pub rack: Option<String>,
    /// Feature levels that its binary supports: name, min, max.
    pub features: Vec<(String, i16, i16)>,
}

/// See [`Request::BrokerHeartbeat`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerHeartbeat {
    /// The broker's id.
    pub node_id: NodeId,
    /// The incarnation that speaks.
    pub broker_epoch: BrokerEpoch,
    /// Whether the broker is ready to serve: its image holds its own registration and its logs are open.
    pub ready: bool,
    /// Whether the broker wants to stop and asks that its leaderships be moved.
    pub want_shut_down: bool,
}

/// How the controller sees a broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrokerStanding {
    /// Whether it is fenced.
    pub is_fenced: bool,
    /// Whether it leads nothing any more that another could, so that it may stop.
    pub should_shut_down: bool,
}

/// See [`Request::FenceBroker`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FenceBroker {
    /// The broker's id.
    pub node_id: NodeId,
    /// The incarnation whose lease ran out; another one is left alone.
    pub broker_epoch: BrokerEpoch,
}

/// See [`Request::AlterPartition`] (KIP-497, KIP-841, KIP-903).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlterPartition {
    /// The leader that asks.
    pub node_id: NodeId,
    /// Its incarnation.
    pub broker_epoch: BrokerEpoch,
    /// The partitions it asks for.
    pub partitions: Vec<AlterPartitionItem>,
}

/// One partition of an [`AlterPartition`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlterPartitionItem {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partition's index.
    pub partition: PartitionIndex,
    /// The epoch that the leader leads in.
    pub leader_epoch: LeaderEpoch,
    /// The registration that the leader saw.
    pub partition_epoch: PartitionEpoch,
    /// The wanted ISR, each with the broker epoch whose fetches put it there.
    pub new_isr: Vec<(NodeId, BrokerEpoch)>,
}

/// What became of one partition of an [`AlterPartition`], in the order of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlterPartitionResult {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partition's index.
    pub partition: PartitionIndex,
    /// Kafka's error code.
    pub error_code: i16,
    /// The leader.
    pub leader: Option<NodeId>,
    /// The leader epoch.
    pub leader_epoch: LeaderEpoch,
    /// The ISR.
    pub isr: Vec<NodeId>,
    /// The partition epoch.
    pub partition_epoch: PartitionEpoch,
}

/// See [`Request::AllocateProducerIds`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllocateProducerIds {
    /// The broker that asks.
    pub node_id: NodeId,
    /// Its incarnation.
    pub broker_epoch: BrokerEpoch,
}

/// Producer ids that nobody else will give out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProducerIdBlock {
    /// The first id.
    pub first: ProducerId,
    /// How many.
    pub count: i32,
}
