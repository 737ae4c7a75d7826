//! The consumer group protocol (KIP-848): members heartbeat, and the coordinator assigns.
//!
//! ```text
//!   group epoch        members, subscriptions or what they match have changed
//!   assignment epoch   the target is made for that group epoch
//!   member epoch       that target is what the member was told to come to
//!
//!   member: Stable ──target changes──▶ UnrevokedPartitions   gives up what it shall not keep
//!             ▲                              │ its heartbeat says that it has
//!             └── all are free ── UnreleasedPartitions       waits for what others have still
//! ```
//! All of this is durable: what changes is a record, and a new coordinator goes on where the last
//! one stood. Only sessions begin anew with it. No epoch ever goes back.
//!
//! Invariant: no partition is two members', whether they have it or are to give it up.

pub(super) mod advance;
mod assignor;
pub(super) mod check;
pub(super) mod classic;
pub(super) mod describe;
pub(super) mod embedded;
pub(super) mod heartbeat;
mod offsets;
mod reconcile;
mod request;
pub(super) mod sessions;
pub mod state;
mod subscription;
pub(super) mod wire;

use std::borrow::Cow;

use super::{GroupId, Record};
use state::{Consumer, Entry};

pub(super) use offsets::{May, in_transaction};
pub use request::{Describe, Heartbeat, Visible};

/// A group while a decision changes it: each change is a record too.
struct Draft<'a> {
    id: &'a GroupId,
    group: Cow<'a, Consumer>,
    records: Vec<Record>,
}

impl<'a> Draft<'a> {
    fn of(id: &'a GroupId, group: &'a Consumer, records: Vec<Record>) -> Self {
        Self {
            id,
            group: Cow::Borrowed(group),
            records,
        }
    }

    fn put(&mut self, entry: Entry) {
        self.records.push(Record::Consumer {
            group: self.id.clone(),
            entry: entry.clone(),
        });
        self.group.to_mut().put(entry);
    }
}

/// Kafka's names of the assignors, the first of which is the default.
pub const ASSIGNORS: [&str; 2] = [assignor::UNIFORM, assignor::RANGE];
