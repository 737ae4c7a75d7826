//! The answers of the classic protocol.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::groups::{
    HeartbeatResponse, JoinGroupResponse, JoinGroupResponseMember, LeaveGroupRequest,
    LeaveGroupResponse, MemberResponse, SyncGroupResponse,
};

use super::super::Response;
use super::Classic;
use crate::shard::{After, Reply, Token};

/// JoinGroup's protocol name is nullable only from this version on.
const JOIN_NULL_PROTOCOL_VERSION: i16 = 7;

/// A refused JoinGroup.
pub(in crate::group) fn join_error(version: i16, member_id: &str, error: ErrorCode) -> Response {
    Response::JoinGroup(JoinGroupResponse {
        error_code: error.code(),
        generation_id: -1,
        protocol_name: (version < JOIN_NULL_PROTOCOL_VERSION).then(String::new),
        member_id: member_id.to_owned(),
        ..JoinGroupResponse::default()
    })
}

/// A refused SyncGroup.
pub(in crate::group) fn sync_error(error: ErrorCode) -> Response {
    Response::SyncGroup(SyncGroupResponse {
        error_code: error.code(),
        ..SyncGroupResponse::default()
    })
}

/// A Heartbeat's answer, which waits for nothing: it only tells a member whether to join again.
pub(in crate::group) fn heartbeat(token: Token, error: ErrorCode) -> Reply<Response> {
    let response = HeartbeatResponse {
        error_code: error.code(),
        ..HeartbeatResponse::default()
    };
    Reply {
        token,
        after: After::Nothing,
        response: Response::Heartbeat(response),
    }
}

/// The answer to LeaveGroup where there is no such group: no member is known.
pub(in crate::group) fn leave_unknown(body: &LeaveGroupRequest) -> Response {
    let members = body.members.iter().map(|member| MemberResponse {
        member_id: member.member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        error_code: ErrorCode::UnknownMemberId.code(),
    });
    Response::LeaveGroup(LeaveGroupResponse {
        members: members.collect(),
        ..LeaveGroupResponse::default()
    })
}

impl Classic {
    /// A member's part of the generation; the leader also gets everybody's subscriptions.
    pub(super) fn joined(&self, member_id: &str) -> JoinGroupResponse {
        JoinGroupResponse {
            error_code: ErrorCode::None.code(),
            generation_id: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.as_deref().unwrap_or("").to_owned(),
            member_id: member_id.to_owned(),
            members: if self.is_leader(member_id) {
                self.subscriptions()
            } else {
                Vec::new()
            },
            ..JoinGroupResponse::default()
        }
    }

    fn subscriptions(&self) -> Vec<JoinGroupResponseMember> {
        let name = self.protocol_name.as_deref().unwrap_or("");
        let members = self
            .members
            .iter()
            .map(|(member_id, member)| JoinGroupResponseMember {
                member_id: member_id.to_string(),
                group_instance_id: member.instance_id.clone(),
                metadata: member.metadata(name),
            });
        members.collect()
    }

    /// A member's assignment.
    pub(super) fn synced(&self, member_id: &str) -> Response {
        let member = self.members.get(member_id);
        Response::SyncGroup(SyncGroupResponse {
            error_code: ErrorCode::None.code(),
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            assignment: member
                .map(|member| member.assignment.clone())
                .unwrap_or_default(),
            ..SyncGroupResponse::default()
        })
    }
}
