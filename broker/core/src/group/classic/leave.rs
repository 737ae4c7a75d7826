//! LeaveGroup: members say goodbye, or an operator says it for them.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::groups::{
    LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse,
};

use super::super::{GroupId, Response, Step};
use super::{Classic, MemberId};
use crate::shard::Token;

impl Classic {
    /// LeaveGroup, any number of members at once.
    pub(in crate::group) fn leave(
        &mut self,
        id: &GroupId,
        token: Token,
        body: &LeaveGroupRequest,
        step: &mut Step<'_>,
    ) {
        let mut members = Vec::with_capacity(body.members.len());
        let members_before = self.members.len();
        for identity in &body.members {
            let error = self.leave_one(identity, step);
            members.push(MemberResponse {
                member_id: identity.member_id.clone(),
                group_instance_id: identity.group_instance_id.clone(),
                error_code: error.code(),
            });
        }
        if self.members.len() < members_before {
            self.rebalance(id, step);
        } else {
            // an id that was never used may have been what the others waited for
            self.complete_join_if_all_joined(id, step);
        }
        let response = LeaveGroupResponse {
            members,
            ..LeaveGroupResponse::default()
        };
        step.decision.reply(token, Response::LeaveGroup(response));
    }

    fn leave_one(&mut self, identity: &MemberIdentity, step: &mut Step<'_>) -> ErrorCode {
        if self.pending.remove(identity.member_id.as_str()).is_some() {
            return ErrorCode::None;
        }
        match self.identify(identity) {
            Ok(member_id) => {
                self.remove_member(&member_id, step.decision);
                ErrorCode::None
            }
            Err(error) => error,
        }
    }

    /// An operator may name a static member by its instance id alone.
    fn identify(&self, identity: &MemberIdentity) -> Result<MemberId, ErrorCode> {
        let instance_id = identity.group_instance_id.as_deref();
        if identity.member_id.is_empty()
            && let Some(instance_id) = instance_id
        {
            let known = self.static_members.get(instance_id);
            return known.cloned().ok_or(ErrorCode::UnknownMemberId);
        }
        self.check_member(&identity.member_id, instance_id)?;
        Ok(identity.member_id.as_str().into())
    }
}
