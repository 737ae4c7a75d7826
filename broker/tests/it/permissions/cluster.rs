//! The rows of transactions, of the cluster, of configs and of rights themselves.

use ottla_core::acl::Operation::{AlterConfigs, IdempotentWrite};
use ottla_protocol::messages::cluster::*;
use ottla_protocol::messages::configs::*;
use ottla_protocol::messages::log_dirs::*;
use ottla_protocol::messages::transactions::*;

use super::*;

impl Table {
    pub(super) async fn transactions(&mut self) {
        let needs = [id(Write), topic(Write)];
        self.row(9, &needs, With(&[NoId]), |t| produce(t, Some(ID)))
            .await;
        for need in [cluster(IdempotentWrite), topic(Write)] {
            self.row(4, &[need], With(&[NoCluster]), |_| init_producer(None))
                .await;
        }
        self.row(4, &[id(Write)], With(&[NoId]), |_| init_producer(Some(ID)))
            .await;
        let add = |t: &str| {
            vec![AddPartitionsToTxnTopic {
                name: t.into(),
                partitions: vec![0],
            }]
        };
        let needs = [id(Write), topic(Write)];
        self.row(3, &needs, With(&[NoId]), |t| AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: ID.into(),
            v3_and_below_topics: add(t),
            ..Default::default()
        })
        .await;
        let needs = [cluster(ClusterAction)];
        self.row(4, &needs, With(&[NoCluster]), |t| {
            AddPartitionsToTxnRequest {
                transactions: vec![AddPartitionsToTxnTransaction {
                    transactional_id: ID.into(),
                    topics: add(t),
                    ..Default::default()
                }],
                ..Default::default()
            }
        })
        .await;
        self.ends_of_transactions().await;
    }

    async fn ends_of_transactions(&mut self) {
        let needs = [id(Write), group(Read)];
        self.row(3, &needs, With(&[NoId]), |_| AddOffsetsToTxnRequest {
            transactional_id: ID.into(),
            group_id: GROUP.into(),
            ..Default::default()
        })
        .await;
        let needs = [id(Write), group(Read), topic(Read)];
        self.row(3, &needs, With(&[NoId]), |t| TxnOffsetCommitRequest {
            transactional_id: ID.into(),
            group_id: GROUP.into(),
            topics: vec![TxnOffsetCommitRequestTopic {
                name: t.into(),
                partitions: vec![TxnOffsetCommitRequestPartition::default()],
            }],
            ..Default::default()
        })
        .await;
        self.row(4, &[id(Write)], With(&[NoId]), |_| EndTxnRequest {
            transactional_id: ID.into(),
            ..Default::default()
        })
        .await;
        for need in [cluster(Alter), cluster(ClusterAction)] {
            self.row(1, &[need], With(&[NoCluster]), |t| WriteTxnMarkersRequest {
                markers: vec![WritableTxnMarker {
                    topics: vec![WritableTxnMarkerTopic {
                        name: t.into(),
                        partition_indexes: vec![0],
                    }],
                    ..Default::default()
                }],
            })
            .await;
        }
        self.row(0, &[id(Describe)], With(&[NoId]), |_| {
            DescribeTransactionsRequest {
                transactional_ids: vec![ID.into()],
            }
        })
        .await;
        self.row(1, &[id(Describe)], Without(ID), |_| {
            ListTransactionsRequest {
                duration_filter: -1,
                ..Default::default()
            }
        })
        .await;
    }

    pub(super) async fn cluster(&mut self) {
        let denied = || With(&[NoCluster]);
        let hidden = "cluster_authorized_operations: 256";
        self.row(1, &[cluster(Describe)], Without(hidden), |_| {
            DescribeClusterRequest {
                include_cluster_authorized_operations: true,
                endpoint_type: 1,
                ..Default::default()
            }
        })
        .await;
        self.row(2, &[cluster(Describe)], denied(), |_| {
            DescribeQuorumRequest::default()
        })
        .await;
        self.row(0, &[cluster(Alter)], denied(), |_| {
            UnregisterBrokerRequest { broker_id: 99 }
        })
        .await;
        self.row(1, &[cluster(Alter)], denied(), |_| AddRaftVoterRequest {
            voter_id: 99,
            timeout_ms: 1000,
            ..Default::default()
        })
        .await;
        self.row(0, &[cluster(Alter)], denied(), |_| RemoveRaftVoterRequest {
            voter_id: 99,
            ..Default::default()
        })
        .await;
        self.row(1, &[cluster(Alter)], denied(), |_| UpdateFeaturesRequest {
            validate_only: true,
            timeout_ms: 1000,
            ..Default::default()
        })
        .await;
        self.moves().await;
    }

    async fn moves(&mut self) {
        let denied = || With(&[NoCluster]);
        self.row(2, &[cluster(Alter)], denied(), |t| ElectLeadersRequest {
            topic_partitions: Some(vec![TopicPartitions {
                topic: t.into(),
                partitions: vec![0],
            }]),
            timeout_ms: 1000,
            ..Default::default()
        })
        .await;
        self.row(0, &[cluster(Alter)], denied(), |t| {
            AlterPartitionReassignmentsRequest {
                timeout_ms: 1000,
                topics: vec![ReassignableTopic {
                    name: t.into(),
                    partitions: vec![ReassignablePartition::default()],
                }],
                ..Default::default()
            }
        })
        .await;
        self.row(0, &[cluster(Describe)], denied(), |_| {
            ListPartitionReassignmentsRequest::default()
        })
        .await;
        self.row(2, &[cluster(Alter)], denied(), |t| {
            AlterReplicaLogDirsRequest {
                dirs: vec![AlterReplicaLogDir {
                    path: "/x".into(),
                    topics: vec![AlterReplicaLogDirTopic {
                        name: t.into(),
                        partitions: vec![0],
                    }],
                }],
            }
        })
        .await;
        self.row(4, &[cluster(Describe)], denied(), |_| {
            DescribeLogDirsRequest { topics: None }
        })
        .await;
    }

    pub(super) async fn configs(&mut self) {
        const TOPIC_CONFIGS: (i8, &[ErrorCode]) = (2, &[NoTopic]);
        const BROKER_CONFIGS: (i8, &[ErrorCode]) = (4, &[NoCluster]);
        const GROUP_CONFIGS: (i8, &[ErrorCode]) = (32, &[NoGroup]);
        for (kind, denied) in [TOPIC_CONFIGS, BROKER_CONFIGS, GROUP_CONFIGS] {
            let name = |t: &str| match kind {
                2 => t.to_owned(),
                4 => "0".to_owned(),
                _ => GROUP.to_owned(),
            };
            let need = |operation| match kind {
                2 => topic(operation),
                4 => cluster(operation),
                _ => group(operation),
            };
            self.row(4, &[need(DescribeConfigs)], With(denied), |t| {
                DescribeConfigsRequest {
                    resources: vec![DescribeConfigsResource {
                        resource_type: kind,
                        resource_name: name(t),
                        configuration_keys: Some(Vec::new()),
                    }],
                    ..Default::default()
                }
            })
            .await;
            self.row(2, &[need(AlterConfigs)], With(denied), |t| {
                AlterConfigsRequest {
                    resources: vec![AlterConfigsResource {
                        resource_type: kind,
                        resource_name: name(t),
                        ..Default::default()
                    }],
                    validate_only: true,
                }
            })
            .await;
            self.row(1, &[need(AlterConfigs)], With(denied), |t| {
                IncrementalAlterConfigsRequest {
                    resources: vec![IncrementalAlterConfigsResource {
                        resource_type: kind,
                        resource_name: name(t),
                        ..Default::default()
                    }],
                    validate_only: true,
                }
            })
            .await;
        }
        let needs = [cluster(DescribeConfigs)];
        self.row(1, &needs, With(&[NoCluster]), |_| {
            ListConfigResourcesRequest::default()
        })
        .await;
    }

    pub(super) async fn access(&mut self) {
        let denied = || With(&[NoCluster]);
        self.row(3, &[cluster(Describe)], denied(), |_| DescribeAclsRequest {
            resource_type_filter: 1,
            pattern_type_filter: 1,
            operation: 1,
            permission_type: 1,
            ..Default::default()
        })
        .await;
        self.row(3, &[cluster(Alter)], denied(), |_| CreateAclsRequest {
            creations: vec![AclCreation::default()],
        })
        .await;
        self.row(3, &[cluster(Alter)], denied(), |_| DeleteAclsRequest {
            filters: vec![DeleteAclsFilter::default()],
        })
        .await;
        self.row(1, &[cluster(DescribeConfigs)], denied(), |_| {
            DescribeClientQuotasRequest::default()
        })
        .await;
        self.row(1, &[cluster(AlterConfigs)], denied(), |_| {
            AlterClientQuotasRequest {
                entries: vec![AlterQuotas::default()],
                validate_only: true,
            }
        })
        .await;
        // who has not shown who it is makes no tokens, whatever it may do
        let not_allowed = || With(&[ErrorCode::DelegationTokenRequestNotAllowed]);
        self.row(3, &[], not_allowed(), |_| {
            CreateDelegationTokenRequest::default()
        })
        .await;
        self.row(2, &[], not_allowed(), |_| {
            RenewDelegationTokenRequest::default()
        })
        .await;
        self.row(2, &[], not_allowed(), |_| {
            ExpireDelegationTokenRequest::default()
        })
        .await;
        self.row(3, &[], not_allowed(), |_| {
            DescribeDelegationTokenRequest::default()
        })
        .await;
        self.row(0, &[cluster(Describe)], denied(), |_| {
            DescribeUserScramCredentialsRequest::default()
        })
        .await;
        self.row(0, &[cluster(Alter)], denied(), |_| {
            AlterUserScramCredentialsRequest {
                deletions: vec![ScramCredentialDeletion {
                    name: "nobody".into(),
                    mechanism: 1,
                }],
                ..Default::default()
            }
        })
        .await;
    }
}
