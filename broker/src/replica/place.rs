//! Partitions as clients name them.

use ottla_protocol::ids::{TopicId, TopicName};

/// How a request names a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TopicKey {
    /// By name.
    Name(TopicName),
    /// By id.
    Id(TopicId),
}

/// A partition as clients name it: a batch may be refused because it is not here yet.
pub(super) type Place = (TopicKey, i32);
