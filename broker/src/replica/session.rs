//! Fetch sessions (KIP-227): a client names its partitions once and then only what changes; it is
//! answered only with what has news.
//!
//! A session's partitions are watched as long as it lives, so a fetch looks at those with news and
//! at no other. A later fetch of the same session overtakes one that still waits, which then
//! answers with what it has found: never with what it would find at a position that the later one
//! has named.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla_core::acl::Acls;
use ottla_core::partition::Reader;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::NodeId;
use ottla_protocol::messages::fetch::PartitionData;

use super::fetch::{FetchItem, FetchQuery, Position};
use super::index::{Index, TopicKey};
use super::partition::Replica;
use super::ready::Ready;
use super::{Replicas, lock};
use crate::authorizer::Access;

/// A session that was not used for this long may make room for another.
const EVICTION_AGE: Duration = Duration::from_secs(120);

/// The epoch that begins a session.
const EPOCH_INITIAL: i32 = 0;

/// The epoch that ends one, or says that none is wanted.
const EPOCH_FINAL: i32 = -1;

/// What was last said of a partition: high watermark, last stable offset, log start offset.
type Sent = (i64, i64, i64);

fn marks(data: &PartitionData) -> Sent {
    (
        data.high_watermark,
        data.last_stable_offset,
        data.log_start_offset,
    )
}

/// One partition of a fetch.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) topic: TopicKey,
    pub(super) partition: i32,
    pub(super) replica: Option<Arc<Replica>>,
    pub(super) position: Position,
    /// Whether a request that is not answered yet named it: it tells where a follower is.
    pub(super) is_new: bool,
    /// Which fetch of the session named it last.
    named: u64,
    sent: Option<Sent>,
}

impl Entry {
    pub(super) fn watch(&self, reader: Reader, ready: &Arc<Ready>, key: u32) {
        let Some(replica) = &self.replica else {
            return;
        };
        let mut state = replica.lock();
        match reader {
            Reader::Follower(_) => state.watch_follower(ready, key),
            Reader::Consumer { .. } => state.watch_consumer(ready, key),
        }
    }
}

/// How a fetch goes on.
pub(super) enum Begun {
    Sessionless(Vec<Entry>),
    Session(Arc<Session>),
    Refused(ErrorCode),
}

#[derive(Debug, Default)]
struct State {
    epoch: i32,
    entries: Vec<Option<Entry>>,
    keys: HashMap<(TopicKey, i32), u32>,
    free: Vec<u32>,
    /// The first answer of a session says everything.
    is_full: bool,
    /// By key: when it was last answered; who waited longest comes first.
    answered: Vec<u64>,
    answers: u64,
    /// The ACLs of the last fetch, where an authorizer asked them.
    acls: Option<Arc<Acls>>,
}

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    id: i32,
    follower: Option<NodeId>,
    ready: Arc<Ready>,
    generation: AtomicU64,
    used_ms: AtomicU64,
    state: Mutex<State>,
}

impl Session {
    pub(super) fn id(&self) -> i32 {
        self.id
    }

    pub(super) fn ready(&self) -> &Arc<Ready> {
        &self.ready
    }

    /// Which fetch of the session this is.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn is_full(&self) -> bool {
        lock(&self.state).is_full
    }

    /// Smaller comes first.
    pub(super) fn rank(&self, key: u32) -> (u64, u32) {
        let state = lock(&self.state);
        (state.answered.get(key as usize).copied().unwrap_or(0), key)
    }

    pub(super) fn entries(&self, keys: &[u32]) -> Vec<(u32, Entry)> {
        let state = lock(&self.state);
        let entry = |key: &u32| Some((*key, state.entries.get(*key as usize)?.clone()?));
        keys.iter().filter_map(entry).collect()
    }

    /// Finds partitions that were not here before, or are others of the same name by now.
    pub(super) fn resolve(&self, index: &Index, reader: Reader, keys: &[u32]) {
        let mut state = lock(&self.state);
        for key in keys {
            let Some(Some(entry)) = state.entries.get_mut(*key as usize) else {
                continue;
            };
            if entry.replica.as_ref().is_none_or(|r| r.is_deleted()) {
                entry.replica = index.find(&entry.topic, entry.partition);
                entry.watch(reader, &self.ready, *key);
            }
        }
    }

    /// Whether this differs from what was last sent of the partition.
    pub(super) fn is_news(&self, key: u32, data: &PartitionData) -> bool {
        let state = lock(&self.state);
        let entry = state.entries.get(key as usize).and_then(Option::as_ref);
        entry.is_some_and(|entry| entry.sent != Some(marks(data)))
    }

    /// Whether the log starts elsewhere than was last said: a follower is to follow at once.
    pub(super) fn is_start_moved(&self, key: u32, data: &PartitionData) -> bool {
        let state = lock(&self.state);
        let entry = state.entries.get(key as usize).and_then(Option::as_ref);
        let sent = entry.and_then(|entry| entry.sent);
        sent.is_some_and(|(_, _, log_start_offset)| log_start_offset != data.log_start_offset)
    }

    /// Other ACLs than with the last fetch: every partition is looked at again.
    pub(super) fn recheck(&self, access: &Access) {
        let Some(image) = access.image() else {
            return;
        };
        let mut state = lock(&self.state);
        let is_same = state
            .acls
            .as_ref()
            .is_some_and(|acls| Arc::ptr_eq(acls, &image.acls));
        if !is_same {
            state.acls = Some(Arc::clone(&image.acls));
            state.keys.values().for_each(|key| self.ready.mark(*key));
        }
    }

    /// The partitions' positions were told to their leaders, by the fetch of this generation. What
    /// a later one named is for that one to tell.
    pub(super) fn seen(&self, keys: &[u32], generation: u64) {
        let mut state = lock(&self.state);
        for key in keys {
            if let Some(Some(entry)) = state.entries.get_mut(*key as usize) {
                entry.is_new &= entry.named > generation;
            }
        }
    }

    /// Notes what the fetch of this generation sends of a partition; says whether it is anything
    /// new. An entry that a later fetch named is left alone: it may be another partition's by now.
    pub(super) fn sent(&self, key: u32, data: &PartitionData, generation: u64) -> bool {
        let mut state = lock(&self.state);
        state.is_full = false;
        state.answers += 1;
        let answers = state.answers;
        let place = key as usize;
        let Some(Some(entry)) = state.entries.get_mut(place) else {
            return false;
        };
        let sent = marks(data);
        let is_news = entry.sent != Some(sent);
        if entry.named > generation {
            return is_news;
        }
        entry.is_new = false;
        entry.sent = Some(sent);
        let has_records = data.records.as_ref().is_some_and(|r| !r.is_empty());
        if has_records && let Some(answered) = state.answered.get_mut(place) {
            *answered = answers;
        }
        is_news
    }

    fn update(&self, reader: Reader, mut entry: Entry) {
        entry.named = self.generation();
        let mut state = lock(&self.state);
        let name = (entry.topic.clone(), entry.partition);
        if let Some(key) = state.keys.get(&name).copied() {
            if let Some(Some(known)) = state.entries.get_mut(key as usize) {
                known.position = entry.position;
                known.is_new = true;
                known.named = entry.named;
                if known.replica.as_ref().is_none_or(|r| r.is_deleted()) {
                    known.replica = entry.replica;
                    known.watch(reader, &self.ready, key);
                }
            }
            self.ready.mark(key);
            return;
        }
        let key = state.free.pop().unwrap_or_else(|| {
            state.entries.push(None);
            state.answered.push(0);
            state.entries.len() as u32 - 1
        });
        entry.watch(reader, &self.ready, key);
        state.answered[key as usize] = 0;
        state.entries[key as usize] = Some(entry);
        state.keys.insert(name, key);
        self.ready.mark(key);
    }

    fn forget(&self, topic: &TopicKey, partition: i32) {
        let mut state = lock(&self.state);
        let Some(key) = state.keys.remove(&(topic.clone(), partition)) else {
            return;
        };
        if let Some(entry) = state.entries[key as usize].take()
            && let Some(replica) = entry.replica
        {
            replica.lock().unwatch(&self.ready, key);
        }
        state.free.push(key);
    }
}

/// All sessions of this broker.
#[derive(Debug)]
pub struct FetchSessions {
    count_max: usize,
    by_id: Mutex<HashMap<i32, Arc<Session>>>,
}

impl FetchSessions {
    /// Room for `count_max` sessions.
    #[must_use]
    pub fn new(count_max: usize) -> Self {
        Self {
            count_max,
            by_id: Mutex::new(HashMap::new()),
        }
    }

    fn end(&self, id: i32) {
        if let Some(session) = lock(&self.by_id).remove(&id) {
            session.ready.close();
        }
    }

    /// Makes room and a session; none where all others are in use. A follower has one session with
    /// a leader, and always finds room.
    fn create(&self, id: i32, follower: Option<NodeId>, now_ms: u64) -> Option<Arc<Session>> {
        let mut by_id = lock(&self.by_id);
        by_id.retain(|_, session| {
            let is_replaced = follower.is_some() && session.follower == follower;
            if is_replaced {
                session.ready.close();
            }
            !is_replaced
        });
        if by_id.len() >= self.count_max && follower.is_none() {
            let evictable = by_id
                .values()
                .filter(|session| session.follower.is_none())
                .map(|session| (session.used_ms.load(Ordering::Relaxed), session.id))
                .min()
                .filter(|(used_ms, _)| now_ms.saturating_sub(*used_ms) >= eviction_age_ms());
            let (_, oldest) = evictable?;
            if let Some(session) = by_id.remove(&oldest) {
                session.ready.close();
            }
        }
        if by_id.contains_key(&id) {
            return None;
        }
        let session = Arc::new(Session {
            id,
            follower,
            ready: Arc::new(Ready::default()),
            generation: AtomicU64::new(0),
            used_ms: AtomicU64::new(now_ms),
            state: Mutex::new(State {
                epoch: 1,
                is_full: true,
                ..State::default()
            }),
        });
        by_id.insert(id, Arc::clone(&session));
        Some(session)
    }
}

fn eviction_age_ms() -> u64 {
    EVICTION_AGE.as_millis() as u64
}

impl Replicas {
    /// Finds or makes the session that a fetch belongs to, and brings it up to date.
    pub(super) fn begin_session(
        &self,
        query: &FetchQuery,
        items: Vec<FetchItem>,
        forgotten: &[(TopicKey, i32)],
    ) -> Begun {
        let sessions = &self.shared.sessions;
        let now_ms = self.shared.env.now_ms() as u64;
        if query.session_epoch == EPOCH_INITIAL || query.session_epoch == EPOCH_FINAL {
            sessions.end(query.session_id);
            let wants_session = query.session_epoch == EPOCH_INITIAL && !items.is_empty();
            let follower = match query.reader {
                Reader::Follower(node) => Some(node),
                Reader::Consumer { .. } => None,
            };
            let session = wants_session
                .then(|| sessions.create(self.new_session_id(), follower, now_ms))
                .flatten();
            let entries = items.into_iter().map(|item| self.entry(item));
            let Some(session) = session else {
                return Begun::Sessionless(entries.collect());
            };
            entries.for_each(|entry| session.update(query.reader, entry));
            return Begun::Session(session);
        }
        let Some(session) = lock(&sessions.by_id).get(&query.session_id).cloned() else {
            return Begun::Refused(ErrorCode::FetchSessionIdNotFound);
        };
        {
            let mut state = lock(&session.state);
            if state.epoch != query.session_epoch {
                return Begun::Refused(ErrorCode::InvalidFetchSessionEpoch);
            }
            state.epoch = state.epoch.checked_add(1).unwrap_or(1);
        }
        session.used_ms.store(now_ms, Ordering::Relaxed);
        session.generation.fetch_add(1, Ordering::AcqRel);
        session.ready.interrupt();
        for (topic, partition) in forgotten {
            session.forget(topic, *partition);
        }
        for item in items {
            session.update(query.reader, self.entry(item));
        }
        Begun::Session(session)
    }

    fn entry(&self, item: FetchItem) -> Entry {
        Entry {
            replica: self.shared.index.find(&item.topic, item.partition),
            topic: item.topic,
            partition: item.partition,
            position: item.position,
            is_new: true,
            named: 0,
            sent: None,
        }
    }

    fn new_session_id(&self) -> i32 {
        1 + self.shared.env.random_below(i32::MAX as u64 - 1) as i32
    }
}
