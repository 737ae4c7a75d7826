//! What the active controller is asked, and answers.
//!
//! A broker that is not the active controller forwards a request as the bytes of
//! [`Request::encode`] and gets those of
//! [`Response::encode`] back. Each is a number, a version and a body.

mod metered;
mod registration;
pub mod tokens;

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use ottla_protocol::codec::{Context, Decode, Error, Kafka, Reader, Value, Writer};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{
    BrokerEpoch, LeaderEpoch, NodeId, PartitionEpoch, PartitionIndex, ProducerId, TopicId,
};
use ottla_protocol::messages::access::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse, CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest,
    DeleteAclsResponse,
};
use ottla_protocol::messages::cluster::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ElectLeadersRequest,
    ElectLeadersResponse, UnregisterBrokerRequest, UnregisterBrokerResponse, UpdateFeaturesRequest,
    UpdateFeaturesResponse,
};
use ottla_protocol::messages::configs::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};
use ottla_protocol::messages::topics::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse,
};

pub use self::metered::{Metered, MeteredAnswer};
pub use self::registration::{RegisterBroker, RegisterController};
use crate::ask::Ask;
use crate::excerpt;
use crate::image::record::{DelegationTokenRecord, write};

macro_rules! requests {
    ($($number:literal $(#[doc = $doc:literal])+ $name:ident($request:ty) -> $response:ty;)*) => {
        /// A request to the active controller. Wire requests are Kafka's own structs.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Request {
            $($(#[doc = $doc])+ $name($request),)*
        }

        /// The answer to the [`Request`] of the same name.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Response {
            $(#[doc = concat!("See [`Request::", stringify!($name), "`].")] $name($response),)*
        }

        impl Request {
            /// The request's bytes.
            ///
            /// # Errors
            /// A string that [`Self::decode`] would not take.
            pub fn encode(&self) -> Result<Bytes, Error> {
                let mut writer = Writer::new();
                match self {
                    $(Self::$name(body) => write(&mut writer, $number, body)?,)*
                }
                Ok(writer.into_bytes())
            }

            /// Reads what [`Self::encode`] wrote.
            pub fn decode(bytes: Bytes) -> Result<Self, Error> {
                let mut reader = Reader::new(BytesMut::from(bytes));
                let number = reader.i16()?;
                let version = reader.i16()?;
                let request = match number {
                    $($number => Self::$name(<$request>::decode(&mut reader, version)?),)*
                    _ => return Err(unknown(number)),
                };
                reader.finish()?;
                Ok(request)
            }

            /// What is asked, in a word.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)*
                }
            }
        }

        impl Response {
            /// The response's bytes.
            ///
            /// # Errors
            /// A string that [`Self::decode`] would not take.
            pub fn encode(&self) -> Result<Bytes, Error> {
                let mut writer = Writer::new();
                match self {
                    $(Self::$name(body) => {
                        writer.buffer().put_i16($number);
                        body.put(&mut writer)?;
                    })*
                }
                Ok(writer.into_bytes())
            }

            /// Reads what [`Self::encode`] wrote.
            pub fn decode(bytes: Bytes) -> Result<Self, Error> {
                let mut reader = Reader::new(BytesMut::from(bytes));
                let response = match reader.i16()? {
                    $($number => Self::$name(<$response as Body>::get(&mut reader)?),)*
                    number => return Err(unknown(number)),
                };
                reader.finish()?;
                Ok(response)
            }
        }

        $(impl Ask for $request {
            type Request = Request;
            type Response = Response;
            type Answer = $response;

            fn into_request(self) -> Request {
                Request::$name(self)
            }

            fn answer(response: Response) -> Option<$response> {
                match response {
                    Response::$name(answer) => Some(answer),
                    _ => None,
                }
            }
        })*
    };
}

requests! {
    1 /// Gives a new cluster its identity; a cluster that has one keeps it.
    FormatCluster(FormatCluster) -> Result<FormatCluster, Refusal>;
    2 /// A broker that starts asks for an epoch.
    RegisterBroker(RegisterBroker) -> Result<BrokerEpoch, Refusal>;
    3 /// A broker says how it is.
    BrokerHeartbeat(BrokerHeartbeat) -> Result<BrokerStanding, Refusal>;
    4 /// A broker's lease has run out.
    FenceBroker(FenceBroker) -> Result<BrokerStanding, Refusal>;
    5 /// A leader asks for another ISR.
    AlterPartition(AlterPartition) -> Result<Vec<AlterPartitionResult>, Refusal>;
    6 /// A broker asks for a block of producer ids.
    AllocateProducerIds(AllocateProducerIds) -> Result<ProducerIdBlock, Refusal>;
    7 /// Moves leaderships back to preferred leaders; answers how many.
    RebalanceLeaders(RebalanceLeaders) -> Result<i32, Refusal>;
    8 /// Creates topics.
    CreateTopics(CreateTopicsRequest) -> CreateTopicsResponse;
    9 /// Deletes topics.
    DeleteTopics(DeleteTopicsRequest) -> DeleteTopicsResponse;
    10 /// Adds partitions to topics.
    CreatePartitions(CreatePartitionsRequest) -> CreatePartitionsResponse;
    11 /// Replaces all configs of resources.
    AlterConfigs(AlterConfigsRequest) -> AlterConfigsResponse;
    12 /// Changes single configs of resources.
    IncrementalAlterConfigs(IncrementalAlterConfigsRequest) -> IncrementalAlterConfigsResponse;
    13 /// Makes the preferred replica the leader, or any at the price of data.
    ElectLeaders(ElectLeadersRequest) -> ElectLeadersResponse;
    14 /// Sets or cancels the replicas that partitions shall have.
    AlterPartitionReassignments(AlterPartitionReassignmentsRequest)
        -> AlterPartitionReassignmentsResponse;
    15 /// Takes a broker that is gone for good out of the cluster.
    UnregisterBroker(UnregisterBrokerRequest) -> UnregisterBrokerResponse;
    16 /// Raises or lowers finalized features.
    UpdateFeatures(UpdateFeaturesRequest) -> UpdateFeaturesResponse;
    17 /// Creates ACLs.
    CreateAcls(CreateAclsRequest) -> CreateAclsResponse;
    18 /// Deletes the ACLs that match filters.
    DeleteAcls(DeleteAclsRequest) -> DeleteAclsResponse;
    23 /// Sets and deletes users' credentials of SCRAM.
    AlterUserScramCredentials(AlterUserScramCredentialsRequest)
        -> AlterUserScramCredentialsResponse;
    30 /// Sets and removes client quotas.
    AlterClientQuotas(AlterClientQuotasRequest) -> AlterClientQuotasResponse;
    31 /// CreateTopics, CreatePartitions or DeleteTopics of a client that has a quota of it.
    Metered(Metered) -> Result<MeteredAnswer, Refusal>;
    21 /// A broker has found replicas damaged; answers as of which leader epoch nobody counts them.
    LoseReplicas(LoseReplicas) -> Result<Vec<LeaderEpoch>, Refusal>;
    19 /// A leader's successors have every byte; answers how many lead now.
    HandOver(HandOver) -> Result<i32, Refusal>;
    24 /// Creates a delegation token.
    CreateDelegationToken(tokens::CreateDelegationToken) -> Result<DelegationTokenRecord, Refusal>;
    25 /// Has a delegation token live on.
    RenewDelegationToken(tokens::RenewDelegationToken) -> Result<i64, Refusal>;
    26 /// Ends a delegation token, at once or later.
    ExpireDelegationToken(tokens::ExpireDelegationToken) -> Result<i64, Refusal>;
    27 /// Forgets the delegation tokens that have ended.
    RemoveExpiredTokens(tokens::RemoveExpiredTokens) -> Result<i32, Refusal>;
    32 /// A controller that is no broker says that it is there; answers its id.
    RegisterController(RegisterController) -> Result<NodeId, Refusal>;
}

impl Request {
    /// How long whoever asks waits for the answer, where it says so. It may ask again after that,
    /// so nothing should be carried out any more.
    pub fn timeout(&self) -> Option<Duration> {
        let timeout_ms = match self {
            Self::CreateTopics(body) => body.timeout_ms,
            Self::DeleteTopics(body) => body.timeout_ms,
            Self::CreatePartitions(body) => body.timeout_ms,
            Self::AlterPartitionReassignments(body) => body.timeout_ms,
            Self::ElectLeaders(body) => body.timeout_ms,
            Self::UpdateFeatures(body) => body.timeout_ms,
            Self::Metered(body) => body.timeout_ms,
            _ => return None,
        };
        Some(Duration::from_millis(
            u64::try_from(timeout_ms).unwrap_or(0),
        ))
    }
}

fn unknown(number: i16) -> Error {
    Error::UnsupportedVersion {
        message: "controller request",
        version: number,
    }
}

/// What a response can carry.
trait Body: Sized {
    fn put(&self, writer: &mut Writer) -> Result<(), Error>;
    fn get(reader: &mut Reader) -> Result<Self, Error>;
}

/// The context of the bodies that are ours alone.
fn own() -> Context {
    Context::new(0, true)
}

impl<V: Value> Body for Result<V, Refusal> {
    fn put(&self, writer: &mut Writer) -> Result<(), Error> {
        writer.buffer().put_u8(u8::from(self.is_ok()));
        match self {
            Ok(value) => value.write(writer, own()),
            Err(refusal) => refusal.write(writer, own()),
        }
    }

    fn get(reader: &mut Reader) -> Result<Self, Error> {
        Ok(match reader.i8()? {
            0 => Err(Refusal::read(reader, own())?),
            _ => Ok(V::read(reader, own())?),
        })
    }
}

macro_rules! wire_bodies {
    ($($body:ty)*) => {
        $(impl Body for $body {
            fn put(&self, writer: &mut Writer) -> Result<(), Error> {
                use ottla_protocol::codec::Message;
                let version = *Self::VERSIONS.end();
                writer.buffer().put_i16(version);
                ottla_protocol::codec::Encode::encode(self, writer, version)
            }

            fn get(reader: &mut Reader) -> Result<Self, Error> {
                let version = reader.i16()?;
                <Self as Decode>::decode(reader, version)
            }
        })*
    };
}

wire_bodies! {
    CreateTopicsResponse DeleteTopicsResponse CreatePartitionsResponse AlterConfigsResponse
    IncrementalAlterConfigsResponse ElectLeadersResponse AlterPartitionReassignmentsResponse
    UnregisterBrokerResponse UpdateFeaturesResponse CreateAclsResponse DeleteAclsResponse
    AlterUserScramCredentialsResponse AlterClientQuotasResponse
}

/// Why a request is refused: Kafka's error code and one sentence.
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
pub struct Refusal {
    /// Kafka's error code.
    pub error_code: i16,
    /// What is wrong and with what.
    pub message: String,
}

impl Refusal {
    /// A refusal for that reason; of a message that quotes something very long, the beginning.
    pub fn new(error: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            error_code: error.code(),
            message: excerpt::message(message),
        }
    }

    /// Kafka's error.
    pub fn error(&self) -> ErrorCode {
        ErrorCode::from(self.error_code)
    }
}

/// See [`Request::FormatCluster`]; the answer is the identity that the cluster has.
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct FormatCluster {
    /// The identity, as text.
    pub cluster_id: String,
}

/// See [`Request::BrokerHeartbeat`].
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct BrokerHeartbeat {
    /// The broker's id.
    pub node_id: NodeId,
    /// The incarnation that speaks.
    pub broker_epoch: BrokerEpoch,
    /// Whether the broker is ready to serve: its image holds its own registration and its logs are
    /// open.
    pub ready: bool,
    /// Whether the broker wants to stop and asks that its leaderships be moved.
    pub want_shut_down: bool,
    /// Whether it has just heard of all that it has lost.
    pub has_heard: bool,
}

/// How the controller sees a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Kafka)]
pub struct BrokerStanding {
    /// Whether it is fenced.
    pub is_fenced: bool,
    /// Whether it leads nothing any more that another could, so that it may stop.
    pub should_shut_down: bool,
}

/// See [`Request::FenceBroker`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct FenceBroker {
    /// The broker's id.
    pub node_id: NodeId,
    /// The incarnation whose lease ran out; another one is left alone.
    pub broker_epoch: BrokerEpoch,
}

/// See [`Request::AlterPartition`] (KIP-497, KIP-841, KIP-903).
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct AlterPartition {
    /// The leader that asks.
    pub node_id: NodeId,
    /// Its incarnation.
    pub broker_epoch: BrokerEpoch,
    /// The partitions it asks for.
    pub partitions: Vec<AlterPartitionItem>,
}

/// One partition of an [`AlterPartition`].
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
pub struct AlterPartitionItem {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partition's index.
    pub partition: PartitionIndex,
    /// The epoch that the leader leads in.
    pub leader_epoch: LeaderEpoch,
    /// The registration that the leader saw.
    pub partition_epoch: PartitionEpoch,
    /// The wanted ISR.
    pub new_isr: Vec<IsrMember>,
}

/// One member of a wanted ISR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Kafka)]
pub struct IsrMember {
    /// The broker.
    pub node_id: NodeId,
    /// The incarnation whose fetches put it there.
    pub broker_epoch: BrokerEpoch,
}

/// What became of one partition of an [`AlterPartition`], in the order of the request.
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
pub struct AlterPartitionResult {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partition's index.
    pub partition: PartitionIndex,
    /// Kafka's error code.
    pub error_code: i16,
    /// The leader.
    #[kafka(nullable = "0+", default = null)]
    pub leader: Option<NodeId>,
    /// The leader epoch.
    pub leader_epoch: LeaderEpoch,
    /// The ISR.
    pub isr: Vec<NodeId>,
    /// The partition epoch.
    pub partition_epoch: PartitionEpoch,
}

/// See [`Request::LoseReplicas`]. The answer is in the order of the request:
/// [`LeaderEpoch::NONE`] where the replica stays what it is, for nobody else has its records.
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct LoseReplicas {
    /// The broker that has them.
    pub node_id: NodeId,
    /// Its incarnation.
    pub broker_epoch: BrokerEpoch,
    /// The partitions.
    pub partitions: Vec<LostReplica>,
}

/// One partition of a [`LoseReplicas`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Kafka)]
pub struct LostReplica {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partition's index.
    pub partition: PartitionIndex,
    /// Whether the broker cannot go on with the log at all: it neither leads nor follows by it.
    #[kafka(versions = "0+", default = false, tag = 0)]
    pub is_offline: bool,
}

/// See [`Request::AllocateProducerIds`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct AllocateProducerIds {
    /// The broker that asks.
    pub node_id: NodeId,
    /// Its incarnation.
    pub broker_epoch: BrokerEpoch,
}

/// Producer ids that nobody else will give out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Kafka)]
pub struct ProducerIdBlock {
    /// The first id.
    pub first: ProducerId,
    /// How many.
    pub count: i32,
}

/// See [`Request::RebalanceLeaders`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct RebalanceLeaders {
    /// Which share of a broker's preferred leaderships may be elsewhere before any is moved, in
    /// percent.
    pub imbalance_percent_max: i32,
}

/// See [`Request::HandOver`].
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct HandOver {
    /// The leader that asks.
    pub node_id: NodeId,
    /// Its incarnation.
    pub broker_epoch: BrokerEpoch,
    /// The partitions that it hands over.
    pub partitions: Vec<HandOverItem>,
}

/// One partition of a [`HandOver`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Kafka)]
pub struct HandOverItem {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partition's index.
    pub partition: PartitionIndex,
    /// The epoch that the leader leads in.
    pub leader_epoch: LeaderEpoch,
}
