//! DescribeTopicPartitions: topics page by page, eligible leader replicas included (KIP-966).

use ottla_core::acl::{Operation, ResourceType};
use ottla_core::image::{MetadataImage, PartitionRegistration, Topic};
use ottla_core::metadata::names;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{PartitionIndex, TopicId};
use ottla_protocol::messages::metadata::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic, NextCursor,
};

use super::metadata::{id_or_zero, numbers, offline};
use super::{Context, RequestContext};
use crate::authorizer::{Access, NOT_ASKED};

/// How many partitions a page has at most, whatever the client asks for.
const PAGE_PARTITIONS_MAX: usize = 2000;

/// DescribeTopicPartitions.
pub async fn handle(
    context: &Context,
    request: &RequestContext,
    body: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let mut response = page(&context.controller.image(), &context.access(request), body);
    // as Metadata does
    let here = context.controller.node_id().0;
    for topic in &mut response.topics {
        let id = TopicId(topic.topic_id);
        for p in topic.partitions.iter_mut().filter(|p| p.leader_id == here) {
            let index = PartitionIndex(p.partition_index);
            if context.replicas.is_stranded(id, index) {
                p.leader_id = -1;
                p.error_code = ErrorCode::LeaderNotAvailable.code();
            }
        }
    }
    response
}

/// One page: topics by name, each from the cursor on, until the page is full.
fn page(
    image: &MetadataImage,
    access: &Access,
    body: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let mut names: Vec<String> = if body.topics.is_empty() {
        let names = image.topics.keys();
        let seen = names.filter(|name| access.may_with_topic(Operation::Describe, name));
        seen.map(|name| name.to_string()).collect()
    } else {
        body.topics.into_iter().map(|t| t.name).collect()
    };
    names.sort_unstable();
    names.dedup();
    let from = body.cursor.unwrap_or_default();
    names.retain(|name| *name >= from.topic_name);
    let limit = usize::try_from(body.response_partition_limit).unwrap_or(0);
    let mut room = limit.clamp(1, PAGE_PARTITIONS_MAX);
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names {
        if room == 0 {
            response.next_cursor = Some(NextCursor {
                topic_name: name,
                partition_index: 0,
            });
            break;
        }
        let (topic, next) = describe(image, access, &name, &from, room);
        room -= topic.partitions.len().min(room);
        response.topics.push(topic);
        if let Some(partition_index) = next {
            response.next_cursor = Some(NextCursor {
                topic_name: name,
                partition_index,
            });
            break;
        }
    }
    response
}

/// The topic with as many partitions as there is room for, and the index of the next one.
fn describe(
    image: &MetadataImage,
    access: &Access,
    name: &str,
    from: &Cursor,
    room: usize,
) -> (DescribeTopicPartitionsResponseTopic, Option<i32>) {
    let permission = access.topic(Operation::Describe, name);
    let topic = image.topic(name).filter(|_| permission.is_ok());
    let error = match topic {
        _ if permission.is_err() => ErrorCode::TopicAuthorizationFailed,
        Some(_) => ErrorCode::None,
        None if names::invalid_topic_name(name).is_some() => ErrorCode::InvalidTopicException,
        None => ErrorCode::UnknownTopicOrPartition,
    };
    let first = match from.topic_name == name {
        true => usize::try_from(from.partition_index).unwrap_or(0),
        false => 0,
    };
    let all = topic.into_iter().flat_map(|t| t.indexed()).skip(first);
    let mut partitions: Vec<_> = all.take(room + 1).collect();
    let next = (partitions.len() > room)
        .then(|| partitions.pop())
        .flatten();
    let described = DescribeTopicPartitionsResponseTopic {
        error_code: error.code(),
        name: Some(name.to_owned()),
        topic_id: id_or_zero(topic.map(|t| -> &Topic { t })),
        is_internal: names::is_internal(name),
        partitions: partitions
            .into_iter()
            .map(|(index, p)| partition(image, index, p))
            .collect(),
        topic_authorized_operations: match topic {
            Some(_) => access.operations(ResourceType::Topic, name),
            None => NOT_ASKED,
        },
    };
    (described, next.map(|(index, _)| index.0))
}

fn partition(
    image: &MetadataImage,
    index: PartitionIndex,
    p: &PartitionRegistration,
) -> DescribeTopicPartitionsResponsePartition {
    let error = match p.leader {
        Some(_) => ErrorCode::None,
        None => ErrorCode::LeaderNotAvailable,
    };
    DescribeTopicPartitionsResponsePartition {
        error_code: error.code(),
        partition_index: index.0,
        leader_id: p.leader.map_or(-1, |n| n.0),
        leader_epoch: p.leader_epoch.0,
        replica_nodes: numbers(&p.replicas),
        isr_nodes: numbers(&p.isr),
        eligible_leader_replicas: Some(numbers(&p.elr)),
        last_known_elr: Some(numbers(&p.last_known_elr)),
        offline_replicas: offline(image, p),
    }
}

#[cfg(test)]
mod tests {
    use ottla_core::config::ConfigMap;
    use ottla_core::image::record::Record;
    use ottla_core::image::record::{PartitionRecord, TopicRecord};
    use ottla_core::metadata::Metadata;
    use ottla_protocol::ids::Uuid;
    use ottla_protocol::messages::metadata::TopicRequest;

    use super::*;

    fn image(topics: &[(&str, i32)]) -> MetadataImage {
        let mut metadata = Metadata::new(ConfigMap::new());
        for (at, (name, partitions)) in topics.iter().enumerate() {
            let topic_id = Uuid([at as u8 + 1; 16]);
            let name = (*name).to_owned();
            metadata.replay(&Record::Topic(TopicRecord { topic_id, name }));
            for partition in 0..*partitions {
                metadata.replay(&Record::Partition(PartitionRecord {
                    topic_id,
                    partition,
                    ..PartitionRecord::default()
                }));
            }
        }
        metadata.image().clone()
    }

    /// All pages, as `topic:count` a topic and `|` between pages.
    fn pages(image: &MetadataImage, names: &[&str], limit: i32) -> String {
        let mut cursor = None;
        let mut text = String::new();
        loop {
            let topic = |name: &&str| TopicRequest {
                name: (*name).to_owned(),
            };
            let response = page(
                image,
                &Access::unlimited(),
                DescribeTopicPartitionsRequest {
                    topics: names.iter().map(topic).collect(),
                    response_partition_limit: limit,
                    cursor,
                },
            );
            for topic in &response.topics {
                let first = topic.partitions.first().map_or(0, |p| p.partition_index);
                let name = topic.name.as_deref().unwrap_or("-");
                let code = ErrorCode::from(topic.error_code).name();
                text += &format!("{name}:{first}+{} {code} ", topic.partitions.len());
            }
            let Some(next) = response.next_cursor else {
                return text;
            };
            text += "| ";
            cursor = Some(Cursor {
                topic_name: next.topic_name,
                partition_index: next.partition_index,
            });
        }
    }

    #[test]
    fn pages_follow_each_other_without_gaps() {
        let image = image(&[("b", 3), ("a", 2), ("c", 4)]);
        assert_eq!(
            pages(&image, &[], 4),
            "a:0+2 NONE b:0+2 NONE | b:2+1 NONE c:0+3 NONE | c:3+1 NONE "
        );
        assert_eq!(
            pages(&image, &["c", "nowhere", "a"], 2000),
            "a:0+2 NONE c:0+4 NONE nowhere:0+0 UNKNOWN_TOPIC_OR_PARTITION "
        );
        // a full page ends a topic: the next one begins at its start
        assert_eq!(
            pages(&image, &["a", "b"], 2),
            "a:0+2 NONE | b:0+2 NONE | b:2+1 NONE "
        );
        assert_eq!(pages(&image, &["a"], -1), "a:0+1 NONE | a:1+1 NONE ");
    }
}
