//! Groups and their committed offsets: what one partition of `__consumer_offsets` holds.
//!
//! A [`Shard`] is driven by `step(now, input) -> Output { records, replies }`. It keeps two kinds
//! of state side by side:
//! - *durable*: offsets, and each group's last completed generation. It is what replaying the log
//!   gives ([`Loader`]), and changes only together with a record in an [`Output`];
//! - *soft*: members' deadlines, parked joins and syncs, a rebalance in progress. It is lost with
//!   the coordinator, and clients bring it back by joining again, as in Apache Kafka.
//!
//! What the driver must keep:
//! - records are appended in the order of the outputs;
//! - a reply marked [`After::Commit`] leaves only once the records of its own output and of every
//!   earlier one are below the high watermark. So no reply acknowledges, or shows, what a new
//!   coordinator might not know;
//! - after a failed append the shard is thrown away, waiting replies become NOT_COORDINATOR, and
//!   the log is loaded again: durable state never runs ahead of a log that did not take it.
//!
//! Invariant: nothing here waits, reads a clock or draws a random number; all three are arguments.

mod classic;
mod deadlines;
mod describe;
mod load;
mod offsets;
pub mod record;
pub mod request;
pub mod settings;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::TopicName;
use ottla_protocol::messages::groups as wire;

use classic::Classic;
use deadlines::Deadlines;
use offsets::Offsets;

pub use load::Loader;
pub use record::Record;
pub use request::{Body, Client, Request, Response};
pub use settings::Settings;

/// A group's id; cheap to clone.
pub type GroupId = Arc<str>;

/// The name of the internal topic that holds groups and their offsets.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The times a decision needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds that never go back: what deadlines are counted in.
    pub monotonic_ms: u64,
    /// Milliseconds since 1970: what records are stamped with.
    pub wall_ms: i64,
    /// The same, but for what the clock jumped forward: what retention is counted in.
    pub age_ms: i64,
}

impl Now {
    fn after(self, milliseconds: i32) -> u64 {
        self.monotonic_ms + u64::try_from(milliseconds).unwrap_or(0)
    }
}

/// Identifies a waiting request between the driver and the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// When a reply may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// At once: it says nothing that a record must back.
    Nothing,
    /// Once all records so far are committed.
    Commit,
}

/// An answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The request's token.
    pub token: Token,
    /// When it may leave.
    pub after: After,
    /// The answer.
    pub response: Response,
}

/// What happens to a shard.
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "made and taken apart at once, never kept"
)]
pub enum Input {
    /// A client asks.
    Request(Request),
    /// [`Shard::next_deadline_ms`] has passed.
    DeadlinePassed,
    /// Topics were deleted; their offsets go.
    TopicsDeleted(BTreeSet<TopicName>),
}

/// What the driver has to do, in this order: append, then answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// To append, as one batch with whatever else is at hand.
    pub records: Vec<Record>,
    /// To answer.
    pub replies: Vec<Reply>,
}

impl Output {
    fn reply(&mut self, token: Token, response: Response) {
        let after = After::Commit;
        self.replies.push(Reply {
            token,
            after,
            response,
        });
    }
}

/// What every transition of one step needs.
struct Step<'a> {
    now: Now,
    settings: &'a Settings,
    output: &'a mut Output,
}

/// One group: its members, by protocol, and its offsets.
#[derive(Clone, Debug, Default)]
struct Group {
    membership: Classic,
    offsets: Offsets,
    /// When [`Deadlines`] visits this group next; never later than its earliest deadline.
    visit_at_ms: Option<u64>,
}

impl Group {
    /// Whether nothing would be lost with it: neither members nor anything in the log.
    fn is_vestige(&self) -> bool {
        self.membership.is_vestige() && self.offsets.is_empty()
    }
}

/// The groups of one partition of `__consumer_offsets`.
#[derive(Clone, Debug)]
pub struct Shard {
    settings: Settings,
    groups: BTreeMap<GroupId, Group>,
    deadlines: Deadlines,
}

impl Shard {
    /// A shard whose log is empty.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            groups: BTreeMap::new(),
            deadlines: Deadlines::default(),
        }
    }

    /// Takes one input; see the module for what must become of the output.
    pub fn step(&mut self, now: Now, input: Input) -> Output {
        let mut output = Output::default();
        match input {
            Input::Request(request) => self.serve(now, request, &mut output),
            Input::DeadlinePassed => self.on_time(now, &mut output),
            Input::TopicsDeleted(topics) => self.topics_deleted(&topics, &mut output),
        }
        self.deadlines
            .retention(now, &self.settings, !self.groups.is_empty());
        output
    }

    /// When [`Input::DeadlinePassed`] is due at the latest; none while nothing waits for time.
    #[must_use]
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.deadlines.next()
    }

    /// How many groups there are.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// How many requests are parked: joins and syncs that wait for other members.
    #[must_use]
    pub fn parked_count(&self) -> usize {
        self.groups
            .values()
            .map(|group| group.membership.parked_count())
            .sum()
    }

    fn serve(&mut self, now: Now, request: Request, output: &mut Output) {
        let Request {
            token,
            version,
            client,
            body,
        } = request;
        match body {
            Body::JoinGroup(request::JoinGroup { body, fresh }) => {
                let join = classic::Join {
                    token,
                    version,
                    client,
                    body,
                    fresh,
                };
                self.join(now, join, output);
            }
            Body::SyncGroup(body) => {
                let id = body.group_id.clone();
                let absent = |output: &mut Output| {
                    output.reply(token, classic::sync_error(ErrorCode::UnknownMemberId));
                };
                self.with(now, &id, output, absent, |id, group, step| {
                    group.membership.sync(id, token, body, step);
                });
            }
            Body::Heartbeat(body) => {
                let id = body.group_id.clone();
                let absent = |output: &mut Output| {
                    output
                        .replies
                        .push(classic::heartbeat(token, ErrorCode::UnknownMemberId));
                };
                self.with(now, &id, output, absent, |_, group, step| {
                    let error = group.membership.heartbeat(&body, step);
                    step.output.replies.push(classic::heartbeat(token, error));
                });
            }
            Body::LeaveGroup(body) => self.leave(now, token, body, output),
            Body::OffsetCommit(body) => self.commit(now, token, version, body, output),
            Body::OffsetFetch(body) => {
                let response = self.fetch(&body);
                output.reply(token, Response::OffsetFetch(response));
            }
            Body::OffsetDelete(body) => {
                let response = self.delete_offsets(&body, output);
                output.reply(token, Response::OffsetDelete(response));
            }
            Body::DeleteGroup(request::DeleteGroup(id)) => {
                let error = self.delete_group(&id, output);
                output.reply(token, Response::DeleteGroup(error));
            }
            Body::DescribeGroup(request::DescribeGroup(id)) => {
                let response = self.describe(&id, version);
                output.reply(token, Response::DescribeGroup(response));
            }
            Body::ListGroups(filter) => {
                let response = self.list(&filter);
                output.reply(token, Response::ListGroups(response));
            }
        }
    }

    /// Runs `found` on a group, or `absent` where there is none, and sees to its deadlines.
    fn with(
        &mut self,
        now: Now,
        id: &str,
        output: &mut Output,
        absent: impl FnOnce(&mut Output),
        found: impl FnOnce(&GroupId, &mut Group, &mut Step<'_>),
    ) {
        let Some((id, group)) = entry(&mut self.groups, id) else {
            return absent(output);
        };
        let mut step = Step {
            now,
            settings: &self.settings,
            output,
        };
        found(&id, group, &mut step);
        self.deadlines.schedule(&id, group);
    }

    /// A JoinGroup may create its group.
    fn join(&mut self, now: Now, join: classic::Join, output: &mut Output) {
        let known = self.groups.contains_key(join.body.group_id.as_str());
        if !known && !join.body.member_id.is_empty() {
            let error = ErrorCode::UnknownMemberId;
            return output.reply(join.token, join.error(error));
        }
        let id: GroupId = join.body.group_id.as_str().into();
        if !known {
            self.groups.insert(id.clone(), Group::default());
        }
        self.with(
            now,
            &id,
            output,
            |_| unreachable!("the group was created above"),
            |id, group, step| group.membership.join(id, join, step),
        );
        self.drop_vestige(&id);
    }

    fn leave(
        &mut self,
        now: Now,
        token: Token,
        body: wire::LeaveGroupRequest,
        output: &mut Output,
    ) {
        let id = body.group_id.clone();
        let unknown = classic::leave_unknown(&body);
        self.with(
            now,
            &id,
            output,
            |output| output.reply(token, unknown),
            |id, group, step| group.membership.leave(id, token, &body, step),
        );
    }

    /// Visits the groups whose deadline came, and offsets when their retention check is due.
    fn on_time(&mut self, now: Now, output: &mut Output) {
        while let Some(id) = self.deadlines.pop(now) {
            let Some(group) = self.groups.get_mut(&id) else {
                continue;
            };
            group.visit_at_ms = None;
            let mut step = Step {
                now,
                settings: &self.settings,
                output,
            };
            group.membership.on_time(&id, &mut step);
            self.deadlines.schedule(&id, group);
            self.drop_vestige(&id);
        }
        if self.deadlines.retention_passed(now) {
            self.expire(now, output);
        }
    }

    /// Forgets a group that a rejected or forgotten request created.
    fn drop_vestige(&mut self, id: &GroupId) {
        if self.groups.get(id).is_some_and(Group::is_vestige) {
            self.deadlines.forget(id, &self.groups[id]);
            self.groups.remove(id);
        }
    }
}

/// A group with its own copy of its id.
fn entry<'a>(
    groups: &'a mut BTreeMap<GroupId, Group>,
    id: &str,
) -> Option<(GroupId, &'a mut Group)> {
    let (id, _) = groups.get_key_value(id)?;
    let id = id.clone();
    groups.get_mut(&id).map(|group| (id, group))
}

/// The partition of `__consumer_offsets` that holds a group: Java's `String.hashCode` over UTF-16,
/// sign bit cleared, modulo the partitions.
///
/// Invariant: equals Apache Kafka's `partitionFor`, so that tools find a group where it is.
#[must_use]
pub fn partition_for(group_id: &str, partition_count: i32) -> i32 {
    assert!(
        partition_count > 0,
        "an internal topic has at least one partition"
    );
    let hash = group_id.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    (hash & i32::MAX) % partition_count
}
