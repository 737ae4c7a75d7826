//! One group, its members, and the log.

mod classic;
mod others;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use expect_test::Expect;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{TopicId, Uuid};
use ottla_protocol::messages::consumer_groups as wire;
use ottla_protocol::messages::groups;

use crate::group::consumer::state::Entry;
use crate::group::consumer::{Describe, Heartbeat, Visible};
use crate::group::request::{DeleteGroup, DescribeGroup};
use crate::group::soft::Soft;
use crate::group::tests::bodies::GROUP;
use crate::group::{Body, Client, Decision, Record, Request, Response, Settings, Shard};
use crate::image::delta::{MetadataDelta, TopicDelta};
use crate::image::{MetadataImage, Topic};
use crate::metadata::features::GROUP_VERSION;
use crate::shard::{Now, Shard as _, Token};

pub(super) type Partitions = BTreeSet<(String, i32)>;

/// What a member knows.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) epoch: i32,
    pub(super) instance_id: Option<String>,
    /// What it was told to have.
    told: Partitions,
    /// What it has still, or by now.
    pub(super) has: Partitions,
}

pub(super) struct World {
    pub(super) shard: Shard,
    pub(super) soft: Soft,
    image: MetadataImage,
    pub(super) now: Now,
    log: Vec<(Bytes, Option<Bytes>)>,
    pub(super) is_refusing: bool,
    pub(super) members: BTreeMap<String, Known>,
    tokens: u64,
    seen: String,
}

/// Runs a script and compares what came of it.
pub(super) fn check(script: &str, expected: &Expect) {
    let mut world = World::new();
    let lines = script.lines().map(str::trim);
    for line in lines.filter(|line| !line.is_empty()) {
        world.line(line);
    }
    expected.assert_eq(&world.seen);
}

fn option<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    words.iter().find_map(|word| {
        let (found, value) = word.split_once('=')?;
        (found == name).then_some(value)
    })
}

fn number(words: &[&str], name: &str, default: i32) -> i32 {
    option(words, name).map_or(default, |value| value.parse().expect(name))
}

/// `t-0,t-1`
fn partitions(text: &str) -> Partitions {
    let names = text.split(',').filter(|name| !name.is_empty());
    let partition = |name: &str| {
        let (topic, index) = name.rsplit_once('-').expect("TOPIC-0");
        (topic.to_owned(), index.parse().expect("an index"))
    };
    names.map(partition).collect()
}

fn shown(partitions: &Partitions) -> String {
    let names = partitions
        .iter()
        .map(|(topic, index)| format!("{topic}-{index}"));
    names.collect::<Vec<_>>().join(",")
}

impl World {
    pub(super) fn new() -> Self {
        let shard = Shard::new(Settings::default());
        let now = Now {
            monotonic_ms: 0,
            wall_ms: 1_000_000,
            age_ms: 1_000_000,
        };
        let image = MetadataImage {
            features: Arc::new([(GROUP_VERSION.to_owned(), 1)].into()),
            ..MetadataImage::default()
        };
        let (soft, _) = shard.on_loaded(now, &image);
        Self {
            shard,
            soft,
            image,
            now,
            log: Vec::new(),
            is_refusing: false,
            members: BTreeMap::new(),
            tokens: 0,
            seen: String::new(),
        }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.seen, "{line}").expect("a string takes all");
    }

    fn line(&mut self, line: &str) {
        self.say(line);
        let words: Vec<&str> = line.split_whitespace().collect();
        self.is_refusing = words[0] == "refused";
        match &words[usize::from(self.is_refusing)..] {
            ["topic", name, count] => self.topic(name, count.parse().expect("a count")),
            ["topic-gone", name] => self.topic_gone(name),
            ["wait", ms] => self.wait(ms.parse().expect("milliseconds")),
            ["reload"] => self.reload(),
            ["describe"] => self.describe(),
            ["log"] => self.show_log(),
            ["list"] => self.show(5, Body::ListGroups(groups::ListGroupsRequest::default())),
            ["delete"] => self.show(2, Body::DeleteGroup(DeleteGroup(GROUP.to_owned()))),
            ["classic-describe"] => {
                self.show(6, Body::DescribeGroup(DescribeGroup(GROUP.to_owned())));
            }
            ["classic-join", rest @ ..] => self.classic_join(rest),
            [members, "classic-leave"] => self.classic_leave(members),
            [member, "commit", rest @ ..] => self.commit(member, rest, false),
            [member, "txn-commit", rest @ ..] => self.commit(member, rest, true),
            [member, "fetch", rest @ ..] => self.fetch(member, rest),
            [member, rest @ ..] => {
                let (version, body) = self.heartbeat(member, rest);
                let answer = self.beat(member, version, body);
                let line = format!("    {member}: {answer}");
                self.say(&line);
            }
            [] => {}
        }
    }

    fn heartbeat(
        &mut self,
        member: &str,
        words: &[&str],
    ) -> (i16, wire::ConsumerGroupHeartbeatRequest) {
        let known = self.members.entry(member.to_owned()).or_default();
        let rest = &words[1..];
        let topics = option(rest, "topics");
        let split = |t: &str| {
            t.split(',')
                .filter(|t| !t.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let topics = topics.map(split);
        let has = rest.iter().find(|word| !word.contains('='));
        let (epoch, owned) = match words[0] {
            "join" => {
                let instance_id = option(rest, "static").map(str::to_owned);
                *known = Known {
                    instance_id: instance_id.or(known.instance_id.take()),
                    ..Known::default()
                };
                (0, Some(Partitions::new()))
            }
            "leave" => (-1, None),
            "away" => (-2, None),
            "has" => {
                known.has = has.map_or_else(|| known.told.clone(), |has| partitions(has));
                (known.epoch, Some(known.has.clone()))
            }
            _ => (known.epoch, None),
        };
        let is_joining = words[0] == "join";
        let body = wire::ConsumerGroupHeartbeatRequest {
            group_id: GROUP.to_owned(),
            member_id: option(rest, "id").unwrap_or(member).to_owned(),
            member_epoch: number(rest, "epoch", epoch),
            instance_id: known.instance_id.clone(),
            rack_id: None,
            rebalance_timeout_ms: match is_joining {
                true => number(rest, "rebalance", 60_000),
                false => -1,
            },
            subscribed_topic_names: topics,
            subscribed_topic_regex: option(rest, "regex").map(str::to_owned),
            server_assignor: option(rest, "assignor").map(str::to_owned),
            topic_partitions: owned.map(|owned| self.owned(&owned)),
        };
        let version = option(rest, "v").map_or(1, |v| v.parse().expect("a version"));
        (version, body)
    }

    fn owned(&self, partitions: &Partitions) -> Vec<wire::OwnedTopicPartitions> {
        let topics = partitions.iter().filter_map(|(topic, index)| {
            Some(wire::OwnedTopicPartitions {
                topic_id: self.image.topic(topic)?.id.0,
                partitions: vec![*index],
            })
        });
        topics.collect()
    }

    /// Joins, or says that it lives, as members do that go by what they are told.
    pub(super) fn act(&mut self, member: &str, words: &str) -> String {
        let words: Vec<&str> = words.split_whitespace().collect();
        let (version, body) = self.heartbeat(member, &words);
        self.beat(member, version, body)
    }

    /// A heartbeat, and what the member learns by it.
    fn beat(
        &mut self,
        member: &str,
        version: i16,
        body: wire::ConsumerGroupHeartbeatRequest,
    ) -> String {
        let request = Heartbeat {
            body,
            fresh: Uuid([7; 16]),
            visible: Visible::default(),
        };
        let Some(Response::ConsumerGroupHeartbeat(answer)) =
            self.ask(version, Body::ConsumerGroupHeartbeat(request))
        else {
            return "refused".to_owned();
        };
        if answer.error_code != 0 {
            let error = ErrorCode::from(answer.error_code);
            return format!("{error} {}", answer.error_message.unwrap_or_default());
        }
        let known = self.members.entry(member.to_owned()).or_default();
        known.epoch = answer.member_epoch;
        let Some(assignment) = answer.assignment else {
            return format!("epoch {}", answer.member_epoch);
        };
        let mut told = Partitions::new();
        for topic in assignment.topic_partitions {
            let name = self.image.topic_by_id(TopicId(topic.topic_id));
            let name = name.map_or_else(|| "?".to_owned(), |topic| topic.name.to_string());
            told.extend(topic.partitions.iter().map(|index| (name.clone(), *index)));
        }
        let text = format!("epoch {} has [{}]", answer.member_epoch, shown(&told));
        self.members.entry(member.to_owned()).or_default().told = told;
        text
    }

    fn ask(&mut self, version: i16, body: Body) -> Option<Response> {
        self.tokens += 1;
        let token = Token(self.tokens);
        let client = Client {
            id: "client".to_owned(),
            host: "/127.0.0.1".to_owned(),
        };
        let request = Request {
            version,
            client,
            body,
        };
        let decision = self.shard.decide(&mut self.soft, self.now, token, request);
        let is_refused = self.is_refusing && !decision.records.is_empty();
        let replies = self.perform(decision);
        let found = replies.into_iter().find(|(of, _)| *of == token);
        found.filter(|_| !is_refused).map(|(_, response)| response)
    }

    fn perform(&mut self, decision: Decision) -> Vec<(Token, Response)> {
        let mut undos = Vec::new();
        for record in decision.records {
            if !self.is_refusing {
                self.log.push(record.encode().expect("short strings"));
            }
            undos.push(self.shard.replay(record));
        }
        if self.is_refusing {
            for undo in undos.into_iter().rev() {
                self.shard.undo(&mut self.soft, self.now, undo);
            }
        }
        let replies = decision.replies.into_iter();
        replies.map(|reply| (reply.token, reply.response)).collect()
    }

    pub(super) fn topic(&mut self, name: &str, count: usize) {
        let before = self.image.topic(name).map(|topic| topic.id);
        let fresh = u8::try_from(self.image.topics.len() + 1).expect("few topics");
        let id = before.unwrap_or(TopicId(Uuid([fresh; 16])));
        let topic = Topic {
            id,
            name: name.into(),
            partitions: vec![Arc::default(); count].into(),
        };
        Arc::make_mut(&mut self.image.topics).insert(name.into(), Arc::new(topic));
        Arc::make_mut(&mut self.image.topic_names).insert(id, name.into());
        self.tell_image(name, id, false);
    }

    fn topic_gone(&mut self, name: &str) {
        let topic = Arc::make_mut(&mut self.image.topics).remove(name);
        let id = topic.expect("the topic is there").id;
        Arc::make_mut(&mut self.image.topic_names).remove(&id);
        self.tell_image(name, id, true);
    }

    fn tell_image(&mut self, name: &str, id: TopicId, deleted: bool) {
        let mut delta = MetadataDelta::default();
        let topic = TopicDelta {
            name: name.into(),
            deleted,
            partitions: BTreeSet::new(),
        };
        delta.topics.insert(id, topic);
        let (soft, image) = (&mut self.soft, &self.image);
        let decision = self.shard.on_image(soft, self.now, image, &delta);
        self.perform(decision);
    }

    /// Stops at each deadline on the way.
    pub(super) fn wait(&mut self, ms: u64) {
        let end_ms = self.now.monotonic_ms + ms;
        while let Some(at_ms) = Shard::next_deadline_ms(&self.soft).filter(|at| *at <= end_ms) {
            self.now.monotonic_ms = self.now.monotonic_ms.max(at_ms);
            let decision = self.shard.on_deadline(&mut self.soft, self.now);
            self.perform(decision);
        }
        self.now.monotonic_ms = end_ms;
    }

    pub(super) fn reload(&mut self) {
        self.shard = self.replayed();
        let (soft, decision) = self.shard.on_loaded(self.now, &self.image);
        self.soft = soft;
        self.perform(decision);
    }

    /// What the log gives.
    pub(super) fn replayed(&self) -> Shard {
        let mut shard = Shard::new(Settings::default());
        for (key, value) in &self.log {
            let record = Shard::decode(key, value.as_deref()).expect("well formed");
            shard.replay(record.expect("known"));
        }
        shard
    }

    /// As compaction leaves it: of each key the last one, tombstones not at all.
    pub(super) fn compact(&mut self) {
        let mut last: BTreeMap<Bytes, usize> = BTreeMap::new();
        for (place, (key, _)) in self.log.iter().enumerate() {
            last.insert(key.clone(), place);
        }
        let mut place = 0;
        self.log.retain(|(key, value)| {
            place += 1;
            last.get(key) == Some(&(place - 1)) && value.is_some()
        });
    }

    pub(super) fn described(&mut self) -> wire::DescribedGroup {
        let body = Body::ConsumerGroupDescribe(Describe(GROUP.to_owned()));
        match self.ask(1, body) {
            Some(Response::ConsumerGroupDescribe(group)) => group,
            other => panic!("{other:?}"),
        }
    }

    fn describe(&mut self) {
        let group = self.described();
        if group.error_code != 0 {
            let error = ErrorCode::from(group.error_code);
            let line = format!("    {error} {}", group.error_message.unwrap_or_default());
            return self.say(&line);
        }
        let (epoch, target) = (group.group_epoch, group.assignment_epoch);
        let head = format!(
            "    {} {epoch}/{target} by {}",
            group.group_state, group.assignor_name
        );
        self.say(&head);
        for member in group.members {
            let all = |assignment: &wire::DescribedAssignment| {
                let mut all = Partitions::new();
                for topic in &assignment.topic_partitions {
                    let name = &topic.topic_name;
                    all.extend(topic.partitions.iter().map(|index| (name.clone(), *index)));
                }
                shown(&all)
            };
            let line = format!(
                "    {} epoch {} has [{}] of [{}]",
                member.member_id,
                member.member_epoch,
                all(&member.assignment),
                all(&member.target_assignment)
            );
            self.say(&line);
        }
    }

    fn show_log(&mut self) {
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for (key, value) in &self.log {
            let record = Shard::decode(key, value.as_deref()).expect("well formed");
            let name = match record.expect("known") {
                Record::Consumer { entry, .. } => match entry {
                    Entry::Group(_) => "group",
                    Entry::Member(..) => "member",
                    Entry::TargetEpoch(_) => "target epoch",
                    Entry::Target(..) => "target",
                    Entry::Current(..) => "current",
                    Entry::Regex(..) => "regex",
                },
                Record::Offset { .. } => "offset",
                Record::Group { .. } => "classic",
            };
            let end = if value.is_none() { " ended" } else { "" };
            *kinds.entry(format!("{name}{end}")).or_default() += 1;
        }
        let kinds = kinds
            .iter()
            .map(|(name, count)| format!("    {name} {count}"));
        let lines = kinds.collect::<Vec<_>>().join("\n");
        self.say(&lines);
    }

    fn show(&mut self, version: i16, body: Body) {
        let line = match self.ask(version, body) {
            Some(Response::ListGroups(listed)) => {
                let listed = listed.iter().map(|group| {
                    let (kind, protocol) = (&group.group_type, &group.protocol_type);
                    format!(
                        "{} {kind} {protocol:?} {}",
                        group.group_id, group.group_state
                    )
                });
                listed.collect::<Vec<_>>().join(", ")
            }
            Some(Response::DeleteGroup(error)) => error.to_string(),
            Some(Response::DescribeGroup(group)) => {
                let error = ErrorCode::from(group.error_code);
                format!("{error} {}", group.group_state)
            }
            other => format!("{other:?}"),
        };
        self.say(&format!("    {line}"));
    }
}
