//! Decisions as text: what is asked, what is answered, what the partitions look like then.

mod acls;
mod brokers;
mod client_quotas;
mod configs;
mod controllers;
mod delegation_tokens;
mod features;
mod hand_over;
mod in_sync;
mod invariants;
mod lost_replicas;
mod metered;
mod reassignments;
mod scram_credentials;
mod topics;

use std::fmt::Write;

use expect_test::Expect;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{BrokerEpoch, NodeId, Uuid};
use ottla_protocol::messages::topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};

use super::request::{
    BrokerHeartbeat, FenceBroker, FormatCluster, HandOver, HandOverItem, RegisterBroker,
};
use super::*;
use crate::config::{self, Scope};
use crate::image::record::FeatureRangeRecord;
use crate::image::{ConfigResource, Endpoint, PartitionRegistration};

/// A controller, and the records that made it what it is.
pub(crate) struct Cluster {
    pub(crate) metadata: Metadata,
    pub(crate) log: Vec<Record>,
    /// What time it is.
    now_ms: i64,
    seed: u64,
    pub(crate) purse: Option<Purse>,
}

impl Cluster {
    /// A formatted cluster of `count` unfenced brokers, 0 and up, without racks.
    pub(crate) fn of(count: i32) -> Self {
        Self::with_statics(count, &[])
    }

    pub(crate) fn with_statics(count: i32, statics: &[(&str, &str)]) -> Self {
        let value = |(name, text): &(&str, &str)| {
            let value = config::recorded(Scope::Broker, name, text);
            ((*name).to_owned(), value)
        };
        let statics = statics.iter().map(value);
        let mut cluster = Self {
            metadata: Metadata::new(statics.collect()),
            log: Vec::new(),
            now_ms: 0,
            seed: 0,
            purse: None,
        };
        let cluster_id = "test".to_owned();
        cluster.ask(Request::FormatCluster(FormatCluster { cluster_id }));
        for node in 0..count {
            cluster.start(node);
        }
        cluster
    }

    pub(crate) fn ask(&mut self, request: Request) -> Response {
        self.seed += 1;
        let moment = Moment {
            now_ms: self.now_ms,
            seed: self.seed,
            purse: self.purse,
        };
        let request = Request::decode(request.encode().unwrap()).expect("a request reads back");
        let decision = self.metadata.decide(moment, &request);
        for record in decision.records {
            let read = Record::decode(record.encode().unwrap()).expect("a record reads back");
            assert_eq!(read, record);
            self.metadata.replay(&record);
            self.log.push(record);
        }
        let read =
            Response::decode(decision.response.encode().unwrap()).expect("a response reads back");
        assert_eq!(read, decision.response);
        decision.response
    }

    pub(crate) fn registration(&self, node: i32) -> RegisterBroker {
        RegisterBroker {
            node_id: NodeId(node),
            cluster_id: "test".to_owned(),
            incarnation_id: Uuid([self.log.len() as u8; 16]),
            storage_id: Uuid([node as u8 + 1; 16]),
            clean_shutdown: true,
            listeners: vec![Endpoint {
                name: "PLAINTEXT".to_owned(),
                host: format!("host-{node}"),
                port: 9092,
                security_protocol: 0,
            }],
            features: super::features::registered()
                .into_iter()
                .map(|(name, min, max)| FeatureRangeRecord {
                    name: name.to_owned(),
                    min,
                    max,
                })
                .collect(),
            ..RegisterBroker::default()
        }
    }

    /// Registers the broker anew and unfences it.
    pub(crate) fn start(&mut self, node: i32) {
        let registration = self.registration(node);
        self.ask(Request::RegisterBroker(registration));
        self.heartbeat(node, false);
    }

    pub(crate) fn heartbeat(&mut self, node: i32, want_shut_down: bool) -> Response {
        let broker_epoch = self.broker_epoch(node);
        self.ask(Request::BrokerHeartbeat(BrokerHeartbeat {
            node_id: NodeId(node),
            broker_epoch,
            ready: true,
            want_shut_down,
            has_heard: false,
        }))
    }

    /// The broker beats, and acts by all that it has lost.
    pub(crate) fn hear(&mut self, node: i32) {
        let broker_epoch = self.broker_epoch(node);
        let mut unaware = self.metadata.unaware.clone();
        unaware.remove(&NodeId(node));
        self.metadata.set_unaware(unaware);
        self.ask(Request::BrokerHeartbeat(BrokerHeartbeat {
            node_id: NodeId(node),
            broker_epoch,
            ready: true,
            want_shut_down: false,
            has_heard: true,
        }));
    }

    /// The broker beats, and has room for records or not.
    pub(crate) fn has_room(&mut self, node: i32, has_room: bool) {
        let mut full = self.metadata.full.clone();
        match has_room {
            true => full.brokers.remove(&NodeId(node)),
            false => full.brokers.insert(NodeId(node)),
        };
        self.metadata.set_full(full);
        self.heartbeat(node, false);
    }

    /// The broker beats without room, and the lease has run out that it had when it was to hand
    /// over.
    pub(crate) fn has_no_lease(&mut self, node: i32) {
        let mut full = self.metadata.full.clone();
        full.without_lease.insert(NodeId(node));
        self.metadata.set_full(full);
        self.heartbeat(node, false);
    }

    pub(crate) fn fence(&mut self, node: i32) {
        let broker_epoch = self.broker_epoch(node);
        let node_id = NodeId(node);
        self.ask(Request::FenceBroker(FenceBroker {
            node_id,
            broker_epoch,
        }));
    }

    /// The leader of all that `node` leads says that the successors have every byte.
    pub(crate) fn hand_over(&mut self, node: i32) -> Response {
        let image = self.metadata.image();
        let node_id = NodeId(node);
        let mut partitions = Vec::new();
        for topic in image.topics.values() {
            let led = topic.indexed().filter(|(_, p)| p.leader == Some(node_id));
            partitions.extend(led.map(|(partition, p)| HandOverItem {
                topic_id: topic.id,
                partition,
                leader_epoch: p.leader_epoch,
            }));
        }
        let broker_epoch = self.broker_epoch(node);
        self.ask(Request::HandOver(HandOver {
            node_id,
            broker_epoch,
            partitions,
        }))
    }

    pub(crate) fn broker_epoch(&self, node: i32) -> BrokerEpoch {
        let broker = self.metadata.image().broker(NodeId(node));
        broker.map_or(BrokerEpoch(-1), |b| b.broker_epoch)
    }

    /// Creates a topic with these replicas for its partitions.
    pub(crate) fn create(&mut self, name: &str, replicas: &[&[i32]], configs: &[(&str, &str)]) {
        use ottla_protocol::messages::topics::CreatableReplicaAssignment;
        let assignment = |(i, ids): (usize, &&[i32])| CreatableReplicaAssignment {
            partition_index: i as i32,
            broker_ids: ids.to_vec(),
        };
        let response = self.ask(Request::CreateTopics(CreateTopicsRequest {
            topics: vec![CreatableTopic {
                assignments: replicas.iter().enumerate().map(assignment).collect(),
                ..topic(name, -1, -1, configs)
            }],
            ..CreateTopicsRequest::default()
        }));
        let Response::CreateTopics(response) = response else {
            panic!("{response:?}")
        };
        assert_eq!(response.topics[0].error_code, 0, "{response:?}");
    }

    pub(crate) fn check(&self, expect: Expect) {
        expect.assert_eq(&self.partitions());
    }

    /// A line for each partition.
    pub(crate) fn partitions(&self) -> String {
        let mut text = String::new();
        for topic in self.metadata.image().topics.values() {
            for (index, p) in topic.indexed() {
                let leader = p.leader.map_or("none".to_owned(), |n| n.to_string());
                let _ = write!(
                    text,
                    "{}-{index} leader {leader} epochs {}/{} replicas {} isr {}",
                    topic.name,
                    p.leader_epoch,
                    p.partition_epoch,
                    list(&p.replicas),
                    list(&p.isr)
                );
                for (name, nodes) in [
                    ("adding", &p.adding_replicas),
                    ("removing", &p.removing_replicas),
                    ("elr", &p.elr),
                    ("last", &p.last_known_elr),
                ] {
                    if !nodes.is_empty() {
                        let _ = write!(text, " {name} {}", list(nodes));
                    }
                }
                if let Some(successor) = p.successor {
                    let _ = write!(text, " successor {successor}");
                }
                text.push('\n');
            }
        }
        text
    }
}

pub(crate) fn list(nodes: &[NodeId]) -> String {
    let numbers: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    numbers.join(",")
}

pub(crate) fn topic(
    name: &str,
    partitions: i32,
    replication_factor: i16,
    configs: &[(&str, &str)],
) -> CreatableTopic {
    let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
        name: (*name).to_owned(),
        value: Some((*value).to_owned()),
    };
    CreatableTopic {
        name: name.to_owned(),
        num_partitions: partitions,
        replication_factor,
        configs: configs.iter().map(config).collect(),
        ..CreatableTopic::default()
    }
}

/// `NAME: message`, or `ok`; a long message is cut.
pub(crate) fn outcome(code: i16, message: Option<&str>) -> String {
    if code == 0 {
        return "ok".to_owned();
    }
    let name = ErrorCode::from(code).name();
    let cut = |m: &str| m.chars().take(44).collect::<String>();
    message.map_or(name.to_owned(), |m| {
        format!("{name}: {}", cut(m).trim_end())
    })
}
