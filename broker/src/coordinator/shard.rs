//! The task of one shard: loads, then decides, appends, and answers in the order of the log.
//!
//! Several requests that are at hand together become one batch, and several batches may be on their
//! way to being committed. Answers wait in the queue of those batches, so that none overtakes the
//! records that it or an earlier decision rests on.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use ottla_core::group::{self, After, Input, Now, Output, Reply, Token};
use ottla_protocol::codec;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, Offset, TopicIdPartition};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::log::{Later, Log};
use super::{Answer, Message, Settings, batch, load};
use crate::env::Env;

/// Batches that may be on their way at a time; more requests then share the next one.
const IN_FLIGHT_BATCHES_MAX: usize = 8;

/// Messages taken from the inbox at once.
const MESSAGES_MAX: usize = 512;

/// How long requests wait silently for a shard that is loading, before they are told so. A
/// fail-over takes less than that, and saves its clients their back-off.
const LOAD_PATIENCE: Duration = Duration::from_millis(500);

/// How long to wait before a log that failed is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// A batch that is appended and not yet committed.
struct InFlight {
    batch: BytesMut,
    appended: Later<Offset>,
    /// What to say once it is committed.
    replies: Vec<Reply>,
    deadline: Instant,
}

/// Why a shard is thrown away and loaded again.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Nobody sends any more: this broker leads the partition no longer.
    #[error("the partition has another leader")]
    Resigned,
    /// The log did not take a batch.
    #[error("a batch was not committed: {}", .0.name())]
    Append(ErrorCode),
    /// A decision that no record can hold.
    #[error("a record cannot be written: {0}")]
    Encode(#[from] codec::Error),
    /// The log was not read.
    #[error(transparent)]
    Load(#[from] load::Error),
}

/// What the task works with.
pub(super) struct Driver {
    log: Arc<dyn Log>,
    partition: TopicIdPartition,
    leader_epoch: LeaderEpoch,
    settings: Settings,
    env: Env,
    inbox: mpsc::Receiver<Message>,
}

impl Driver {
    pub(super) fn new(
        log: Arc<dyn Log>,
        partition: TopicIdPartition,
        leader_epoch: LeaderEpoch,
        settings: Settings,
        env: Env,
        inbox: mpsc::Receiver<Message>,
    ) -> Self {
        Self {
            log,
            partition,
            leader_epoch,
            settings,
            env,
            inbox,
        }
    }

    /// Loads and serves until the partition has another leader.
    pub(super) async fn run(mut self) {
        let index = self.partition.partition;
        loop {
            let failure = match self.load().await {
                Ok(shard) => Serving::new(&mut self, shard).run().await,
                Err(failure) => failure,
            };
            match failure {
                Failure::Resigned => return,
                Failure::Load(load::Error::Log(error)) => {
                    // the replica may not have heard yet that it leads
                    debug!(partition = %index, error = error.name(), "group shard not loaded");
                }
                failure => warn!(partition = %index, %failure, "group shard is loaded again"),
            }
            self.refuse_for(RETRY).await;
        }
    }

    /// Reads the log; requests wait a little, then are refused.
    async fn load(&mut self) -> Result<group::Shard, Failure> {
        let started = Instant::now();
        let log = Arc::clone(&self.log);
        let reading = load::read(&*log, self.partition, self.leader_epoch);
        let mut reading = std::pin::pin!(reading);
        let loader = match tokio::time::timeout(LOAD_PATIENCE, &mut reading).await {
            Ok(loader) => loader?,
            Err(_) => loop {
                tokio::select! {
                    loader = &mut reading => break loader?,
                    message = self.inbox.recv() => refuse(message)?,
                }
            },
        };
        let (shard, errors) = loader.finish(now(&self.env), self.settings.group.clone());
        for error in errors {
            warn!(partition = %self.partition.partition, %error, "a record was left out");
        }
        if shard.group_count() > 0 {
            info!(
                partition = %self.partition.partition,
                groups = shard.group_count(),
                milliseconds = started.elapsed().as_millis(),
                "groups loaded"
            );
        }
        Ok(shard)
    }

    async fn refuse_for(&mut self, duration: Duration) {
        let refusing = async {
            while refuse(self.inbox.recv().await).is_ok() {}
            // nobody is left to be refused; the next load ends the task
        };
        let _ = tokio::time::timeout(duration, refusing).await;
    }
}

fn refuse(message: Option<Message>) -> Result<(), Failure> {
    match message {
        Some(Message::Request(_, answer)) => {
            let _ = answer.send(Err(ErrorCode::CoordinatorLoadInProgress));
            Ok(())
        }
        Some(Message::TopicsDeleted(_)) => Ok(()),
        None => Err(Failure::Resigned),
    }
}

/// No room, and none to be expected soon.
fn turn_away(message: Message) {
    if let Message::Request(_, answer) = message {
        let _ = answer.send(Err(ErrorCode::CoordinatorNotAvailable));
    }
}

fn now(env: &Env) -> Now {
    Now {
        monotonic_ms: u64::try_from(env.now_ms()).unwrap_or(0),
        wall_ms: env.unix_ms(),
        age_ms: env.age_ms(),
    }
}

/// A loaded shard at work. Dropping it drops all waiting answers, which says NOT_COORDINATOR.
struct Serving<'a> {
    driver: &'a mut Driver,
    shard: group::Shard,
    answers: HashMap<Token, Answer>,
    in_flight: VecDeque<InFlight>,
}

/// What the task wakes up for.
enum Event {
    Messages(usize),
    Committed(Result<Offset, ErrorCode>),
    DeadlinePassed,
    CommitTimedOut,
}

impl<'a> Serving<'a> {
    fn new(driver: &'a mut Driver, shard: group::Shard) -> Self {
        Self {
            driver,
            shard,
            answers: HashMap::new(),
            in_flight: VecDeque::new(),
        }
    }

    async fn run(mut self) -> Failure {
        let mut messages = Vec::new();
        loop {
            match self.next(&mut messages).await {
                Event::Messages(0) => return Failure::Resigned,
                Event::Messages(_) => {
                    let mut output = Output::default();
                    let is_stalled = self.is_stalled();
                    for message in messages.drain(..) {
                        if is_stalled {
                            turn_away(message);
                        } else {
                            self.take(message, &mut output);
                        }
                    }
                    if let Err(error) = self.perform(output) {
                        return Failure::Encode(error);
                    }
                }
                Event::Committed(Ok(_)) => self.committed(),
                Event::Committed(Err(ErrorCode::NotEnoughReplicas)) if self.may_retry() => {
                    tokio::time::sleep(RETRY).await;
                    self.append_again();
                }
                Event::Committed(Err(error)) => return Failure::Append(error),
                Event::DeadlinePassed => {
                    let now = now(&self.driver.env);
                    let output = self.shard.step(now, Input::DeadlinePassed);
                    if let Err(error) = self.perform(output) {
                        return Failure::Encode(error);
                    }
                }
                Event::CommitTimedOut => self.commit_timed_out(),
            }
        }
    }

    /// What happens next. Commits come first: they make room and cost no decision.
    async fn next(&mut self, messages: &mut Vec<Message>) -> Event {
        let deadline = self.shard.next_deadline_ms().map(|at_ms| {
            let left_ms = at_ms.saturating_sub(now(&self.driver.env).monotonic_ms);
            Instant::now() + Duration::from_millis(left_ms)
        });
        let has_room = self.has_room();
        let is_open = has_room || self.is_stalled();
        let waiting = self
            .in_flight
            .iter()
            .find(|batch| !batch.replies.is_empty());
        let commit_deadline = waiting.map(|batch| batch.deadline);
        let front = self.in_flight.front_mut().map(|batch| &mut batch.appended);
        tokio::select! {
            biased;
            result = at_front(front) => Event::Committed(result),
            count = self.driver.inbox.recv_many(messages, MESSAGES_MAX), if is_open => {
                Event::Messages(count)
            }
            () = sleep_until(deadline), if has_room => Event::DeadlinePassed,
            () = sleep_until(commit_deadline) => Event::CommitTimedOut,
        }
    }

    fn has_room(&self) -> bool {
        self.in_flight.len() < IN_FLIGHT_BATCHES_MAX
    }

    /// Nothing is committed any more, and there is no room for what would come after it.
    fn is_stalled(&self) -> bool {
        !self.has_room() && !self.may_retry()
    }

    fn take(&mut self, message: Message, output: &mut Output) {
        let now = now(&self.driver.env);
        let input = match message {
            Message::Request(request, answer) => {
                self.answers.insert(request.token, answer);
                Input::Request(*request)
            }
            Message::TopicsDeleted(topics) => Input::TopicsDeleted((*topics).clone()),
        };
        let Output { records, replies } = self.shard.step(now, input);
        output.records.extend(records);
        output.replies.extend(replies);
    }

    /// The order of effects: first the append, so that the replies can wait for it; then the
    /// replies that need not wait.
    fn perform(&mut self, output: Output) -> Result<(), codec::Error> {
        for batch in batch::build(&output.records, self.driver.env.unix_ms())? {
            let appended = self.append(&batch);
            self.in_flight.push_back(InFlight {
                batch,
                appended,
                replies: Vec::new(),
                deadline: Instant::now() + self.driver.settings.commit_timeout,
            });
        }
        for reply in output.replies {
            match (reply.after, self.in_flight.back_mut()) {
                (After::Commit, Some(last)) => last.replies.push(reply),
                (After::Nothing, _) | (After::Commit, None) => self.answer(reply),
            }
        }
        Ok(())
    }

    fn append(&self, batch: &BytesMut) -> Later<Offset> {
        let Driver {
            log,
            partition,
            leader_epoch,
            ..
        } = &*self.driver;
        log.append(*partition, *leader_epoch, batch.clone())
    }

    fn committed(&mut self) {
        let batch = self.in_flight.pop_front();
        for reply in batch.into_iter().flat_map(|batch| batch.replies) {
            self.answer(reply);
        }
    }

    fn answer(&mut self, reply: Reply) {
        if let Some(answer) = self.answers.remove(&reply.token) {
            // a client that went away is no loss
            let _ = answer.send(Ok(reply.response));
        }
    }

    /// Whether the oldest batch has time left: where too few replicas are in sync, that may pass.
    fn may_retry(&self) -> bool {
        self.in_flight
            .front()
            .is_some_and(|batch| Instant::now() < batch.deadline)
    }

    /// Appends every batch in flight once more, in order. Some may then be in the log twice, which
    /// changes nothing: the last record of each key is the same.
    fn append_again(&mut self) {
        for place in 0..self.in_flight.len() {
            let appended = self.append(&self.in_flight[place].batch);
            self.in_flight[place].appended = appended;
        }
    }

    /// The log has the records, but they are not committed in time. Who waits is told to try again;
    /// the shard stays as it is, for its log has not lost anything.
    fn commit_timed_out(&mut self) {
        let now = Instant::now();
        for place in 0..self.in_flight.len() {
            if self.in_flight[place].deadline > now {
                break;
            }
            for reply in std::mem::take(&mut self.in_flight[place].replies) {
                if let Some(answer) = self.answers.remove(&reply.token) {
                    let _ = answer.send(Err(ErrorCode::CoordinatorNotAvailable));
                }
            }
        }
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
