//! DescribeQuorum, AddRaftVoter, RemoveRaftVoter: the metadata quorum, under the name that Kafka's
//! tools know it by.

use std::time::Duration;

use ottla_core::acl::Operation;
use ottla_core::image::MetadataImage;
use ottla_core::metadata::names::CLUSTER_METADATA_TOPIC;
use ottla_core::voters::Change;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{NodeId, Uuid};
use ottla_protocol::messages::cluster::{
    AddRaftVoterRequest, AddRaftVoterResponse, DescribeQuorumRequest, DescribeQuorumResponse,
    DescribedQuorumPartition, DescribedQuorumTopic, Listener, Node, RemoveRaftVoterRequest,
    RemoveRaftVoterResponse, ReplicaState,
};

use super::{Context, RequestContext};
use crate::authorizer::sentence;
use crate::controller::{Quorum, QuorumNode, Refused};

/// The first version that tells the nodes' directories and listeners.
const WITH_NODES: i16 = 2;

/// How long a vote may take to be taken: the request names no time.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(10);

/// DescribeQuorum.
pub async fn describe(
    context: &Context,
    request: &RequestContext,
    body: DescribeQuorumRequest,
) -> DescribeQuorumResponse {
    if let Err(error) = context.access(request).cluster(Operation::Describe) {
        return DescribeQuorumResponse {
            error_code: error.code(),
            error_message: Some(sentence(error)),
            ..DescribeQuorumResponse::default()
        };
    }
    let quorum = match context.controller.quorum().await {
        Ok(quorum) => quorum,
        Err(error) => {
            return DescribeQuorumResponse {
                error_code: ErrorCode::NotController.code(),
                error_message: Some(error.to_string()),
                ..DescribeQuorumResponse::default()
            };
        }
    };
    let image = context.controller.image();
    let with_nodes = request.api_version >= WITH_NODES;
    let topics = body.topics.into_iter().map(|asked| {
        let indexes = asked.partitions.iter().map(|p| p.partition_index);
        let partitions = indexes.map(|index| {
            if asked.topic_name == CLUSTER_METADATA_TOPIC && index == 0 {
                partition(&image, &quorum, with_nodes)
            } else {
                DescribedQuorumPartition {
                    partition_index: index,
                    error_code: ErrorCode::UnknownTopicOrPartition.code(),
                    leader_id: -1,
                    ..DescribedQuorumPartition::default()
                }
            }
        });
        DescribedQuorumTopic {
            partitions: partitions.collect(),
            topic_name: asked.topic_name,
        }
    });
    DescribeQuorumResponse {
        topics: topics.collect(),
        nodes: match with_nodes {
            true => nodes(&image, &quorum),
            false => Vec::new(),
        },
        ..DescribeQuorumResponse::default()
    }
}

/// AddRaftVoter: a node that follows becomes a voter. It is reached where it is already, so the
/// listeners are not looked at.
pub async fn add_voter(
    context: &Context,
    request: &RequestContext,
    body: AddRaftVoterRequest,
) -> AddRaftVoterResponse {
    let patience = Duration::from_millis(u64::try_from(body.timeout_ms).unwrap_or(0));
    let directory = (body.voter_id, body.voter_directory_id);
    let change = Change::Add(u64::try_from(body.voter_id).unwrap_or(u64::MAX));
    let asked = (body.cluster_id, directory, change);
    let (error_code, error_message) = change_voter(context, request, asked, patience).await;
    AddRaftVoterResponse {
        error_code,
        error_message,
        ..AddRaftVoterResponse::default()
    }
}

/// RemoveRaftVoter: a voter follows on without a vote.
pub async fn remove_voter(
    context: &Context,
    request: &RequestContext,
    body: RemoveRaftVoterRequest,
) -> RemoveRaftVoterResponse {
    let directory = (body.voter_id, body.voter_directory_id);
    let change = Change::Remove(u64::try_from(body.voter_id).unwrap_or(u64::MAX));
    let asked = (body.cluster_id, directory, change);
    let (error_code, error_message) = change_voter(context, request, asked, REMOVE_TIMEOUT).await;
    RemoveRaftVoterResponse {
        error_code,
        error_message,
        ..RemoveRaftVoterResponse::default()
    }
}

async fn change_voter(
    context: &Context,
    request: &RequestContext,
    (cluster_id, (voter, directory), change): (Option<String>, (i32, Uuid), Change),
    patience: Duration,
) -> (i16, Option<String>) {
    if let Err(error) = context.access(request).cluster(Operation::Alter) {
        return (error.code(), Some(sentence(error)));
    }
    let image = context.controller.image();
    if cluster_id.is_some_and(|id| *id != *image.cluster_id) {
        let message = format!("this is cluster {}", image.cluster_id);
        return (ErrorCode::InconsistentClusterId.code(), Some(message));
    }
    let registered = image.node(NodeId(voter)).map(|(directory, _)| directory);
    if directory != Uuid::ZERO && registered.is_some_and(|registered| registered != directory) {
        let message = format!("node {voter} has another directory");
        let code = match change {
            Change::Add(_) => ErrorCode::InvalidVoterKey,
            Change::Remove(_) => ErrorCode::VoterNotFound,
        };
        return (code.code(), Some(message));
    }
    match context.controller.change_voter(change, patience).await {
        Ok(()) => (ErrorCode::None.code(), None),
        Err(Refused(code, message)) => (code.code(), Some(message)),
    }
}

fn partition(image: &MetadataImage, quorum: &Quorum, with_nodes: bool) -> DescribedQuorumPartition {
    let replica = |node: &QuorumNode| ReplicaState {
        replica_id: node.node_id.0,
        replica_directory_id: match image.node(node.node_id) {
            Some((directory, _)) if with_nodes => directory,
            _ => Uuid::ZERO,
        },
        log_end_offset: node.log_end_offset,
        last_fetch_timestamp: node.last_fetch_ms,
        last_caught_up_timestamp: node.last_caught_up_ms,
    };
    DescribedQuorumPartition {
        partition_index: 0,
        leader_id: quorum.leader.map_or(-1, |n| n.0),
        leader_epoch: quorum.leader_epoch,
        high_watermark: quorum.high_watermark,
        current_voters: quorum.voters.iter().map(replica).collect(),
        observers: quorum.observers.iter().map(replica).collect(),
        ..DescribedQuorumPartition::default()
    }
}

fn nodes(image: &MetadataImage, quorum: &Quorum) -> Vec<Node> {
    let voters = quorum.voters.iter();
    let registered = voters.filter_map(|v| Some((v.node_id, image.node(v.node_id)?.1)));
    registered
        .map(|(node, peer)| Node {
            node_id: node.0,
            listeners: vec![Listener {
                name: peer.name.clone(),
                host: peer.host.clone(),
                port: peer.port,
            }],
        })
        .collect()
}
