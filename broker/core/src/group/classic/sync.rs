//! SyncGroup and Heartbeat: the leader's assignments reach everybody, and members show that they
//! live.

use std::collections::BTreeMap;

use bytes::Bytes;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::groups::{
    HeartbeatRequest, SyncGroupRequest, SyncGroupRequestAssignment,
};

use super::super::{GroupId, Step};
use super::{Classic, MemberId, State, sync_error};
use crate::shard::Token;

impl Classic {
    /// SyncGroup.
    pub(in crate::group) fn sync(
        &mut self,
        id: &GroupId,
        token: Token,
        body: SyncGroupRequest,
        step: &mut Step<'_>,
    ) {
        if let Err(error) = self.check_sync(&body) {
            return step.decision.reply(token, sync_error(error));
        }
        match self.state {
            State::Empty | State::PreparingRebalance => {
                unreachable!("check_sync refuses these states")
            }
            State::CompletingRebalance => {
                self.park_sync(&body.member_id, token, step);
                if self.is_leader(&body.member_id) {
                    self.assign(body.assignments);
                    self.transition(State::Stable, step.now);
                    self.write(id, step.decision);
                    self.answer_syncs(step);
                }
            }
            State::Stable => {
                self.has_synced(&body.member_id);
                let response = self.synced(&body.member_id);
                step.decision.reply(token, response);
                self.heard_from(&body.member_id, step.now);
            }
        }
    }

    fn check_sync(&self, body: &SyncGroupRequest) -> Result<(), ErrorCode> {
        self.check_member(&body.member_id, body.group_instance_id.as_deref())?;
        if body.generation_id != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        // before what it says of the protocol: a group that was downgraded may go by another, and
        // whoever joins again learns it
        match self.state {
            State::Empty => return Err(ErrorCode::UnknownMemberId),
            State::PreparingRebalance => return Err(ErrorCode::RebalanceInProgress),
            State::CompletingRebalance | State::Stable => {}
        }
        let differs = |given: &Option<String>, ours: &Option<String>| {
            given.is_some() && given.as_deref() != ours.as_deref()
        };
        match differs(&body.protocol_type, &self.protocol_type)
            || differs(&body.protocol_name, &self.protocol_name)
        {
            true => Err(ErrorCode::InconsistentGroupProtocol),
            false => Ok(()),
        }
    }

    /// Parks a sync. An older one of the same member is answered: its client no longer waits for
    /// it.
    fn park_sync(&mut self, member_id: &str, token: Token, step: &mut Step<'_>) {
        self.has_synced(member_id);
        if let Some(member) = self.members.get_mut(member_id)
            && let Some(old) = member.sync.replace(token)
        {
            step.decision
                .reply(old, sync_error(ErrorCode::RebalanceInProgress));
        }
    }

    fn has_synced(&mut self, member_id: &str) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.owes_sync = false;
        }
        if self.sync_deadline_ms.is_some() && self.members.values().all(|member| !member.owes_sync)
        {
            self.sync_deadline_ms = None;
        }
    }

    /// Members that the leader gave nothing get an empty assignment; names it made up are ignored.
    fn assign(&mut self, assignments: Vec<SyncGroupRequestAssignment>) {
        let mut given: BTreeMap<String, Bytes> = assignments
            .into_iter()
            .map(|assignment| (assignment.member_id, assignment.assignment))
            .collect();
        for (member_id, member) in &mut self.members {
            let assignment = given.remove(&**member_id).unwrap_or_default();
            member.assignment = Bytes::copy_from_slice(&assignment);
        }
    }

    fn answer_syncs(&mut self, step: &mut Step<'_>) {
        let waiting: Vec<(MemberId, Token)> = self
            .members
            .iter_mut()
            .filter_map(|(id, member)| member.sync.take().map(|token| (id.clone(), token)))
            .collect();
        for (member_id, token) in waiting {
            let response = self.synced(&member_id);
            step.decision.reply(token, response);
            self.heard_from(&member_id, step.now);
        }
    }

    /// Heartbeat.
    pub(in crate::group) fn heartbeat(
        &mut self,
        body: &HeartbeatRequest,
        step: &mut Step<'_>,
    ) -> ErrorCode {
        let instance_id = body.group_instance_id.as_deref();
        if let Err(error) = self.check_member(&body.member_id, instance_id) {
            return error;
        }
        if body.generation_id != self.generation {
            return ErrorCode::IllegalGeneration;
        }
        self.heard_from(&body.member_id, step.now);
        match self.state {
            State::PreparingRebalance => ErrorCode::RebalanceInProgress,
            State::Empty | State::CompletingRebalance | State::Stable => ErrorCode::None,
        }
    }
}
