//! Where partitions begin and end, in records, time and leader epochs.

mod delete_records;
mod list_offsets;
mod offset_for_leader_epoch;

pub use self::delete_records::*;
pub use self::list_offsets::*;
pub use self::offset_for_leader_epoch::*;
