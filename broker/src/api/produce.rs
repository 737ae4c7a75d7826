//! Produce.

use std::collections::BTreeSet;
use std::time::Duration;

use ottla_core::acl::Operation;
use ottla_core::metadata::names::is_internal;
use ottla_core::partition::{Acks, Membership};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{LeaderEpoch, NodeId, TopicId, TopicName};
use ottla_protocol::messages::produce::{
    BatchIndexAndErrorMessage, NodeEndpoint, PartitionProduceData, PartitionProduceResponse,
    ProduceRequest, ProduceResponse, TopicProduceData, TopicProduceResponse,
};
use ottla_protocol::record_batch::Header;
use tokio::time::Instant;

use super::leader::{endpoints, topic_key};
use super::{Context, RequestContext, verify};
use crate::authorizer::{self, Access};
use crate::replica::{ProduceItem, Produced, Refused, TopicKey};

/// The first version that can say who leads instead (KIP-951).
const LEADER_VERSION_MIN: i16 = 10;

/// Appends what the request brings, once coordinators have consented to what begins a transaction;
/// answers once it is acknowledged.
pub async fn handle(
    context: &Context,
    request: &RequestContext,
    body: ProduceRequest,
) -> ProduceResponse {
    let refusal = refusal(context, request, &body);
    let acks = match body.acks {
        0 => Acks::None,
        1 => Acks::Leader,
        _ => Acks::All,
    };
    let timeout = Duration::from_millis(u64::try_from(body.timeout_ms).unwrap_or(0));
    let access = match refusal {
        // it is said of all topics, also of those that the client may not write to
        Some(ErrorCode::TransactionalIdAuthorizationFailed) => Access::unlimited(),
        _ => context.access(request),
    };
    let (shape, mut items, asked) = split(context, request, &access, body.topic_data);
    let mut outcomes: Vec<Result<Produced, Refused>> = match refusal {
        Some(error) => items.iter().map(|_| Err(Refused::from(error))).collect(),
        None => {
            let id = body.transactional_id.as_deref();
            let deadline = Instant::now() + timeout;
            verify::produce(context, id, request.api_version, timeout, &mut items).await;
            let produces = context.replicas.produce(items, acks, request.api_version);
            if let Some(begun) = &request.begun {
                begun.done();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            produces.acknowledged(left).await
        }
    };
    settle(context, &asked, request.api_version, &mut outcomes);
    if request.api_version < LEADER_VERSION_MIN {
        outcomes.iter_mut().for_each(|outcome| match outcome {
            Ok(produced) => produced.leader = None,
            Err(refused) => refused.leader = None,
        });
    }
    let mut leaders = BTreeSet::new();
    for outcome in &outcomes {
        leaders.extend(leader_elsewhere(outcome).map(|(node, _)| node));
    }
    let endpoint = |node_id, host, port, rack| NodeEndpoint {
        node_id,
        host,
        port,
        rack,
    };
    let node_endpoints = endpoints(context, request, leaders, endpoint);
    ProduceResponse {
        responses: join(shape, outcomes),
        node_endpoints,
        ..ProduceResponse::default()
    }
}

/// What is remembered of an item until it is answered.
struct Asked {
    bytes: usize,
    /// The topic is there, and only coordinators may write to it.
    is_internal: bool,
}

/// Refuses what was for internal topics, and counts what was appended. Errors are those that the
/// version knows.
fn settle(
    context: &Context,
    asked: &[Asked],
    version: i16,
    outcomes: &mut [Result<Produced, Refused>],
) {
    let mut appended = 0;
    for (asked, outcome) in asked.iter().zip(outcomes) {
        if asked.is_internal {
            *outcome = Err(Refused {
                message: Some("clients may not write to an internal topic".to_owned()),
                ..Refused::from(ErrorCode::InvalidTopicException)
            });
        } else {
            match outcome {
                Ok(_) => appended += asked.bytes as u64,
                Err(refused) => {
                    refused.error = verify::Api::Produce.unappended(version, refused.error);
                }
            }
        }
    }
    context.metrics.produced_bytes.inc_by(appended);
}

/// What is wrong with the request as a whole.
fn refusal(
    context: &Context,
    request: &RequestContext,
    body: &ProduceRequest,
) -> Option<ErrorCode> {
    if !(-1..=1).contains(&body.acks) {
        return Some(ErrorCode::InvalidRequiredAcks);
    }
    let is_transactional = |data: &PartitionProduceData| {
        let header = data.records.as_ref().map(|records| Header::read(records));
        header.is_some_and(|header| header.is_ok_and(|header| header.is_transactional()))
    };
    let mut data = body.topic_data.iter().flat_map(|t| &t.partition_data);
    if !data.any(is_transactional) {
        return None;
    }
    let access = context.access(request);
    let may = |id: &String| access.transactional_id(Operation::Write, id).is_ok();
    let is_permitted = body.transactional_id.as_ref().is_some_and(may);
    (!is_permitted).then_some(ErrorCode::TransactionalIdAuthorizationFailed)
}

/// The topics of the answer, their partitions still without outcomes but for those that the client
/// may not write to; and, in that order, the items of the others and what to remember of each.
fn split(
    context: &Context,
    request: &RequestContext,
    access: &Access,
    topics: Vec<TopicProduceData>,
) -> (Vec<TopicProduceResponse>, Vec<ProduceItem>, Vec<Asked>) {
    let mut items = Vec::new();
    let mut asked = Vec::new();
    let mut shape = Vec::with_capacity(topics.len());
    for topic in topics {
        let (key, is_internal) = key_of(context, request, &topic);
        let permission = match is_audit(context, request, &topic.name) {
            true => Ok(()),
            false => permission(access, &key, &topic.name),
        };
        let mut partition_responses = Vec::with_capacity(topic.partition_data.len());
        for PartitionProduceData { index, records } in topic.partition_data {
            partition_responses.push(PartitionProduceResponse {
                index,
                error_code: permission.err().map_or(0, ErrorCode::code),
                base_offset: permission.map_or(-1, |()| 0),
                ..PartitionProduceResponse::default()
            });
            if permission.is_err() {
                continue;
            }
            asked.push(Asked {
                bytes: records.as_ref().map_or(0, |records| records.len()),
                is_internal,
            });
            items.push(ProduceItem {
                topic: key.clone(),
                partition: index,
                records,
                membership: Membership::default(),
                refusal: None,
            });
        }
        shape.push(TopicProduceResponse {
            name: topic.name,
            topic_id: topic.topic_id,
            partition_responses,
        });
    }
    (shape, items, asked)
}

/// Whether a broker writes to the audit log, which asks nobody: what it may not write would itself
/// be a line.
fn is_audit(context: &Context, request: &RequestContext, name: &str) -> bool {
    let client_id = request.client_id.as_deref();
    context.settings.audit_topic.as_deref() == Some(name)
        && authorizer::is_some_follower(client_id, || context.controller.image())
}

/// Whether the client may write to the topic; one that nobody knows is refused as such later.
fn permission(access: &Access, topic: &TopicKey, asked_name: &str) -> Result<(), ErrorCode> {
    let Some(image) = access.image() else {
        return Ok(());
    };
    match topic {
        // as asked for: the key of an internal topic names none
        TopicKey::Name(_) => access.topic(Operation::Write, asked_name),
        TopicKey::Id(id) => match image.topic_by_id(*id) {
            Some(topic) => access.topic(Operation::Write, &topic.name),
            None => Ok(()),
        },
    }
}

/// The topic, and whether it is an internal one: those are written by coordinators only, so the
/// key is of no topic.
fn key_of(
    context: &Context,
    request: &RequestContext,
    topic: &TopicProduceData,
) -> (TopicKey, bool) {
    let key = topic_key(request.api_version, &topic.name, topic.topic_id);
    let image = context.controller.image();
    match &key {
        TopicKey::Id(id) => match image.topic_by_id(*id) {
            Some(known) if is_internal(&known.name) => (TopicKey::Id(TopicId::default()), true),
            Some(_) | None => (key, false),
        },
        TopicKey::Name(name) if is_internal(name) => {
            let is_there = image.topic(name).is_some();
            (TopicKey::Name(TopicName::from("")), is_there)
        }
        TopicKey::Name(_) => (key, false),
    }
}

/// Who leads instead. It is said with a success too, where the batch was sent on: the client goes
/// there with its next one, before this broker ends the connection.
fn leader_elsewhere(outcome: &Result<Produced, Refused>) -> Option<(NodeId, LeaderEpoch)> {
    match outcome {
        Ok(produced) => produced.leader,
        Err(refused) => refused.leader,
    }
}

fn join(
    mut shape: Vec<TopicProduceResponse>,
    outcomes: Vec<Result<Produced, Refused>>,
) -> Vec<TopicProduceResponse> {
    let partitions = shape.iter_mut().flat_map(|t| &mut t.partition_responses);
    // those without permission were not tried
    let tried = partitions.filter(|response| response.error_code == 0);
    for (response, outcome) in tried.zip(outcomes) {
        if let Some((leader, leader_epoch)) = leader_elsewhere(&outcome) {
            response.current_leader.leader_id = leader.0;
            response.current_leader.leader_epoch = leader_epoch.0;
        }
        match outcome {
            Ok(produced) => {
                response.base_offset = produced.base_offset.0;
                response.log_append_time_ms = produced.log_append_time_ms.unwrap_or(-1);
                response.log_start_offset = produced.log_start_offset.0;
            }
            Err(refused) => refuse(response, refused),
        }
    }
    shape
}

fn refuse(response: &mut PartitionProduceResponse, refused: Refused) {
    response.error_code = refused.error.code();
    response.base_offset = -1;
    response.error_message = refused.message;
    let record_error = |(batch_index, message)| BatchIndexAndErrorMessage {
        batch_index,
        batch_index_error_message: Some(message),
    };
    response.record_errors = refused.records.into_iter().map(record_error).collect();
}
