//! Consumers that ask for much and take nothing.

use std::time::Duration;

use bytes::BytesMut;
use ottla_broker::node::Surroundings;
use ottla_protocol::frame;
use ottla_protocol::messages::fetch::*;
use ottla_protocol::messages::produce::*;
use ottla_protocol::record::NewRecord;
use ottla_protocol::record_batch::Builder;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::dev_node::DevNode;

const BATCH_BYTES: usize = 1 << 20;
const FETCH_BYTES: usize = 4 << 20;
const FETCHES: usize = 64;
const CONNECTIONS: usize = 2;

/// Two answers in work and one on its way for each connection, and some for the rest.
const GROWTH_BYTES_MAX: usize = 96 << 20;

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

fn batch() -> BytesMut {
    let mut builder = Builder::new();
    builder.push(&NewRecord {
        timestamp_ms: 1,
        key: None,
        value: Some(&[7; BATCH_BYTES - 100]),
        headers: &[],
    });
    builder.build()
}

/// A node whose topic `t` has 16 MiB of records, most of them on disk only.
async fn filled() -> DevNode {
    let mut around = Surroundings::real();
    around.store.memory_bytes_max = 2 << 20;
    around.store.flush_bytes = 1 << 20;
    let mut node = DevNode::start_in(around).await;
    node.create_topic("t").await;
    for _ in 0..16 {
        let partition_data = vec![PartitionProduceData {
            index: 0,
            records: Some(batch()),
        }];
        let produce = ProduceRequest {
            acks: -1,
            timeout_ms: 5000,
            topic_data: vec![TopicProduceData {
                name: "t".into(),
                partition_data,
                ..Default::default()
            }],
            ..Default::default()
        };
        let produced = node.ask(9, &produce).await;
        assert_eq!(produced.responses[0].partition_responses[0].error_code, 0);
    }
    node
}

fn fetch() -> FetchRequest {
    FetchRequest {
        max_bytes: FETCH_BYTES as i32,
        topics: vec![FetchTopic {
            topic: "t".into(),
            partitions: vec![FetchPartition {
                partition_max_bytes: FETCH_BYTES as i32,
                ..Default::default()
            }],
            ..Default::default()
        }],
        session_epoch: -1,
        ..Default::default()
    }
}

/// A connection with a small window that asks for much at once and reads nothing.
async fn slow_reader(address: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(address.parse().unwrap()).await.unwrap();
    let request = frame::request(4, 7, "slow", &fetch()).unwrap().concat();
    stream.write_all(&request.repeat(FETCHES)).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_takes_hold_little_memory() {
    let mut node = filled().await;
    let address = node.node.bootstrap()[0].replace("localhost", "127.0.0.1");
    let before = resident_bytes();
    let mut readers = Vec::new();
    for _ in 0..CONNECTIONS {
        readers.push(slow_reader(&address).await);
    }
    let mut most = 0;
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        most = most.max(resident_bytes());
    }
    let growth = most.saturating_sub(before);
    assert!(growth < GROWTH_BYTES_MAX, "grew by {growth} bytes");
    // others are served meanwhile
    let fetched = node.ask(4, &fetch()).await;
    let records = fetched.responses[0].partitions[0].records.as_ref();
    assert!(records.is_some_and(|records| records.len() >= BATCH_BYTES));
    drop(readers);
    node.node.stop().await;
}
