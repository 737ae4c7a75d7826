//! TxnOffsetCommit: offsets that count once the transaction of their producer is committed.

use ottla_core::acl::Operation;
use ottla_core::group::request::TxnOffsetCommit;
use ottla_core::shard::Transaction;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{ProducerEpoch, ProducerId};
use ottla_protocol::messages::groups::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    OffsetCommitResponse,
};
use ottla_protocol::messages::transactions::{
    TxnOffsetCommitRequest, TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
};

use super::super::verify::{self, Client};
use super::super::{Context, RequestContext};
use super::offset_commit::commit_known;
use super::{ask, named};

/// The first version whose clients know that a coordinator is loading.
const LOAD_IN_PROGRESS_VERSION: i16 = 2;

/// Answers a TxnOffsetCommit.
pub async fn txn_offset_commit(
    context: &Context,
    request: &RequestContext,
    body: TxnOffsetCommitRequest,
) -> TxnOffsetCommitResponse {
    let access = context.access(request);
    let id = &body.transactional_id;
    let permission = access.transactional_id(Operation::Write, id);
    let permission = permission.and_then(|()| access.group(Operation::Read, &body.group_id));
    let permission = permission.and_then(|()| named(&body.group_id));
    let client = Client {
        transactional_id: body.transactional_id.clone(),
        producer_id: ProducerId(body.producer_id),
        producer_epoch: ProducerEpoch(body.producer_epoch),
        api: verify::Api::TxnOffsetCommit,
        version: request.api_version,
    };
    let group_id = body.group_id.clone();
    let commit = async |commit: OffsetCommitRequest| {
        let guard = verify::offsets(context, &client, &group_id).await?;
        let transaction = Transaction {
            producer_id: client.producer_id,
            producer_epoch: client.producer_epoch,
            guard,
        };
        let commit = TxnOffsetCommit {
            commit,
            transaction,
        };
        ask(context, request, &group_id, commit).await
    };
    let offsets = plain(body);
    let answer = commit_known(context, request, (permission, false), offsets, commit).await;
    answered(answer, request.api_version)
}

/// The same offsets, outside of any transaction.
fn plain(body: TxnOffsetCommitRequest) -> OffsetCommitRequest {
    let topics = body.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter();
        OffsetCommitRequestTopic {
            name: topic.name,
            partitions: partitions
                .map(|partition| OffsetCommitRequestPartition {
                    partition_index: partition.partition_index,
                    committed_offset: partition.committed_offset,
                    committed_leader_epoch: partition.committed_leader_epoch,
                    committed_metadata: partition.committed_metadata,
                })
                .collect(),
            ..OffsetCommitRequestTopic::default()
        }
    });
    OffsetCommitRequest {
        group_id: body.group_id,
        generation_id_or_member_epoch: body.generation_id,
        member_id: body.member_id,
        group_instance_id: body.group_instance_id,
        retention_time_ms: -1,
        topics: topics.collect(),
    }
}

fn answered(answer: OffsetCommitResponse, version: i16) -> TxnOffsetCommitResponse {
    let error_code = |code: i16| {
        let api = verify::Api::TxnOffsetCommit;
        match api.unappended(version, ErrorCode::from(code)) {
            ErrorCode::CoordinatorLoadInProgress if version < LOAD_IN_PROGRESS_VERSION => {
                ErrorCode::CoordinatorNotAvailable.code()
            }
            error => error.code(),
        }
    };
    let topics = answer.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter();
        TxnOffsetCommitResponseTopic {
            name: topic.name,
            partitions: partitions
                .map(|partition| TxnOffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: error_code(partition.error_code),
                })
                .collect(),
        }
    });
    TxnOffsetCommitResponse {
        throttle_time_ms: 0,
        topics: topics.collect(),
    }
}
