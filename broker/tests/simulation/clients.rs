//! The clients: idempotent producers with acks=all, and consumers from offset 0 on.
//!
//! A producer has one batch in flight a partition and sends it again, with the same sequence, until
//! it is acknowledged. So every value is in the log exactly once, in the producer's order.

use std::time::Duration;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{ProducerEpoch, ProducerId, Sequence};
use ottla_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use ottla_protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData,
};
use ottla_protocol::messages::producer_ids::InitProducerIdRequest;
use ottla_protocol::messages::topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use ottla_protocol::record::{self, NewRecord};
use ottla_protocol::record_batch::{self, Builder};
use ottla_storage::sim::Random;

use crate::checks::value_of;
use crate::connection::{Connection, Leader};
use crate::world::{BROKERS, Bug, PARTITIONS, Shared, TOPIC};

/// How long a client waits before it asks again.
const PAUSE: Duration = Duration::from_millis(50);

/// How many producers there are, each with a batch in flight for each partition.
pub const PRODUCERS: usize = 2;

/// Makes the topic, however long the cluster takes to form.
pub async fn create_topic(shared: Shared) -> turmoil::Result {
    let mut connection = Connection::new(0);
    let config = |name: &str, value: &str| CreatableTopicConfig {
        name: name.to_owned(),
        value: Some(value.to_owned()),
    };
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: TOPIC.to_owned(),
            num_partitions: PARTITIONS,
            replication_factor: BROKERS as i16,
            configs: vec![config("internal.segment.bytes", "32768")],
            ..CreatableTopic::default()
        }],
        timeout_ms: 1000,
        validate_only: false,
    };
    loop {
        let answer = connection.ask(7, &request).await;
        let error = answer.and_then(|answer| Some(answer.topics.first()?.error_code));
        match error.map(ErrorCode::from) {
            Some(ErrorCode::None | ErrorCode::TopicAlreadyExists) => break,
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
    shared.trace(format_args!("the topic is made"));
    shared.with(|world| world.clients -= 1);
    Ok(())
}

/// One producer's writes to one partition.
pub struct Producer {
    pub shared: Shared,
    pub number: usize,
    pub partition: i32,
    random: Random,
    connection: Connection,
    leader: Option<Leader>,
    sequence: i32,
}

impl Producer {
    pub fn new(shared: &Shared, number: usize, partition: i32) -> Self {
        Self {
            shared: shared.clone(),
            number,
            partition,
            random: shared.random(100 + (number as u64) * 10 + partition as u64),
            connection: Connection::new(number % BROKERS),
            leader: None,
            sequence: 0,
        }
    }

    /// Writes until the run ends and its last batch is acknowledged.
    pub async fn run(mut self) -> turmoil::Result {
        let id = self.producer_id().await;
        while !self.shared.with(|world| world.is_ending) {
            let count = 1 + self.random.below(4);
            let name = |n: usize| {
                format!(
                    "{}-{}-{}",
                    self.number,
                    self.partition,
                    self.sequence as usize + n
                )
            };
            let values: Vec<String> = (0..count).map(name).collect();
            let padding = self.random.below(400);
            loop {
                let batch = self.batch(id, &values, padding);
                if self.send(batch, &values).await {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
                self.leader = self.connection.leader(self.partition).await;
            }
            self.sequence += count as i32;
            let pause = self.random.below(25) as u64;
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        self.shared.with(|world| world.clients -= 1);
        Ok(())
    }

    async fn producer_id(&mut self) -> (i64, i16) {
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: 1000,
            ..InitProducerIdRequest::default()
        };
        loop {
            if let Some(answer) = self.connection.ask(4, &request).await
                && answer.error_code == 0
            {
                return (answer.producer_id, answer.producer_epoch);
            }
            tokio::time::sleep(PAUSE).await;
            self.leader = self.connection.leader(self.partition).await;
        }
    }

    fn batch(&self, (id, epoch): (i64, i16), values: &[String], padding: usize) -> bytes::BytesMut {
        let bug = self.shared.with(|world| world.bug);
        let id = match bug {
            Some(Bug::NoIdempotence) => ProducerId::NONE,
            _ => ProducerId(id),
        };
        let mut builder =
            Builder::new().producer(id, ProducerEpoch(epoch), Sequence(self.sequence));
        for value in values {
            let filled = format!("{value}{}", ".".repeat(padding));
            builder.push(&NewRecord {
                timestamp_ms: self.shared.unix_ms(),
                value: Some(filled.as_bytes()),
                ..NewRecord::default()
            });
        }
        builder.build()
    }

    /// Says whether the batch is acknowledged.
    async fn send(&mut self, batch: bytes::BytesMut, values: &[String]) -> bool {
        let Some(leader) = self.leader else {
            return false;
        };
        self.connection.turn_to(leader.node);
        let bug = self.shared.with(|world| world.bug);
        let request = ProduceRequest {
            transactional_id: None,
            acks: if bug == Some(Bug::AckBeforeIsr) {
                1
            } else {
                -1
            },
            timeout_ms: 1500,
            topic_data: vec![TopicProduceData {
                name: TOPIC.to_owned(),
                partition_data: vec![PartitionProduceData {
                    index: self.partition,
                    records: Some(batch),
                }],
                ..TopicProduceData::default()
            }],
        };
        let answer = self.connection.ask(9, &request).await;
        let parts = answer.and_then(|answer| answer.responses.into_iter().next());
        let part = parts.and_then(|parts| parts.partition_responses.into_iter().next());
        part.is_some_and(|part| self.judge(&part, values))
    }

    fn judge(&mut self, part: &PartitionProduceResponse, values: &[String]) -> bool {
        let error = ErrorCode::from(part.error_code);
        let (partition, first) = (self.partition, &values[0]);
        match error {
            ErrorCode::None => {
                self.shared.trace(format_args!(
                    "acknowledged {partition}@{} {first}+{}",
                    part.base_offset,
                    values.len()
                ));
                self.shared
                    .with(|world| world.acknowledged(partition, part.base_offset, values));
                true
            }
            error if error.is_retriable() => false,
            // with one batch in flight that is sent until acknowledged, no sequence can be wrong
            error => {
                let what = format!("LostProducerState: {partition} {first} is refused: {error:?}");
                self.shared.violate(what);
                true
            }
        }
    }
}

/// One consumer of one partition.
pub struct Consumer {
    pub shared: Shared,
    pub partition: i32,
    connection: Connection,
    leader: Option<Leader>,
    next: i64,
}

impl Consumer {
    pub fn new(shared: &Shared, partition: i32) -> Self {
        Self {
            shared: shared.clone(),
            partition,
            connection: Connection::new(partition as usize % BROKERS),
            leader: None,
            next: 0,
        }
    }

    /// Reads until the run ends and everything committed is read.
    pub async fn run(mut self) -> turmoil::Result {
        loop {
            let (is_ending, end) = self.shared.with(|world| {
                (
                    world.is_ending && world.has_converged(),
                    world.checks.committed_end(self.partition),
                )
            });
            if is_ending && self.next >= end {
                break;
            }
            if !self.fetch().await {
                tokio::time::sleep(PAUSE).await;
                self.leader = self.connection.leader(self.partition).await;
            }
        }
        self.shared.with(|world| world.clients -= 1);
        Ok(())
    }

    /// Says whether the leader is worth asking again.
    async fn fetch(&mut self) -> bool {
        let Some(leader) = self.leader else {
            return false;
        };
        self.connection.turn_to(leader.node);
        let committed_epoch = self
            .shared
            .with(|world| world.checks.committed_epoch(self.partition));
        let request = FetchRequest {
            replica_id: -1,
            max_wait_ms: 100,
            min_bytes: 1,
            max_bytes: 1 << 20,
            topics: vec![FetchTopic {
                topic: TOPIC.to_owned(),
                partitions: vec![FetchPartition {
                    partition: self.partition,
                    current_leader_epoch: leader.epoch,
                    fetch_offset: self.next,
                    partition_max_bytes: 16 << 10,
                    ..FetchPartition::default()
                }],
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        };
        let answer = self.connection.ask(12, &request).await;
        let topic = answer.and_then(|answer| answer.responses.into_iter().next());
        let Some(data) = topic.and_then(|topic| topic.partitions.into_iter().next()) else {
            return false;
        };
        match ErrorCode::from(data.error_code) {
            ErrorCode::None => {}
            ErrorCode::OffsetOutOfRange => {
                let what = format!(
                    "NonmonotonicPoll: {}@{} is out of range",
                    self.partition, self.next
                );
                self.shared.violate(what);
                return false;
            }
            _ => return false,
        }
        if leader.epoch < committed_epoch {
            self.shared.violate(format!(
                "StaleRead: broker {} serves {} in epoch {}, and {committed_epoch} had committed",
                leader.node, self.partition, leader.epoch
            ));
        }
        self.take_in(data);
        true
    }

    fn take_in(&mut self, data: PartitionData) {
        let bytes = data.records.unwrap_or_default().into_bytes();
        for batch in record_batch::iterate(&bytes).flatten() {
            let base = batch.header.base_offset.0;
            for found in record::iterate(batch.body(), batch.header.records_count).flatten() {
                let offset = base + i64::from(found.offset_delta);
                if offset < self.next {
                    continue; // a batch is read from its beginning
                }
                if offset > self.next {
                    let what = format!(
                        "PollSkip: {} skips {} to {offset}",
                        self.partition, self.next
                    );
                    self.shared.violate(what);
                }
                let value = value_of(found.value.unwrap_or_default());
                self.shared
                    .with(|world| world.consumed(self.partition, offset, &value));
                self.next = offset + 1;
            }
        }
    }
}
