//! Metadata: brokers, topics and their leaders; and the creation of topics by asking for them.

use std::sync::Arc;

use ottla_core::acl::{Operation, ResourceType};
use ottla_core::image::{MetadataImage, PartitionRegistration, Topic};
use ottla_core::metadata::names;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{NodeId, PartitionIndex, TopicId, Uuid};
use ottla_protocol::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_protocol::messages::topics::{CreatableTopic, CreateTopicsRequest};

use super::forward::until;
use super::metered::metered;
use super::{Context, RequestContext};
use crate::authorizer::{Access, NOT_ASKED};

/// How many topics one request creates at most.
const AUTO_CREATED_MAX: usize = 100;

/// How long an answer waits for the topics it creates: clients ask again by themselves.
const CREATION_WAIT_MAX_MS: i32 = 3_000;

/// Metadata.
pub async fn handle(
    context: &Context,
    request: &RequestContext,
    body: MetadataRequest,
) -> MetadataResponse {
    let asked = asked_topics(request, &body);
    let access = context.access(request);
    let refused = match &asked {
        Some(asked) if body.allow_auto_topic_creation => {
            create_missing(context, request, &access, asked).await
        }
        _ => Vec::new(),
    };
    let names = |image: &MetadataImage, node| match &asked {
        None => image.topics.values().any(|topic| leads(topic, node)),
        Some(asked) => {
            let topics = asked.iter().filter_map(|asked| find(image, asked));
            topics.into_iter().any(|topic| leads(topic, node))
        }
    };
    let image = context.controller.settled(names).await;
    let topics = match &asked {
        None => image
            .topics
            .values()
            .filter(|topic| access.may_with_topic(Operation::Describe, &topic.name))
            .map(|topic| known(context, &image, topic))
            .collect(),
        Some(asked) => asked
            .iter()
            .map(|topic| {
                let mut described = one(context, (&image, &access), request, topic);
                let refusal = refused
                    .iter()
                    .find(|(name, _)| Some(name) == topic.name.as_ref());
                if let Some((_, code)) = refusal
                    && described.error_code != 0
                {
                    described.error_code = code.code();
                }
                described
            })
            .collect(),
    };
    let mut response = MetadataResponse {
        brokers: brokers(context, &image, request),
        cluster_id: Some(image.cluster_id.to_string()),
        controller_id: contact(context, &image).0,
        topics,
        cluster_authorized_operations: NOT_ASKED,
        error_code: 0,
        ..MetadataResponse::default()
    };
    if body.include_cluster_authorized_operations {
        response.cluster_authorized_operations = access.cluster_operations();
    }
    if body.include_topic_authorized_operations {
        for topic in response.topics.iter_mut().filter(|t| t.error_code == 0) {
            let name = topic.name.as_deref().unwrap_or_default();
            topic.topic_authorized_operations = access.operations(ResourceType::Topic, name);
        }
    }
    response
}

/// The topics asked for; none for all. Version 0 has no null: an empty list means all there. With
/// an id the name is none, also where it is empty: so Java's clients ask.
fn asked_topics(
    request: &RequestContext,
    body: &MetadataRequest,
) -> Option<Vec<MetadataRequestTopic>> {
    let mut asked = body.topics.clone()?;
    for topic in asked.iter_mut().filter(|topic| !topic.topic_id.is_zero()) {
        topic.name = None;
    }
    let means_all = request.api_version == 0 && asked.is_empty();
    (!means_all).then_some(asked)
}

/// Creates the topics that are asked for by name and not there, where the settings allow it;
/// returns those that could not be.
async fn create_missing(
    context: &Context,
    request: &RequestContext,
    access: &Access,
    asked: &[MetadataRequestTopic],
) -> Vec<(String, ErrorCode)> {
    if !context.settings.auto_create_topics {
        return Vec::new();
    }
    let image = context.controller.image();
    let names = asked.iter().filter_map(|t| t.name.as_deref());
    let mut missing: Vec<&str> = names
        .filter(|name| image.topic(name).is_none() && !names::is_internal(name))
        .filter(|name| names::invalid_topic_name(name).is_none())
        .take(AUTO_CREATED_MAX)
        .collect();
    missing.sort_unstable();
    missing.dedup();
    missing.retain(|name| access.may_with_topic(Operation::Describe, name));
    let may_create = |name: &&mut &str| access.create_topic(name).is_ok();
    let forbidden = missing.extract_if(.., |name| !may_create(&name));
    let mut forbidden: Vec<(String, ErrorCode)> = forbidden
        .map(|name| (name.to_owned(), ErrorCode::TopicAuthorizationFailed))
        .collect();
    if missing.is_empty() {
        return forbidden;
    }
    // what this broker's file says wins over the active controller's
    let own = |key| {
        let value = context.settings.statics.get(key);
        value.map_or(-1, |value| value.number() as i32)
    };
    let topic = |name: &&str| CreatableTopic {
        name: (*name).to_owned(),
        num_partitions: own("num.partitions"),
        replication_factor: own("default.replication.factor") as i16,
        ..CreatableTopic::default()
    };
    let create = CreateTopicsRequest {
        topics: missing.iter().map(topic).collect(),
        timeout_ms: CREATION_WAIT_MAX_MS,
        ..CreateTopicsRequest::default()
    };
    match metered(context, request, CREATION_WAIT_MAX_MS, create).await {
        Ok(response) => {
            let is_there =
                |code: i16| code == 0 || ErrorCode::from(code) == ErrorCode::TopicAlreadyExists;
            let (made, refused): (Vec<_>, Vec<_>) = response
                .topics
                .into_iter()
                .partition(|t| is_there(t.error_code));
            until(context, |image| {
                made.iter().all(|t| image.topic(&t.name).is_some())
            })
            .await;
            let why = |code: i16| match ErrorCode::from(code) {
                // no client knows of it here
                ErrorCode::ThrottlingQuotaExceeded => ErrorCode::LeaderNotAvailable,
                other => other,
            };
            let refused = refused.into_iter();
            forbidden.extend(refused.map(|t| (t.name, why(t.error_code))));
        }
        // clients ask again by themselves
        _ => forbidden.extend(
            missing
                .into_iter()
                .map(|name| (name.to_owned(), ErrorCode::LeaderNotAvailable)),
        ),
    }
    forbidden
}

fn find<'a>(image: &'a MetadataImage, asked: &MetadataRequestTopic) -> Option<&'a Arc<Topic>> {
    match &asked.name {
        Some(name) => image.topic(name),
        None => image.topic_by_id(TopicId(asked.topic_id)),
    }
}

fn leads(topic: &Topic, node: NodeId) -> bool {
    topic.partitions.iter().any(|p| p.leader == Some(node))
}

fn one(
    context: &Context,
    (image, access): (&MetadataImage, &Access),
    request: &RequestContext,
    asked: &MetadataRequestTopic,
) -> MetadataResponseTopic {
    let found = find(image, asked);
    let error = match &asked.name {
        Some(name) if names::invalid_topic_name(name).is_some() => ErrorCode::InvalidTopicException,
        Some(_) => ErrorCode::UnknownTopicOrPartition,
        None => ErrorCode::UnknownTopicId,
    };
    // whether a topic is there is nobody's business who may not describe it; an id tells nothing
    let name = asked.name.as_deref().or(found.map(|topic| &*topic.name));
    let permission = name.map_or(Ok(()), |name| access.topic(Operation::Describe, name));
    let error = match (permission, found) {
        (Ok(()), Some(topic)) => return known(context, image, topic),
        (Ok(()), None) => error,
        (Err(denied), _) => denied,
    };
    // the name of a topic that was asked for by id may be null from version 12 on
    let nameless = (request.api_version < 12).then(String::new);
    MetadataResponseTopic {
        error_code: error.code(),
        name: asked.name.clone().or(nameless),
        topic_id: asked.topic_id,
        topic_authorized_operations: NOT_ASKED,
        ..MetadataResponseTopic::default()
    }
}

fn known(context: &Context, image: &MetadataImage, topic: &Topic) -> MetadataResponseTopic {
    MetadataResponseTopic {
        error_code: 0,
        name: Some(topic.name.to_string()),
        topic_id: topic.id.0,
        is_internal: names::is_internal(&topic.name),
        partitions: topic
            .indexed()
            .map(|(index, p)| partition(image, index, p, leader(context, topic, index, p)))
            .collect(),
        topic_authorized_operations: NOT_ASKED,
    }
}

/// The leader to name to clients: not this broker itself where it is stranded.
pub(super) fn leader(
    context: &Context,
    topic: &Topic,
    index: PartitionIndex,
    p: &PartitionRegistration,
) -> Option<NodeId> {
    let here = context.controller.node_id();
    let is_stranded = |leader| leader == here && context.replicas.is_stranded(topic.id, index);
    p.leader.filter(|leader| !is_stranded(*leader))
}

fn partition(
    image: &MetadataImage,
    index: PartitionIndex,
    p: &PartitionRegistration,
    leader: Option<NodeId>,
) -> MetadataResponsePartition {
    let error = match leader {
        Some(_) => ErrorCode::None,
        None => ErrorCode::LeaderNotAvailable,
    };
    MetadataResponsePartition {
        error_code: error.code(),
        partition_index: index.0,
        leader_id: leader.map_or(-1, |n| n.0),
        leader_epoch: p.leader_epoch.0,
        replica_nodes: numbers(&p.replicas),
        isr_nodes: numbers(&p.isr),
        offline_replicas: offline(image, p),
    }
}

pub(super) fn numbers(nodes: &[NodeId]) -> Vec<i32> {
    nodes.iter().map(|n| n.0).collect()
}

pub(super) fn offline(image: &MetadataImage, p: &PartitionRegistration) -> Vec<i32> {
    let gone = p.replicas.iter().filter(|n| !image.is_unfenced(**n));
    gone.map(|n| n.0).collect()
}

fn brokers(
    context: &Context,
    image: &MetadataImage,
    request: &RequestContext,
) -> Vec<MetadataResponseBroker> {
    let brokers = image.brokers.values();
    brokers
        .filter(|b| context.controller.is_listed(b))
        .filter_map(|b| {
            let listener = b.listener(&request.listener)?;
            Some(MetadataResponseBroker {
                node_id: b.node_id.0,
                host: listener.host.clone(),
                port: i32::from(listener.port),
                rack: b.rack.as_deref().map(str::to_owned),
            })
        })
        .collect()
}

/// Whom clients should bring administrative requests to. Every broker forwards them, so it is the
/// one that they speak to already, if others can see it.
pub(super) fn contact(context: &Context, image: &MetadataImage) -> NodeId {
    let here = context.controller.node_id();
    if image.is_unfenced(here) {
        return here;
    }
    let first = image.unfenced_brokers().next();
    first.map_or(NodeId(-1), |b| b.node_id)
}

/// The id of a topic, or the zero id.
pub(super) fn id_or_zero(topic: Option<&Topic>) -> Uuid {
    topic.map_or(Uuid::ZERO, |t| t.id.0)
}
