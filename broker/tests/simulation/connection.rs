//! A client's connection: one request at a time, in Kafka's protocol.

use std::time::Duration;

use bytes::BytesMut;
use ottla_broker::stream::{Network, Stream};
use ottla_protocol::codec::Request;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::frame;
use ottla_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{BROKERS, TOPIC, host};

/// How long a connection, and then an answer, may take.
const TIMEOUT: Duration = Duration::from_millis(2500);

/// What a client asks brokers over. Any failure closes it; the next call opens another.
pub struct Connection {
    node: usize,
    stream: Option<Stream>,
    correlation_id: i32,
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
            correlation_id: 0,
        }
    }

    /// Talks to this broker from now on.
    pub fn turn_to(&mut self, node: usize) {
        if self.node != node {
            self.stream = None;
            self.node = node;
        }
    }

    /// Sends a request and waits for its answer; none where it did not come.
    pub async fn ask<R: Request>(&mut self, version: i16, body: &R) -> Option<R::Response> {
        let asked = tokio::time::timeout(TIMEOUT, self.exchange(version, body)).await;
        let answer = asked.ok().flatten();
        if answer.is_none() {
            self.stream = None;
        }
        answer
    }

    async fn exchange<R: Request>(&mut self, version: i16, body: &R) -> Option<R::Response> {
        if self.stream.is_none() {
            let address = format!("{}:9092", host(self.node));
            self.stream = Some(Network::Simulated.connect(&address).await.ok()?);
        }
        let stream = self.stream.as_mut()?;
        self.correlation_id += 1;
        let segments = frame::request(version, self.correlation_id, "simulation", body).ok()?;
        for segment in segments {
            stream.write_all(&segment).await.ok()?;
        }
        let mut buffer = BytesMut::new();
        loop {
            if let Some(frame) = frame::split(&mut buffer, 64 << 20).ok()? {
                let (correlation_id, response) = frame::read_response::<R>(frame, version).ok()?;
                assert_eq!(correlation_id, self.correlation_id, "answers come in order");
                return Some(response);
            }
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// Asks the next broker who leads a partition: the present one may be cut off and not know.
    pub async fn leader(&mut self, partition: i32) -> Option<Leader> {
        self.turn_to((self.node + 1) % BROKERS);
        let request = MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                name: Some(TOPIC.to_owned()),
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
