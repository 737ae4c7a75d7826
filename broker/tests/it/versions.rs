//! Every advertised API, in every version: the answer can be written and read.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use ottla_broker::api::{self, Call, Client};
use ottla_broker::config::Settings;
use ottla_broker::node::{Node, Surroundings};
use ottla_broker::threads;
use ottla_protocol::api::ApiKey;
use ottla_protocol::codec::Request;
use ottla_protocol::frame;
use ottla_protocol::ids::Uuid;
use ottla_protocol::messages::access::*;
use ottla_protocol::messages::api_versions::*;
use ottla_protocol::messages::cluster::*;
use ottla_protocol::messages::configs::*;
use ottla_protocol::messages::consumer_groups::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest,
};
use ottla_protocol::messages::fetch::*;
use ottla_protocol::messages::groups::*;
use ottla_protocol::messages::log_dirs::*;
use ottla_protocol::messages::metadata::*;
use ottla_protocol::messages::offsets::*;
use ottla_protocol::messages::produce::*;
use ottla_protocol::messages::producer_ids::*;
use ottla_protocol::messages::topics::*;
use ottla_protocol::messages::transactions::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, AddPartitionsToTxnTopic,
    AddPartitionsToTxnTransaction, DescribeProducersRequest, DescribeTransactionsRequest,
    EndTxnRequest, ListTransactionsRequest, TxnOffsetCommitRequest, WriteTxnMarkersRequest,
};
use tokio::time::timeout;

use crate::dev_node::one_record;

const TOPIC: &str = "orders";

/// No answer takes longer here: nothing waits for another broker.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

struct Asker {
    client: Client,
    topic_id: Uuid,
    seen: Vec<ApiKey>,
}

/// Whether an answer is owed: not to acks=0.
fn is_answered<R: Request>(frame_bytes: &[u8]) -> bool {
    R::KEY != ApiKey::Produce || frame_bytes.is_empty()
}

impl Asker {
    /// Asks in every version that can say `tailored(version)` or the empty request.
    async fn ask<R: Request + Default>(&mut self, tailored: impl Fn(i16) -> R) {
        self.seen.push(R::KEY);
        for version in R::VERSIONS {
            let mut asked = 0;
            for (what, body) in [("tailored", tailored(version)), ("empty", R::default())] {
                // unregistering broker 0, which the empty request says, ends the test
                if what == "empty" && R::KEY == ApiKey::UnregisterBroker {
                    continue;
                }
                let Ok(segments) = frame::request(version, 7, "test", &body) else {
                    continue; // says what this version cannot
                };
                asked += 1;
                let mut bytes = BytesMut::new();
                segments
                    .iter()
                    .for_each(|segment| bytes.extend_from_slice(segment));
                bytes.advance(4);
                let name = format!("{what} {} of version {version}", R::KEY);
                let call = self
                    .client
                    .call(bytes)
                    .unwrap_or_else(|e| panic!("{name}: {e}"));
                let answer = match call {
                    Call::Done(segments) => Some(segments),
                    Call::Waiting { future, .. } => {
                        // as on a broker's own threads, which no disk may hold up
                        let answer = timeout(ANSWER_TIMEOUT, threads::served(future)).await;
                        let answer = answer.unwrap_or_else(|_| panic!("{name}: no answer"));
                        let answer = answer.unwrap_or_else(|e| panic!("{name}: {e}"));
                        answer.map(|answered| answered.segments)
                    }
                };
                let Some(segments) = answer else {
                    assert!(!is_answered::<R>(b"x"), "{name}: no answer");
                    continue;
                };
                let mut bytes = BytesMut::new();
                segments
                    .iter()
                    .for_each(|segment| bytes.extend_from_slice(segment));
                bytes.advance(4);
                let read = frame::read_response::<R>(bytes, version);
                let (correlation_id, _) = read.unwrap_or_else(|e| panic!("{name}: {e}"));
                assert_eq!(correlation_id, 7, "{name}");
            }
            assert!(asked > 0, "{} of version {version} was not asked", R::KEY);
        }
    }

    async fn ask_data(&mut self) {
        let topic_id = self.topic_id;
        self.ask(|version| ProduceRequest {
            acks: -1,
            timeout_ms: 5000,
            topic_data: vec![TopicProduceData {
                name: if version < 13 {
                    TOPIC.into()
                } else {
                    String::new()
                },
                topic_id: if version < 13 { Uuid::ZERO } else { topic_id },
                partition_data: vec![PartitionProduceData {
                    index: 0,
                    records: Some(one_record().build()),
                }],
            }],
            ..Default::default()
        })
        .await;
        self.ask(|version| FetchRequest {
            max_bytes: 1 << 20,
            topics: vec![FetchTopic {
                topic: if version < 13 {
                    TOPIC.into()
                } else {
                    String::new()
                },
                topic_id: if version < 13 { Uuid::ZERO } else { topic_id },
                partitions: vec![FetchPartition {
                    partition_max_bytes: 1 << 20,
                    ..Default::default()
                }],
            }],
            ..Default::default()
        })
        .await;
        self.ask_offsets().await;
    }

    async fn ask_offsets(&mut self) {
        self.ask(|_| ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: TOPIC.into(),
                partitions: vec![ListOffsetsPartition {
                    timestamp: -1,
                    ..Default::default()
                }],
            }],
            ..Default::default()
        })
        .await;
        self.ask(|_| OffsetForLeaderEpochRequest {
            topics: vec![OffsetForLeaderTopic {
                topic: TOPIC.into(),
                partitions: vec![OffsetForLeaderPartition::default()],
            }],
            ..Default::default()
        })
        .await;
        self.ask(|_| DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: TOPIC.into(),
                partitions: vec![DeleteRecordsPartition {
                    partition_index: 0,
                    offset: 1,
                }],
            }],
            timeout_ms: 1000,
        })
        .await;
        self.ask(|_| DescribeProducersRequest::default()).await;
        self.ask(|_| DescribeLogDirsRequest { topics: None }).await;
        self.ask(|_| AlterReplicaLogDirsRequest::default()).await;
        self.ask(|_| InitProducerIdRequest::default()).await;
    }

    async fn ask_transactions(&mut self) {
        let topics = || AddPartitionsToTxnTopic {
            name: TOPIC.to_owned(),
            partitions: vec![0],
        };
        self.ask(|version| match version {
            0..=3 => AddPartitionsToTxnRequest {
                v3_and_below_transactional_id: "x".to_owned(),
                v3_and_below_topics: vec![topics()],
                ..Default::default()
            },
            _ => AddPartitionsToTxnRequest {
                transactions: vec![AddPartitionsToTxnTransaction {
                    transactional_id: "x".to_owned(),
                    topics: vec![topics()],
                    ..Default::default()
                }],
                ..Default::default()
            },
        })
        .await;
        self.ask(|_| AddOffsetsToTxnRequest {
            transactional_id: "x".to_owned(),
            group_id: "g".to_owned(),
            ..Default::default()
        })
        .await;
        self.ask(|_| EndTxnRequest {
            transactional_id: "x".to_owned(),
            ..Default::default()
        })
        .await;
        self.ask(|_| DescribeTransactionsRequest {
            transactional_ids: vec!["x".to_owned(), String::new()],
        })
        .await;
        self.ask(|version| ListTransactionsRequest {
            transactional_id_pattern: (version >= 2).then(|| "x.*".to_owned()),
            ..Default::default()
        })
        .await;
    }

    async fn ask_groups(&mut self) {
        self.ask(|version| FindCoordinatorRequest {
            key: if version < 4 {
                "g".into()
            } else {
                String::new()
            },
            coordinator_keys: if version < 4 {
                vec![]
            } else {
                vec!["g".into()]
            },
            ..Default::default()
        })
        .await;
        self.ask(|version| JoinGroupRequest {
            group_id: format!("g{version}"),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 10_000,
            protocol_type: "consumer".into(),
            protocols: vec![JoinGroupRequestProtocol {
                name: "range".into(),
                ..Default::default()
            }],
            ..Default::default()
        })
        .await;
        self.ask_members().await;
        self.ask_committed().await;
    }

    async fn ask_members(&mut self) {
        self.ask(|_| SyncGroupRequest {
            group_id: "g".into(),
            ..Default::default()
        })
        .await;
        self.ask(|_| HeartbeatRequest {
            group_id: "g".into(),
            ..Default::default()
        })
        .await;
        self.ask(|_| LeaveGroupRequest {
            group_id: "g".into(),
            ..Default::default()
        })
        .await;
        self.ask(|_| DescribeGroupsRequest {
            groups: vec!["g0".into()],
            ..Default::default()
        })
        .await;
        self.ask(|_| ListGroupsRequest::default()).await;
        self.ask(|_| ConsumerGroupHeartbeatRequest {
            group_id: "c".into(),
            member_id: "m".into(),
            rebalance_timeout_ms: 10_000,
            subscribed_topic_names: Some(vec!["t".into()]),
            topic_partitions: Some(Vec::new()),
            ..Default::default()
        })
        .await;
        self.ask(|_| ConsumerGroupDescribeRequest {
            group_ids: vec!["c".into()],
            ..Default::default()
        })
        .await;
        self.ask(|_| DeleteGroupsRequest {
            groups_names: vec!["g".into()],
        })
        .await;
    }

    async fn ask_committed(&mut self) {
        self.ask(|_| OffsetCommitRequest {
            group_id: "o".into(),
            ..Default::default()
        })
        .await;
        self.ask(|version| OffsetFetchRequest {
            group_id: if version < 8 {
                "o".into()
            } else {
                String::new()
            },
            ..Default::default()
        })
        .await;
        self.ask(|_| OffsetDeleteRequest {
            group_id: "o".into(),
            ..Default::default()
        })
        .await;
        self.ask(|_| TxnOffsetCommitRequest {
            group_id: "o".into(),
            ..Default::default()
        })
        .await;
        self.ask(|_| WriteTxnMarkersRequest::default()).await;
    }

    async fn ask_admin(&mut self) {
        self.ask(|_| ApiVersionsRequest::default()).await;
        self.ask(|_| MetadataRequest::default()).await;
        self.ask(|_| DescribeTopicPartitionsRequest {
            topics: vec![TopicRequest { name: TOPIC.into() }],
            response_partition_limit: 10,
            cursor: None,
        })
        .await;
        self.ask(|_| CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: TOPIC.into(),
                num_partitions: 1,
                replication_factor: 1,
                ..Default::default()
            }],
            timeout_ms: 1000,
            ..Default::default()
        })
        .await;
        self.ask(|version| DeleteTopicsRequest {
            topic_names: if version < 6 {
                vec!["none".into()]
            } else {
                vec![]
            },
            ..Default::default()
        })
        .await;
        self.ask(|_| CreatePartitionsRequest::default()).await;
        for resource_type in [2, 4] {
            let name = if resource_type == 2 { TOPIC } else { "0" };
            self.ask(|_| DescribeConfigsRequest {
                resources: vec![DescribeConfigsResource {
                    resource_type,
                    resource_name: name.into(),
                    configuration_keys: None,
                }],
                ..Default::default()
            })
            .await;
        }
        self.ask(|_| AlterConfigsRequest::default()).await;
        self.ask(|_| IncrementalAlterConfigsRequest::default())
            .await;
        self.ask(|_| ListConfigResourcesRequest::default()).await;
        self.ask(|_| ElectLeadersRequest::default()).await;
        self.ask(|_| AlterPartitionReassignmentsRequest::default())
            .await;
        self.ask(|_| ListPartitionReassignmentsRequest::default())
            .await;
        self.ask(|_| DescribeQuorumRequest::default()).await;
        self.ask(|_| AddRaftVoterRequest {
            voter_id: 99,
            timeout_ms: 1000,
            ..Default::default()
        })
        .await;
        self.ask(|_| RemoveRaftVoterRequest {
            voter_id: 99,
            ..Default::default()
        })
        .await;
        self.ask(|_| UpdateFeaturesRequest::default()).await;
        self.ask(|_| DescribeClusterRequest::default()).await;
        self.ask(|_| UnregisterBrokerRequest { broker_id: 99 })
            .await;
    }

    async fn ask_access(&mut self) {
        // without a login by SASL: they say that there is none here
        self.ask(|_| SaslHandshakeRequest::default()).await;
        self.ask(|_| SaslAuthenticateRequest::default()).await;
        self.ask(|_| DescribeAclsRequest::default()).await;
        self.ask(|_| CreateAclsRequest::default()).await;
        self.ask(|_| DeleteAclsRequest::default()).await;
        self.ask(|_| DescribeClientQuotasRequest::default()).await;
        self.ask(|_| AlterClientQuotasRequest {
            entries: vec![AlterQuotas::default()],
            validate_only: false,
        })
        .await;
        self.ask(|_| AlterUserScramCredentialsRequest {
            deletions: vec![ScramCredentialDeletion::default()],
            upsertions: Vec::new(),
        })
        .await;
        // who has not logged in makes no tokens
        self.ask(|_| CreateDelegationTokenRequest::default()).await;
        self.ask(|_| RenewDelegationTokenRequest::default()).await;
        self.ask(|_| ExpireDelegationTokenRequest::default()).await;
        self.ask(|_| DescribeDelegationTokenRequest::default())
            .await;
        self.ask(|_| DescribeUserScramCredentialsRequest::default())
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_api_answers_in_every_version() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::dev(dir.path(), 0).unwrap();
    settings.group_initial_rebalance_delay = Duration::ZERO;
    let node = Node::start(settings, Surroundings::real()).await.unwrap();
    node.ready().await;
    let context = Arc::clone(node.context());
    let client = Client::new(
        Arc::clone(&context),
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        "PLAINTEXT".into(),
        1,
    );
    let mut asker = Asker {
        client,
        topic_id: Uuid::ZERO,
        seen: Vec::new(),
    };
    asker.ask_admin().await;
    asker.ask_access().await;
    asker.topic_id = context.controller.image().topic(TOPIC).unwrap().id.0;
    asker.ask_data().await;
    asker.ask_groups().await;
    asker.ask_transactions().await;
    for row in api::table() {
        assert!(
            asker.seen.contains(&row.key),
            "{} is advertised: ask it here",
            row.key
        );
    }
    node.stop().await;
}
