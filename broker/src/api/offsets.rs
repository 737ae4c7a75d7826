//! ListOffsets, OffsetForLeaderEpoch, DeleteRecords, DescribeProducers.

use std::collections::BTreeSet;
use std::time::Duration;

use ottla_core::acl::Operation;
use ottla_core::partition::LatestOffset;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, TopicName};
use ottla_protocol::messages::offsets::{
    DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult, EpochEndOffset, ListOffsetsPartitionResponse, ListOffsetsRequest,
    ListOffsetsResponse, ListOffsetsTopicResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};
use ottla_protocol::messages::transactions::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState,
    TopicResponse,
};

use super::{Context, RequestContext};
use crate::replica::{EpochQuery, FoundOffset, OffsetQuery, TopicKey};

/// The version of ListOffsets since which an answer carries a leader epoch (KIP-320).
const LEADER_EPOCH_SINCE: i16 = 4;

/// Kafka's number of the isolation level `read_committed`.
const READ_COMMITTED: i8 = 1;

fn epoch(number: i32) -> Option<LeaderEpoch> {
    (number >= 0).then_some(LeaderEpoch(number))
}

fn named(topic: &str) -> TopicKey {
    TopicKey::Name(TopicName::from(topic))
}

/// ListOffsets.
pub async fn list_offsets(
    context: &Context,
    request: &RequestContext,
    body: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let kind = match (body.replica_id, body.isolation_level) {
        (0.., _) => LatestOffset::Replica,
        (_, READ_COMMITTED) => LatestOffset::ReadCommitted,
        _ => LatestOffset::ReadUncommitted,
    };
    let access = context.access(request);
    let mut topics = Vec::with_capacity(body.topics.len());
    for topic in body.topics {
        let key = named(&topic.name);
        let permission = access.topic(Operation::Describe, &topic.name);
        let mut asked = BTreeSet::new();
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            let index = partition.partition_index;
            let query = OffsetQuery {
                timestamp: partition.timestamp,
                current_leader_epoch: epoch(partition.current_leader_epoch),
                kind,
            };
            let found = if let Err(error) = permission {
                Err(error)
            } else if asked.insert(index) {
                context.replicas.list_offset(&key, index, &query).await
            } else {
                Err(ErrorCode::InvalidRequest)
            };
            partitions.push(listed(request.api_version, index, found));
        }
        topics.push(ListOffsetsTopicResponse {
            name: topic.name,
            partitions,
        });
    }
    ListOffsetsResponse {
        topics,
        ..ListOffsetsResponse::default()
    }
}

fn listed(
    version: i16,
    partition_index: i32,
    found: Result<FoundOffset, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    let response = ListOffsetsPartitionResponse {
        partition_index,
        ..ListOffsetsPartitionResponse::default()
    };
    match found {
        Ok(found) => ListOffsetsPartitionResponse {
            timestamp: found.timestamp,
            offset: found.offset.0,
            leader_epoch: if version >= LEADER_EPOCH_SINCE {
                found.leader_epoch.0
            } else {
                LeaderEpoch::NONE.0
            },
            ..response
        },
        Err(error) => ListOffsetsPartitionResponse {
            error_code: error.code(),
            ..response
        },
    }
}

/// OffsetForLeaderEpoch.
pub async fn offset_for_leader_epoch(
    context: &Context,
    request: &RequestContext,
    body: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let access = context.access(request);
    let permission = |topic: &str| match access.may_with_cluster(Operation::ClusterAction) {
        true => Ok(()),
        false => access.topic(Operation::Describe, topic),
    };
    let topics = body.topics.into_iter().map(|topic| {
        let key = named(&topic.topic);
        let partitions = topic.partitions.iter().map(|asked| {
            let query = EpochQuery {
                leader_epoch: LeaderEpoch(asked.leader_epoch),
                current_leader_epoch: epoch(asked.current_leader_epoch),
                is_replica: body.replica_id >= 0,
            };
            let found = permission(&topic.topic).and_then(|()| {
                let replicas = &context.replicas;
                replicas.offset_for_leader_epoch(&key, asked.partition, query)
            });
            let mut answer = EpochEndOffset {
                partition: asked.partition,
                ..EpochEndOffset::default()
            };
            match found {
                Ok(Some((leader_epoch, end_offset))) => {
                    answer.leader_epoch = leader_epoch.0;
                    answer.end_offset = end_offset.0;
                }
                Ok(None) => {} // undefined: -1 and -1
                Err(error) => answer.error_code = error.code(),
            }
            answer
        });
        OffsetForLeaderTopicResult {
            partitions: partitions.collect(),
            topic: topic.topic,
        }
    });
    OffsetForLeaderEpochResponse {
        topics: topics.collect(),
        ..OffsetForLeaderEpochResponse::default()
    }
}

/// DeleteRecords.
pub async fn delete_records(
    context: &Context,
    request: &RequestContext,
    body: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let access = context.access(request);
    let timeout = Duration::from_millis(u64::try_from(body.timeout_ms).unwrap_or(0));
    let mut items = Vec::new();
    let mut topics = Vec::with_capacity(body.topics.len());
    for topic in body.topics {
        let key = named(&topic.name);
        let permission = access.topic(Operation::Delete, &topic.name);
        let partitions = topic.partitions.iter().map(|partition| {
            if permission.is_ok() {
                items.push((key.clone(), partition.partition_index, partition.offset));
            }
            DeleteRecordsPartitionResult {
                low_watermark: -1,
                partition_index: partition.partition_index,
                error_code: permission.err().map_or(0, ErrorCode::code),
            }
        });
        topics.push(DeleteRecordsTopicResult {
            partitions: partitions.collect(),
            name: topic.name,
        });
    }
    let outcomes = context.replicas.delete_records(&items, timeout).await;
    let results = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    let tried = results.filter(|result| result.error_code == 0);
    for (result, outcome) in tried.zip(outcomes) {
        match outcome {
            Ok(low_watermark) => result.low_watermark = low_watermark.0,
            Err(error) => result.error_code = error.code(),
        }
    }
    DeleteRecordsResponse {
        topics,
        ..DeleteRecordsResponse::default()
    }
}

/// DescribeProducers.
pub async fn describe_producers(
    context: &Context,
    request: &RequestContext,
    body: DescribeProducersRequest,
) -> DescribeProducersResponse {
    let access = context.access(request);
    let topics = body.topics.into_iter().map(|topic| {
        let key = named(&topic.name);
        let partitions = topic.partition_indexes.iter().map(|index| {
            let mut answer = PartitionResponse {
                partition_index: *index,
                ..Default::default()
            };
            let permission = access.topic(Operation::Read, &topic.name);
            match permission.and_then(|()| context.replicas.describe_producers(&key, *index)) {
                Ok(producers) => {
                    let producers = producers.into_iter().map(|(id, producer)| ProducerState {
                        producer_id: id.0,
                        producer_epoch: i32::from(producer.producer_epoch.0),
                        last_sequence: producer.batches.back().map_or(-1, |b| b.last_sequence.0),
                        last_timestamp: producer.last_timestamp,
                        coordinator_epoch: producer.coordinator_epoch,
                        current_txn_start_offset: producer.transaction_start.map_or(-1, |o| o.0),
                    });
                    answer.active_producers = producers.collect();
                }
                Err(error) => answer.error_code = error.code(),
            }
            answer
        });
        TopicResponse {
            partitions: partitions.collect(),
            name: topic.name,
        }
    });
    DescribeProducersResponse {
        topics: topics.collect(),
        ..DescribeProducersResponse::default()
    }
}
