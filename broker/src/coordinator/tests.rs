//! One shard's task over a log in memory, whose commits and failures the test decides.

mod memory_log;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ottla_core::group::request::JoinGroup;
use ottla_core::group::{self, Body, Client, Request, Response};
use ottla_core::image::delta::{MetadataDelta, TopicDelta};
use ottla_core::image::{MetadataImage, Topic};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, TopicId, TopicIdPartition, TopicName, Uuid};
use ottla_protocol::messages::groups as wire;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use self::memory_log::MemoryLog;
use super::log::Log;
use super::runtime::images::Images;
use super::runtime::{Message, Settings, task};
use crate::env::Env;

/// How long to watch for an answer that must not come.
const A_WHILE: Duration = Duration::from_millis(100);

/// A shard's task, and the way to it.
struct Task {
    inbox: mpsc::Sender<Message<group::Shard>>,
    images: Arc<Images>,
}

impl Task {
    fn start(log: &Arc<MemoryLog>) -> Self {
        let has_lease = Arc::new(AtomicBool::new(true));
        Self::start_with(log, image(1), &has_lease)
    }

    fn start_with(log: &Arc<MemoryLog>, image: MetadataImage, has_lease: &Arc<AtomicBool>) -> Self {
        let (inbox, receiver) = mpsc::channel(1_000);
        let images = Arc::new(Images::new(Arc::new(image)));
        let has_lease = Arc::clone(has_lease);
        let task = task::Task {
            log: Arc::clone(log) as Arc<dyn Log>,
            partition: TopicIdPartition::default(),
            leader_epoch: LeaderEpoch(1),
            settings: Arc::new(settings()),
            env: Env::simulated(7, 1_000_000),
            inbox: receiver,
            images: Arc::clone(&images),
            has_lease: Arc::new(move || has_lease.load(Ordering::Acquire)),
        };
        tokio::spawn(task.run());
        Self { inbox, images }
    }

    fn ask(&mut self, body: Body) -> oneshot::Receiver<Result<Response, ErrorCode>> {
        let request = Request {
            version: 3,
            client: Client {
                id: "c".to_owned(),
                host: "/127.0.0.1".to_owned(),
            },
            body,
        };
        let (answer, receiver) = oneshot::channel();
        let sent = self.inbox.try_send(Message::Request { request, answer });
        assert!(sent.is_ok(), "the inbox has room");
        receiver
    }

    /// The topic is deleted and created again.
    fn replace_topic(&self) {
        let mut delta = MetadataDelta::default();
        let deleted = TopicDelta {
            name: "t".into(),
            deleted: true,
            partitions: BTreeSet::new(),
        };
        delta.topics.insert(TopicId(Uuid([1; 16])), deleted);
        self.images.put(&Arc::new(image(2)), &Arc::new(delta));
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

fn settings() -> Settings<group::Shard> {
    Settings {
        shard: group::Settings {
            initial_rebalance_delay_ms: 0,
            ..group::Settings::default()
        },
        commit_timeout: Duration::from_secs(5),
        carry_out: Box::new(|_, _, order| match order {}),
    }
}

/// An image with the topic `t`.
fn image(id: u8) -> MetadataImage {
    let (id, name) = (TopicId(Uuid([id; 16])), TopicName::from("t"));
    let topic = Topic {
        id,
        name: name.clone(),
        partitions: vec![Arc::default()].into(),
    };
    MetadataImage {
        topics: Arc::new([(name.clone(), Arc::new(topic))].into()),
        topic_names: Arc::new([(id, name)].into()),
        ..MetadataImage::default()
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
    let group = wire::OffsetFetchRequestGroup {
        group_id: "g".to_owned(),
        topics: Some(vec![wire::OffsetFetchRequestTopics {
            name: "t".to_owned(),
            partition_indexes: vec![0],
            ..wire::OffsetFetchRequestTopics::default()
        }]),
        ..wire::OffsetFetchRequestGroup::default()
    };
    Body::OffsetFetch(group::request::OffsetFetch {
        group,
        require_stable: false,
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
async fn what_the_log_refuses_leaves_no_trace_and_the_shard_serves_on() {
    let log = MemoryLog::new();
    let mut task = Task::start(&log);
    assert_eq!(task.commit(1).await, Ok(0));
    for (error, told) in [
        (ErrorCode::KafkaStorageError, ErrorCode::NotCoordinator),
        (ErrorCode::NotLeaderOrFollower, ErrorCode::NotCoordinator),
        (
            ErrorCode::NotEnoughReplicas,
            ErrorCode::CoordinatorNotAvailable,
        ),
    ] {
        log.refuse(Some(error));
        assert_eq!(task.commit(2).await, Err(told));
        assert_eq!(task.fetch().await, Ok(1), "after {error:?}");
        log.refuse(None);
    }
    assert_eq!(task.commit(3).await, Ok(0));
    let mut second = Task::start(&log);
    assert_eq!(second.fetch().await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_does_not_know_its_log_loads_it_again() {
    let log = MemoryLog::new();
    let mut task = Task::start(&log);
    assert_eq!(task.commit(1).await, Ok(0));
    log.lose(Some(ErrorCode::NotLeaderOrFollower));
    assert_eq!(task.commit(2).await, Err(ErrorCode::NotCoordinator));
    log.lose(None);
    // while it is loaded again, clients are told so
    let fetched = loop {
        match task.fetch().await {
            Err(ErrorCode::CoordinatorLoadInProgress) => tokio::time::sleep(A_WHILE).await,
            fetched => break fetched,
        }
    };
    assert_eq!(fetched, Ok(2), "the log has it");
}

#[tokio::test(start_paused = true)]
async fn a_topic_deleted_while_its_offsets_load_takes_them_along() {
    let log = MemoryLog::new();
    let mut first = Task::start(&log);
    assert_eq!(first.commit(1).await, Ok(0));
    log.hold();
    let _unknown = first.ask(commit(2));
    tokio::time::sleep(A_WHILE).await;
    let mut second = Task::start(&log);
    tokio::time::sleep(A_WHILE).await;
    second.replace_topic();
    log.release();
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(second.fetch().await, Ok(-1));
    // nor does the next coordinator know of them
    let mut third = Task::start(&log);
    third.replace_topic();
    assert_eq!(third.fetch().await, Ok(-1));
}

#[tokio::test(start_paused = true)]
async fn an_image_of_old_takes_no_offsets_away() {
    let log = MemoryLog::new();
    let mut first = Task::start(&log);
    assert_eq!(first.commit(1).await, Ok(0));
    // a broker that starts: its image is from before the topic
    let has_lease = Arc::new(AtomicBool::new(false));
    let mut second = Task::start_with(&log, MetadataImage::default(), &has_lease);
    tokio::time::sleep(A_WHILE).await;
    let delta = Arc::new(MetadataDelta::default());
    second.images.put(&Arc::new(image(1)), &delta);
    has_lease.store(true, Ordering::Release);
    assert_eq!(second.fetch().await, Ok(1));
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
