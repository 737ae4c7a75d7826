//! A transactional producer, as the clients of both generations are: by the first rules they add
//! partitions themselves, by the second ([`Rules::Second`], KIP-890) leaders do, and every
//! transaction has an epoch of its own.
//!
//! It asks again until it knows, but for what says that there is no going on: that is for whoever
//! uses it, who aborts or begins anew.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::codec::Request;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{ProducerEpoch, ProducerId, Sequence};
use ottla_protocol::messages::groups::FindCoordinatorRequest;
use ottla_protocol::messages::produce::ProduceRequest;
use ottla_protocol::messages::producer_ids::InitProducerIdRequest;
use ottla_protocol::messages::transactions::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, AddPartitionsToTxnTopic, EndTxnRequest,
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use ottla_protocol::record::NewRecord;
use ottla_protocol::record_batch::Builder;

use super::{PAUSE, produce_request};
use crate::connection::{Connection, Leader};
use crate::world::{Shared, Slot};

/// How long a transaction may take before its coordinator aborts it.
const TIMEOUT_MS: i32 = 3000;

/// FindCoordinator's kinds of keys.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// By which rules a client goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    First,
    Second,
}

/// How a transaction has ended, by the coordinator's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As it was asked to.
    AsAsked,
    /// Not as it was asked to.
    Refused,
    /// Nobody says: an answer was lost, and another producer has begun since.
    Unknown,
}

/// A coordinator, and the way to it.
#[derive(Clone)]
struct Coordinator {
    key: String,
    kind: i8,
    is_found: bool,
    /// Whether it is not known of some attempt at the last request what became of it.
    is_unsure: bool,
}

/// One producer of a transactional id.
pub struct Transactor {
    shared: Shared,
    id: String,
    rules: Rules,
    producer: (i64, i16),
    coordinator: (Coordinator, Connection),
    group: (Coordinator, Connection),
    leaders: BTreeMap<Slot, (Connection, Option<Leader>)>,
    sequences: BTreeMap<Slot, i32>,
    /// Where what was acknowledged by these sequences ends.
    ends: BTreeMap<Slot, i64>,
    /// What is part of the transaction.
    added: BTreeSet<Slot>,
}

impl Coordinator {
    fn new(key: &str, kind: i8) -> Self {
        Self {
            key: key.to_owned(),
            kind,
            is_found: false,
            is_unsure: false,
        }
    }

    /// Asks until there is an answer that asking again does not change.
    async fn ask<R: Request>(
        &mut self,
        connection: &mut Connection,
        version: i16,
        request: &R,
        error: impl Fn(&R::Response) -> i16,
    ) -> Result<R::Response, ErrorCode> {
        self.is_unsure = false;
        loop {
            if !self.is_found && !self.find(connection).await {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            let Some(answer) = connection.ask(version, request).await else {
                (self.is_found, self.is_unsure) = (false, true);
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            match ErrorCode::from(error(&answer)) {
                ErrorCode::None => return Ok(answer),
                ErrorCode::ConcurrentTransactions => {}
                error if error.is_retriable() => {
                    // it may have been done all the same
                    (self.is_found, self.is_unsure) = (false, true);
                }
                error => return Err(error),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn find(&mut self, connection: &mut Connection) -> bool {
        connection.turn();
        let request = FindCoordinatorRequest {
            key: self.key.clone(),
            key_type: self.kind,
            ..FindCoordinatorRequest::default()
        };
        let answer = connection.ask(3, &request).await;
        let found = answer.filter(|answer| answer.error_code == 0);
        let node = found.and_then(|answer| usize::try_from(answer.node_id).ok());
        if let Some(node) = node {
            connection.turn_to(node);
        }
        self.is_found = node.is_some();
        self.is_found
    }
}

impl Transactor {
    pub fn new(shared: &Shared, id: &str, group: &str, rules: Rules) -> Self {
        Self {
            shared: shared.clone(),
            id: id.to_owned(),
            rules,
            producer: (ProducerId::NONE.0, -1),
            coordinator: (
                Coordinator::new(id, TRANSACTION),
                Connection::new(shared, 0),
            ),
            group: (Coordinator::new(group, GROUP), Connection::new(shared, 1)),
            leaders: BTreeMap::new(),
            sequences: BTreeMap::new(),
            ends: BTreeMap::new(),
            added: BTreeSet::new(),
        }
    }

    /// Another one that believes to be the same, in the midst of the same transaction.
    pub fn zombie(&self) -> Self {
        Self {
            producer: self.producer,
            sequences: self.sequences.clone(),
            ends: self.ends.clone(),
            added: self.added.clone(),
            ..Self::new(&self.shared, &self.id, &self.group.0.key, self.rules)
        }
    }

    /// Becomes the id's producer: whoever was, is fenced, and the transaction it left is aborted.
    pub async fn begin_anew(&mut self) -> Result<(), ErrorCode> {
        let request = InitProducerIdRequest {
            transactional_id: Some(self.id.clone()),
            transaction_timeout_ms: TIMEOUT_MS,
            ..InitProducerIdRequest::default()
        };
        let (coordinator, connection) = &mut self.coordinator;
        let answer = coordinator
            .ask(connection, 4, &request, |answer| answer.error_code)
            .await?;
        self.producer = (answer.producer_id, answer.producer_epoch);
        self.sequences.clear();
        self.ends.clear();
        self.added.clear();
        let (id, (producer, epoch)) = (&self.id, self.producer);
        self.shared
            .trace(format_args!("{id} is producer {producer} in epoch {epoch}"));
        Ok(())
    }

    /// Writes values to a partition, as part of the transaction.
    pub async fn write(&mut self, slot: Slot, values: &[String]) -> Result<(), ErrorCode> {
        self.write_batches(slot, &[values.to_vec()]).await
    }

    /// The same in several batches, all of which are in flight at a time.
    pub async fn write_batches(
        &mut self,
        slot: Slot,
        batches: &[Vec<String>],
    ) -> Result<(), ErrorCode> {
        if self.rules == Rules::First && !self.added.contains(&slot) {
            self.add(slot).await?;
        }
        self.added.insert(slot);
        let mut sequence = self.sequences.get(&slot).copied().unwrap_or(0);
        let mut requests = Vec::new();
        for values in batches {
            requests.push(self.produce(slot, sequence, values));
            sequence += values.len() as i32;
        }
        let mut done = 0;
        while done < batches.len() {
            match self.send_batches(slot, &requests[done..]).await? {
                Some(bases) => {
                    for (base, values) in bases.iter().zip(&batches[done..]) {
                        self.acknowledged(slot, *base, values);
                    }
                    done += bases.len();
                }
                None => tokio::time::sleep(PAUSE).await,
            }
        }
        self.sequences.insert(slot, sequence);
        Ok(())
    }

    fn acknowledged(&mut self, slot: Slot, base: i64, values: &[String]) {
        let (first, count) = (&values[0], values.len());
        self.ends.insert(slot, base + count as i64);
        self.shared
            .trace(format_args!("acknowledged {slot}@{base} {first}+{count}"));
        self.shared
            .with(|world| world.acknowledged(slot, base, values));
    }

    /// Sends requests, one behind the other, to whoever leads; says where those begin that were
    /// appended before the first that was not. None where nobody is known to lead.
    async fn send_batches(
        &mut self,
        slot: Slot,
        requests: &[ProduceRequest],
    ) -> Result<Option<Vec<i64>>, ErrorCode> {
        let version = match self.rules {
            Rules::First => 9,
            Rules::Second => 12,
        };
        let node = slot.partition() as usize;
        let place = self.leaders.entry(slot);
        let (connection, leader) =
            place.or_insert_with(|| (Connection::new(&self.shared, node), None));
        if leader.is_none() {
            tokio::time::sleep(PAUSE).await;
            *leader = connection.leader(slot).await;
        }
        let Some(Leader { node, .. }) = *leader else {
            return Ok(None);
        };
        connection.turn_to(node);
        for request in requests {
            if connection.send(version, request).await.is_none() {
                *leader = None;
                return Ok(None);
            }
        }
        let mut bases = Vec::new();
        for _ in requests {
            let answer = connection.receive::<ProduceRequest>(version).await;
            let topic = answer.and_then(|answer| answer.responses.into_iter().next());
            let part = topic.and_then(|topic| topic.partition_responses.into_iter().next());
            match part.map(|part| (ErrorCode::from(part.error_code), part.base_offset)) {
                Some((ErrorCode::None, base)) => bases.push(base),
                refused => {
                    // what was sent behind it is sent again, whatever became of it
                    connection.close();
                    *leader = None;
                    return match refused.map(|(error, _)| error) {
                        Some(error) if !error.is_retriable() => Err(self.told(slot, error)),
                        Some(_) | None => Ok(Some(bases)),
                    };
                }
            }
        }
        Ok(Some(bases))
    }

    /// All that was sent before is in the log, so no sequence can be wrong. But a replica that
    /// began behind what was deleted knows nothing of whose records those were: where all that was
    /// acknowledged is among them, it takes the next one for the first, and that begins at zero
    /// (KIP-890).
    fn told(&self, slot: Slot, error: ErrorCode) -> ErrorCode {
        let (id, (producer, epoch)) = (&self.id, self.producer);
        let what = format!("{id}, producer {producer} in epoch {epoch}, in {slot}: {error:?}");
        let deleted = self
            .shared
            .with(|world| world.checks.seen(slot).deleted_end);
        let is_deleted = self.ends.get(&slot).is_some_and(|end| *end <= deleted);
        let is_lost = !is_deleted
            && matches!(
                error,
                ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId
            );
        match is_lost {
            true => self.shared.violate(format!("LostProducerState: {what}")),
            false => self.shared.trace(format_args!("refused {what}")),
        }
        error
    }

    fn produce(&self, slot: Slot, sequence: i32, values: &[String]) -> ProduceRequest {
        let (id, epoch) = self.producer;
        let mut builder = Builder::new()
            .producer(ProducerId(id), ProducerEpoch(epoch), Sequence(sequence))
            .transactional();
        for value in values {
            builder.push(&NewRecord {
                timestamp_ms: self.shared.unix_ms(),
                value: Some(value.as_bytes()),
                ..NewRecord::default()
            });
        }
        ProduceRequest {
            transactional_id: Some(self.id.clone()),
            ..produce_request((slot.topic().name, slot.partition()), builder)
        }
    }

    async fn add(&mut self, slot: Slot) -> Result<(), ErrorCode> {
        let (id, epoch) = self.producer;
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.id.clone(),
            v3_and_below_producer_id: id,
            v3_and_below_producer_epoch: epoch,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic {
                name: slot.topic().name.to_owned(),
                partitions: vec![slot.partition()],
            }],
            ..AddPartitionsToTxnRequest::default()
        };
        let (coordinator, connection) = &mut self.coordinator;
        let added = coordinator.ask(connection, 3, &request, |answer| {
            let topic = answer.results_by_topic_v3_and_below.first();
            let part = topic.and_then(|topic| topic.results_by_partition.first());
            part.map_or(ErrorCode::UnknownServerError.code(), |part| {
                part.partition_error_code
            })
        });
        added.await.map(|_| ())
    }

    /// Commits a group's offset of a partition, as part of the transaction.
    pub async fn commit_offset(&mut self, slot: Slot, offset: i64) -> Result<(), ErrorCode> {
        let (producer_id, producer_epoch) = self.producer;
        let group_id = self.group.0.key.clone();
        if self.rules == Rules::First {
            let request = AddOffsetsToTxnRequest {
                transactional_id: self.id.clone(),
                producer_id,
                producer_epoch,
                group_id: group_id.clone(),
            };
            let (coordinator, connection) = &mut self.coordinator;
            coordinator
                .ask(connection, 3, &request, |answer| answer.error_code)
                .await?;
        }
        let request = TxnOffsetCommitRequest {
            transactional_id: self.id.clone(),
            group_id,
            producer_id,
            producer_epoch,
            topics: vec![TxnOffsetCommitRequestTopic {
                name: slot.topic().name.to_owned(),
                partitions: vec![TxnOffsetCommitRequestPartition {
                    partition_index: slot.partition(),
                    committed_offset: offset,
                    committed_metadata: None,
                    ..TxnOffsetCommitRequestPartition::default()
                }],
            }],
            ..TxnOffsetCommitRequest::default()
        };
        let version = match self.rules {
            Rules::First => 3,
            Rules::Second => 5,
        };
        let (coordinator, connection) = &mut self.group;
        let committed = coordinator.ask(connection, version, &request, |answer| {
            let topic = answer.topics.first();
            let part = topic.and_then(|topic| topic.partitions.first());
            part.map_or(ErrorCode::UnknownServerError.code(), |part| part.error_code)
        });
        committed.await.map(|_| ())
    }

    /// Ends the transaction, one way or the other.
    pub async fn end(&mut self, is_commit: bool) -> Ended {
        let (producer_id, producer_epoch) = self.producer;
        let request = EndTxnRequest {
            transactional_id: self.id.clone(),
            producer_id,
            producer_epoch,
            committed: is_commit,
        };
        let version = match self.rules {
            Rules::First => 3,
            Rules::Second => 5,
        };
        let (coordinator, connection) = &mut self.coordinator;
        let ended = coordinator.ask(connection, version, &request, |answer| answer.error_code);
        let ended = ended.await;
        self.added.clear();
        match ended {
            Ok(answer) => {
                if self.rules == Rules::Second {
                    self.producer = (answer.producer_id, answer.producer_epoch);
                    self.sequences.clear();
                    self.ends.clear();
                }
                Ended::AsAsked
            }
            Err(error) => {
                let id = &self.id;
                self.shared.trace(format_args!(
                    "the end of {id} is refused to {producer_id} in {producer_epoch}: {error:?}"
                ));
                match self.coordinator.0.is_unsure {
                    true => Ended::Unknown,
                    false => Ended::Refused,
                }
            }
        }
    }
}
