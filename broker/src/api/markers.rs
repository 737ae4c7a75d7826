//! WriteTxnMarkers: the coordinators of transactions say how these ended, to the leaders of their
//! partitions.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use ottla_core::acl::Operation;
use ottla_core::group::OFFSETS_TOPIC;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{PartitionIndex, ProducerEpoch, ProducerId, TopicName};
use ottla_protocol::messages::transactions::{
    WritableTxnMarker, WritableTxnMarkerPartitionResult, WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult, WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};
use ottla_protocol::record::ControlRecord;

use super::{Context, RequestContext};
use crate::coordinator::EndMarker;
use crate::replica::TopicKey;

/// How long the answer waits for the markers to be committed.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(30);

/// What becomes of a marker: it is committed, or why not.
pub type Written = Pin<Box<dyn Future<Output = Result<(), ErrorCode>> + Send>>;

/// Appends the markers, all before anything is awaited; answers once they are committed.
pub async fn handle(
    context: &Context,
    request: &RequestContext,
    body: WriteTxnMarkersRequest,
) -> WriteTxnMarkersResponse {
    let permission = context.may_act_as_broker(request, Operation::Alter);
    let mut written = VecDeque::new();
    for marker in &body.markers {
        let end = end(marker);
        for topic in &marker.topics {
            let indexes = topic.partition_indexes.iter();
            written.extend(indexes.map(|index| match permission {
                Ok(()) => write(context, &topic.name, *index, end),
                Err(error) => refused(error),
            }));
        }
    }
    let deadline = tokio::time::Instant::now() + COMMIT_TIMEOUT;
    let mut markers = Vec::with_capacity(body.markers.len());
    for marker in body.markers {
        let mut topics = Vec::with_capacity(marker.topics.len());
        for topic in marker.topics {
            let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
            for partition_index in topic.partition_indexes {
                let written = written
                    .pop_front()
                    .unwrap_or_else(|| refused(ErrorCode::None));
                let answer = tokio::time::timeout_at(deadline, written).await;
                let answer = answer.unwrap_or(Err(ErrorCode::RequestTimedOut));
                partitions.push(WritableTxnMarkerPartitionResult {
                    partition_index,
                    error_code: answer.err().map_or(0, ErrorCode::code),
                });
            }
            topics.push(WritableTxnMarkerTopicResult {
                name: topic.name,
                partitions,
            });
        }
        markers.push(WritableTxnMarkerResult {
            producer_id: marker.producer_id,
            topics,
        });
    }
    WriteTxnMarkersResponse { markers }
}

fn end(marker: &WritableTxnMarker) -> EndMarker {
    let coordinator_epoch = marker.coordinator_epoch;
    EndMarker {
        producer_id: ProducerId(marker.producer_id),
        producer_epoch: ProducerEpoch(marker.producer_epoch),
        record: match marker.transaction_result {
            true => ControlRecord::Commit { coordinator_epoch },
            false => ControlRecord::Abort { coordinator_epoch },
        },
        transaction_version: marker.transaction_version,
        of: None,
    }
}

fn refused(error: ErrorCode) -> Written {
    Box::pin(async move { Err(error) })
}

/// Appends one marker. Where the partition has a coordinator of groups, that one does.
pub fn write(context: &Context, topic: &str, index: i32, marker: EndMarker) -> Written {
    if topic == OFFSETS_TOPIC {
        let ended = context
            .coordinator
            .end_transaction(PartitionIndex(index), marker);
        return Box::pin(async move {
            ended.await.map_err(|error| match error {
                // the sender looks for the leader, or comes again
                ErrorCode::NotCoordinator
                | ErrorCode::CoordinatorLoadInProgress
                | ErrorCode::CoordinatorNotAvailable => ErrorCode::NotLeaderOrFollower,
                error => error,
            })
        });
    }
    let key = TopicKey::Name(TopicName::from(topic));
    let batch = marker.batch(context.env.unix_ms());
    let appended = context
        .replicas
        .append_marker(&key, index, batch, marker.origin());
    match appended {
        Ok(appended) => Box::pin(async move { appended.await.map(drop) }),
        Err(error) => refused(error),
    }
}
