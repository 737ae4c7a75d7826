//! A request of a client that has a quota of what it changes.

use bytes::Bytes;
use ottla_protocol::codec::Kafka;

/// See [`super::Request::Metered`].
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct Metered {
    /// The user that asks.
    pub user: String,
    /// What the client calls itself.
    pub client_id: String,
    /// Whether the client understands THROTTLING_QUOTA_EXCEEDED; else all is done that it asks.
    pub is_strict: bool,
    /// How long the client waits for the answer.
    pub timeout_ms: i32,
    /// The bytes of the request: CreateTopics, CreatePartitions or DeleteTopics.
    pub request: Bytes,
}

/// The answer to a [`Metered`].
#[derive(Clone, Debug, PartialEq, Eq, Kafka)]
pub struct MeteredAnswer {
    /// The bytes of the response, which tells for how long the client is to wait.
    pub response: Bytes,
}
