//! The consumer group protocol (KIP-848): ConsumerGroupHeartbeat, ConsumerGroupDescribe.

use std::sync::Arc;

use ottla_core::acl::{Operation, ResourceType};
use ottla_core::group::consumer::{Describe, Heartbeat, Visible};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::consumer_groups::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, DescribedGroup,
};

use super::super::{Context, RequestContext};
use super::{ask, ask_each, named};
use crate::authorizer::{Access, sentence};

/// Answers a ConsumerGroupHeartbeat.
pub async fn consumer_group_heartbeat(
    context: &Context,
    request: &RequestContext,
    body: ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    if !context.coordinator.serves_consumers() {
        return refused(ErrorCode::UnsupportedVersion, None);
    }
    let access = context.access(request);
    if let Err(error) = check(&access, &body) {
        return refused(error, sentence(error));
    }
    let group_id = body.group_id.clone();
    let heartbeat = Heartbeat {
        body,
        fresh: context.coordinator.fresh(),
        visible: visible(access),
    };
    match ask(context, request, &group_id, heartbeat).await {
        Ok(response) => response,
        Err(error) => refused(error, None),
    }
}

fn refused(error: ErrorCode, message: impl Into<Option<String>>) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse {
        error_code: error.code(),
        error_message: message.into(),
        ..ConsumerGroupHeartbeatResponse::default()
    }
}

/// Whether the client may read the group, and know of each topic that it names.
fn check(access: &Access, body: &ConsumerGroupHeartbeatRequest) -> Result<(), ErrorCode> {
    access.group(Operation::Read, &body.group_id)?;
    let mut topics = body.subscribed_topic_names.iter().flatten();
    topics.try_for_each(|topic| access.topic(Operation::Describe, topic))
}

/// Which topics an expression of the client may match. Nobody is told of those that it may not.
fn visible(access: Access) -> Visible {
    if access.is_unlimited() {
        return Visible::default();
    }
    let may_see = move |topic: &str| access.may(Operation::Describe, ResourceType::Topic, topic);
    Visible(Some(Arc::new(may_see)))
}

/// Answers a ConsumerGroupDescribe.
pub async fn consumer_group_describe(
    context: &Context,
    request: &RequestContext,
    body: ConsumerGroupDescribeRequest,
) -> ConsumerGroupDescribeResponse {
    let access = context.access(request);
    let is_served = context.coordinator.serves_consumers();
    let describe = |id: &str| match is_served {
        true => named(id).map(|()| Describe(id.to_owned())),
        false => Err(ErrorCode::UnsupportedVersion),
    };
    let answers = ask_each(
        context,
        request,
        Operation::Describe,
        body.group_ids,
        describe,
    );
    let mut groups = Vec::new();
    for (group_id, answer) in answers.await {
        let group = answer.and_then(|group| match sees_all(&access, &group) {
            true => Ok(group),
            false => Err(ErrorCode::TopicAuthorizationFailed),
        });
        let mut group = group.unwrap_or_else(|error| DescribedGroup {
            error_code: error.code(),
            group_id,
            ..DescribedGroup::default()
        });
        if body.include_authorized_operations && group.error_code == 0 {
            let operations = access.operations(ResourceType::Group, &group.group_id);
            group.authorized_operations = operations;
        }
        groups.push(group);
    }
    ConsumerGroupDescribeResponse {
        groups,
        ..ConsumerGroupDescribeResponse::default()
    }
}

/// Whether the client may know of every topic that the group reads.
fn sees_all(access: &Access, group: &DescribedGroup) -> bool {
    let assigned = group.members.iter().flat_map(|member| {
        let assignments = [&member.assignment, &member.target_assignment];
        let topics = assignments.into_iter().flat_map(|a| &a.topic_partitions);
        let names = topics.map(|topic| topic.topic_name.as_str());
        names.chain(member.subscribed_topic_names.iter().map(String::as_str))
    });
    let mut topics = assigned;
    topics.all(|topic| access.may(Operation::Describe, ResourceType::Topic, topic))
}
