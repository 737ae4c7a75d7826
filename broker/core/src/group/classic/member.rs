//! One member of a classic group.

use bytes::{Buf, Bytes};
use ottla_protocol::messages::group_records::MemberMetadata;

use super::super::Client;
use super::MemberId;
use crate::group::consumer::state::Protocol;
use crate::shard::{Now, Token};

/// A join that waits for the rebalance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ParkedJoin {
    pub(super) token: Token,
    pub(super) version: i16,
}

/// One member.
#[derive(Clone, Debug, Default)]
pub(super) struct Member {
    /// Set for a static member (KIP-345).
    pub(super) instance_id: Option<String>,
    pub(super) client: Client,
    pub(super) session_timeout_ms: i32,
    pub(super) rebalance_timeout_ms: i32,
    /// In the member's order of preference.
    pub(super) protocols: Vec<Protocol>,
    pub(super) assignment: Bytes,
    /// Has never been part of a generation. Such a member sends no heartbeats yet, so its deadline
    /// is a generous one, and it counts even while the join is parked: its client may be gone.
    pub(super) is_new: bool,
    pub(super) session_deadline_ms: u64,
    pub(super) join: Option<ParkedJoin>,
    pub(super) sync: Option<Token>,
    /// Has not sent SyncGroup in this generation.
    pub(super) owes_sync: bool,
}

impl Member {
    pub(super) fn protocol_names(&self) -> impl Iterator<Item = &str> {
        self.protocols.iter().map(|protocol| protocol.name.as_str())
    }

    /// What the member says under a protocol; nothing where it does not know it.
    pub(super) fn metadata(&self, name: &str) -> Bytes {
        let mut known = self
            .protocols
            .iter()
            .filter(|protocol| protocol.name == name);
        known
            .next()
            .map(|protocol| protocol.metadata.clone())
            .unwrap_or_default()
    }

    /// When its session is over; never while it waits for the others.
    pub(super) fn deadline_ms(&self) -> Option<u64> {
        let is_waiting = self.join.is_some() || self.sync.is_some();
        (self.is_new || !is_waiting).then_some(self.session_deadline_ms)
    }

    pub(super) fn restore(protocol: &str, stored: MemberMetadata, now: Now) -> (MemberId, Self) {
        let member = Self {
            instance_id: stored.group_instance_id,
            client: Client {
                id: stored.client_id,
                host: stored.client_host,
            },
            session_timeout_ms: stored.session_timeout,
            rebalance_timeout_ms: match stored.rebalance_timeout {
                // records of version 0 have no such field
                timeout if timeout < 0 => stored.session_timeout,
                timeout => timeout,
            },
            protocols: vec![Protocol {
                name: protocol.to_owned(),
                metadata: stored.subscription,
            }],
            assignment: stored.assignment,
            session_deadline_ms: now.after(stored.session_timeout),
            ..Self::default()
        };
        (stored.member_id.into(), member)
    }
}

/// The topics in a consumer's subscription: a version, then an array of names, then what else there
/// is. None where the bytes are something else.
pub(super) fn subscribed_topics(mut metadata: &[u8]) -> Option<Vec<String>> {
    let metadata = &mut metadata;
    metadata.try_get_i16().ok()?;
    let count = metadata.try_get_i32().ok()?;
    let mut topics = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(metadata.try_get_i16().ok()?).ok()?;
        let name = metadata.get(..length)?;
        topics.push(std::str::from_utf8(name).ok()?.to_owned());
        metadata.advance(length);
    }
    Some(topics)
}

#[test]
fn a_subscription_that_cannot_be_read_may_be_to_any_topic() {
    let of = |bytes: &[u8]| subscribed_topics(bytes).map(|topics| topics.join(" "));
    assert_eq!(of(b"\0\0\0\0\0\x02\0\x01a\0\x01b").as_deref(), Some("a b"));
    assert_eq!(of(b"\0\0\0\0\0\0").as_deref(), Some(""));
    assert_eq!(of(b""), None);
    assert_eq!(of(b"\0\0\0\0\0\x01\0\x05a"), None);
}
