//! The partitions this broker holds.
//!
//! [`Replicas`] finds a partition by name or id, tells it what clients, followers, leaders and the
//! controller say, and waits for what it answers. Each partition is a core and a log under one
//! lock; no task belongs to a partition, and one without traffic costs nothing.
//!
//! # Layout, in reading order
//! - `index`: partitions by name and id
//! - `partition`: one partition: step the core, perform its effects
//! - `assign`: metadata images become leaders, followers, created and deleted logs
//! - `produce`, `refused`, `pending`: appends, what is to come again, and who waits for them
//! - `fetch`, `room`, `session`, `ready`: reads, long polls without polling, sessions (KIP-227)
//! - `fetcher`: the loops that copy from leaders
//! - `admission`: what is taken from producers
//! - `alter_isr`: ISR changes on their way to the controller
//! - `repair`, `scrub`: damage in logs, found and mended
//! - `strays`: logs that no metadata speak of
//! - `hand_over`, `forward`, `forwarded`, `sent`: leaderships that move, and what producers send
//!   meanwhile
//! - `background`: commits, lag, retention, checkpoints
//! - `compaction`: of each key the last record stays
//! - `offsets`, `describe`, `internal`: questions, and the coordinators' own reads and appends
//! - `inspect`: what a simulation may see

mod admission;
mod alter_isr;
mod assign;
mod background;
mod compaction;
mod describe;
mod fetch;
mod fetcher;
mod forward;
mod forwarded;
mod hand_over;
mod index;
#[cfg(feature = "simulation")]
mod inspect;
mod internal;
mod offsets;
mod partition;
mod pending;
mod place;
mod produce;
mod producer_state;
mod ready;
mod refused;
mod repair;
mod room;
mod scrub;
mod sent;
mod session;
mod strays;
mod truncation;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ottla_core::image::MetadataImage;
use ottla_core::partition::{AlterIsr, Asker};
use ottla_core::throttle::Throttle;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, NodeId, PartitionIndex, TopicId, TopicIdPartition};
use ottla_storage::{Log, Store};
use tokio::sync::{Notify, Semaphore, mpsc, watch};

pub use admission::Refused;
pub use describe::{LogDirectory, PartitionSize};
pub use fetch::{FetchQuery, Fetched};
#[cfg(feature = "simulation")]
pub use inspect::{Changes, Inspected};
pub use internal::InternalRead;
pub use offsets::{EpochQuery, FoundOffset, OffsetQuery};
pub use place::TopicKey;
pub use produce::{ProduceItem, Produced, Produces};
pub use session::{FetchItem, FetchSessions};

use crate::budget::Budget;
use crate::config::Settings;
use crate::controller;
use crate::env::Env;
use crate::metrics::Metrics;
use crate::threads;
use crate::tls::Connector;
use index::Index;
use partition::Replica;

/// A full disk is told of once in so many milliseconds.
const TELL_INTERVAL_MS: i64 = 30_000;

/// What the replicas are made of.
pub struct Components {
    /// The broker's settings.
    pub settings: Arc<Settings>,
    /// Clock and randomness.
    pub env: Env,
    /// Where leaders are reached.
    pub connector: Connector,
    /// The metadata image, and the way to the active controller.
    pub controller: controller::Handle,
    /// What this broker counts.
    pub metrics: Arc<Metrics>,
    /// The data directory.
    pub store: Arc<Store>,
    /// The logs that were found in it.
    pub logs: Vec<Log>,
    /// Whether commits happen in a task, not in the store's own threads: for simulations.
    pub inline: bool,
    /// What the answers to all consumers hold at most, in bytes; those to followers a half of it.
    pub answers_bytes_max: usize,
}

/// What all partitions share.
pub(crate) struct Shared {
    settings: Arc<Settings>,
    env: Env,
    connector: Connector,
    controller: controller::Handle,
    metrics: Arc<Metrics>,
    store: Arc<Store>,
    inline: bool,
    index: Index,
    /// Logs that no image has spoken of yet.
    unassigned: Mutex<Vec<Log>>,
    strays: strays::Strays,
    /// Held by whoever makes the partitions what the metadata say.
    applied: Mutex<Applied>,
    /// Whether an image was applied that is new enough to act on.
    is_current: AtomicBool,
    is_stopping: AtomicBool,
    high_watermarks_moved: AtomicBool,
    /// When a full disk was last told of, by the clock in milliseconds.
    told_ms: AtomicI64,
    /// Rings when something waits for a commit, in inline mode.
    uncommitted: Notify,
    alter_isr: mpsc::UnboundedSender<(Arc<Replica>, AlterIsr)>,
    /// Replicas whose logs are damaged.
    damaged: mpsc::UnboundedSender<Arc<Replica>>,
    hand_overs: mpsc::UnboundedSender<(Arc<Replica>, LeaderEpoch)>,
    forwards: mpsc::UnboundedSender<forward::Forwarded>,
    truncate: mpsc::UnboundedSender<truncation::Truncation>,
    /// How many batches that other brokers sent on to here are not answered, and their streams.
    taken: AtomicUsize,
    /// Set once other brokers are to send no more on.
    takes_no_more: watch::Sender<bool>,
    fetchers: fetcher::Fetchers,
    refused: refused::Refusals,
    /// Room for what is on its way to other leaders, in bytes.
    room: Arc<Semaphore>,
    /// `follower.replication.throttled.rate`, as of the newest image.
    copy_rate: AtomicU64,
    /// What was copied of replicas that are held to a rate.
    throttle: Mutex<Throttle>,
    sessions: FetchSessions,
    /// What answers to consumers hold together.
    consumers_budget: Arc<Budget>,
    /// The same for followers, whom no consumer may hold up.
    followers_budget: Arc<Budget>,
}

/// What was made of the metadata.
#[derive(Debug, Default)]
struct Applied {
    /// The newest image that was acted on.
    image: MetadataImage,
    /// Partitions of this broker whose logs could not be made yet.
    missing: BTreeSet<TopicIdPartition>,
}

impl Shared {
    /// Whether what goes on and on may be told again.
    fn is_time_to_tell(&self) -> bool {
        let now = self.env.now_ms();
        let told = self.told_ms.load(Ordering::Relaxed);
        let is_time = now.saturating_sub(told) >= TELL_INTERVAL_MS;
        if is_time {
            self.told_ms.store(now, Ordering::Relaxed);
        }
        is_time
    }

    /// Who asks, and by what this broker may answer.
    fn asker(&self, is_replica: bool) -> Asker {
        match is_replica {
            true => Asker::Replica,
            false => Asker::Client {
                has_lease: self.controller.has_lease(),
            },
        }
    }

    fn appended(&self) {
        if self.inline {
            self.uncommitted.notify_one();
        }
    }

    fn high_watermark_moved(&self) {
        self.high_watermarks_moved.store(true, Ordering::Relaxed);
    }

    fn alter_isr(&self, replica: &Arc<Replica>, alter: AlterIsr) {
        // the receiver is gone only when the broker stops
        let _ = self.alter_isr.send((Arc::clone(replica), alter));
    }

    fn hand_over(&self, replica: &Arc<Replica>, leader_epoch: LeaderEpoch) {
        // as above
        let _ = self.hand_overs.send((Arc::clone(replica), leader_epoch));
    }

    fn follow(self: &Arc<Self>, replica: &Arc<Replica>, leader: Option<NodeId>) {
        let leader = leader.filter(|leader| *leader != self.settings.node_id);
        self.fetchers.follow(self, replica, leader);
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }
}

/// The way to the partitions. Cheap to clone.
#[derive(Clone)]
pub struct Replicas {
    shared: Arc<Shared>,
}

impl Replicas {
    /// Takes the logs into service; partitions stay offline until an image assigns them.
    #[must_use]
    pub fn start(components: Components) -> Self {
        let (alter_isr, alterations) = mpsc::unbounded_channel();
        let (damaged, damages) = mpsc::unbounded_channel();
        let (hand_overs, handed_over) = mpsc::unbounded_channel();
        let (forwards, forwarded) = mpsc::unbounded_channel();
        let (truncate, truncations) = mpsc::unbounded_channel();
        let settings = components.settings;
        let shared = Arc::new(Shared {
            env: components.env,
            connector: components.connector,
            controller: components.controller,
            metrics: components.metrics,
            store: components.store,
            inline: components.inline,
            index: Index::default(),
            unassigned: Mutex::new(components.logs),
            strays: strays::Strays::default(),
            applied: Mutex::default(),
            is_current: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            high_watermarks_moved: AtomicBool::new(false),
            told_ms: AtomicI64::new(-TELL_INTERVAL_MS),
            uncommitted: Notify::new(),
            alter_isr,
            damaged,
            hand_overs,
            forwards,
            truncate,
            taken: AtomicUsize::new(0),
            takes_no_more: watch::Sender::new(false),
            fetchers: fetcher::Fetchers::default(),
            refused: refused::Refusals::default(),
            room: Arc::new(Semaphore::new(sent::ON_THE_WAY_BYTES_MAX)),
            copy_rate: AtomicU64::new(u64::MAX),
            throttle: Mutex::default(),
            sessions: FetchSessions::new(settings.fetch_session_cache_slots_max),
            consumers_budget: Budget::new(components.answers_bytes_max),
            followers_budget: Budget::new(components.answers_bytes_max / 2),
            settings,
        });
        threads::spawn(alter_isr::run(Arc::clone(&shared), alterations));
        threads::spawn(repair::run(Arc::clone(&shared), damages));
        threads::spawn(hand_over::run(Arc::clone(&shared), handed_over));
        threads::spawn(forward::run(Arc::clone(&shared), forwarded));
        threads::spawn(truncation::run(Arc::clone(&shared), truncations));
        background::start(&shared);
        Self { shared }
    }

    /// Makes everything durable and ends the tasks. Partitions go offline first.
    ///
    /// # Errors
    /// The disk's.
    pub fn close(&self) -> Result<(), ottla_storage::Error> {
        self.shared.is_stopping.store(true, Ordering::Release);
        self.shared.fetchers.stop();
        self.shared.uncommitted.notify_one();
        background::write_high_watermarks(&self.shared)?;
        self.shared.store.close()
    }

    /// The replica, where it is held here.
    fn find(&self, topic: &TopicKey, partition: i32) -> Result<Arc<Replica>, ErrorCode> {
        let found = self.shared.index.find(topic, partition);
        found.ok_or_else(|| self.why_not_here(topic, partition))
    }

    /// A partition that exists elsewhere is not an unknown one.
    fn why_not_here(&self, topic: &TopicKey, partition: i32) -> ErrorCode {
        let image = self.shared.controller.image();
        let (topic, unknown) = match topic {
            TopicKey::Name(name) => (image.topic(name), ErrorCode::UnknownTopicOrPartition),
            TopicKey::Id(id) => (image.topic_by_id(*id), ErrorCode::UnknownTopicId),
        };
        let index = PartitionIndex(partition);
        match topic {
            None => unknown,
            Some(topic) if topic.partition(index).is_none() => ErrorCode::UnknownTopicOrPartition,
            Some(_) => ErrorCode::NotLeaderOrFollower,
        }
    }
}

impl Replicas {
    /// Whether this broker leads the partition by what it knows, without a lease and without
    /// acknowledging anything: others know better who leads.
    #[must_use]
    pub fn is_stranded(&self, topic: TopicId, partition: PartitionIndex) -> bool {
        if self.shared.controller.has_lease() {
            return false;
        }
        let found = self.shared.index.find(&TopicKey::Id(topic), partition.0);
        found.is_some_and(|replica| replica.is_stranded())
    }

    /// Who leads a partition that is not here, by the newest image.
    fn leader_elsewhere(&self, topic: &TopicKey, partition: i32) -> Option<(NodeId, LeaderEpoch)> {
        let image = self.shared.controller.image();
        let topic = match topic {
            TopicKey::Name(name) => image.topic(name),
            TopicKey::Id(id) => image.topic_by_id(*id),
        };
        let registration = topic?.partition(PartitionIndex(partition))?;
        Some((registration.leader?, registration.leader_epoch))
    }
}

/// Locks, also after a panic elsewhere: the data under our locks is consistent between statements
/// that may panic, which are assertions of invariants.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
