//! Committed offsets: commit, fetch, delete, expire.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{TopicName, Uuid};
use ottla_protocol::messages::groups::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic, OffsetDeleteRequest,
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
    OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponseGroup,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};

use super::classic::State;
use super::record::CommittedOffset;
use super::{Group, GroupId, Now, Output, Record, Response, Settings, Shard, Token};

/// From this version on a commit to an absent group says so.
const COMMIT_GROUP_ID_NOT_FOUND_VERSION: i16 = 9;

/// What "no offset" is on the wire.
const NO_OFFSET: i64 = -1;

/// The offsets of one group. Transactions will add those that wait for their end.
#[derive(Clone, Debug, Default)]
pub(super) struct Offsets {
    /// Invariant: no topic without partitions.
    committed: BTreeMap<TopicName, BTreeMap<i32, CommittedOffset>>,
}

impl Offsets {
    pub(super) fn is_empty(&self) -> bool {
        self.committed.is_empty()
    }

    /// Makes it so; the one way offsets change.
    pub(super) fn replay(
        &mut self,
        topic: &TopicName,
        partition: i32,
        value: Option<CommittedOffset>,
    ) {
        if let Some(value) = value {
            self.committed
                .entry(topic.clone())
                .or_default()
                .insert(partition, value);
        } else if let Some(partitions) = self.committed.get_mut(topic) {
            partitions.remove(&partition);
            if partitions.is_empty() {
                self.committed.remove(topic);
            }
        }
    }

    fn get(&self, topic: &str, partition: i32) -> Option<&CommittedOffset> {
        self.committed.get(topic)?.get(&partition)
    }

    /// Writes a tombstone for each offset that `goes` picks.
    pub(super) fn remove(
        &mut self,
        id: &GroupId,
        mut goes: impl FnMut(&TopicName, i32, &CommittedOffset) -> bool,
        output: &mut Output,
    ) {
        self.committed.retain(|topic, partitions| {
            partitions.retain(|partition, offset| {
                let is_removed = goes(topic, *partition, offset);
                if is_removed {
                    output.records.push(Record::Offset {
                        group: id.clone(),
                        topic: topic.clone(),
                        partition: *partition,
                        value: None,
                    });
                }
                !is_removed
            });
            !partitions.is_empty()
        });
    }
}

impl Group {
    /// Writes and keeps one offset.
    fn commit(
        &mut self,
        id: &GroupId,
        topic: &TopicName,
        partition: i32,
        value: CommittedOffset,
        output: &mut Output,
    ) {
        self.offsets.replay(topic, partition, Some(value.clone()));
        output.records.push(Record::Offset {
            group: id.clone(),
            topic: topic.clone(),
            partition,
            value: Some(value),
        });
    }

    /// Ends what nobody has used for the retention time.
    fn expire(&mut self, id: &GroupId, now: Now, settings: &Settings, output: &mut Output) {
        let membership = &self.membership;
        let subscribed: BTreeSet<String> = match (membership.protocol_type(), membership.state()) {
            (None, _) | (Some(_), State::Empty) => BTreeSet::new(),
            (Some(_), State::Stable) => match membership.subscribed_topics() {
                Some(topics) => topics.into_iter().collect(),
                None => return,
            },
            (Some(_), State::PreparingRebalance | State::CompletingRebalance) => return,
        };
        // an empty group's offsets live on from when its last member left
        let empty_since_ms = match (membership.protocol_type(), membership.state()) {
            (Some(_), State::Empty) => membership.state_since_ms(),
            _ => None,
        };
        let has_expired = |topic: &TopicName, _: i32, offset: &CommittedOffset| {
            if subscribed.contains(&**topic) {
                return false;
            }
            if let Some(expire_ms) = offset.expire_timestamp_ms {
                return now.age_ms >= expire_ms;
            }
            let since_ms = empty_since_ms.unwrap_or(offset.commit_timestamp_ms);
            now.age_ms.saturating_sub(since_ms) >= settings.offsets_retention_ms
        };
        self.offsets.remove(id, has_expired, output);
    }
}

impl Shard {
    /// OffsetCommit.
    pub(super) fn commit(
        &mut self,
        now: Now,
        token: Token,
        version: i16,
        body: OffsetCommitRequest,
        output: &mut Output,
    ) {
        let id: GroupId = body.group_id.as_str().into();
        let answer = match self.check_commit(version, &body) {
            Err(error) => commit_answer(&body, |_| error),
            Ok(()) => {
                let group = self.groups.entry(id.clone()).or_default();
                group.membership.committed_offsets(&body.member_id, now);
                let answer = commit_all(group, &id, now, &self.settings, &body, output);
                self.deadlines.schedule(&id, group);
                answer
            }
        };
        self.drop_vestige(&id);
        output.reply(token, Response::OffsetCommit(answer));
    }

    fn check_commit(&self, version: i16, body: &OffsetCommitRequest) -> Result<(), ErrorCode> {
        let generation = body.generation_id_or_member_epoch;
        match self.groups.get(body.group_id.as_str()) {
            Some(group) => {
                let instance_id = body.group_instance_id.as_deref();
                group
                    .membership
                    .check_commit(&body.member_id, instance_id, generation)
            }
            // a simple group: offsets without members
            None if generation < 0 => Ok(()),
            None if version >= COMMIT_GROUP_ID_NOT_FOUND_VERSION => Err(ErrorCode::GroupIdNotFound),
            None => Err(ErrorCode::IllegalGeneration),
        }
    }

    /// OffsetFetch of one group; a group that does not exist has no offsets, which is no error.
    pub(super) fn fetch(&self, body: &OffsetFetchRequestGroup) -> OffsetFetchResponseGroup {
        let none = Offsets::default();
        let group = self.groups.get(body.group_id.as_str());
        let offsets = group.map_or(&none, |group| &group.offsets);
        let topics = match &body.topics {
            Some(topics) => topics
                .iter()
                .map(|topic| fetch_topic(offsets, topic))
                .collect(),
            None => fetch_all(offsets),
        };
        OffsetFetchResponseGroup {
            group_id: body.group_id.clone(),
            topics,
            error_code: ErrorCode::None.code(),
        }
    }

    /// OffsetDelete.
    pub(super) fn delete_offsets(
        &mut self,
        body: &OffsetDeleteRequest,
        output: &mut Output,
    ) -> OffsetDeleteResponse {
        let id: GroupId = body.group_id.as_str().into();
        let refusal = |error: ErrorCode| OffsetDeleteResponse {
            error_code: error.code(),
            ..OffsetDeleteResponse::default()
        };
        let Some(group) = self.groups.get_mut(&id) else {
            return refusal(ErrorCode::GroupIdNotFound);
        };
        let membership = &group.membership;
        if membership.state() != State::Empty && !membership.is_consumer_protocol() {
            return refusal(ErrorCode::NonEmptyGroup);
        }
        let subscribed = match membership.state() {
            State::Empty => Some(Vec::new()),
            _ => membership.subscribed_topics(),
        };
        let mut topics = Vec::with_capacity(body.topics.len());
        for topic in &body.topics {
            // where the subscriptions cannot be read, every topic may be in them
            let is_subscribed = subscribed
                .as_ref()
                .is_none_or(|names| names.contains(&topic.name));
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for partition in &topic.partitions {
                let index = partition.partition_index;
                if !is_subscribed {
                    let is_this = |name: &TopicName, partition: i32, _: &CommittedOffset| {
                        **name == *topic.name && partition == index
                    };
                    group.offsets.remove(&id, is_this, output);
                }
                let error = match is_subscribed {
                    true => ErrorCode::GroupSubscribedToTopic,
                    false => ErrorCode::None,
                };
                partitions.push(OffsetDeleteResponsePartition {
                    partition_index: index,
                    error_code: error.code(),
                });
            }
            topics.push(OffsetDeleteResponseTopic {
                name: topic.name.clone(),
                partitions,
            });
        }
        self.drop_vestige(&id);
        OffsetDeleteResponse {
            topics,
            ..OffsetDeleteResponse::default()
        }
    }

    /// The retention check: offsets that expired, and groups of which nothing is left.
    pub(super) fn expire(&mut self, now: Now, output: &mut Output) {
        for (id, group) in &mut self.groups {
            group.expire(id, now, &self.settings, output);
        }
        let is_over = |group: &Group| {
            group.membership.state() == State::Empty
                && group.membership.parked_count() == 0
                && group.offsets.is_empty()
        };
        let over: Vec<GroupId> = self
            .groups
            .iter()
            .filter(|(_, group)| is_over(group))
            .map(|(id, _)| id.clone())
            .collect();
        for id in over {
            self.remove_group(&id, output);
        }
    }

    /// Offsets of deleted topics go: a topic of the same name would be another one.
    pub(super) fn topics_deleted(&mut self, topics: &BTreeSet<TopicName>, output: &mut Output) {
        for (id, group) in &mut self.groups {
            group
                .offsets
                .remove(id, |topic, _, _| topics.contains(topic), output);
        }
        let ids: Vec<GroupId> = self.groups.keys().cloned().collect();
        for id in ids {
            self.drop_vestige(&id);
        }
    }
}

fn commit_all(
    group: &mut Group,
    id: &GroupId,
    now: Now,
    settings: &Settings,
    body: &OffsetCommitRequest,
    output: &mut Output,
) -> OffsetCommitResponse {
    let expire_timestamp_ms =
        (body.retention_time_ms >= 0).then(|| now.wall_ms.saturating_add(body.retention_time_ms));
    for topic in &body.topics {
        let name: TopicName = topic.name.as_str().into();
        for partition in &topic.partitions {
            if check_metadata(partition, settings) != ErrorCode::None {
                continue;
            }
            let value = CommittedOffset {
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
                metadata: partition.committed_metadata.as_deref().unwrap_or("").into(),
                commit_timestamp_ms: now.wall_ms,
                expire_timestamp_ms,
                topic_id: topic.topic_id,
            };
            group.commit(id, &name, partition.partition_index, value, output);
        }
    }
    commit_answer(body, |partition| check_metadata(partition, settings))
}

fn check_metadata(partition: &OffsetCommitRequestPartition, settings: &Settings) -> ErrorCode {
    let length = partition.committed_metadata.as_ref().map_or(0, String::len);
    if length > settings.offset_metadata_bytes_max {
        ErrorCode::OffsetMetadataTooLarge
    } else {
        ErrorCode::None
    }
}

/// The answer to an OffsetCommit, partition by partition.
fn commit_answer(
    body: &OffsetCommitRequest,
    error: impl Fn(&OffsetCommitRequestPartition) -> ErrorCode,
) -> OffsetCommitResponse {
    let topics = body.topics.iter().map(|topic| OffsetCommitResponseTopic {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: error(partition).code(),
            })
            .collect(),
    });
    OffsetCommitResponse {
        topics: topics.collect(),
        ..OffsetCommitResponse::default()
    }
}

fn fetch_topic(offsets: &Offsets, topic: &OffsetFetchRequestTopics) -> OffsetFetchResponseTopics {
    // an offset of another incarnation of the topic means nothing to this one
    let is_same = |offset: &&CommittedOffset| {
        offset.topic_id.is_zero() || topic.topic_id.is_zero() || offset.topic_id == topic.topic_id
    };
    let partitions = topic
        .partition_indexes
        .iter()
        .map(|index| fetched(*index, offsets.get(&topic.name, *index).filter(is_same)));
    OffsetFetchResponseTopics {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: partitions.collect(),
    }
}

fn fetch_all(offsets: &Offsets) -> Vec<OffsetFetchResponseTopics> {
    let topics = offsets.committed.iter().map(|(name, partitions)| {
        let topic_id = partitions.values().map(|offset| offset.topic_id).max();
        OffsetFetchResponseTopics {
            name: name.to_string(),
            topic_id: topic_id.unwrap_or(Uuid::ZERO),
            partitions: partitions
                .iter()
                .map(|(index, at)| fetched(*index, Some(at)))
                .collect(),
        }
    });
    topics.collect()
}

fn fetched(
    partition_index: i32,
    offset: Option<&CommittedOffset>,
) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: offset.map_or(NO_OFFSET, |offset| offset.offset),
        committed_leader_epoch: offset.map_or(-1, |offset| offset.leader_epoch),
        metadata: Some(offset.map_or(String::new(), |offset| offset.metadata.to_string())),
        error_code: ErrorCode::None.code(),
    }
}
