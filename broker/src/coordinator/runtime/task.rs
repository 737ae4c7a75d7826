//! The task of one shard: loads, then decides, appends, and answers in the order of the log.
//!
//! What is at hand together is decided and replayed together and becomes one batch; several batches
//! may be on their way to being committed. Answers wait in the queue of those batches, so that none
//! overtakes the records that it or an earlier decision rests on.

mod transactional;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ottla_core::image::MetadataImage;
use ottla_core::image::delta::MetadataDelta;
use ottla_core::partition::Origin;
use ottla_core::planted::{self, Planted};
use ottla_core::shard::{After, DecisionOf, Now, Reply, Shard, Token};
use ottla_protocol::codec;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, Offset, TopicIdPartition};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::super::log::{Later, Log};
use super::images::Images;
use super::unappended::{Leaving, Unappended};
use super::{Answer, Message, Settings, load};
use crate::env::Env;

/// Batches that may be on their way at a time; more requests then share the next one.
const IN_FLIGHT_BATCHES_MAX: usize = 8;

/// Messages taken from the inbox at once.
const MESSAGES_MAX: usize = 512;

/// How long requests wait silently for a shard that is loading, before they are told so. A
/// fail-over takes less than that, and saves its clients their back-off.
const LOAD_PATIENCE: Duration = Duration::from_millis(500);

/// How often a shard that is loaded looks whether this broker has its lease.
const LEASE_POLL: Duration = Duration::from_millis(5);

/// How long to wait before a log that failed is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// A batch that is appended and not yet committed.
struct InFlight<S: Shard> {
    appended: Later<Offset>,
    /// What leaves once it is committed.
    leaving: Vec<Leaving<S>>,
    deadline: Instant,
}

/// Why a shard is thrown away and loaded again.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Nobody sends any more: this broker leads the partition no longer.
    #[error("the partition has another leader")]
    Resigned,
    /// What became of a batch in the log is not known.
    #[error("a batch was not committed: {}", .0.name())]
    Commit(ErrorCode),
    /// A decision that no record can hold.
    #[error("a record cannot be written: {0}")]
    Encode(#[from] codec::Error),
    /// The log was not read.
    #[error(transparent)]
    Load(#[from] load::Error),
}

/// What the task works with.
pub(in crate::coordinator) struct Task<S: Shard> {
    pub(in crate::coordinator) log: Arc<dyn Log>,
    pub(in crate::coordinator) partition: TopicIdPartition,
    pub(in crate::coordinator) leader_epoch: LeaderEpoch,
    pub(in crate::coordinator) settings: Arc<Settings<S>>,
    pub(in crate::coordinator) env: Env,
    pub(in crate::coordinator) inbox: mpsc::Receiver<Message<S>>,
    pub(in crate::coordinator) images: Arc<Images>,
    /// Whether this broker's lease stands, so that its image is no older than its leaderships.
    pub(in crate::coordinator) has_lease: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl<S: Shard> Task<S> {
    /// Loads and serves until the partition has another leader.
    pub(in crate::coordinator) async fn run(mut self) {
        let (topic, index) = (S::TOPIC, self.partition.partition);
        loop {
            let failure = match self.load().await {
                Ok(shard) => Serving::run(&mut self, shard).await,
                Err(failure) => failure,
            };
            match failure {
                Failure::Resigned => return,
                Failure::Load(load::Error::Log(error)) => {
                    // the replica may not have heard yet that it leads
                    debug!(topic, partition = %index, error = error.name(), "shard not loaded");
                }
                failure => warn!(topic, partition = %index, %failure, "shard is loaded again"),
            }
            self.refuse_for(RETRY).await;
        }
    }

    /// Reads the log; requests wait a little, then are refused. A broker that has just started may
    /// lead by an image of old, which knows less than the log: so a shard begins with the lease.
    async fn load(&mut self) -> Result<S, Failure> {
        let started = Instant::now();
        let log = Arc::clone(&self.log);
        let settings = self.settings.shard.clone();
        let has_lease = Arc::clone(&self.has_lease);
        let (partition, leader_epoch) = (self.partition, self.leader_epoch);
        let reading = async move {
            let loaded = load::read::<S>(&*log, partition, leader_epoch, settings).await;
            while loaded.is_ok() && !has_lease() {
                tokio::time::sleep(LEASE_POLL).await;
            }
            loaded
        };
        let mut reading = std::pin::pin!(reading);
        let loaded = match tokio::time::timeout(LOAD_PATIENCE, &mut reading).await {
            Ok(loaded) => loaded?,
            Err(_) => loop {
                tokio::select! {
                    loaded = &mut reading => break loaded?,
                    message = self.inbox.recv() => refuse(message)?,
                }
            },
        };
        if loaded.records > 0 {
            info!(
                topic = S::TOPIC,
                partition = %self.partition.partition,
                records = loaded.records,
                milliseconds = started.elapsed().as_millis(),
                "shard loaded"
            );
        }
        Ok(loaded.shard)
    }

    async fn refuse_for(&mut self, duration: Duration) {
        let refusing = async {
            while refuse(self.inbox.recv().await).is_ok() {}
            // nobody is left to be refused; the next load ends the task
        };
        let _ = tokio::time::timeout(duration, refusing).await;
    }

    fn now(&self) -> Now {
        Now {
            monotonic_ms: u64::try_from(self.env.now_ms()).unwrap_or(0),
            wall_ms: self.env.unix_ms(),
            age_ms: self.env.age_ms(),
        }
    }
}

fn refuse<S: Shard>(message: Option<Message<S>>) -> Result<(), Failure> {
    let message = message.ok_or(Failure::Resigned)?;
    message.fail(ErrorCode::CoordinatorLoadInProgress);
    Ok(())
}

/// What a client is told of an error of the log, as by Apache Kafka.
fn told(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::UnknownTopicOrPartition
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::RequestTimedOut => ErrorCode::CoordinatorNotAvailable,
        ErrorCode::NotLeaderOrFollower
        | ErrorCode::FencedLeaderEpoch
        | ErrorCode::UnknownLeaderEpoch
        | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        // of the producer whose offsets they are
        ErrorCode::InvalidProducerEpoch
        | ErrorCode::InvalidTxnState
        | ErrorCode::ConcurrentTransactions => error,
        _ => ErrorCode::UnknownServerError,
    }
}

/// A loaded shard at work. Dropping it drops all waiting answers, which says NOT_COORDINATOR.
struct Serving<'a, S: Shard> {
    task: &'a mut Task<S>,
    shard: S,
    soft: S::Soft,
    answers: HashMap<Token, Answer<S>>,
    tokens: u64,
    unappended: Unappended<S>,
    in_flight: VecDeque<InFlight<S>>,
}

/// What the task wakes up for.
enum Event {
    Messages(usize),
    Image(Arc<MetadataImage>, MetadataDelta),
    Committed(Result<Offset, ErrorCode>),
    DeadlinePassed,
    CommitTimedOut,
    Retry,
}

impl<'a, S: Shard> Serving<'a, S> {
    /// Serves for as long as nothing fails.
    async fn run(task: &'a mut Task<S>, shard: S) -> Failure {
        let image = task.images.latest();
        let (soft, decision) = shard.on_loaded(task.now(), &image);
        let mut serving = Self {
            task,
            shard,
            soft,
            answers: HashMap::new(),
            tokens: 0,
            unappended: Unappended::new(),
            in_flight: VecDeque::new(),
        };
        let mut messages = Vec::new();
        let mut outcome = serving.replay(decision);
        loop {
            if let Err(failure) = outcome {
                return failure;
            }
            serving.flush();
            let event = serving.next(&mut messages).await;
            outcome = serving.on(event, &mut messages);
        }
    }

    fn on(&mut self, event: Event, messages: &mut Vec<Message<S>>) -> Result<(), Failure> {
        let now = self.task.now();
        match event {
            Event::Messages(0) => return Err(Failure::Resigned),
            Event::Messages(_) => {
                let is_stalled = self.is_stalled();
                for message in messages.drain(..) {
                    match (message, is_stalled) {
                        // no room, and none to be expected soon
                        (message, true) => message.fail(ErrorCode::CoordinatorNotAvailable),
                        (Message::Request { request, answer }, _) => self.take(request, answer)?,
                        (Message::Marker { marker, answer }, _) => self.end(marker, answer),
                    }
                }
            }
            Event::Image(image, delta) => {
                let decision = self.shard.on_image(&mut self.soft, now, &image, &delta);
                self.replay(decision)?;
            }
            Event::Committed(Ok(_)) => self.committed(),
            Event::Committed(Err(error)) => return Err(Failure::Commit(error)),
            Event::DeadlinePassed => {
                let decision = self.shard.on_deadline(&mut self.soft, now);
                self.replay(decision)?;
            }
            Event::CommitTimedOut => self.commit_timed_out(),
            Event::Retry => self.unappended.retry_at = None,
        }
        Ok(())
    }

    /// What happens next. Commits come first: they make room and cost no decision. Images come
    /// before requests, whose senders may have seen them.
    async fn next(&mut self, messages: &mut Vec<Message<S>>) -> Event {
        let deadline = S::next_deadline_ms(&self.soft).map(|at_ms| {
            let left_ms = at_ms.saturating_sub(self.task.now().monotonic_ms);
            Instant::now() + Duration::from_millis(left_ms)
        });
        let has_room = self.has_room();
        let is_open = has_room || self.is_stalled();
        let commit_deadline = self.commit_deadline();
        let front = self.in_flight.front_mut().map(|batch| &mut batch.appended);
        tokio::select! {
            biased;
            result = at_front(front) => Event::Committed(result),
            (image, delta) = self.task.images.next(), if has_room => Event::Image(image, delta),
            count = self.task.inbox.recv_many(messages, MESSAGES_MAX), if is_open => {
                Event::Messages(count)
            }
            () = sleep_until(deadline), if has_room => Event::DeadlinePassed,
            () = sleep_until(self.unappended.retry_at) => Event::Retry,
            () = sleep_until(commit_deadline) => Event::CommitTimedOut,
        }
    }

    /// Until when the oldest of those who wait for a commit wait.
    fn commit_deadline(&self) -> Option<Instant> {
        let mut in_flight = self.in_flight.iter();
        let waiting = in_flight.find(|batch| batch.leaving.iter().any(Leaving::is_awaited));
        waiting.map(|batch| batch.deadline)
    }

    fn has_room(&self) -> bool {
        self.in_flight.len() < IN_FLIGHT_BATCHES_MAX && !self.unappended.is_full()
    }

    /// Nothing is committed any more, and there is no room for what would come after it.
    fn is_stalled(&self) -> bool {
        let oldest = self.in_flight.front();
        !self.has_room() && oldest.is_some_and(|batch| batch.deadline <= Instant::now())
    }

    fn take(&mut self, request: S::Request, answer: Answer<S>) -> Result<(), Failure> {
        let token = Token(self.tokens);
        self.tokens += 1;
        self.answers.insert(token, answer);
        let now = self.task.now();
        let decision = self.shard.decide(&mut self.soft, now, token, request);
        if decision.transaction.is_none() {
            return self.replay(decision);
        }
        self.replay_alone(decision)
    }

    /// Makes a decision so for those that follow; its records are appended by the next flush.
    fn replay(&mut self, decision: DecisionOf<S>) -> Result<(), Failure> {
        let transaction = decision.transaction;
        for (place, record) in decision.records.into_iter().enumerate() {
            let encoded = S::encode(&record)?;
            let undo = match transaction {
                Some(of) => self.shard.replay_open(of.producer_id, record),
                None => self.shard.replay(record),
            };
            let patience = self.task.settings.commit_timeout;
            let place = (place == 0, transaction);
            self.unappended.push(encoded, undo, place, patience);
        }
        for reply in decision.replies {
            match reply.after {
                After::Commit if planted::is(Planted::EarlyReply) => self.answer(reply),
                After::Nothing => self.answer(reply),
                After::Commit => self.leave_committed(Leaving::Reply(reply)),
            }
        }
        for order in decision.orders {
            self.leave_committed(Leaving::Order(order));
        }
        Ok(())
    }

    /// Lets it leave once all records so far are committed.
    fn leave_committed(&mut self, leaving: Leaving<S>) {
        if !self.unappended.is_empty() {
            self.unappended.wait(leaving);
        } else if let Some(last) = self.in_flight.back_mut() {
            last.leaving.push(leaving);
        } else {
            self.leave(leaving);
        }
    }

    fn leave(&mut self, leaving: Leaving<S>) {
        match leaving {
            Leaving::Reply(reply) => self.answer(reply),
            Leaving::Marker(answer) => drop(answer.send(Ok(()))),
            Leaving::Order(order) => {
                let Task {
                    partition,
                    leader_epoch,
                    ..
                } = *self.task;
                (self.task.settings.carry_out)(partition, leader_epoch, order);
            }
        }
    }

    /// Appends what was decided; says whether all of it is in the log. Where too few replicas are
    /// in sync, that may pass: then it waits.
    fn flush(&mut self) -> bool {
        if self.unappended.retry_at.is_some() {
            return false;
        }
        let timestamp_ms = self.task.env.unix_ms();
        while let Some(batch) = self.unappended.next_batch(timestamp_ms) {
            let Task {
                log,
                partition,
                leader_epoch,
                ..
            } = &*self.task;
            let origin = Origin::Coordinator(batch.transaction.and_then(|of| of.guard));
            match log.append(*partition, *leader_epoch, batch.bytes, origin) {
                Ok(appended) => self.in_flight.push_back(InFlight {
                    appended,
                    leaving: self.unappended.appended(batch.count),
                    deadline: Instant::now() + self.task.settings.commit_timeout,
                }),
                Err(ErrorCode::NotEnoughReplicas) if self.unappended.may_wait() => {
                    self.unappended.retry_at = Some(Instant::now() + RETRY);
                    return false;
                }
                Err(error) => {
                    self.refused(error);
                    return false;
                }
            }
        }
        true
    }

    /// The log has nothing of what was not appended, and so has the shard.
    fn refused(&mut self, error: ErrorCode) {
        let topic = S::TOPIC;
        debug!(topic, partition = %self.task.partition.partition, error = error.name(), "refused");
        let now = self.task.now();
        let (undos, leaving) = self.unappended.refused();
        for undo in undos {
            for reply in self.shard.undo(&mut self.soft, now, undo) {
                self.answer(reply);
            }
        }
        // an order is of what is not so
        self.fail(leaving, told(error));
    }

    fn committed(&mut self) {
        let leaving = self.in_flight.pop_front().map(|batch| batch.leaving);
        for leaving in leaving.into_iter().flatten() {
            self.leave(leaving);
        }
    }

    fn answer(&mut self, reply: Reply<S::Response>) {
        if let Some(answer) = self.answers.remove(&reply.token) {
            // a client that went away is no loss
            let _ = answer.send(Ok(reply.response));
        }
    }

    fn fail(&mut self, leaving: Vec<Leaving<S>>, error: ErrorCode) {
        for leaving in leaving {
            match leaving {
                Leaving::Reply(reply) => {
                    if let Some(answer) = self.answers.remove(&reply.token) {
                        let _ = answer.send(Err(error));
                    }
                }
                Leaving::Marker(answer) => drop(answer.send(Err(error))),
                Leaving::Order(_) => {}
            }
        }
    }

    /// The log has the records, but they are not committed in time. Who waits is told to try again;
    /// the shard stays as it is, for its log has not lost anything, and orders wait on.
    fn commit_timed_out(&mut self) {
        let now = Instant::now();
        let late = self.in_flight.iter_mut();
        let late = late.take_while(|batch| batch.deadline <= now);
        let replies: Vec<_> = late
            .flat_map(|batch| batch.leaving.extract_if(.., |leaving| leaving.is_awaited()))
            .collect();
        self.fail(replies, ErrorCode::CoordinatorNotAvailable);
    }
}

async fn at_front(front: Option<&mut Later<Offset>>) -> Result<Offset, ErrorCode> {
    match front {
        Some(appended) => appended.await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
