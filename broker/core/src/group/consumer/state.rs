//! What the log holds of a group with the consumer protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use ottla_protocol::ids::{TopicId, TopicName};

use crate::group::Client;

/// A member's id; cheap to clone.
pub type MemberId = Arc<str>;

/// Partitions, by their topics. Invariant: no topic without partitions.
pub type Partitions = BTreeMap<TopicId, BTreeSet<i32>>;

/// Partitions that a member was given, each with the assignment epoch that gave it.
pub type Given = BTreeMap<TopicId, BTreeMap<i32, i32>>;

/// The epoch of a static member that has left and is expected back.
pub const AWAY_EPOCH: i32 = -2;

/// The epoch of a group of which nobody has subscribed to anything yet.
const FIRST_EPOCH: i32 = 1;

/// The group's epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupEpoch {
    /// It grows with each change of members, subscriptions or topics.
    pub epoch: i32,
    /// Of the topics that are subscribed to, as of then.
    pub topics_hash: i64,
}

/// What a member said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// `group.instance.id`
    pub instance_id: Option<String>,
    /// `client.rack`
    pub rack_id: Option<String>,
    /// Who it is.
    pub client: Client,
    /// The topics that it names.
    pub topics: BTreeSet<TopicName>,
    /// It subscribes to all topics that match this too.
    pub regex: Option<String>,
    /// How long it may take to give partitions up.
    pub rebalance_timeout_ms: i32,
    /// How it wants partitions to be assigned.
    pub server_assignor: Option<String>,
    /// What it said of itself in JoinGroup, where it speaks the classic protocol.
    pub classic: Option<ClassicMember>,
}

/// A protocol (a consumer's assignor) and what the member says under it (its subscription).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// The protocol's name.
    pub name: String,
    /// What the member says under it.
    pub metadata: Bytes,
}

/// A member of the classic protocol in a group of the consumer protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassicMember {
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// Its assignors and subscriptions, the one that it likes best first.
    pub protocols: Vec<Protocol>,
}

impl ClassicMember {
    /// The assignor that it likes best, and its subscription.
    pub(super) fn preferred(&self) -> (&str, &[u8]) {
        let first = self.protocols.first();
        first.map_or(("", &[]), |one| (one.name.as_str(), &one.metadata))
    }

    /// Its subscription, as it says it to an assignor.
    pub(super) fn subscription(&self, assignor: &str) -> Option<&[u8]> {
        let mut protocols = self.protocols.iter();
        let found = protocols.find(|protocol| protocol.name == assignor);
        found.map(|protocol| &*protocol.metadata)
    }
}

impl Member {
    /// How long it may be silent, of which the group's own time is that of consumers.
    pub(super) fn session_timeout_ms(&self, of_consumers: i32) -> i32 {
        let classic = self.classic.as_ref();
        classic.map_or(of_consumers, |classic| classic.session_timeout_ms)
    }

    /// The assignor that it likes best, of the classic protocol.
    pub(in crate::group) fn preferred(&self) -> Option<&str> {
        self.classic.as_ref().map(|classic| classic.preferred().0)
    }
}

/// Where a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// It has its target.
    Stable,
    /// It is to give partitions up.
    UnrevokedPartitions,
    /// Partitions of its target are still others'.
    UnreleasedPartitions,
    /// A newer version wrote it: the member joins again.
    Unknown,
}

/// What a member was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// Of the target that it was told to come to.
    pub member_epoch: i32,
    /// The one before: the answer with the new one may be lost.
    pub previous_epoch: i32,
    /// Where it stands.
    pub state: MemberState,
    /// What it has.
    pub assigned: Given,
    /// What it is to give up.
    pub revoking: Given,
}

/// The topics that a regular expression matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Their names.
    pub topics: BTreeSet<TopicName>,
    /// When it was looked.
    pub timestamp_ms: i64,
}

/// One record: a key and its value; none is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The group's epoch.
    Group(Option<GroupEpoch>),
    /// A member.
    Member(MemberId, Option<Arc<Member>>),
    /// The epoch of the target.
    TargetEpoch(Option<i32>),
    /// A member's target.
    Target(MemberId, Option<Arc<Partitions>>),
    /// What a member was told.
    Current(MemberId, Option<Arc<Current>>),
    /// A regular expression that members subscribe to.
    Regex(String, Option<Arc<Resolved>>),
}

/// A group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consumer {
    pub(super) epoch: Option<GroupEpoch>,
    pub(in crate::group) members: BTreeMap<MemberId, Arc<Member>>,
    pub(super) target_epoch: Option<i32>,
    pub(super) target: BTreeMap<MemberId, Arc<Partitions>>,
    pub(super) current: BTreeMap<MemberId, Arc<Current>>,
    pub(super) regexes: BTreeMap<String, Arc<Resolved>>,
    /// Whose a partition is, also one that is to be given up; follows from `current`.
    owners: BTreeMap<(TopicId, i32), MemberId>,
    /// The members with an instance id; follows from `members`.
    instances: BTreeMap<String, MemberId>,
}

impl Consumer {
    /// Whether the log has nothing of it.
    pub fn is_nothing(&self) -> bool {
        self.epoch.is_none()
            && self.target_epoch.is_none()
            && self.members.is_empty()
            && self.target.is_empty()
            && self.current.is_empty()
            && self.regexes.is_empty()
    }

    /// Makes it so; the one way a group changes. Returns the entry that takes it back.
    pub fn put(&mut self, entry: Entry) -> Entry {
        match entry {
            Entry::Group(value) => Entry::Group(std::mem::replace(&mut self.epoch, value)),
            Entry::TargetEpoch(value) => {
                Entry::TargetEpoch(std::mem::replace(&mut self.target_epoch, value))
            }
            Entry::Member(id, value) => {
                let before = put(&mut self.members, &id, value.clone());
                self.name_instance(&id, before.as_deref(), value.as_deref());
                Entry::Member(id, before)
            }
            Entry::Target(id, value) => {
                let before = put(&mut self.target, &id, value);
                Entry::Target(id, before)
            }
            Entry::Current(id, value) => {
                let before = put(&mut self.current, &id, value.clone());
                self.give(&id, before.as_deref(), value.as_deref());
                Entry::Current(id, before)
            }
            Entry::Regex(regex, value) => {
                let before = put(&mut self.regexes, &regex, value);
                Entry::Regex(regex, before)
            }
        }
    }

    fn name_instance(&mut self, id: &MemberId, before: Option<&Member>, after: Option<&Member>) {
        if let Some(name) = before.and_then(|member| member.instance_id.as_ref())
            && self.instances.get(name) == Some(id)
        {
            self.instances.remove(name);
        }
        if let Some(name) = after.and_then(|member| member.instance_id.clone()) {
            self.instances.insert(name, id.clone());
        }
    }

    fn give(&mut self, id: &MemberId, before: Option<&Current>, after: Option<&Current>) {
        for partition in before.into_iter().flat_map(Current::partitions) {
            if self.owners.get(&partition) == Some(id) {
                self.owners.remove(&partition);
            }
        }
        for partition in after.into_iter().flat_map(Current::partitions) {
            self.owners.insert(partition, id.clone());
        }
    }

    /// The group's epoch; the first one before anything has changed it, as in Apache Kafka.
    pub(in crate::group) fn group_epoch(&self) -> i32 {
        self.epoch.map_or(FIRST_EPOCH, |epoch| epoch.epoch)
    }

    /// The epoch of the target; 0 before there is one.
    pub(in crate::group) fn assignment_epoch(&self) -> i32 {
        self.target_epoch.unwrap_or(0)
    }

    /// Who goes by an instance id.
    pub(in crate::group) fn instance(&self, name: &str) -> Option<&MemberId> {
        self.instances.get(name)
    }

    /// Whether a partition is free for a member.
    pub(super) fn is_free_for(&self, topic: TopicId, partition: i32, member_id: &MemberId) -> bool {
        let owner = self.owners.get(&(topic, partition));
        owner.is_none_or(|owner| owner == member_id)
    }

    /// The topics that a member subscribes to, as far as they are known.
    pub(super) fn topics_of<'a>(
        &'a self,
        member: &'a Member,
    ) -> impl Iterator<Item = &'a TopicName> + use<'a> {
        let regex = member.regex.as_ref();
        let resolved = regex.and_then(|regex| self.regexes.get(regex));
        let matched = resolved.into_iter().flat_map(|resolved| &resolved.topics);
        member.topics.iter().chain(matched)
    }

    /// How many members it has.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// A member.
    pub fn member(&self, id: &str) -> Option<&Member> {
        self.members.get(id).map(|member| &**member)
    }

    /// What a member is to have.
    pub fn target_of(&self, id: &str) -> Option<&Partitions> {
        self.target.get(id).map(|target| &**target)
    }

    /// Whether anybody is in it.
    pub fn has_members(&self) -> bool {
        !self.members.is_empty()
    }

    /// What a member has, or is still to give up.
    pub fn owned_by(&self, id: &str) -> Partitions {
        let mut owned = Partitions::new();
        for (topic, partition) in self
            .current
            .get(id)
            .into_iter()
            .flat_map(|c| c.partitions())
        {
            owned.entry(topic).or_default().insert(partition);
        }
        owned
    }

    /// Whether a member was told of all its target, and others have nothing of it still.
    pub fn has_target(&self, id: &str) -> bool {
        let current = self.current.get(id);
        current.is_some_and(|current| {
            current.state == MemberState::Stable && current.member_epoch == self.assignment_epoch()
        })
    }

    /// Kafka's name of the state that the group is in.
    pub fn state(&self) -> &'static str {
        if self.members.is_empty() {
            "Empty"
        } else if self.group_epoch() > self.assignment_epoch() {
            "Assigning"
        } else if self.members.keys().all(|id| self.has_target(id)) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    /// The entries that end it.
    pub fn tombstones(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut add = |id: &MemberId, entry: fn(MemberId) -> Entry| entries.push(entry(id.clone()));
        for id in self.current.keys() {
            add(id, |id| Entry::Current(id, None));
        }
        for id in self.target.keys() {
            add(id, |id| Entry::Target(id, None));
        }
        for id in self.members.keys() {
            add(id, |id| Entry::Member(id, None));
        }
        let regexes = self.regexes.keys().cloned();
        entries.extend(regexes.map(|regex| Entry::Regex(regex, None)));
        if self.target_epoch.is_some() {
            entries.push(Entry::TargetEpoch(None));
        }
        if self.epoch.is_some() {
            entries.push(Entry::Group(None));
        }
        entries
    }
}

impl Current {
    /// A member that has just come.
    pub(super) fn joining(assigned: Given) -> Self {
        Self {
            member_epoch: 0,
            previous_epoch: 0,
            state: MemberState::Stable,
            assigned,
            revoking: Given::new(),
        }
    }

    /// What it has and what it is to give up, as one.
    pub(super) fn all(&self) -> Given {
        let mut all = self.assigned.clone();
        for (topic, partitions) in &self.revoking {
            all.entry(*topic).or_default().extend(partitions);
        }
        all
    }

    /// All that it has or is to give up.
    fn partitions(&self) -> impl Iterator<Item = (TopicId, i32)> + use<'_> {
        let topics = self.assigned.iter().chain(&self.revoking);
        topics.flat_map(|(topic, given)| given.keys().map(|partition| (*topic, *partition)))
    }
}

fn put<K: Ord + Clone, V>(map: &mut BTreeMap<K, V>, key: &K, value: Option<V>) -> Option<V> {
    match value {
        Some(value) => map.insert(key.clone(), value),
        None => map.remove(key),
    }
}
