//! Batches of producers that came for a partition which this broker has handed over, on their way
//! to the leader; and those that other brokers send on to here.
//!
//! One stream to each leader, made when it is first used: batches go out in the order in which they
//! came, and are appended in it, so a producer's sequences stay in order. What is on its way is
//! held by the requests that wait for it, which the budget of requests bounds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::BoxFuture;
use futures_util::stream;
use ottla_core::image::MetadataImage;
use ottla_core::partition::{Acks, Appended, Batch};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{
    LeaderEpoch, NodeId, Offset, PartitionIndex, TopicId, TopicIdPartition, Uuid,
};
use tokio::sync::mpsc;
use tracing::debug;

use super::partition::Replica;
use super::pending::Answer;
use super::place::Place;
use super::sent::Sent;
use super::{Replicas, Shared, TopicKey, producer_state};
use crate::controller::service::TakesForwarded;
use crate::peer::wire;
use crate::threads;

/// Batches that wait to be written to one leader's stream.
const BATCHES_MAX: usize = 64;

/// How long a broker that is to lead may take to learn of it, on a machine that is busy.
const LEADERSHIP_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long a leader may take to open a stream, which it does once it has placed the first batch. A
/// process that is gone refuses or breaks the connection long before.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an acknowledgement is waited for; who produced waits no longer than it said itself.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(30);

/// A batch to send on.
pub(super) struct Forwarded {
    pub(super) leader: NodeId,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) replica: Arc<Replica>,
    pub(super) sent: Sent,
}

/// Runs until the broker stops: gives each batch to its leader's stream.
pub(super) async fn run(shared: Arc<Shared>, mut batches: mpsc::UnboundedReceiver<Forwarded>) {
    let mut ways: BTreeMap<NodeId, mpsc::UnboundedSender<Forwarded>> = BTreeMap::new();
    while let Some(forwarded) = batches.recv().await {
        let leader = forwarded.leader;
        let way = ways.entry(leader).or_insert_with(|| {
            let (way, queue) = mpsc::unbounded_channel();
            threads::spawn(serve(Arc::clone(&shared), leader, queue));
            way
        });
        // its task lives as long as this one
        let _ = way.send(forwarded);
    }
}

/// Sends on to one leader, on one stream after another.
async fn serve(shared: Arc<Shared>, leader: NodeId, mut queue: mpsc::UnboundedReceiver<Forwarded>) {
    while let Some(first) = queue.recv().await {
        let mut waiting = BTreeMap::new();
        let ended = stream_to(&shared, leader, first, &mut queue, &mut waiting).await;
        debug!(%leader, waiting = waiting.len(), "no batches are sent on: {ended}");
        for (_, batch) in waiting {
            // appended or not: nobody here knows
            batch.settle(Err(ErrorCode::RequestTimedOut));
        }
    }
}

/// Whose answer is still to come.
struct OnItsWay {
    replica: Arc<Replica>,
    place: Place,
    batch: Batch,
    answer: Answer<Appended>,
}

impl OnItsWay {
    fn settle(self, result: Result<Appended, ErrorCode>) {
        let is_appended = result.is_ok();
        self.answer.send(result);
        self.replica.arrived(&self.place, &self.batch, is_appended);
    }
}

type Waiting = BTreeMap<u64, OnItsWay>;

/// Sends on until the stream ends; says why it did. Who waits for an answer then is in `waiting`.
async fn stream_to(
    shared: &Shared,
    leader: NodeId,
    first: Forwarded,
    queue: &mut mpsc::UnboundedReceiver<Forwarded>,
    waiting: &mut Waiting,
) -> String {
    let (out, outgoing) = mpsc::channel(BATCHES_MAX);
    let outgoing = stream::unfold(outgoing, |mut outgoing| async {
        outgoing.recv().await.map(|batch| (batch, outgoing))
    });
    let mut number = 0;
    let reached = tokio::time::timeout(OPEN_TIMEOUT, shared.controller.reach(leader)).await;
    // the answer's headers come with the first batch
    let _ = out.send(batch(&mut number, first, waiting)).await;
    if reached.is_err() {
        return format!("no answer in {OPEN_TIMEOUT:?}");
    }
    let opening = shared.controller.open_forward(leader, outgoing);
    let mut outcomes = match tokio::time::timeout(OPEN_TIMEOUT, opening).await {
        Ok(Ok(outcomes)) => outcomes,
        Ok(Err(status)) => return status.message().to_owned(),
        Err(_) => return format!("no answer in {OPEN_TIMEOUT:?}"),
    };
    loop {
        let next = async {
            let room = out.reserve().await.ok()?;
            Some((room, queue.recv().await?))
        };
        tokio::select! {
            next = next => match next {
                Some((room, next)) => room.send(batch(&mut number, next, waiting)),
                None => return "the leader takes no more, or this broker stops".to_owned(),
            },
            outcome = outcomes.message() => match outcome {
                Ok(Some(outcome)) => answer(&outcome, waiting),
                Ok(None) => return "the leader ended it".to_owned(),
                Err(status) => return status.message().to_owned(),
            },
        }
    }
}

fn batch(number: &mut u64, forwarded: Forwarded, waiting: &mut Waiting) -> wire::ForwardedBatch {
    *number += 1;
    let Forwarded {
        leader_epoch,
        replica,
        sent,
        ..
    } = forwarded;
    let id = replica.id;
    let on_its_way = OnItsWay {
        replica,
        place: sent.place,
        batch: producer_state::data(&sent.header),
        answer: sent.answer,
    };
    waiting.insert(*number, on_its_way);
    wire::ForwardedBatch {
        number: *number,
        topic_id: bytes::Bytes::copy_from_slice(&id.topic_id.0.0),
        partition: id.partition.0,
        leader_epoch: leader_epoch.0,
        acks: match sent.acks {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        },
        records: sent.batch.freeze(),
    }
}

fn answer(outcome: &wire::ForwardedOutcome, waiting: &mut Waiting) {
    let Some(batch) = waiting.remove(&outcome.number) else {
        return;
    };
    let error = i16::try_from(outcome.error_code).map_or(ErrorCode::UnknownServerError, From::from);
    batch.settle(match error {
        ErrorCode::None => Ok(Appended {
            base_offset: Offset(outcome.base_offset),
            next_offset: Offset(outcome.base_offset), // nobody asks a producer's answer for it
        }),
        error => Err(error),
    });
}

impl TakesForwarded for Replicas {
    #[allow(
        clippy::async_yields_async,
        reason = "the first waits until the batch has its place, the second for its outcome"
    )]
    fn take(
        &self,
        batch: wire::ForwardedBatch,
    ) -> BoxFuture<'static, BoxFuture<'static, wire::ForwardedOutcome>> {
        let replicas = self.clone();
        Box::pin(async move { replicas.append_forwarded(batch).await })
    }
}

impl Replicas {
    /// Appends a batch that another broker sends on, once this one knows that it leads; the future
    /// gives the outcome. The batch was judged by the topic's configs where it came in.
    async fn append_forwarded(
        &self,
        batch: wire::ForwardedBatch,
    ) -> BoxFuture<'static, wire::ForwardedOutcome> {
        let taken = Taken::new(&self.shared);
        let number = batch.number;
        let outcome = move |result: Result<(Offset, Offset), ErrorCode>| wire::ForwardedOutcome {
            number,
            error_code: result.err().map_or(0, |error| i32::from(error.code())),
            base_offset: result.map_or(-1, |(base_offset, _)| base_offset.0),
            log_start_offset: result.map_or(-1, |(_, log_start_offset)| log_start_offset.0),
        };
        let Ok(topic_id) = <[u8; 16]>::try_from(&batch.topic_id[..]) else {
            return Box::pin(async move { outcome(Err(ErrorCode::InvalidRequest)) });
        };
        let id = TopicIdPartition {
            topic_id: TopicId(Uuid(topic_id)),
            partition: PartitionIndex(batch.partition),
        };
        let epoch = LeaderEpoch(batch.leader_epoch);
        // who sends it on may have seen the change of the leader first
        let is_known = |image: &MetadataImage| {
            let partition = image.partition(id);
            partition.is_some_and(|partition| partition.leader_epoch >= epoch)
        };
        let mut images = self.shared.controller.subscribe();
        let seen = images.wait_for(|image| is_known(image));
        // late: the partition itself then refuses what is not for it
        let _ = tokio::time::timeout(LEADERSHIP_WAIT_MAX, seen).await;
        let acks = match batch.acks {
            0 => Acks::None,
            1 => Acks::Leader,
            _ => Acks::All,
        };
        let records = BytesMut::from(&batch.records[..]);
        let produces = self.produce_judged(TopicKey::Id(id.topic_id), id.partition, records, acks);
        Box::pin(async move {
            let _taken = taken;
            let answers = produces.acknowledged(ACKNOWLEDGE_TIMEOUT).await;
            let first = answers.into_iter().next();
            outcome(match first {
                Some(Ok(produced)) => Ok((produced.base_offset, produced.log_start_offset)),
                Some(Err(refused)) => Err(refused.error),
                None => Err(ErrorCode::UnknownServerError),
            })
        })
    }

    /// Whether other brokers wait for what becomes of batches that they have sent on to here.
    #[must_use]
    pub fn owes_outcomes(&self) -> bool {
        self.shared.taken.load(Ordering::Acquire) > 0
    }
}

/// Counts a batch that another broker has sent on to here, for as long as it waits.
struct Taken(Arc<Shared>);

impl Taken {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.taken.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(shared))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Shared {
    /// Puts a batch on its way; gives it back where the broker stops.
    pub(super) fn forward(&self, forwarded: Forwarded) -> Result<(), Box<Forwarded>> {
        let sent = self.forwards.send(forwarded);
        sent.map_err(|mpsc::error::SendError(forwarded)| Box::new(forwarded))
    }
}
