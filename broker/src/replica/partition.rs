//! One partition on this broker: its core and its log under one lock.
//!
//! Whoever has something to tell the partition (a connection, a fetcher, the committing thread)
//! locks it, steps the core, and performs the effects before letting go. Nothing awaits under the
//! lock, and nothing touches the disk: what a truncation has to know is read before. No second
//! partition is locked under it, and the locks taken under it (of waiters, of the fetchers' queues)
//! are leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ottla_core::config::TopicConfig;
use ottla_core::partition::{
    Appended, Effect, Effects, Input, OnTheWay, Partition, Producers, Token,
};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, NodeId, Offset, TopicIdPartition, TopicName};
use ottla_protocol::record_batch;
use ottla_storage::log::Cut;
use ottla_storage::ranked::{self, PARTITION, Ranked};
use ottla_storage::{Log, LogReader};
use tracing::{error, warn};

use super::Shared;
use super::pending::{Answer, Keeper};
use super::ready::{Ready, Wakes, Watcher, Watchers};
use super::sent::Sent;

/// Who waits for which answer.
#[derive(Debug)]
pub(super) enum Waiter {
    Produce(Answer<Appended>),
    Delete(Answer<Offset>),
    Internal(tokio::sync::oneshot::Sender<Result<Appended, ErrorCode>>),
}

impl Waiter {
    pub(super) fn fail(self, error: ErrorCode) {
        match self {
            Self::Produce(answer) => answer.send(Err(error)),
            Self::Delete(answer) => answer.send(Err(error)),
            Self::Internal(answer) => drop(answer.send(Err(error))),
        }
    }
}

/// What a truncation has to know of the disk.
pub(super) struct Found {
    pub(super) cut: Cut,
    /// Those of what stays.
    pub(super) producers: Producers,
}

/// The bytes that an input brings along.
pub(super) enum AtHand<'a> {
    Nothing,
    /// One batch to stamp and append.
    Produced {
        batch: BytesMut,
        frame_bytes: usize,
    },
    /// Batches as they came from the leader, and where each begins.
    Fetched {
        bytes: Bytes,
        starts: &'a [usize],
        frame_bytes: usize,
    },
    /// What was read for the truncation that the input brings.
    Found(Box<Found>),
}

impl AtHand<'_> {
    fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Nothing)
    }
}

/// What is under the lock.
pub(super) struct State {
    pub(super) partition: Partition,
    /// Gone once the partition is deleted.
    pub(super) log: Option<Log>,
    pub(super) config: Arc<TopicConfig>,
    /// The racks of the brokers that hold the partition.
    pub(super) racks: Vec<(NodeId, Option<Arc<str>>)>,
    /// Until when followers are told of the high watermark at once: consumers read from them.
    pub(super) serves_followers_until: Duration,
    /// What producers sent while the leadership is being handed over.
    pub(super) parked: Vec<Sent>,
    /// Whether a task sees to it that they go on.
    pub(super) is_parked_watched: bool,
    /// What was sent on to the new leader.
    pub(super) on_the_way: OnTheWay<Sent>,
    effects: Effects,
    waiters: Vec<Option<Waiter>>,
    free_tokens: Vec<u32>,
    consumers: Watchers,
    followers: Watchers,
    /// Where followers are to be woken later, once for all partitions of a request.
    pub(super) follower_wakes: Option<Wakes>,
}

/// Holds a partition's lock.
pub(super) type Locked<'a> = ranked::Guard<'a, State, PARTITION>;

/// One partition on this broker.
pub(super) struct Replica {
    pub(super) id: TopicIdPartition,
    pub(super) topic: TopicName,
    pub(super) reader: LogReader,
    pub(super) shared: Arc<Shared>,
    is_deleted: AtomicBool,
    /// Whether it was told that the log is damaged, and it is not made anew yet.
    is_in_repair: AtomicBool,
    /// Whether anybody has had the lock since a simulation looked last.
    #[cfg(feature = "simulation")]
    pub(super) is_touched: AtomicBool,
    state: Ranked<State, PARTITION>,
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.id.partition)
    }
}

impl Keeper for Replica {
    fn abandon(self: Arc<Self>, token: Token) {
        let mut state = self.lock();
        if state.take_waiter(token).is_some() {
            let _ = self.step(&mut state, Input::Abandoned(token), AtHand::Nothing);
        }
    }
}

impl Replica {
    pub(super) fn new(
        shared: &Arc<Shared>,
        log: Log,
        partition: Partition,
        config: Arc<TopicConfig>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: log.id(),
            topic: log.topic_partition().topic.clone(),
            reader: log.reader(),
            shared: Arc::clone(shared),
            is_deleted: AtomicBool::new(false),
            is_in_repair: AtomicBool::new(false),
            #[cfg(feature = "simulation")]
            is_touched: AtomicBool::new(true),
            state: Ranked::new(State {
                partition,
                log: Some(log),
                config,
                racks: Vec::new(),
                serves_followers_until: Duration::ZERO,
                parked: Vec::new(),
                is_parked_watched: false,
                on_the_way: OnTheWay::default(),
                effects: Effects::new(),
                waiters: Vec::new(),
                free_tokens: Vec::new(),
                consumers: Watchers::default(),
                followers: Watchers::default(),
                follower_wakes: None,
            }),
        })
    }

    pub(super) fn lock(&self) -> Locked<'_> {
        self.touch();
        ranked::lock(&self.state)
    }

    /// The same for who changes nothing, which leaves no trace.
    #[cfg(feature = "simulation")]
    pub(super) fn peek(&self) -> Locked<'_> {
        ranked::lock(&self.state)
    }

    /// A simulation looks again only at what may have changed.
    fn touch(&self) {
        #[cfg(feature = "simulation")]
        self.is_touched.store(true, Ordering::Relaxed);
    }

    fn try_lock(&self) -> Option<Locked<'_>> {
        self.touch();
        self.state.try_lock()
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.is_deleted.load(Ordering::Acquire)
    }

    /// Says whether nobody began it before.
    pub(super) fn begin_repair(&self) -> bool {
        !self.is_in_repair.swap(true, Ordering::AcqRel)
    }

    pub(super) fn end_repair(&self) {
        self.is_in_repair.store(false, Ordering::Release);
    }

    /// Tells the core something that brings no bytes.
    pub(super) fn tell(self: &Arc<Self>, input: Input<'_>) {
        let mut state = self.lock();
        // a failure of the log has taken the partition offline and was logged: there is nobody to
        // tell
        let _ = self.step(&mut state, input, AtHand::Nothing);
    }

    /// Tells the core something that comes again: not while somebody else is at it, who may be
    /// waiting for a disk that hangs.
    pub(super) fn tell_if_free(self: &Arc<Self>, input: Input<'_>) {
        if let Some(mut state) = self.try_lock() {
            let _ = self.step(&mut state, input, AtHand::Nothing);
        }
    }

    /// See [`Partition::is_stranded`].
    pub(super) fn is_stranded(&self) -> bool {
        let state = self.try_lock();
        state.is_some_and(|state| state.partition.is_stranded())
    }

    /// The log cannot be gone on with: it is made anew once others have all of it.
    pub(super) fn fail(self: &Arc<Self>, error: &ottla_storage::Error) {
        self.tell(Input::Failed);
        // where the directory is offline, the broker ends
        if self.shared.store.offline().is_none() {
            self.ask_for_repair(error);
        }
    }

    /// Takes the log out, for good.
    pub(super) fn delete(self: &Arc<Self>) -> Option<Log> {
        self.is_deleted.store(true, Ordering::Release);
        let mut state = self.lock();
        let _ = self.step(&mut state, Input::WentOffline, AtHand::Nothing);
        state.log.take()
    }

    /// Steps the core and performs its effects, in order.
    ///
    /// # Errors
    /// The log refused; the waiter of this input, where it has one, is not answered.
    pub(super) fn step(
        self: &Arc<Self>,
        state: &mut State,
        input: Input<'_>,
        bytes: AtHand<'_>,
    ) -> Result<(), ErrorCode> {
        let mut effects = std::mem::take(&mut state.effects);
        let now = self.shared.env.now();
        state.partition.step(now, input, &mut effects);
        let performed = self.perform_all(state, &mut effects, bytes);
        effects.clear();
        state.effects = effects;
        self.release(state);
        performed
    }

    /// The order is the core's: bytes are in the log before anybody is told of them; who waits
    /// longest (producers) is told first.
    fn perform_all(
        self: &Arc<Self>,
        state: &mut State,
        effects: &mut Effects,
        mut bytes: AtHand<'_>,
    ) -> Result<(), ErrorCode> {
        let mut place = 0;
        while place < effects.len() {
            let before = state.log_end_offset();
            if let Err(error) = self.perform(state, effects[place].clone(), &mut bytes) {
                let failed: Vec<Effect> = effects.drain(place..).collect();
                self.on_failure(state, &error, before, &failed);
                return Err(ErrorCode::KafkaStorageError);
            }
            place += 1;
        }
        Ok(())
    }

    pub(super) fn perform(
        self: &Arc<Self>,
        state: &mut State,
        effect: Effect,
        bytes: &mut AtHand<'_>,
    ) -> Result<(), ottla_storage::Error> {
        match effect {
            Effect::Append {
                base_offset,
                leader_epoch,
            } => self.append_produced(state, base_offset, leader_epoch, bytes.take())?,
            Effect::AppendFetched { first } => self.append_fetched(state, first, bytes.take())?,
            Effect::TruncateTo(offset) => self.truncate_to(state, offset, bytes)?,
            Effect::TruncateFullyAndStartAt(offset) => {
                warn!(partition = ?self, %offset, "the log starts anew");
                state.with_log(|log| log.truncate_fully_and_start_at(offset))?;
            }
            Effect::ReloadProducers => {
                if let AtHand::Found(found) = bytes.take() {
                    let loaded = Input::ProducersLoaded(found.producers);
                    state
                        .partition
                        .step(self.shared.env.now(), loaded, &mut Effects::new());
                }
            }
            Effect::SetLogStartOffset(offset) => {
                state.with_log(|log| log.set_log_start_offset(offset))?;
            }
            Effect::Acknowledge { token, result } => match state.take_waiter(token) {
                Some(Waiter::Produce(answer)) => answer.send(result),
                Some(Waiter::Internal(answer)) => drop(answer.send(result)),
                Some(Waiter::Delete(_)) | None => {}
            },
            Effect::RecordsDeleted { token, result } => {
                if let Some(Waiter::Delete(answer)) = state.take_waiter(token) {
                    answer.send(result);
                }
            }
            Effect::AlterIsr(alter) => self.shared.alter_isr(self, alter),
            Effect::HandOver(leader_epoch) => self.shared.hand_over(self, leader_epoch),
            Effect::WakeFollowers => match &mut state.follower_wakes {
                Some(wakes) => state.followers.mark(wakes),
                None => state.followers.wake(),
            },
            Effect::WakeConsumers => self.wake_consumers(state),
            Effect::WakeAll => {
                state.followers.wake();
                state.consumers.wake();
            }
            Effect::FollowLeader => self.shared.follow(self, state.partition.leader()),
            Effect::ResumeFetch => {
                if let Some(leader) = state.partition.leader() {
                    self.shared.fetchers.resume(self.id, leader);
                }
            }
        }
        Ok(())
    }

    fn append_produced(
        &self,
        state: &mut State,
        base_offset: Offset,
        leader_epoch: LeaderEpoch,
        bytes: AtHand<'_>,
    ) -> Result<(), ottla_storage::Error> {
        let AtHand::Produced {
            mut batch,
            frame_bytes,
        } = bytes
        else {
            unreachable!("an append is asked for by a produce, which brings a batch");
        };
        record_batch::stamp(&mut batch, base_offset, leader_epoch);
        state.append(batch.freeze(), frame_bytes, self.shared.env.unix_ms())?;
        self.shared.appended();
        Ok(())
    }

    fn append_fetched(
        &self,
        state: &mut State,
        first: usize,
        bytes: AtHand<'_>,
    ) -> Result<(), ottla_storage::Error> {
        let AtHand::Fetched {
            bytes,
            starts,
            frame_bytes,
        } = bytes
        else {
            unreachable!("fetched batches are appended by the answer that brings them");
        };
        let fresh = bytes.slice(starts[first]..);
        state.append(fresh, frame_bytes, self.shared.env.unix_ms())?;
        self.shared.appended();
        Ok(())
    }

    fn wake_consumers(&self, state: &mut State) {
        self.shared.high_watermark_moved();
        state.consumers.wake();
        if self.shared.env.now() < state.serves_followers_until {
            state.followers.wake();
        } else {
            // an idle follower learns of it with its next answer, in half a second
            state.followers.mark_silently();
        }
    }

    /// A full disk refuses this append only; anything else takes the partition offline, until its
    /// log is made anew.
    fn on_failure(
        self: &Arc<Self>,
        state: &mut State,
        error: &ottla_storage::Error,
        log_end_offset: Offset,
        failed: &[Effect],
    ) {
        let now = self.shared.env.now();
        // every append fails while the disk is full, and the log may lie on the same disk
        if !error.is_retriable() || self.shared.is_time_to_tell() {
            error!(partition = ?self, %error, "the log refused");
        }
        let mut effects = Effects::new();
        if let Some(Effect::Append { .. } | Effect::AppendFetched { .. }) = failed.first() {
            let input = Input::AppendFailed(log_end_offset);
            state.partition.step(now, input, &mut effects);
        }
        if !error.is_retriable() {
            state.partition.step(now, Input::Failed, &mut effects);
            // where the directory is offline, the broker ends
            if self.shared.store.offline().is_none() {
                self.ask_for_repair(error);
            }
        }
        for effect in effects {
            // neither of the two inputs asks for anything of the log
            let _ = self.perform(state, effect, &mut AtHand::Nothing);
        }
    }
}

impl State {
    fn log_end_offset(&self) -> Offset {
        self.log
            .as_ref()
            .map_or(Offset::ZERO, |log| log.log_end_offset())
    }

    fn append(
        &mut self,
        batches: Bytes,
        frame_bytes: usize,
        now_ms: i64,
    ) -> Result<(), ottla_storage::Error> {
        self.with_log(|log| log.append(batches, frame_bytes, now_ms))?;
        Ok(())
    }

    pub(super) fn with_log<T>(
        &mut self,
        act: impl FnOnce(&mut Log) -> Result<T, ottla_storage::Error>,
    ) -> Result<Option<T>, ottla_storage::Error> {
        self.log.as_mut().map(act).transpose()
    }

    /// Gives a token for an answer that will come.
    pub(super) fn add_waiter(&mut self, waiter: Waiter) -> Token {
        match self.free_tokens.pop() {
            Some(token) => {
                self.waiters[token as usize] = Some(waiter);
                Token(token)
            }
            None => {
                self.waiters.push(Some(waiter));
                Token(self.waiters.len() as u32 - 1)
            }
        }
    }

    /// Who waits under this token, while the answer has not come.
    pub(super) fn waiter(&self, token: Token) -> Option<&Waiter> {
        self.waiters.get(token.0 as usize)?.as_ref()
    }

    pub(super) fn take_waiter(&mut self, token: Token) -> Option<Waiter> {
        let waiter = self.waiters.get_mut(token.0 as usize)?.take()?;
        self.free_tokens.push(token.0);
        Some(waiter)
    }

    pub(super) fn watch_consumer(&mut self, ready: &Arc<Ready>, key: u32) {
        self.consumers.add(Watcher::new(ready, key));
    }

    pub(super) fn watch_follower(&mut self, ready: &Arc<Ready>, key: u32) {
        self.followers.add(Watcher::new(ready, key));
    }

    pub(super) fn unwatch(&mut self, ready: &Arc<Ready>, key: u32) {
        self.consumers.remove(ready, key);
        self.followers.remove(ready, key);
    }
}
