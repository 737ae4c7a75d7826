//! Batches of producers that came for a partition which this broker has handed over, on their way
//! to the leader.
//!
//! One stream to each leader, made when it is first used: batches go out in the order in which they
//! came, and are appended in it, so a producer's sequences stay in order. What left for an earlier
//! stream goes before what is sent on the next. The request that a batch came in may end long
//! before the batch is answered, so what is on its way has a limit of its own
//! ([`super::sent::ON_THE_WAY_BYTES_MAX`]).
//!
//! A batch comes back, to go where the partition is led by now, wherever it is certain that it is
//! in no log, and where its sequence lets a leader know it again. Nobody can tell of others whose
//! stream broke whether they were appended: their producers are told that time is up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use ottla_core::partition::{Acks, Appended, Begun};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, NodeId, Offset, ProducerId, TopicIdPartition};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::Streaming;
use tracing::debug;

use super::Shared;
use super::partition::Replica;
use super::producer_state;
use super::sent::Sent;
use crate::controller::service::NO_MORE;
use crate::peer::wire;
use crate::threads;

/// Batches that wait to be written to one leader's stream.
const BATCHES_MAX: usize = 64;

/// How long a leader may take to open a stream. Nothing is sent before it has.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);

/// How long nothing is tried after a stream could not be opened, or has ended: this broker may
/// learn meanwhile who leads.
const PAUSE: Duration = Duration::from_millis(20);

/// The same where it fails again and again.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// A batch to send on.
pub(super) struct Forwarded {
    pub(super) leader: NodeId,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) replica: Arc<Replica>,
    pub(super) sent: Sent,
    /// Its place among those of its partition.
    pub(super) turn: u64,
    /// No other batch of its partition is on its way.
    pub(super) begins: bool,
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
    let mut pause = PAUSE;
    while let Some(first) = queue.recv().await {
        let mut unsent = vec![first];
        let ended = match open(&shared, leader).await {
            Ok((out, outcomes)) => {
                pause = PAUSE;
                let mut way = Way::new(out);
                unsent.drain(..).for_each(|first| way.first(first));
                let ended = way.follow(outcomes, &mut queue).await;
                let waiting = way.waiting.len();
                way.end();
                format!("{ended}; {waiting} were not answered")
            }
            Err(why) => {
                pause = (2 * pause).min(PAUSE_MAX);
                why
            }
        };
        while let Ok(next) = queue.try_recv() {
            unsent.push(next);
        }
        debug!(%leader, unsent = unsent.len(), "no batches are sent on: {ended}");
        for forwarded in unsent {
            forwarded.replica.come_back(forwarded.sent, forwarded.turn);
        }
        tokio::time::sleep(pause).await;
    }
}

type Outgoing = mpsc::Sender<wire::ForwardedBatch>;

/// Opens a stream; says why that did not succeed.
async fn open(
    shared: &Shared,
    leader: NodeId,
) -> Result<(Outgoing, Streaming<wire::ForwardedOutcome>), String> {
    let (out, outgoing) = mpsc::channel(BATCHES_MAX);
    let outgoing = stream::unfold(outgoing, |mut outgoing| async {
        outgoing.recv().await.map(|batch| (batch, outgoing))
    });
    let opening = shared.controller.open_forward(leader, outgoing);
    match tokio::time::timeout(OPEN_TIMEOUT, opening).await {
        Ok(Ok(outcomes)) => Ok((out, outcomes)),
        Ok(Err(status)) => Err(status.message().to_owned()),
        Err(_) => Err(format!("no answer in {OPEN_TIMEOUT:?}")),
    }
}

/// Whose answer is still to come.
struct OnItsWay {
    replica: Arc<Replica>,
    /// Without its batch, which is in `records`.
    sent: Sent,
    records: Bytes,
    turn: u64,
}

impl OnItsWay {
    fn settle(self, result: Result<Appended, ErrorCode>) {
        let is_appended = result.is_ok();
        let Sent {
            answer,
            place,
            header,
            ..
        } = self.sent;
        answer.relay(result);
        let batch = producer_state::data(&header);
        self.replica
            .arrived((self.turn, &place), &batch, is_appended);
    }

    fn come_back(mut self) {
        self.sent.batch = BytesMut::from(self.records);
        self.replica.come_back(self.sent, self.turn);
    }

    /// Its stream ended without an answer: it may have been appended.
    fn lose_sight(self) {
        let batch = producer_state::data(&self.sent.header);
        match batch.producer_id == ProducerId::NONE {
            true => self.settle(Err(ErrorCode::RequestTimedOut)),
            false => self.come_back(),
        }
    }
}

/// One stream.
struct Way {
    /// None once the other end takes no more.
    out: Option<Outgoing>,
    last: u64,
    begun: Begun<TopicIdPartition>,
    waiting: BTreeMap<u64, OnItsWay>,
    /// Nothing is sent before: the other end does not lead, or does not know it yet.
    not_before: Instant,
}

impl Way {
    fn new(out: Outgoing) -> Self {
        Self {
            out: Some(out),
            last: NO_MORE,
            begun: Begun::default(),
            waiting: BTreeMap::new(),
            not_before: Instant::now(),
        }
    }

    /// Sends on until the stream ends; says why it did.
    async fn follow(
        &mut self,
        mut outcomes: Streaming<wire::ForwardedOutcome>,
        queue: &mut mpsc::UnboundedReceiver<Forwarded>,
    ) -> String {
        loop {
            let (out, not_before) = (self.out.clone(), self.not_before);
            let next = async {
                tokio::time::sleep_until(not_before).await;
                match out {
                    Some(out) => Some((out.reserve_owned().await.ok()?, queue.recv().await?)),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                next = next => match next {
                    Some((room, next)) => {
                        if let Some(batch) = self.send(next) {
                            room.send(batch);
                        }
                    }
                    // what was answered is still to be read
                    None => self.out = None,
                },
                outcome = outcomes.message() => match outcome {
                    Ok(Some(outcome)) if outcome.number == NO_MORE => self.out = None,
                    Ok(Some(outcome)) => self.answer(&outcome),
                    Ok(None) => return "the leader ended it".to_owned(),
                    Err(status) => return status.message().to_owned(),
                },
            }
        }
    }

    /// The first batch finds room in a stream that was just opened.
    fn first(&mut self, first: Forwarded) {
        if let Some(batch) = self.send(first)
            && let Some(out) = &self.out
        {
            // a stream that broke already shows when its outcomes are read
            let _ = out.try_send(batch);
        }
    }

    /// The message for a batch; none where another goes before it, which left for an earlier
    /// stream.
    fn send(&mut self, forwarded: Forwarded) -> Option<wire::ForwardedBatch> {
        let Forwarded {
            leader_epoch,
            replica,
            mut sent,
            turn,
            begins,
            ..
        } = forwarded;
        let id = replica.id;
        if !self.begun.takes(id, begins, sent.is_sent_on()) {
            replica.come_back(sent, turn);
            return None;
        }
        self.last += 1;
        let acks = sent.acks;
        let records = std::mem::take(&mut sent.batch).freeze();
        let on_its_way = OnItsWay {
            replica,
            sent,
            records: records.clone(),
            turn,
        };
        self.waiting.insert(self.last, on_its_way);
        Some(wire::ForwardedBatch {
            number: self.last,
            topic_id: Bytes::copy_from_slice(&id.topic_id.0.0),
            partition: id.partition.0,
            leader_epoch: leader_epoch.0,
            acks: match acks {
                Acks::None => 0,
                Acks::Leader => 1,
                Acks::All => -1,
            },
            records,
            begins,
        })
    }

    fn answer(&mut self, outcome: &wire::ForwardedOutcome) {
        let Some(batch) = self.waiting.remove(&outcome.number) else {
            return;
        };
        if outcome.not_taken {
            self.not_before = Instant::now() + PAUSE;
            return batch.come_back();
        }
        let error =
            i16::try_from(outcome.error_code).map_or(ErrorCode::UnknownServerError, From::from);
        batch.settle(match error {
            ErrorCode::None => Ok(Appended {
                base_offset: Offset(outcome.base_offset),
                // nobody asks a producer's answer for it
                next_offset: Offset(outcome.base_offset),
            }),
            error => Err(error),
        });
    }

    /// No more answers come.
    fn end(self) {
        for (_, batch) in self.waiting {
            batch.lose_sight();
        }
    }
}

impl Shared {
    /// Puts a batch on its way; gives it back where the broker stops.
    pub(super) fn forward(&self, forwarded: Forwarded) -> Result<(), Box<Forwarded>> {
        let sent = self.forwards.send(forwarded);
        sent.map_err(|mpsc::error::SendError(forwarded)| Box::new(forwarded))
    }
}
