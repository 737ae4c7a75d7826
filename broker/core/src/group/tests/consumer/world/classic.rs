//! Members of the classic protocol, as Java's consumers are.

use std::collections::BTreeMap;

use bytes::Bytes;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::Uuid;
use ottla_protocol::messages::consumer_protocol::{
    AssignedPartitions, ConsumerProtocolAssignment, ConsumerProtocolSubscription, OwnedPartitions,
};
use ottla_protocol::messages::groups;

use super::{Partitions, World, number, option, partitions, shown};
use crate::group::consumer::embedded;
use crate::group::request::JoinGroup;
use crate::group::tests::bodies::GROUP;
use crate::group::{Body, Response};
use crate::shard::Token;
use crate::shard::versioned::encode_value;

fn by_topic(partitions: &Partitions) -> BTreeMap<String, Vec<i32>> {
    let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for (topic, index) in partitions {
        topics.entry(topic.clone()).or_default().push(*index);
    }
    topics
}

/// An assignment as a leader makes it; with words of its own where it says so.
fn assignment(partitions: &Partitions, user_data: Option<&str>) -> Bytes {
    let topics = by_topic(partitions).into_iter();
    let assignment = ConsumerProtocolAssignment {
        assigned_partitions: topics
            .map(|(topic, partitions)| AssignedPartitions { topic, partitions })
            .collect(),
        user_data: user_data.map(|data| Bytes::copy_from_slice(data.as_bytes())),
    };
    encode_value(3, &assignment).expect("short names")
}

fn subscription(topics: &str, has: &Partitions, generation_id: i32) -> Bytes {
    let owned = by_topic(has).into_iter();
    let topics = topics.split(',').filter(|topic| !topic.is_empty());
    let subscription = ConsumerProtocolSubscription {
        topics: topics.map(str::to_owned).collect(),
        user_data: None,
        owned_partitions: owned
            .map(|(topic, partitions)| OwnedPartitions { topic, partitions })
            .collect(),
        generation_id,
        rack_id: None,
    };
    encode_value(3, &subscription).expect("short names")
}

/// The chance that a new member's id is made of: another one each time, and the name's.
fn fresh(member: &str, token: u64) -> Uuid {
    let mut bytes = [member.as_bytes()[0]; 16];
    bytes[..8].copy_from_slice(&token.to_be_bytes());
    Uuid(bytes)
}

/// Whether an id was made for a member of this name.
pub(super) fn is_made_of(id: &str, member: &str) -> bool {
    let end = id.rsplit_once('-').map_or("", |(_, end)| end);
    !end.is_empty() && end == format!("{:02x}", member.as_bytes()[0]).repeat(6)
}

impl World {
    /// A member asks in the classic protocol, and says what came of it.
    pub(in crate::group::tests::consumer) fn classic(
        &mut self,
        member: &str,
        what: &str,
        words: &[&str],
    ) -> String {
        let answer = match what {
            "join-group" => self.join_group(member, words),
            "sync-group" => self.sync_group(member, words),
            _ => self.heartbeat_group(member, words),
        };
        let token = Token(self.tokens);
        answer.unwrap_or_else(|| match self.is_waiting {
            true => {
                self.waiting.insert(token, member.to_owned());
                "waits".to_owned()
            }
            false => "refused".to_owned(),
        })
    }

    fn join_group(&mut self, member: &str, words: &[&str]) -> Option<String> {
        let id = self.id_of(member);
        let known = self.members.entry(member.to_owned()).or_default();
        if let Some(has) = option(words, "has") {
            known.has = partitions(has);
        }
        known.instance_id = option(words, "static").map(str::to_owned);
        let topics = option(words, "topics").unwrap_or("t");
        let metadata = subscription(topics, &known.has, number(words, "of", -1));
        let protocols = option(words, "protocols").unwrap_or("range").split(',');
        let protocols = protocols.map(|name| groups::JoinGroupRequestProtocol {
            name: name.to_owned(),
            metadata: metadata.clone(),
        });
        let body = groups::JoinGroupRequest {
            group_id: GROUP.to_owned(),
            session_timeout_ms: number(words, "session", 10_000),
            rebalance_timeout_ms: number(words, "rebalance", 60_000),
            member_id: match words.iter().any(|word| ["new", "first"].contains(word)) {
                true => String::new(),
                false => id,
            },
            group_instance_id: known.instance_id.clone(),
            protocol_type: option(words, "type").unwrap_or("consumer").to_owned(),
            protocols: protocols.collect(),
            reason: None,
        };
        let join = JoinGroup {
            body,
            fresh: fresh(member, self.tokens),
        };
        // a later version first asks a member without an id to come again with one: `first`
        let version = if words.contains(&"new") { 3 } else { 9 };
        let Some(Response::JoinGroup(answer)) = self.ask(version, Body::JoinGroup(join)) else {
            return None;
        };
        Some(self.joined(member, &answer))
    }

    /// What a JoinGroup came to, perhaps later.
    pub(super) fn joined(&mut self, member: &str, answer: &groups::JoinGroupResponse) -> String {
        let error = ErrorCode::from(answer.error_code);
        let known = self.members.entry(member.to_owned()).or_default();
        if error == ErrorCode::MemberIdRequired {
            known.id = Some(answer.member_id.clone());
        }
        if error != ErrorCode::None {
            return error.to_string();
        }
        known.id = Some(answer.member_id.clone());
        known.epoch = answer.generation_id;
        let protocol = answer.protocol_name.as_deref().unwrap_or("none");
        let mut leads = "";
        if answer.leader == answer.member_id {
            leads = match answer.skip_assignment {
                true => ", leads, assigns nothing",
                false => ", leads",
            };
            let members = answer.members.iter();
            let members = members.map(|one| (one.member_id.clone(), one.metadata.clone()));
            self.led.insert(member.to_owned(), members.collect());
        }
        format!("generation {} by {protocol}{leads}", answer.generation_id)
    }

    fn sync_group(&mut self, member: &str, words: &[&str]) -> Option<String> {
        let known = self.members.entry(member.to_owned()).or_default().clone();
        let named = words.iter().filter_map(|word| word.strip_prefix("gives:"));
        let assignments = named.map(|text| {
            let (member_id, given) = text.split_once('=').expect("gives:A=t-0");
            let given = partitions(given);
            groups::SyncGroupRequestAssignment {
                member_id: self.id_of(member_id),
                assignment: assignment(&given, option(words, "data")),
            }
        });
        let body = groups::SyncGroupRequest {
            group_id: GROUP.to_owned(),
            generation_id: number(words, "epoch", known.epoch),
            member_id: self.id_of(member),
            group_instance_id: known.instance_id,
            protocol_type: Some("consumer".to_owned()),
            protocol_name: option(words, "protocol").map(str::to_owned),
            assignments: assignments.collect(),
        };
        let Some(Response::SyncGroup(answer)) = self.ask(5, Body::SyncGroup(body)) else {
            return None;
        };
        Some(self.synced(member, &answer))
    }

    /// What a SyncGroup came to, perhaps later.
    pub(super) fn synced(&mut self, member: &str, answer: &groups::SyncGroupResponse) -> String {
        let error = ErrorCode::from(answer.error_code);
        if error != ErrorCode::None {
            return error.to_string();
        }
        let told = embedded::assignment(&answer.assignment);
        let told = told
            .map(|told| told.assigned_partitions)
            .unwrap_or_default();
        let told: Partitions = told
            .into_iter()
            .flat_map(|one| {
                one.partitions
                    .into_iter()
                    .map(move |p| (one.topic.clone(), p))
            })
            .collect();
        let text = format!("has [{}]", shown(&told));
        let known = self.members.entry(member.to_owned()).or_default();
        known.has = told;
        text
    }

    fn heartbeat_group(&mut self, member: &str, words: &[&str]) -> Option<String> {
        let known = self.members.entry(member.to_owned()).or_default().clone();
        let body = groups::HeartbeatRequest {
            group_id: GROUP.to_owned(),
            generation_id: number(words, "epoch", known.epoch),
            member_id: self.id_of(member),
            group_instance_id: known.instance_id,
        };
        match self.ask(4, Body::Heartbeat(body)) {
            Some(Response::Heartbeat(answer)) => {
                Some(ErrorCode::from(answer.error_code).to_string())
            }
            _ => None,
        }
    }

    pub(in crate::group::tests::consumer) fn classic_leave(&mut self, members: &str) {
        let identity = |member: &str| match member.strip_prefix(':') {
            Some(instance_id) => groups::MemberIdentity {
                group_instance_id: Some(instance_id.to_owned()),
                ..groups::MemberIdentity::default()
            },
            None => groups::MemberIdentity {
                member_id: self.id_of(member),
                ..groups::MemberIdentity::default()
            },
        };
        let body = groups::LeaveGroupRequest {
            group_id: GROUP.to_owned(),
            members: members.split(',').map(identity).collect(),
            ..groups::LeaveGroupRequest::default()
        };
        let line = match self.ask(5, Body::LeaveGroup(body)) {
            Some(Response::LeaveGroup(answer)) => {
                let errors = answer.members.iter();
                let errors = errors.map(|one| ErrorCode::from(one.error_code).to_string());
                errors.collect::<Vec<_>>().join(", ")
            }
            other => format!("{other:?}"),
        };
        self.say(&format!("    {line}"));
    }
}
