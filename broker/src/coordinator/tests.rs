//! One shard's task over a log in memory, whose commits and failures the test decides.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ottla_core::group::request::JoinGroup;
use ottla_core::group::{self, Body, Client, Request, Response, Token};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, Offset, TopicIdPartition, Uuid};
use ottla_protocol::messages::groups as wire;
use ottla_protocol::record_batch;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::log::{Later, Log, Part};
use super::{Message, OffsetsTopicSettings, Settings, shard};
use crate::env::Env;

/// How long to watch for an answer that must not come.
const A_WHILE: Duration = Duration::from_millis(100);

#[derive(Default)]
struct State {
    batches: Vec<Bytes>,
    end: i64,
    is_held: bool,
    refusal: Option<ErrorCode>,
}

/// A log that commits at once, unless it is held.
struct MemoryLog {
    state: Mutex<State>,
    high_watermark: watch::Sender<i64>,
}

impl MemoryLog {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            high_watermark: watch::channel(0).0,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with the lock")
    }

    /// From now on nothing is committed.
    fn hold(&self) {
        self.state().is_held = true;
    }

    /// Commits all there is, and what comes.
    fn release(&self) {
        let mut state = self.state();
        state.is_held = false;
        self.high_watermark.send_replace(state.end);
    }

    fn refuse(&self, error: Option<ErrorCode>) {
        self.state().refusal = error;
    }

    fn batch_count(&self) -> usize {
        self.state().batches.len()
    }
}

impl Log for MemoryLog {
    fn append(
        &self,
        _: TopicIdPartition,
        leader_epoch: LeaderEpoch,
        mut batch: BytesMut,
    ) -> Later<Offset> {
        let mut state = self.state();
        if let Some(error) = state.refusal {
            return Box::pin(async move { Err(error) });
        }
        let base = Offset(state.end);
        record_batch::stamp(&mut batch, base, leader_epoch);
        let batch = batch.freeze();
        let header = record_batch::RecordBatch::first(&batch)
            .expect("a whole batch")
            .header;
        state.end = header.next_offset().0;
        state.batches.push(batch.clone());
        if !state.is_held {
            self.high_watermark.send_replace(state.end);
        }
        let (end, mut mark) = (state.end, self.high_watermark.subscribe());
        Box::pin(async move {
            let reached = mark.wait_for(|mark| *mark >= end).await;
            reached
                .map(|_| base)
                .map_err(|_| ErrorCode::NotLeaderOrFollower)
        })
    }

    fn read(&self, _: TopicIdPartition, _: LeaderEpoch, from: Offset, _: usize) -> Later<Part> {
        let state = self.state();
        let header = |batch: &Bytes| {
            record_batch::RecordBatch::first(batch)
                .expect("a whole batch")
                .header
        };
        // one batch at a time, so that loading has to go on
        let next = state
            .batches
            .iter()
            .find(|batch| header(batch).next_offset() > from);
        let part = Part {
            batches: next.cloned().into_iter().collect(),
            log_start_offset: Offset::ZERO,
            high_watermark: Offset(*self.high_watermark.borrow()),
            log_end_offset: Offset(state.end),
        };
        Box::pin(async move { Ok(part) })
    }
}

/// A shard's task, and the way to it.
struct Task {
    inbox: mpsc::Sender<Message>,
    tokens: u64,
}

impl Task {
    fn start(log: &Arc<MemoryLog>) -> Self {
        let (inbox, receiver) = mpsc::channel(1_000);
        let driver = shard::Driver::new(
            Arc::clone(log) as Arc<dyn Log>,
            TopicIdPartition::default(),
            LeaderEpoch(1),
            settings(),
            Env::simulated(7, 1_000_000),
            receiver,
        );
        tokio::spawn(driver.run());
        Self { inbox, tokens: 0 }
    }

    fn ask(&mut self, body: Body) -> oneshot::Receiver<Result<Response, ErrorCode>> {
        self.tokens += 1;
        let request = Request {
            token: Token(self.tokens),
            version: 3,
            client: Client {
                id: "c".to_owned(),
                host: "/127.0.0.1".to_owned(),
            },
            body,
        };
        let (sender, receiver) = oneshot::channel();
        let sent = self
            .inbox
            .try_send(Message::Request(Box::new(request), sender));
        assert!(sent.is_ok(), "the inbox has room");
        receiver
    }

    async fn commit(&mut self, offset: i64) -> Result<i16, ErrorCode> {
        match self
            .ask(commit(offset))
            .await
            .unwrap_or(Err(ErrorCode::NotCoordinator))
        {
            Ok(Response::OffsetCommit(response)) => Ok(response.topics[0].partitions[0].error_code),
            Ok(other) => panic!("not the answer: {other:?}"),
            Err(error) => Err(error),
        }
    }

    async fn fetch(&mut self) -> Result<i64, ErrorCode> {
        match self
            .ask(fetch())
            .await
            .unwrap_or(Err(ErrorCode::NotCoordinator))
        {
            Ok(Response::OffsetFetch(response)) => {
                Ok(response.topics[0].partitions[0].committed_offset)
            }
            Ok(other) => panic!("not the answer: {other:?}"),
            Err(error) => Err(error),
        }
    }
}

fn settings() -> Settings {
    Settings {
        group: group::Settings {
            initial_rebalance_delay_ms: 0,
            ..group::Settings::default()
        },
        topic: OffsetsTopicSettings {
            partition_count: 1,
            replication_factor: 1,
            segment_bytes: 1 << 20,
            voter_count: 1,
        },
        commit_timeout: Duration::from_secs(5),
    }
}

fn commit(offset: i64) -> Body {
    Body::OffsetCommit(wire::OffsetCommitRequest {
        group_id: "g".to_owned(),
        topics: vec![wire::OffsetCommitRequestTopic {
            name: "t".to_owned(),
            partitions: vec![wire::OffsetCommitRequestPartition {
                committed_offset: offset,
                ..wire::OffsetCommitRequestPartition::default()
            }],
            ..wire::OffsetCommitRequestTopic::default()
        }],
        ..wire::OffsetCommitRequest::default()
    })
}

fn fetch() -> Body {
    Body::OffsetFetch(wire::OffsetFetchRequestGroup {
        group_id: "g".to_owned(),
        topics: Some(vec![wire::OffsetFetchRequestTopics {
            name: "t".to_owned(),
            partition_indexes: vec![0],
            ..wire::OffsetFetchRequestTopics::default()
        }]),
        ..wire::OffsetFetchRequestGroup::default()
    })
}

fn join(member_id: &str) -> Body {
    let body = wire::JoinGroupRequest {
        group_id: "g".to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        member_id: member_id.to_owned(),
        protocol_type: "consumer".to_owned(),
        protocols: vec![wire::JoinGroupRequestProtocol {
            name: "range".to_owned(),
            ..wire::JoinGroupRequestProtocol::default()
        }],
        ..wire::JoinGroupRequest::default()
    };
    Body::JoinGroup(JoinGroup {
        body,
        fresh: Uuid([7; 16]),
    })
}

#[tokio::test(start_paused = true)]
async fn a_second_coordinator_knows_what_the_first_one_acknowledged() {
    let log = MemoryLog::new();
    let mut first = Task::start(&log);
    for offset in 0..5 {
        assert_eq!(first.commit(offset).await, Ok(0));
    }
    assert_eq!(first.fetch().await, Ok(4));
    let mut second = Task::start(&log);
    assert_eq!(second.fetch().await, Ok(4));
}

#[tokio::test(start_paused = true)]
async fn no_answer_before_the_record_is_committed() {
    let log = MemoryLog::new();
    let mut task = Task::start(&log);
    assert_eq!(task.commit(1).await, Ok(0));
    log.hold();
    let mut committed = task.ask(commit(2));
    assert!(timeout(A_WHILE, &mut committed).await.is_err());
    // nor does anybody see what may yet be lost
    let mut fetched = task.ask(fetch());
    assert!(timeout(A_WHILE, &mut fetched).await.is_err());
    log.release();
    assert!(committed.await.expect("answered").is_ok());
    assert!(fetched.await.expect("answered").is_ok());
    assert_eq!(task.fetch().await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn requests_at_hand_together_share_a_batch() {
    let log = MemoryLog::new();
    let mut task = Task::start(&log);
    assert_eq!(task.commit(0).await, Ok(0));
    let before = log.batch_count();
    let waiting: Vec<_> = (1..=200).map(|offset| task.ask(commit(offset))).collect();
    for answer in waiting {
        assert!(answer.await.expect("answered").is_ok());
    }
    assert_eq!(log.batch_count() - before, 1);
    assert_eq!(task.fetch().await, Ok(200));
}

#[tokio::test(start_paused = true)]
async fn a_failed_append_leaves_nothing_behind() {
    let log = MemoryLog::new();
    let mut task = Task::start(&log);
    assert_eq!(task.commit(1).await, Ok(0));
    log.refuse(Some(ErrorCode::NotLeaderOrFollower));
    assert_eq!(task.commit(2).await, Err(ErrorCode::NotCoordinator));
    log.refuse(None);
    // while it is loaded again, clients are told so
    let fetched = loop {
        match task.fetch().await {
            Err(ErrorCode::CoordinatorLoadInProgress) => tokio::time::sleep(A_WHILE).await,
            fetched => break fetched,
        }
    };
    assert_eq!(fetched, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn too_few_replicas_for_a_moment_are_waited_for() {
    let log = MemoryLog::new();
    let mut task = Task::start(&log);
    log.refuse(Some(ErrorCode::NotEnoughReplicas));
    let mut first = task.ask(commit(1));
    assert!(timeout(A_WHILE, &mut first).await.is_err());
    let mut second = task.ask(commit(2));
    assert!(timeout(A_WHILE, &mut second).await.is_err());
    log.refuse(None);
    assert!(first.await.expect("answered").is_ok());
    assert!(second.await.expect("answered").is_ok());
    assert_eq!(task.fetch().await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_takes_too_long_is_told_and_not_forgotten() {
    let log = MemoryLog::new();
    let mut task = Task::start(&log);
    log.hold();
    assert_eq!(
        task.commit(1).await,
        Err(ErrorCode::CoordinatorNotAvailable)
    );
    log.release();
    assert_eq!(task.fetch().await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_stalled_log_turns_requests_away_and_recovers() {
    let log = MemoryLog::new();
    let mut task = Task::start(&log);
    log.hold();
    let mut waiting = Vec::new();
    for offset in 0..50 {
        waiting.push(task.ask(commit(offset)));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for answer in waiting {
        let answer = answer.await.expect("answered");
        assert_eq!(answer, Err(ErrorCode::CoordinatorNotAvailable));
    }
    log.release();
    assert_eq!(task.commit(77).await, Ok(0));
    assert_eq!(task.fetch().await, Ok(77));
}

#[tokio::test(start_paused = true)]
async fn a_shard_serves_once_its_log_is_committed() {
    let log = MemoryLog::new();
    let mut first = Task::start(&log);
    assert_eq!(first.commit(1).await, Ok(0));
    log.hold();
    let _lost = first.ask(commit(2));
    tokio::time::sleep(A_WHILE).await;
    let mut second = Task::start(&log);
    // at first in silence, then by a refusal
    assert_eq!(
        second.fetch().await,
        Err(ErrorCode::CoordinatorLoadInProgress)
    );
    log.release();
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(second.fetch().await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn time_passes_in_a_shard() {
    let log = MemoryLog::new();
    let mut task = Task::start(&log);
    let joined = task.ask(join("")).await.expect("answered");
    let Ok(Response::JoinGroup(joined)) = joined else {
        panic!("not the answer: {joined:?}");
    };
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    // nobody syncs or beats: the session ends, and with it the group's last member
    tokio::time::sleep(Duration::from_secs(11)).await;
    let again = task.ask(join(&joined.member_id)).await.expect("answered");
    let Ok(Response::JoinGroup(again)) = again else {
        panic!("not the answer: {again:?}");
    };
    assert_eq!(again.error_code, ErrorCode::UnknownMemberId.code());
}

#[tokio::test(start_paused = true)]
async fn who_waits_when_the_task_ends_is_sent_elsewhere() {
    let log = MemoryLog::new();
    let mut task = Task::start(&log);
    log.hold();
    let waiting = task.ask(commit(1));
    tokio::time::sleep(A_WHILE).await;
    drop(task);
    assert!(
        waiting.await.is_err(),
        "a dropped answer says NOT_COORDINATOR"
    );
}
