//! JoinGroup, SyncGroup, Heartbeat, LeaveGroup.

use ottla_core::group::request::JoinGroup;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::groups::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, MemberIdentity, SyncGroupRequest, SyncGroupResponse,
};

use super::super::{Context, RequestContext};
use super::ask_members;

/// The first version that names several members.
const LEAVE_BATCH_VERSION: i16 = 3;

/// The first version whose protocol name may be null.
const JOIN_NULL_PROTOCOL_VERSION: i16 = 7;

/// Answers a JoinGroup.
pub async fn join_group(
    context: &Context,
    request: &RequestContext,
    body: JoinGroupRequest,
) -> JoinGroupResponse {
    let group_id = body.group_id.clone();
    let member_id = body.member_id.clone();
    let body = JoinGroup {
        body,
        fresh: context.coordinator.fresh(),
    };
    match ask_members(context, request, &group_id, body).await {
        Ok(response) => response,
        Err(error) => JoinGroupResponse {
            error_code: error.code(),
            generation_id: -1,
            protocol_name: (request.api_version < JOIN_NULL_PROTOCOL_VERSION).then(String::new),
            member_id,
            ..JoinGroupResponse::default()
        },
    }
}

/// Answers a SyncGroup.
pub async fn sync_group(
    context: &Context,
    request: &RequestContext,
    body: SyncGroupRequest,
) -> SyncGroupResponse {
    let group_id = body.group_id.clone();
    match ask_members(context, request, &group_id, body).await {
        Ok(response) => response,
        Err(error) => SyncGroupResponse {
            error_code: error.code(),
            ..SyncGroupResponse::default()
        },
    }
}

/// Answers a Heartbeat.
pub async fn heartbeat(
    context: &Context,
    request: &RequestContext,
    body: HeartbeatRequest,
) -> HeartbeatResponse {
    let group_id = body.group_id.clone();
    match ask_members(context, request, &group_id, body).await {
        Ok(response) => response,
        // a member loses nothing while the shard is read, and would only join again too early
        Err(ErrorCode::CoordinatorLoadInProgress) => HeartbeatResponse::default(),
        Err(error) => HeartbeatResponse {
            error_code: error.code(),
            ..HeartbeatResponse::default()
        },
    }
}

/// Answers a LeaveGroup.
pub async fn leave_group(
    context: &Context,
    request: &RequestContext,
    mut body: LeaveGroupRequest,
) -> LeaveGroupResponse {
    let is_batch = request.api_version >= LEAVE_BATCH_VERSION;
    if !is_batch {
        body.members = vec![MemberIdentity {
            member_id: std::mem::take(&mut body.member_id),
            ..MemberIdentity::default()
        }];
    }
    let group_id = body.group_id.clone();
    let mut response = match ask_members(context, request, &group_id, body).await {
        Ok(response) => response,
        Err(error) => LeaveGroupResponse {
            error_code: error.code(),
            ..LeaveGroupResponse::default()
        },
    };
    if !is_batch && let Some(member) = response.members.pop() {
        response.error_code = member.error_code;
    }
    response
}
