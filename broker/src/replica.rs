//! The partitions this broker holds.

/// The way to the partitions. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Replicas;
