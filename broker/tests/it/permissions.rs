//! What each API needs, by Kafka's own table: denied without it, in Kafka's words for it, and let
//! through with it. Every API that is served has its row.

mod cluster;
mod data;

use std::collections::BTreeSet;

use ottla_broker::api;
use ottla_broker::node::Surroundings;
use ottla_core::acl::{Operation, ResourceType};
use ottla_protocol::api::ApiKey;
use ottla_protocol::codec::Request;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{ProducerEpoch, ProducerId, Sequence};
use ottla_protocol::messages::access::*;
use ottla_protocol::messages::consumer_groups::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest,
};
use ottla_protocol::messages::groups::*;
use ottla_protocol::messages::metadata::*;
use ottla_protocol::messages::produce::*;
use ottla_protocol::messages::producer_ids::InitProducerIdRequest;
use ottla_protocol::messages::topics::*;

use crate::dev_node::{DevNode, one_record};

const TOPIC: &str = "orders";
const GROUP: &str = "readers";
const ID: &str = "payer";

/// A right: an operation on `orders`, `readers`, `payer` or the cluster.
type Need = (ResourceType, Operation);

const fn topic(operation: Operation) -> Need {
    (ResourceType::Topic, operation)
}

const fn group(operation: Operation) -> Need {
    (ResourceType::Group, operation)
}

const fn id(operation: Operation) -> Need {
    (ResourceType::TransactionalId, operation)
}

const fn cluster(operation: Operation) -> Need {
    (ResourceType::Cluster, operation)
}

/// How somebody without rights is answered.
enum Denied {
    /// With these errors and no others; about a topic that is not there as about one that is.
    With(&'static [ErrorCode]),
    /// With an answer that does not have this in it.
    Without(&'static str),
}

use Denied::{With, Without};
use ErrorCode::{
    ClusterAuthorizationFailed as NoCluster, GroupAuthorizationFailed as NoGroup,
    TopicAuthorizationFailed as NoTopic, TransactionalIdAuthorizationFailed as NoId,
};
use Operation::{Alter, ClusterAction, Create, Delete, Describe, DescribeConfigs, Read, Write};

struct Table {
    node: DevNode,
    seen: Vec<ApiKey>,
}

impl Table {
    async fn start() -> Self {
        let mut node = DevNode::start_with(Surroundings::real(), |settings| {
            settings.authorizer = true;
            settings.super_users = BTreeSet::from(["User:root".to_owned()]);
        })
        .await;
        node.be("root");
        let create = CreateTopicsRequest {
            topics: vec![new_topic(TOPIC)],
            timeout_ms: 5000,
            ..Default::default()
        };
        let created = node.ask(7, &create).await;
        assert_eq!(created.topics[0].error_code, 0);
        let commit = offset_commit(TOPIC);
        let init = init_producer(Some(ID));
        for _ in 0..200 {
            for (key_type, key) in [(0, GROUP), (1, ID)] {
                let find = FindCoordinatorRequest {
                    key: key.into(),
                    key_type,
                    ..Default::default()
                };
                node.ask(3, &find).await;
            }
            let has_begun = node.ask(4, &init).await.error_code == 0;
            let committed = node.ask(8, &commit).await;
            if has_begun && committed.topics[0].partitions[0].error_code == 0 {
                let seen = Vec::new();
                return Self { node, seen };
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("no offset can be committed");
    }

    /// One row: what the request of that version needs, and how it is refused.
    async fn row<R: Request>(
        &mut self,
        version: i16,
        needs: &[Need],
        denied: Denied,
        body: impl Fn(&str) -> R,
    ) where
        R::Response: std::fmt::Debug,
    {
        self.seen.push(R::KEY);
        let name = R::KEY.name();
        self.grant(&[]).await;
        let answer = format!("{:?}", self.node.ask(version, &body(TOPIC)).await);
        match denied {
            With(wanted) => {
                let wanted: BTreeSet<i16> = wanted.iter().map(|error| error.code()).collect();
                assert_eq!(errors(&answer), wanted, "{name} denied: {answer}");
                let missing = format!("{:?}", self.node.ask(version, &body("missing")).await);
                assert_eq!(
                    errors(&missing),
                    wanted,
                    "{name} of what is not there: {missing}"
                );
            }
            Without(hidden) => assert!(!answer.contains(hidden), "{name} shows {answer}"),
        }
        for left_out in 0..needs.len().saturating_sub(1) {
            let mut others = needs.to_vec();
            others.remove(left_out);
            self.grant(&others).await;
            let answer = format!("{:?}", self.node.ask(version, &body(TOPIC)).await);
            let is_denied = match denied {
                With(_) => has_denials(&answer),
                Without(hidden) => !answer.contains(hidden),
            };
            assert!(is_denied, "{name} needs no {:?}: {answer}", needs[left_out]);
        }
        self.grant(needs).await;
        let answer = format!("{:?}", self.node.ask(version, &body(TOPIC)).await);
        assert!(!has_denials(&answer), "{name} with {needs:?}: {answer}");
        if let Without(hidden) = denied {
            assert!(answer.contains(hidden), "{name} with {needs:?}: {answer}");
        }
    }

    /// Alice has these rights and no others.
    async fn grant(&mut self, needs: &[Need]) {
        self.node.be("root");
        let all = DeleteAclsRequest {
            filters: vec![DeleteAclsFilter {
                resource_type_filter: 1,
                pattern_type_filter: 1,
                resource_name_filter: None,
                principal_filter: None,
                host_filter: None,
                operation: 1,
                permission_type: 1,
            }],
        };
        let gone = self.node.ask(3, &all).await;
        assert_eq!(gone.filter_results[0].error_code, 0);
        let creations = needs.iter().map(|(resource_type, operation)| AclCreation {
            resource_type: resource_type.to_wire(),
            resource_name: match resource_type {
                ResourceType::Topic => TOPIC,
                ResourceType::Group => GROUP,
                ResourceType::Cluster => "kafka-cluster",
                _ => ID,
            }
            .to_owned(),
            resource_pattern_type: 3,
            principal: "User:alice".to_owned(),
            host: "*".to_owned(),
            operation: operation.to_wire(),
            permission_type: 3,
        });
        let creations: Vec<_> = creations.collect();
        let created = self.node.ask(3, &CreateAclsRequest { creations }).await;
        assert!(created.results.iter().all(|result| result.error_code == 0));
        self.node.be("alice");
    }
}

/// All errors that an answer has in it.
fn errors(answer: &str) -> BTreeSet<i16> {
    let after = answer.split("error_code: ").skip(1);
    let codes = after.map(|rest| {
        let end = rest.find([',', ' ', '}']).unwrap_or(rest.len());
        rest[..end].parse::<i16>().unwrap()
    });
    codes.filter(|code| *code != 0).collect()
}

fn has_denials(answer: &str) -> bool {
    let denials = [NoTopic, NoGroup, NoId, NoCluster];
    denials
        .iter()
        .any(|denial| errors(answer).contains(&denial.code()))
}

fn new_topic(name: &str) -> CreatableTopic {
    CreatableTopic {
        name: name.into(),
        num_partitions: 1,
        replication_factor: 1,
        ..Default::default()
    }
}

fn offset_commit(topic: &str) -> OffsetCommitRequest {
    OffsetCommitRequest {
        group_id: GROUP.into(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: topic.into(),
            partitions: vec![OffsetCommitRequestPartition::default()],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn init_producer(transactional_id: Option<&str>) -> InitProducerIdRequest {
    InitProducerIdRequest {
        transactional_id: transactional_id.map(str::to_owned),
        transaction_timeout_ms: 10_000,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    }
}

fn produce(topic: &str, transactional_id: Option<&str>) -> ProduceRequest {
    let mut builder = one_record();
    if transactional_id.is_some() {
        let (id, epoch) = (ProducerId(5), ProducerEpoch(0));
        builder = builder.producer(id, epoch, Sequence(0)).transactional();
    }
    ProduceRequest {
        transactional_id: transactional_id.map(str::to_owned),
        acks: -1,
        timeout_ms: 5000,
        topic_data: vec![TopicProduceData {
            name: topic.into(),
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(builder.build()),
            }],
            ..Default::default()
        }],
    }
}

impl Table {
    async fn topics(&mut self) {
        let named = |t: &str| MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                name: Some(t.into()),
                ..Default::default()
            }]),
            ..Default::default()
        };
        self.row(9, &[topic(Describe)], With(&[NoTopic]), named)
            .await;
        let all = |_: &str| MetadataRequest {
            topics: None,
            ..Default::default()
        };
        self.row(9, &[topic(Describe)], Without(TOPIC), all).await;
        self.row(0, &[topic(Describe)], With(&[NoTopic]), |t| {
            DescribeTopicPartitionsRequest {
                topics: vec![TopicRequest { name: t.into() }],
                response_partition_limit: 10,
                cursor: None,
            }
        })
        .await;
        self.row(0, &[topic(Describe)], Without(TOPIC), |_| {
            DescribeTopicPartitionsRequest {
                response_partition_limit: 10,
                ..Default::default()
            }
        })
        .await;
        for need in [topic(Create), cluster(Create)] {
            self.row(7, &[topic(DescribeConfigs), need], With(&[NoTopic]), |t| {
                CreateTopicsRequest {
                    topics: vec![new_topic(t)],
                    timeout_ms: 1000,
                    validate_only: true,
                }
            })
            .await;
        }
        self.row(3, &[topic(Alter)], With(&[NoTopic]), |t| {
            CreatePartitionsRequest {
                topics: vec![CreatePartitionsTopic {
                    name: t.into(),
                    count: 2,
                    assignments: None,
                }],
                timeout_ms: 1000,
                validate_only: true,
            }
        })
        .await;
        self.row(5, &[topic(Delete)], With(&[NoTopic]), |t| {
            DeleteTopicsRequest {
                topic_names: vec![t.into()],
                timeout_ms: 1000,
                ..Default::default()
            }
        })
        .await;
    }

    async fn groups(&mut self) {
        let denied = || With(&[NoGroup]);
        self.row(3, &[group(Describe)], denied(), |_| {
            FindCoordinatorRequest {
                key: GROUP.into(),
                ..Default::default()
            }
        })
        .await;
        self.row(4, &[id(Describe)], With(&[NoId]), |_| {
            FindCoordinatorRequest {
                key_type: 1,
                coordinator_keys: vec![ID.into()],
                ..Default::default()
            }
        })
        .await;
        self.row(9, &[group(Read)], denied(), |_| JoinGroupRequest {
            group_id: GROUP.into(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 10_000,
            protocol_type: "consumer".into(),
            protocols: vec![JoinGroupRequestProtocol::default()],
            ..Default::default()
        })
        .await;
        self.row(5, &[group(Read)], denied(), |_| SyncGroupRequest {
            group_id: GROUP.into(),
            ..Default::default()
        })
        .await;
        self.row(4, &[group(Read)], denied(), |_| HeartbeatRequest {
            group_id: GROUP.into(),
            ..Default::default()
        })
        .await;
        self.row(5, &[group(Read)], denied(), |_| LeaveGroupRequest {
            group_id: GROUP.into(),
            ..Default::default()
        })
        .await;
        self.row(6, &[group(Describe)], denied(), |_| DescribeGroupsRequest {
            groups: vec![GROUP.into()],
            ..Default::default()
        })
        .await;
        let needs = [group(Read), topic(Describe)];
        self.row(1, &needs, denied(), |t| ConsumerGroupHeartbeatRequest {
            group_id: GROUP.into(),
            member_id: "m".into(),
            rebalance_timeout_ms: 10_000,
            subscribed_topic_names: Some(vec![t.into()]),
            topic_partitions: Some(Vec::new()),
            ..Default::default()
        })
        .await;
        // whose members read the topic by now
        let needs = [group(Describe), topic(Describe)];
        self.row(1, &needs, denied(), |_| ConsumerGroupDescribeRequest {
            group_ids: vec![GROUP.into()],
            ..Default::default()
        })
        .await;
        for need in [group(Describe), cluster(Describe)] {
            self.row(5, &[need], Without(GROUP), |_| ListGroupsRequest::default())
                .await;
        }
        self.offsets().await;
    }

    async fn offsets(&mut self) {
        let denied = || With(&[NoGroup]);
        self.row(8, &[group(Read), topic(Read)], denied(), offset_commit)
            .await;
        let fetch = |t: &str| OffsetFetchRequest {
            group_id: GROUP.into(),
            topics: Some(vec![OffsetFetchRequestTopic {
                name: t.into(),
                partition_indexes: vec![0],
            }]),
            ..Default::default()
        };
        self.row(7, &[group(Describe), topic(Describe)], denied(), fetch)
            .await;
        let all = |_: &str| OffsetFetchRequest {
            group_id: GROUP.into(),
            topics: None,
            ..Default::default()
        };
        let needs = [group(Describe), topic(Describe)];
        self.row(7, &needs, Without(TOPIC), all).await;
        let delete = |t: &str| OffsetDeleteRequest {
            group_id: GROUP.into(),
            topics: vec![OffsetDeleteRequestTopic {
                name: t.into(),
                partitions: vec![OffsetDeleteRequestPartition::default()],
            }],
        };
        self.row(0, &[group(Delete), topic(Read)], denied(), delete)
            .await;
        self.row(2, &[group(Delete)], denied(), |_| DeleteGroupsRequest {
            groups_names: vec![GROUP.into()],
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_api_is_denied_without_its_rights_and_served_with_them() {
    let mut table = Table::start().await;
    table.data().await;
    table.transactions().await;
    table.cluster().await;
    table.configs().await;
    table.access().await;
    table.groups().await;
    table.topics().await;
    // before and without a login
    let free = [
        ApiKey::ApiVersions,
        ApiKey::SaslHandshake,
        ApiKey::SaslAuthenticate,
    ];
    for row in api::table().filter(|row| !free.contains(&row.key)) {
        assert!(
            table.seen.contains(&row.key),
            "{} is served: give it a row here, by Kafka's table",
            row.key
        );
    }
    table.node.node.stop().await;
}
