//! Which markers are sent where, and again.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, NodeId, PartitionIndex, TopicId, TopicIdPartition, Uuid};
use ottla_protocol::messages::transactions::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
    WriteTxnMarkersResponse,
};

use super::script::partitions;
use crate::image::{BrokerRegistration, MetadataImage, PartitionRegistration, Topic};
use crate::transaction::markers::{Batch, Markers, Site};
use crate::transaction::state::{Producer, TransactionVersion};
use crate::transaction::{Ending, TRANSACTION_TOPIC};

const ME: NodeId = NodeId(0);

fn site() -> Site {
    Site {
        partition: TopicIdPartition {
            topic_id: TopicId(Uuid([9; 16])),
            partition: PartitionIndex(0),
        },
        leader_epoch: LeaderEpoch(4),
    }
}

fn topic(image: &mut MetadataImage, name: &str, id: u8, leaders: &[i32]) {
    let partitions = leaders.iter().map(|leader| {
        Arc::new(PartitionRegistration {
            leader: (*leader >= 0).then_some(NodeId(*leader)),
            leader_epoch: LeaderEpoch(4),
            ..PartitionRegistration::default()
        })
    });
    let topic = Topic {
        id: TopicId(Uuid([id; 16])),
        name: name.into(),
        partitions: partitions.collect::<Vec<_>>().into(),
    };
    Arc::make_mut(&mut image.topic_names).insert(topic.id, topic.name.clone());
    Arc::make_mut(&mut image.topics).insert(topic.name.clone(), Arc::new(topic));
}

fn image(leaders: &[i32]) -> MetadataImage {
    let mut image = MetadataImage::default();
    for node in 0..3 {
        let broker = BrokerRegistration {
            node_id: NodeId(node),
            ..BrokerRegistration::default()
        };
        Arc::make_mut(&mut image.brokers).insert(NodeId(node), Arc::new(broker));
    }
    topic(&mut image, TRANSACTION_TOPIC, 9, &[0]);
    topic(&mut image, "t", 1, leaders);
    image
}

fn ending(id: &str, producer_id: i64, names: &[&str]) -> Ending {
    Ending {
        transactional_id: id.into(),
        producer: Producer::new(producer_id, 3),
        is_commit: true,
        partitions: partitions(names.iter().copied()),
        version: TransactionVersion::SECOND,
        prepared_ms: 0,
    }
}

fn batches(markers: &mut Markers) -> Vec<Batch> {
    std::iter::from_fn(|| markers.next_batch()).collect()
}

/// What each batch asks for, in short.
fn asked(batches: &[Batch]) -> Vec<String> {
    let batches = batches.iter();
    let asked = batches.map(|batch| {
        let markers = batch.request.markers.iter();
        let markers = markers.flat_map(|marker| {
            let topics = marker.topics.iter();
            topics.map(move |topic| {
                let (id, epoch) = (marker.producer_id, marker.coordinator_epoch);
                format!(" {id}@{epoch}:{}{:?}", topic.name, topic.partition_indexes)
            })
        });
        format!("{}:{}", batch.node, markers.collect::<String>())
    });
    asked.collect()
}

fn answer(batch: &Batch, errors: &BTreeMap<i32, ErrorCode>) -> WriteTxnMarkersResponse {
    let markers = batch.request.markers.iter();
    let markers = markers.map(|marker| WritableTxnMarkerResult {
        producer_id: marker.producer_id,
        topics: marker
            .topics
            .iter()
            .map(|topic| WritableTxnMarkerTopicResult {
                name: topic.name.clone(),
                partitions: topic
                    .partition_indexes
                    .iter()
                    .map(|index| WritableTxnMarkerPartitionResult {
                        partition_index: *index,
                        error_code: errors.get(index).copied().unwrap_or_default().code(),
                    })
                    .collect(),
            })
            .collect(),
    });
    WriteTxnMarkersResponse {
        markers: markers.collect(),
    }
}

fn succeed(markers: &mut Markers, batches: Vec<Batch>) {
    for batch in batches {
        let answer = answer(&batch, &BTreeMap::new());
        markers.on_answer(0, batch, Some(&answer));
    }
}

#[test]
fn markers_go_to_the_leaders_together() {
    let image = image(&[0, 1, 0]);
    let mut markers = Markers::default();
    markers.order(0, &image, site(), ending("a", 1, &["t-0", "t-1", "t-2"]));
    markers.order(0, &image, site(), ending("b", 2, &["t-2"]));
    let sent = batches(&mut markers);
    assert_eq!(asked(&sent), ["0: 1@4:t[0, 2] 2@4:t[2]", "1: 1@4:t[1]"]);
    assert_eq!(markers.next_finished(), None);
    succeed(&mut markers, sent);
    let finished: Vec<_> = std::iter::from_fn(|| markers.next_finished()).collect();
    assert_eq!(finished.len(), 2);
    for finished in finished {
        markers.on_told(&image, ME, finished, Ok(true));
    }
    assert!(markers.is_empty());
}

#[test]
fn a_shard_that_could_not_write_is_told_again_while_it_is_here() {
    let image = image(&[0]);
    let mut markers = Markers::default();
    markers.order(0, &image, site(), ending("a", 1, &["t-0"]));
    let sent = batches(&mut markers);
    succeed(&mut markers, sent);
    // its log may refuse for any reason: a full disk is told as NOT_COORDINATOR
    for error in [
        ErrorCode::CoordinatorNotAvailable,
        ErrorCode::NotCoordinator,
        ErrorCode::UnknownServerError,
    ] {
        let finished = markers.next_finished().expect("all is written");
        markers.on_told(&image, ME, finished, Err(error));
    }
    let finished = markers.next_finished().expect("it is told again");
    markers.on_told(&image, NodeId(1), finished, Err(ErrorCode::NotCoordinator));
    assert_eq!(markers.next_finished(), None, "it is another broker's");
    assert!(markers.is_empty());
}

#[test]
fn the_same_order_is_given_once_while_its_markers_are_on_their_way() {
    let image = image(&[0]);
    let mut markers = Markers::default();
    markers.order(0, &image, site(), ending("a", 1, &["t-0"]));
    let sent = batches(&mut markers);
    markers.order(0, &image, site(), ending("a", 1, &["t-0"]));
    assert!(batches(&mut markers).is_empty());
    succeed(&mut markers, sent);
    let finished = markers.next_finished().expect("all is written");
    // by the first rules the next transaction has the same producer and epoch
    markers.order(0, &image, site(), ending("a", 1, &["t-0"]));
    let again = batches(&mut markers);
    assert_eq!(again.len(), 1);
    markers.on_told(&image, ME, finished, Ok(true));
    assert!(
        !markers.is_empty(),
        "the order of the next transaction stays"
    );
    succeed(&mut markers, again);
    assert!(markers.next_finished().is_some());
}

#[test]
fn a_partition_that_could_not_is_asked_again_where_it_is_led_then() {
    let mut markers = Markers::default();
    markers.order(0, &image(&[1, 1]), site(), ending("a", 1, &["t-0", "t-1"]));
    let mut sent = batches(&mut markers);
    let batch = sent.pop().expect("one");
    let errors = BTreeMap::from([(1, ErrorCode::NotLeaderOrFollower)]);
    let said = answer(&batch, &errors);
    markers.on_answer(0, batch, Some(&said));
    assert!(batches(&mut markers).is_empty());
    let at_ms = markers.next_deadline_ms().expect("a retry");
    markers.on_time(at_ms, &image(&[1, 2]));
    let sent = batches(&mut markers);
    assert_eq!(asked(&sent), ["2: 1@4:t[1]"]);
    // no answer at all: everything again, by the next image at once
    for batch in sent {
        markers.on_answer(at_ms, batch, None);
    }
    markers.on_image(at_ms, &image(&[1, 0]), ME);
    let sent = batches(&mut markers);
    assert_eq!(asked(&sent), ["0: 1@4:t[1]"]);
    succeed(&mut markers, sent);
    assert!(markers.next_finished().is_some());
}

#[test]
fn a_deleted_topic_wants_no_markers_and_a_leaderless_one_waits() {
    let mut markers = Markers::default();
    markers.order(
        0,
        &image(&[0, -1]),
        site(),
        ending("a", 1, &["gone-0", "t-1", "t-7"]),
    );
    assert!(batches(&mut markers).is_empty());
    assert_eq!(markers.next_finished(), None);
    markers.on_image(0, &image(&[0, 2]), ME);
    let sent = batches(&mut markers);
    assert_eq!(asked(&sent), ["2: 1@4:t[1]"]);
    succeed(&mut markers, sent);
    assert!(markers.next_finished().is_some());
    markers.order(0, &image(&[0]), site(), ending("b", 2, &["gone-0"]));
    assert!(markers.next_finished().is_some());
}

#[test]
fn a_coordinator_that_is_one_no_more_writes_nothing() {
    let mut image = image(&[0]);
    let mut markers = Markers::default();
    markers.order(0, &image, site(), ending("a", 1, &["t-0"]));
    topic(&mut image, TRANSACTION_TOPIC, 9, &[2]);
    markers.on_image(0, &image, ME);
    assert!(markers.is_empty());
    assert!(batches(&mut markers).is_empty());
}

#[test]
fn so_many_batches_are_on_their_way_to_a_broker_at_a_time() {
    let image = image(&[0]);
    let mut markers = Markers::default();
    let mut sent = Vec::new();
    for producer_id in 0..20 {
        let id = format!("id-{producer_id}");
        markers.order(0, &image, site(), ending(&id, producer_id, &["t-0"]));
        sent.extend(batches(&mut markers));
    }
    assert_eq!(sent.len(), 4);
    succeed(&mut markers, sent);
    let sent = batches(&mut markers);
    assert_eq!(sent.len(), 1, "what waited goes together");
    succeed(&mut markers, sent);
    assert_eq!(std::iter::from_fn(|| markers.next_finished()).count(), 20);
}
