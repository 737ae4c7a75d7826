//! The APIs of Kafka: the table of what is served, and the dispatch.
//!
//! To add one: write `pub async fn handle(context: &Context, request: &RequestContext, body:
//! XRequest) -> XResponse` in the file of its family and add a line to the table below. What stands
//! in the table is advertised, in the range of versions that the request struct names.

mod access;
mod api_versions;
mod begun;
mod client;
mod cluster;
mod configs;
mod controllers;
mod error;
mod fetch;
mod forward;
mod groups;
mod leader;
mod log_dirs;
pub(crate) mod markers;
mod metadata;
mod metered;
mod offsets;
mod produce;
mod producer_ids;
mod quorum;
mod reassignments;
mod throttle;
mod topic_partitions;
mod topics;
mod transactions;
mod verify;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use ottla_core::acl::Operation;
use ottla_protocol::api::ApiKey;
use ottla_protocol::codec::{Decode, Reader, Request, Segments};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::frame::{self, RequestHeader};
use ottla_protocol::messages::access::{
    AlterClientQuotasRequest, AlterUserScramCredentialsRequest, CreateAclsRequest,
    CreateDelegationTokenRequest, DeleteAclsRequest, DescribeAclsRequest,
    DescribeClientQuotasRequest, DescribeDelegationTokenRequest,
    DescribeUserScramCredentialsRequest, ExpireDelegationTokenRequest, RenewDelegationTokenRequest,
    SaslAuthenticateRequest, SaslHandshakeRequest,
};
use ottla_protocol::messages::api_versions::ApiVersionsRequest;
use ottla_protocol::messages::cluster::{
    AddRaftVoterRequest, AlterPartitionReassignmentsRequest, DescribeQuorumRequest,
    ElectLeadersRequest, ListPartitionReassignmentsRequest, RemoveRaftVoterRequest,
    UnregisterBrokerRequest, UpdateFeaturesRequest,
};
use ottla_protocol::messages::configs::{
    AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest,
    ListConfigResourcesRequest,
};
use ottla_protocol::messages::consumer_groups::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest,
};
use ottla_protocol::messages::fetch::FetchRequest;
use ottla_protocol::messages::groups::{
    DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, HeartbeatRequest,
    JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest,
    OffsetDeleteRequest, OffsetFetchRequest, SyncGroupRequest,
};
use ottla_protocol::messages::log_dirs::{AlterReplicaLogDirsRequest, DescribeLogDirsRequest};
use ottla_protocol::messages::metadata::{
    DescribeClusterRequest, DescribeTopicPartitionsRequest, MetadataRequest,
};
use ottla_protocol::messages::offsets::{
    DeleteRecordsRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest,
};
use ottla_protocol::messages::produce::{ProduceRequest, ProduceResponse};
use ottla_protocol::messages::producer_ids::InitProducerIdRequest;
use ottla_protocol::messages::topics::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
};
use ottla_protocol::messages::transactions::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeProducersRequest,
    DescribeTransactionsRequest, EndTxnRequest, ListTransactionsRequest, TxnOffsetCommitRequest,
    WriteTxnMarkersRequest,
};

pub use self::begun::Begun;
pub use self::client::Client;
pub use self::error::Error;
use crate::audit::Audit;
use crate::authorizer::{self, Access, Principal, Witness};
use crate::budget::Share;
use crate::config::Settings;
use crate::controller;
use crate::coordinator;
use crate::env::Env;
use crate::metrics::Metrics;
use crate::oauth::Issuers;
use crate::quotas::{Allowance, Quotas};
use crate::replica::Replicas;
use crate::tokens::Tokens;

/// What a handler works with. Cheap to clone: everything inside is shared.
#[derive(Clone)]
pub struct Context {
    /// The settings this broker runs with.
    pub settings: Arc<Settings>,
    /// The metadata image, and the way to the active controller.
    pub controller: controller::Handle,
    /// The partitions this broker holds.
    pub replicas: Replicas,
    /// Consumer groups and their offsets.
    pub coordinator: coordinator::Handle,
    /// What this broker counts.
    pub metrics: Arc<Metrics>,
    /// Who was denied what, and who has changed what.
    pub audit: Arc<Audit>,
    /// What delegation tokens log in as.
    pub tokens: Arc<Tokens>,
    /// Who issues tokens of OAUTHBEARER.
    pub issuers: Issuers,
    /// How much clients may take, and have taken.
    pub quotas: Arc<Quotas>,
    /// Clock and randomness.
    pub env: Env,
}

impl Context {
    /// What the client of `request` may do.
    fn access(&self, request: &RequestContext) -> Access {
        let witness = || Witness {
            audit: Arc::clone(&self.audit),
            principal: request.principal.clone(),
            listener: Arc::clone(&request.listener),
            api: request.api_key,
        };
        Access::of(
            &self.settings,
            || self.controller.image(),
            &request.principal,
            || self.audit.is_on().then(witness),
        )
    }

    /// Whether the delegation token of that id is there and has not ended.
    fn token_holds(&self, id: &str) -> bool {
        let image = self.controller.image();
        let token = image.delegation_tokens.get(id);
        token.is_some_and(|token| !token.is_over(self.env.unix_ms()))
    }

    /// Whether `request` comes from a broker, or from a client that may do `operation` with the
    /// cluster or act as a broker.
    fn may_act_as_broker(
        &self,
        request: &RequestContext,
        operation: Operation,
    ) -> Result<(), ErrorCode> {
        let access = self.access(request);
        let client_id = request.client_id.as_deref();
        let is_proven = access
            .image()
            .is_none_or(|image| authorizer::is_some_follower(client_id, || Arc::clone(image)));
        match is_proven {
            true => Ok(()),
            false if access.may_with_cluster(Operation::ClusterAction) => Ok(()),
            false => access.cluster(operation),
        }
    }
}

/// Who asks, and how: one a request.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// The API.
    pub api_key: ApiKey,
    /// The version of the API.
    pub api_version: i16,
    /// What the client calls itself.
    pub client_id: Option<Arc<str>>,
    /// Who the client is, and where it connects from.
    pub principal: Principal,
    /// Whether it has shown who it is by a delegation token.
    pub is_by_token: bool,
    /// The name of the listener it came through, in capitals.
    pub listener: Arc<str>,
    /// Whether that is the controllers'.
    pub asks_controller: bool,
    /// A number for the connection, unique while the broker runs.
    pub connection_id: u64,
    /// The quotas that hold for the client; none while nobody has one, and for brokers.
    pub allowance: Option<Arc<Allowance>>,
    /// For how long the client is to wait because of what the request brings.
    pub throttle: Duration,
    /// Of a Produce, whether its records are appended.
    pub begun: Option<Begun>,
}

/// Fetches that one connection has in work at a time.
pub(crate) const FETCHES_MAX: usize = 2;

/// The frame that answers a request.
#[derive(Debug, Default)]
pub struct Answered {
    /// Its bytes.
    pub segments: Segments,
    /// The memory they hold, where that is accounted; given back once they are sent.
    pub share: Option<Share>,
    /// For how long nothing more is read of the client.
    pub throttle: Duration,
}

impl From<Segments> for Answered {
    fn from(segments: Segments) -> Self {
        Self {
            segments,
            ..Self::default()
        }
    }
}

/// The answer to a request; none where it wants none.
pub type Answer = Pin<Box<dyn Future<Output = Result<Option<Answered>, Error>> + Send>>;

/// What became of a request that has begun.
pub enum Call {
    /// It is answered.
    Done(Segments),
    /// It goes on.
    Waiting {
        /// The answer.
        future: Answer,
        /// Once it has been polled, the connection may begin the next request while fewer than so
        /// many wait.
        pipelined_max: usize,
        /// Of a Produce, whether its records are appended: until then it is to be polled also while
        /// others wait before it.
        begun: Option<Begun>,
    },
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Api {
    /// The API.
    pub key: ApiKey,
    /// The lowest version advertised.
    pub version_min: i16,
    /// The highest version advertised.
    pub version_max: i16,
}

/// A row is `Request => handler;`. With `, produce` the connection begins its next request once the
/// handler has been polled, and there is no answer to acks=0; with `, fetch` it does so while few
/// are in work, and the handler also gives the memory that its answer holds.
macro_rules! apis {
    ($($request:ty => $handler:path $(, $mode:ident)?;)*) => {
        /// What is served besides ApiVersions and what a login takes.
        const ROWS: &[Api] = &[$(row::<$request>()),*];

        fn begin(
            context: &Arc<Context>,
            header: RequestHeader,
            request: RequestContext,
            reader: Reader,
        ) -> Result<Call, Error> {
            let context = Arc::clone(context);
            match header.api_key {
                $(<$request as Request>::KEY => {
                    let body = decode::<$request>(&header, reader)?;
                    apis!(@call context, header, request, body, $request, $handler $(, $mode)?)
                })*
                api => Err(Error::Unsupported { api, version: header.api_version }),
            }
        }
    };
    (@call $context:ident, $header:ident, $request:ident, $body:ident, $type:ty,
     $handler:path, produce) => {{
        let is_silent = $body.acks == 0;
        let begun = Begun::default();
        let request = RequestContext { begun: Some(begun.clone()), ..$request };
        let future = timed($context.clone(), $header.api_key, async move {
            let answer = apis!(@work $context, request, $handler, $body);
            if is_silent {
                return produce_silently(&answer.0);
            }
            throttle::answer::<$type>(&$context, &$header, &request, answer)
        });
        Ok(Call::Waiting { future, pipelined_max: usize::MAX, begun: Some(begun) })
    }};
    (@call $context:ident, $header:ident, $request:ident, $body:ident, $type:ty,
     $handler:path, fetch) => {{
        let future = timed($context.clone(), $header.api_key, async move {
            let ((response, share), time) = apis!(@work $context, $request, $handler, $body);
            let answer = (response, time);
            let answered = throttle::answer::<$type>(&$context, &$header, &$request, answer)?;
            Ok(answered.map(|answered| Answered { share, ..answered }))
        });
        Ok(Call::Waiting { future, pipelined_max: FETCHES_MAX, begun: None })
    }};
    (@call $context:ident, $header:ident, $request:ident, $body:ident, $type:ty,
     $handler:path) => {{
        let future = timed($context.clone(), $header.api_key, async move {
            let answer = apis!(@work $context, $request, $handler, $body);
            throttle::answer::<$type>(&$context, &$header, &$request, answer)
        });
        Ok(Call::Waiting { future, pipelined_max: 1, begun: None })
    }};
    // in a box only where it is measured: an answer has room for each handler once
    (@work $context:ident, $request:ident, $handler:path, $body:ident) => {
        match throttle::is_measured(&$request) {
            false => ($handler(&$context, &$request, $body).await, Duration::ZERO),
            true => {
                let handler = Box::pin($handler(&$context, &$request, $body));
                throttle::measured(&$context, handler).await
            }
        }
    };
}

apis! {
    ProduceRequest => produce::handle, produce;
    FetchRequest => fetch::handle, fetch;
    ListOffsetsRequest => offsets::list_offsets;
    DeleteRecordsRequest => offsets::delete_records;
    OffsetForLeaderEpochRequest => offsets::offset_for_leader_epoch;
    DescribeLogDirsRequest => log_dirs::describe;
    DescribeProducersRequest => offsets::describe_producers;
    WriteTxnMarkersRequest => markers::handle;
    TxnOffsetCommitRequest => groups::txn_offset_commit;
    OffsetCommitRequest => groups::offset_commit;
    OffsetFetchRequest => groups::offset_fetch;
    FindCoordinatorRequest => groups::find_coordinator;
    JoinGroupRequest => groups::join_group;
    HeartbeatRequest => groups::heartbeat;
    LeaveGroupRequest => groups::leave_group;
    SyncGroupRequest => groups::sync_group;
    DescribeGroupsRequest => groups::describe_groups;
    ListGroupsRequest => groups::list_groups;
    ConsumerGroupHeartbeatRequest => groups::consumer_group_heartbeat;
    ConsumerGroupDescribeRequest => groups::consumer_group_describe;
    InitProducerIdRequest => producer_ids::init_producer_id;
    DeleteGroupsRequest => groups::delete_groups;
    OffsetDeleteRequest => groups::offset_delete;
    AddPartitionsToTxnRequest => transactions::add_partitions;
    AddOffsetsToTxnRequest => transactions::add_offsets;
    EndTxnRequest => transactions::end_txn;
    DescribeTransactionsRequest => transactions::describe_transactions;
    ListTransactionsRequest => transactions::list_transactions;
    DescribeAclsRequest => access::describe_acls;
    CreateAclsRequest => access::create_acls;
    DeleteAclsRequest => access::delete_acls;
    AlterClientQuotasRequest => access::alter_client_quotas;
    CreateDelegationTokenRequest => access::create_delegation_token;
    RenewDelegationTokenRequest => access::renew_delegation_token;
    ExpireDelegationTokenRequest => access::expire_delegation_token;
    DescribeDelegationTokenRequest => access::describe_delegation_token;
    AlterUserScramCredentialsRequest => access::alter_user_scram_credentials;
    DescribeClientQuotasRequest => access::describe_client_quotas;
    DescribeUserScramCredentialsRequest => access::describe_user_scram_credentials;
    MetadataRequest => metadata::handle;
    CreateTopicsRequest => topics::create;
    DeleteTopicsRequest => topics::delete;
    DescribeConfigsRequest => configs::describe;
    AlterConfigsRequest => configs::alter;
    AlterReplicaLogDirsRequest => reassignments::alter_log_dirs;
    CreatePartitionsRequest => topics::create_partitions;
    ElectLeadersRequest => reassignments::elect_leaders;
    IncrementalAlterConfigsRequest => configs::incremental_alter;
    AlterPartitionReassignmentsRequest => reassignments::alter;
    ListPartitionReassignmentsRequest => reassignments::list;
    DescribeQuorumRequest => quorum::describe;
    AddRaftVoterRequest => quorum::add_voter;
    RemoveRaftVoterRequest => quorum::remove_voter;
    UpdateFeaturesRequest => cluster::update_features;
    DescribeClusterRequest => cluster::describe;
    UnregisterBrokerRequest => cluster::unregister_broker;
    ListConfigResourcesRequest => configs::list;
    DescribeTopicPartitionsRequest => topic_partitions::handle;
}

/// Everything that is served, as ApiVersions tells it.
pub fn table() -> impl Iterator<Item = Api> {
    let special = [
        row::<ApiVersionsRequest>(),
        row::<SaslHandshakeRequest>(),
        row::<SaslAuthenticateRequest>(),
    ];
    let mut rows: Vec<Api> = ROWS.iter().copied().chain(special).collect();
    rows.sort_by_key(|row| row.key);
    rows.into_iter()
}

const fn row<R: Request>() -> Api {
    let versions = R::KEY.versions();
    Api {
        key: R::KEY,
        version_min: *versions.start(),
        version_max: *versions.end(),
    }
}

/// An answer, of which the time is counted that it took from now.
fn timed(
    context: Arc<Context>,
    api: ApiKey,
    answer: impl Future<Output = Result<Option<Answered>, Error>> + Send + 'static,
) -> Answer {
    let began = context.env.now();
    // not by an async block around it, which would keep room for the inner future twice and copy it
    Box::pin(answer.inspect(move |_| {
        let took = context.env.now().saturating_sub(began);
        context.metrics.answered(api, took);
    }))
}

fn decode<R: Request>(header: &RequestHeader, mut reader: Reader) -> Result<R, Error> {
    let (api, version) = (header.api_key, header.api_version);
    // bytes after the body are no error, as in Apache Kafka: librdkafka leaves some behind the null
    // array of a Metadata request for all topics
    R::decode(&mut reader, version).map_err(|error| Error::Body {
        api,
        version,
        error,
    })
}

fn encode<R: Request>(
    header: &RequestHeader,
    response: &R::Response,
) -> Result<Option<Answered>, Error> {
    let (api, version) = (header.api_key, header.api_version);
    let segments = frame::response(header, version, response);
    let answered = segments.map(Answered::from).map(Some);
    answered.map_err(|error| Error::Encode {
        api,
        version,
        error,
    })
}

/// A producer that asked for no answer learns of a failure by the end of its connection.
fn produce_silently(response: &ProduceResponse) -> Result<Option<Answered>, Error> {
    let topics = response.responses.iter();
    let mut partitions = topics.flat_map(|topic| &topic.partition_responses);
    // what waits for the disk is appended, and nobody waits for it
    let is_appended = |code: i16| {
        let error = ErrorCode::from(code);
        matches!(error, ErrorCode::None | ErrorCode::RequestTimedOut)
    };
    match partitions.all(|partition| is_appended(partition.error_code)) {
        true => Ok(None),
        false => Err(Error::Unacknowledged),
    }
}
