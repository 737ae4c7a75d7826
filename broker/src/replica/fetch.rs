//! Reads: what a partition has for a reader, and the long poll over many partitions.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ottla_core::acl::Operation;
use ottla_core::partition::{FetchDecision, FetchFrom, FollowerFetch, Input, Marks, Reader};
use ottla_protocol::codec::Records;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, Offset};
use ottla_protocol::messages::fetch::PartitionData;
use ottla_storage::log::Read;
use tokio::time::Instant;

use super::Replicas;
use super::assign::FOLLOWER_READS_REMEMBERED;
use super::index::TopicKey;
use super::partition::{AtHand, Replica, State};
use super::ready::ReadyGuard;
use super::room::Room;
use super::session::{Begun, Entry, Session};
use crate::authorizer::Access;
use crate::budget::Share;

/// Who fetches, and when the answer is due.
#[derive(Clone, Debug)]
pub struct FetchQuery {
    /// Who reads.
    pub reader: Reader,
    /// What it may read.
    pub access: Access,
    /// A follower's incarnation.
    pub broker_epoch: Option<BrokerEpoch>,
    /// Where a consumer stands.
    pub rack: Option<Arc<str>>,
    /// The fetch session, 0 for none.
    pub session_id: i32,
    /// The session's epoch.
    pub session_epoch: i32,
    /// Fewer bytes are not worth an answer before the wait is over.
    pub bytes_min: usize,
    /// More bytes are not wanted, but for the first batch.
    pub bytes_max: usize,
    /// How long to wait for more.
    pub wait_max: Duration,
}

/// From where a reader reads one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The first offset wanted.
    pub fetch_offset: Offset,
    /// How many bytes of this partition are wanted.
    pub bytes_max: usize,
    /// The first offset of a follower's log.
    pub log_start_offset: Offset,
    /// The leader epoch the reader knows of.
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// The epoch of the record before `fetch_offset`, by the reader.
    pub last_fetched_epoch: Option<LeaderEpoch>,
}

/// One partition to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchItem {
    /// The topic.
    pub topic: TopicKey,
    /// The partition.
    pub partition: i32,
    /// From where.
    pub position: Position,
}

/// What a fetch gave.
#[derive(Debug, Default)]
pub struct Fetched {
    /// An error of the whole fetch: of its session.
    pub error: Option<ErrorCode>,
    /// The session, 0 for none.
    pub session_id: i32,
    /// The partitions; in a session only those with news.
    pub partitions: Vec<(TopicKey, PartitionData)>,
    /// The memory they hold.
    pub share: Option<Share>,
}

/// One partition's part of an answer.
struct Found {
    key: u32,
    topic: TopicKey,
    data: PartitionData,
    /// It may not wait: an error, a diverging log, another replica to read from.
    is_urgent: bool,
    /// Consumers read from this follower: it wants to know of the high watermark at once.
    tells_high_watermark: bool,
    /// There is more than fitted, or an error: look again with the next fetch.
    look_again: bool,
}

/// What a look under the lock says.
struct Look {
    data: PartitionData,
    end_offset: Option<Offset>,
    is_urgent: bool,
    tells_high_watermark: bool,
}

impl Replicas {
    /// Reads partitions; waits where there is too little to say.
    pub async fn fetch(
        &self,
        query: &FetchQuery,
        items: Vec<FetchItem>,
        forgotten: &[(TopicKey, i32)],
    ) -> Fetched {
        let begun = self.begin_session(query, items, forgotten);
        match begun {
            Begun::Sessionless(mut entries) => self.fetch_all(query, &mut entries).await,
            Begun::Session(session) => self.fetch_session(query, &session).await,
            Begun::Refused(error) => Fetched {
                error: Some(error),
                ..Fetched::default()
            },
        }
    }

    /// Without a session: all partitions, each time.
    async fn fetch_all(&self, query: &FetchQuery, entries: &mut [Entry]) -> Fetched {
        let deadline = Instant::now() + query.wait_max;
        let ready = ReadyGuard::default();
        let mut is_watching = false;
        loop {
            let keyed: Vec<(u32, Entry)> = (0..).zip(entries.iter().cloned()).collect();
            let (found, room) = self.look_at(query, keyed, deadline).await;
            for entry in &mut *entries {
                entry.is_new = false;
            }
            if is_due(&found, query) || Instant::now() >= deadline || entries.is_empty() {
                let partitions = found.into_iter().map(|f| (f.topic, f.data)).collect();
                return Fetched {
                    partitions,
                    share: Some(room.into_share()),
                    ..Fetched::default()
                };
            }
            drop((found, room)); // too little for an answer is not held while more is waited for
            if is_watching {
                let _ = tokio::time::timeout_at(deadline, ready.0.changed()).await;
                drop(ready.0.take());
            } else {
                // and look again: something may have come before anybody watched
                is_watching = true;
                for (key, entry) in (0..).zip(&*entries) {
                    entry.watch(query.reader, &ready.0, key);
                }
            }
        }
    }

    /// In a session: the partitions that have news.
    async fn fetch_session(&self, query: &FetchQuery, session: &Session) -> Fetched {
        let deadline = Instant::now() + query.wait_max;
        session.recheck(&query.access);
        let generation = session.generation();
        let mut keys = Vec::new();
        loop {
            keys.extend(session.ready().take());
            keys.sort_unstable_by_key(|key| session.rank(*key));
            keys.dedup();
            session.resolve(&self.shared.index, query.reader, &keys);
            let entries = session.entries(&keys);
            if session.generation() != generation {
                // the later fetch may have named other positions: it answers from them
                keys.iter().for_each(|key| session.ready().mark(*key));
                return Fetched {
                    session_id: session.id(),
                    ..Fetched::default()
                };
            }
            let (found, room) = self.look_at(query, entries, deadline).await;
            let is_overtaken = session.generation() != generation;
            let has_news = |f: &Found| {
                let is_news = session.is_news(f.key, &f.data);
                is_news && (f.tells_high_watermark || session.is_start_moved(f.key, &f.data))
            };
            let is_due = session.is_full()
                || is_due(&found, query)
                || is_overtaken
                || found.iter().any(has_news);
            if is_due || Instant::now() >= deadline {
                let answer = self.answer_session(session, generation, found);
                return Fetched {
                    share: Some(room.into_share()),
                    ..answer
                };
            }
            session.seen(&keys, generation);
            // partitions with too little for an answer are looked at again with what comes next
            keys = found
                .iter()
                .filter(|f| {
                    let has_records = !f.data.records.as_ref().is_none_or(Records::is_empty);
                    has_records || session.is_news(f.key, &f.data)
                })
                .map(|f| f.key)
                .collect();
            drop((found, room));
            let _ = tokio::time::timeout_at(deadline, session.ready().changed()).await;
        }
    }

    fn answer_session(&self, session: &Session, generation: u64, found: Vec<Found>) -> Fetched {
        let mut partitions = Vec::with_capacity(found.len());
        for found in found {
            let has_records = !found.data.records.as_ref().is_none_or(Records::is_empty);
            let is_news = session.sent(found.key, &found.data, generation);
            if has_records || found.look_again {
                session.ready().mark(found.key);
            }
            if has_records || found.is_urgent || is_news {
                partitions.push((found.topic, found.data));
            }
        }
        Fetched {
            error: None,
            session_id: session.id(),
            partitions,
            share: None,
        }
    }

    async fn look_at(
        &self,
        query: &FetchQuery,
        entries: Vec<(u32, Entry)>,
        deadline: Instant,
    ) -> (Vec<Found>, Room) {
        let budget = match query.reader {
            Reader::Consumer { .. } => &self.shared.consumers_budget,
            Reader::Follower(_) => &self.shared.followers_budget,
        };
        let mut room = Room::of(budget, query.bytes_max, deadline);
        let mut all = Vec::with_capacity(entries.len());
        for (key, entry) in entries {
            all.push(self.look_at_one(query, key, entry, &mut room).await);
        }
        (all, room)
    }

    async fn look_at_one(
        &self,
        query: &FetchQuery,
        key: u32,
        entry: Entry,
        room: &mut Room,
    ) -> Found {
        let replica = match entry.replica.filter(|replica| !replica.is_deleted()) {
            Some(replica) => Ok(replica),
            None => self.find(&entry.topic, entry.partition),
        };
        let replica = match may_read(&query.access, &entry.topic) {
            true => replica,
            false => Err(ErrorCode::TopicAuthorizationFailed),
        };
        let mut found = Found {
            key,
            topic: entry.topic,
            data: refusal(entry.partition, ErrorCode::None),
            is_urgent: true,
            tells_high_watermark: false,
            look_again: true,
        };
        let replica = match replica {
            Ok(replica) => replica,
            Err(error) => {
                found.data.error_code = error.code();
                let leader = self.leader_elsewhere(&found.topic, entry.partition);
                name_leader(&mut found.data, error, leader);
                return found;
            }
        };
        let look = replica.look(query, &entry.position, entry.is_new);
        found.data = look.data;
        found.is_urgent = look.is_urgent;
        found.tells_high_watermark = look.tells_high_watermark;
        let Some(end_offset) = look.end_offset else {
            return found;
        };
        let from = entry.position.fetch_offset;
        if from >= end_offset {
            found.look_again = false;
            return found;
        }
        let Some(bytes_max) = room.bytes_max(entry.position.bytes_max) else {
            return found;
        };
        match replica.read(from, bytes_max, end_offset, room).await {
            Ok(records) => found.data.records = Some(records),
            Err(error) => {
                found.data.error_code = error.code();
                found.is_urgent = true;
            }
        }
        found
    }
}

fn is_due(found: &[Found], query: &FetchQuery) -> bool {
    let bytes = found.iter().filter_map(|f| f.data.records.as_ref());
    let bytes: usize = bytes.map(Records::len).sum();
    bytes >= query.bytes_min || found.iter().any(|f| f.is_urgent)
}

/// Whether the topic may be read; one that nobody knows is refused as such.
fn may_read(access: &Access, topic: &TopicKey) -> bool {
    access.image().is_none_or(|image| match topic {
        TopicKey::Name(name) => access.topic(Operation::Read, name).is_ok(),
        TopicKey::Id(id) => image
            .topic_by_id(*id)
            .is_none_or(|topic| access.topic(Operation::Read, &topic.name).is_ok()),
    })
}

fn refusal(partition_index: i32, error: ErrorCode) -> PartitionData {
    PartitionData {
        partition_index,
        error_code: error.code(),
        high_watermark: -1,
        records: Some(Records::default()),
        ..PartitionData::default()
    }
}

/// Says who leads instead (KIP-951).
fn name_leader(data: &mut PartitionData, error: ErrorCode, leader: Option<(NodeId, LeaderEpoch)>) {
    if let ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch = error
        && let Some((leader, leader_epoch)) = leader
    {
        data.current_leader.leader_id = leader.0;
        data.current_leader.leader_epoch = leader_epoch.0;
    }
}

impl Replica {
    fn look(self: &Arc<Self>, query: &FetchQuery, position: &Position, is_new: bool) -> Look {
        let mut state = self.lock();
        let from = FetchFrom {
            reader: query.reader,
            has_lease: self.shared.controller.has_lease(),
            fetch_offset: position.fetch_offset,
            current_leader_epoch: position.current_leader_epoch,
            last_fetched_epoch: position.last_fetched_epoch,
        };
        let decision = state.partition.fetch_from(&from);
        if let (FetchDecision::Read { .. }, Reader::Follower(node), true) =
            (decision, query.reader, is_new)
        {
            let fetch = FollowerFetch {
                node,
                broker_epoch: query.broker_epoch,
                fetch_offset: position.fetch_offset,
                log_start_offset: position.log_start_offset,
            };
            let _ = self.step(&mut state, Input::FollowerFetched(fetch), AtHand::Nothing);
        }
        let marks = state.partition.marks();
        let mut look = Look {
            data: self.data(&state, marks),
            end_offset: None,
            is_urgent: false,
            tells_high_watermark: matches!(query.reader, Reader::Follower(_))
                && self.shared.env.now() < state.serves_followers_until,
        };
        match decision {
            FetchDecision::Read { end_offset } => {
                if let Some(node) = self.preferred_replica(&mut state, query, position) {
                    look.data.preferred_read_replica = node.0;
                    look.is_urgent = true;
                } else {
                    look.end_offset = Some(end_offset);
                }
            }
            FetchDecision::Diverging {
                leader_epoch,
                end_offset,
            } => {
                look.data.diverging_epoch.epoch = leader_epoch.0;
                look.data.diverging_epoch.end_offset = end_offset.0;
                look.is_urgent = true;
            }
            FetchDecision::Rejected(error) => {
                look.data.error_code = error.code();
                look.is_urgent = true;
                let leader = state.partition.leader();
                let leader = leader.map(|leader| (leader, state.partition.leader_epoch()));
                name_leader(&mut look.data, error, leader);
            }
        }
        look
    }

    fn data(&self, state: &State, marks: Marks) -> PartitionData {
        PartitionData {
            partition_index: self.id.partition.0,
            high_watermark: marks.high_watermark.0,
            last_stable_offset: state.partition.last_stable_offset().0,
            log_start_offset: marks.log_start_offset.0,
            records: Some(Records::default()),
            ..PartitionData::default()
        }
    }

    /// An in-sync follower in the consumer's rack, where the leader stands in another (KIP-392).
    fn preferred_replica(
        &self,
        state: &mut State,
        query: &FetchQuery,
        position: &Position,
    ) -> Option<NodeId> {
        let rack = query.rack.as_deref()?;
        if matches!(query.reader, Reader::Follower(_)) || !state.partition.is_leader() {
            return None;
        }
        let own = self.shared.settings.node_id;
        let stands_there = |node: NodeId| {
            let found = state.racks.iter().find(|(other, _)| *other == node);
            found.is_some_and(|(_, at)| at.as_deref() == Some(rack))
        };
        if stands_there(own) {
            return None;
        }
        let followers = state.partition.followers_at(position.fetch_offset);
        let preferred = followers.into_iter().find(|node| stands_there(*node))?;
        state.serves_followers_until = self.shared.env.now() + FOLLOWER_READS_REMEMBERED;
        Some(preferred)
    }

    /// Reads whole batches, where there is room for them; from the disk without holding up the
    /// other tasks of this thread.
    async fn read(
        &self,
        from: Offset,
        bytes_max: usize,
        end_offset: Offset,
        room: &mut Room,
    ) -> Result<Records, ErrorCode> {
        let inline = self.shared.inline;
        let read = self.reader.read(from, bytes_max, end_offset);
        let wanted = match &read {
            Ok(Read::Memory(batches)) => batches.iter().map(Bytes::len).sum(),
            Ok(Read::Segment(_)) => bytes_max,
            Err(_) => 0,
        };
        if !room.take(wanted).await {
            return Ok(Records::default());
        }
        let chunks: Result<Vec<Bytes>, _> = match read {
            Ok(Read::Memory(batches)) => Ok(batches),
            Ok(read @ Read::Segment(_)) if inline => read.perform(),
            Ok(read @ Read::Segment(_)) => {
                let performed = tokio::task::spawn_blocking(|| read.perform()).await;
                performed.unwrap_or_else(|_| Ok(Vec::new()))
            }
            // truncated or trimmed since the look: the reader finds out with its next fetch
            Err(ottla_storage::Error::OffsetOutOfRange { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        let records = chunks.map(Records::from);
        let bytes = records.as_ref().map_or(0, Records::len);
        if !room.has_read(wanted, bytes) {
            return Ok(Records::default());
        }
        records.map_err(|error| {
            tracing::error!(partition = ?self, %error, "a read failed");
            ErrorCode::KafkaStorageError
        })
    }
}
