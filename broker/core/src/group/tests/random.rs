//! Many members, chance, and a coordinator that fails: what must hold whatever happens.
//!
//! - In one generation no partition has two owners.
//! - A generation that a member was assigned in never comes again with other owners, and the
//!   group's generation never goes back behind it.
//! - An offset whose commit was acknowledged is fetched again, or a later one.
//! - Every request is answered, once, in the end.

mod judge;

use std::collections::BTreeMap;

use bytes::Bytes;
use ottla_protocol::ids::Uuid;
use ottla_protocol::messages::groups as wire;

use super::topics::add_topic;
use crate::group::request::{JoinGroup, OffsetFetch};
use crate::group::soft::Soft;
use crate::group::{Body, Client, Decision, Request, Response, Settings, Shard};
use crate::image::MetadataImage;
use crate::shard::{After, Now, Shard as _, Token};

const MEMBERS: usize = 12;
const PARTITIONS: u8 = 7;
const STEPS: usize = 4_000;

/// xorshift64*: chance from a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Doing {
    #[default]
    Nothing,
    Joining,
    Syncing,
    Working,
}

#[derive(Clone, Debug, Default)]
struct Member {
    doing: Doing,
    member_id: String,
    instance_id: Option<String>,
    generation: i32,
    peers: Vec<String>,
    waits_for: Option<Token>,
}

struct World {
    chance: Chance,
    shard: Shard,
    soft: Soft,
    image: MetadataImage,
    now: Now,
    /// Records by position; those beyond `committed` are lost when the coordinator fails.
    log: Vec<(Bytes, Option<Bytes>)>,
    committed: usize,
    /// Replies that wait for the log to be committed up to a position.
    waiting: Vec<(usize, Token, Response)>,
    asked: BTreeMap<Token, (usize, Option<i64>)>,
    members: Vec<Member>,
    tokens: u64,
    owners: BTreeMap<(i32, u8), String>,
    generation_max: i32,
    acknowledged: i64,
    offset: i64,
    rebalances: usize,
    /// Whether nothing fails any more.
    is_calm: bool,
}

#[test]
fn whatever_happens_nothing_is_owned_twice_and_no_offset_is_lost() {
    let mut rebalances = 0;
    for seed in 1..=10 {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.act();
        }
        world.settle();
        rebalances += world.rebalances;
    }
    assert!(
        rebalances > 500,
        "the runs must do something: {rebalances} rebalances"
    );
}

impl World {
    fn new(seed: u64) -> Self {
        let members = (0..MEMBERS).map(|number| Member {
            instance_id: (number % 3 == 0).then(|| format!("i{number}")),
            ..Member::default()
        });
        let mut image = MetadataImage::default();
        add_topic(&mut image, "t", 1);
        let shard = Shard::new(settings());
        let (soft, _) = shard.on_loaded(Now::default(), &image);
        Self {
            chance: Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            shard,
            soft,
            image,
            now: Now::default(),
            log: Vec::new(),
            committed: 0,
            waiting: Vec::new(),
            asked: BTreeMap::new(),
            members: members.collect(),
            tokens: 0,
            owners: BTreeMap::new(),
            generation_max: 0,
            acknowledged: -1,
            offset: 0,
            rebalances: 0,
            is_calm: false,
        }
    }

    fn act(&mut self) {
        let number = self.chance.below(MEMBERS as u64) as usize;
        match self.chance.below(100) {
            0 => self.fail_over(),
            1..=30 => self.commit_log(),
            31..=45 => {
                let step = [1, 50, 500, 3_000][self.chance.below(4) as usize];
                self.pass(step);
            }
            46 => self.forget(number),
            47 => self.leave(number),
            48..=55 => self.commit_offset(number),
            56 => self.fetch(),
            _ => self.go_on(number),
        }
    }

    /// What a client does next.
    fn go_on(&mut self, number: usize) {
        let member = self.members[number].clone();
        if member.waits_for.is_some() {
            return;
        }
        match member.doing {
            Doing::Nothing | Doing::Joining => self.join(number),
            Doing::Syncing => self.sync(number),
            Doing::Working => self.beat(number),
        }
    }

    fn ask(&mut self, number: usize, version: i16, body: Body) {
        self.tokens += 1;
        let token = Token(self.tokens);
        let offset = match &body {
            Body::OffsetCommit(_) => Some(self.offset),
            _ => None,
        };
        self.asked.insert(token, (number, offset));
        if matches!(body, Body::JoinGroup(_) | Body::SyncGroup(_)) {
            self.members[number].waits_for = Some(token);
        }
        let client = Client {
            id: format!("c{number}"),
            host: String::new(),
        };
        let request = Request {
            version,
            client,
            body,
        };
        let decision = self.shard.decide(&mut self.soft, self.now, token, request);
        self.perform(decision);
    }

    fn join(&mut self, number: usize) {
        let member = self.members[number].clone();
        self.members[number].doing = Doing::Joining;
        let body = wire::JoinGroupRequest {
            group_id: "g".to_owned(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 20_000,
            member_id: member.member_id,
            group_instance_id: member.instance_id,
            protocol_type: "consumer".to_owned(),
            protocols: vec![wire::JoinGroupRequestProtocol {
                name: "range".to_owned(),
                metadata: Bytes::new(),
            }],
            reason: None,
        };
        self.tokens += 1;
        let mut fresh = [0; 16];
        fresh[8..].copy_from_slice(&self.tokens.to_be_bytes());
        let version = [3, 5, 9][self.chance.below(3) as usize];
        self.ask(
            number,
            version,
            Body::JoinGroup(JoinGroup {
                body,
                fresh: Uuid(fresh),
            }),
        );
    }

    fn sync(&mut self, number: usize) {
        let member = self.members[number].clone();
        let mut given = BTreeMap::<String, Vec<u8>>::new();
        for partition in 0..PARTITIONS {
            if !member.peers.is_empty() {
                let peer = self.chance.below(member.peers.len() as u64) as usize;
                given
                    .entry(member.peers[peer].clone())
                    .or_default()
                    .push(partition);
            }
        }
        let assignments =
            given
                .into_iter()
                .map(|(member_id, partitions)| wire::SyncGroupRequestAssignment {
                    member_id,
                    assignment: partitions.into(),
                });
        let body = wire::SyncGroupRequest {
            group_id: "g".to_owned(),
            generation_id: member.generation,
            member_id: member.member_id,
            group_instance_id: member.instance_id,
            protocol_type: None,
            protocol_name: None,
            assignments: assignments.collect(),
        };
        self.ask(number, 5, Body::SyncGroup(body));
    }

    fn beat(&mut self, number: usize) {
        let member = self.members[number].clone();
        let body = wire::HeartbeatRequest {
            group_id: "g".to_owned(),
            generation_id: member.generation,
            member_id: member.member_id,
            group_instance_id: member.instance_id,
        };
        self.ask(number, 4, Body::Heartbeat(body));
    }

    fn leave(&mut self, number: usize) {
        let member = self.members[number].clone();
        let identity = wire::MemberIdentity {
            member_id: member.member_id,
            group_instance_id: member.instance_id,
            reason: None,
        };
        let body = wire::LeaveGroupRequest {
            group_id: "g".to_owned(),
            member_id: String::new(),
            members: vec![identity],
        };
        self.ask(number, 5, Body::LeaveGroup(body));
        self.forget(number);
    }

    /// The client is killed, and starts again knowing nothing.
    fn forget(&mut self, number: usize) {
        let instance_id = self.members[number].instance_id.clone();
        self.members[number] = Member {
            instance_id,
            ..Member::default()
        };
    }

    fn commit_offset(&mut self, number: usize) {
        let member = self.members[number].clone();
        self.offset += 1;
        let body = wire::OffsetCommitRequest {
            group_id: "g".to_owned(),
            generation_id_or_member_epoch: member.generation,
            member_id: member.member_id,
            group_instance_id: member.instance_id,
            retention_time_ms: -1,
            topics: vec![wire::OffsetCommitRequestTopic {
                name: "t".to_owned(),
                topic_id: Uuid::ZERO,
                partitions: vec![wire::OffsetCommitRequestPartition {
                    partition_index: 0,
                    committed_offset: self.offset,
                    committed_leader_epoch: -1,
                    committed_metadata: None,
                }],
            }],
        };
        self.ask(number, 8, Body::OffsetCommit(body));
    }

    fn fetch(&mut self) {
        let body = wire::OffsetFetchRequestGroup {
            group_id: "g".to_owned(),
            member_id: None,
            member_epoch: -1,
            topics: Some(vec![wire::OffsetFetchRequestTopics {
                name: "t".to_owned(),
                topic_id: Uuid::ZERO,
                partition_indexes: vec![0],
            }]),
        };
        let body = OffsetFetch {
            group: body,
            require_stable: false,
        };
        self.ask(0, 8, Body::OffsetFetch(body));
    }

    fn pass(&mut self, milliseconds: u64) {
        self.now.monotonic_ms += milliseconds;
        let passed = i64::try_from(milliseconds).expect("a short test");
        self.now.wall_ms += passed;
        self.now.age_ms += passed;
        while Shard::next_deadline_ms(&self.soft).is_some_and(|at| at <= self.now.monotonic_ms) {
            let decision = self.shard.on_deadline(&mut self.soft, self.now);
            self.perform(decision);
        }
    }

    /// Now and then the log refuses what was decided.
    fn perform(&mut self, decision: Decision) {
        let is_refused = !self.is_calm && self.chance.below(20) == 0;
        let mut undos = Vec::new();
        for record in decision.records {
            if !is_refused {
                self.log.push(record.encode().expect("short strings"));
            }
            undos.push(self.shard.replay(record));
        }
        let is_refused = is_refused && !undos.is_empty();
        for undo in undos.into_iter().rev().filter(|_| is_refused) {
            let sent_away = self.shard.undo(&mut self.soft, self.now, undo);
            sent_away
                .iter()
                .for_each(|reply| self.send_away(reply.token));
        }
        for reply in decision.replies {
            match reply.after {
                After::Nothing => self.answer(reply.token, reply.response),
                After::Commit if is_refused => self.send_away(reply.token),
                After::Commit => self
                    .waiting
                    .push((self.log.len(), reply.token, reply.response)),
            }
        }
        self.answer_committed();
    }

    /// The client is told to try again.
    fn send_away(&mut self, token: Token) {
        let (number, _) = self.asked.remove(&token).expect("asked once");
        let member = &mut self.members[number];
        if member.waits_for == Some(token) {
            member.waits_for = None;
            member.doing = Doing::Joining;
        }
    }

    /// The log is committed up to some point.
    fn commit_log(&mut self) {
        let left = (self.log.len() - self.committed) as u64;
        self.committed += self.chance.below(left + 1) as usize;
        self.answer_committed();
    }

    fn answer_committed(&mut self) {
        let committed = self.committed;
        let (ready, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(at, _, _)| *at <= committed);
        self.waiting = waiting;
        let ready: Vec<(usize, Token, Response)> = ready;
        for (_, token, response) in ready {
            self.answer(token, response);
        }
    }

    /// A new coordinator has the committed records, and perhaps some of the others.
    fn fail_over(&mut self) {
        self.commit_log();
        self.log.truncate(self.committed);
        self.waiting.clear();
        self.asked.clear();
        for member in &mut self.members {
            member.waits_for = None;
        }
        self.shard = Shard::new(settings());
        for (key, value) in &self.log {
            let record = Shard::decode(key, value.as_deref()).expect("well formed");
            self.shard.replay(record.expect("known"));
        }
        (self.soft, _) = self.shard.on_loaded(self.now, &self.image);
    }
}

fn settings() -> Settings {
    Settings {
        initial_rebalance_delay_ms: 1_000,
        ..Settings::default()
    }
}
