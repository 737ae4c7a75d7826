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

/// How long an expression may be, and how large once it is compiled: the time that a name takes
/// grows with it.
const REGEX_LENGTH_MAX: usize = 4096;
const REGEX_BYTES_MAX: usize = 64 << 10;

/// An expression that is to match a whole name.
pub fn compile(regex: &str) -> Option<Regex> {
    let compile = |regex: &str| {
        let builder = &mut RegexBuilder::new(regex);
        builder.size_limit(REGEX_BYTES_MAX).build().ok()
    };
    if regex.len() > REGEX_LENGTH_MAX {
        return None;
    }
    // alone first: what is wrong by itself may be right between brackets
    compile(regex)?;
    compile(&format!("^(?:{regex})$"))
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
    pub(in crate::group) fn topics_hash(&self, image: &MetadataImage) -> i64 {
        let mut hash = Fnv::default();
        for name in self.all_topics() {
            if let Some(topic) = image.topic(name) {
                hash.add(name.as_bytes());
                hash.add(&topic.id.0.0);
                hash.add(&topic.partitions.len().to_be_bytes());
            }
        }
        hash.value()
    }

    /// The same number as of the group's epoch.
    fn known_topics_hash(&self) -> i64 {
        let of_nothing = || Fnv::default().value();
        self.epoch
            .map_or_else(of_nothing, |epoch| epoch.topics_hash)
    }

    /// Whether topics that are subscribed to have come, gone or grown since the group's epoch.
    pub(in crate::group) fn has_other_topics(&self, image: &MetadataImage) -> bool {
        self.known_topics_hash() != self.topics_hash(image)
    }

    /// The topics that an expression matches, as far as they are known; none where it matches none.
    pub(super) fn matched(&self, regex: Option<&String>) -> Option<&BTreeSet<TopicName>> {
        let resolved = self.regexes.get(regex?)?;
        Some(&resolved.topics).filter(|topics| !topics.is_empty())
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

    /// The topics of all members, as far as they are known.
    pub(in crate::group) fn all_topics(&self) -> BTreeSet<&TopicName> {
        let members = self.members.values();
        let mut names: BTreeSet<&TopicName> = members.flat_map(|member| &member.topics).collect();
        names.extend(self.regexes.values().flat_map(|resolved| &resolved.topics));
        names
    }

    /// The topics that each member subscribes to; one set for those that subscribe to the same.
    fn subscriptions(&self, image: &MetadataImage) -> Vec<Arc<BTreeSet<TopicId>>> {
        let mut known: BTreeMap<(&BTreeSet<TopicName>, Option<&str>), Arc<_>> = BTreeMap::new();
        let subscribed = |member: &Member| {
            let names = self.topics_of(member);
            let ids = names.filter_map(|name| Some(image.topic(name)?.id));
            Arc::new(ids.collect())
        };
        let members = self.members.values();
        let sets = members.map(|member| {
            let same = (&member.topics, member.regex.as_deref());
            Arc::clone(known.entry(same).or_insert_with(|| subscribed(member)))
        });
        sets.collect()
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
        if self.group.regexes.is_empty() {
            return;
        }
        let members = self.group.members.values();
        let used: BTreeSet<&String> = members.filter_map(|member| member.regex.as_ref()).collect();
        let regexes = self.group.regexes.keys();
        let unused = regexes.filter(|regex| !used.contains(regex));
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
        let none = Arc::default();
        let members = group.members.iter().zip(group.subscriptions(image));
        let subscribers = members.map(|((id, member), topics)| Subscriber {
            id,
            instance_id: member.instance_id.as_deref(),
            topics,
            before: group.target.get(id).unwrap_or(&none),
        });
        let subscribers: Vec<Subscriber<'_>> = subscribers.collect();
        let names = group.all_topics().into_iter();
        let topics = names.filter_map(|name| Some(image.topic(name)?.id));
        let count = |id: TopicId| {
            let topic = image.topic_by_id(id);
            topic.map_or(0, |topic| {
                i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX)
            })
        };
        let counts: BTreeMap<TopicId, i32> = topics.map(|id| (id, count(id))).collect();
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
    fn value(&self) -> i64 {
        i64::from_be_bytes(self.0.to_be_bytes())
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
