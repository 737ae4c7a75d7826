//! What operators do with groups: DescribeGroups, ListGroups, DeleteGroups, OffsetDelete.

use ottla_core::acl::{Operation, ResourceType};
use ottla_core::group::request::{DeleteGroup, DescribeGroup};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest,
    DescribeGroupsResponse, DescribedGroup, ListGroupsRequest, ListGroupsResponse,
    OffsetDeleteRequest, OffsetDeleteRequestTopic, OffsetDeleteResponse,
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

use super::super::{Context, RequestContext};
use super::{ask, ask_each, client, named};
use crate::authorizer::Access;

/// Answers a DescribeGroups.
pub async fn describe_groups(
    context: &Context,
    request: &RequestContext,
    body: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let access = context.access(request);
    let describe = |id: &str| Ok(DescribeGroup(id.to_owned()));
    let answers = ask_each(context, request, Operation::Describe, body.groups, describe);
    let mut groups = Vec::new();
    for (group_id, answer) in answers.await {
        let mut group = match answer {
            Ok(group) => group,
            Err(error) => DescribedGroup {
                error_code: error.code(),
                group_id,
                ..DescribedGroup::default()
            },
        };
        if body.include_authorized_operations && group.error_code == 0 {
            let operations = access.operations(ResourceType::Group, &group.group_id);
            group.authorized_operations = operations;
        }
        groups.push(group);
    }
    DescribeGroupsResponse {
        groups,
        ..DescribeGroupsResponse::default()
    }
}

/// Answers a ListGroups: the groups that this broker coordinates.
pub async fn list_groups(
    context: &Context,
    request: &RequestContext,
    body: ListGroupsRequest,
) -> ListGroupsResponse {
    let asked = context
        .coordinator
        .request_all(request.api_version, &client(request), &body);
    let mut response = ListGroupsResponse::default();
    for answer in asked {
        match answer.await {
            Ok(groups) => response.groups.extend(groups),
            // its groups are now listed by another broker
            Err(ErrorCode::NotCoordinator) => {}
            Err(error) => response.error_code = error.code(),
        }
    }
    let access = context.access(request);
    response
        .groups
        .retain(|group| may_see(&access, &group.group_id));
    response
}

fn may_see(access: &Access, group_id: &str) -> bool {
    access.may_with_cluster(Operation::Describe)
        || access.may(Operation::Describe, ResourceType::Group, group_id)
}

/// Answers a DeleteGroups.
pub async fn delete_groups(
    context: &Context,
    request: &RequestContext,
    body: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let delete = |id: &str| Ok(DeleteGroup(id.to_owned()));
    let answers = ask_each(
        context,
        request,
        Operation::Delete,
        body.groups_names,
        delete,
    );
    let mut results = Vec::new();
    for (group_id, answer) in answers.await {
        let error = match answer {
            Ok(error) | Err(error) => error,
        };
        results.push(DeletableGroupResult {
            group_id,
            error_code: error.code(),
        });
    }
    DeleteGroupsResponse {
        results,
        ..DeleteGroupsResponse::default()
    }
}

/// Answers an OffsetDelete.
pub async fn offset_delete(
    context: &Context,
    request: &RequestContext,
    mut body: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    let access = context.access(request);
    let permission = access.group(Operation::Delete, &body.group_id);
    if let Err(error) = permission.and_then(|()| named(&body.group_id)) {
        return OffsetDeleteResponse {
            error_code: error.code(),
            ..OffsetDeleteResponse::default()
        };
    }
    let may_read = |name: &str| access.topic(Operation::Read, name).is_ok();
    let forbidden = body.topics.extract_if(.., |topic| !may_read(&topic.name));
    let forbidden: Vec<_> = forbidden.map(not_deleted).collect();
    let group_id = body.group_id.clone();
    match ask(context, request, &group_id, body).await {
        Ok(mut response) => {
            response.topics.extend(forbidden);
            response
        }
        Err(error) => OffsetDeleteResponse {
            error_code: error.code(),
            ..OffsetDeleteResponse::default()
        },
    }
}

fn not_deleted(topic: OffsetDeleteRequestTopic) -> OffsetDeleteResponseTopic {
    let partitions = topic.partitions.iter();
    OffsetDeleteResponseTopic {
        partitions: partitions
            .map(|partition| OffsetDeleteResponsePartition {
                partition_index: partition.partition_index,
                error_code: ErrorCode::TopicAuthorizationFailed.code(),
            })
            .collect(),
        name: topic.name,
    }
}
