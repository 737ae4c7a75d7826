//! A small language for tests: one line an action, and what came of it below.
//!
//! ```text
//! A join [v=N] [id=known|none] [static=X] [protocols=range,roundrobin]
//!        [session=MS] [rebalance=MS] [type=T]
//! A sync [A=0 B=1 …] [protocol=NAME]     assignments only from a leader
//! A beat                                 heartbeat
//! A leave                                (static=X: by instance alone)
//! A commit TOPIC-0=5 [meta=…] [v=N] [generation=N] [anonymous]
//! fetch [TOPIC-0 …]
//! delete-offset TOPIC-0 | delete-group | describe [v=N] | list [state=…] [type=…]
//! [unseen] topics-deleted TOPIC | topics-created TOPIC      unseen: while no shard is loaded
//! fetch-stable [TOPIC-0 …]
//! A txn-commit ID TOPIC-0=5 …            a commit in a producer's transaction
//! transaction ID TOPIC-0=5               a producer's offset, as it is read from the log
//! marker ID commit|abort                 the end of its transaction, likewise
//! refused …                              the log refuses the records of what follows
//! wait MS                                time passes, deadline by deadline
//! reload                                 another coordinator replays the log
//! ```
//! Members are called by the name of their client; generation and id are those the client knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use bytes::Bytes;
use expect_test::Expect;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{ProducerEpoch, ProducerId, TopicId, Uuid};
use ottla_protocol::messages::groups as wire;
use ottla_protocol::record::ControlRecord;

use super::bodies::{GROUP, delete_offset, fetch, offset, protocol};
use super::show::{show_record, show_response};
use super::topics::{add_topic, remove_topic};
use crate::group::request::{DeleteGroup, DescribeGroup, JoinGroup, TxnOffsetCommit};
use crate::group::soft::Soft;
use crate::group::{Body, Client, Decision, Request, Response, Settings, Shard};
use crate::image::MetadataImage;
use crate::image::delta::{MetadataDelta, TopicDelta};
use crate::shard::{Now, Reply, Shard as _, Token, Transaction};

/// What a client knows of itself.
#[derive(Clone, Debug, Default)]
struct Known {
    member_id: String,
    instance_id: Option<String>,
    generation: i32,
}

/// What is in the log.
enum Logged {
    Record(Bytes, Option<Bytes>, Option<ProducerId>),
    Marker(ProducerId, ControlRecord),
}

pub(super) struct Runner {
    shard: Shard,
    soft: Soft,
    image: MetadataImage,
    is_refusing: bool,
    is_away: bool,
    settings: Settings,
    now: Now,
    log: Vec<Logged>,
    clients: BTreeMap<String, Known>,
    waiting: BTreeMap<Token, String>,
    fresh: u8,
    tokens: u64,
    seen: String,
}

/// Runs a script and compares what came of it.
pub(super) fn check(script: &str, expected: Expect) {
    check_with(Settings::default(), script, expected);
}

/// The same with settings.
pub(super) fn check_with(settings: Settings, script: &str, expected: Expect) {
    let mut runner = Runner::new(settings);
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        runner.line(line);
    }
    expected.assert_eq(&runner.seen);
}

/// Settings under which the first generation begins at once.
pub(super) fn without_delay() -> Settings {
    Settings {
        initial_rebalance_delay_ms: 0,
        ..Settings::default()
    }
}

impl Runner {
    fn new(settings: Settings) -> Self {
        let shard = Shard::new(settings.clone());
        let now = Now {
            monotonic_ms: 0,
            wall_ms: 1_000_000,
            age_ms: 1_000_000,
        };
        let mut image = MetadataImage::default();
        add_topic(&mut image, "t", 1);
        add_topic(&mut image, "u", 2);
        let (soft, _) = shard.on_loaded(now, &image);
        Self {
            shard,
            soft,
            image,
            is_refusing: false,
            is_away: false,
            settings,
            now,
            log: Vec::new(),
            clients: BTreeMap::new(),
            waiting: BTreeMap::new(),
            fresh: 0,
            tokens: 0,
            seen: String::new(),
        }
    }

    fn line(&mut self, line: &str) {
        writeln!(self.seen, "{line}").expect("a string takes all");
        let words: Vec<&str> = line.split_whitespace().collect();
        self.is_refusing = words[0] == "refused";
        self.is_away = words[0] == "unseen";
        match &words[usize::from(self.is_refusing || self.is_away)..] {
            ["wait", milliseconds] => self.wait(milliseconds.parse().expect("milliseconds")),
            ["set-clock-forward", milliseconds] => {
                self.now.wall_ms += milliseconds.parse::<i64>().expect("milliseconds");
            }
            ["reload"] => self.reload(),
            ["fetch", names @ ..] => self.ask("", 8, fetch(names, false)),
            ["fetch-stable", names @ ..] => self.ask("", 8, fetch(names, true)),
            ["delete-group"] => self.ask("", 2, Body::DeleteGroup(DeleteGroup(GROUP.to_owned()))),
            ["delete-offset", name] => self.ask("", 0, delete_offset(name)),
            ["describe", rest @ ..] => {
                let version = option(rest, "v").map_or(5, |v| v.parse().expect("a version"));
                self.ask(
                    "",
                    version,
                    Body::DescribeGroup(DescribeGroup(GROUP.to_owned())),
                );
            }
            ["list", rest @ ..] => {
                let list = |name| option(rest, name).map(str::to_owned).into_iter().collect();
                let filter = wire::ListGroupsRequest {
                    states_filter: list("state"),
                    types_filter: list("type"),
                };
                self.ask("", 5, Body::ListGroups(filter));
            }
            ["topics-deleted", name] => {
                let id = remove_topic(&mut self.image, name);
                self.images(name, id, true);
            }
            ["topics-created", name] => {
                let id = add_topic(&mut self.image, name, 9);
                self.images(name, id, false);
            }
            ["transaction", producer, place] => {
                self.write_open(ProducerId(producer.parse().expect("a producer")), place);
            }
            ["marker", producer, marker] => {
                let coordinator_epoch = 0;
                let marker = match *marker {
                    "commit" => ControlRecord::Commit { coordinator_epoch },
                    _ => ControlRecord::Abort { coordinator_epoch },
                };
                let producer = ProducerId(producer.parse().expect("a producer"));
                self.log.push(Logged::Marker(producer, marker));
                self.shard.on_marker(producer, marker);
            }
            [client, "join", rest @ ..] => self.join(client, rest),
            [client, "sync", rest @ ..] => self.sync(client, rest),
            [client, "beat"] => self.beat(client),
            [client, "leave", rest @ ..] => self.leave(client, rest),
            [client, "commit", rest @ ..] => {
                let (version, commit) = self.commit(client, rest);
                self.ask(client, version, Body::OffsetCommit(commit));
            }
            [client, "txn-commit", producer, rest @ ..] => {
                let commit = self.commit_in_transaction(client, producer, rest);
                self.ask(client, 5, Body::TxnOffsetCommit(commit));
            }
            _ => panic!("no such action: {line}"),
        }
    }

    fn write_open(&mut self, producer: ProducerId, place: &str) {
        let (key, value) = offset(place).encode().expect("short strings");
        self.log.push(Logged::Record(key, value, Some(producer)));
        self.shard.replay_open(producer, offset(place));
    }

    fn commit_in_transaction(
        &mut self,
        client: &str,
        producer: &str,
        rest: &[&str],
    ) -> TxnOffsetCommit {
        let (_, commit) = self.commit(client, rest);
        let transaction = Transaction {
            producer_id: ProducerId(producer.parse().expect("a producer")),
            producer_epoch: ProducerEpoch(0),
            guard: None,
        };
        TxnOffsetCommit {
            commit,
            transaction,
        }
    }

    fn known(&mut self, client: &str) -> Known {
        self.clients.entry(client.to_owned()).or_default().clone()
    }

    fn ask(&mut self, client: &str, version: i16, body: Body) {
        self.tokens += 1;
        let token = Token(self.tokens);
        self.waiting.insert(token, client.to_owned());
        let client = Client {
            id: client.to_owned(),
            host: "/127.0.0.1".to_owned(),
        };
        let request = Request {
            version,
            client,
            body,
        };
        let decision = self.shard.decide(&mut self.soft, self.now, token, request);
        self.perform(decision);
    }

    fn join(&mut self, client: &str, rest: &[&str]) {
        let known = self.known(client);
        let version = option(rest, "v").map_or(3, |v| v.parse().expect("a version"));
        let number = |name, default| option(rest, name).map_or(default, |v| v.parse().expect(name));
        let protocols = option(rest, "protocols").unwrap_or("range");
        let instance_id = option(rest, "static")
            .map(str::to_owned)
            .or(known.instance_id);
        self.clients
            .entry(client.to_owned())
            .or_default()
            .instance_id = instance_id.clone();
        let is_new = option(rest, "id") == Some("none");
        self.fresh += 1;
        let mut fresh = [0; 16];
        fresh[15] = self.fresh;
        let body = wire::JoinGroupRequest {
            group_id: GROUP.to_owned(),
            session_timeout_ms: number("session", 10_000),
            rebalance_timeout_ms: number("rebalance", 60_000),
            member_id: if is_new {
                String::new()
            } else {
                known.member_id
            },
            group_instance_id: instance_id,
            protocol_type: option(rest, "type").unwrap_or("consumer").to_owned(),
            protocols: protocols.split(',').map(protocol).collect(),
            reason: None,
        };
        self.ask(
            client,
            version,
            Body::JoinGroup(JoinGroup {
                body,
                fresh: Uuid(fresh),
            }),
        );
    }

    fn sync(&mut self, client: &str, rest: &[&str]) {
        let known = self.known(client);
        let mut assignments = Vec::new();
        for word in rest {
            let (name, value) = word.split_once('=').expect("NAME=VALUE");
            if let Some(member) = self.clients.get(name) {
                assignments.push(wire::SyncGroupRequestAssignment {
                    member_id: member.member_id.clone(),
                    assignment: Bytes::copy_from_slice(value.as_bytes()),
                });
            }
        }
        let body = wire::SyncGroupRequest {
            group_id: GROUP.to_owned(),
            generation_id: known.generation,
            member_id: known.member_id,
            group_instance_id: known.instance_id,
            protocol_type: None,
            protocol_name: option(rest, "protocol").map(str::to_owned),
            assignments,
        };
        self.ask(client, 5, Body::SyncGroup(body));
    }

    fn beat(&mut self, client: &str) {
        let known = self.known(client);
        let body = wire::HeartbeatRequest {
            group_id: GROUP.to_owned(),
            generation_id: known.generation,
            member_id: known.member_id,
            group_instance_id: known.instance_id,
        };
        self.ask(client, 4, Body::Heartbeat(body));
    }

    fn leave(&mut self, client: &str, rest: &[&str]) {
        let known = self.known(client);
        let by_instance = option(rest, "static").map(str::to_owned);
        let member = wire::MemberIdentity {
            member_id: if by_instance.is_some() {
                String::new()
            } else {
                known.member_id
            },
            group_instance_id: by_instance.or(known.instance_id),
            reason: None,
        };
        let body = wire::LeaveGroupRequest {
            group_id: GROUP.to_owned(),
            member_id: String::new(),
            members: vec![member],
        };
        self.ask(client, 5, Body::LeaveGroup(body));
    }

    fn commit(&mut self, client: &str, rest: &[&str]) -> (i16, wire::OffsetCommitRequest) {
        let known = self.known(client);
        let is_anonymous = rest.contains(&"anonymous");
        let version = option(rest, "v").map_or(8, |v| v.parse().expect("a version"));
        let generation = option(rest, "generation").map(|v| v.parse().expect("a generation"));
        let known_generation = if is_anonymous { -1 } else { known.generation };
        let (place, offset) = rest[0].split_once('=').expect("TOPIC-0=5");
        let (topic, partition) = place.rsplit_once('-').expect("TOPIC-0");
        let body = wire::OffsetCommitRequest {
            group_id: GROUP.to_owned(),
            generation_id_or_member_epoch: generation.unwrap_or(known_generation),
            member_id: if is_anonymous {
                String::new()
            } else {
                known.member_id
            },
            group_instance_id: if is_anonymous {
                None
            } else {
                known.instance_id
            },
            retention_time_ms: -1,
            topics: vec![wire::OffsetCommitRequestTopic {
                name: topic.to_owned(),
                topic_id: self
                    .image
                    .topic(topic)
                    .map(|known| known.id.0)
                    .unwrap_or_default(),
                partitions: vec![wire::OffsetCommitRequestPartition {
                    partition_index: partition.parse().expect("a partition"),
                    committed_offset: offset.parse().expect("an offset"),
                    committed_leader_epoch: -1,
                    committed_metadata: option(rest, "meta").map(str::to_owned),
                }],
            }],
        };
        (version, body)
    }

    /// Stops at each deadline on the way.
    fn wait(&mut self, milliseconds: u64) {
        let end_ms = self.now.monotonic_ms + milliseconds;
        while let Some(at_ms) = Shard::next_deadline_ms(&self.soft).filter(|at_ms| *at_ms <= end_ms)
        {
            self.advance(at_ms);
            let decision = self.shard.on_deadline(&mut self.soft, self.now);
            self.perform(decision);
        }
        self.advance(end_ms);
    }

    fn advance(&mut self, to_ms: u64) {
        let passed = to_ms - self.now.monotonic_ms;
        self.now.monotonic_ms = to_ms;
        let passed = i64::try_from(passed).expect("a short test");
        self.now.wall_ms += passed;
        self.now.age_ms += passed;
    }

    fn reload(&mut self) {
        self.shard = Shard::new(self.settings.clone());
        for logged in &self.log {
            match logged {
                Logged::Marker(producer, marker) => self.shard.on_marker(*producer, *marker),
                Logged::Record(key, value, producer) => {
                    let record = Shard::decode(key, value.as_deref()).expect("well formed");
                    let record = record.expect("known");
                    match producer {
                        Some(producer) => self.shard.replay_open(*producer, record),
                        None => self.shard.replay(record),
                    };
                }
            }
        }
        let (soft, decision) = self.shard.on_loaded(self.now, &self.image);
        self.soft = soft;
        self.waiting.clear();
        self.perform(decision);
    }

    fn images(&mut self, name: &str, id: TopicId, deleted: bool) {
        if self.is_away {
            return;
        }
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

    fn perform(&mut self, decision: Decision) {
        let rests_on_records = !decision.records.is_empty();
        let mut undos = Vec::new();
        let producer = decision.transaction.map(|of| of.producer_id);
        for record in decision.records {
            let line = show_record(&record);
            let line = match producer {
                Some(producer) => format!("in {producer}: {line}"),
                None => line,
            };
            let what = if self.is_refusing { "refused" } else { "log" };
            writeln!(self.seen, "    {what}: {line}").expect("a string takes all");
            if !self.is_refusing {
                let (key, value) = record.encode().expect("short strings");
                self.log.push(Logged::Record(key, value, producer));
            }
            undos.push(match producer {
                Some(producer) => self.shard.replay_open(producer, record),
                None => self.shard.replay(record),
            });
        }
        if self.is_refusing {
            for undo in undos.into_iter().rev() {
                let replies = self.shard.undo(&mut self.soft, self.now, undo);
                self.answer(replies, false);
            }
        }
        self.answer(decision.replies, self.is_refusing && rests_on_records);
    }

    fn answer(&mut self, replies: Vec<Reply<Response>>, is_refused: bool) {
        for reply in replies {
            let client = self
                .waiting
                .remove(&reply.token)
                .expect("each request has one answer");
            let line = if is_refused {
                "refused".to_owned()
            } else {
                self.learn(&client, &reply.response);
                show_response(&reply.response)
            };
            let who = if client.is_empty() { "answer" } else { &client };
            writeln!(self.seen, "    {who}: {line}").expect("a string takes all");
        }
    }

    fn learn(&mut self, client: &str, response: &Response) {
        let Response::JoinGroup(response) = response else {
            return;
        };
        let required = ErrorCode::MemberIdRequired.code();
        if response.error_code == 0 || response.error_code == required {
            let known = self.clients.entry(client.to_owned()).or_default();
            known.member_id = response.member_id.clone();
            known.generation = response.generation_id;
        }
    }
}

fn option<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    words.iter().find_map(|word| {
        let (found, value) = word.split_once('=')?;
        (found == name).then_some(value)
    })
}
