//! A node behind a slow link catches up, by a snapshot and by entries.

use std::net::SocketAddr;

use openraft::async_runtime::WatchReceiver;
use ottla_core::metadata::{Request, Response};
use ottla_protocol::ids::BrokerEpoch;
use ottla_protocol::messages::topics::{CreatableTopic, CreateTopicsRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::liveness::Voter;
use super::*;
use crate::controller::service::Service;
use crate::stream::Listener;

/// So many entries make a snapshot here.
const SNAPSHOT_ENTRIES: u64 = 20;

/// How long every byte is under way, longer than a heartbeat may be.
const DELAY: Duration = Duration::from_millis(120);

/// How much goes through at a time, each of which takes [`CHUNK_INTERVAL`]: 400 KB/s.
const CHUNK_BYTES: usize = 4096;

const CHUNK_INTERVAL: Duration = Duration::from_millis(10);

/// A way to `target` on which everything takes its time.
async fn slow_link(target: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((from, _)) = listener.accept().await {
            let Ok(to) = TcpStream::connect(target).await else {
                continue;
            };
            let (from_read, from_write) = from.into_split();
            let (to_read, to_write) = to.into_split();
            tokio::spawn(carry(from_read, to_write));
            tokio::spawn(carry(to_read, from_write));
        }
    });
    address
}

async fn carry(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin + Send) {
    let (sender, mut under_way) = tokio::sync::mpsc::channel::<(tokio::time::Instant, Vec<u8>)>(64);
    let deliver = async move {
        while let Some((due, bytes)) = under_way.recv().await {
            tokio::time::sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    let take = async move {
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            let Ok(count @ 1..) = from.read(&mut chunk).await else {
                return;
            };
            chunk.truncate(count);
            let due = tokio::time::Instant::now() + DELAY;
            if sender.send((due, chunk)).await.is_err() {
                return;
            }
            tokio::time::sleep(CHUNK_INTERVAL).await;
        }
    };
    tokio::join!(deliver, take);
}

/// Answers peers of `handle`, and says where.
pub(super) async fn answer(
    handle: &Handle,
    listener: TcpListener,
) -> tokio::sync::watch::Sender<bool> {
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let links = handle.shared.peers.links.clone();
    let service = Service::new(handle.clone(), Arc::default());
    tokio::spawn(crate::peer::serve(
        Listener::Tcp(listener),
        links,
        service,
        stopped,
    ));
    stop
}

/// An entry for each topic, of which each is some kilobytes.
async fn create(voter: &Voter, epoch: BrokerEpoch, topics: std::ops::Range<usize>) {
    for number in topics {
        assert!(!voter.beat(epoch, true).await.is_fenced);
        let topic = CreatableTopic {
            name: format!("topic-{number}"),
            num_partitions: 50,
            replication_factor: 1,
            assignments: Vec::new(),
            configs: Vec::new(),
        };
        let request = CreateTopicsRequest {
            topics: vec![topic],
            timeout_ms: 60_000,
            validate_only: false,
        };
        let response = voter.submit(Request::CreateTopics(request)).await;
        let Response::CreateTopics(response) = response else {
            panic!("{response:?}");
        };
        assert_eq!(response.topics[0].error_code, 0, "{response:?}");
    }
}

#[tokio::test]
async fn a_node_behind_a_slow_link_catches_up() {
    let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let voters = format!("0@{}", first.local_addr().unwrap());
    let mut voter = Voter::start_with(0, &voters, SNAPSHOT_ENTRIES).await;
    let _first = answer(&voter.handle, first).await;
    let epoch = voter.broker(1, 9).await;
    create(&voter, epoch, 0..60).await;

    let second = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let link = slow_link(second.local_addr().unwrap()).await;
    let mut observer = Voter::begin(1, &voters, SNAPSHOT_ENTRIES).await;
    let _second = answer(&observer.handle, second).await;
    tokio::spawn(formation::run(observer.handle.clone(), link.to_string()));
    observer.until(|image| image.topics.len() >= 60).await;
    let has_snapshot = {
        let metrics = observer.handle.shared.raft.metrics();
        metrics.borrow_watched().snapshot.is_some()
    };
    assert!(has_snapshot, "its first entries are long gone");

    create(&voter, epoch, 60..65).await;
    observer.until(|image| image.topics.len() == 65).await;
}
