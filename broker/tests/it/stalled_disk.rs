//! A disk that takes what it is given and reports nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use ottla_broker::node::Surroundings;
use ottla_protocol::frame;
use ottla_protocol::messages::produce::*;
use ottla_storage::sim::SimDisk;

use crate::dev_node::{DevNode, one_record};

/// How long a record may wait for the disk.
const LIMIT: Duration = Duration::from_secs(2);

/// How long a machine that is busy with other tests may take for what is to come.
const LONG: Duration = Duration::from_secs(60);

async fn until(holds: impl Fn() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < LONG, "it does not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_whose_disk_hangs_gives_up_its_lease_until_the_disk_goes_on() {
    let disk = SimDisk::new(1);
    let around = Surroundings {
        disk: Arc::new(disk.clone()),
        inline: true,
        ..Surroundings::real()
    };
    let mut node = DevNode::start_with(around, |settings| {
        settings.replica_lag_time_max = LIMIT;
    })
    .await;
    let controller = node.node.context().controller.clone();
    node.create_topic("t").await;
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
