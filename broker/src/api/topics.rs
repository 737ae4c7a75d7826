//! CreateTopics, DeleteTopics, CreatePartitions.

use ottla_core::metadata::{MetadataImage, Request, Response};
use ottla_protocol::ids::TopicId;
use ottla_protocol::messages::topics::{
    CreatableTopicResult, CreatePartitionsRequest, CreatePartitionsResponse,
    CreatePartitionsTopicResult, CreateTopicsRequest, CreateTopicsResponse, DeletableTopicResult,
    DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};

use super::forward::{submit, until};
use super::{Context, RequestContext};

/// CreateTopics; answers once the topics are committed and this broker knows them.
pub async fn create(
    context: &Context,
    _: &RequestContext,
    body: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let names: Vec<String> = body.topics.iter().map(|t| t.name.clone()).collect();
    match submit(context, Request::CreateTopics(body)).await {
        Ok(Response::CreateTopics(response)) => {
            let created = response.topics.iter().filter(|t| !t.topic_id.is_zero());
            let created: Vec<TopicId> = created.map(|t| TopicId(t.topic_id)).collect();
            until(context, |image| {
                created.iter().all(|id| image.topic_by_id(*id).is_some())
            })
            .await;
            response
        }
        Ok(other) => unreachable!("CreateTopics is answered by {other:?}"),
        Err((code, message)) => CreateTopicsResponse {
            throttle_time_ms: 0,
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
    let asked = body.topics.clone();
    match submit(context, Request::DeleteTopics(body)).await {
        Ok(Response::DeleteTopics(mut response)) => {
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
        Ok(other) => unreachable!("DeleteTopics is answered by {other:?}"),
        Err((code, message)) => DeleteTopicsResponse {
            throttle_time_ms: 0,
            responses: asked
                .into_iter()
                .map(|topic| DeletableTopicResult {
                    name: topic.name,
                    topic_id: topic.topic_id,
                    error_code: code.code(),
                    error_message: Some(message.clone()),
                })
                .collect(),
        },
    }
}

/// CreatePartitions; answers once the partitions are committed and this broker knows them.
pub async fn create_partitions(
    context: &Context,
    _: &RequestContext,
    body: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let validate_only = body.validate_only;
    let asked: Vec<(String, i32)> = body
        .topics
        .iter()
        .map(|t| (t.name.clone(), t.count))
        .collect();
    match submit(context, Request::CreatePartitions(body)).await {
        Ok(Response::CreatePartitions(response)) => {
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
        Ok(other) => unreachable!("CreatePartitions is answered by {other:?}"),
        Err((code, message)) => CreatePartitionsResponse {
            throttle_time_ms: 0,
            results: asked
                .into_iter()
                .map(|(name, _)| CreatePartitionsTopicResult {
                    name,
                    error_code: code.code(),
                    error_message: Some(message.clone()),
                })
                .collect(),
        },
    }
}
