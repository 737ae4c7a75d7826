//! What producers may not write, and what nobody may delete: batches that no consumer could read
//! are refused as Kafka refuses them, and what a header says of its records is set right.

use bytes::{BufMut, BytesMut};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{ProducerEpoch, ProducerId, Sequence};
use ottla_protocol::messages::fetch::*;
use ottla_protocol::messages::groups::*;
use ottla_protocol::messages::offsets::*;
use ottla_protocol::messages::produce::*;
use ottla_protocol::messages::topics::*;
use ottla_protocol::record::NewRecord;
use ottla_protocol::record_batch::{Builder, HEADER_BYTES, RecordBatch, set_max_timestamp};

use crate::dev_node::DevNode;

const ATTRIBUTES_AT: usize = 21;
const DELTA_AT: usize = 23;
const COUNT_AT: usize = 57;

async fn create(node: &mut DevNode, name: &str, configs: &[(&str, &str)]) {
    let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
        name: (*name).into(),
        value: Some((*value).into()),
    };
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: 1,
        replication_factor: 1,
        configs: configs.iter().map(config).collect(),
        ..Default::default()
    };
    let create = CreateTopicsRequest {
        topics: vec![topic],
        timeout_ms: 5000,
        ..Default::default()
    };
    let created = node.ask(7, &create).await;
    assert_eq!(created.topics[0].error_code, 0, "{name}");
}

/// What the answer to a produce says of its one partition, once the topic is led.
async fn produce(node: &mut DevNode, topic: &str, batch: &[u8]) -> PartitionProduceResponse {
    let data = PartitionProduceData {
        index: 0,
        records: Some(BytesMut::from(batch)),
    };
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: topic.into(),
            partition_data: vec![data],
            ..Default::default()
        }],
        ..Default::default()
    };
    for _ in 0..100 {
        let mut answer = node.ask(9, &request).await;
        let answer = answer.responses.remove(0).partition_responses.remove(0);
        let error = answer.error_code;
        if error != ErrorCode::NotLeaderOrFollower.code()
            && error != ErrorCode::UnknownTopicOrPartition.code()
        {
            return answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{topic} is not led");
}

/// A batch of records at these times.
fn batch(timestamps: &[i64]) -> BytesMut {
    let mut builder = Builder::new();
    for timestamp_ms in timestamps {
        builder.push(&NewRecord {
            timestamp_ms: *timestamp_ms,
            key: Some(b"key"),
            value: Some(b"value"),
            ..Default::default()
        });
    }
    builder.build()
}

/// The batch with its CRC, and its length, as its bytes are now.
fn sealed(mut batch: BytesMut) -> BytesMut {
    let length = batch.len() as i32 - 12;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let max = i64::from_be_bytes(batch[35..43].try_into().unwrap());
    set_max_timestamp(&mut batch, max);
    batch
}

/// The batch with other bytes at a place.
fn changed(mut batch: BytesMut, at: usize, bytes: &[u8]) -> BytesMut {
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    sealed(batch)
}

/// The header of two records, with a body of these bytes.
fn body(bytes: &[u8]) -> BytesMut {
    let mut batch = batch(&[now_ms(), now_ms()]);
    batch.truncate(HEADER_BYTES);
    batch.put_slice(bytes);
    sealed(batch)
}

/// A batch of a transaction that nobody began.
fn of_transaction() -> BytesMut {
    let producer = (ProducerId(4711), ProducerEpoch(0), Sequence(0));
    let builder = Builder::new().producer(producer.0, producer.1, producer.2);
    let mut builder = builder.transactional();
    builder.push(&NewRecord {
        timestamp_ms: now_ms(),
        ..Default::default()
    });
    builder.build()
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap().as_millis() as i64
}

fn batch_of_two() -> BytesMut {
    batch(&[now_ms(), now_ms()])
}

/// What no consumer could read.
fn poison() -> Vec<(&'static str, BytesMut, ErrorCode)> {
    let one_said = changed(batch_of_two(), DELTA_AT, &0_i32.to_be_bytes());
    let one_said = changed(one_said, COUNT_AT, &1_i32.to_be_bytes());
    let three_said = changed(batch_of_two(), DELTA_AT, &2_i32.to_be_bytes());
    let three_said = changed(three_said, COUNT_AT, &3_i32.to_be_bytes());
    // length, attributes, timestamp delta, offset delta, no key, no value, no headers
    let record = |delta: u8| [12, 0, 0, delta, 1, 1, 0];
    let gzip_bit = changed(batch_of_two(), ATTRIBUTES_AT, &1_i16.to_be_bytes());
    let zstd_bit = changed(batch_of_two(), ATTRIBUTES_AT, &4_i16.to_be_bytes());
    let invalid = ErrorCode::InvalidRecord;
    vec![
        ("garbage", body(b"\xff\xfe\x01garbage"), invalid),
        ("two said, none there", body(b""), invalid),
        ("one said, two there", one_said, invalid),
        ("three said, two there", three_said, invalid),
        (
            "a record that is too short",
            body(&[4, 0, 0, 0, 12, 0, 0, 2, 1, 1, 0]),
            invalid,
        ),
        (
            "an offset that is there twice",
            body(&[record(0), record(0)].concat()),
            invalid,
        ),
        (
            "an offset that is passed over",
            body(&[record(0), record(4)].concat()),
            invalid,
        ),
        (
            "an offset before the batch",
            body(&[record(0), record(1)].concat()),
            invalid,
        ),
        (
            "a key beyond its record",
            body(&[12, 0, 0, 0, 8, 1, 0, 12, 0, 0, 2, 1, 1, 0]),
            invalid,
        ),
        (
            "bytes behind the headers",
            body(&[14, 0, 0, 0, 1, 1, 0, 9, 12, 0, 0, 2, 1, 1, 0]),
            invalid,
        ),
        (
            "a header without a key",
            body(&[16, 0, 0, 0, 1, 1, 2, 1, 1, 12, 0, 0, 2, 1, 1, 0]),
            invalid,
        ),
        ("the gzip bit, not gzip", gzip_bit, invalid),
        ("the zstd bit, not zstd", zstd_bit, invalid),
    ]
}

/// What no client may say.
fn pretence() -> Vec<(&'static str, BytesMut, ErrorCode)> {
    let invalid = ErrorCode::InvalidRecord;
    vec![
        (
            "the time of an append",
            changed(batch_of_two(), ATTRIBUTES_AT, &8_i16.to_be_bytes()),
            ErrorCode::InvalidTimestamp,
        ),
        (
            "a control batch",
            changed(batch_of_two(), ATTRIBUTES_AT, &0x20_i16.to_be_bytes()),
            invalid,
        ),
        (
            "a delete horizon",
            changed(batch_of_two(), ATTRIBUTES_AT, &0x40_i16.to_be_bytes()),
            invalid,
        ),
        (
            "a transaction without a transactional id",
            of_transaction(),
            ErrorCode::TransactionalIdAuthorizationFailed,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_consumer_could_read_is_not_taken() {
    let mut node = DevNode::start().await;
    create(&mut node, "t", &[]).await;
    let mut wrong = Vec::new();
    for (name, batch, expected) in poison().into_iter().chain(pretence()) {
        let answer = produce(&mut node, "t", &batch).await;
        if answer.error_code != expected.code() {
            wrong.push(format!(
                "{name}: error {}, not {expected:?}",
                answer.error_code
            ));
        } else if answer.error_message.is_none() && expected == ErrorCode::InvalidRecord {
            wrong.push(format!("{name}: refused without a word"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let good = produce(&mut node, "t", &batch(&[now_ms()])).await;
    assert_eq!((good.error_code, good.base_offset), (0, 0));
    node.node.stop().await;
}

/// The first offset at or after a time, -1 where there is none.
async fn offset_at(node: &mut DevNode, topic: &str, timestamp: i64) -> i64 {
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: topic.into(),
            partitions: vec![ListOffsetsPartition {
                timestamp,
                ..Default::default()
            }],
        }],
        ..Default::default()
    };
    let answer = node.ask(5, &request).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);
    answer.topics[0].partitions[0].offset
}

/// The max timestamp of the first batch.
async fn stored_max_timestamp(node: &mut DevNode, topic: &str) -> i64 {
    let request = FetchRequest {
        replica_id: -1,
        max_wait_ms: 1000,
        min_bytes: 1,
        topics: vec![FetchTopic {
            topic: topic.into(),
            partitions: vec![FetchPartition {
                partition_max_bytes: 1 << 20,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let answer = node.ask(4, &request).await;
    let records = answer.responses[0].partitions[0].records.clone().unwrap();
    let bytes: Vec<u8> = records
        .chunks()
        .iter()
        .flat_map(|slice| slice.to_vec())
        .collect();
    let batch = RecordBatch::first(&bytes).unwrap();
    assert!(batch.header.crc_holds(&bytes));
    batch.header.max_timestamp
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_max_timestamp_is_that_of_the_records() {
    let mut node = DevNode::start().await;
    let (now, day) = (now_ms(), 86_400_000);
    let said = |times: &[i64], max: i64| {
        let mut batch = batch(times);
        set_max_timestamp(&mut batch, max);
        batch
    };
    let cases = [
        (
            "none said",
            said(&[now - 5000, now - 4000], -1),
            0,
            now - 4000,
        ),
        ("a day ahead said", said(&[now], now + day), 0, now),
        ("less said", said(&[now - 7, now, now - 3], now - 3), 0, now),
        ("a record a day ahead", said(&[now, now + day], now), 32, 0),
        ("records without a time", said(&[-1, -1], now), 0, -1),
    ];
    for (place, (name, batch, error, expected)) in cases.into_iter().enumerate() {
        let topic = format!("t{place}");
        let hour = ("message.timestamp.after.max.ms", "3600000");
        create(&mut node, &topic, &[hour]).await;
        let answer = produce(&mut node, &topic, &batch).await;
        assert_eq!(answer.error_code, error, "{name}");
        if error == 0 {
            assert_eq!(
                stored_max_timestamp(&mut node, &topic).await,
                expected,
                "{name}"
            );
        }
    }
    assert_eq!(offset_at(&mut node, "t0", now - 4500).await, 1);
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_internal_and_of_compacted_topics_are_not_deleted() {
    let mut node = DevNode::start().await;
    create(&mut node, "keys", &[("cleanup.policy", "compact")]).await;
    create(&mut node, "both", &[("cleanup.policy", "compact,delete")]).await;
    create(&mut node, "plain", &[]).await;
    for topic in ["keys", "both", "plain"] {
        let answer = produce(&mut node, topic, &batch(&[now_ms()])).await;
        assert_eq!(answer.error_code, 0, "{topic}");
    }
    let find = FindCoordinatorRequest {
        key: "g".into(),
        ..Default::default()
    };
    node.ask(3, &find).await; // makes the internal topic
    for (topic, expected) in [
        ("keys", ErrorCode::PolicyViolation),
        ("both", ErrorCode::None),
        ("plain", ErrorCode::None),
        ("__consumer_offsets", ErrorCode::InvalidTopicException),
    ] {
        let request = DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: topic.into(),
                partitions: vec![DeleteRecordsPartition {
                    partition_index: 0,
                    offset: -1,
                }],
            }],
            timeout_ms: 10_000,
        };
        let answer = node.ask(2, &request).await;
        let code = answer.topics[0].partitions[0].error_code;
        assert_eq!(code, expected.code(), "{topic}");
    }
    node.node.stop().await;
}
