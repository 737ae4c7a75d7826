//! What a group with the consumer protocol is asked.

use std::fmt;
use std::sync::Arc;

use ottla_protocol::ids::Uuid;
use ottla_protocol::messages::consumer_groups as wire;

/// ConsumerGroupHeartbeat.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// As the client sent it.
    pub body: wire::ConsumerGroupHeartbeatRequest,
    /// Randomness for a new member's id.
    pub fresh: Uuid,
    /// Which topics its regular expression may match.
    pub visible: Visible,
}

/// ConsumerGroupDescribe, one group of it.
#[derive(Clone, Debug)]
pub struct Describe(pub String);

/// Whether a client may know of a topic.
type MaySee = dyn Fn(&str) -> bool + Send + Sync;

/// Which topics a client may know of; none where all may know all.
#[derive(Clone, Default)]
pub struct Visible(pub Option<Arc<MaySee>>);

impl Visible {
    /// Whether the client may know of the topic.
    #[must_use]
    pub fn has(&self, topic: &str) -> bool {
        self.0.as_ref().is_none_or(|may_see| may_see(topic))
    }
}

impl fmt::Debug for Visible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "some" } else { "all" })
    }
}
