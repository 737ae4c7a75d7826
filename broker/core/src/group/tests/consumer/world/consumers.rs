//! Members of the consumer protocol.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{TopicId, Uuid};
use ottla_protocol::messages::consumer_groups as wire;

use super::{Known, Partitions, World, number, option, partitions, shown};
use crate::group::consumer::{Heartbeat, Visible};
use crate::group::tests::bodies::GROUP;
use crate::group::{Body, Response};

/// A long sentence goes on in the next line.
fn wrapped(sentence: &str) -> String {
    let mut text = String::new();
    let mut columns = 0;
    for word in sentence.split(' ') {
        if columns > 0 && columns + word.len() > 60 {
            text.push_str("\n       ");
            columns = 0;
        }
        text.push_str(if text.is_empty() { "" } else { " " });
        text.push_str(word);
        columns += word.len() + 1;
    }
    text
}

impl World {
    pub(super) fn heartbeat(
        &mut self,
        member: &str,
        words: &[&str],
    ) -> (i16, wire::ConsumerGroupHeartbeatRequest) {
        let id = self.id_of(member);
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
                    id: known.id.take(),
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
            member_id: option(rest, "id").map_or(id, str::to_owned),
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
    pub(in crate::group::tests::consumer) fn act(&mut self, member: &str, words: &str) -> String {
        let words: Vec<&str> = words.split_whitespace().collect();
        let (version, body) = self.heartbeat(member, &words);
        self.beat(member, version, body)
    }

    /// A heartbeat, and what the member learns by it.
    pub(super) fn beat(
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
            return format!(
                "{error} {}",
                wrapped(&answer.error_message.unwrap_or_default())
            );
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
}
