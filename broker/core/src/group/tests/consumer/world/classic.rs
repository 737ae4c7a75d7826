//! What members of the classic protocol ask of the group.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::groups;

use super::World;
use crate::group::tests::bodies::GROUP;
use crate::group::{Body, Response};

impl World {
    pub(super) fn classic_leave(&mut self, members: &str) {
        let identity = |member: &str| match member.strip_prefix(':') {
            Some(instance_id) => groups::MemberIdentity {
                group_instance_id: Some(instance_id.to_owned()),
                ..groups::MemberIdentity::default()
            },
            None => groups::MemberIdentity {
                member_id: member.to_owned(),
                ..groups::MemberIdentity::default()
            },
        };
        let body = groups::LeaveGroupRequest {
            group_id: GROUP.to_owned(),
            members: members.split(',').map(identity).collect(),
            ..groups::LeaveGroupRequest::default()
        };
        let line = match self.ask(5, Body::LeaveGroup(body)) {
            Some(Response::LeaveGroup(answer)) => {
                let errors = answer.members.iter();
                let errors = errors.map(|one| ErrorCode::from(one.error_code).to_string());
                errors.collect::<Vec<_>>().join(", ")
            }
            other => format!("{other:?}"),
        };
        self.say(&format!("    {line}"));
    }
}
