//! Copying from leaders: one loop for each broker that leads something that we follow.
//!
//! A loop asks its leader for all its partitions in one fetch session, so that only partitions with
//! news are ever named, and keeps one request waiting at the leader. What comes is appended; where
//! durability is Fsync the next request, whose offsets tell the leader what we hold, goes out when
//! the commit that contains it is on disk. Partitions that come or go while a request waits are
//! told at once, by another request that overtakes it.

mod connection;
mod tracked;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla_core::partition::{Durability, Fetched, Input};
use ottla_protocol::codec::Records;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, NodeId, Offset, PartitionIndex, TopicId, TopicIdPartition};
use ottla_protocol::messages::fetch::{FetchResponse, PartitionData};
use ottla_protocol::record_batch;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::partition::{AtHand, Replica};
use super::{Shared, lock, producer_state};
use crate::authorizer::follower_client_id;
use connection::Connection;
use tracked::{Partitions, Sent};

/// The pause before a leader that could not be reached is tried again, at first and at most.
const RECONNECT_PAUSE: (Duration, Duration) =
    (Duration::from_millis(20), Duration::from_millis(500));

/// All loops.
#[derive(Debug, Default)]
pub(super) struct Fetchers {
    state: Mutex<State>,
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
            tokio::spawn(fetcher.run());
            source
        });
        source.tell(replica.id, Some(Arc::clone(replica)));
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
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    #[error("its answer makes no sense: {0}")]
    Codec(#[from] ottla_protocol::codec::Error),
    #[error("its answer makes no sense: {0}")]
    Frame(#[from] ottla_protocol::frame::Error),
    #[error("it answered a request that was not sent")]
    Unasked,
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
                    if matches!(error, Error::Io(_)) {
                        self.shared.controller.suspect(self.leader);
                        self.is_broken = true;
                    }
                    debug!(leader = %self.leader, %error, "fetching failed");
                    self.connection = None;
                    self.partitions.restart_session();
                    // a change may be what mends it
                    let changed = self.source.notify.notified();
                    let _ = tokio::time::timeout(self.pause, changed).await;
                    self.pause = (self.pause * 2).min(RECONNECT_PAUSE.1);
                }
            }
        }
    }

    fn take_changes(&mut self) {
        for (id, replica) in std::mem::take(&mut *lock(&self.source.changes)) {
            match replica {
                Some(replica) => self.partitions.add(replica),
                None => self.partitions.remove(id),
            }
        }
    }

    /// Sends a request and takes in its answer, and those of requests that overtook it.
    async fn fetch(&mut self) -> Result<(), Error> {
        self.send().await?;
        let mut waiting = 1;
        let limit = self.shared.settings.replica_fetch_wait_max + connection::ANSWER_TIMEOUT;
        let mut deadline = Instant::now() + limit;
        while waiting > 0 {
            let retry_at = self.partitions.next_retry().unwrap_or(deadline);
            let Some(connection) = &mut self.connection else {
                return Ok(());
            };
            tokio::select! {
                biased;
                response = connection.receive() => {
                    let (response, frame_bytes) = response?;
                    waiting -= 1;
                    self.take_in(response, frame_bytes).await?;
                }
                () = self.source.notify.notified() => {
                    if self.is_stopped() {
                        return Ok(());
                    }
                    self.take_changes();
                    self.send().await?;
                    waiting += 1;
                    deadline = Instant::now() + limit;
                }
                () = tokio::time::sleep_until(retry_at.min(deadline)) => {
                    if Instant::now() >= deadline {
                        return Err(Error::TimedOut(limit));
                    }
                    self.send().await?;
                    waiting += 1;
                }
            }
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), Error> {
        let broker_epoch = self.shared.controller.broker_epoch();
        let broker_epoch = broker_epoch.ok_or(Error::NotRegistered)?;
        if self.connection.is_none() {
            let address = self.address().ok_or(Error::UnknownBroker(self.leader))?;
            let network = self.shared.network;
            let image = self.shared.controller.image();
            let us = image.broker(self.shared.settings.node_id);
            let us = us
                .filter(|us| us.broker_epoch == broker_epoch)
                .ok_or(Error::NotRegistered)?;
            let client_id = follower_client_id(us);
            let connection = Connection::open(network, &address, client_id, broker_epoch);
            self.connection = Some(connection.await?);
            self.partitions.restart_session();
        }
        let request = self
            .partitions
            .request(&self.shared.settings, broker_epoch, self.leader);
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        if connection.broker_epoch != broker_epoch {
            // another incarnation of ours: the leader has to hear of it for every partition
            self.connection = None;
            return Err(Error::NotRegistered);
        }
        connection.send(&request).await
    }

    fn address(&self) -> Option<String> {
        let image = self.shared.controller.image();
        let broker = image.broker(self.leader)?;
        let name = self.shared.settings.inter_broker_listener_name.as_deref();
        let listener = broker.listener(name.unwrap_or_default())?;
        Some(format!("{}:{}", listener.host, listener.port))
    }

    async fn take_in(&mut self, response: FetchResponse, frame_bytes: usize) -> Result<(), Error> {
        match ErrorCode::from(response.error_code) {
            ErrorCode::None => self.partitions.answered(response.session_id),
            ErrorCode::FetchSessionIdNotFound | ErrorCode::InvalidFetchSessionEpoch => {
                self.partitions.restart_session();
                return Ok(());
            }
            error => return Err(Error::Refused(error)),
        }
        let mut appended = Vec::new();
        let hold = self.shared.store.hold();
        for topic in response.responses {
            for data in topic.partitions {
                let id = TopicIdPartition {
                    topic_id: TopicId(topic.topic_id),
                    partition: PartitionIndex(data.partition_index),
                };
                if let Some((replica, sent)) = self.partitions.sent(id) {
                    let error = ErrorCode::from(data.error_code);
                    let is_bad = !replica.take_in(&sent, data, frame_bytes, &mut appended);
                    self.partitions.taken_in(id, is_bad.then_some(error));
                }
            }
        }
        drop(hold);
        self.wait_until_flushed(&appended).await;
        Ok(())
    }

    /// What we say to hold with the next request has to be on disk by then.
    async fn wait_until_flushed(&self, appended: &[(Arc<Replica>, Offset)]) {
        loop {
            let committed = self.shared.committed.notified();
            tokio::pin!(committed);
            committed.as_mut().enable();
            let is_flushed = |(replica, end): &(Arc<Replica>, Offset)| {
                replica.reader.durable_end_offset() >= *end || replica.lock().partition.is_offline()
            };
            if appended.iter().all(is_flushed) || self.is_stopped() {
                return;
            }
            committed.await;
        }
    }
}

impl Replica {
    /// Takes in the leader's answer for this partition; says whether fetching it may go on. What
    /// was appended and has to be flushed is added to `appended`.
    fn take_in(
        self: &Arc<Self>,
        sent: &Sent,
        data: PartitionData,
        frame_bytes: usize,
        appended: &mut Vec<(Arc<Self>, Offset)>,
    ) -> bool {
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
                    return false;
                }
            };
            batches.push(producer_state::batch(&batch.header));
            starts.push(start);
            start += batch.bytes.len();
        }
        let diverging = data.diverging_epoch;
        let fetched = Fetched {
            leader_epoch: sent.leader_epoch,
            fetch_offset: sent.fetch_offset,
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
        let before = state.partition.marks().log_end_offset;
        let taken = self.step(&mut state, Input::Fetched(fetched), at_hand);
        let end = state.partition.marks().log_end_offset;
        if end > before && state.partition.config().durability == Durability::Fsync {
            appended.push((Arc::clone(self), end));
        }
        // out of range is answered by truncating; any other error waits for better times
        let has_moved = end != before;
        taken.is_ok() && (error.is_none() || has_moved)
    }
}
