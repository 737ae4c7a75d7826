//! The partitions this broker holds.

use ottla_core::metadata::{MetadataDelta, MetadataImage};

/// The way to the partitions. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Replicas;

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
