//! The rows of records and their offsets.

use ottla_protocol::messages::fetch::*;
use ottla_protocol::messages::offsets::*;
use ottla_protocol::messages::transactions::{
    DescribeProducersRequest, TopicRequest as ProducersTopic,
};

use super::*;

impl Table {
    pub(super) async fn data(&mut self) {
        self.row(9, &[topic(Write)], With(&[NoTopic]), |t| produce(t, None))
            .await;
        let fetch = |t: &str, replica_id| FetchRequest {
            replica_id,
            max_bytes: 1 << 20,
            topics: vec![FetchTopic {
                topic: t.into(),
                partitions: vec![FetchPartition {
                    partition_max_bytes: 1 << 20,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        self.row(12, &[topic(Read)], With(&[NoTopic]), |t| fetch(t, -1))
            .await;
        self.row(12, &[cluster(ClusterAction)], With(&[NoTopic]), |t| {
            fetch(t, 0)
        })
        .await;
        self.row(5, &[topic(Describe)], With(&[NoTopic]), |t| {
            ListOffsetsRequest {
                replica_id: -1,
                topics: vec![ListOffsetsTopic {
                    name: t.into(),
                    partitions: vec![ListOffsetsPartition::default()],
                }],
                ..Default::default()
            }
        })
        .await;
        for need in [topic(Describe), cluster(ClusterAction)] {
            self.row(4, &[need], With(&[NoTopic]), |t| {
                OffsetForLeaderEpochRequest {
                    topics: vec![OffsetForLeaderTopic {
                        topic: t.into(),
                        partitions: vec![OffsetForLeaderPartition::default()],
                    }],
                    ..Default::default()
                }
            })
            .await;
        }
        self.row(2, &[topic(Delete)], With(&[NoTopic]), |t| {
            DeleteRecordsRequest {
                topics: vec![DeleteRecordsTopic {
                    name: t.into(),
                    partitions: vec![DeleteRecordsPartition::default()],
                }],
                timeout_ms: 1000,
            }
        })
        .await;
        self.row(0, &[topic(Read)], With(&[NoTopic]), |t| {
            DescribeProducersRequest {
                topics: vec![ProducersTopic {
                    name: t.into(),
                    partition_indexes: vec![0],
                }],
            }
        })
        .await;
    }
}
