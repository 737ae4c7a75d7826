//! Fetch.

use std::sync::Arc;
use std::time::Duration;

use ottla_core::acl::Operation;
use ottla_core::fetch_session::Position;
use ottla_core::partition::Reader;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, Offset};
use ottla_protocol::messages::fetch::{
    FetchRequest, FetchResponse, FetchTopic, FetchableTopicResponse, ForgottenTopic,
    LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};

use super::leader::{endpoints, topic_key};
use super::throttle::millis;
use super::{Context, RequestContext};
use crate::authorizer::{self, Access};
use crate::budget::Share;
use crate::replica::{FetchItem, FetchQuery, Fetched, TopicKey};

/// The first version whose consumers may read from followers.
const ANY_REPLICA_VERSION_MIN: i16 = 11;

/// The first version that can say who leads instead.
const LEADER_VERSION_MIN: i16 = 12;

/// The first version that says where (KIP-951).
const NODE_ENDPOINTS_VERSION_MIN: i16 = 16;

/// How long a fetch may wait at most: what is answered behind it waits for it, with its memory.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Kafka's number of the isolation level `read_committed`.
const READ_COMMITTED: i8 = 1;

/// The broker that a fetch replicates to; none for a consumer's.
fn follower(body: &FetchRequest) -> Option<NodeId> {
    let id = body.replica_state.replica_id.max(body.replica_id);
    (id >= 0).then_some(NodeId(id))
}

/// What the request may read. A follower may read everything, where it proves to be the broker that
/// it says to be or its client may act as one; else nothing.
fn permission(context: &Context, request: &RequestContext, body: &FetchRequest) -> Option<Access> {
    let access = context.access(request);
    let (Some(node), Some(image)) = (follower(body), access.image()) else {
        return Some(access);
    };
    let broker = image.broker(node);
    let is_proven =
        broker.is_some_and(|b| authorizer::is_follower(request.client_id.as_deref(), b));
    let may_act = || access.may_with_cluster(Operation::ClusterAction);
    (is_proven || may_act()).then(Access::unlimited)
}

/// What Kafka answers somebody who is no follower.
fn refusal(body: FetchRequest) -> FetchResponse {
    let topic = |topic: FetchTopic| FetchableTopicResponse {
        topic: topic.topic,
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .map(|p| PartitionData {
                partition_index: p.partition,
                error_code: ErrorCode::TopicAuthorizationFailed.code(),
                high_watermark: -1,
                ..PartitionData::default()
            })
            .collect(),
    };
    FetchResponse {
        responses: body.topics.into_iter().map(topic).collect(),
        ..FetchResponse::default()
    }
}

/// Answers when there is enough to say, or the wait is over; says what memory the answer holds.
pub async fn handle(
    context: &Context,
    request: &RequestContext,
    body: FetchRequest,
) -> (FetchResponse, Option<Share>) {
    let Some(access) = permission(context, request, &body) else {
        return (refusal(body), None);
    };
    let mut query = query(context, request, &body, access);
    let is_follower = follower(&body).is_some();
    let version = request.api_version;
    let items = items(version, body.topics);
    let forgotten = forgotten(version, body.forgotten_topics_data);
    let quota = request.allowance.as_ref().filter(|_| !is_follower);
    let quota = quota.and_then(|allowance| allowance.fetch.as_ref());
    if let Some(quota) = quota {
        let wait = context.quotas.wait(quota);
        if !wait.is_zero() {
            let mut response = answer(context.replicas.fetch_nothing(&query, items, &forgotten));
            response.throttle_time_ms = millis(wait);
            return (response, None);
        }
        // more would only have to be waited for
        query.bytes_max = query.bytes_max.min(context.quotas.bytes_at_once(quota));
        query.bytes_min = query.bytes_min.min(query.bytes_max);
    }
    let mut fetched = context.replicas.fetch(&query, items, &forgotten).await;
    let share = fetched.share.take();
    let mut response = answer(fetched);
    let counter = match is_follower {
        true => &context.metrics.replicated_bytes,
        false => &context.metrics.fetched_bytes,
    };
    let bytes = record_bytes(&response);
    counter.inc_by(bytes);
    if let Some(quota) = quota {
        response.throttle_time_ms = millis(context.quotas.take(quota, bytes as f64));
    }
    if request.api_version < LEADER_VERSION_MIN {
        let partitions = response
            .responses
            .iter_mut()
            .flat_map(|t| &mut t.partitions);
        partitions.for_each(|data| data.current_leader = LeaderIdAndEpoch::default());
    }
    if request.api_version >= NODE_ENDPOINTS_VERSION_MIN {
        response.node_endpoints = leaders(context, request, &response);
    }
    (response, share)
}

fn query(
    context: &Context,
    request: &RequestContext,
    body: &FetchRequest,
    access: Access,
) -> FetchQuery {
    let settings = &context.settings;
    let bytes = |count: i32| usize::try_from(count).unwrap_or(0);
    let (reader, bytes_max) = match follower(body) {
        Some(node) => (Reader::Follower(node), bytes(body.max_bytes)),
        None => {
            let reader = Reader::Consumer {
                read_committed: body.isolation_level == READ_COMMITTED,
                any_replica: request.api_version >= ANY_REPLICA_VERSION_MIN,
            };
            let limit = settings.fetch_bytes_max.min(body.max_bytes);
            (reader, bytes(limit))
        }
    };
    let epoch = body.replica_state.replica_epoch;
    FetchQuery {
        reader,
        access,
        broker_epoch: (epoch >= 0).then_some(BrokerEpoch(epoch)),
        rack: (!body.rack_id.is_empty()).then(|| Arc::from(body.rack_id.as_str())),
        session_id: body.session_id,
        session_epoch: body.session_epoch,
        bytes_min: bytes(body.min_bytes),
        bytes_max,
        wait_max: Duration::from_millis(u64::try_from(body.max_wait_ms).unwrap_or(0)).min(WAIT_MAX),
    }
}

fn items(version: i16, topics: Vec<FetchTopic>) -> Vec<FetchItem> {
    let epoch = |number: i32| (number >= 0).then_some(LeaderEpoch(number));
    let mut items = Vec::new();
    for topic in topics {
        let key = topic_key(version, &topic.topic, topic.topic_id);
        items.extend(topic.partitions.into_iter().map(|p| FetchItem {
            topic: key.clone(),
            partition: p.partition,
            position: Position {
                fetch_offset: Offset(p.fetch_offset),
                bytes_max: usize::try_from(p.partition_max_bytes).unwrap_or(0),
                log_start_offset: Offset(p.log_start_offset),
                current_leader_epoch: epoch(p.current_leader_epoch),
                last_fetched_epoch: epoch(p.last_fetched_epoch),
            },
        }));
    }
    items
}

fn forgotten(version: i16, topics: Vec<ForgottenTopic>) -> Vec<(TopicKey, i32)> {
    let mut forgotten = Vec::new();
    for topic in topics {
        let key = topic_key(version, &topic.topic, topic.topic_id);
        forgotten.extend(topic.partitions.into_iter().map(|p| (key.clone(), p)));
    }
    forgotten
}

fn record_bytes(response: &FetchResponse) -> u64 {
    let partitions = response.responses.iter().flat_map(|t| &t.partitions);
    let records = partitions.filter_map(|data| data.records.as_ref());
    records.map(|records| records.len() as u64).sum()
}

fn answer(fetched: Fetched) -> FetchResponse {
    let mut response = FetchResponse {
        error_code: fetched.error.map_or(0, |error| error.code()),
        session_id: fetched.session_id,
        ..FetchResponse::default()
    };
    let mut last: Option<TopicKey> = None;
    for (key, data) in fetched.partitions {
        if last.as_ref() != Some(&key) {
            response.responses.push(topic_response(&key));
            last = Some(key);
        }
        if let Some(topic) = response.responses.last_mut() {
            topic.partitions.push(data);
        }
    }
    response
}

fn topic_response(key: &TopicKey) -> FetchableTopicResponse {
    let mut topic = FetchableTopicResponse::default();
    match key {
        TopicKey::Name(name) => topic.topic = name.to_string(),
        TopicKey::Id(id) => topic.topic_id = id.0,
    }
    topic
}

/// Where the leaders are that the answer names.
fn leaders(
    context: &Context,
    request: &RequestContext,
    response: &FetchResponse,
) -> Vec<NodeEndpoint> {
    let partitions = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partitions);
    let leader = |data: &PartitionData| {
        let id = data.current_leader.leader_id;
        (id >= 0).then_some(NodeId(id))
    };
    let endpoint = |node_id, host, port, rack| NodeEndpoint {
        node_id,
        host,
        port,
        rack,
    };
    endpoints(
        context,
        request,
        partitions.filter_map(leader).collect(),
        endpoint,
    )
}
