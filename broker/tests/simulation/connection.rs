//! A client's connection, in Kafka's protocol: requests go out one after the other, answers come in
//! their order.

use std::time::Duration;

use bytes::BytesMut;
use ottla_broker::stream::{Network, Stream};
use ottla_protocol::codec::Request;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::frame;
use ottla_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{Slot, brokers, host};

/// How long a connection, and then an answer, may take.
const TIMEOUT: Duration = Duration::from_millis(2500);

/// What a client asks brokers over. Any failure closes it; the next call opens another.
pub struct Connection {
    node: usize,
    stream: Option<Stream>,
    buffer: BytesMut,
    /// Of the last request, and of the last answer.
    sent_id: i32,
    answered_id: i32,
}

/// Who leads a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leader {
    pub node: usize,
    pub epoch: i32,
}

impl Connection {
    pub fn new(node: usize) -> Self {
        Self {
            node,
            stream: None,
            buffer: BytesMut::new(),
            sent_id: 0,
            answered_id: 0,
        }
    }

    /// Whom it talks to.
    pub fn node(&self) -> usize {
        self.node
    }

    /// Whether it is connected, as far as is known.
    pub fn is_open(&self) -> bool {
        self.stream.is_some()
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
        let answer = tokio::time::timeout(TIMEOUT, self.read::<R>(version)).await;
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
        Some(())
    }

    async fn write<R: Request>(&mut self, version: i16, body: &R) -> Option<()> {
        if self.stream.is_none() {
            let address = format!("{}:9092", host(self.node));
            self.stream = Some(Network::Simulated.connect(&address).await.ok()?);
        }
        let stream = self.stream.as_mut()?;
        self.sent_id += 1;
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
        self.turn();
        let request = MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                name: Some(slot.topic().name.to_owned()),
                ..MetadataRequestTopic::default()
            }]),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let found = self.ask(9, &request).await?;
        leader_in(&found, slot.partition())
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
