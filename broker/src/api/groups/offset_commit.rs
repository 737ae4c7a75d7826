//! OffsetCommit.

use std::collections::BTreeMap;
use std::future::Future;

use ottla_core::acl::Operation;
use ottla_core::image::MetadataImage;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::TopicId;
use ottla_protocol::messages::groups::{
    OffsetCommitRequest, OffsetCommitRequestTopic, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};

use super::super::{Context, RequestContext};
use super::ask;
use crate::authorizer::Access;

/// The first version that names topics by id.
const TOPIC_ID_VERSION: i16 = 10;

/// Answers an OffsetCommit.
pub async fn offset_commit(
    context: &Context,
    request: &RequestContext,
    body: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let permission = context
        .access(request)
        .group(Operation::Read, &body.group_id);
    let uses_ids = request.api_version >= TOPIC_ID_VERSION;
    let group_id = body.group_id.clone();
    let commit = |body| ask(context, request, &group_id, body);
    commit_known(context, request, (permission, uses_ids), body, commit).await
}

/// Commits the offsets of the topics that are known, and that the client may read.
pub(super) async fn commit_known<C>(
    context: &Context,
    request: &RequestContext,
    (permission, uses_ids): (Result<(), ErrorCode>, bool),
    mut body: OffsetCommitRequest,
    commit: impl FnOnce(OffsetCommitRequest) -> C,
) -> OffsetCommitResponse
where
    C: Future<Output = Result<OffsetCommitResponse, ErrorCode>>,
{
    let image = context.controller.image();
    let access = context.access(request);
    let mut known = Vec::with_capacity(body.topics.len());
    // topics answer in the order of the request: this is where each one's answer comes from
    let mut places = Vec::with_capacity(body.topics.len());
    for mut topic in std::mem::take(&mut body.topics) {
        let identified = permission.and_then(|()| identify(&image, &access, uses_ids, &mut topic));
        match identified {
            Ok(()) => {
                places.push(Place::Known(known.len()));
                known.push(topic);
            }
            Err(error) => places.push(Place::Refused(refused(&topic, error))),
        }
    }
    let mut answers = BTreeMap::new();
    if !known.is_empty() {
        let asked = known.clone();
        body.topics = known;
        let topics = match commit(body).await {
            Ok(response) => response.topics,
            Err(error) => asked.iter().map(|topic| refused(topic, error)).collect(),
        };
        answers.extend(topics.into_iter().enumerate());
    }
    let topics = places.into_iter().filter_map(|place| match place {
        Place::Known(place) => answers.remove(&place),
        Place::Refused(topic) => Some(topic),
    });
    OffsetCommitResponse {
        topics: topics.collect(),
        ..OffsetCommitResponse::default()
    }
}

enum Place {
    Known(usize),
    Refused(OffsetCommitResponseTopic),
}

/// Gives a topic both its id and its name, where the client may read it.
fn identify(
    image: &MetadataImage,
    access: &Access,
    uses_ids: bool,
    topic: &mut OffsetCommitRequestTopic,
) -> Result<(), ErrorCode> {
    if uses_ids {
        let known = image
            .topic_by_id(TopicId(topic.topic_id))
            .ok_or(ErrorCode::UnknownTopicId)?;
        topic.name = known.name.to_string();
        access.topic(Operation::Read, &topic.name)?;
    } else {
        access.topic(Operation::Read, &topic.name)?;
        let known = image
            .topic(&topic.name)
            .ok_or(ErrorCode::UnknownTopicOrPartition)?;
        topic.topic_id = known.id.0;
    }
    Ok(())
}

fn refused(topic: &OffsetCommitRequestTopic, error: ErrorCode) -> OffsetCommitResponseTopic {
    let partitions = topic
        .partitions
        .iter()
        .map(|partition| OffsetCommitResponsePartition {
            partition_index: partition.partition_index,
            error_code: error.code(),
        });
    OffsetCommitResponseTopic {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: partitions.collect(),
    }
}
