//! Creating, growing and deleting topics.

mod create_partitions;
mod create_topics;
mod delete_topics;

pub use self::create_partitions::*;
pub use self::create_topics::*;
pub use self::delete_topics::*;
