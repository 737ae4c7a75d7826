//! Transactions as the leaders of partitions and the coordinators of groups see them: the test is
//! the transactions' coordinator, and sends the markers itself.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use ottla_broker::node::Surroundings;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{ProducerEpoch, ProducerId, Sequence};
use ottla_protocol::messages::configs::*;
use ottla_protocol::messages::fetch::*;
use ottla_protocol::messages::groups::*;
use ottla_protocol::messages::offsets::*;
use ottla_protocol::messages::produce::*;
use ottla_protocol::messages::producer_ids::*;
use ottla_protocol::messages::topics::*;
use ottla_protocol::messages::transactions::*;
use ottla_protocol::record::NewRecord;
use ottla_protocol::record_batch::{self, Builder};

use crate::dev_node::DevNode;

const TOPIC: &str = "t";
const COMMITTED: i8 = 1;

const CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// What is waited for comes within two looks; a busy machine takes longer.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A producer: its id, its epoch, and what it sends next.
struct Producer {
    id: i64,
    epoch: i16,
    sequence: i32,
}

impl Producer {
    fn new(id: i64) -> Self {
        Self {
            id,
            epoch: 0,
            sequence: 0,
        }
    }

    fn batch(&mut self, records: i32) -> BytesMut {
        let (id, epoch) = (ProducerId(self.id), ProducerEpoch(self.epoch));
        let builder = Builder::new().producer(id, epoch, Sequence(self.sequence));
        let mut builder = builder.transactional();
        for _ in 0..records {
            builder.push(&NewRecord {
                timestamp_ms: 1,
                key: Some(b"k"),
                value: Some(b"v"),
                headers: &[],
            });
        }
        self.sequence += records;
        builder.build()
    }

    /// Sends so many records, in the newest version whose producers add partitions themselves; the
    /// error or the offset.
    async fn send(&mut self, node: &mut DevNode, records: i32) -> Result<i64, ErrorCode> {
        let produce = ProduceRequest {
            transactional_id: Some(format!("id-{}", self.id)),
            acks: -1,
            timeout_ms: 5000,
            topic_data: vec![TopicProduceData {
                name: TOPIC.into(),
                partition_data: vec![PartitionProduceData {
                    index: 0,
                    records: Some(self.batch(records)),
                }],
                ..Default::default()
            }],
        };
        let answer = node.ask(11, &produce).await;
        let partition = &answer.responses[0].partition_responses[0];
        match ErrorCode::from(partition.error_code) {
            ErrorCode::None => Ok(partition.base_offset),
            error => Err(error),
        }
    }

    /// Ends its transaction on a partition.
    async fn end(&self, node: &mut DevNode, topic: &str, partition: i32, commits: bool) -> i16 {
        let marker = WritableTxnMarker {
            producer_id: self.id,
            producer_epoch: self.epoch,
            transaction_result: commits,
            topics: vec![WritableTxnMarkerTopic {
                name: topic.into(),
                partition_indexes: vec![partition],
            }],
            coordinator_epoch: 3,
            transaction_version: 1,
        };
        let markers = WriteTxnMarkersRequest {
            markers: vec![marker],
        };
        let answer = node.ask(2, &markers).await;
        answer.markers[0].topics[0].partitions[0].error_code
    }

    async fn commit_offset(&self, node: &mut DevNode, offset: i64) -> i16 {
        let commit = TxnOffsetCommitRequest {
            transactional_id: format!("id-{}", self.id),
            group_id: "g".into(),
            producer_id: self.id,
            producer_epoch: self.epoch,
            generation_id: -1,
            topics: vec![TxnOffsetCommitRequestTopic {
                name: TOPIC.into(),
                partitions: vec![TxnOffsetCommitRequestPartition {
                    committed_offset: offset,
                    ..Default::default()
                }],
            }],
            ..Default::default()
        };
        let answer = node.ask(4, &commit).await;
        answer.topics[0].partitions[0].error_code
    }
}

/// A node with a topic, whose partitions ask no coordinator.
async fn start() -> DevNode {
    with_topic(DevNode::start().await).await
}

/// The same, where what was quiet for a moment is asked about, and so often.
async fn start_that_asks() -> DevNode {
    let around = Surroundings::real();
    let started = DevNode::start_with(around, |settings| {
        settings.hanging_check_interval = CHECK_INTERVAL;
    });
    let mut node = with_topic(started.await).await;
    verify(&mut node, false).await;
    node
}

async fn with_topic(mut node: DevNode) -> DevNode {
    let create = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: TOPIC.into(),
            num_partitions: 1,
            replication_factor: 1,
            ..Default::default()
        }],
        timeout_ms: 5000,
        ..Default::default()
    };
    node.ask(7, &create).await;
    node
}

async fn verify(node: &mut DevNode, is_on: bool) {
    let alter = IncrementalAlterConfigsRequest {
        resources: vec![incremental_alter_configs_request(is_on)],
        validate_only: false,
    };
    let answer = node.ask(1, &alter).await;
    assert_eq!(answer.responses[0].error_code, 0, "{answer:?}");
}

fn incremental_alter_configs_request(is_on: bool) -> IncrementalAlterConfigsResource {
    IncrementalAlterConfigsResource {
        resource_type: 4,
        resource_name: String::new(),
        configs: vec![IncrementalAlterableConfig {
            name: "transaction.partition.verification.enable".into(),
            config_operation: 0,
            value: Some(is_on.to_string()),
        }],
    }
}

/// Where what is read ends, what was aborted of it, and the last stable offset.
async fn fetch(node: &mut DevNode, from: i64) -> (i64, Vec<(i64, i64)>, i64) {
    let fetch = FetchRequest {
        max_bytes: 1 << 20,
        isolation_level: COMMITTED,
        topics: vec![FetchTopic {
            topic: TOPIC.into(),
            partitions: vec![FetchPartition {
                fetch_offset: from,
                partition_max_bytes: 1 << 20,
                ..Default::default()
            }],
            ..Default::default()
        }],
        session_epoch: -1,
        ..Default::default()
    };
    let mut answer = node.ask(12, &fetch).await;
    let data = answer.responses.remove(0).partitions.remove(0);
    assert_eq!(data.error_code, 0);
    let records = data.records.unwrap_or_default().into_bytes();
    let last = record_batch::iterate(&records).map(Result::unwrap).last();
    let end = last.map_or(from, |batch| batch.header.next_offset().0);
    let aborted = data.aborted_transactions.unwrap_or_default();
    let aborted = aborted.iter().map(|a| (a.producer_id, a.first_offset));
    (end, aborted.collect(), data.last_stable_offset)
}

async fn find_coordinator(node: &mut DevNode, key_type: i8, key: &str) {
    let find = FindCoordinatorRequest {
        key_type,
        coordinator_keys: vec![key.into()],
        ..Default::default()
    };
    let found = node.ask(4, &find).await;
    assert_eq!(found.coordinators[0].error_code, 0);
}

async fn latest(node: &mut DevNode, isolation_level: i8) -> i64 {
    let list = ListOffsetsRequest {
        replica_id: -1,
        isolation_level,
        topics: vec![ListOffsetsTopic {
            name: TOPIC.into(),
            partitions: vec![ListOffsetsPartition {
                timestamp: -1,
                ..Default::default()
            }],
        }],
        ..Default::default()
    };
    let answer = node.ask(5, &list).await;
    answer.topics[0].partitions[0].offset
}

async fn open_since(node: &mut DevNode) -> Vec<(i64, i32, i64)> {
    let describe = DescribeProducersRequest {
        topics: vec![TopicRequest {
            name: TOPIC.into(),
            partition_indexes: vec![0],
        }],
    };
    let answer = node.ask(0, &describe).await;
    let producers = &answer.topics[0].partitions[0].active_producers;
    let told = |p: &ProducerState| {
        (
            p.producer_id,
            p.coordinator_epoch,
            p.current_txn_start_offset,
        )
    };
    producers.iter().map(told).collect()
}

async fn committed(node: &mut DevNode, require_stable: bool) -> Result<i64, ErrorCode> {
    let fetch = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: "g".into(),
            topics: Some(vec![OffsetFetchRequestTopics {
                name: TOPIC.into(),
                partition_indexes: vec![0],
                ..Default::default()
            }]),
            ..Default::default()
        }],
        require_stable,
        ..Default::default()
    };
    let answer = node.ask(8, &fetch).await;
    let partition = &answer.groups[0].topics[0].partitions[0];
    match ErrorCode::from(partition.error_code) {
        ErrorCode::None => Ok(partition.committed_offset),
        error => Err(error),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_ends_at_the_oldest_open_transaction_and_names_what_was_aborted() {
    let mut node = start().await;
    verify(&mut node, false).await;
    let (mut a, mut b) = (Producer::new(1001), Producer::new(1002));
    assert_eq!(a.send(&mut node, 5).await, Ok(0));
    assert_eq!(b.send(&mut node, 5).await, Ok(5));
    assert_eq!(a.send(&mut node, 5).await, Ok(10));
    assert_eq!(fetch(&mut node, 0).await, (0, vec![], 0));
    assert_eq!(latest(&mut node, COMMITTED).await, 0);
    assert_eq!(latest(&mut node, 0).await, 15);
    assert_eq!(open_since(&mut node).await, [(1001, -1, 0), (1002, -1, 5)]);
    assert_eq!(a.end(&mut node, TOPIC, 0, true).await, 0);
    assert_eq!(fetch(&mut node, 0).await, (5, vec![], 5));
    assert_eq!(b.end(&mut node, TOPIC, 0, false).await, 0);
    assert_eq!(fetch(&mut node, 0).await, (17, vec![(1002, 5)], 17));
    // once more is as good as once
    assert_eq!(b.end(&mut node, TOPIC, 0, false).await, 0);
    assert_eq!(fetch(&mut node, 17).await, (18, vec![], 18));
    assert_eq!(open_since(&mut node).await, [(1001, 3, -1), (1002, 3, -1)]);
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_coordinator_no_transaction_begins() {
    let mut node = start().await;
    let mut a = Producer::new(1001);
    let refused = Err(ErrorCode::NotEnoughReplicas);
    assert_eq!(a.send(&mut node, 5).await, refused);
    assert_eq!(latest(&mut node, 0).await, 0);
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_of_a_transaction_count_once_it_is_committed() {
    let mut node = start().await;
    verify(&mut node, false).await;
    find_coordinator(&mut node, 0, "g").await;
    let image = node.node.context().controller.image();
    let count = image.topic("__consumer_offsets").unwrap().partitions.len();
    let partition = ottla_core::shard::partition_for("g", count as i32);
    let (a, b) = (Producer::new(1001), Producer::new(1002));
    assert_eq!(a.commit_offset(&mut node, 5).await, 0);
    assert_eq!(b.commit_offset(&mut node, 6).await, 0);
    let unstable = Err(ErrorCode::UnstableOffsetCommit);
    assert_eq!(committed(&mut node, true).await, unstable);
    assert_eq!(committed(&mut node, false).await, Ok(-1));
    let offsets = "__consumer_offsets";
    assert_eq!(a.end(&mut node, offsets, partition, true).await, 0);
    assert_eq!(committed(&mut node, true).await, unstable);
    assert_eq!(committed(&mut node, false).await, Ok(5));
    assert_eq!(b.end(&mut node, offsets, partition, false).await, 0);
    assert_eq!(committed(&mut node, true).await, Ok(5));
    node.node.stop().await;
}

/// A producer that its coordinator knows, in a transaction with the topic.
async fn in_transaction(node: &mut DevNode, id: &str) -> Producer {
    find_coordinator(node, 1, id).await;
    let init = InitProducerIdRequest {
        transactional_id: Some(id.into()),
        transaction_timeout_ms: 60_000,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    let begun = Instant::now();
    let given = loop {
        let given = node.ask(4, &init).await;
        if given.error_code == 0 {
            break given;
        }
        // the coordinator is still loading
        assert!(begun.elapsed() < WAIT_MAX, "{given:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let add = AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: id.into(),
        v3_and_below_producer_id: given.producer_id,
        v3_and_below_producer_epoch: given.producer_epoch,
        v3_and_below_topics: vec![AddPartitionsToTxnTopic {
            name: TOPIC.into(),
            partitions: vec![0],
        }],
        ..Default::default()
    };
    let added = node.ask(3, &add).await;
    let results = &added.results_by_topic_v3_and_below[0].results_by_partition;
    assert_eq!(results[0].partition_error_code, 0);
    Producer {
        epoch: given.producer_epoch,
        ..Producer::new(given.producer_id)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_coordinator_knows_of_is_aborted_and_what_goes_on_is_left_alone() {
    let mut node = start_that_asks().await;
    let mut known = in_transaction(&mut node, "known").await;
    let mut lost = Producer::new(1001);
    assert_eq!(known.send(&mut node, 1).await, Ok(0));
    assert_eq!(lost.send(&mut node, 1).await, Ok(1));
    let begun = Instant::now();
    while open_since(&mut node).await.contains(&(1001, -1, 1)) {
        assert!(begun.elapsed() < WAIT_MAX, "the transaction hangs");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let of_known = (known.id, -1, 0);
    let of_lost = (1001, 0, -1);
    assert_eq!(
        open_since(&mut node).await,
        [of_known.min(of_lost), of_known.max(of_lost)]
    );
    assert_eq!(known.end(&mut node, TOPIC, 0, true).await, 0);
    // the marker that aborts it, and the one of the other
    assert_eq!(fetch(&mut node, 0).await, (4, vec![(1001, 1)], 4));
    while node.node.context().metrics.hanging_transactions.get() != 0 {
        assert!(begun.elapsed() < WAIT_MAX, "it is still told of");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_of_a_transaction_that_no_coordinator_knows_of_hold_up_nobody() {
    let mut node = start_that_asks().await;
    find_coordinator(&mut node, 0, "g").await;
    let lost = Producer::new(1001);
    assert_eq!(lost.commit_offset(&mut node, 5).await, 0);
    let begun = Instant::now();
    while committed(&mut node, true).await == Err(ErrorCode::UnstableOffsetCommit) {
        assert!(begun.elapsed() < WAIT_MAX, "the transaction hangs");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(committed(&mut node, true).await, Ok(-1));
    node.node.stop().await;
}
