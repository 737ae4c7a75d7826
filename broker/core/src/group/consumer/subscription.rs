//! Which topics a group subscribes to, and what is there of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla_protocol::ids::{TopicId, TopicName};
use regex_lite::{Regex, RegexBuilder};

use super::Draft;
use super::assignor::{Subscriber, assign};
use super::request::Visible;
use super::state::{Consumer, Entry, GroupEpoch, Member, MemberId, Partitions, Resolved};
use crate::image::MetadataImage;
use crate::metadata::names::is_internal;
use crate::shard::Now;

/// How large a compiled expression may be.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// An expression that is to match a whole name.
pub fn compile(regex: &str) -> Option<Regex> {
    // alone first: what is wrong by itself may be right between brackets
    Regex::new(regex).ok()?;
    let whole = format!("^(?:{regex})$");
    RegexBuilder::new(&whole)
        .size_limit(REGEX_BYTES_MAX)
        .build()
        .ok()
}

/// The topics that the expression matches; internal ones are for nobody who does not name them.
pub fn resolve(regex: &str, image: &MetadataImage, visible: &Visible) -> BTreeSet<TopicName> {
    let Some(regex) = compile(regex) else {
        return BTreeSet::new();
    };
    let names = image.topics.keys();
    let matched = names.filter(|name| regex.is_match(name) && !is_internal(name));
    matched.filter(|name| visible.has(name)).cloned().collect()
}

impl Consumer {
    /// A number that changes with the topics that are subscribed to: their ids and partitions.
    pub(super) fn topics_hash(&self, image: &MetadataImage) -> i64 {
        let members = self.members.values();
        let names = members.flat_map(|member| self.topics_of(member));
        let names: BTreeSet<&TopicName> = names.collect();
        let mut hash = Fnv::default();
        for name in names {
            if let Some(topic) = image.topic(name) {
                hash.add(name.as_bytes());
                hash.add(&topic.id.0.0);
                hash.add(&topic.partitions.len().to_be_bytes());
            }
        }
        i64::from_be_bytes(hash.0.to_be_bytes())
    }

    /// How the group's partitions are assigned: as most of those members want it who say so.
    pub(super) fn assignor(&self) -> &str {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        let wanted = self.members.values();
        for name in wanted.filter_map(|member| member.server_assignor.as_deref()) {
            *votes.entry(name).or_default() += 1;
        }
        let most = votes.into_iter().max_by_key(|(_, count)| *count);
        most.map_or(super::ASSIGNORS[0], |(name, _)| name)
    }

    fn subscribed(&self, member: &Member, image: &MetadataImage) -> BTreeSet<TopicId> {
        let names = self.topics_of(member);
        names
            .filter_map(|name| Some(image.topic(name)?.id))
            .collect()
    }
}

impl Draft<'_> {
    /// Looks which topics an expression matches; says whether others than before.
    pub(super) fn resolve(
        &mut self,
        regex: &str,
        image: &MetadataImage,
        visible: &Visible,
        now: Now,
    ) -> bool {
        let topics = resolve(regex, image, visible);
        let before = self.group.regexes.get(regex);
        if before.is_some_and(|before| before.topics == topics) {
            return false;
        }
        let is_news = before.is_some() || !topics.is_empty();
        let timestamp_ms = now.wall_ms;
        let resolved = Arc::new(Resolved {
            topics,
            timestamp_ms,
        });
        self.put(Entry::Regex(regex.to_owned(), Some(resolved)));
        is_news
    }

    /// Forgets expressions that nobody subscribes to any more.
    pub(super) fn forget_regexes(&mut self) {
        let is_used = |regex: &String| {
            let mut members = self.group.members.values();
            members.any(|member| member.regex.as_ref() == Some(regex))
        };
        let unused = self.group.regexes.keys().filter(|regex| !is_used(regex));
        let unused: Vec<String> = unused.cloned().collect();
        for regex in unused {
            self.put(Entry::Regex(regex, None));
        }
    }

    /// Members, their subscriptions or what these match have changed.
    pub(super) fn bump(&mut self, image: &MetadataImage) {
        let epoch = GroupEpoch {
            epoch: self.group.group_epoch().saturating_add(1),
            topics_hash: self.group.topics_hash(image),
        };
        self.put(Entry::Group(Some(epoch)));
    }

    /// Makes the target of the group's epoch.
    pub(super) fn make_target(&mut self, image: &MetadataImage) {
        let group = &*self.group;
        if group.assignment_epoch() >= group.group_epoch() {
            return;
        }
        let none = Arc::default();
        let subscribers = group.members.iter().map(|(id, member)| Subscriber {
            id,
            instance_id: member.instance_id.as_deref(),
            topics: group.subscribed(member, image),
            before: group.target.get(id).unwrap_or(&none),
        });
        let subscribers: Vec<Subscriber<'_>> = subscribers.collect();
        let topics = subscribers.iter().flat_map(|one| &one.topics);
        let count = |id: &TopicId| {
            let topic = image.topic_by_id(*id);
            topic.map_or(0, |topic| {
                i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX)
            })
        };
        let counts: BTreeMap<TopicId, i32> = topics.map(|id| (*id, count(id))).collect();
        let targets = assign(group.assignor(), &subscribers, &counts);
        let changed = subscribers.iter().zip(targets).filter(|(one, target)| {
            let before: Option<&Partitions> = group.target.get(one.id).map(|before| &**before);
            before != Some(target)
        });
        let changed: Vec<(MemberId, Partitions)> = changed
            .map(|(one, target)| (one.id.clone(), target))
            .collect();
        let epoch = group.group_epoch();
        for (id, target) in changed {
            self.put(Entry::Target(id, Some(Arc::new(target))));
        }
        self.put(Entry::TargetEpoch(Some(epoch)));
    }
}

/// FNV-1a of 64 bits: the same on every broker, and over its restarts.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
