//! Clients that take more than their quota: what they are told, and what is read of them.

use std::time::Duration;

use ottla_broker::authorizer::follower_client_id;
use ottla_broker::config::Settings;
use ottla_broker::node::Surroundings;
use ottla_client::Connection;
use ottla_protocol::codec::Request;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::frame;
use ottla_protocol::ids::NodeId;
use ottla_protocol::messages::access::*;
use ottla_protocol::messages::api_versions::ApiVersionsRequest;
use ottla_protocol::messages::configs::*;
use ottla_protocol::messages::fetch::*;
use ottla_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use ottla_protocol::messages::produce::*;
use ottla_protocol::messages::topics::{CreatableTopic, CreateTopicsRequest};
use ottla_protocol::record::NewRecord;
use ottla_protocol::record_batch::Builder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::dev_node::DevNode;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);

const BATCH_BYTES: usize = 10_000;

fn produce(acks: i16) -> ProduceRequest {
    let mut builder = Builder::new();
    builder.push(&NewRecord {
        timestamp_ms: 1,
        value: Some(&[7; BATCH_BYTES]),
        ..NewRecord::default()
    });
    let partition_data = vec![PartitionProduceData {
        index: 0,
        records: Some(builder.build()),
    }];
    ProduceRequest {
        acks,
        timeout_ms: 5000,
        topic_data: vec![TopicProduceData {
            name: "t".into(),
            partition_data,
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn fetch(session_id: i32, session_epoch: i32) -> FetchRequest {
    FetchRequest {
        max_bytes: 1 << 20,
        session_id,
        session_epoch,
        topics: vec![FetchTopic {
            topic: "t".into(),
            partitions: vec![FetchPartition {
                partition_max_bytes: 1 << 20,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn records(response: &FetchResponse) -> usize {
    let partitions = response.responses.iter().flat_map(|t| &t.partitions);
    partitions
        .filter_map(|p| p.records.as_ref())
        .map(|r| r.len())
        .sum()
}

/// A node with a topic `t`, where one window counts before the one that is under way.
async fn node() -> DevNode {
    let mut node = DevNode::start_with(Surroundings::real(), |settings| {
        settings.quota_windows = 2;
        settings.controller_quota_windows = 1;
        // throttled is not idle
        settings.connections_max_idle = Some(SHORT);
    })
    .await;
    node.create_topic("t").await;
    node
}

/// Sets a quota of a client id.
async fn set(node: &mut DevNode, client_id: &str, key: &str, value: f64) {
    set_of(node, ("client-id", client_id), key, value).await;
}

async fn set_of(node: &mut DevNode, (kind, name): (&str, &str), key: &str, value: f64) {
    let asked = AlterClientQuotasRequest {
        entries: vec![AlterQuotas {
            entity: vec![AlterQuotaEntity {
                entity_type: kind.into(),
                entity_name: Some(name.into()),
            }],
            ops: vec![OpData {
                key: key.into(),
                value,
                remove: false,
            }],
        }],
        validate_only: false,
    };
    let answer = node.ask(1, &asked).await;
    assert_eq!(answer.entries[0].error_code, 0, "{answer:?}");
}

fn frame<R: Request>(client_id: &str, version: i16, request: &R) -> Vec<u8> {
    let segments = frame::request(version, 7, client_id, request);
    segments.unwrap().concat()
}

/// Sets a config of all brokers.
async fn configure(node: &mut DevNode, name: &str, value: &str) {
    let asked = IncrementalAlterConfigsRequest {
        resources: vec![IncrementalAlterConfigsResource {
            resource_type: 4,
            configs: vec![IncrementalAlterableConfig {
                name: name.into(),
                config_operation: 0,
                value: Some(value.into()),
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let set = node.ask(1, &asked).await;
    assert_eq!(set.responses[0].error_code, 0, "{set:?}");
}

async fn connect(node: &DevNode, client_id: &str) -> Connection<TcpStream> {
    let stream = TcpStream::connect(&node.node.bootstrap()[0]).await.unwrap();
    Connection::new(stream, client_id.to_owned(), 1 << 20)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_is_answered_at_once_and_read_no_further_for_as_long_as_it_is_told() {
    let mut node = node().await;
    // two seconds' worth, of which one may be taken at once
    set(&mut node, "fast", "producer_byte_rate", 5000.0).await;
    let mut fast = connect(&node, "fast").await;
    let mut other = connect(&node, "other").await;
    let began = Instant::now();
    let answer = fast.exchange(&produce(-1), 9).await.unwrap();
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    let told = answer.throttle_time_ms;
    assert!((900..=1100).contains(&told), "{told}");
    let answer = other.exchange(&produce(-1), 9).await.unwrap();
    assert_eq!(answer.throttle_time_ms, 0);
    // what it sends meanwhile is served afterwards
    let metadata = MetadataRequest::default();
    timeout(LONG, fast.exchange(&metadata, 9))
        .await
        .unwrap()
        .unwrap();
    let took = began.elapsed().as_millis();
    assert!(took >= told as u128, "{took} of {told} ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_wants_no_answer_is_held_up_too() {
    let mut node = node().await;
    set(&mut node, "silent", "producer_byte_rate", 5000.0).await;
    let mut silent = TcpStream::connect(&node.node.bootstrap()[0]).await.unwrap();
    let began = Instant::now();
    let frames = [
        frame("silent", 9, &produce(0)),
        frame("silent", 9, &MetadataRequest::default()),
    ];
    silent.write_all(&frames.concat()).await.unwrap();
    let answer = timeout(LONG, silent.read_u8()).await;
    answer.unwrap().unwrap();
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(900), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hangs_up_while_it_is_throttled_is_let_go() {
    let mut node = node().await;
    set(&mut node, "slow", "producer_byte_rate", 1.0).await;
    let mut slow = connect(&node, "slow").await;
    let answer = timeout(LONG, slow.exchange(&produce(-1), 9)).await.unwrap();
    // hours, and answered all the same
    assert!(answer.unwrap().throttle_time_ms > 3_600_000);
    configure(&mut node, "max.connections.per.ip", "1").await;
    let is_served = async |node: &DevNode| {
        let mut other = connect(node, "other").await;
        let metadata = MetadataRequest::default();
        matches!(timeout(LONG, other.exchange(&metadata, 9)).await, Ok(Ok(_)))
    };
    assert!(!is_served(&node).await, "there is room for one alone");
    // what it had sent is served: it gets no answer, and the record is there
    let offset = async |node: &mut DevNode| {
        let fetched = node.ask(11, &fetch(0, -1)).await;
        fetched.responses[0].partitions[0].high_watermark
    };
    assert_eq!(offset(&mut node).await, 1);
    slow.send(&produce(0), 9).await.unwrap();
    drop(slow);
    timeout(LONG, async {
        while !is_served(&node).await || offset(&mut node).await < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_gets_what_it_asked_for_and_then_nothing_for_a_while() {
    let mut node = node().await;
    node.ask(9, &produce(-1)).await;
    set(&mut node, "reader", "consumer_byte_rate", 5000.0).await;
    let first = node.ask_as("reader", 11, &fetch(0, 0)).await;
    assert!(records(&first) >= BATCH_BYTES);
    let told = first.throttle_time_ms;
    assert!((900..=1100).contains(&told), "{told}");
    // on another connection: nothing is read, and its session goes on
    let second = node.ask_as("reader", 11, &fetch(first.session_id, 1)).await;
    assert_eq!((records(&second), second.error_code), (0, 0));
    assert_eq!(second.session_id, first.session_id);
    assert!((1..=told).contains(&second.throttle_time_ms), "{second:?}");
    // one that would begin does not
    let new = node.ask_as("reader", 11, &fetch(0, 0)).await;
    assert_eq!(
        (new.session_id, new.responses.len(), new.error_code),
        (0, 0, 0)
    );
    assert!(new.throttle_time_ms > 0);
    let wrong = node.ask_as("reader", 11, &fetch(first.session_id, 7)).await;
    assert_ne!(wrong.error_code, 0);
    // what it named meanwhile is answered once the time is over
    let mut epoch = 2;
    let third = timeout(LONG, async {
        loop {
            let mut next = fetch(first.session_id, epoch);
            next.topics.clear();
            let third = node.ask_as("reader", 11, &next).await;
            assert_eq!(third.error_code, 0);
            if third.throttle_time_ms == 0 || records(&third) > 0 {
                return third;
            }
            epoch += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(records(&third.await.unwrap()) >= BATCH_BYTES);
    let other = node.ask_as("other", 11, &fetch(0, 0)).await;
    assert_eq!(other.throttle_time_ms, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_of_requests_is_a_quota_too_and_brokers_have_none() {
    let mut node = node().await;
    for client in ["busy", "broker"] {
        set(&mut node, client, "request_percentage", 0.000_001).await;
    }
    let metadata = MetadataRequest::default();
    let told = node.ask_as("busy", 9, &metadata).await.throttle_time_ms;
    assert!((1..=1000).contains(&told), "{told}");
    assert_eq!(node.ask_as("other", 9, &metadata).await.throttle_time_ms, 0);
    let hello = ApiVersionsRequest::default();
    let told = node.ask_as("busy", 2, &hello).await.throttle_time_ms;
    assert!((1..=1000).contains(&told), "{told}");
    assert_eq!(node.ask_as("other", 2, &hello).await.throttle_time_ms, 0);
    let image = node.node.context().controller.image();
    let us = follower_client_id(image.broker(NodeId(0)).unwrap());
    set(&mut node, &us, "request_percentage", 0.000_001).await;
    set(&mut node, &us, "producer_byte_rate", 1.0).await;
    assert_eq!(node.ask_as(&us, 9, &metadata).await.throttle_time_ms, 0);
    assert_eq!(node.ask_as(&us, 9, &produce(-1)).await.throttle_time_ms, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quotas_are_told_as_they_were_set() {
    let mut node = node().await;
    let all = DescribeClientQuotasRequest::default();
    assert_eq!(node.ask(1, &all).await.entries, Some(Vec::new()));
    set(&mut node, "a", "request_percentage", 12.5).await;
    let told = node.ask(1, &all).await.entries.unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].entity[0].entity_name.as_deref(), Some("a"));
    assert_eq!(
        (told[0].values[0].key.as_str(), told[0].values[0].value),
        ("request_percentage", 12.5)
    );
    let wrong = DescribeClientQuotasRequest {
        components: vec![ComponentData {
            entity_type: "nobody".into(),
            match_type: 2,
            r#match: None,
        }],
        strict: false,
    };
    let refused = node.ask(1, &wrong).await;
    assert_eq!((refused.error_code, refused.entries), (35, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_creates_too_many_partitions_is_refused_or_waits() {
    let mut node = node().await;
    set(&mut node, "maker", "controller_mutation_rate", 0.01).await;
    let create = |name: &str| CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: name.into(),
            num_partitions: 3,
            replication_factor: 1,
            ..Default::default()
        }],
        timeout_ms: 5000,
        validate_only: false,
    };
    let first = node.ask_as("maker", 7, &create("a")).await;
    assert_eq!((first.topics[0].error_code, first.throttle_time_ms), (0, 0));
    let second = node.ask_as("maker", 7, &create("b")).await;
    let error = ErrorCode::from(second.topics[0].error_code);
    assert_eq!(error, ErrorCode::ThrottlingQuotaExceeded);
    // three at a hundredth a second
    assert!(second.throttle_time_ms > 200_000, "{second:?}");
    let old = node.ask_as("maker", 5, &create("b")).await;
    assert_eq!(old.topics[0].error_code, 0);
    assert!(old.throttle_time_ms > 500_000, "{old:?}");
    let other = node.ask_as("other", 7, &create("c")).await;
    assert_eq!((other.topics[0].error_code, other.throttle_time_ms), (0, 0));
    // nor does it get them by asking where they are
    let ask = |name: &str| MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some(name.into()),
            ..Default::default()
        }]),
        allow_auto_topic_creation: true,
        ..Default::default()
    };
    let told = node.ask_as("maker", 9, &ask("d")).await.topics[0].error_code;
    assert_eq!(ErrorCode::from(told), ErrorCode::LeaderNotAvailable);
    let told = node.ask_as("maker", 9, &ask("d")).await.topics[0].error_code;
    assert_eq!(ErrorCode::from(told), ErrorCode::LeaderNotAvailable);
    let told = node.ask_as("other", 9, &ask("d")).await.topics[0].error_code;
    assert_eq!(ErrorCode::from(told), ErrorCode::None);
}

/// Four connections begin where two may at once, and two a second after that.
async fn four_connections_wait(node: &DevNode) {
    let began = Instant::now();
    for _ in 0..4 {
        let mut client = connect(node, "c").await;
        let metadata = MetadataRequest::default();
        let answer = timeout(LONG, client.exchange(&metadata, 9)).await;
        answer.unwrap().unwrap();
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(900), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_has_a_limit_of_its_own_of_how_fast_connections_begin() {
    let node = DevNode::start_with(Surroundings::real(), |settings| {
        let dir = settings.log_dirs[0].display();
        let text = format!(
            "node.id=0\nlisteners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0\n\
             controller.quorum.voters=0@127.0.0.1:9091\nottla.http.listener=\nlog.dirs={dir}\n\
             quota.window.num=2\nlistener.name.plaintext.max.connection.creation.rate=2\n"
        );
        *settings = Settings::from_properties("f", &text).unwrap();
    })
    .await;
    four_connections_wait(&node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_begin_too_fast_wait_and_those_of_an_address_are_closed() {
    let mut node = node().await;
    let metadata = MetadataRequest::default();
    configure(&mut node, "max.connection.creation.rate", "2").await;
    four_connections_wait(&node).await;
    configure(&mut node, "max.connection.creation.rate", "2147483647").await;
    set_of(
        &mut node,
        ("ip", "127.0.0.1"),
        "connection_creation_rate",
        1.0,
    )
    .await;
    let served = async || {
        let mut client = connect(&node, "c").await;
        let answer = timeout(LONG, client.exchange(&metadata, 9)).await.unwrap();
        answer.is_ok()
    };
    // how many are one too many depends on how fast this is
    timeout(LONG, async { while served().await {} })
        .await
        .unwrap();
}
