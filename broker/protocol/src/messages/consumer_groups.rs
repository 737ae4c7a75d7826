//! The consumer group protocol of KIP-848.

mod consumer_group_describe;
mod consumer_group_heartbeat;

pub use self::consumer_group_describe::*;
pub use self::consumer_group_heartbeat::*;
