//! OffsetFetch: one group up to version 7, any number from version 8 on.

use ottla_core::acl::Operation;
use ottla_core::group::request::OffsetFetch;
use ottla_core::image::MetadataImage;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::TopicId;
use ottla_protocol::messages::groups::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};

use super::super::{Context, RequestContext};
use super::ask;
use crate::authorizer::Access;

/// The first version that has an error for the whole group.
const GROUP_ERROR_VERSION: i16 = 2;
/// The first version that names several groups.
const GROUPS_VERSION: i16 = 8;
/// The first version that names topics by id.
const TOPIC_ID_VERSION: i16 = 10;

/// Answers an OffsetFetch.
pub async fn offset_fetch(
    context: &Context,
    request: &RequestContext,
    body: OffsetFetchRequest,
) -> OffsetFetchResponse {
    if request.api_version >= GROUPS_VERSION {
        let groups = fetch_all(context, request, body.groups, body.require_stable).await;
        return OffsetFetchResponse {
            groups,
            ..OffsetFetchResponse::default()
        };
    }
    let topics = body.topics.map(|topics| {
        let topics = topics.into_iter().map(|topic| OffsetFetchRequestTopics {
            name: topic.name,
            partition_indexes: topic.partition_indexes,
            ..OffsetFetchRequestTopics::default()
        });
        topics.collect()
    });
    let group = OffsetFetchRequestGroup {
        group_id: body.group_id,
        topics,
        ..OffsetFetchRequestGroup::default()
    };
    let mut groups = fetch_all(context, request, vec![group], body.require_stable).await;
    groups
        .pop()
        .map_or_else(OffsetFetchResponse::default, |group| {
            single(group, request.api_version)
        })
}

/// Asks for all groups at once, then waits for each.
async fn fetch_all(
    context: &Context,
    request: &RequestContext,
    groups: Vec<OffsetFetchRequestGroup>,
    require_stable: bool,
) -> Vec<OffsetFetchResponseGroup> {
    let image = context.controller.image();
    let access = context.access(request);
    let mut asked = Vec::with_capacity(groups.len());
    for mut group in groups {
        let permission = access.group(Operation::Describe, &group.group_id);
        let mut unknown = identify(&image, request.api_version, &mut group);
        if permission.is_ok() {
            unknown.extend(take_hidden(&access, &mut group));
        }
        let group_id = group.group_id.clone();
        let topics = group.topics.clone();
        let body = OffsetFetch {
            group,
            require_stable,
        };
        let answer = permission.map(|()| ask(context, request, &group_id, body));
        asked.push((group_id, topics, unknown, answer));
    }
    let mut answers = Vec::with_capacity(asked.len());
    for (group_id, topics, unknown, answer) in asked {
        let answer = match answer {
            Ok(answer) => answer.await,
            Err(error) => Err(error),
        };
        let mut group = match answer {
            Ok(group) => group,
            Err(error) => refused(group_id, topics, error, request.api_version),
        };
        if request.api_version >= TOPIC_ID_VERSION {
            finish_ids(&image, &mut group);
        }
        // where all were asked for, those that the client may not know of are not among them
        group
            .topics
            .retain(|topic| access.may_with_topic(Operation::Describe, &topic.name));
        // of a group that is refused as a whole nothing else is said
        if group.error_code == ErrorCode::None.code() {
            group.topics.extend(unknown);
        }
        answers.push(group);
    }
    answers
}

/// Gives each topic both its id and its name; takes out those whose id nobody knows.
fn identify(
    image: &MetadataImage,
    version: i16,
    group: &mut OffsetFetchRequestGroup,
) -> Vec<OffsetFetchResponseTopics> {
    let mut unknown = Vec::new();
    let Some(topics) = &mut group.topics else {
        return unknown;
    };
    if version < TOPIC_ID_VERSION {
        for topic in topics {
            topic.topic_id = image
                .topic(&topic.name)
                .map(|known| known.id.0)
                .unwrap_or_default();
        }
        return unknown;
    }
    topics.retain_mut(|topic| {
        let Some(known) = image.topic_by_id(TopicId(topic.topic_id)) else {
            unknown.push(refused_topic(topic, ErrorCode::UnknownTopicId));
            return false;
        };
        topic.name = known.name.to_string();
        true
    });
    unknown
}

/// Takes out the topics that the client may not know of.
fn take_hidden(
    access: &Access,
    group: &mut OffsetFetchRequestGroup,
) -> Vec<OffsetFetchResponseTopics> {
    let mut hidden = Vec::new();
    if let Some(topics) = &mut group.topics {
        topics.retain(|topic| {
            let permission = access.topic(Operation::Describe, &topic.name);
            hidden.extend(permission.err().map(|error| refused_topic(topic, error)));
            permission.is_ok()
        });
    }
    hidden
}

/// Where all offsets were asked for, topics are known by name; those that are gone have no id.
fn finish_ids(image: &MetadataImage, group: &mut OffsetFetchResponseGroup) {
    group.topics.retain_mut(|topic| {
        let known = image.topic(&topic.name);
        if topic.topic_id.is_zero()
            && let Some(known) = known
        {
            topic.topic_id = known.id.0;
        }
        !topic.topic_id.is_zero()
    });
}

/// A refusal. Version 1 has no place for it but the partitions.
fn refused(
    group_id: String,
    topics: Option<Vec<OffsetFetchRequestTopics>>,
    error: ErrorCode,
    version: i16,
) -> OffsetFetchResponseGroup {
    let topics = topics
        .filter(|_| version < GROUP_ERROR_VERSION)
        .unwrap_or_default();
    OffsetFetchResponseGroup {
        group_id,
        topics: topics
            .iter()
            .map(|topic| refused_topic(topic, error))
            .collect(),
        error_code: error.code(),
    }
}

fn refused_topic(topic: &OffsetFetchRequestTopics, error: ErrorCode) -> OffsetFetchResponseTopics {
    let partitions = topic
        .partition_indexes
        .iter()
        .map(|index| OffsetFetchResponsePartitions {
            partition_index: *index,
            committed_offset: -1,
            committed_leader_epoch: -1,
            metadata: Some(String::new()),
            error_code: error.code(),
        });
    OffsetFetchResponseTopics {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: partitions.collect(),
    }
}

/// The answer in the shape it had before there could be several groups.
fn single(group: OffsetFetchResponseGroup, version: i16) -> OffsetFetchResponse {
    let topics = group
        .topics
        .into_iter()
        .map(|topic| OffsetFetchResponseTopic {
            name: topic.name,
            partitions: topic
                .partitions
                .into_iter()
                .map(|at| OffsetFetchResponsePartition {
                    partition_index: at.partition_index,
                    committed_offset: at.committed_offset,
                    committed_leader_epoch: at.committed_leader_epoch,
                    metadata: at.metadata,
                    error_code: at.error_code,
                })
                .collect(),
        });
    OffsetFetchResponse {
        topics: topics.collect(),
        error_code: if version >= GROUP_ERROR_VERSION {
            group.error_code
        } else {
            0
        },
        ..OffsetFetchResponse::default()
    }
}
