//! A client's connection, in Kafka's protocol: requests go out one after the other, answers come in
//! their order.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::BytesMut;
use ottla_broker::stream::{Network, Stream};
use ottla_protocol::api::ApiKey;
use ottla_protocol::codec::Request;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::frame;
use ottla_protocol::messages::groups::FindCoordinatorRequest;
use ottla_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::cluster::{brokers, host};
use crate::world::{Shared, Slot, World};

/// How long a connection, and then an answer, may take.
const TIMEOUT: Duration = Duration::from_millis(2700);

/// How long a producer and a consumer have the broker wait, and how much longer it may take to
/// answer, be it that nothing can be done.
pub const PRODUCE_TIMEOUT_MS: u64 = 1500;
pub const FETCH_WAIT_MS: u64 = 100;
const ANSWER_MS: u64 = 1000;

/// When a broker has answered that does work, and to which nothing is in the way.
fn answered_within_ms(api: ApiKey) -> Option<u64> {
    match api {
        ApiKey::Produce => Some(PRODUCE_TIMEOUT_MS + ANSWER_MS),
        ApiKey::Fetch => Some(FETCH_WAIT_MS + ANSWER_MS),
        ApiKey::Metadata => Some(ANSWER_MS),
        _ => None,
    }
}

/// What a client asks brokers over. Any failure closes it; the next call opens another.
pub struct Connection {
    shared: Shared,
    node: usize,
    /// The process at its other end, by its number.
    life: u64,
    stream: Option<Stream>,
    buffer: BytesMut,
    /// Of the last request, and of the last answer.
    sent_id: i32,
    answered_id: i32,
    /// When those were sent that wait for an answer.
    sent_ms: VecDeque<u64>,
}

/// Who leads a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leader {
    pub node: usize,
    pub epoch: i32,
}

impl Connection {
    pub fn new(shared: &Shared, node: usize) -> Self {
        Self {
            shared: shared.clone(),
            node,
            life: 0,
            stream: None,
            buffer: BytesMut::new(),
            sent_id: 0,
            answered_id: 0,
            sent_ms: VecDeque::new(),
        }
    }

    /// Whom it talks to.
    pub fn node(&self) -> usize {
        self.node
    }

    /// The process that it was connected to last, by its number. While it connects, a process may
    /// end and the next one begin.
    pub fn life(&self) -> u64 {
        self.life
    }

    /// Asks the next broker who coordinates a group, and talks to that one from now on; says
    /// whether it was told.
    pub async fn find_coordinator(&mut self, group: &str) -> bool {
        self.turn();
        let request = FindCoordinatorRequest {
            key: group.to_owned(),
            ..FindCoordinatorRequest::default()
        };
        let answer = self.ask(3, &request).await;
        let found = answer.filter(|answer| answer.error_code == 0);
        let node = found.and_then(|answer| usize::try_from(answer.node_id).ok());
        if let Some(node) = node {
            self.turn_to(node);
        }
        node.is_some()
    }

    /// Talks to this broker from now on.
    pub fn turn_to(&mut self, node: usize) {
        if self.node != node {
            self.close();
            self.node = node;
        }
    }

    /// Talks to the next broker from now on.
    pub fn turn(&mut self) {
        self.turn_to((self.node + 1) % brokers());
    }

    /// Answers that did not come will not.
    pub fn close(&mut self) {
        self.stream = None;
        self.buffer.clear();
        self.answered_id = self.sent_id;
        self.sent_ms.clear();
    }

    /// Sends a request and waits for its answer; none where it did not come.
    pub async fn ask<R: Request>(&mut self, version: i16, body: &R) -> Option<R::Response> {
        self.send(version, body).await?;
        self.receive::<R>(version).await
    }

    /// Sends a request; none where the connection broke.
    pub async fn send<R: Request>(&mut self, version: i16, body: &R) -> Option<()> {
        let sent = tokio::time::timeout(TIMEOUT, self.write(version, body)).await;
        let sent = sent.ok().flatten();
        if sent.is_none() {
            self.close();
        }
        sent
    }

    /// Waits for the next answer; none where it did not come.
    pub async fn receive<R: Request>(&mut self, version: i16) -> Option<R::Response> {
        let now_ms = |world: &mut World| world.now_ms;
        let looked_ms = self.shared.with(now_ms);
        let answer = tokio::time::timeout(TIMEOUT, self.read::<R>(version)).await;
        // what was there at once may have been there for long
        let has_waited = self.shared.with(now_ms) > looked_ms;
        if has_waited && !matches!(answer, Ok(None)) {
            self.check_in_time(R::KEY);
        }
        self.sent_ms.pop_front();
        let answer = answer.ok().flatten();
        if answer.is_none() {
            self.close();
        }
        answer
    }

    /// Sends a request that is never answered; none where the connection broke.
    pub async fn tell<R: Request>(&mut self, version: i16, body: &R) -> Option<()> {
        self.send(version, body).await?;
        self.answered_id += 1;
        self.sent_ms.pop_back();
        Some(())
    }

    /// The oldest request was answered now, or still is not.
    fn check_in_time(&self, api: ApiKey) {
        let limit_ms = answered_within_ms(api);
        if let (Some(limit_ms), Some(sent_ms)) = (limit_ms, self.sent_ms.front()) {
            let process = (self.node, self.life);
            self.shared
                .with(|world| world.check_answered(process, api, *sent_ms, limit_ms));
        }
    }

    async fn write<R: Request>(&mut self, version: i16, body: &R) -> Option<()> {
        if self.stream.is_none() {
            let address = format!("{}:9092", host(self.node));
            self.stream = Some(Network::Simulated.connect(&address).await.ok()?);
            self.life = self.shared.with(|world| world.machines[self.node].life);
        }
        let stream = self.stream.as_mut()?;
        self.sent_id += 1;
        self.sent_ms
            .push_back(self.shared.with(|world| world.now_ms));
        let segments = frame::request(version, self.sent_id, "simulation", body).ok()?;
        for segment in segments {
            stream.write_all(&segment).await.ok()?;
        }
        Some(())
    }

    async fn read<R: Request>(&mut self, version: i16) -> Option<R::Response> {
        let stream = self.stream.as_mut()?;
        loop {
            if let Some(frame) = frame::split(&mut self.buffer, 64 << 20).ok()? {
                let (correlation_id, response) = frame::read_response::<R>(frame, version).ok()?;
                self.answered_id += 1;
                assert_eq!(correlation_id, self.answered_id, "answers come in order");
                return Some(response);
            }
            if stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// Asks the next broker who leads a partition: the present one may be cut off and not know.
    pub async fn leader(&mut self, slot: Slot) -> Option<Leader> {
        self.leader_of(slot.topic().name, slot.partition()).await
    }

    /// The same, of any topic.
    pub async fn leader_of(&mut self, topic: &str, partition: i32) -> Option<Leader> {
        self.turn();
        let request = MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                name: Some(topic.to_owned()),
                ..MetadataRequestTopic::default()
            }]),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let found = self.ask(9, &request).await?;
        leader_in(&found, partition)
    }
}

fn leader_in(found: &MetadataResponse, partition: i32) -> Option<Leader> {
    let topic = found.topics.first()?;
    let partition = topic
        .partitions
        .iter()
        .find(|p| p.partition_index == partition)?;
    if ErrorCode::from(partition.error_code) != ErrorCode::None {
        return None;
    }
    let node = usize::try_from(partition.leader_id).ok()?;
    Some(Leader {
        node,
        epoch: partition.leader_epoch,
    })
}
