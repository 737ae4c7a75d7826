//! ElectLeaders, AlterPartitionReassignments, ListPartitionReassignments, AlterReplicaLogDirs.

use ottla_core::acl::Operation;
use ottla_core::image::MetadataImage;
use ottla_core::metadata::reassignments::ongoing_reassignments;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::cluster::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ElectLeadersRequest,
    ElectLeadersResponse, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
    PartitionResult, ReassignablePartitionResponse, ReassignableTopicResponse,
    ReplicaElectionResult,
};
use ottla_protocol::messages::log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
};

use super::forward::{submit_with, until};
use super::{Context, RequestContext};
use crate::authorizer::sentence;

const PREFERRED: i8 = 0;

/// ElectLeaders; answers once this broker knows the new leaders.
pub async fn elect_leaders(
    context: &Context,
    request: &RequestContext,
    body: ElectLeadersRequest,
) -> ElectLeadersResponse {
    let asked = body.topic_partitions.clone().unwrap_or_default();
    let is_preferred = body.election_type == PREFERRED;
    let permission = context.access(request).cluster(Operation::Alter);
    let submitted = submit_with(context, permission, body).await;
    let mut response = match submitted {
        Ok(response) => {
            until(context, |image| {
                let mut all = response.replica_election_results.iter();
                all.all(|topic| has_leaders(image, topic, is_preferred))
            })
            .await;
            response
        }
        Err((code, message)) => {
            let failed = |partition_id| PartitionResult {
                partition_id,
                error_code: code.code(),
                error_message: Some(message.clone()),
            };
            ElectLeadersResponse {
                error_code: code.code(),
                replica_election_results: asked
                    .into_iter()
                    .map(|t| ReplicaElectionResult {
                        topic: t.topic,
                        partition_result: t.partitions.into_iter().map(failed).collect(),
                    })
                    .collect(),
                ..ElectLeadersResponse::default()
            }
        }
    };
    if request.api_version == 0 {
        // version 0 has errors by partition only
        response.error_code = 0;
    }
    response
}

fn has_leaders(image: &MetadataImage, asked: &ReplicaElectionResult, is_preferred: bool) -> bool {
    let Some(topic) = image.topic(&asked.topic) else {
        return true;
    };
    let mut elected = asked.partition_result.iter().filter(|p| p.error_code == 0);
    elected.all(|p| {
        let partition = topic.partition(p.partition_id.into());
        partition.is_none_or(|p| match is_preferred {
            true => p.leader == p.preferred_leader(),
            false => p.leader.is_some(),
        })
    })
}

/// AlterPartitionReassignments.
pub async fn alter(
    context: &Context,
    request: &RequestContext,
    body: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    let asked = body.topics.clone();
    let permission = context.access(request).cluster(Operation::Alter);
    match submit_with(context, permission, body).await {
        Ok(response) => response,
        Err((code, message)) => AlterPartitionReassignmentsResponse {
            error_code: code.code(),
            error_message: Some(message.clone()),
            responses: asked
                .into_iter()
                .map(|topic| ReassignableTopicResponse {
                    name: topic.name,
                    partitions: topic
                        .partitions
                        .into_iter()
                        .map(|p| ReassignablePartitionResponse {
                            partition_index: p.partition_index,
                            error_code: code.code(),
                            error_message: Some(message.clone()),
                        })
                        .collect(),
                })
                .collect(),
            ..AlterPartitionReassignmentsResponse::default()
        },
    }
}

/// ListPartitionReassignments.
pub async fn list(
    context: &Context,
    request: &RequestContext,
    body: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    if let Err(error) = context.access(request).cluster(Operation::Describe) {
        return ListPartitionReassignmentsResponse {
            error_code: error.code(),
            error_message: Some(sentence(error)),
            ..ListPartitionReassignmentsResponse::default()
        };
    }
    ListPartitionReassignmentsResponse {
        topics: ongoing_reassignments(&context.controller.image(), &body),
        ..ListPartitionReassignmentsResponse::default()
    }
}

/// AlterReplicaLogDirs: there is one directory, and every replica is in it already.
pub async fn alter_log_dirs(
    context: &Context,
    request: &RequestContext,
    body: AlterReplicaLogDirsRequest,
) -> AlterReplicaLogDirsResponse {
    let permission = context.access(request).cluster(Operation::Alter);
    let image = context.controller.image();
    let here = context.controller.node_id();
    let mut results: Vec<AlterReplicaLogDirTopicResult> = Vec::new();
    for dir in body.dirs {
        let path = std::path::Path::new(&dir.path);
        let is_ours = context.settings.log_dirs.iter().any(|ours| {
            ours == path || std::path::absolute(ours).is_ok_and(|absolute| absolute == path)
        });
        for topic in dir.topics {
            let known = image.topic(&topic.name);
            let outcome = |index: i32| {
                let partition = known.and_then(|t| t.partition(index.into()));
                match partition {
                    _ if permission.is_err() => ErrorCode::ClusterAuthorizationFailed,
                    _ if !is_ours => ErrorCode::LogDirNotFound,
                    Some(p) if p.replicas.contains(&here) => ErrorCode::None,
                    _ => ErrorCode::ReplicaNotAvailable,
                }
            };
            let partitions = topic.partitions.iter();
            results.push(AlterReplicaLogDirTopicResult {
                partitions: partitions
                    .map(|index| AlterReplicaLogDirPartitionResult {
                        partition_index: *index,
                        error_code: outcome(*index).code(),
                    })
                    .collect(),
                topic_name: topic.name,
            });
        }
    }
    AlterReplicaLogDirsResponse {
        results,
        ..AlterReplicaLogDirsResponse::default()
    }
}
