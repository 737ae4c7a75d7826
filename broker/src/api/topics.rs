//! CreateTopics, DeleteTopics, CreatePartitions.

use ottla_core::acl::Operation;
use ottla_core::image::MetadataImage;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::TopicId;
use ottla_protocol::messages::topics::{
    CreatableTopicResult, CreatePartitionsRequest, CreatePartitionsResponse,
    CreatePartitionsTopicResult, CreateTopicsRequest, CreateTopicsResponse, DeletableTopicResult,
    DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};

use super::forward::until;
use super::metered::metered;
use super::{Context, RequestContext};
use crate::authorizer::sentence;

/// CreateTopics; answers once the topics are committed and this broker knows them.
pub async fn create(
    context: &Context,
    request: &RequestContext,
    mut body: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let access = context.access(request);
    let topics = &mut body.topics;
    let forbidden = topics.extract_if(.., |t| access.create_topic(&t.name).is_err());
    let forbidden: Vec<String> = forbidden.map(|t| t.name).collect();
    let mut response = create_allowed(context, request, body).await;
    for topic in &mut response.topics {
        if !access.may_with_topic(Operation::DescribeConfigs, &topic.name) {
            topic.topic_config_error_code = ErrorCode::TopicAuthorizationFailed.code();
            topic.configs = Some(Vec::new());
            (topic.num_partitions, topic.replication_factor) = (-1, -1);
        }
    }
    response
        .topics
        .extend(forbidden.into_iter().map(|name| CreatableTopicResult {
            name,
            error_code: ErrorCode::TopicAuthorizationFailed.code(),
            error_message: Some(sentence(ErrorCode::TopicAuthorizationFailed)),
            configs: Some(Vec::new()),
            ..CreatableTopicResult::default()
        }));
    response
}

async fn create_allowed(
    context: &Context,
    request: &RequestContext,
    body: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let names: Vec<String> = body.topics.iter().map(|t| t.name.clone()).collect();
    let timeout_ms = body.timeout_ms;
    match metered(context, request, timeout_ms, body).await {
        Ok(response) => {
            let created = response.topics.iter().filter(|t| !t.topic_id.is_zero());
            let created: Vec<TopicId> = created.map(|t| TopicId(t.topic_id)).collect();
            until(context, |image| {
                created.iter().all(|id| image.topic_by_id(*id).is_some())
            })
            .await;
            response
        }
        Err((code, message)) => CreateTopicsResponse {
            topics: names
                .into_iter()
                .map(|name| CreatableTopicResult {
                    name,
                    error_code: code.code(),
                    error_message: Some(message.clone()),
                    configs: Some(Vec::new()),
                    ..CreatableTopicResult::default()
                })
                .collect(),
            ..CreateTopicsResponse::default()
        },
    }
}

/// DeleteTopics; answers once the topics are gone, here too.
pub async fn delete(
    context: &Context,
    request: &RequestContext,
    mut body: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let by_name = std::mem::take(&mut body.topic_names).into_iter();
    body.topics.extend(by_name.map(|name| DeleteTopicState {
        name: Some(name),
        ..DeleteTopicState::default()
    }));
    let access = context.access(request);
    let image = context.controller.image();
    let is_denied = |topic: &DeleteTopicState| {
        let known = image.topic_by_id(TopicId(topic.topic_id)).map(|t| &*t.name);
        let name = topic.name.as_deref().or(known);
        name.is_some_and(|name| access.topic(Operation::Delete, name).is_err())
    };
    let forbidden = body.topics.extract_if(.., |t| is_denied(t));
    let forbidden: Vec<DeletableTopicResult> = forbidden
        .map(|topic| DeletableTopicResult {
            error_code: ErrorCode::TopicAuthorizationFailed.code(),
            error_message: Some(sentence(ErrorCode::TopicAuthorizationFailed)),
            name: topic.name,
            topic_id: topic.topic_id,
        })
        .collect();
    let mut response = delete_allowed(context, request, body).await;
    response.responses.extend(forbidden);
    response
}

async fn delete_allowed(
    context: &Context,
    request: &RequestContext,
    body: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let asked = body.topics.clone();
    let timeout_ms = body.timeout_ms;
    match metered(context, request, timeout_ms, body).await {
        Ok(mut response) => {
            let gone = response.responses.iter().filter(|r| r.error_code == 0);
            let gone: Vec<TopicId> = gone.map(|r| TopicId(r.topic_id)).collect();
            until(context, |image| {
                gone.iter().all(|id| image.topic_by_id(*id).is_none())
            })
            .await;
            if request.api_version < 6 {
                // before version 6 a name is always there
                for result in &mut response.responses {
                    result.name.get_or_insert_default();
                }
            }
            response
        }
        Err((code, message)) => DeleteTopicsResponse {
            responses: asked
                .into_iter()
                .map(|topic| DeletableTopicResult {
                    name: topic.name,
                    topic_id: topic.topic_id,
                    error_code: code.code(),
                    error_message: Some(message.clone()),
                })
                .collect(),
            ..DeleteTopicsResponse::default()
        },
    }
}

/// CreatePartitions; answers once the partitions are committed and this broker knows them.
pub async fn create_partitions(
    context: &Context,
    request: &RequestContext,
    mut body: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let access = context.access(request);
    let may_alter = |name: &str| access.topic(Operation::Alter, name);
    let forbidden = body.topics.extract_if(.., |t| may_alter(&t.name).is_err());
    let forbidden: Vec<String> = forbidden.map(|t| t.name).collect();
    let mut response = grow_allowed(context, request, body).await;
    let refused = |name| CreatePartitionsTopicResult {
        name,
        error_code: ErrorCode::TopicAuthorizationFailed.code(),
        error_message: Some(sentence(ErrorCode::TopicAuthorizationFailed)),
    };
    response.results.extend(forbidden.into_iter().map(refused));
    response
}

async fn grow_allowed(
    context: &Context,
    request: &RequestContext,
    body: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let validate_only = body.validate_only;
    let asked: Vec<(String, i32)> = body
        .topics
        .iter()
        .map(|t| (t.name.clone(), t.count))
        .collect();
    let timeout_ms = body.timeout_ms;
    match metered(context, request, timeout_ms, body).await {
        Ok(response) => {
            let failed = response.results.iter().filter(|r| r.error_code != 0);
            let failed: Vec<&str> = failed.map(|r| r.name.as_str()).collect();
            let has_grown = |image: &MetadataImage, name: &str, count: i32| {
                let topic = image.topic(name);
                topic.is_none_or(|t| t.partitions.len() as i64 >= i64::from(count))
            };
            until(context, |image| {
                let mut wanted = asked.iter().filter(|(n, _)| !failed.contains(&n.as_str()));
                validate_only || wanted.all(|(name, count)| has_grown(image, name, *count))
            })
            .await;
            response
        }
        Err((code, message)) => CreatePartitionsResponse {
            results: asked
                .into_iter()
                .map(|(name, _)| CreatePartitionsTopicResult {
                    name,
                    error_code: code.code(),
                    error_message: Some(message.clone()),
                })
                .collect(),
            ..CreatePartitionsResponse::default()
        },
    }
}
