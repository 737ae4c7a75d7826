//! Consumer groups and their offsets, over the partitions of `__consumer_offsets`.
//!
//! Each partition that this broker leads has one task, which drives one
//! [`ottla_core::group::Shard`]:
//! it loads the log, then decides requests, appends the records, and answers once they are
//! committed. A group's partition follows from its id, so all brokers agree on who coordinates it.
//!
//! [`Handle::apply`] starts and ends the tasks as leaderships come and go. Ending is sudden:
//! whoever waits is told NOT_COORDINATOR, and the next leader knows all that was ever acknowledged.

mod batch;
mod load;
pub mod log;
mod offsets_topic;
pub mod producer_ids;
mod shard;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ottla_core::ask;
use ottla_core::group::{self, Body, Client, OFFSETS_TOPIC, Request, Response, Token};
use ottla_core::image::MetadataImage;
use ottla_core::image::delta::MetadataDelta;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, NodeId, PartitionIndex, TopicIdPartition, TopicName};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::config;
use crate::controller;
use crate::env::Env;

pub use log::Log;
pub use offsets_topic::Settings as OffsetsTopicSettings;
pub use producer_ids::ProducerIds;

/// Requests that may wait for one shard's task.
const INBOX_REQUESTS_MAX: usize = 4_096;

/// What the coordinator is set to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Groups and offsets.
    pub group: group::Settings,
    /// `__consumer_offsets`.
    pub topic: OffsetsTopicSettings,
    /// How long an answer waits for its records to be committed.
    pub commit_timeout: Duration,
}

impl From<&config::Settings> for Settings {
    fn from(settings: &config::Settings) -> Self {
        let ms = |duration: Duration| i32::try_from(duration.as_millis()).unwrap_or(i32::MAX);
        let check_interval = ms(settings.offsets_retention_check_interval);
        Self {
            group: group::Settings {
                session_timeout_min_ms: ms(settings.group_session_timeout_min),
                session_timeout_max_ms: ms(settings.group_session_timeout_max),
                initial_rebalance_delay_ms: ms(settings.group_initial_rebalance_delay),
                group_size_max: settings.group_size_max,
                offset_metadata_bytes_max: settings.offset_metadata_bytes_max,
                offsets_retention_ms: i64::from(settings.offsets_retention_minutes) * 60_000,
                offsets_retention_check_interval_ms: i64::from(check_interval),
            },
            topic: OffsetsTopicSettings {
                partition_count: settings.offsets_topic_num_partitions,
                replication_factor: settings.offsets_topic_replication_factor,
                segment_bytes: settings.offsets_topic_segment_bytes,
                voter_count: settings.controller_quorum_voters.len(),
            },
            commit_timeout: settings.offsets_commit_timeout,
        }
    }
}

/// What a shard of groups can be asked.
pub trait Ask: ask::Ask<Request = Body, Response = Response> + 'static {}

impl<R: ask::Ask<Request = Body, Response = Response> + 'static> Ask for R {}

/// What is sent to a shard's task.
enum Message {
    /// A request, and where its answer goes. Dropping that is the answer NOT_COORDINATOR.
    Request(Box<Request>, Answer),
    /// These topics are gone.
    TopicsDeleted(Arc<BTreeSet<TopicName>>),
}

type Answer = oneshot::Sender<Result<Response, ErrorCode>>;

/// A running shard.
struct Shard {
    leader_epoch: LeaderEpoch,
    inbox: mpsc::Sender<Message>,
    task: AbortHandle,
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The shards of this broker; locked for a lookup or a change, never across a wait.
#[derive(Default)]
struct Shards {
    /// How many partitions the offsets topic has; 0 while it is not there.
    partition_count: i32,
    by_partition: BTreeMap<PartitionIndex, Shard>,
}

struct Inner {
    log: Arc<dyn Log>,
    controller: controller::Handle,
    settings: Settings,
    env: Env,
    shards: Mutex<Shards>,
    tokens: AtomicU64,
    creation: tokio::sync::Mutex<()>,
    producer_ids: ProducerIds,
}

/// The way to the group coordinator. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    inner: Arc<Inner>,
}

impl Handle {
    /// A coordinator without shards; [`Self::apply`] brings them.
    pub fn new(
        log: Arc<dyn Log>,
        controller: controller::Handle,
        settings: Settings,
        env: Env,
    ) -> Self {
        let inner = Inner {
            log,
            controller,
            settings,
            env,
            shards: Mutex::default(),
            tokens: AtomicU64::new(0),
            creation: tokio::sync::Mutex::default(),
            producer_ids: ProducerIds::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Producer ids for idempotent producers.
    #[must_use]
    pub fn producer_ids(&self) -> &ProducerIds {
        &self.inner.producer_ids
    }

    /// Takes over what this broker leads now, and lets go of what it no longer leads.
    ///
    /// Call it from within the runtime, after the replicas have applied the same image: a shard's
    /// task reads the log as soon as it starts.
    pub fn apply(&self, image: &MetadataImage, delta: &MetadataDelta) {
        let leading = self.leading(image);
        let mut shards = self.shards();
        shards.partition_count = image.topic(OFFSETS_TOPIC).map_or(0, |topic| {
            i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX)
        });
        shards.by_partition.retain(|index, shard| {
            leading
                .get(index)
                .is_some_and(|(_, epoch)| *epoch == shard.leader_epoch)
        });
        let deleted = deleted_topics(delta);
        for shard in shards.by_partition.values() {
            if !deleted.is_empty() {
                // a full inbox loses this: such offsets then stay until they expire
                let _ = shard
                    .inbox
                    .try_send(Message::TopicsDeleted(Arc::clone(&deleted)));
            }
        }
        for (index, (partition, leader_epoch)) in leading {
            shards
                .by_partition
                .entry(index)
                .or_insert_with(|| self.start(partition, leader_epoch));
        }
    }

    /// The partitions of the offsets topic that this broker leads.
    fn leading(
        &self,
        image: &MetadataImage,
    ) -> BTreeMap<PartitionIndex, (TopicIdPartition, LeaderEpoch)> {
        let node_id = self.inner.controller.node_id();
        let Some(topic) = image.topic(OFFSETS_TOPIC) else {
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

    fn start(&self, partition: TopicIdPartition, leader_epoch: LeaderEpoch) -> Shard {
        let (inbox, receiver) = mpsc::channel(INBOX_REQUESTS_MAX);
        let driver = shard::Driver::new(
            Arc::clone(&self.inner.log),
            partition,
            leader_epoch,
            self.inner.settings.clone(),
            self.inner.env.clone(),
            receiver,
        );
        let task = tokio::spawn(driver.run()).abort_handle();
        Shard {
            leader_epoch,
            inbox,
            task,
        }
    }

    fn shards(&self) -> MutexGuard<'_, Shards> {
        // nothing in the critical sections leaves the map half changed
        self.inner
            .shards
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the shard of a group. The request is on its way when this returns; the future waits for
    /// the answer.
    ///
    /// # Errors
    /// NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE: the client looks
    /// for the coordinator again, or tries again.
    pub fn request<R: Ask>(
        &self,
        group_id: &str,
        version: i16,
        client: Client,
        body: R,
    ) -> impl Future<Output = Result<R::Answer, ErrorCode>> + Send + 'static + use<R> {
        let sent = {
            let shards = self.shards();
            let shard = (shards.partition_count > 0)
                .then(|| group::partition_for(group_id, shards.partition_count))
                .and_then(|index| shards.by_partition.get(&PartitionIndex(index)));
            match shard {
                // whoever is cut off from the quorum may be replaced already
                Some(_) if !self.inner.controller.has_lease() => {
                    Err(ErrorCode::CoordinatorNotAvailable)
                }
                Some(shard) => self.send(shard, version, client, body.into_request()),
                None => Err(ErrorCode::NotCoordinator),
            }
        };
        answer::<R>(sent)
    }

    /// Asks every shard of this broker.
    pub fn request_all<R: Ask + Clone>(
        &self,
        version: i16,
        client: &Client,
        body: &R,
    ) -> Vec<impl Future<Output = Result<R::Answer, ErrorCode>> + Send + 'static + use<R>> {
        let shards = self.shards();
        let sent = shards.by_partition.values().map(|shard| {
            let body = body.clone().into_request();
            self.send(shard, version, client.clone(), body)
        });
        sent.map(answer::<R>).collect()
    }

    fn send(
        &self,
        shard: &Shard,
        version: i16,
        client: Client,
        body: Body,
    ) -> Result<oneshot::Receiver<Result<Response, ErrorCode>>, ErrorCode> {
        let token = Token(self.inner.tokens.fetch_add(1, Ordering::Relaxed));
        let request = Box::new(Request {
            token,
            version,
            client,
            body,
        });
        let (sender, receiver) = oneshot::channel();
        match shard.inbox.try_send(Message::Request(request, sender)) {
            Ok(()) => Ok(receiver),
            Err(mpsc::error::TrySendError::Full(_)) => Err(ErrorCode::CoordinatorNotAvailable),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(ErrorCode::NotCoordinator),
        }
    }

    /// Randomness for a new member's id.
    #[must_use]
    pub fn fresh(&self) -> ottla_protocol::ids::Uuid {
        self.inner.env.random_uuid()
    }

    /// The broker that coordinates a group, creating `__consumer_offsets` when it is first needed.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE while there is none.
    pub async fn find(&self, group_id: &str) -> Result<NodeId, ErrorCode> {
        offsets_topic::ensure(&self.inner).await?;
        let leads = |image: &MetadataImage, node| leader(image, group_id) == Some(node);
        let image = self.inner.controller.settled(leads).await;
        leader(&image, group_id)
            .filter(|node| image.is_unfenced(*node))
            .ok_or(ErrorCode::CoordinatorNotAvailable)
    }
}

/// The leader of the partition of `__consumer_offsets` that a group is in.
fn leader(image: &MetadataImage, group_id: &str) -> Option<NodeId> {
    let topic = image.topic(OFFSETS_TOPIC)?;
    let count = i32::try_from(topic.partitions.len()).ok();
    let count = count.filter(|count| *count > 0)?;
    let partition = PartitionIndex(group::partition_for(group_id, count));
    topic.partition(partition)?.leader
}

async fn answer<R: Ask>(
    sent: Result<oneshot::Receiver<Result<Response, ErrorCode>>, ErrorCode>,
) -> Result<R::Answer, ErrorCode> {
    // the task is gone, or has thrown its shard away: somebody else may know the group
    let response = sent?.await.unwrap_or(Err(ErrorCode::NotCoordinator))?;
    R::answer(response).ok_or(ErrorCode::UnknownServerError)
}

fn deleted_topics(delta: &MetadataDelta) -> Arc<BTreeSet<TopicName>> {
    let deleted = delta.topics.values().filter(|topic| topic.deleted);
    Arc::new(deleted.map(|topic| topic.name.clone()).collect())
}
