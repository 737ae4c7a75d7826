//! The audit log as a topic: each broker appends its lines to a partition that it leads, or where
//! it leads none to another's.
//!
//! Nobody waits for it. Lines are tried for [`PATIENCE`], while others wait up to a limit; what
//! cannot be written then is lost, and counted.

use std::sync::Arc;
use std::time::Duration;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_protocol::messages::topics::{CreatableTopic, CreateTopicsRequest};
use ottla_protocol::record::NewRecord;
use ottla_protocol::record_batch::Builder;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::brokers::Brokers;
use crate::controller;
use crate::env::Env;
use crate::metrics::Metrics;

/// How many lines are one batch at most, and of how many bytes, but for the last one.
const LINES_AT_ONCE: usize = 256;
const BATCH_BYTES_MAX: usize = 256 << 10;

/// How long the same lines are tried, and how long after each try.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(500);

/// A version of Produce that names topics.
const PRODUCE_VERSION: i16 = 9;

/// What the other broker, or the controller, may take.
const TIMEOUT_MS: i32 = 5_000;

/// The topic, and what it takes to write to it.
pub(super) struct AuditTopic {
    pub(super) name: String,
    pub(super) brokers: Brokers,
    pub(super) controller: controller::Handle,
    pub(super) env: Env,
    pub(super) metrics: Arc<Metrics>,
}

impl AuditTopic {
    /// Writes lines until nobody is left who could send one.
    pub(super) async fn run(self, mut lines: mpsc::Receiver<String>) {
        let mut batch: Vec<String> = Vec::new();
        let mut has_failed = false;
        while lines.recv_many(&mut batch, LINES_AT_ONCE).await > 0 {
            while !batch.is_empty() {
                let mut bytes = 0;
                let fits = |line: &&String| {
                    bytes += line.len();
                    bytes <= BATCH_BYTES_MAX
                };
                let count = batch.iter().take_while(fits).count().max(1);
                match self.try_append(&batch[..count]).await {
                    Ok(()) => has_failed = false,
                    Err(why) => {
                        self.metrics.audit_dropped.inc_by(count as u64);
                        if !std::mem::replace(&mut has_failed, true) {
                            let name = &self.name;
                            warn!(
                                "the audit log cannot be written to the topic {name}: {why}; its \
                                 lines are lost until it can"
                            );
                        }
                    }
                }
                batch.drain(..count);
            }
        }
    }

    async fn try_append(&self, lines: &[String]) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.append(lines).await {
                Err(_) if Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
                outcome => return outcome,
            }
        }
    }

    async fn append(&self, lines: &[String]) -> Result<(), String> {
        let image = self.controller.image();
        let Some(topic) = image.topic(&self.name) else {
            self.create().await?;
            return Err("it is not there yet".to_owned());
        };
        let me = self.controller.node_id();
        let led = (0..).zip(&topic.partitions);
        let led = led.filter_map(|(index, partition)| Some((index, partition.leader?)));
        let nearest = led.min_by_key(|(_, leader)| *leader != me);
        let (index, leader) = nearest.ok_or("none of its partitions has a leader")?;
        let request = ProduceRequest {
            acks: -1,
            timeout_ms: TIMEOUT_MS,
            topic_data: vec![TopicProduceData {
                name: self.name.clone(),
                partition_data: vec![PartitionProduceData {
                    index,
                    records: Some(self.batch(lines).build()),
                }],
                ..TopicProduceData::default()
            }],
            ..ProduceRequest::default()
        };
        let answer = self.brokers.call(leader, &request, PRODUCE_VERSION).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let mut partitions = answer.responses.iter().flat_map(|t| &t.partition_responses);
        match partitions.next().map(|partition| partition.error_code) {
            Some(0) => Ok(()),
            Some(error) => Err(ErrorCode::from(error).name().to_owned()),
            None => Err("an answer without it".to_owned()),
        }
    }

    fn batch(&self, lines: &[String]) -> Builder {
        let mut batch = Builder::new();
        for line in lines {
            batch.push(&NewRecord {
                timestamp_ms: self.env.unix_ms(),
                value: Some(line.trim_end().as_bytes()),
                ..NewRecord::default()
            });
        }
        batch
    }

    /// Has the topic created, with as many partitions and replicas as any.
    async fn create(&self) -> Result<(), String> {
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: self.name.clone(),
                num_partitions: -1,
                replication_factor: -1,
                ..CreatableTopic::default()
            }],
            timeout_ms: TIMEOUT_MS,
            ..CreateTopicsRequest::default()
        };
        let answer = self.controller.submit(request).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let topic = answer.topics.first().ok_or("an answer without it")?;
        match ErrorCode::from(topic.error_code) {
            ErrorCode::None => {
                info!("the topic {} was created for the audit log", self.name);
                Ok(())
            }
            ErrorCode::TopicAlreadyExists => Ok(()),
            error => Err(error.name().to_owned()),
        }
    }
}
