//! One group, its members, and the log.

mod classic;
mod consumers;
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

use crate::group::consumer::Describe;
use crate::group::consumer::state::Entry;
use crate::group::request::{DeleteGroup, DescribeGroup};
use crate::group::soft::Soft;
use crate::group::tests::bodies::GROUP;
use crate::group::{Body, Client, Decision, Migration, Record, Request, Response, Settings, Shard};
use crate::image::delta::{MetadataDelta, TopicDelta};
use crate::image::{MetadataImage, Topic};
use crate::metadata::features::GROUP_VERSION;
use crate::shard::{After, Now, Shard as _, Token};

pub(super) type Partitions = BTreeSet<(String, i32)>;

/// What a member knows.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Its id, where the coordinator gave it one.
    pub(super) id: Option<String>,
    pub(super) epoch: i32,
    pub(super) instance_id: Option<String>,
    /// What it was told to have.
    pub(super) told: Partitions,
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
    /// Whether what was asked last has no answer yet.
    is_waiting: bool,
    /// Who waits for an answer.
    waiting: BTreeMap<Token, String>,
    /// What came to those who waited.
    pub(super) waited: Vec<(String, String)>,
    /// The members that each leader was told of last, and what they said.
    pub(super) led: BTreeMap<String, Vec<(String, Bytes)>>,
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

pub(super) fn shown(partitions: &Partitions) -> String {
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
            is_waiting: false,
            waiting: BTreeMap::new(),
            waited: Vec::new(),
            led: BTreeMap::new(),
            tokens: 0,
            seen: String::new(),
        }
    }

    /// The name of a member by its id.
    fn name_of(&self, id: &str) -> String {
        let mut members = self.members.iter();
        let found = members.find(|(name, known)| match &known.id {
            Some(known) => known == id,
            None => classic::is_made_of(id, name),
        });
        found.map_or_else(|| id.to_owned(), |(name, _)| name.clone())
    }

    pub(super) fn id_of(&self, member: &str) -> String {
        let id = self.members.get(member).and_then(|known| known.id.clone());
        id.unwrap_or_else(|| member.to_owned())
    }

    pub(super) fn set_policy(&mut self, policy: Migration) {
        self.shard.settings.migration = policy;
    }

    /// A member is gone: an answer is nobody's.
    pub(super) fn stop_waiting(&mut self, member: &str) {
        self.waiting.retain(|_, waits| waits != member);
    }

    /// The end of what was said.
    pub(super) fn seen(&self) -> &str {
        let lines = self.seen.rmatch_indices('\n').nth(60);
        &self.seen[lines.map_or(0, |(at, _)| at)..]
    }

    pub(super) fn say(&mut self, line: &str) {
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
            [
                member,
                what @ ("join-group" | "sync-group" | "heartbeat"),
                rest @ ..,
            ] => {
                let answer = self.classic(member, what, rest);
                self.say(&format!("    {member}: {answer}"));
            }
            ["policy", policy] => self.shard.settings.migration = Migration::named(policy),
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
        let replies = self.perform(decision);
        self.tell_others(token, &replies);
        let found = replies.into_iter().find(|(of, _)| *of == token);
        self.is_waiting = found.is_none();
        found.and_then(|(_, response)| response)
    }

    /// Answers that members waited for.
    fn tell_others(&mut self, asked: Token, replies: &[(Token, Option<Response>)]) {
        let waited = replies.iter().filter(|(token, _)| *token != asked);
        for (token, response) in waited {
            let Some(member) = self.waiting.remove(token) else {
                continue;
            };
            let told = match response {
                Some(Response::JoinGroup(answer)) => self.joined(&member, answer),
                Some(Response::SyncGroup(answer)) => self.synced(&member, answer),
                Some(other) => panic!("{other:?}"),
                None => "refused".to_owned(),
            };
            self.say(&format!("    {member} waited: {told}"));
            self.waited.push((member, told));
        }
    }

    /// The answers; none for what the log has refused.
    fn perform(&mut self, decision: Decision) -> Vec<(Token, Option<Response>)> {
        let mut undos = Vec::new();
        let is_refused = self.is_refusing && !decision.records.is_empty();
        for record in decision.records {
            if !self.is_refusing {
                self.log.push(record.encode().expect("short strings"));
            }
            undos.push(self.shard.replay(record));
        }
        let mut replies = Vec::new();
        for reply in decision.replies {
            let is_lost = is_refused && reply.after != After::Nothing;
            replies.push((reply.token, (!is_lost).then_some(reply.response)));
        }
        if self.is_refusing {
            for undo in undos.into_iter().rev() {
                let sent_away = self.shard.undo(&mut self.soft, self.now, undo);
                replies.extend(sent_away.into_iter().map(|r| (r.token, Some(r.response))));
            }
        }
        replies
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
        let replies = self.perform(decision);
        self.tell_others(Token(0), &replies);
    }

    /// Stops at each deadline on the way.
    pub(super) fn wait(&mut self, ms: u64) {
        let end_ms = self.now.monotonic_ms + ms;
        while let Some(at_ms) = Shard::next_deadline_ms(&self.soft).filter(|at| *at <= end_ms) {
            self.now.monotonic_ms = self.now.monotonic_ms.max(at_ms);
            let decision = self.shard.on_deadline(&mut self.soft, self.now);
            let replies = self.perform(decision);
            self.tell_others(Token(0), &replies);
        }
        self.now.monotonic_ms = end_ms;
    }

    pub(super) fn reload(&mut self) {
        self.shard = self.replayed();
        let (soft, decision) = self.shard.on_loaded(self.now, &self.image);
        self.soft = soft;
        self.perform(decision);
        for (_, member) in std::mem::take(&mut self.waiting) {
            self.waited.push((member, "refused".to_owned()));
        }
    }

    /// What the log gives.
    pub(super) fn replayed(&self) -> Shard {
        let mut shard = Shard::new(self.shard.settings.clone());
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

    /// The ids of the group's members, whichever its protocol.
    pub(super) fn ids(&mut self) -> BTreeSet<String> {
        let group = self.described();
        let mut ids: BTreeSet<String> = group.members.into_iter().map(|m| m.member_id).collect();
        let body = Body::DescribeGroup(DescribeGroup(GROUP.to_owned()));
        if let Some(Response::DescribeGroup(group)) = self.ask(6, body) {
            ids.extend(group.members.into_iter().map(|member| member.member_id));
        }
        ids
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
                match member.member_type {
                    0 => format!("{} (classic)", self.name_of(&member.member_id)),
                    _ => self.name_of(&member.member_id),
                },
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
