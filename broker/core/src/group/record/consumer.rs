//! The records of groups with the consumer protocol (KIP-848), a key type each.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ottla_protocol::codec::{Error as CodecError, Message};
use ottla_protocol::ids::TopicId;
use ottla_protocol::messages::consumer_group_records as wire;

use super::Error;
use crate::group::consumer::state::{
    ClassicMember, Current, Entry, Given, GroupEpoch, Member, MemberState, Partitions, Protocol,
    Resolved,
};
use crate::group::{Client, GroupId, Record};
use crate::shard::versioned::{decode_key, decode_value, encode_key, encode_value};

const GROUP_KEY: i16 = 3;
const MEMBER_KEY: i16 = 5;
const TARGET_EPOCH_KEY: i16 = 6;
const TARGET_KEY: i16 = 7;
const CURRENT_KEY: i16 = 8;
const REGEX_KEY: i16 = 16;

/// All values have had one version.
const VALUE_VERSION: i16 = 0;

/// The key and the value.
pub(super) fn encode(group: &GroupId, entry: &Entry) -> Result<(Bytes, Option<Bytes>), CodecError> {
    let of_group = |key| {
        encode_key(
            key,
            &wire::ConsumerGroupMetadataKey {
                group_id: group.to_string(),
            },
        )
    };
    let of_member = |key, member: &str| {
        let fields = wire::ConsumerGroupMemberMetadataKey {
            group_id: group.to_string(),
            member_id: member.to_owned(),
        };
        encode_key(key, &fields)
    };
    Ok(match entry {
        Entry::Group(value) => (of_group(GROUP_KEY)?, written(value.as_ref(), group_value)?),
        Entry::TargetEpoch(value) => {
            let value = written(value.as_ref(), |epoch| {
                wire::ConsumerGroupTargetAssignmentMetadataValue {
                    assignment_epoch: *epoch,
                    assignment_timestamp: 0,
                }
            })?;
            (of_group(TARGET_EPOCH_KEY)?, value)
        }
        Entry::Member(id, value) => {
            let value = written(value.as_deref(), member_value)?;
            (of_member(MEMBER_KEY, id)?, value)
        }
        Entry::Target(id, value) => {
            let value = written(value.as_deref(), target_value)?;
            (of_member(TARGET_KEY, id)?, value)
        }
        Entry::Current(id, value) => {
            let value = written(value.as_deref(), current_value)?;
            (of_member(CURRENT_KEY, id)?, value)
        }
        Entry::Regex(regex, value) => {
            let key = wire::ConsumerGroupRegularExpressionKey {
                group_id: group.to_string(),
                regular_expression: regex.clone(),
            };
            let value = written(value.as_deref(), |resolved| {
                wire::ConsumerGroupRegularExpressionValue {
                    topics: resolved.topics.iter().map(ToString::to_string).collect(),
                    version: 0,
                    timestamp: resolved.timestamp_ms,
                }
            })?;
            (encode_key(REGEX_KEY, &key)?, value)
        }
    })
}

fn written<T: ?Sized, M: Message>(
    value: Option<&T>,
    as_message: impl Fn(&T) -> M,
) -> Result<Option<Bytes>, CodecError> {
    let value = value.map(|value| encode_value(VALUE_VERSION, &as_message(value)));
    value.transpose()
}

fn group_value(epoch: &GroupEpoch) -> wire::ConsumerGroupMetadataValue {
    wire::ConsumerGroupMetadataValue {
        epoch: epoch.epoch,
        metadata_hash: epoch.topics_hash,
    }
}

fn member_value(member: &Member) -> wire::ConsumerGroupMemberMetadataValue {
    let topics = member.topics.iter().map(ToString::to_string);
    wire::ConsumerGroupMemberMetadataValue {
        instance_id: member.instance_id.clone(),
        rack_id: member.rack_id.clone(),
        client_id: member.client.id.clone(),
        client_host: member.client.host.clone(),
        subscribed_topic_names: topics.collect(),
        subscribed_topic_regex: member.regex.clone(),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        server_assignor: member.server_assignor.clone(),
        classic_member_metadata: member.classic.as_ref().map(classic_value),
    }
}

fn classic_value(classic: &ClassicMember) -> wire::ClassicMemberMetadata {
    let protocols = classic.protocols.iter();
    wire::ClassicMemberMetadata {
        session_timeout_ms: classic.session_timeout_ms,
        supported_protocols: protocols
            .map(|protocol| wire::ClassicProtocol {
                name: protocol.name.clone(),
                metadata: protocol.metadata.clone(),
            })
            .collect(),
    }
}

fn target_value(target: &Partitions) -> wire::ConsumerGroupTargetAssignmentMemberValue {
    let topics = target
        .iter()
        .map(|(topic, partitions)| wire::TargetTopicPartition {
            topic_id: topic.0,
            partitions: partitions.iter().copied().collect(),
        });
    wire::ConsumerGroupTargetAssignmentMemberValue {
        topic_partitions: topics.collect(),
    }
}

fn current_value(current: &Current) -> wire::ConsumerGroupCurrentMemberAssignmentValue {
    let state = match current.state {
        MemberState::Stable => 0,
        MemberState::UnrevokedPartitions => 1,
        MemberState::UnreleasedPartitions => 2,
        MemberState::Unknown => 127,
    };
    wire::ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch: current.member_epoch,
        previous_member_epoch: current.previous_epoch,
        state,
        assigned_partitions: given_value(&current.assigned),
        partitions_pending_revocation: given_value(&current.revoking),
    }
}

fn given_value(given: &Given) -> Vec<wire::CurrentTopicPartitions> {
    let topics = given
        .iter()
        .map(|(topic, partitions)| wire::CurrentTopicPartitions {
            topic_id: topic.0,
            partitions: partitions.keys().copied().collect(),
            assignment_epochs: Some(partitions.values().copied().collect()),
        });
    topics.collect()
}

/// Reads a record, where it is one of these.
pub(super) fn decode(
    key_version: i16,
    key: &[u8],
    value: Option<&[u8]>,
) -> Result<Option<Record>, Error> {
    let of_group = || -> Result<GroupId, Error> {
        let key: wire::ConsumerGroupMetadataKey = decode_key(key)?;
        Ok(key.group_id.into())
    };
    let of_member = || -> Result<(GroupId, Arc<str>), Error> {
        let key: wire::ConsumerGroupMemberMetadataKey = decode_key(key)?;
        Ok((key.group_id.into(), key.member_id.into()))
    };
    let (group, entry) = match key_version {
        GROUP_KEY => (of_group()?, Entry::Group(read(value, group_epoch)?)),
        TARGET_EPOCH_KEY => {
            let epoch =
                |value: wire::ConsumerGroupTargetAssignmentMetadataValue| value.assignment_epoch;
            (of_group()?, Entry::TargetEpoch(read(value, epoch)?))
        }
        MEMBER_KEY => {
            let (group, id) = of_member()?;
            (group, Entry::Member(id, read(value, member)?.map(Arc::new)))
        }
        TARGET_KEY => {
            let (group, id) = of_member()?;
            (group, Entry::Target(id, read(value, target)?.map(Arc::new)))
        }
        CURRENT_KEY => {
            let (group, id) = of_member()?;
            (
                group,
                Entry::Current(id, read(value, current)?.map(Arc::new)),
            )
        }
        REGEX_KEY => {
            let key: wire::ConsumerGroupRegularExpressionKey = decode_key(key)?;
            let value = read(value, resolved)?.map(Arc::new);
            (
                key.group_id.into(),
                Entry::Regex(key.regular_expression, value),
            )
        }
        _ => return Ok(None),
    };
    Ok(Some(Record::Consumer { group, entry }))
}

fn read<M: Message, T>(value: Option<&[u8]>, from: impl Fn(M) -> T) -> Result<Option<T>, Error> {
    let value: Option<M> = value.map(decode_value).transpose()?;
    Ok(value.map(from))
}

fn group_epoch(value: wire::ConsumerGroupMetadataValue) -> GroupEpoch {
    GroupEpoch {
        epoch: value.epoch,
        topics_hash: value.metadata_hash,
    }
}

fn member(value: wire::ConsumerGroupMemberMetadataValue) -> Member {
    let topics = value.subscribed_topic_names;
    Member {
        instance_id: value.instance_id,
        rack_id: value.rack_id,
        client: Client {
            id: value.client_id,
            host: value.client_host,
        },
        topics: topics.into_iter().map(Into::into).collect(),
        regex: value.subscribed_topic_regex,
        rebalance_timeout_ms: value.rebalance_timeout_ms,
        server_assignor: value.server_assignor,
        classic: value.classic_member_metadata.map(classic_member),
    }
}

fn classic_member(value: wire::ClassicMemberMetadata) -> ClassicMember {
    let protocols = value.supported_protocols.into_iter();
    ClassicMember {
        session_timeout_ms: value.session_timeout_ms,
        protocols: protocols
            .map(|protocol| Protocol {
                name: protocol.name,
                metadata: protocol.metadata,
            })
            .collect(),
    }
}

fn target(value: wire::ConsumerGroupTargetAssignmentMemberValue) -> Partitions {
    let topics = value.topic_partitions.into_iter();
    let topics = topics.filter(|topic| !topic.partitions.is_empty());
    topics
        .map(|topic| {
            (
                TopicId(topic.topic_id),
                topic.partitions.into_iter().collect(),
            )
        })
        .collect()
}

fn current(value: wire::ConsumerGroupCurrentMemberAssignmentValue) -> Current {
    Current {
        member_epoch: value.member_epoch,
        previous_epoch: value.previous_member_epoch,
        state: match value.state {
            0 => MemberState::Stable,
            1 => MemberState::UnrevokedPartitions,
            2 => MemberState::UnreleasedPartitions,
            _ => MemberState::Unknown,
        },
        assigned: given(value.assigned_partitions, value.member_epoch),
        revoking: given(value.partitions_pending_revocation, value.member_epoch),
    }
}

/// Versions before KIP-1251 do not say when a partition was given: by then at the latest.
fn given(topics: Vec<wire::CurrentTopicPartitions>, member_epoch: i32) -> Given {
    let topics = topics
        .into_iter()
        .filter(|topic| !topic.partitions.is_empty());
    let topics = topics.map(|topic| {
        let epochs = topic.assignment_epochs.unwrap_or_default();
        let partitions = topic
            .partitions
            .into_iter()
            .enumerate()
            .map(|(place, partition)| {
                (
                    partition,
                    epochs.get(place).copied().unwrap_or(member_epoch),
                )
            });
        let partitions: BTreeMap<i32, i32> = partitions.collect();
        (TopicId(topic.topic_id), partitions)
    });
    topics.collect()
}

fn resolved(value: wire::ConsumerGroupRegularExpressionValue) -> Resolved {
    Resolved {
        topics: value.topics.into_iter().map(Into::into).collect(),
        timestamp_ms: value.timestamp,
    }
}
