//! Consumer groups and their offsets, over the partitions of `__consumer_offsets`.

/// The way to the group coordinator. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Handle;
