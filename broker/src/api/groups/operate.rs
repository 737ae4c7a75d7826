//! What operators do with groups: DescribeGroups, ListGroups, DeleteGroups, OffsetDelete.

use ottla_core::group::{Body, Response};
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest,
    DescribeGroupsResponse, DescribedGroup, ListGroupsRequest, ListGroupsResponse,
    OffsetDeleteRequest, OffsetDeleteResponse,
};

use super::super::{Context, RequestContext};
use super::{ask, client};

/// What anybody may do with a group while there are no ACLs, as bits numbered by Kafka's
/// operations:
/// READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS.
const GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

/// Answers a DescribeGroups.
pub async fn describe_groups(
    context: &Context,
    request: &RequestContext,
    body: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let asked: Vec<_> = body
        .groups
        .into_iter()
        .map(|id| {
            let answer = ask(context, request, &id, Body::DescribeGroup(id.clone()));
            (id, answer)
        })
        .collect();
    let mut groups = Vec::with_capacity(asked.len());
    for (group_id, answer) in asked {
        let mut group = match answer.await {
            Ok(Response::DescribeGroup(group)) => group,
            Ok(other) => unreachable!("the answer to another request: {other:?}"),
            Err(error) => DescribedGroup {
                error_code: error.code(),
                group_id,
                ..DescribedGroup::default()
            },
        };
        if body.include_authorized_operations && group.error_code == 0 {
            group.authorized_operations = GROUP_OPERATIONS;
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
    let body = Body::ListGroups(body);
    let asked = context
        .coordinator
        .request_all(request.api_version, &client(request), &body);
    let mut response = ListGroupsResponse::default();
    for answer in asked {
        match answer.await {
            Ok(Response::ListGroups(groups)) => response.groups.extend(groups),
            Ok(other) => unreachable!("the answer to another request: {other:?}"),
            // its groups are now listed by another broker
            Err(ErrorCode::NotCoordinator) => {}
            Err(error) => response.error_code = error.code(),
        }
    }
    response
}

/// Answers a DeleteGroups.
pub async fn delete_groups(
    context: &Context,
    request: &RequestContext,
    body: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let asked: Vec<_> = body
        .groups_names
        .into_iter()
        .map(|id| {
            let answer = ask(context, request, &id, Body::DeleteGroup(id.clone()));
            (id, answer)
        })
        .collect();
    let mut results = Vec::with_capacity(asked.len());
    for (group_id, answer) in asked {
        let error = match answer.await {
            Ok(Response::DeleteGroup(error)) | Err(error) => error,
            Ok(other) => unreachable!("the answer to another request: {other:?}"),
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
    body: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    let group_id = body.group_id.clone();
    match ask(context, request, &group_id, Body::OffsetDelete(body)).await {
        Ok(Response::OffsetDelete(response)) => response,
        Ok(other) => unreachable!("the answer to another request: {other:?}"),
        Err(error) => OffsetDeleteResponse {
            error_code: error.code(),
            ..OffsetDeleteResponse::default()
        },
    }
}
