//! Requests of the consumer protocol (KIP-848), and time: finds the group and its sessions for
//! them.

use std::collections::BTreeSet;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::consumer_groups::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, DescribedGroup,
};
use ottla_protocol::messages::groups::{LeaveGroupRequest, LeaveGroupResponse, MemberResponse};

use super::classic::State;
use super::consumer::advance::Terms;
use super::consumer::check::check;
use super::consumer::heartbeat::{Beat, LEAVE_EPOCH, known};
use super::consumer::sessions::Sessions;
use super::consumer::state::Consumer;
use super::consumer::wire::Refusal;
use super::consumer::{Heartbeat, describe};
use super::soft::Soft;
use super::{Client, GroupId, Record, Response, Shard, Step};
use crate::shard::Token;

impl Shard {
    /// The group, where it is one of the consumer protocol.
    pub(super) fn consumer(&self, id: &str) -> Option<&Consumer> {
        let group = self.groups.get(id)?;
        (!group.consumer.is_nothing()).then_some(&group.consumer)
    }

    /// The group, where members of the consumer protocol are in it, or were and others stayed.
    pub(super) fn consumers(&self, id: &str) -> Option<&Consumer> {
        self.consumer(id).filter(|group| group.has_members())
    }

    /// ConsumerGroupHeartbeat.
    pub(super) fn consumer_heartbeat(
        &self,
        soft: &mut Soft,
        token: Token,
        (version, client): (i16, &Client),
        request: &Heartbeat,
        step: &mut Step<'_>,
    ) {
        let checked = check(&request.body, version);
        let response = checked.and_then(|()| self.beat(soft, client, request, step));
        let response = response.unwrap_or_else(Refusal::response);
        let response = Response::ConsumerGroupHeartbeat(response);
        step.decision.reply(token, response);
    }

    fn beat(
        &self,
        soft: &mut Soft,
        client: &Client,
        request: &Heartbeat,
        step: &mut Step<'_>,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let id: GroupId = request.body.group_id.as_str().into();
        let nothing = Consumer::default();
        let epoch = request.body.member_epoch;
        let classic = soft.classic(&id);
        let classic = classic.filter(|classic| classic.state() != State::Empty);
        let upgraded = match classic.filter(|_| self.consumers(&id).is_none()) {
            Some(classic) if epoch == 0 => Some(self.upgrade(soft, &id, classic)?),
            Some(_) => {
                let message = format!("Group {id} is not a consumer group.");
                return Err(Refusal::new(ErrorCode::GroupIdNotFound, message));
            }
            None => None,
        };
        let (group, before) = match (&upgraded, self.consumer(&id)) {
            (Some((group, records)), _) => (group, records.clone()),
            (None, Some(group)) => (group, Vec::new()),
            (None, None) => (&nothing, self.found(soft, &id, epoch)?),
        };
        if epoch == LEAVE_EPOCH {
            return self.leave_by_heartbeat(soft, (&id, group), &request.body, step);
        }
        let image = soft.image.clone();
        let times = step.settings.consumer_times(&image, &id);
        let beat = Beat {
            request,
            terms: Terms {
                client,
                image: &image,
                now: step.now,
                size_max: step.settings.consumer_group_size_max,
                assignment_interval_ms: times.assignment_interval_ms,
                visible: &request.visible,
            },
        };
        let timeout_ms = times.session_timeout_ms;
        let decide =
            |sessions: &mut Sessions| beat.decide((&id, group), before, sessions, timeout_ms);
        let (records, told) = match upgraded {
            Some(_) => {
                let mut sessions = Sessions::begin(group, step.now, timeout_ms);
                let decided = decide(&mut sessions)?;
                soft.become_consumers(&id, sessions, step.decision);
                decided
            }
            None => soft.with_sessions(&id, decide)?,
        };
        step.decision.records.extend(records);
        Ok(told.response(times.heartbeat_interval_ms))
    }

    /// Begins a group, which may have been a classic one that is empty.
    fn found(
        &self,
        soft: &mut Soft,
        id: &GroupId,
        member_epoch: i32,
    ) -> Result<Vec<Record>, Refusal> {
        if member_epoch != 0 {
            let message = format!("Group {id} not found.");
            return Err(Refusal::new(ErrorCode::GroupIdNotFound, message));
        }
        soft.forget(id);
        let generation = self.generation(id).map(|_| Record::Group {
            group: id.clone(),
            value: None,
        });
        Ok(generation.into_iter().collect())
    }

    /// A member says that it leaves for good.
    fn leave_by_heartbeat(
        &self,
        soft: &mut Soft,
        (id, group): (&GroupId, &Consumer),
        body: &ConsumerGroupHeartbeatRequest,
        step: &mut Step<'_>,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let (member_id, _) = known(group, &body.member_id, body.instance_id.as_deref())?;
        let response = ConsumerGroupHeartbeatResponse {
            member_id: Some(member_id.to_string()),
            member_epoch: LEAVE_EPOCH,
            ..ConsumerGroupHeartbeatResponse::default()
        };
        self.remove_members(soft, id, &[member_id].into(), step);
        Ok(response)
    }

    /// LeaveGroup to a group of the consumer protocol: its members go too.
    pub(super) fn leave_by_request(
        &self,
        soft: &mut Soft,
        (id, group): (&GroupId, &Consumer),
        body: &LeaveGroupRequest,
        step: &mut Step<'_>,
    ) -> LeaveGroupResponse {
        let mut gone = BTreeSet::new();
        let members = body.members.iter().map(|one| {
            let instance_id = one.group_instance_id.as_deref();
            let holder = instance_id.and_then(|name| group.instance(name));
            let found = match holder.filter(|_| one.member_id.is_empty()) {
                // an operator may name a static member by its instance id alone
                Some(holder) => Ok(holder.clone()),
                None => known(group, &one.member_id, instance_id).map(|(id, _)| id),
            };
            let error = found.map(|id| gone.insert(id)).err();
            MemberResponse {
                member_id: one.member_id.clone(),
                group_instance_id: one.group_instance_id.clone(),
                error_code: error
                    .map_or(ErrorCode::None, |refusal| refusal.error)
                    .code(),
            }
        });
        let members = members.collect();
        self.remove_members(soft, id, &gone, step);
        LeaveGroupResponse {
            members,
            ..LeaveGroupResponse::default()
        }
    }

    /// ConsumerGroupDescribe, one group.
    pub(super) fn describe_consumer(&self, soft: &Soft, id: &str) -> DescribedGroup {
        match self.consumer(id) {
            Some(group) => describe::describe(id, group, &soft.image),
            None => {
                let is_classic = soft.classic(id).is_some() || self.groups.contains_key(id);
                describe::describe_absent(id, is_classic)
            }
        }
    }
}
