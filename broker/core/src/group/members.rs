//! What members of the classic protocol ask: of a group of theirs, or of one of the consumer
//! protocol that they are in.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::groups::{HeartbeatRequest, LeaveGroupRequest, SyncGroupRequest};

use super::classic::{self, Classic};
use super::soft::Soft;
use super::{GroupId, Response, Shard, Step, describe};
use crate::shard::Token;

/// The requests of members that have joined.
pub(super) enum Members {
    /// SyncGroup.
    Sync(SyncGroupRequest),
    /// Heartbeat.
    Heartbeat(HeartbeatRequest),
    /// LeaveGroup.
    Leave(LeaveGroupRequest),
}

impl Shard {
    /// A JoinGroup may create its group.
    pub(super) fn join(&self, soft: &mut Soft, join: classic::Join, step: &mut Step<'_>) {
        let id: GroupId = join.body.group_id.as_str().into();
        let is_known = soft.classic(&id).is_some() || self.groups.contains_key(&id);
        if !is_known && !join.body.member_id.is_empty() {
            let refusal = join.error(ErrorCode::UnknownMemberId);
            return step.decision.reply(join.token, refusal);
        }
        if let Some(group) = self.consumers(&id) {
            return self.join_consumers(soft, (&id, group), &join, step);
        }
        soft.with_new(&id, step, |id, classic, step| classic.join(id, join, step));
        // whoever was refused has changed nothing
        let is_classic_now = soft
            .classic(&id)
            .is_some_and(|classic| !classic.is_vestige());
        if let Some(group) = self.consumer(&id).filter(|_| is_classic_now) {
            describe::end_consumer(&id, group, step.decision);
        }
    }

    /// What a request about a group's members comes to.
    pub(super) fn serve_members(
        &self,
        soft: &mut Soft,
        token: Token,
        body: Members,
        step: &mut Step<'_>,
    ) {
        let unknown = ErrorCode::UnknownMemberId;
        match body {
            Members::Sync(body) => {
                let id: GroupId = body.group_id.as_str().into();
                if let Some(group) = self.consumers(&id) {
                    return self.sync_consumers(soft, token, (&id, group), &body, step);
                }
                let serve = |id: &GroupId, classic: &mut Classic, step: &mut Step<'_>| {
                    classic.sync(id, token, body, step);
                };
                if !soft.with(&id, step, serve) {
                    step.decision.reply(token, classic::sync_error(unknown));
                }
            }
            Members::Heartbeat(body) => {
                let mut error = unknown;
                let id: GroupId = body.group_id.as_str().into();
                match self.consumers(&id) {
                    Some(group) => {
                        error = self.heartbeat_consumers(soft, (&id, group), &body, step);
                    }
                    None => {
                        soft.with(&id, step, |_, classic, step| {
                            error = classic.heartbeat(&body, step);
                        });
                    }
                }
                step.decision.replies.push(classic::heartbeat(token, error));
            }
            Members::Leave(body) => {
                let id: GroupId = body.group_id.as_str().into();
                if let Some(group) = self.consumers(&id) {
                    let response = self.leave_by_request(soft, (&id, group), &body, step);
                    return step.decision.reply(token, Response::LeaveGroup(response));
                }
                let is_served = soft.with(&body.group_id, step, |id, classic, step| {
                    classic.leave(id, token, &body, step);
                });
                if !is_served {
                    step.decision.reply(token, classic::leave_unknown(&body));
                }
            }
        }
    }
}
