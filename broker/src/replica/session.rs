//! Fetch sessions of this broker: their ids, their lock, and who wakes them.
//!
//! What a session says and looks at is decided in [`ottla_core::fetch_session`]. Its partitions are
//! watched as long as it lives, so a fetch looks at those with news and at no other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use ottla_core::fetch_session::{
    self, FetchSession, Finding, Held, Position, Settled, Vacancy, Wanted,
};
use ottla_core::partition::Reader;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::NodeId;

use super::index::Index;
use super::partition::Replica;
use super::place::TopicKey;
use super::ready::Ready;
use super::{Replicas, lock};
use crate::authorizer::Access;

/// A partition, as a fetch names it.
pub(super) type Name = (TopicKey, i32);

/// One partition of a fetch.
pub(super) type Entry = fetch_session::Entry<Name, Option<Arc<Replica>>>;

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

/// The session that a fetch names, and who fetches.
pub(super) struct Claim<'a> {
    pub(super) id: i32,
    pub(super) epoch: i32,
    pub(super) reader: Reader,
    pub(super) access: &'a Access,
}

/// How a fetch goes on.
pub(super) enum Begun {
    Sessionless(Vec<Entry>),
    Session(Turn),
    Refused(ErrorCode),
}

/// A fetch's turn in its session.
pub(super) struct Turn {
    session: Arc<Session>,
    generation: u64,
}

impl Turn {
    pub(super) fn id(&self) -> i32 {
        self.session.id
    }

    /// The partitions to look at: these and those that have news. None once a later fetch has
    /// begun: it may have named other positions, and answers from them.
    pub(super) fn take(
        &self,
        index: &Index,
        reader: Reader,
        mut keys: Vec<u32>,
    ) -> Option<Vec<(u32, Entry)>> {
        let ready = &self.session.ready;
        let mut state = self.session.lock();
        if state.is_overtaken(self.generation) {
            keys.iter().for_each(|key| ready.mark(*key));
            // what woke this fetch was meant for the later one
            ready.interrupt();
            return None;
        }
        keys.extend(ready.take());
        state.order(&mut keys);
        let mut entries = Vec::with_capacity(keys.len());
        for key in keys {
            let Some(entry) = state.entry(key) else {
                continue;
            };
            // not here before, or another of the same name by now
            if entry.replica.as_ref().is_none_or(|r| r.is_deleted()) {
                let (topic, partition) = &entry.name;
                entry.replica = index.find(topic, *partition);
                watch(entry, reader, ready, key);
            }
            entries.push((key, entry.clone()));
        }
        Some(entries)
    }

    /// Decides whether the fetch answers with what it found; what is to be looked at with the next
    /// fetch is marked.
    pub(super) fn settle(&self, findings: &[Finding], is_due: bool) -> Settled {
        let mut state = self.session.lock();
        let settled = state.settle(self.generation, findings, is_due);
        if let Settled::Answer { again, .. } = &settled {
            again.iter().for_each(|key| self.session.ready.mark(*key));
        }
        settled
    }

    /// Waits for news of a partition, or a later fetch.
    pub(super) async fn changed(&self) {
        self.session.ready.changed().await;
    }
}

/// Leaves a watcher with the partition of an entry, where it is here.
pub(super) fn watch(entry: &Entry, reader: Reader, ready: &Arc<Ready>, key: u32) {
    let Some(replica) = &entry.replica else {
        return;
    };
    let mut state = replica.lock();
    match reader {
        Reader::Follower(_) => state.watch_follower(ready, key),
        Reader::Consumer { .. } => state.watch_consumer(ready, key),
    }
}

/// One session.
#[derive(Debug)]
struct Session {
    id: i32,
    follower: Option<NodeId>,
    used_ms: AtomicU64,
    ready: Arc<Ready>,
    state: Mutex<FetchSession<Name, Option<Arc<Replica>>>>,
}

impl Session {
    fn lock(&self) -> MutexGuard<'_, FetchSession<Name, Option<Arc<Replica>>>> {
        lock(&self.state)
    }

    fn held(&self) -> Held {
        Held {
            id: self.id,
            follower: self.follower,
            used_ms: self.used_ms.load(Ordering::Relaxed),
        }
    }

    /// A fetch begins: of this epoch, or the first.
    fn begin(
        self: Arc<Self>,
        epoch: Option<i32>,
        access: &Access,
        items: Vec<FetchItem>,
        forgotten: &[Name],
    ) -> Result<Turn, ErrorCode> {
        let mut state = self.lock();
        if let Some(epoch) = epoch {
            state.advance(epoch)?;
            self.ready.interrupt();
        }
        if let Some(image) = access.image() {
            let again = state.recheck(&image.acls);
            again.into_iter().for_each(|key| self.ready.mark(key));
        }
        for name in forgotten {
            if let Some((key, Some(replica))) = state.forget(name) {
                replica.lock().unwatch(&self.ready, key);
            }
        }
        for item in items {
            // looked up and watched when it is looked at
            let key = state.update((item.topic, item.partition), item.position);
            self.ready.mark(key);
        }
        let generation = state.generation();
        drop(state);
        Ok(Turn {
            session: self,
            generation,
        })
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

    /// Makes room and a session; none where all others are in use.
    fn create(&self, id: i32, follower: Option<NodeId>, now_ms: u64) -> Option<Arc<Session>> {
        let mut by_id = lock(&self.by_id);
        let held = by_id.values().map(|session| session.held());
        match Vacancy::among(held, self.count_max, follower, now_ms) {
            Vacancy::Free => {}
            Vacancy::InPlaceOf(other) => {
                if let Some(session) = by_id.remove(&other) {
                    session.ready.close();
                }
            }
            Vacancy::None => return None,
        }
        if by_id.contains_key(&id) {
            return None;
        }
        let session = Arc::new(Session {
            id,
            follower,
            used_ms: AtomicU64::new(now_ms),
            ready: Arc::default(),
            state: Mutex::default(),
        });
        by_id.insert(id, Arc::clone(&session));
        Some(session)
    }
}

impl Replicas {
    /// Finds or makes the session that a fetch belongs to, and brings it up to date.
    pub(super) fn begin_session(
        &self,
        claim: &Claim<'_>,
        items: Vec<FetchItem>,
        forgotten: &[Name],
    ) -> Begun {
        let sessions = &self.shared.sessions;
        let now_ms = self.shared.env.now_ms() as u64;
        let wanted = Wanted::of(claim.epoch, !items.is_empty());
        let (session, epoch) = if wanted == Wanted::Known {
            let session = lock(&sessions.by_id).get(&claim.id).cloned();
            (session, Some(claim.epoch))
        } else {
            sessions.end(claim.id);
            let follower = match claim.reader {
                Reader::Follower(node) => Some(node),
                Reader::Consumer { .. } => None,
            };
            let session = (wanted == Wanted::New)
                .then(|| sessions.create(self.new_session_id(), follower, now_ms))
                .flatten();
            (session, None)
        };
        let Some(session) = session else {
            return match epoch {
                Some(_) => Begun::Refused(ErrorCode::FetchSessionIdNotFound),
                None => Begun::Sessionless(items.into_iter().map(|i| self.entry(i)).collect()),
            };
        };
        match session.begin(epoch, claim.access, items, forgotten) {
            Ok(turn) => {
                turn.session.used_ms.store(now_ms, Ordering::Relaxed);
                Begun::Session(turn)
            }
            Err(error) => Begun::Refused(error),
        }
    }

    fn entry(&self, item: FetchItem) -> Entry {
        let replica = self.shared.index.find(&item.topic, item.partition);
        Entry::new((item.topic, item.partition), replica, item.position)
    }

    fn new_session_id(&self) -> i32 {
        1 + self.shared.env.random_below(i32::MAX as u64 - 1) as i32
    }
}
