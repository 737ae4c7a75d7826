//! Committed offsets: commit, fetch, delete, expire.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{PartitionIndex, TopicId, TopicName, Uuid};
use ottla_protocol::messages::groups::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteResponse,
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic, OffsetFetchRequestTopics,
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};

use super::classic::{Classic, State};
use super::consumer::May;
use super::describe::{end_consumer, state};
use super::open::{Key, Open};
use super::record::CommittedOffset;
use super::request::OffsetFetch;
use super::soft::Soft;
use super::{Decision, Group, GroupId, Record, Response, Settings, Shard, Step};
use crate::image::MetadataImage;
use crate::shard::{Now, Token};

/// From this version on a commit to an absent group says so.
const COMMIT_GROUP_ID_NOT_FOUND_VERSION: i16 = 9;

/// What "no offset" is on the wire.
pub(super) const NO_OFFSET: i64 = -1;

/// The offsets of one group.
#[derive(Clone, Debug, Default)]
pub(super) struct Offsets {
    /// Invariant: no topic without partitions.
    committed: BTreeMap<TopicName, BTreeMap<i32, CommittedOffset>>,
}

impl Offsets {
    pub(super) fn is_empty(&self) -> bool {
        self.committed.is_empty()
    }

    /// Makes it so; the one way offsets change. Returns what was there before.
    pub(super) fn put(
        &mut self,
        topic: &TopicName,
        partition: i32,
        value: Option<CommittedOffset>,
    ) -> Option<CommittedOffset> {
        if let Some(value) = value {
            let partitions = self.committed.entry(topic.clone()).or_default();
            return partitions.insert(partition, value);
        }
        let partitions = self.committed.get_mut(topic)?;
        let before = partitions.remove(&partition);
        if partitions.is_empty() {
            self.committed.remove(topic);
        }
        before
    }

    fn get(&self, topic: &str, partition: i32) -> Option<&CommittedOffset> {
        self.committed.get(topic)?.get(&partition)
    }

    /// Decides a tombstone for each offset that `ends` picks; says whether none is left then.
    pub(super) fn end(
        &self,
        id: &GroupId,
        ends: impl Fn(&TopicName, i32, &CommittedOffset) -> bool,
        decision: &mut Decision,
    ) -> bool {
        let mut are_all = true;
        for (topic, partitions) in &self.committed {
            for (partition, offset) in partitions {
                if ends(topic, *partition, offset) {
                    decision.records.push(Record::Offset {
                        group: id.clone(),
                        topic: topic.clone(),
                        partition: *partition,
                        value: None,
                    });
                } else {
                    are_all = false;
                }
            }
        }
        are_all
    }
}

/// Ends what nobody has used for the retention time; says whether no offset is left.
fn expire(
    id: &GroupId,
    group: &Group,
    classic: Option<&Classic>,
    now: Now,
    (settings, open): (&Settings, &Open),
    decision: &mut Decision,
) -> bool {
    let protocol_type = classic.and_then(|classic| classic.protocol_type());
    let subscribed: BTreeSet<String> = match (protocol_type, state(classic)) {
        (None, _) | (Some(_), State::Empty) => BTreeSet::new(),
        (Some(_), State::Stable) => match classic.and_then(|classic| classic.subscribed_topics()) {
            Some(topics) => topics.into_iter().collect(),
            None => return false,
        },
        (Some(_), State::PreparingRebalance | State::CompletingRebalance) => return false,
    };
    // an empty group's offsets live on from when its last member left
    let empty_since_ms = match (protocol_type, state(classic)) {
        (Some(_), State::Empty) => classic.and_then(|classic| classic.state_since_ms()),
        _ => None,
    };
    let assigned = group.consumer.all_topics();
    let has_expired = |topic: &TopicName, partition: i32, offset: &CommittedOffset| {
        let is_read = subscribed.contains(&**topic) || assigned.contains(topic);
        if is_read || open.has(id, topic, partition) {
            return false;
        }
        if let Some(expire_ms) = offset.expire_timestamp_ms {
            return now.age_ms >= expire_ms;
        }
        let since_ms = empty_since_ms.unwrap_or(offset.commit_timestamp_ms);
        now.age_ms.saturating_sub(since_ms) >= settings.offsets_retention_ms
    };
    group.offsets.end(id, has_expired, decision)
}

impl Shard {
    /// OffsetCommit.
    pub(super) fn commit(
        &self,
        soft: &mut Soft,
        token: Token,
        version: i16,
        body: &OffsetCommitRequest,
        step: &mut Step<'_>,
    ) {
        let consumer = self.consumer(&body.group_id).map(|group| {
            let epoch = body.generation_id_or_member_epoch;
            group.check_commit(&body.member_id, epoch, version)
        });
        let checked = || self.check_commit(soft, version, body);
        let answer = match consumer.map_or_else(|| checked().map(|()| None), |may| may.map(Some)) {
            Err(error) => commit_answer(body, |_, _| error),
            Ok(Some(may)) => commit_all(&soft.image, body, &may, step),
            Ok(None) => {
                let now = step.now;
                soft.with(&body.group_id, step, |_, classic, _| {
                    classic.committed_offsets(&body.member_id, now);
                });
                commit_all(&soft.image, body, &May::All, step)
            }
        };
        step.decision.reply(token, Response::OffsetCommit(answer));
    }

    fn check_commit(
        &self,
        soft: &Soft,
        version: i16,
        body: &OffsetCommitRequest,
    ) -> Result<(), ErrorCode> {
        let generation = body.generation_id_or_member_epoch;
        let check = |classic: &Classic| {
            let instance_id = body.group_instance_id.as_deref();
            classic.check_commit(&body.member_id, instance_id, generation)
        };
        match soft.classic(&body.group_id) {
            Some(classic) => check(classic),
            None if self.groups.contains_key(body.group_id.as_str()) => check(&Classic::default()),
            // a simple group: offsets without members
            None if generation < 0 => Ok(()),
            None if version >= COMMIT_GROUP_ID_NOT_FOUND_VERSION => Err(ErrorCode::GroupIdNotFound),
            None => Err(ErrorCode::IllegalGeneration),
        }
    }

    /// OffsetFetch of one group; a group that does not exist has no offsets, which is no error.
    pub(super) fn fetch(&self, body: &OffsetFetch) -> OffsetFetchResponseGroup {
        let none = Offsets::default();
        let (body, require_stable) = (&body.group, body.require_stable);
        let group = self.groups.get(body.group_id.as_str());
        if let Some(group) = self.consumer(&body.group_id)
            && let Err(error) = group.check_fetch(body.member_id.as_deref(), body.member_epoch)
        {
            return OffsetFetchResponseGroup {
                group_id: body.group_id.clone(),
                error_code: error.code(),
                ..OffsetFetchResponseGroup::default()
            };
        }
        let offsets = group.map_or(&none, |group| &group.offsets);
        let mut topics = match &body.topics {
            Some(topics) => topics
                .iter()
                .map(|topic| fetch_topic(offsets, topic))
                .collect(),
            None => fetch_all(offsets),
        };
        if require_stable {
            self.refuse_unstable(&body.group_id, &mut topics);
        }
        OffsetFetchResponseGroup {
            group_id: body.group_id.clone(),
            topics,
            error_code: ErrorCode::None.code(),
        }
    }

    /// OffsetDelete.
    pub(super) fn delete_offsets(
        &self,
        soft: &Soft,
        body: &OffsetDeleteRequest,
        decision: &mut Decision,
    ) -> OffsetDeleteResponse {
        let id: GroupId = body.group_id.as_str().into();
        let refusal = |error: ErrorCode| OffsetDeleteResponse {
            error_code: error.code(),
            ..OffsetDeleteResponse::default()
        };
        let (classic, group) = (soft.classic(&id), self.groups.get(&id));
        if classic.is_none() && group.is_none() {
            return refusal(ErrorCode::GroupIdNotFound);
        }
        let is_consumer = classic.is_some_and(Classic::is_consumer_protocol);
        if state(classic) != State::Empty && !is_consumer {
            return refusal(ErrorCode::NonEmptyGroup);
        }
        let subscribed = match (state(classic), classic) {
            (State::Empty, _) | (_, None) => Some(Vec::new()),
            (_, Some(classic)) => classic.subscribed_topics(),
        };
        let assigned = group.map(|group| group.consumer.all_topics());
        // where the subscriptions cannot be read, every topic may be in them
        let is_subscribed = |topic: &str| {
            let names = subscribed.as_ref();
            names.is_none_or(|names| names.iter().any(|name| name == topic))
                || assigned
                    .as_ref()
                    .is_some_and(|topics| topics.contains(&TopicName::from(topic)))
        };
        if let Some(group) = group {
            let is_asked_for = |topic: &TopicName, partition: i32, _: &CommittedOffset| {
                let mut asked = body.topics.iter().filter(|asked| asked.name == **topic);
                let is_one = |p: &OffsetDeleteRequestPartition| p.partition_index == partition;
                let known = soft.image.topic(topic);
                let is_known =
                    known.is_some_and(|t| t.partition(PartitionIndex(partition)).is_some());
                is_known
                    && asked.any(|asked| asked.partitions.iter().any(is_one))
                    && !is_subscribed(topic)
            };
            group.offsets.end(&id, is_asked_for, decision);
        }
        let topics = body.topics.iter().map(|topic| {
            let known = soft.image.topic(&topic.name);
            let is_subscribed = is_subscribed(&topic.name);
            let error = |partition: &OffsetDeleteRequestPartition| {
                let index = PartitionIndex(partition.partition_index);
                match known.and_then(|known| known.partition(index)) {
                    None => ErrorCode::UnknownTopicOrPartition,
                    Some(_) if is_subscribed => ErrorCode::GroupSubscribedToTopic,
                    Some(_) => ErrorCode::None,
                }
            };
            let partitions = topic.partitions.iter();
            OffsetDeleteResponseTopic {
                name: topic.name.clone(),
                partitions: partitions
                    .map(|partition| OffsetDeleteResponsePartition {
                        partition_index: partition.partition_index,
                        error_code: error(partition).code(),
                    })
                    .collect(),
            }
        });
        OffsetDeleteResponse {
            topics: topics.collect(),
            ..OffsetDeleteResponse::default()
        }
    }

    /// The retention check: offsets that expired, and groups of which nothing is left.
    pub(super) fn expire(&self, soft: &mut Soft, now: Now, decision: &mut Decision) {
        for (id, group) in &self.groups {
            let classic = soft.classic(id);
            let terms = (&self.settings, &self.open);
            let is_empty = expire(id, group, classic, now, terms, decision);
            let has_waiters = classic.is_some_and(|classic| classic.parked_count() > 0);
            let has_members = state(classic) != State::Empty || group.consumer.has_members();
            if !is_empty || self.open.has_group(id) || has_members || has_waiters {
                continue;
            }
            soft.forget(id);
            end_consumer(id, &group.consumer, decision);
            if group.generation.is_some() {
                decision.records.push(Record::Group {
                    group: id.clone(),
                    value: None,
                });
            }
        }
    }

    /// Offsets of topics that are gone go too, and those that open transactions would make.
    pub(super) fn forget_topics(
        &self,
        is_gone: impl Fn(&TopicName, &CommittedOffset) -> bool,
        decision: &mut Decision,
    ) {
        for (id, group) in &self.groups {
            let ends = |topic: &TopicName, _: i32, offset: &CommittedOffset| is_gone(topic, offset);
            group.offsets.end(id, ends, decision);
        }
        let is_ended = |(group, topic, partition): &Key| {
            let group = self.groups.get(group);
            let committed = group.and_then(|group| group.offsets.get(topic, *partition));
            committed.is_some_and(|offset| is_gone(topic, offset))
        };
        let open = self.open.iter();
        let gone = open.filter(|(key, offset)| is_gone(&key.1, offset) && !is_ended(key));
        let gone: BTreeSet<&Key> = gone.map(|(key, _)| key).collect();
        let tombstones = gone
            .into_iter()
            .map(|(group, topic, partition)| Record::Offset {
                group: group.clone(),
                topic: topic.clone(),
                partition: *partition,
                value: None,
            });
        decision.records.extend(tombstones);
    }
}

pub(super) fn commit_all(
    image: &MetadataImage,
    body: &OffsetCommitRequest,
    may: &May<'_>,
    step: &mut Step<'_>,
) -> OffsetCommitResponse {
    let now = step.now;
    let expire_timestamp_ms =
        (body.retention_time_ms >= 0).then(|| now.wall_ms.saturating_add(body.retention_time_ms));
    let group: GroupId = body.group_id.as_str().into();
    let answer = commit_answer(body, |topic, partition| {
        match may.commit(image, &topic.name, partition.partition_index) {
            ErrorCode::None => check_partition(image, topic, partition, step.settings),
            error => error,
        }
    });
    for (topic, answered) in body.topics.iter().zip(&answer.topics) {
        let name: TopicName = topic.name.as_str().into();
        for (partition, answered) in topic.partitions.iter().zip(&answered.partitions) {
            if answered.error_code != ErrorCode::None.code() {
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
            step.decision.records.push(Record::Offset {
                group: group.clone(),
                topic: name.clone(),
                partition: partition.partition_index,
                value: Some(value),
            });
        }
    }
    answer
}

/// Whether this offset can be committed: for a partition that is there, with words that are short.
fn check_partition(
    image: &MetadataImage,
    topic: &OffsetCommitRequestTopic,
    partition: &OffsetCommitRequestPartition,
    settings: &Settings,
) -> ErrorCode {
    let known = match topic.topic_id.is_zero() {
        true => image.topic(&topic.name),
        false => image.topic_by_id(TopicId(topic.topic_id)),
    };
    let index = PartitionIndex(partition.partition_index);
    let length = partition.committed_metadata.as_ref().map_or(0, String::len);
    if known.is_none_or(|known| known.partition(index).is_none()) {
        ErrorCode::UnknownTopicOrPartition
    } else if length > settings.offset_metadata_bytes_max {
        ErrorCode::OffsetMetadataTooLarge
    } else {
        ErrorCode::None
    }
}

/// The answer to an OffsetCommit, partition by partition.
pub(super) fn commit_answer(
    body: &OffsetCommitRequest,
    error: impl Fn(&OffsetCommitRequestTopic, &OffsetCommitRequestPartition) -> ErrorCode,
) -> OffsetCommitResponse {
    let topics = body.topics.iter().map(|topic| OffsetCommitResponseTopic {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: error(topic, partition).code(),
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
