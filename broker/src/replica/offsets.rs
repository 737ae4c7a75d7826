//! Where partitions begin and end, in records, time and leader epochs; and moving the beginning.

use std::sync::Arc;
use std::time::Duration;

use ottla_core::metadata::names::is_internal;
use ottla_core::partition::{Input, LatestOffset};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, Offset};
use ottla_storage::TimestampAndOffset;

use super::Replicas;
use super::partition::{AtHand, Replica, Waiter};
use super::pending::{Answer, Pending, Waiting};
use super::place::TopicKey;
use crate::threads;

/// Kafka's special timestamps of ListOffsets.
mod special {
    pub(super) const LATEST: i64 = -1;
    pub(super) const EARLIEST: i64 = -2;
    pub(super) const MAX_TIMESTAMP: i64 = -3;
    pub(super) const EARLIEST_LOCAL: i64 = -4;
    pub(super) const LATEST_TIERED: i64 = -5;
    pub(super) const EARLIEST_PENDING_UPLOAD: i64 = -6;
}

/// Which offset is asked for.
#[derive(Clone, Copy, Debug)]
pub struct OffsetQuery {
    /// A time in milliseconds since 1970, or one of Kafka's special values from -1 to -6.
    pub timestamp: i64,
    /// The leader epoch the client knows of.
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// For whom the log ends where.
    pub kind: LatestOffset,
}

/// Which leader epoch is asked for.
#[derive(Clone, Copy, Debug)]
pub struct EpochQuery {
    /// The epoch whose end is wanted.
    pub leader_epoch: LeaderEpoch,
    /// The leader epoch the asker knows of.
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// Whether a replica asks.
    pub is_replica: bool,
}

/// An offset, with the timestamp and leader epoch of its record where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundOffset {
    /// The offset, -1 where there is none.
    pub offset: Offset,
    /// The record's timestamp, -1 where the question was not about time.
    pub timestamp: i64,
    /// The record's leader epoch, -1 where it is not known.
    pub leader_epoch: LeaderEpoch,
}

const NOT_FOUND: FoundOffset = FoundOffset {
    offset: Offset(-1),
    timestamp: -1,
    leader_epoch: LeaderEpoch::NONE,
};

impl Replicas {
    /// Finds an offset by time, or a special one.
    ///
    /// # Errors
    /// Kafka's.
    pub async fn list_offset(
        &self,
        topic: &TopicKey,
        partition: i32,
        query: &OffsetQuery,
    ) -> Result<FoundOffset, ErrorCode> {
        let replica = self.find(topic, partition)?;
        let latest = replica.latest(query)?;
        let at = |offset: Offset| FoundOffset {
            offset,
            timestamp: -1,
            leader_epoch: replica.epoch_of(offset),
        };
        match query.timestamp {
            special::LATEST => Ok(at(latest)),
            special::EARLIEST | special::EARLIEST_LOCAL => {
                Ok(at(replica.reader.log_start_offset()))
            }
            // nothing is tiered here
            special::LATEST_TIERED | special::EARLIEST_PENDING_UPLOAD => Ok(NOT_FOUND),
            special::MAX_TIMESTAMP => self.search(replica, latest, None).await,
            timestamp if timestamp >= 0 => self.search(replica, latest, Some(timestamp)).await,
            _ => Err(ErrorCode::InvalidRequest),
        }
    }

    /// Searching may read the disk.
    async fn search(
        &self,
        replica: Arc<Replica>,
        latest: Offset,
        timestamp: Option<i64>,
    ) -> Result<FoundOffset, ErrorCode> {
        let reader = replica.reader.clone();
        let look = move || match timestamp {
            Some(timestamp) => reader.offset_for_timestamp(timestamp),
            None => reader.max_timestamp(),
        };
        let looked = threads::blocking(self.shared.inline, look).await;
        let found: Result<Option<TimestampAndOffset>, _> =
            looked.ok_or(ErrorCode::UnknownServerError)?;
        match found {
            Ok(Some(found)) if found.offset < latest => Ok(FoundOffset {
                offset: found.offset,
                timestamp: found.timestamp,
                leader_epoch: found.leader_epoch,
            }),
            Ok(_) => Ok(NOT_FOUND),
            Err(error) => {
                tracing::error!(partition = ?replica, %error, "a search by time failed");
                replica.note_damage(&error);
                Err(ErrorCode::KafkaStorageError)
            }
        }
    }

    /// Where a leader epoch ends (OffsetForLeaderEpoch): `None` where it is not known.
    ///
    /// # Errors
    /// Kafka's.
    pub fn offset_for_leader_epoch(
        &self,
        topic: &TopicKey,
        partition: i32,
        query: EpochQuery,
    ) -> Result<Option<(LeaderEpoch, Offset)>, ErrorCode> {
        let replica = self.find(topic, partition)?;
        let asker = self.shared.asker(query.is_replica);
        let state = replica.lock();
        let partition = &state.partition;
        partition.answers_as_leader(asker, query.current_leader_epoch)?;
        Ok(partition.epoch_end_offset(query.leader_epoch))
    }

    /// Deletes records before the offsets (-1: before the high watermark); waits until all live
    /// replicas have, and gives their low watermarks.
    pub async fn delete_records(
        &self,
        items: &[(TopicKey, i32, i64)],
        timeout: Duration,
    ) -> Vec<Result<Offset, ErrorCode>> {
        let pending = Pending::new(items.len());
        for (slot, (topic, partition, offset)) in items.iter().enumerate() {
            let answer = pending.answer(slot);
            match self.find(topic, *partition) {
                Err(error) => answer.send(Err(error)),
                Ok(replica) => {
                    if let Err(error) = replica.may_delete_records(*offset) {
                        answer.send(Err(error));
                        continue;
                    }
                    let offset = (*offset >= 0).then_some(Offset(*offset));
                    replica.delete_records(offset, answer);
                }
            }
        }
        let answers = Waiting(pending).answers(timeout).await;
        answers.into_iter().map(|answer| answer.result).collect()
    }
}

impl Replica {
    fn latest(&self, query: &OffsetQuery) -> Result<Offset, ErrorCode> {
        let asker = self.shared.asker(query.kind == LatestOffset::Replica);
        let state = self.lock();
        let partition = &state.partition;
        partition.answers_as_leader(asker, query.current_leader_epoch)?;
        partition.latest_offset(query.kind)
    }

    /// The epoch of the record at `offset`; at the end of the log, the epoch that goes on there.
    fn epoch_of(&self, offset: Offset) -> LeaderEpoch {
        let state = self.lock();
        let epochs = state.partition.leader_epochs();
        let found = epochs.epoch_for(offset);
        found.unwrap_or(LeaderEpoch::NONE)
    }

    fn may_delete_records(&self, offset: i64) -> Result<(), ErrorCode> {
        let config = Arc::clone(&self.lock().config);
        config.may_delete_records(is_internal(&self.topic))?;
        match offset < -1 {
            true => Err(ErrorCode::OffsetOutOfRange),
            false => Ok(()),
        }
    }

    fn delete_records(self: &Arc<Self>, offset: Option<Offset>, answer: Answer<Offset>) {
        let asker = self.shared.asker(false);
        let mut state = self.lock();
        if let Err(error) = state.partition.answers_as_leader(asker, None) {
            return answer.send(Err(error));
        }
        let token = state.add_waiter(Waiter::Delete(answer));
        let input = Input::DeleteRecords { offset, token };
        let deleted = self.step(&mut state, input, AtHand::Nothing);
        if let Some(Waiter::Delete(answer)) = state.waiter(token) {
            answer.waiting(Arc::<Self>::clone(self), token);
        }
        if let Err(error) = deleted
            && let Some(waiter) = state.take_waiter(token)
        {
            waiter.fail(error);
        }
    }
}
