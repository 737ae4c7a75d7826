//! Copying from leaders: one loop for each broker that leads something that we follow.
//!
//! A loop asks its leader for all its partitions in one fetch session, so that only partitions with
//! news are ever named, and keeps one request waiting at the leader. What comes is appended. Where
//! durability is Fsync a partition has no position to ask from until the commit that contains it is
//! on disk ([`Partition::fetch_position`](ottla_core::partition::Partition::fetch_position)): the
//! leader counts on it. The commit then tells the loop of the partition's leader at that time.
//! Partitions that come, go or are on disk while a request waits are told at once, by another
//! request that overtakes it.
//!
//! Nothing here waits for the disk: a stalled one stops what is on its way to it, and no more.

mod connection;
mod throttled;
mod tracked;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla_core::partition::{Fetched, Input};
use ottla_core::planted::{self, Planted};
use ottla_protocol::codec::Records;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, NodeId, Offset, PartitionIndex, TopicId, TopicIdPartition};
use ottla_protocol::messages::fetch::{FetchResponse, PartitionData};
use ottla_protocol::record_batch;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::partition::{AtHand, Replica};
use super::truncation::Truncation;
use super::{Shared, lock, producer_state};
use crate::authorizer::follower_client_id;
use crate::threads;
use connection::Connection;
use tracked::{Partitions, Sent, Taken};

/// The pause before a leader that could not be reached is tried again, at first and at most.
const RECONNECT_PAUSE: (Duration, Duration) =
    (Duration::from_millis(20), Duration::from_millis(500));

/// How long the next request is held back for the commit of what the last answer brought, so that
/// one request tells of all of it. A commit that takes longer is told by a request of its own.
const COMMIT_WAIT_MAX: Duration = Duration::from_millis(50);

/// All loops.
#[derive(Debug, Default)]
pub(super) struct Fetchers {
    state: Mutex<State>,
    /// How many [`Hold`]s there are.
    holds: AtomicUsize,
}

/// While it lives, partitions whose records come to be on disk wake no loop; once dropped, each
/// loop with any is woken: one request for all partitions of a commit.
pub(super) struct Hold<'a>(&'a Fetchers);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.holds.fetch_sub(1, Ordering::AcqRel);
        for source in lock(&self.0.state).sources.values() {
            if !lock(&source.flushed).is_empty() {
                source.notify.notify_one();
            }
        }
    }
}

#[derive(Debug, Default)]
struct State {
    sources: HashMap<NodeId, Arc<Source>>,
    leaders: HashMap<TopicIdPartition, NodeId>,
}

/// What one loop is told. `None`: the partition is another's to fetch.
type Changes = HashMap<TopicIdPartition, Option<Arc<Replica>>>;

/// The mailbox of one loop.
#[derive(Debug, Default)]
struct Source {
    changes: Mutex<Changes>,
    /// Whose records came to be on disk: each is there once for each time it was without a
    /// position.
    flushed: Mutex<Vec<TopicIdPartition>>,
    notify: Notify,
    is_stopped: AtomicBool,
}

impl Source {
    fn tell(&self, id: TopicIdPartition, replica: Option<Arc<Replica>>) {
        lock(&self.changes).insert(id, replica);
        self.notify.notify_one();
    }
}

impl Fetchers {
    /// A partition has another leader, or none to fetch from. Called under the partition's lock.
    pub(super) fn follow(
        &self,
        shared: &Arc<Shared>,
        replica: &Arc<Replica>,
        leader: Option<NodeId>,
    ) {
        let mut state = lock(&self.state);
        let before = match leader {
            Some(leader) => state.leaders.insert(replica.id, leader),
            None => state.leaders.remove(&replica.id),
        };
        if before != leader
            && let Some(source) = before.and_then(|before| state.sources.get(&before))
        {
            source.tell(replica.id, None);
        }
        let Some(leader) = leader else {
            return;
        };
        let source = state.sources.entry(leader).or_insert_with(|| {
            let source = Arc::<Source>::default();
            let fetcher = Fetcher::new(shared, leader, &source);
            threads::spawn(fetcher.run());
            source
        });
        source.tell(replica.id, Some(Arc::clone(replica)));
    }

    /// There is a position to fetch from again. Called under the partition's lock.
    pub(super) fn resume(&self, id: TopicIdPartition, leader: NodeId) {
        let state = lock(&self.state);
        if let Some(source) = state.sources.get(&leader) {
            lock(&source.flushed).push(id);
            if self.holds.load(Ordering::Acquire) == 0 {
                source.notify.notify_one();
            }
        }
    }

    /// Wakes the loops later, once for all partitions of a commit.
    pub(super) fn hold(&self) -> Hold<'_> {
        self.holds.fetch_add(1, Ordering::AcqRel);
        Hold(self)
    }

    /// Brokers that moved or came back are tried at once.
    pub(super) fn brokers_changed(&self, brokers: &BTreeSet<NodeId>) {
        let state = lock(&self.state);
        for source in brokers.iter().filter_map(|node| state.sources.get(node)) {
            source.notify.notify_one();
        }
    }

    pub(super) fn stop(&self) {
        for source in lock(&self.state).sources.values() {
            source.is_stopped.store(true, Ordering::Release);
            source.notify.notify_one();
        }
    }
}

/// Why a connection to a leader ended.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("broker {0} is not registered")]
    UnknownBroker(NodeId),
    #[error("this broker is not registered yet")]
    NotRegistered,
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    #[error("{0}")]
    Connection(#[from] ottla_client::Error),
    #[error("it refused the fetch: {0:?}")]
    Refused(ErrorCode),
}

/// One loop.
struct Fetcher {
    shared: Arc<Shared>,
    leader: NodeId,
    source: Arc<Source>,
    partitions: Partitions,
    connection: Option<Connection>,
    /// Whether a connection broke since the last answer.
    is_broken: bool,
    pause: Duration,
}

impl Fetcher {
    fn new(shared: &Arc<Shared>, leader: NodeId, source: &Arc<Source>) -> Self {
        Self {
            shared: Arc::clone(shared),
            leader,
            source: Arc::clone(source),
            partitions: Partitions::default(),
            connection: None,
            is_broken: false,
            pause: RECONNECT_PAUSE.0,
        }
    }

    fn is_stopped(&self) -> bool {
        self.source.is_stopped.load(Ordering::Acquire)
    }

    async fn run(mut self) {
        while !self.is_stopped() {
            self.take_changes();
            if self.partitions.is_empty() {
                self.connection = None;
                self.source.notify.notified().await;
                continue;
            }
            match self.fetch().await {
                Ok(()) => {
                    if std::mem::take(&mut self.is_broken) {
                        self.shared.controller.trust(self.leader);
                    }
                    self.pause = RECONNECT_PAUSE.0;
                }
                Err(error) => {
                    if matches!(&error, Error::Connection(cause) if cause.is_broken()) {
                        self.shared.controller.suspect(self.leader);
                        self.is_broken = true;
                    }
                    debug!(leader = %self.leader, %error, "fetching failed");
                    self.connection = None;
                    self.partitions.disconnected();
                    // a change may be what mends it
                    let changed = self.source.notify.notified();
                    let _ = tokio::time::timeout(self.pause, changed).await;
                    self.pause = (self.pause * 2).min(RECONNECT_PAUSE.1);
                }
            }
        }
    }

    /// Takes in what the loop was told; says whether partitions came or went.
    fn take_changes(&mut self) -> bool {
        let changes = std::mem::take(&mut *lock(&self.source.changes));
        let has_changed = !changes.is_empty();
        for (id, replica) in changes {
            match replica {
                Some(replica) => self.partitions.add(replica),
                None => self.partitions.remove(id),
            }
        }
        let flushed = std::mem::take(&mut *lock(&self.source.flushed));
        self.partitions.flushed(flushed);
        has_changed
    }

    /// Gives the commit of what came the time that it usually takes.
    async fn await_commit(&mut self) {
        let deadline = Instant::now() + COMMIT_WAIT_MAX;
        while self.partitions.awaits_commit() && !self.is_stopped() {
            if planted::is(Planted::AwaitedCommit) {
                self.source.notify.notified().await;
                let flushed = std::mem::take(&mut *lock(&self.source.flushed));
                self.partitions.flushed(flushed);
                continue;
            }
            let told = tokio::time::timeout_at(deadline, self.source.notify.notified()).await;
            let has_changed = self.take_changes();
            if told.is_err() || has_changed {
                return;
            }
        }
    }

    /// Sends a request and takes in its answer, and those of requests that overtook it.
    async fn fetch(&mut self) -> Result<(), Error> {
        self.await_commit().await;
        let limit = self.shared.settings.replica_fetch_wait_max + connection::ANSWER_TIMEOUT;
        self.send_within(limit).await?;
        while let Some(since) = self.partitions.waits_since() {
            let deadline = since + limit;
            let retry_at = self.partitions.next_retry().unwrap_or(deadline);
            let Some(connection) = &mut self.connection else {
                return Ok(());
            };
            tokio::select! {
                biased;
                response = connection.receive() => {
                    let (response, frame_bytes) = response?;
                    self.take_in(response, frame_bytes)?;
                    if self.partitions.is_waiting() {
                        self.send_within(limit).await?;
                    }
                }
                () = self.source.notify.notified() => {
                    if self.is_stopped() {
                        return Ok(());
                    }
                    self.take_changes();
                    self.send_within(limit).await?;
                }
                () = tokio::time::sleep_until(retry_at.min(deadline)) => {
                    if Instant::now() >= deadline {
                        return Err(Error::TimedOut(limit));
                    }
                    self.send_within(limit).await?;
                }
            }
        }
        Ok(())
    }

    /// A leader that takes nothing in is one that does not answer.
    async fn send_within(&mut self, limit: Duration) -> Result<(), Error> {
        let sent = tokio::time::timeout(limit, self.send()).await;
        sent.map_err(|_| Error::TimedOut(limit))?
    }

    async fn send(&mut self) -> Result<(), Error> {
        let broker_epoch = self.shared.controller.broker_epoch();
        let broker_epoch = broker_epoch.ok_or(Error::NotRegistered)?;
        if self.connection.is_none() {
            let target = self.target().ok_or(Error::UnknownBroker(self.leader))?;
            let image = self.shared.controller.image();
            let us = image.broker(self.shared.settings.node_id);
            let us = us
                .filter(|us| us.broker_epoch == broker_epoch)
                .ok_or(Error::NotRegistered)?;
            let client_id = follower_client_id(us);
            let target = (target.0.as_str(), target.1);
            let connector = &self.shared.connector;
            let connection = Connection::open(connector, target, client_id, broker_epoch);
            self.connection = Some(connection.await?);
            self.partitions.disconnected();
        }
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        if connection.broker_epoch != broker_epoch {
            // another incarnation of ours: the leader has to hear of it for every partition
            self.connection = None;
            return Err(Error::NotRegistered);
        }
        let settings = &self.shared.settings;
        let held_back = self.shared.held_back();
        let partitions = &mut self.partitions;
        match partitions.request(settings, broker_epoch, self.leader, held_back) {
            Some(request) => connection.send(&request).await,
            None => Ok(()),
        }
    }

    /// The leader's address, and whether TLS is spoken there.
    fn target(&self) -> Option<(String, bool)> {
        let image = self.shared.controller.image();
        let broker = image.broker(self.leader)?;
        let name = self.shared.settings.inter_broker_listener_name.as_deref();
        let listener = broker.listener(name.unwrap_or_default())?;
        let address = format!("{}:{}", listener.host, listener.port);
        Some((address, listener.has_tls()))
    }

    fn take_in(&mut self, response: FetchResponse, frame_bytes: usize) -> Result<(), Error> {
        if !self.partitions.answered() {
            return Ok(());
        }
        match ErrorCode::from(response.error_code) {
            ErrorCode::None => {}
            ErrorCode::FetchSessionIdNotFound | ErrorCode::InvalidFetchSessionEpoch => {
                self.partitions.restart_session();
                return Ok(());
            }
            error => return Err(Error::Refused(error)),
        }
        let hold = self.shared.store.hold();
        let image = self.shared.controller.image();
        for topic in response.responses {
            for data in topic.partitions {
                let id = TopicIdPartition {
                    topic_id: TopicId(topic.topic_id),
                    partition: PartitionIndex(data.partition_index),
                };
                if let Some((replica, asked)) = self.partitions.asked(id) {
                    let bytes = data.records.as_ref().map_or(0, Records::len);
                    self.shared.copied(&image, id, bytes);
                    let taken = replica.take_in(&asked, data, frame_bytes);
                    self.partitions.taken_in(id, taken);
                }
            }
        }
        drop(hold);
        self.partitions.continue_session(response.session_id);
        Ok(())
    }
}

impl Replica {
    /// Takes in the leader's answer for this partition.
    fn take_in(self: &Arc<Self>, asked: &Sent, data: PartitionData, frame_bytes: usize) -> Taken {
        let error = match ErrorCode::from(data.error_code) {
            ErrorCode::None => None,
            error => Some(error),
        };
        let bytes = data
            .records
            .map_or_else(Default::default, Records::into_bytes);
        let mut batches = Vec::new();
        let mut starts = Vec::new();
        let mut start = 0;
        for found in record_batch::iterate(&bytes) {
            let batch = match found.and_then(|b| record_batch::check_crc(&b).map(|()| b)) {
                Ok(batch) => batch,
                Err(error) => {
                    warn!(partition = ?self, %error, "the leader sent a damaged batch");
                    return Taken::Refused;
                }
            };
            batches.push(producer_state::batch(&batch));
            starts.push(start);
            start += batch.bytes.len();
        }
        let diverging = data.diverging_epoch;
        let fetched = Fetched {
            leader_epoch: asked.leader_epoch,
            fetch_offset: asked.fetch_offset,
            error,
            diverging: (diverging.end_offset >= 0)
                .then_some((LeaderEpoch(diverging.epoch), Offset(diverging.end_offset))),
            high_watermark: Offset(data.high_watermark),
            log_start_offset: Offset(data.log_start_offset),
            batches: &batches,
        };
        let at_hand = AtHand::Fetched {
            bytes: bytes.slice(..start),
            starts: &starts,
            frame_bytes,
        };
        let mut state = self.lock();
        if state.partition.truncation(&fetched).is_some() {
            let truncation = Truncation {
                replica: Arc::clone(self),
                leader_epoch: fetched.leader_epoch,
                fetch_offset: fetched.fetch_offset,
                diverging: fetched.diverging,
            };
            // the receiver is gone only when the broker stops
            let _ = self.shared.truncate.send(truncation);
            return Taken::Waits;
        }
        let before = state.partition.marks().log_end_offset;
        let taken = self.step(&mut state, Input::Fetched(fetched), at_hand);
        // out of range is answered by truncating; any other error waits for better times
        let has_moved = state.partition.marks().log_end_offset != before;
        if taken.is_err() || (error.is_some() && !has_moved) {
            return Taken::Refused;
        }
        match state.partition.fetch_position() {
            None => Taken::Waits,
            Some(_) => Taken::GoesOn,
        }
    }
}
