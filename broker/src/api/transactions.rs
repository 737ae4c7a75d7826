//! Transactions: from the wire to their coordinator and back.
//!
//! AddPartitionsToTxn has two kinds of senders. Clients, up to version 3, add partitions to their
//! own transaction; brokers, from version 4 on, verify or add those of many clients at once.

mod list;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use ottla_core::acl::Operation;
use ottla_core::group::OFFSETS_TOPIC;
use ottla_core::image::MetadataImage;
use ottla_core::metadata::names::is_internal;
use ottla_core::transaction::request::{AddPartitions, Answered, EndTxn, VerifyPartitions};
use ottla_core::transaction::{Partitions, Producer};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{PartitionIndex, ProducerId};
use ottla_protocol::messages::transactions::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnPartitionResult,
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, AddPartitionsToTxnResult,
    AddPartitionsToTxnTopic, AddPartitionsToTxnTopicResult, AddPartitionsToTxnTransaction,
    EndTxnRequest, EndTxnResponse,
};

use super::{Context, RequestContext};
use crate::authorizer::Access;

pub use list::{describe_transactions, list_transactions};

/// The first version of AddPartitionsToTxn that brokers send.
const BROKERS_VERSION: i16 = 4;

/// What each partition is told.
type Errors = BTreeMap<(String, i32), ErrorCode>;

/// The answer to one transaction of a request.
type Later = Pin<Box<dyn Future<Output = Errors> + Send>>;

/// Answers an AddPartitionsToTxn.
pub async fn add_partitions(
    context: &Context,
    request: &RequestContext,
    body: AddPartitionsToTxnRequest,
) -> AddPartitionsToTxnResponse {
    if request.api_version < BROKERS_VERSION {
        let transaction = AddPartitionsToTxnTransaction {
            transactional_id: body.v3_and_below_transactional_id,
            producer_id: body.v3_and_below_producer_id,
            producer_epoch: body.v3_and_below_producer_epoch,
            verify_only: false,
            topics: body.v3_and_below_topics,
        };
        let access = context.access(request);
        let errors = add(context, request, &transaction, Some(&access)).await;
        return AddPartitionsToTxnResponse {
            results_by_topic_v3_and_below: results(transaction.topics, &errors),
            ..AddPartitionsToTxnResponse::default()
        };
    }
    if let Err(error) = context.may_act_as_broker(request, Operation::ClusterAction) {
        return AddPartitionsToTxnResponse {
            error_code: error.code(),
            ..AddPartitionsToTxnResponse::default()
        };
    }
    // all are on their way before one is awaited: so they share the coordinators' batches
    let transactions = body.transactions.into_iter();
    let asked = transactions.map(|transaction| {
        let later = add(context, request, &transaction, None);
        (transaction, later)
    });
    let asked: Vec<_> = asked.collect();
    let mut results_by_transaction = Vec::with_capacity(asked.len());
    for (transaction, later) in asked {
        let errors = later.await;
        results_by_transaction.push(AddPartitionsToTxnResult {
            transactional_id: transaction.transactional_id,
            topic_results: results(transaction.topics, &errors),
        });
    }
    AddPartitionsToTxnResponse {
        results_by_transaction,
        ..AddPartitionsToTxnResponse::default()
    }
}

/// Adds or verifies the partitions of one transaction; `access` is the client's, where one asks.
fn add(
    context: &Context,
    request: &RequestContext,
    transaction: &AddPartitionsToTxnTransaction,
    access: Option<&Access>,
) -> Later {
    let transactional_id = &transaction.transactional_id;
    let may_write = |access: &Access| {
        let permission = access.transactional_id(Operation::Write, transactional_id);
        permission.err()
    };
    if let Some(error) = access.and_then(may_write) {
        let errors = all(&transaction.topics, error);
        return Box::pin(std::future::ready(errors));
    }
    if let Some(errors) = unsuitable(&context.controller.image(), &transaction.topics, access) {
        return Box::pin(std::future::ready(errors));
    }
    let topics = transaction.topics.clone();
    let body = AddPartitions {
        transactional_id: transactional_id.clone(),
        producer: Producer::new(transaction.producer_id, transaction.producer_epoch),
        partitions: partitions(&topics),
    };
    let coordinators = context.coordinator.transactions();
    let version = request.api_version;
    if transaction.verify_only {
        let body = VerifyPartitions(body);
        let asked = coordinators.request(transactional_id, version, body);
        return Box::pin(async move { verified(&topics, asked.await) });
    }
    let asked = coordinators.request(transactional_id, version, body);
    Box::pin(async move {
        let error = match asked.await {
            Ok(error) | Err(error) => error,
        };
        all(&topics, error)
    })
}

/// What is told where one partition cannot be added: then none is.
fn unsuitable(
    image: &MetadataImage,
    topics: &[AddPartitionsToTxnTopic],
    access: Option<&Access>,
) -> Option<Errors> {
    let mut errors = all(topics, ErrorCode::OperationNotAttempted);
    let mut is_any = false;
    for ((name, index), error) in &mut errors {
        // brokers add partitions of __consumer_offsets, clients the offsets of a group
        let may_write = access.is_none_or(|access| {
            !is_internal(name) && access.topic(Operation::Write, name).is_ok()
        });
        let known = image.topic(name);
        let is_there = known.is_some_and(|topic| topic.partition(PartitionIndex(*index)).is_some());
        match (may_write, is_there) {
            (false, _) => *error = ErrorCode::TopicAuthorizationFailed,
            (true, false) => *error = ErrorCode::UnknownTopicOrPartition,
            (true, true) => continue,
        }
        is_any = true;
    }
    is_any.then_some(errors)
}

/// The same for every partition.
fn all(topics: &[AddPartitionsToTxnTopic], error: ErrorCode) -> Errors {
    let each = topics.iter().flat_map(|topic| {
        let indexes = topic.partitions.iter();
        indexes.map(move |index| ((topic.name.clone(), *index), error))
    });
    each.collect()
}

fn partitions(topics: &[AddPartitionsToTxnTopic]) -> Partitions {
    let mut partitions = Partitions::new();
    for topic in topics.iter().filter(|topic| !topic.partitions.is_empty()) {
        let known = partitions.entry(topic.name.as_str().into()).or_default();
        known.extend(&topic.partitions);
    }
    partitions
}

fn verified(
    topics: &[AddPartitionsToTxnTopic],
    missing: Result<Result<Partitions, ErrorCode>, ErrorCode>,
) -> Errors {
    let missing = match missing {
        Ok(Ok(missing)) => missing,
        Ok(Err(error)) | Err(error) => return all(topics, error),
    };
    let mut errors = all(topics, ErrorCode::None);
    for ((name, index), error) in &mut errors {
        let missing = missing.get(name.as_str());
        if missing.is_some_and(|missing| missing.contains(index)) {
            *error = ErrorCode::TransactionAbortable;
        }
    }
    errors
}

fn results(
    topics: Vec<AddPartitionsToTxnTopic>,
    errors: &Errors,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let topics = topics.into_iter();
    let results = topics.map(|topic| {
        let indexes = topic.partitions.iter();
        let results_by_partition = indexes.map(|index| {
            let error = errors.get(&(topic.name.clone(), *index)).copied();
            AddPartitionsToTxnPartitionResult {
                partition_index: *index,
                partition_error_code: error.unwrap_or(ErrorCode::UnknownServerError).code(),
            }
        });
        AddPartitionsToTxnTopicResult {
            results_by_partition: results_by_partition.collect(),
            name: topic.name,
        }
    });
    results.collect()
}

/// Answers an AddOffsetsToTxn: the partition that the group's offsets are in becomes part of the
/// transaction.
pub async fn add_offsets(
    context: &Context,
    request: &RequestContext,
    body: AddOffsetsToTxnRequest,
) -> AddOffsetsToTxnResponse {
    let error = match try_add_offsets(context, request, body).await {
        Ok(error) | Err(error) => error,
    };
    AddOffsetsToTxnResponse {
        error_code: error.code(),
        ..AddOffsetsToTxnResponse::default()
    }
}

async fn try_add_offsets(
    context: &Context,
    request: &RequestContext,
    body: AddOffsetsToTxnRequest,
) -> Result<ErrorCode, ErrorCode> {
    let access = context.access(request);
    access.transactional_id(Operation::Write, &body.transactional_id)?;
    access.group(Operation::Read, &body.group_id)?;
    let partition = context
        .coordinator
        .offsets_partition(&body.group_id)
        .await?;
    let add = AddPartitions {
        transactional_id: body.transactional_id.clone(),
        producer: Producer::new(body.producer_id, body.producer_epoch),
        partitions: [(OFFSETS_TOPIC.into(), [partition.0].into())].into(),
    };
    // the versions of this API stay below those by which brokers add partitions
    let version = request.api_version.min(BROKERS_VERSION - 1);
    let coordinators = context.coordinator.transactions();
    coordinators
        .request(&body.transactional_id, version, add)
        .await
}

/// Answers an EndTxn.
pub async fn end_txn(
    context: &Context,
    request: &RequestContext,
    body: EndTxnRequest,
) -> EndTxnResponse {
    match try_end_txn(context, request, body).await {
        Ok(response) => response,
        Err(error) => EndTxnResponse {
            error_code: error.code(),
            producer_id: ProducerId::NONE.0,
            producer_epoch: -1,
            ..EndTxnResponse::default()
        },
    }
}

async fn try_end_txn(
    context: &Context,
    request: &RequestContext,
    body: EndTxnRequest,
) -> Result<EndTxnResponse, ErrorCode> {
    let access = context.access(request);
    access.transactional_id(Operation::Write, &body.transactional_id)?;
    let id = body.transactional_id.clone();
    let coordinators = context.coordinator.transactions();
    let mut fresh = None;
    loop {
        let body = EndTxn {
            body: body.clone(),
            fresh,
        };
        match coordinators.request(&id, request.api_version, body).await? {
            Answered::With(response) => return Ok(response),
            // its epochs are used up
            Answered::NeedsProducerId => fresh = Some(coordinators.producer_id().await?),
        }
    }
}
