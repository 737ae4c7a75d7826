//! The partitions this broker holds.

use bytes::BytesMut;
use ottla_core::metadata::{MetadataDelta, MetadataImage};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, Offset, TopicIdPartition};

use crate::coordinator::log::{Later, Log, Part};

/// The way to the partitions. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Replicas;

impl Log for Replicas {
    fn append(&self, _: TopicIdPartition, _: LeaderEpoch, _: BytesMut) -> Later<Offset> {
        Box::pin(async { Err(ErrorCode::NotLeaderOrFollower) })
    }

    fn read(&self, _: TopicIdPartition, _: LeaderEpoch, _: Offset, _: usize) -> Later<Part> {
        Box::pin(async { Err(ErrorCode::NotLeaderOrFollower) })
    }
}

impl Replicas {
    /// Follows a change of the metadata.
    pub fn apply(&self, image: &MetadataImage, delta: &MetadataDelta) {
        let _ = (image, delta);
    }

    /// Makes everything durable.
    ///
    /// # Errors
    /// The disk's.
    pub fn close(&self) -> Result<(), ottla_storage::Error> {
        Ok(())
    }
}
