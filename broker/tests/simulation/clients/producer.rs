//! Producers.
//!
//! With acks=all one is idempotent, has several batches in flight, and sends those that were not
//! acknowledged again, in their order and with the same sequences. So every value is in the log
//! exactly once, in the producer's order. In some runs those go on under another producer id now
//! and then, as a process that ends and its successor, and send what is in flight not all at once.
//! With less than acks=all one has no producer id, and its values may be there twice or be lost
//! ([`UNSURE`]).

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{ProducerEpoch, ProducerId, Sequence};
use ottla_protocol::messages::produce::{PartitionProduceResponse, ProduceRequest};
use ottla_protocol::record::NewRecord;
use ottla_protocol::record_batch::Builder;
use ottla_storage::sim::Random;

use super::{PAUSE, new_producer_id, produce_request};
use crate::checks::UNSURE;
use crate::cluster::brokers;
use crate::connection::{Connection, Leader};
use crate::world::{Bug, Shared, Slot, World};

/// The most batches in flight that a producer with acks=all has: brokers remember so many.
const IN_FLIGHT_MAX: usize = 5;

/// In one run of so many producers take another id, one answer in so many is the last of an id, and
/// how far apart batches are sent then at most.
const RENEWING_ONE_IN: usize = 3;
const RENEWAL_ONE_IN: usize = 8;
const APART_MS: usize = 20;

/// The version of Produce that all speak.
const PRODUCE_VERSION: i16 = 10;

/// When a batch counts as acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    None,
    One,
    All,
}

/// What a producer does.
#[derive(Clone, Debug)]
pub struct Plan {
    pub number: usize,
    pub slot: Slot,
    pub acks: Acks,
    /// How long it waits between two batches.
    pub pause_ms: Range<usize>,
}

/// Records that are on their way.
struct Pending {
    sequence: i32,
    sent_ms: u64,
    values: Vec<String>,
    padding: usize,
}

/// One producer's writes to one partition.
pub struct Producer {
    shared: Shared,
    plan: Plan,
    random: Random,
    connection: Connection,
    leader: Option<Leader>,
    /// Whom an answer named as the leader; asked once all that was sent is answered.
    next_leader: Option<Leader>,
    id: (ProducerId, ProducerEpoch),
    /// How many records it made, and how many before it got its id.
    sequence: i32,
    first_sequence: i32,
    /// What decides when it takes another id; nothing where it has one for all time.
    renewal: Option<Random>,
    is_renewing: bool,
    in_flight_max: usize,
    /// Not acknowledged, oldest first; of these `sent` went out on the present connection.
    pending: VecDeque<Pending>,
    sent: usize,
}

impl Producer {
    pub fn new(shared: &Shared, plan: Plan) -> Self {
        let part = 100 + (plan.number * 100 + plan.slot.index()) as u64;
        let mut random = shared.random(part);
        let in_flight_max = match plan.acks {
            Acks::All => 1 + random.below(IN_FLIGHT_MAX),
            Acks::One | Acks::None => 1,
        };
        let renews = plan.acks == Acks::All && shared.random(17).one_in(RENEWING_ONE_IN);
        let renewal = renews.then(|| shared.random(2000 + part));
        let producer = Self {
            connection: Connection::new(shared, plan.number % brokers()),
            shared: shared.clone(),
            plan,
            random,
            leader: None,
            next_leader: None,
            id: (ProducerId::NONE, ProducerEpoch(-1)),
            sequence: 0,
            first_sequence: 0,
            renewal,
            is_renewing: false,
            in_flight_max,
            pending: VecDeque::new(),
            sent: 0,
        };
        shared.join(&producer.name());
        producer
    }

    fn name(&self) -> String {
        format!("producer {} of {}", self.plan.number, self.plan.slot)
    }

    /// Writes until the run ends and its last batch is acknowledged.
    pub async fn run(mut self) {
        if self.plan.acks == Acks::All {
            self.ask_for_id().await;
        }
        loop {
            let is_ending = self.shared.with(|world| world.is_ending);
            if is_ending && self.pending.is_empty() {
                break;
            }
            if self.is_renewing && self.pending.is_empty() {
                self.is_renewing = false;
                self.ask_for_id().await;
                self.first_sequence = self.sequence;
            }
            while !is_ending && !self.is_renewing && self.pending.len() < self.in_flight_max {
                self.add();
            }
            if !self.send_all().await || !self.take_answer().await {
                self.start_anew().await;
                continue;
            }
            if let Some(renewal) = &mut self.renewal {
                self.is_renewing |= renewal.one_in(RENEWAL_ONE_IN);
            }
            self.pause().await;
        }
        self.shared.leave(&self.name());
    }

    fn add(&mut self) {
        let count = 1 + self.random.below(4);
        let kind = match self.plan.acks {
            Acks::All => String::new(),
            Acks::One | Acks::None => UNSURE.to_string(),
        };
        let name = |n: usize| format!("{kind}{}-{}", self.plan.number, self.sequence as usize + n);
        self.pending.push_back(Pending {
            sequence: self.sequence,
            sent_ms: 0,
            values: (0..count).map(name).collect(),
            padding: self.random.below(400),
        });
        self.sequence += count as i32;
    }

    /// Whoever waits for longer than the run has left does not keep it waiting.
    async fn pause(&mut self) {
        let Range { start, end } = self.plan.pause_ms.clone();
        let mut left = (start + self.random.below(end - start)) as u64;
        while left > 0 && !self.shared.with(|world| world.is_ending) {
            let part = left.min(100);
            tokio::time::sleep(Duration::from_millis(part)).await;
            left -= part;
        }
    }

    /// Nothing that was sent will be answered: all of it goes out again, to whoever leads now.
    async fn start_anew(&mut self) {
        self.connection.close();
        self.sent = 0;
        self.next_leader = None;
        tokio::time::sleep(PAUSE).await;
        self.leader = self.connection.leader(self.plan.slot).await;
    }

    async fn ask_for_id(&mut self) {
        loop {
            if let Some(id) = new_producer_id(&mut self.connection).await {
                if self.shared.with(|world| world.bug) != Some(Bug::NoIdempotence) {
                    self.id = id;
                }
                return;
            }
            self.start_anew().await;
        }
    }

    /// Sends what was not sent yet; says whether it could.
    async fn send_all(&mut self) -> bool {
        if self.next_leader.is_some() {
            if self.sent > 0 {
                return true;
            }
            self.leader = self.next_leader.take();
        }
        let Some(leader) = self.leader else {
            return false;
        };
        if self.connection.node() != leader.node {
            self.connection.turn_to(leader.node);
        }
        while let Some(pending) = self.pending.get(self.sent) {
            let request = self.request(pending);
            let sent = match self.plan.acks {
                Acks::None => self.connection.tell(PRODUCE_VERSION, &request).await,
                Acks::One | Acks::All => self.connection.send(PRODUCE_VERSION, &request).await,
            };
            if sent.is_none() {
                return false;
            }
            self.pending[self.sent].sent_ms = self.shared.with(|world| world.now_ms);
            self.sent += 1;
            if let Some(renewal) = &mut self.renewal {
                let apart = renewal.below(APART_MS) as u64;
                tokio::time::sleep(Duration::from_millis(apart)).await;
            }
        }
        true
    }

    fn request(&self, pending: &Pending) -> ProduceRequest {
        let (id, epoch) = self.id;
        let mut builder = Builder::new();
        if id != ProducerId::NONE {
            let sequence = Sequence(pending.sequence - self.first_sequence);
            builder = builder.producer(id, epoch, sequence);
        }
        for value in &pending.values {
            let filled = format!("{value}{}", ".".repeat(pending.padding));
            builder.push(&NewRecord {
                timestamp_ms: self.shared.unix_ms(),
                value: Some(filled.as_bytes()),
                ..NewRecord::default()
            });
        }
        let is_bold = self.shared.with(|world| world.bug) == Some(Bug::AckBeforeIsr);
        let slot = self.plan.slot;
        ProduceRequest {
            acks: match self.plan.acks {
                Acks::None => 0,
                Acks::One => 1,
                Acks::All if is_bold => 1,
                Acks::All => -1,
            },
            ..produce_request((slot.topic().name, slot.partition()), builder)
        }
    }

    /// Waits for the answer to the oldest batch; says whether it is acknowledged.
    async fn take_answer(&mut self) -> bool {
        if self.plan.acks == Acks::None {
            self.pending.clear();
            self.sent = 0;
            return true;
        }
        let answer = self
            .connection
            .receive::<ProduceRequest>(PRODUCE_VERSION)
            .await;
        if answer.is_none() && self.is_owed_answer() {
            self.check_orderly("gets no answer");
        }
        let parts = answer.and_then(|answer| answer.responses.into_iter().next());
        let part = parts.and_then(|parts| parts.partition_responses.into_iter().next());
        let is_done = part.is_some_and(|part| self.judge(&part));
        if is_done {
            self.pending.pop_front();
            self.sent -= 1;
        }
        is_done
    }

    fn is_owed_answer(&self) -> bool {
        let process = (self.connection.node(), self.connection.life());
        let (slot, sent_ms) = (self.plan.slot, self.pending[0].sent_ms);
        let owes = |world: &mut World| world.owes_answer(slot, process, sent_ms);
        self.shared.with(owes)
    }

    /// While leaderships are handed over and nothing else happens, not even a producer that sends
    /// everything once sees an error.
    fn check_orderly(&self, what: &str) {
        let (slot, node) = (self.plan.slot, self.connection.node());
        let process = (node, self.connection.life());
        let sent_ms = self.pending[0].sent_ms;
        if self
            .shared
            .with(|world| world.is_orderly(slot, process, sent_ms))
        {
            let value = &self.pending[0].values[0];
            let what = format!("ErrorInHandOver: {slot} {value} at {node} {what}");
            self.shared.with(|world| world.trace_replicas(slot));
            self.shared.violate(what);
        }
    }

    fn judge(&mut self, part: &PartitionProduceResponse) -> bool {
        let slot = self.plan.slot;
        let values = &self.pending[0].values;
        let (base, count) = (part.base_offset, values.len());
        match ErrorCode::from(part.error_code) {
            ErrorCode::None => {
                self.next_leader = leader_named(part);
                let first = &values[0];
                self.shared
                    .trace(format_args!("acknowledged {slot}@{base} {first}+{count}"));
                let sent_ms = self.pending[0].sent_ms;
                let (node, is_moved) = (self.connection.node(), self.next_leader.is_some());
                self.shared.with(|world| match self.plan.acks {
                    Acks::All => world.acknowledged(slot, base, values),
                    Acks::One | Acks::None => {
                        let end = base + count as i64;
                        world.acknowledged_by_one(slot, end, (node, is_moved), sent_ms);
                    }
                });
                true
            }
            error if error.is_retriable() => {
                self.check_orderly(error.name());
                if error == ErrorCode::RequestTimedOut && self.plan.acks == Acks::All {
                    let (node, pending) = (self.connection.node(), &self.pending[0]);
                    self.shared.with(|world| {
                        world.timed_out(slot, node, &pending.values[0], pending.sent_ms);
                    });
                }
                let node = self.connection.node();
                self.shared.trace(format_args!(
                    "refused {slot} {} by {node}: {error:?}",
                    values[0]
                ));
                false
            }
            // It is in the log, and all of it was deleted before its answer came: whoever began
            // again since knows of those alone that came after it, as Kafka's brokers.
            ErrorCode::OutOfOrderSequenceNumber
                if self
                    .committed_at(&values[count - 1])
                    .is_some_and(|(at, deleted)| at < deleted) =>
            {
                true
            }
            // all before the oldest batch is acknowledged, so no sequence can be wrong
            error => {
                let node = self.connection.node();
                self.shared.with(|world| world.trace_replicas(slot));
                let what = format!(
                    "LostProducerState: {slot} {} is refused by {node}: {error:?}; where it is, \
                     and up to where all is deleted: {:?}",
                    values[0],
                    self.committed_at(&values[count - 1])
                );
                self.shared.violate(what);
                true
            }
        }
    }
}

impl Producer {
    /// Where a value was committed, if it was, and up to where all was deleted since.
    fn committed_at(&self, value: &str) -> Option<(i64, i64)> {
        self.shared.with(|world| {
            let partition = world.checks.of(self.plan.slot);
            let mut records = partition.records();
            let (at, ..) = records.find(|(_, committed, _)| *committed == value)?;
            Some((at, partition.deleted_end))
        })
    }
}

/// Who leads instead of who answered.
fn leader_named(part: &PartitionProduceResponse) -> Option<Leader> {
    let leader = &part.current_leader;
    let node = usize::try_from(leader.leader_id).ok()?;
    Some(Leader {
        node,
        epoch: leader.leader_epoch,
    })
}
