//! The coordinators' own appends and reads: no limits of clients, and tied to one leader epoch.

use std::future::Future;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ottla_core::partition::{Acks, Appended, Guard, Input, Marks, Origin};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{
    LeaderEpoch, Offset, ProducerEpoch, ProducerId, TopicIdPartition, TopicName,
};
use ottla_protocol::record_batch::{Header, RecordBatch};
use ottla_storage::log::Read;
use tokio::sync::oneshot;

use super::partition::{AtHand, Replica, Waiter};
use super::place::TopicKey;
use super::produce::ProduceItem;
use super::{Replicas, producer_state};
use crate::threads;

/// A part of a log, for a coordinator that loads its state.
#[derive(Debug, Default)]
pub struct InternalRead {
    /// Whole batches from the asked offset on, up to the end of the log.
    pub batches: Vec<Bytes>,
    /// The first offset of the log.
    pub log_start_offset: Offset,
    /// Everything before it is committed.
    pub high_watermark: Offset,
    /// The offset the next record will have.
    pub log_end_offset: Offset,
}

/// Where a transaction begins.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// The topic.
    pub topic: TopicName,
    /// Whose it is.
    pub producer_id: ProducerId,
    /// The producer's incarnation.
    pub producer_epoch: ProducerEpoch,
    /// To be shown with what it begins with.
    pub guard: Guard,
}

impl Replicas {
    /// Appends a batch as leader, of exactly that epoch where one is given. It is in the log when
    /// this returns, in the order of the calls; the future gives its base offset once it is
    /// committed.
    ///
    /// # Errors
    /// Why nothing was appended.
    pub fn append_internal(
        &self,
        id: TopicIdPartition,
        leader_epoch: Option<LeaderEpoch>,
        batch: BytesMut,
        origin: Origin,
    ) -> Result<impl Future<Output = Result<Offset, ErrorCode>> + Send + use<>, ErrorCode> {
        let mut answered = self.begin_internal(id, leader_epoch, batch, origin)?;
        // an error that is there at once is the core's refusal
        let early = answered.try_recv().ok().transpose()?;
        Ok(async move {
            let appended = match early {
                Some(appended) => appended,
                // a waiter that is dropped unanswered was of a partition that is no more
                None => answered
                    .await
                    .map_err(|_| ErrorCode::NotLeaderOrFollower)??,
            };
            Ok(appended.base_offset)
        })
    }

    /// Appends a marker to a partition that this broker leads; the future is done once it is
    /// committed.
    ///
    /// # Errors
    /// Why nothing was appended.
    pub fn append_marker(
        &self,
        topic: &TopicKey,
        partition: i32,
        batch: BytesMut,
        origin: Origin,
    ) -> Result<impl Future<Output = Result<Offset, ErrorCode>> + Send + use<>, ErrorCode> {
        let id = self.find(topic, partition)?.id;
        self.append_internal(id, None, batch, origin)
    }

    /// Whether a producer's transaction begins on this partition with what it sends: then its
    /// coordinator is to be asked first.
    ///
    /// # Errors
    /// This broker does not lead the partition.
    pub fn verification(&self, item: &ProduceItem) -> Result<Option<Beginning>, ErrorCode> {
        let header = item.records.as_ref().map(|records| Header::read(records));
        let Some(Ok(header)) = header else {
            return Ok(None);
        };
        if !header.is_transactional() || !header.has_producer_id() {
            return Ok(None);
        }
        let replica = self.find(&item.topic, item.partition)?;
        let mut state = replica.lock();
        if !state.partition.is_leader() {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        let batch = producer_state::data(&header);
        let guard = state.partition.verification(&batch);
        Ok(guard.map(|guard| Beginning {
            topic: replica.topic.clone(),
            producer_id: batch.producer_id,
            producer_epoch: batch.producer_epoch,
            guard,
        }))
    }

    /// As [`Self::verification`], for offsets that a coordinator is to append.
    ///
    /// # Errors
    /// The partition is not here.
    pub fn verification_of_offsets(
        &self,
        topic: &TopicName,
        partition: i32,
        (producer_id, producer_epoch): (ProducerId, ProducerEpoch),
    ) -> Result<Option<Guard>, ErrorCode> {
        let replica = self.find(&TopicKey::Name(topic.clone()), partition)?;
        let mut state = replica.lock();
        if !state.partition.is_leader() {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        let partition = &mut state.partition;
        Ok(partition.verification_of_offsets(producer_id, producer_epoch))
    }

    /// The coordinator knows of no such transaction: nobody waits for it any more.
    pub fn verification_refused(
        &self,
        topic: &TopicName,
        partition: i32,
        (producer_id, guard): (ProducerId, Guard),
    ) {
        if let Ok(replica) = self.find(&TopicKey::Name(topic.clone()), partition) {
            let mut state = replica.lock();
            state.partition.verification_refused(producer_id, guard);
        }
    }

    fn begin_internal(
        &self,
        id: TopicIdPartition,
        leader_epoch: Option<LeaderEpoch>,
        batch: BytesMut,
        origin: Origin,
    ) -> Result<oneshot::Receiver<Result<Appended, ErrorCode>>, ErrorCode> {
        let replica = self.shared.index.get(id);
        let replica = replica.ok_or(ErrorCode::NotLeaderOrFollower)?;
        let header = {
            let batch = RecordBatch::first(&batch).map_err(|error| error.code())?;
            producer_state::batch(&batch)
        };
        let (answer, answered) = oneshot::channel();
        let mut state = replica.lock();
        if let Some(error) = state.partition.epoch_refusal(leader_epoch) {
            return Err(error);
        }
        let token = state.add_waiter(Waiter::Internal(answer));
        let input = Input::Produce {
            batch: header,
            origin,
            acks: Acks::All,
            token,
        };
        let frame_bytes = batch.len();
        let at_hand = AtHand::Produced { batch, frame_bytes };
        if let Err(error) = replica.step(&mut state, input, at_hand) {
            state.take_waiter(token);
            return Err(error);
        }
        Ok(answered)
    }

    /// Reads as leader of exactly that epoch, up to the end of the log. What is no longer in memory
    /// is read away from the threads that serve.
    ///
    /// # Errors
    /// FENCED_LEADER_EPOCH or NOT_LEADER_OR_FOLLOWER where this broker does not lead in that epoch;
    /// KAFKA_STORAGE_ERROR.
    pub fn read_internal(
        &self,
        id: TopicIdPartition,
        leader_epoch: LeaderEpoch,
        from: Offset,
        bytes_max: usize,
    ) -> impl Future<Output = Result<InternalRead, ErrorCode>> + Send + use<> {
        let planned = self.plan_internal(id, leader_epoch, from, bytes_max);
        let inline = self.shared.inline;
        async move {
            let (replica, marks, read) = planned?;
            let batches = match read {
                Read::Memory(batches) => Ok(batches),
                read @ Read::Segment(_) => {
                    let performed = threads::blocking(inline, || read.perform()).await;
                    // none while the runtime goes down
                    performed.ok_or(ErrorCode::NotLeaderOrFollower)?
                }
            };
            Ok(InternalRead {
                batches: batches.map_err(|error| failed(&replica, &error))?,
                log_start_offset: marks.log_start_offset,
                high_watermark: marks.high_watermark,
                log_end_offset: marks.log_end_offset,
            })
        }
    }

    fn plan_internal(
        &self,
        id: TopicIdPartition,
        leader_epoch: LeaderEpoch,
        from: Offset,
        bytes_max: usize,
    ) -> Result<(Arc<Replica>, Marks, Read), ErrorCode> {
        let replica = self.shared.index.get(id);
        let replica = replica.ok_or(ErrorCode::NotLeaderOrFollower)?;
        let marks = {
            let state = replica.lock();
            if let Some(error) = state.partition.epoch_refusal(Some(leader_epoch)) {
                return Err(error);
            }
            if !state.partition.is_leader() {
                return Err(ErrorCode::NotLeaderOrFollower);
            }
            state.partition.marks()
        };
        let from = from.max(marks.log_start_offset);
        let read = if from < marks.log_end_offset {
            let read = replica.reader.read(from, bytes_max, marks.log_end_offset);
            read.map_err(|error| failed(&replica, &error))?
        } else {
            Read::Memory(Vec::new())
        };
        Ok((replica, marks, read))
    }
}

fn failed(replica: &Arc<Replica>, error: &ottla_storage::Error) -> ErrorCode {
    tracing::error!(partition = ?replica, %error, "a read failed");
    replica.note_damage(error);
    ErrorCode::KafkaStorageError
}
