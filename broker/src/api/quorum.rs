//! DescribeQuorum: the metadata quorum, under the name that Kafka's tools know it by.

use ottla_core::acl::Operation;
use ottla_core::image::MetadataImage;
use ottla_core::metadata::names::CLUSTER_METADATA_TOPIC;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::Uuid;
use ottla_protocol::messages::cluster::{
    DescribeQuorumRequest, DescribeQuorumResponse, DescribedQuorumPartition, DescribedQuorumTopic,
    Listener, Node, ReplicaState,
};

use super::{Context, RequestContext};
use crate::authorizer::sentence;
use crate::controller::{Quorum, QuorumNode};

/// The first version that tells the nodes' directories and listeners.
const WITH_NODES: i16 = 2;

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

fn partition(image: &MetadataImage, quorum: &Quorum, with_nodes: bool) -> DescribedQuorumPartition {
    let replica = |node: &QuorumNode| ReplicaState {
        replica_id: node.node_id.0,
        replica_directory_id: match image.broker(node.node_id) {
            Some(broker) if with_nodes => broker.storage_id,
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
    let registered = voters.filter_map(|v| image.broker(v.node_id));
    registered
        .map(|broker| Node {
            node_id: broker.node_id.0,
            listeners: vec![Listener {
                name: broker.peer.name.clone(),
                host: broker.peer.host.clone(),
                port: broker.peer.port,
            }],
        })
        .collect()
}
