//! Which markers are to be written where: the transactions that end, and the partitions that have
//! not said yet that they did.
//!
//! ```text
//!   order ─▶ pieces, by the leaders of an image ─▶ waiting, by broker ─▶ batch on its way
//!                 ▲                                                        │
//!                 └── later ◀── a partition that could not ◀───────────────┤
//!                                                                          ▼
//!                                      all partitions have said so: finished
//! ```
//! Markers are written again until they are there, and more than once is no harm: who leads the
//! partition knows a marker that it has. While a transaction's markers are on their way, the same
//! order is passed over, so that no second one of them can be late.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, NodeId, PartitionIndex, TopicIdPartition, TopicName};
use ottla_protocol::messages::transactions::{
    WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};

use super::state::{Partitions, Producer};
use super::{Ending, TransactionalId};
use crate::image::MetadataImage;

/// Batches that may be on their way to one broker at a time.
const IN_FLIGHT_MAX: usize = 4;

/// Markers that go in one batch.
const MARKERS_MAX: usize = 1_000;

/// How soon a partition is tried again that may do better with the next image.
const RETRY_MS: u64 = 50;

/// How soon one is tried again that refuses for a reason that will not pass soon.
const SLOW_RETRY_MS: u64 = 1_000;

/// The shard that gave an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Its partition of `__transaction_state`.
    pub partition: TopicIdPartition,
    /// The leader epoch it coordinates by: markers bear it.
    pub leader_epoch: LeaderEpoch,
}

/// A transaction all of whose markers are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Whose transaction it is.
    pub transactional_id: TransactionalId,
    /// The producer that the markers bear.
    pub producer: Producer,
    /// When it was prepared.
    pub prepared_ms: i64,
    order: u64,
}

/// One transaction's markers for partitions that one broker leads.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    transactional_id: TransactionalId,
    order: u64,
    partitions: Partitions,
}

/// Markers on their way to a broker.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The broker.
    pub node: NodeId,
    /// What it is sent.
    pub request: WriteTxnMarkersRequest,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
struct Pending {
    order: u64,
    site: Site,
    ending: Ending,
    /// Partitions that have not said yet that they have the marker.
    left: Partitions,
}

#[derive(Clone, Debug, Default)]
struct Queue {
    waiting: VecDeque<Piece>,
    in_flight: usize,
}

/// All markers that this broker's shards have ordered and that are not written yet.
#[derive(Clone, Debug, Default)]
pub struct Markers {
    pending: BTreeMap<TransactionalId, Pending>,
    by_node: BTreeMap<NodeId, Queue>,
    later: BTreeMap<u64, Vec<Piece>>,
    finished: VecDeque<Finished>,
    orders: u64,
}

impl Markers {
    /// How many transactions wait for their markers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// A shard orders the markers of a transaction.
    pub fn order(&mut self, now_ms: u64, image: &MetadataImage, site: Site, ending: Ending) {
        let id = ending.transactional_id.clone();
        let is_known = |known: &Pending| {
            known.site == site && known.ending == ending && !known.left.is_empty()
        };
        if self.pending.get(&id).is_some_and(is_known) {
            return;
        }
        self.orders += 1;
        let piece = Piece {
            transactional_id: id.clone(),
            order: self.orders,
            partitions: ending.partitions.clone(),
        };
        let pending = Pending {
            order: self.orders,
            site,
            left: ending.partitions.clone(),
            ending,
        };
        self.pending.insert(id, pending);
        self.place(now_ms, image, piece);
    }

    /// The next batch that may leave.
    pub fn next_batch(&mut self) -> Option<Batch> {
        let ready = |queue: &Queue| queue.in_flight < IN_FLIGHT_MAX && !queue.waiting.is_empty();
        let (node, queue) = self.by_node.iter_mut().find(|(_, queue)| ready(queue))?;
        let count = queue.waiting.len().min(MARKERS_MAX);
        let pieces: Vec<Piece> = queue.waiting.drain(..count).collect();
        queue.in_flight += 1;
        let markers = pieces.iter().filter_map(|piece| {
            let pending = self.pending.get(&piece.transactional_id);
            let pending = pending.filter(|pending| pending.order == piece.order)?;
            Some(marker(pending, &piece.partitions))
        });
        let request = WriteTxnMarkersRequest {
            markers: markers.collect(),
        };
        Some(Batch {
            node: *node,
            request,
            pieces,
        })
    }

    /// What became of a batch; none where there is no answer.
    pub fn on_answer(
        &mut self,
        now_ms: u64,
        batch: Batch,
        answer: Option<&WriteTxnMarkersResponse>,
    ) {
        if let Some(queue) = self.by_node.get_mut(&batch.node) {
            queue.in_flight = queue.in_flight.saturating_sub(1);
            if queue.in_flight == 0 && queue.waiting.is_empty() {
                self.by_node.remove(&batch.node);
            }
        }
        let said = answer.map(said).unwrap_or_default();
        for piece in batch.pieces {
            self.on_piece(now_ms, piece, &said);
        }
    }

    fn on_piece(
        &mut self,
        now_ms: u64,
        piece: Piece,
        said: &BTreeMap<(i64, &str, i32), ErrorCode>,
    ) {
        let Some(pending) = self.pending.get_mut(&piece.transactional_id) else {
            return;
        };
        if pending.order != piece.order {
            return;
        }
        let id = pending.ending.producer.id.0;
        let mut retries: BTreeMap<u64, Partitions> = BTreeMap::new();
        for (topic, index) in each(&piece.partitions) {
            match said.get(&(id, &**topic, index)) {
                Some(
                    ErrorCode::None
                    | ErrorCode::UnsupportedForMessageFormat
                    | ErrorCode::UnsupportedVersion,
                ) => remove(&mut pending.left, topic, index),
                // a newer coordinator, or a newer producer, has its way there: what this broker
                // will soon hear of, or what goes by itself
                Some(ErrorCode::InvalidProducerEpoch | ErrorCode::TransactionCoordinatorFenced) => {
                    let partitions = retries.entry(now_ms + SLOW_RETRY_MS).or_default();
                    partitions.entry(topic.clone()).or_default().insert(index);
                }
                Some(_) | None => {
                    let partitions = retries.entry(now_ms + RETRY_MS).or_default();
                    partitions.entry(topic.clone()).or_default().insert(index);
                }
            }
        }
        let (transactional_id, order) = (piece.transactional_id, piece.order);
        for (at_ms, partitions) in retries {
            self.later.entry(at_ms).or_default().push(Piece {
                transactional_id: transactional_id.clone(),
                order,
                partitions,
            });
        }
        self.finish(&transactional_id);
    }

    /// A transaction all of whose markers are written; its shard is to be told.
    pub fn next_finished(&mut self) -> Option<Finished> {
        self.finished.pop_front()
    }

    /// The shard knows, or orders anew once it is loaded, or is not here any more; else it is to
    /// be told again. NOT_COORDINATOR alone does not say that it is gone: it is said of a log that
    /// could not be written to, too.
    pub fn on_told(
        &mut self,
        image: &MetadataImage,
        me: NodeId,
        finished: Finished,
        told: Result<bool, ErrorCode>,
    ) {
        let id = &finished.transactional_id;
        let pending = self.pending.get(id);
        let Some(pending) = pending.filter(|pending| pending.order == finished.order) else {
            return;
        };
        let is_known = matches!(told, Ok(_) | Err(ErrorCode::CoordinatorLoadInProgress));
        match is_known || !is_led(image, me, pending.site) {
            true => drop(self.pending.remove(id)),
            false => self.finished.push_back(finished),
        }
    }

    /// There is a new image, on the broker `me`: markers that are not on their way go by it, those
    /// of shards that are not here any more do not go at all.
    pub fn on_image(&mut self, now_ms: u64, image: &MetadataImage, me: NodeId) {
        self.pending
            .retain(|_, pending| is_led(image, me, pending.site));
        let later = std::mem::take(&mut self.later).into_values().flatten();
        let mut pieces: Vec<Piece> = later.collect();
        for queue in self.by_node.values_mut() {
            pieces.extend(queue.waiting.drain(..));
        }
        self.by_node.retain(|_, queue| queue.in_flight > 0);
        for piece in pieces {
            self.place(now_ms, image, piece);
        }
    }

    /// Tries again what is due.
    pub fn on_time(&mut self, now_ms: u64, image: &MetadataImage) {
        while let Some(entry) = self.later.first_entry() {
            if *entry.key() > now_ms {
                return;
            }
            for piece in entry.remove() {
                self.place(now_ms, image, piece);
            }
        }
    }

    /// When [`Self::on_time`] is due.
    #[must_use]
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.later.first_key_value().map(|(at_ms, _)| *at_ms)
    }

    /// Hands a piece to the leaders of its partitions. What is of a deleted topic is no more to be
    /// written; what has no leader waits.
    fn place(&mut self, now_ms: u64, image: &MetadataImage, piece: Piece) {
        let Some(pending) = self.pending.get_mut(&piece.transactional_id) else {
            return;
        };
        if pending.order != piece.order {
            return;
        }
        let mut placed: BTreeMap<Option<NodeId>, Partitions> = BTreeMap::new();
        for (topic, index) in each(&piece.partitions) {
            let known = image.topic(topic);
            match known.and_then(|known| known.partition(PartitionIndex(index))) {
                None => remove(&mut pending.left, topic, index),
                Some(partition) => {
                    let leader = partition.leader.filter(|leader| image.is_unfenced(*leader));
                    let partitions = placed.entry(leader).or_default();
                    partitions.entry(topic.clone()).or_default().insert(index);
                }
            }
        }
        let (transactional_id, order) = (piece.transactional_id, piece.order);
        for (leader, partitions) in placed {
            let piece = Piece {
                transactional_id: transactional_id.clone(),
                order,
                partitions,
            };
            match leader {
                Some(leader) => self
                    .by_node
                    .entry(leader)
                    .or_default()
                    .waiting
                    .push_back(piece),
                None => self.later.entry(now_ms + RETRY_MS).or_default().push(piece),
            }
        }
        self.finish(&transactional_id);
    }

    fn finish(&mut self, id: &TransactionalId) {
        if let Some(pending) = self
            .pending
            .get(id)
            .filter(|pending| pending.left.is_empty())
        {
            self.finished.push_back(Finished {
                transactional_id: id.clone(),
                producer: pending.ending.producer,
                prepared_ms: pending.ending.prepared_ms,
                order: pending.order,
            });
        }
    }
}

/// Whether the shard that gave an order is still the broker's, in the same leader epoch.
fn is_led(image: &MetadataImage, me: NodeId, site: Site) -> bool {
    image.partition(site.partition).is_some_and(|partition| {
        partition.leader == Some(me) && partition.leader_epoch == site.leader_epoch
    })
}

fn marker(pending: &Pending, partitions: &Partitions) -> WritableTxnMarker {
    let ending = &pending.ending;
    let topics = partitions.iter();
    WritableTxnMarker {
        producer_id: ending.producer.id.0,
        producer_epoch: ending.producer.epoch.0,
        transaction_result: ending.is_commit,
        topics: topics
            .map(|(topic, indexes)| WritableTxnMarkerTopic {
                name: topic.to_string(),
                partition_indexes: indexes.iter().copied().collect(),
            })
            .collect(),
        coordinator_epoch: pending.site.leader_epoch.0,
        transaction_version: i8::try_from(ending.version.0).unwrap_or(i8::MAX),
    }
}

/// What an answer says of each partition, by producer id.
fn said(answer: &WriteTxnMarkersResponse) -> BTreeMap<(i64, &str, i32), ErrorCode> {
    let mut said = BTreeMap::new();
    for marker in &answer.markers {
        for topic in &marker.topics {
            for partition in &topic.partitions {
                let key = (marker.producer_id, &*topic.name, partition.partition_index);
                said.insert(key, ErrorCode::from(partition.error_code));
            }
        }
    }
    said
}

fn each(partitions: &Partitions) -> impl Iterator<Item = (&TopicName, i32)> {
    let topics = partitions.iter();
    topics.flat_map(|(topic, indexes)| indexes.iter().map(move |index| (topic, *index)))
}

fn remove(partitions: &mut Partitions, topic: &TopicName, index: i32) {
    let indexes: Option<&mut BTreeSet<i32>> = partitions.get_mut(topic);
    if let Some(indexes) = indexes {
        indexes.remove(&index);
        if indexes.is_empty() {
            partitions.remove(topic);
        }
    }
}
