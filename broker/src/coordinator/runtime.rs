//! The runtime of coordinators: a task for each partition of an internal topic that this broker
//! leads, which drives one [`Shard`]. What the shard is of, the runtime does not know.
//!
//! [`Runtime::apply`] starts and ends the tasks as leaderships come and go. Ending is sudden:
//! whoever waits is told NOT_COORDINATOR, and the next leader knows all that was ever acknowledged.

pub(super) mod images;
mod load;
pub(super) mod task;
mod unappended;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use ottla_core::ask::Ask;
use ottla_core::image::MetadataImage;
use ottla_core::image::delta::MetadataDelta;
use ottla_core::partition::Origin;
use ottla_core::partition::producers::Open;
use ottla_core::shard::{Shard, partition_for};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{
    LeaderEpoch, PartitionIndex, ProducerEpoch, ProducerId, TopicIdPartition,
};
use ottla_protocol::record::ControlRecord;
use ottla_protocol::record_batch::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use self::images::Images;
use self::task::Task;
use super::log::Log;
use crate::controller;
use crate::env::Env;
use crate::threads;

/// Requests that may wait for one shard's task.
const INBOX_REQUESTS_MAX: usize = 4_096;

/// What the shards of a runtime are set to.
pub(super) struct Settings<S: Shard> {
    /// What the shards know of.
    pub(super) shard: S::Settings,
    /// How long an answer waits for its records to be committed.
    pub(super) commit_timeout: Duration,
    /// Takes the orders of a shard, by the partition and leader epoch that it coordinates.
    pub(super) carry_out: CarryOut<S>,
}

/// Takes an order; it must not wait.
pub(super) type CarryOut<S> =
    Box<dyn Fn(TopicIdPartition, LeaderEpoch, <S as Shard>::Order) + Send + Sync>;

/// Where an answer goes. Dropping it is the answer NOT_COORDINATOR.
pub(super) type Answer<S> = oneshot::Sender<Result<<S as Shard>::Response, ErrorCode>>;

/// What is sent to a shard's task.
pub(super) enum Message<S: Shard> {
    /// A question to the shard.
    Request {
        request: S::Request,
        answer: Answer<S>,
    },
    /// A transaction with records in the shard's partition has ended.
    Marker {
        marker: EndMarker,
        answer: MarkerAnswer,
    },
}

impl<S: Shard> Message<S> {
    /// Answers that it is not served.
    fn fail(self, error: ErrorCode) {
        match self {
            Self::Request { answer, .. } => drop(answer.send(Err(error))),
            Self::Marker { answer, .. } => drop(answer.send(Err(error))),
        }
    }
}

/// Where the answer to a marker goes, once it is committed.
pub(super) type MarkerAnswer = oneshot::Sender<Result<(), ErrorCode>>;

/// How a transaction ended, as its coordinator says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndMarker {
    /// Whose it is.
    pub producer_id: ProducerId,
    /// The producer's incarnation; with an epoch for each transaction, the next one.
    pub producer_epoch: ProducerEpoch,
    /// Its end.
    pub record: ControlRecord,
    /// The transaction.version that it was begun in.
    pub transaction_version: i8,
    /// The one transaction that it may end; none where its coordinator says which.
    pub of: Option<Open>,
}

impl EndMarker {
    /// The batch that says so.
    #[must_use]
    pub fn batch(&self, timestamp_ms: i64) -> BytesMut {
        let (id, epoch) = (self.producer_id, self.producer_epoch);
        Builder::control(self.record, timestamp_ms, id, epoch).build()
    }

    /// Who appends it.
    #[must_use]
    pub fn origin(&self) -> Origin {
        Origin::Marker {
            transaction_version: self.transaction_version,
            of: self.of,
        }
    }
}

/// A request that is on its way to a shard, or why it is not.
pub(super) type Sent<S> =
    Result<oneshot::Receiver<Result<<S as Shard>::Response, ErrorCode>>, ErrorCode>;

/// A running shard.
struct Running<S: Shard> {
    /// By id: a topic that is deleted and made anew has the same indexes and epochs.
    partition: TopicIdPartition,
    leader_epoch: LeaderEpoch,
    inbox: mpsc::Sender<Message<S>>,
    images: Arc<Images>,
    task: AbortHandle,
}

impl<S: Shard> Drop for Running<S> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The shards of this broker; locked for a lookup or a change, never across a wait.
struct Shards<S: Shard> {
    /// How many partitions the topic has; 0 while it is not there.
    partition_count: i32,
    by_partition: BTreeMap<PartitionIndex, Running<S>>,
}

/// The shards of one internal topic.
pub(super) struct Runtime<S: Shard> {
    log: Arc<dyn Log>,
    controller: controller::Handle,
    settings: Arc<Settings<S>>,
    env: Env,
    shards: Mutex<Shards<S>>,
}

impl<S: Shard> Runtime<S> {
    /// A runtime without shards; [`Self::apply`] brings them.
    pub(super) fn new(
        log: Arc<dyn Log>,
        controller: controller::Handle,
        settings: Settings<S>,
        env: Env,
    ) -> Self {
        Self {
            log,
            controller,
            settings: Arc::new(settings),
            env,
            shards: Mutex::new(Shards {
                partition_count: 0,
                by_partition: BTreeMap::new(),
            }),
        }
    }

    /// Takes over what this broker leads now, lets go of what it no longer leads, and shows the
    /// others the image.
    ///
    /// Call it from within tokio, after the replicas have applied the same image and before
    /// requests can come that have seen it: a shard's task reads the log as soon as it starts.
    pub(super) fn apply(&self, image: &Arc<MetadataImage>, delta: &MetadataDelta) {
        let leading = self.leading(image);
        let mut shards = self.shards();
        shards.partition_count = image.topic(S::TOPIC).map_or(0, |topic| {
            i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX)
        });
        shards.by_partition.retain(|index, shard| {
            leading
                .get(index)
                .is_some_and(|leads| *leads == (shard.partition, shard.leader_epoch))
        });
        if !shards.by_partition.is_empty() {
            let delta = Arc::new(delta.clone());
            for shard in shards.by_partition.values() {
                shard.images.put(image, &delta);
            }
        }
        for (index, (partition, leader_epoch)) in leading {
            shards
                .by_partition
                .entry(index)
                .or_insert_with(|| self.start(partition, leader_epoch, image));
        }
    }

    /// The partitions of the topic that this broker leads.
    fn leading(
        &self,
        image: &MetadataImage,
    ) -> BTreeMap<PartitionIndex, (TopicIdPartition, LeaderEpoch)> {
        let node_id = self.controller.node_id();
        let Some(topic) = image.topic(S::TOPIC) else {
            return BTreeMap::new();
        };
        let partitions = (0..).map(PartitionIndex).zip(&topic.partitions);
        let led = partitions.filter(|(_, partition)| partition.leader == Some(node_id));
        led.map(|(index, partition)| {
            let id = TopicIdPartition {
                topic_id: topic.id,
                partition: index,
            };
            (index, (id, partition.leader_epoch))
        })
        .collect()
    }

    fn start(
        &self,
        partition: TopicIdPartition,
        leader_epoch: LeaderEpoch,
        image: &Arc<MetadataImage>,
    ) -> Running<S> {
        let (inbox, receiver) = mpsc::channel(INBOX_REQUESTS_MAX);
        let images = Arc::new(Images::new(Arc::clone(image)));
        let controller = self.controller.clone();
        let task = Task {
            log: Arc::clone(&self.log),
            partition,
            leader_epoch,
            settings: Arc::clone(&self.settings),
            env: self.env.clone(),
            inbox: receiver,
            images: Arc::clone(&images),
            has_lease: Arc::new(move || controller.has_lease()),
        };
        let task = threads::spawn(task.run()).abort_handle();
        Running {
            partition,
            leader_epoch,
            inbox,
            images,
            task,
        }
    }

    fn shards(&self) -> MutexGuard<'_, Shards<S>> {
        // nothing in the critical sections leaves the map half changed
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request to the shard that holds `key`.
    pub(super) fn request(&self, key: &str, request: S::Request) -> Sent<S> {
        let shards = self.shards();
        let index = (shards.partition_count > 0)
            .then(|| PartitionIndex(partition_for(key, shards.partition_count)));
        let shard = index.and_then(|index| shards.by_partition.get(&index));
        let shard = shard.ok_or(ErrorCode::NotCoordinator)?;
        self.send(shard, request)
    }

    /// Sends one request to every shard of this broker.
    pub(super) fn request_all(&self, request: impl Fn() -> S::Request) -> Vec<Sent<S>> {
        let shards = self.shards();
        let all = shards.by_partition.values();
        all.map(|shard| self.send(shard, request())).collect()
    }

    /// Has a shard append a marker; done once it is committed.
    pub(super) fn end_transaction(
        &self,
        index: PartitionIndex,
        marker: EndMarker,
    ) -> Result<oneshot::Receiver<Result<(), ErrorCode>>, ErrorCode> {
        let shards = self.shards();
        let shard = shards.by_partition.get(&index);
        let shard = shard.ok_or(ErrorCode::NotCoordinator)?;
        let (answer, answered) = oneshot::channel();
        shard.put(Message::Marker { marker, answer })?;
        Ok(answered)
    }

    fn send(&self, shard: &Running<S>, request: S::Request) -> Sent<S> {
        // whoever is cut off from the quorum may be replaced already
        if !self.controller.has_lease() {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        shard.send(request)
    }
}

impl<S: Shard> Running<S> {
    fn send(&self, request: S::Request) -> Sent<S> {
        let (answer, answered) = oneshot::channel();
        self.put(Message::Request { request, answer })?;
        Ok(answered)
    }

    fn put(&self, message: Message<S>) -> Result<(), ErrorCode> {
        match self.inbox.try_send(message) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(ErrorCode::CoordinatorNotAvailable),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(ErrorCode::NotCoordinator),
        }
    }
}

/// Waits for the answer to a request of that type.
pub(super) async fn answer<S: Shard, R: Ask<Response = S::Response>>(
    sent: Sent<S>,
) -> Result<R::Answer, ErrorCode> {
    // the task is gone, or has thrown its shard away: somebody else may know
    let response = sent?.await.unwrap_or(Err(ErrorCode::NotCoordinator))?;
    R::answer(response).ok_or(ErrorCode::UnknownServerError)
}
