//! What others ask of the group: offsets, and the classic protocol.

use std::fmt::Write as _;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{ProducerEpoch, ProducerId, Uuid};
use ottla_protocol::messages::groups;

use super::{World, number, option};
use crate::group::request::{JoinGroup, OffsetFetch, TxnOffsetCommit};
use crate::group::tests::bodies::{GROUP, protocol};
use crate::group::{Body, Response};
use crate::shard::Transaction;

impl World {
    pub(super) fn classic_join(&mut self, words: &[&str]) {
        let body = groups::JoinGroupRequest {
            group_id: GROUP.to_owned(),
            session_timeout_ms: number(words, "session", 10_000),
            rebalance_timeout_ms: 60_000,
            protocol_type: "consumer".to_owned(),
            protocols: vec![protocol("range")],
            ..groups::JoinGroupRequest::default()
        };
        let join = JoinGroup {
            body,
            fresh: Uuid([8; 16]),
        };
        let line = match self.ask(3, Body::JoinGroup(join)) {
            Some(Response::JoinGroup(answer)) => ErrorCode::from(answer.error_code).to_string(),
            _ => "waits".to_owned(),
        };
        self.say(&format!("    {line}"));
    }

    pub(super) fn commit(&mut self, member: &str, words: &[&str], is_in_transaction: bool) {
        let known = self.members.entry(member.to_owned()).or_default().clone();
        let (place, offset) = words[0].split_once('=').expect("t-0=5");
        let (topic, index) = place.rsplit_once('-').expect("TOPIC-0");
        let partition = groups::OffsetCommitRequestPartition {
            partition_index: index.parse().expect("an index"),
            committed_offset: offset.parse().expect("an offset"),
            committed_leader_epoch: -1,
            committed_metadata: None,
        };
        let topic_id = self.image.topic(topic).map(|topic| topic.id.0);
        let body = groups::OffsetCommitRequest {
            group_id: GROUP.to_owned(),
            generation_id_or_member_epoch: number(words, "epoch", known.epoch),
            member_id: self.id_of(member),
            retention_time_ms: -1,
            topics: vec![groups::OffsetCommitRequestTopic {
                name: topic.to_owned(),
                topic_id: topic_id.unwrap_or_default(),
                partitions: vec![partition],
            }],
            ..groups::OffsetCommitRequest::default()
        };
        let version = option(words, "v").map_or(9, |v| v.parse().expect("a version"));
        let body = match is_in_transaction {
            false => Body::OffsetCommit(body),
            true => Body::TxnOffsetCommit(TxnOffsetCommit {
                commit: body,
                transaction: Transaction {
                    producer_id: ProducerId(1),
                    producer_epoch: ProducerEpoch(0),
                    guard: None,
                },
            }),
        };
        let line = match self.ask(version, body) {
            Some(Response::OffsetCommit(answer) | Response::TxnOffsetCommit(answer)) => {
                ErrorCode::from(answer.topics[0].partitions[0].error_code).to_string()
            }
            other => format!("{other:?}"),
        };
        self.say(&format!("    {member}: {line}"));
    }

    pub(super) fn fetch(&mut self, member: &str, words: &[&str]) {
        let known = self.members.entry(member.to_owned()).or_default().clone();
        let group = groups::OffsetFetchRequestGroup {
            group_id: GROUP.to_owned(),
            member_id: Some(self.id_of(member)),
            member_epoch: number(words, "epoch", known.epoch),
            topics: None,
        };
        let body = OffsetFetch {
            group,
            require_stable: false,
        };
        let line = match self.ask(9, Body::OffsetFetch(body)) {
            Some(Response::OffsetFetch(answer)) => {
                let mut line = ErrorCode::from(answer.error_code).to_string();
                for topic in answer.topics {
                    for one in topic.partitions {
                        let (index, offset) = (one.partition_index, one.committed_offset);
                        write!(line, " {}-{index}={offset}", topic.name).expect("a string");
                    }
                }
                line
            }
            other => format!("{other:?}"),
        };
        self.say(&format!("    {member}: {line}"));
    }
}
