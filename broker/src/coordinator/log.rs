//! The log that a shard lives in: what the coordinator asks of the replicas.

use std::future::Future;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use ottla_core::partition::Origin;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, Offset, TopicIdPartition};

/// A future that a caller may keep.
pub type Later<T> = Pin<Box<dyn Future<Output = Result<T, ErrorCode>> + Send>>;

/// Part of a log.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Whole batches from the asked offset on (the first one may begin before it); empty at the
    /// end.
    pub batches: Vec<Bytes>,
    /// Where the log begins.
    pub log_start_offset: Offset,
    /// What is below is committed.
    pub high_watermark: Offset,
    /// Where the next record goes.
    pub log_end_offset: Offset,
}

/// Partitions that this broker leads.
pub trait Log: Send + Sync + 'static {
    /// Appends a batch as the leader of exactly that epoch.
    ///
    /// Invariants: batches stand in the log in the order of the calls, not of the polls; the future
    /// is done once the batch is below the high watermark, and its error says that nobody knows
    /// whether it ever will be.
    ///
    /// # Errors
    /// The log refused: nothing was appended, nor will be.
    fn append(
        &self,
        partition: TopicIdPartition,
        leader_epoch: LeaderEpoch,
        batch: BytesMut,
        origin: Origin,
    ) -> Result<Later<Offset>, ErrorCode>;

    /// Reads up to the log end, as the leader of exactly that epoch.
    fn read(
        &self,
        partition: TopicIdPartition,
        leader_epoch: LeaderEpoch,
        from: Offset,
        bytes_max: usize,
    ) -> Later<Part>;
}

impl Log for crate::replica::Replicas {
    fn append(
        &self,
        partition: TopicIdPartition,
        leader_epoch: LeaderEpoch,
        batch: BytesMut,
        origin: Origin,
    ) -> Result<Later<Offset>, ErrorCode> {
        let appended = self.append_internal(partition, Some(leader_epoch), batch, origin)?;
        Ok(Box::pin(appended))
    }

    fn read(
        &self,
        partition: TopicIdPartition,
        leader_epoch: LeaderEpoch,
        from: Offset,
        bytes_max: usize,
    ) -> Later<Part> {
        let read = self.read_internal(partition, leader_epoch, from, bytes_max);
        Box::pin(async move {
            let read = read.await?;
            Ok(Part {
                batches: read.batches,
                log_start_offset: read.log_start_offset,
                high_watermark: read.high_watermark,
                log_end_offset: read.log_end_offset,
            })
        })
    }
}
