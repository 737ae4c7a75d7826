//! Groups and their committed offsets: what one partition of `__consumer_offsets` holds.
//!
//! [`Shard`] keeps [`crate::shard`]'s contract:
//! - *durable* are the offsets and each group's last completed generation;
//! - *soft* ([`soft::Soft`]) are members' deadlines, parked joins and syncs, a rebalance in
//!   progress. Clients bring them back by joining again, as in Apache Kafka. So a rebalance goes on
//!   in soft state alone, and its outcome becomes one record; where the log refuses that record,
//!   the members of its group begin again with the last generation that the log has.

mod classic;
pub mod consumer;
mod consumer_protocol;
mod deadlines;
mod describe;
mod members;
mod membership;
mod migration;
mod offsets;
mod open;
pub mod record;
pub mod request;
pub mod settings;
pub mod soft;
mod transactional;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ottla_protocol::codec;
use ottla_protocol::ids::{ProducerId, TopicId, TopicName};
use ottla_protocol::messages::group_records::GroupMetadataValue;
use ottla_protocol::record::ControlRecord;

use consumer::sessions::Sessions;
use consumer::state::{Consumer, Entry};
use members::Members;
use offsets::Offsets;
use open::{Open, Pending};
use record::CommittedOffset;
use soft::Soft;

pub use record::Record;
pub use request::{Body, Client, Request, Response};
pub use settings::{Migration, Settings};

use crate::image::MetadataImage;
use crate::image::delta::MetadataDelta;
use crate::shard::{self, Now, Reply, Token};

/// A group's id; cheap to clone.
pub type GroupId = Arc<str>;

/// The name of the internal topic that holds groups and their offsets.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// What a request, a deadline or an image comes to.
pub type Decision = shard::Decision<Record, Response>;

/// What every transition of one decision needs.
struct Step<'a> {
    now: Now,
    settings: &'a Settings,
    decision: &'a mut Decision,
}

/// What the log holds of one group. Invariant: not nothing.
#[derive(Clone, Debug, Default)]
struct Group {
    /// The last completed generation; none while there was none.
    generation: Option<GroupMetadataValue>,
    /// What it is in the consumer protocol; nothing where it has the classic one.
    consumer: Consumer,
    offsets: Offsets,
}

/// The groups of one partition of `__consumer_offsets`.
#[derive(Clone, Debug)]
pub struct Shard {
    settings: Settings,
    groups: BTreeMap<GroupId, Group>,
    open: Open,
}

/// Takes one record back.
#[derive(Clone, Debug)]
pub struct Undo(Before);

#[derive(Clone, Debug)]
enum Before {
    Offset {
        group: GroupId,
        topic: TopicName,
        partition: i32,
        value: Option<CommittedOffset>,
        /// What open transactions would have made of it.
        open: Vec<(ProducerId, Pending)>,
    },
    Open {
        producer: ProducerId,
        key: open::Key,
        before: Option<Pending>,
    },
    Group {
        group: GroupId,
        value: Option<GroupMetadataValue>,
    },
    Consumer {
        group: GroupId,
        entry: Entry,
    },
}

impl Shard {
    fn generation(&self, id: &str) -> Option<&GroupMetadataValue> {
        self.groups.get(id)?.generation.as_ref()
    }

    /// Changes a group, which is kept while the log holds anything of it.
    fn change<T>(&mut self, id: &GroupId, change: impl FnOnce(&mut Group) -> T) -> T {
        let group = self.groups.entry(id.clone()).or_default();
        let changed = change(group);
        if group.generation.is_none() && group.offsets.is_empty() && group.consumer.is_nothing() {
            self.groups.remove(id);
        }
        changed
    }

    /// A part of a group is as it was: members that were removed are in it again, and if it has
    /// begun to be a classic group, it is none.
    fn go_back(
        &self,
        soft: &mut Soft,
        now: Now,
        id: &GroupId,
        entry: &Entry,
    ) -> Vec<Reply<Response>> {
        let has_begun = soft
            .classic(id)
            .is_some_and(|classic| !classic.is_vestige());
        if has_begun {
            let replies = soft.restart(id, self.generation(id), now);
            self.begin_sessions(soft, id, now);
            return replies;
        }
        let times = self.settings.consumer_times(&soft.image, id);
        let timeout_ms = times.session_timeout_ms;
        let members = self.groups.get(id).map(|group| &group.consumer.members);
        soft.with_sessions(id, |sessions| {
            sessions.go_back(members, entry, now, timeout_ms)
        });
        Vec::new()
    }

    /// The sessions of a group's members begin anew.
    fn begin_sessions(&self, soft: &mut Soft, id: &GroupId, now: Now) {
        let nothing = Consumer::default();
        let group = self.consumer(id).unwrap_or(&nothing);
        let times = self.settings.consumer_times(&soft.image, id);
        soft.begin_sessions(id, group, now, times.session_timeout_ms);
    }

    /// Sets the next retention check where there is something to check.
    fn plan_retention(&self, soft: &mut Soft, now: Now, decision: &Decision) {
        let is_needed = !self.groups.is_empty() || !soft.is_empty() || !decision.records.is_empty();
        soft.deadlines.retention(now, &self.settings, is_needed);
    }
}

impl shard::Shard for Shard {
    type Settings = Settings;
    type Soft = Soft;
    type Request = Request;
    type Response = Response;
    type Order = std::convert::Infallible;
    type Record = Record;
    type Undo = Undo;
    type Error = record::Error;

    const TOPIC: &'static str = OFFSETS_TOPIC;

    fn new(settings: Settings) -> Self {
        Self {
            settings,
            groups: BTreeMap::new(),
            open: Open::default(),
        }
    }

    fn encode(record: &Record) -> Result<(Bytes, Option<Bytes>), codec::Error> {
        record.encode()
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Record>, record::Error> {
        Record::decode(key, value)
    }

    fn replay(&mut self, record: Record) -> Undo {
        Undo(match record {
            Record::Offset {
                group,
                topic,
                partition,
                value,
            } => {
                let open = self
                    .open
                    .overtake(&(group.clone(), topic.clone(), partition));
                let put = |group: &mut Group| group.offsets.put(&topic, partition, value);
                let value = self.change(&group, put);
                Before::Offset {
                    group,
                    topic,
                    partition,
                    value,
                    open,
                }
            }
            Record::Group { group, value } => {
                let put = |group: &mut Group| std::mem::replace(&mut group.generation, value);
                let value = self.change(&group, put);
                Before::Group { group, value }
            }
            Record::Consumer { group, entry } => {
                let entry = self.change(&group, |group| group.consumer.put(entry));
                Before::Consumer { group, entry }
            }
        })
    }

    fn replay_open(&mut self, producer: ProducerId, record: Record) -> Undo {
        match record {
            Record::Offset {
                group,
                topic,
                partition,
                value: Some(value),
            } => {
                let key = (group, topic, partition);
                let before = self.open.add(producer, key.clone(), value);
                Undo(Before::Open {
                    producer,
                    key,
                    before,
                })
            }
            // an end is not for a transaction to undo, nor are generations
            record => self.replay(record),
        }
    }

    fn on_marker(&mut self, producer: ProducerId, marker: ControlRecord) {
        for ((group, topic, partition), value) in self.open.end(producer, marker) {
            self.change(&group, |group| {
                group.offsets.put(&topic, partition, Some(value))
            });
        }
    }

    fn undo(&mut self, soft: &mut Soft, now: Now, undo: Undo) -> Vec<Reply<Response>> {
        match undo.0 {
            Before::Offset {
                group,
                topic,
                partition,
                value,
                open,
            } => {
                self.change(&group, |group| group.offsets.put(&topic, partition, value));
                self.open.put_back(&(group, topic, partition), open);
                Vec::new()
            }
            Before::Open {
                producer,
                key,
                before,
            } => {
                self.open.take_back(producer, key, before);
                Vec::new()
            }
            Before::Group { group, value } => {
                self.change(&group, |group| group.generation = value);
                soft.restart(&group, self.generation(&group), now)
            }
            Before::Consumer { group, entry } => {
                let taken_back = entry.clone();
                self.change(&group, |group| group.consumer.put(entry));
                self.go_back(soft, now, &group, &taken_back)
            }
        }
    }

    fn on_loaded(&self, now: Now, image: &MetadataImage) -> (Soft, Decision) {
        let mut soft = Soft::new(image.clone());
        let mut decision = Decision::default();
        for (id, group) in &self.groups {
            soft.restart(id, group.generation.as_ref(), now);
            if group.generation.is_some() && !group.consumer.has_members() {
                // a version that knows nothing of it has made it a classic one
                describe::end_consumer(id, &group.consumer, &mut decision);
            }
            if group.consumer.has_members() {
                self.begin_sessions(&mut soft, id, now);
            }
        }
        let is_gone = |topic: &TopicName, offset: &CommittedOffset| match offset.topic() {
            Some(id) => image.topic_by_id(id).is_none(),
            None => image.topic(topic).is_none(),
        };
        self.forget_topics(is_gone, &mut decision);
        self.plan_retention(&mut soft, now, &decision);
        (soft, decision)
    }

    fn decide(&self, soft: &mut Soft, now: Now, token: Token, request: Request) -> Decision {
        let mut decision = Decision::default();
        let Request {
            version,
            client,
            body,
        } = request;
        let step = &mut Step {
            now,
            settings: &self.settings,
            decision: &mut decision,
        };
        match body {
            Body::JoinGroup(request::JoinGroup { body, fresh }) => {
                let join = classic::Join {
                    token,
                    version,
                    client,
                    body,
                    fresh,
                };
                self.join(soft, join, step);
            }
            Body::SyncGroup(body) => self.serve_members(soft, token, Members::Sync(body), step),
            Body::Heartbeat(body) => {
                self.serve_members(soft, token, Members::Heartbeat(body), step);
            }
            Body::LeaveGroup(body) => self.serve_members(soft, token, Members::Leave(body), step),
            Body::OffsetCommit(body) => self.commit(soft, token, version, &body, step),
            Body::TxnOffsetCommit(body) => self.commit_in_transaction(soft, token, &body, step),
            Body::OffsetFetch(body) => {
                let response = self.fetch(&body);
                decision.reply(token, Response::OffsetFetch(response));
            }
            Body::OffsetDelete(body) => {
                let response = self.delete_offsets(soft, &body, &mut decision);
                decision.reply(token, Response::OffsetDelete(response));
            }
            Body::DeleteGroup(request::DeleteGroup(id)) => {
                let error = self.delete_group(soft, &id, &mut decision);
                decision.reply(token, Response::DeleteGroup(error));
            }
            Body::DescribeGroup(request::DescribeGroup(id)) => {
                let response = self.describe(soft, &id, version);
                decision.reply(token, Response::DescribeGroup(response));
            }
            Body::ListGroups(filter) => {
                let response = self.list(soft, &filter);
                decision.reply(token, Response::ListGroups(response));
            }
            Body::ConsumerGroupHeartbeat(request) => {
                self.consumer_heartbeat(soft, token, (version, &client), &request, step);
            }
            Body::ConsumerGroupDescribe(consumer::Describe(id)) => {
                let response = self.describe_consumer(soft, &id);
                decision.reply(token, Response::ConsumerGroupDescribe(response));
            }
        }
        self.plan_retention(soft, now, &decision);
        decision
    }

    fn on_image(
        &self,
        soft: &mut Soft,
        now: Now,
        image: &MetadataImage,
        delta: &MetadataDelta,
    ) -> Decision {
        let count = |image: &MetadataImage, id: TopicId| {
            let topic = image.topic_by_id(id);
            topic.map(|topic| topic.partitions.len())
        };
        let mut topics = delta.topics.keys();
        let are_topics_news =
            delta.acls || topics.any(|id| count(&soft.image, *id) != count(image, *id));
        soft.image = image.clone();
        if are_topics_news {
            let groups = self.groups.iter();
            for (id, _) in groups.filter(|(_, group)| group.consumer.has_members()) {
                soft.with_sessions(id, Sessions::topics_change);
            }
        }
        let mut decision = Decision::default();
        if delta.topics.values().any(|topic| topic.deleted) {
            let is_gone = |topic: &TopicName, offset: &CommittedOffset| match offset.topic() {
                Some(id) => image.topic_by_id(id).is_none(),
                // a topic of the same name would be another one
                None => delta.topics.values().any(|t| t.deleted && t.name == *topic),
            };
            self.forget_topics(is_gone, &mut decision);
        }
        self.plan_retention(soft, now, &decision);
        decision
    }

    fn next_deadline_ms(soft: &Soft) -> Option<u64> {
        soft.deadlines.next()
    }

    fn on_deadline(&self, soft: &mut Soft, now: Now) -> Decision {
        let mut decision = Decision::default();
        let step = &mut Step {
            now,
            settings: &self.settings,
            decision: &mut decision,
        };
        for (id, members) in soft.on_time(step) {
            self.remove_members(soft, &id, &members, step);
        }
        if soft.deadlines.retention_passed(now) {
            self.expire(soft, now, &mut decision);
        }
        self.plan_retention(soft, now, &decision);
        decision
    }
}
