//! Reads: what a partition has for a reader, and the long poll over many partitions.

mod throttled;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ottla_core::acl::Operation;
use ottla_core::fetch_session::{Finding, Position, Said, Settled};
use ottla_core::partition::{FetchDecision, FetchFrom, FollowerFetch, Input, Marks, Reader};
use ottla_protocol::codec::Records;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, Offset};
use ottla_protocol::messages::fetch::{AbortedTransaction, PartitionData};
use ottla_protocol::record_batch;
use ottla_storage::log::Read;
use tokio::time::Instant;

use super::Replicas;
use super::assign::FOLLOWER_READS_REMEMBERED;
use super::partition::{AtHand, Replica, State};
use super::place::TopicKey;
use super::ready::ReadyGuard;
use super::room::Room;
use super::session::{Begun, Claim, Entry, FetchItem, Turn, watch};
use crate::authorizer::Access;
use crate::budget::Share;
use crate::threads;

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

impl Found {
    fn finding(&self) -> Finding {
        Finding {
            key: self.key,
            said: Said {
                high_watermark: self.data.high_watermark,
                last_stable_offset: self.data.last_stable_offset,
                log_start_offset: self.data.log_start_offset,
            },
            has_records: !self.data.records.as_ref().is_none_or(Records::is_empty),
            is_urgent: self.is_urgent,
            tells_high_watermark: self.tells_high_watermark,
            look_again: self.look_again,
        }
    }
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
        let claim = Claim {
            id: query.session_id,
            epoch: query.session_epoch,
            reader: query.reader,
            access: &query.access,
        };
        match self.begin_session(&claim, items, forgotten) {
            Begun::Sessionless(mut entries) => self.fetch_all(query, &mut entries).await,
            Begun::Session(turn) => self.fetch_session(query, &turn).await,
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
        let mut waits_since = None;
        loop {
            let keyed: Vec<(u32, Entry)> = (0..).zip(entries.iter().cloned()).collect();
            let (found, room) = self.look_at(query, keyed, deadline).await;
            for entry in &mut *entries {
                entry.is_new = false;
            }
            if is_due(&found, query) || Instant::now() >= deadline || entries.is_empty() {
                let partitions = found.into_iter().map(|f| (f.topic, f.data)).collect();
                self.waited(query.reader, waits_since);
                return Fetched {
                    partitions,
                    share: Some(room.into_share()),
                    ..Fetched::default()
                };
            }
            drop((found, room)); // too little for an answer is not held while more is waited for
            if waits_since.is_some() {
                let _ = tokio::time::timeout_at(deadline, ready.0.changed()).await;
                drop(ready.0.take());
            } else {
                // and look again: something may have come before anybody watched
                waits_since = Some(self.shared.env.now());
                for (key, entry) in (0..).zip(&*entries) {
                    watch(entry, query.reader, &ready.0, key);
                }
            }
        }
    }

    /// In a session: the partitions that have news.
    async fn fetch_session(&self, query: &FetchQuery, turn: &Turn) -> Fetched {
        let deadline = Instant::now() + query.wait_max;
        let mut answer = Fetched {
            session_id: turn.id(),
            ..Fetched::default()
        };
        let mut keys = Vec::new();
        let mut waits_since = None;
        loop {
            let Some(entries) = turn.take(&self.shared.index, query.reader, keys) else {
                return answer;
            };
            let (found, room) = self.look_at(query, entries, deadline).await;
            let is_due = is_due(&found, query) || Instant::now() >= deadline;
            let findings: Vec<_> = found.iter().map(Found::finding).collect();
            match turn.settle(&findings, is_due) {
                Settled::Answer { is_told, .. } => {
                    let told = found
                        .into_iter()
                        .zip(is_told)
                        .filter(|(_, is_told)| *is_told);
                    answer.partitions = told.map(|(f, _)| (f.topic, f.data)).collect();
                    answer.share = Some(room.into_share());
                    self.waited(query.reader, waits_since);
                    return answer;
                }
                Settled::Wait { again } => keys = again,
            }
            drop((found, room));
            waits_since.get_or_insert_with(|| self.shared.env.now());
            let _ = tokio::time::timeout_at(deadline, turn.changed()).await;
        }
    }

    /// Counts how long a fetch waited, if it did.
    fn waited(&self, reader: Reader, since: Option<Duration>) {
        if let Some(since) = since {
            let time = self.shared.env.now().saturating_sub(since);
            self.shared.metrics.fetch_waited(reader, time);
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
        let (topic, partition) = entry.name;
        let replica = match entry.replica.filter(|replica| !replica.is_deleted()) {
            Some(replica) => Ok(replica),
            None => self.find(&topic, partition),
        };
        let replica = match may_read(&query.access, &topic) {
            true => replica,
            false => Err(ErrorCode::TopicAuthorizationFailed),
        };
        let mut found = Found {
            key,
            topic,
            data: refusal(partition, ErrorCode::None),
            is_urgent: true,
            tells_high_watermark: false,
            look_again: true,
        };
        let replica = match replica {
            Ok(replica) => replica,
            Err(error) => {
                found.data.error_code = error.code();
                let leader = self.leader_elsewhere(&found.topic, partition);
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
            Ok(records) => {
                // else the log begins later by now, and nobody knows what of it was aborted
                if let Some(aborted) = replica.aborted(query.reader, from, &records) {
                    found.data.aborted_transactions = aborted;
                    found.data.records = Some(records);
                }
            }
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
                name_leader(&mut look.data, error, self.leader_to_name(&state));
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

    /// The aborted transactions with records in what was read from an offset on, for a reader that
    /// wants only what is committed; none where the log has lost some of it since.
    fn aborted(
        &self,
        reader: Reader,
        from: Offset,
        records: &Records,
    ) -> Option<Option<Vec<AbortedTransaction>>> {
        let Reader::Consumer {
            read_committed: true,
            ..
        } = reader
        else {
            return Some(None);
        };
        let state = self.lock();
        if from < state.partition.marks().log_start_offset {
            return None;
        }
        let transactions = state.partition.producers().transactions();
        if transactions.all_aborted().is_empty() {
            return Some(Some(Vec::new()));
        }
        let last = records.chunks().last().map_or(&[][..], |chunk| chunk);
        let last = record_batch::headers(last).map_while(Result::ok).last();
        let until = last.map_or(from, |(_, header)| header.next_offset());
        let aborted = transactions.aborted(from, until).into_iter();
        let told = aborted.map(|aborted| AbortedTransaction {
            producer_id: aborted.producer_id.0,
            first_offset: aborted.first_offset.0,
        });
        Some(Some(told.collect()))
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
        self: &Arc<Self>,
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
            Ok(read @ Read::Segment(_)) => {
                let performed = threads::blocking(inline, || read.perform()).await;
                performed.unwrap_or_else(|| Ok(Vec::new()))
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
            self.note_damage(&error);
            ErrorCode::KafkaStorageError
        })
    }
}
