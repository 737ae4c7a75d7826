//! A disk that takes what it is given and reports nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use ottla_broker::config::Settings;
use ottla_broker::node::Surroundings;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::frame;
use ottla_protocol::ids::{ProducerEpoch, ProducerId, Sequence};
use ottla_protocol::messages::api_versions::ApiVersionsRequest;
use ottla_protocol::messages::groups::FindCoordinatorRequest;
use ottla_protocol::messages::produce::*;
use ottla_protocol::messages::producer_ids::InitProducerIdRequest;
use ottla_protocol::record::NewRecord;
use ottla_protocol::record_batch::Builder;
use ottla_storage::sim::SimDisk;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};
use tokio::net::TcpStream;

use crate::dev_node::{DevNode, one_record};

/// How long a record may wait for the disk.
const LIMIT: Duration = Duration::from_secs(2);

/// `ottla.connection.requests.max`
const CONNECTION_REQUESTS_MAX: usize = 64;

/// How long a machine that is busy with other tests may take for what is to come.
const LONG: Duration = Duration::from_secs(60);

async fn until(holds: impl Fn() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < LONG, "it does not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A node with the topic `t`, and its disk; how long that may hang is no matter, unless it is said.
async fn start(change: impl FnOnce(&mut Settings)) -> (DevNode, SimDisk) {
    let disk = SimDisk::new(1);
    let around = Surroundings {
        disk: Arc::new(disk.clone()),
        inline: true,
        ..Surroundings::real()
    };
    let mut node = DevNode::start_with(around, |settings| {
        settings.replica_lag_time_max = LONG;
        change(settings);
    })
    .await;
    node.create_topic("t").await;
    (node, disk)
}

fn produce() -> BytesMut {
    let produce = ProduceRequest {
        acks: -1,
        timeout_ms: 60_000,
        topic_data: vec![TopicProduceData {
            name: "t".into(),
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(one_record().build()),
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let segments = frame::request(9, 7, "test", &produce).unwrap();
    let mut bytes: BytesMut = segments.concat().as_slice().into();
    bytes.advance(4);
    bytes
}

/// A Produce with acks=0, as it is sent.
fn silent(batch: Builder) -> Vec<u8> {
    let produce = ProduceRequest {
        acks: 0,
        timeout_ms: 60_000,
        topic_data: vec![TopicProduceData {
            name: "t".into(),
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(batch.build()),
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    frame::request(9, 7, "test", &produce).unwrap().concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_whose_disk_hangs_gives_up_its_lease_until_the_disk_goes_on() {
    let (mut node, disk) = start(|settings| settings.replica_lag_time_max = LIMIT).await;
    let controller = node.node.context().controller.clone();
    until(|| controller.has_lease()).await;

    disk.set_stalled(true);
    let since = Instant::now();
    let answer = node.call(produce(), Duration::from_millis(50)).await;
    assert!(
        answer.expect("it is taken").is_none(),
        "it waits for the disk"
    );
    // on a busy machine it may be missed for a moment without that
    let mut missed_since = Instant::now();
    while missed_since.elapsed() < LIMIT {
        if controller.has_lease() {
            missed_since = Instant::now();
        }
        assert!(since.elapsed() < LONG, "it keeps its lease");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    disk.set_stalled(false);
    until(|| controller.has_lease()).await;
    let answer = node.call(produce(), LONG).await;
    assert!(answer.expect("it is taken").is_some());
}

/// A producer with acks=0 waits for nothing, and sends on while the disk hangs: no more is taken
/// from it than requests may hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_that_wants_no_answer_fills_no_memory_while_the_disk_hangs() {
    const SENT: usize = 96 << 20;
    let (node, disk) = start(|settings| settings.queued_bytes_max = 8 << 20).await;
    let address = node.node.bootstrap()[0].clone();
    let mut builder = Builder::new();
    builder.push(&NewRecord {
        timestamp_ms: 1,
        value: Some(&[7; 256 << 10]),
        ..NewRecord::default()
    });
    let request = silent(builder);

    disk.set_stalled(true);
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let mut sent = 0;
    let is_blocked = loop {
        let writing = stream.write_all(&request);
        match tokio::time::timeout(Duration::from_secs(3), writing).await {
            Ok(written) => written.expect("the connection stays"),
            Err(_) => break true,
        }
        sent += request.len();
        if sent >= SENT {
            break false;
        }
    };
    disk.set_stalled(false);
    // what it was in the midst of may go on: the client is served by and by
    assert!(is_blocked, "{sent} bytes were taken");
    assert!(sent < SENT / 2, "{sent} bytes were taken");
    let again = TcpStream::connect(&address).await.unwrap();
    let mut again = BufWriter::new(again);
    for _ in 0..64 {
        let writing = again.write_all(&request);
        let written = tokio::time::timeout(LONG, writing).await;
        written.expect("the disk goes on").unwrap();
    }
    drop(stream);
    node.node.stop().await;
}

/// As many requests wait as may, and none of them is answered when the disk goes on: what came
/// behind them is begun then, without another byte from the client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_behind_those_that_want_no_answer_is_begun_once_they_are_done() {
    let (mut node, disk) = start(|_| {}).await;
    let address = node.node.bootstrap()[0].clone();
    let mut requests = silent(one_record()).repeat(CONNECTION_REQUESTS_MAX);
    let versions = ApiVersionsRequest::default();
    requests.extend(frame::request(0, 8, "test", &versions).unwrap().concat());

    disk.set_stalled(true);
    // a commit is under way: all that come now are in the next one, and are done at once
    let first = node.call(produce(), Duration::from_millis(50)).await;
    assert!(first.expect("it is taken").is_none());
    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream.write_all(&requests).await.unwrap();
    let mut size = [0; 4];
    let early = tokio::time::timeout(Duration::from_millis(200), stream.read_exact(&mut size));
    assert!(early.await.is_err(), "the line is full");
    disk.set_stalled(false);
    // ten seconds after it came the connection's own timer looks at it
    let answer = tokio::time::timeout(Duration::from_secs(6), stream.read_exact(&mut size));
    answer.await.expect("it is begun").unwrap();
    node.node.stop().await;
}

/// The first batch of a transaction of a client that adds no partitions itself: they are added by
/// the coordinator, which writes that down first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_whose_coordinator_hangs_is_answered_in_its_own_time() {
    let (mut node, disk) = start(|_| {}).await;
    let find = FindCoordinatorRequest {
        key_type: 1,
        coordinator_keys: vec!["id".into()],
        ..Default::default()
    };
    let init = InitProducerIdRequest {
        transactional_id: Some("id".into()),
        transaction_timeout_ms: 60_000,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    let since = Instant::now();
    let producer = loop {
        node.ask(4, &find).await;
        let producer = node.ask(5, &init).await;
        if producer.error_code == 0 {
            break producer;
        }
        assert!(since.elapsed() < LONG, "{producer:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let (id, epoch) = (producer.producer_id, producer.producer_epoch);
    let batch = one_record().transactional();
    let batch = batch.producer(ProducerId(id), ProducerEpoch(epoch), Sequence(0));
    let produce = ProduceRequest {
        transactional_id: Some("id".into()),
        acks: -1,
        timeout_ms: 500,
        topic_data: vec![TopicProduceData {
            name: "t".into(),
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(batch.build()),
            }],
            ..Default::default()
        }],
    };

    disk.set_stalled(true);
    let since = Instant::now();
    let answer = node.ask(12, &produce).await;
    let waited = since.elapsed();
    disk.set_stalled(false);
    let error = answer.responses[0].partition_responses[0].error_code;
    assert_eq!(ErrorCode::from(error), ErrorCode::NotEnoughReplicas);
    // the coordinator itself gives up after 5 s
    assert!(waited < Duration::from_secs(4), "{waited:?}");
    node.node.stop().await;
}
