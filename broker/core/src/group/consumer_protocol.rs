//! Requests of the consumer protocol (KIP-848), and time: finds the group and its sessions for
//! them.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::consumer_groups::{ConsumerGroupHeartbeatResponse, DescribedGroup};

use super::classic::{Classic, State};
use super::consumer::check::check;
use super::consumer::heartbeat::{Beat, give_up};
use super::consumer::state::{Consumer, MemberId};
use super::consumer::wire::Refusal;
use super::consumer::{Heartbeat, describe};
use super::soft::Soft;
use super::{Client, GroupId, Record, Response, Shard, Step};
use crate::metadata::features::GROUP_VERSION;
use crate::shard::Token;

impl Shard {
    /// The group, where it is one of the consumer protocol.
    pub(super) fn consumer(&self, id: &str) -> Option<&Consumer> {
        let group = self.groups.get(id)?;
        (!group.consumer.is_nothing()).then_some(&group.consumer)
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
        let checked = self.check_served(soft);
        let checked = checked.and_then(|()| check(&request.body, version));
        let response = checked.and_then(|()| self.beat(soft, client, request, step));
        let response = response.unwrap_or_else(Refusal::response);
        let response = Response::ConsumerGroupHeartbeat(response);
        step.decision.reply(token, response);
    }

    fn check_served(&self, soft: &Soft) -> Result<(), Refusal> {
        match self.settings.serves_consumers && soft.image.feature(GROUP_VERSION) >= 1 {
            true => Ok(()),
            false => Err(Refusal::new(
                ErrorCode::UnsupportedVersion,
                "Groups of the consumer protocol are not served: group.version is 0, or \
                 group.coordinator.rebalance.protocols has no consumer.",
            )),
        }
    }

    fn beat(
        &self,
        soft: &mut Soft,
        client: &Client,
        request: &Heartbeat,
        step: &mut Step<'_>,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let id: GroupId = request.body.group_id.as_str().into();
        let state = soft.classic(&id).map_or(State::Empty, Classic::state);
        if state != State::Empty {
            let message = format!("Group {id} is not a consumer group.");
            return Err(Refusal::new(ErrorCode::GroupIdNotFound, message));
        }
        let nothing = Consumer::default();
        let (group, before) = match self.consumer(&id) {
            Some(group) => (group, Vec::new()),
            None => (&nothing, self.found(soft, &id, request.body.member_epoch)?),
        };
        let image = soft.image.clone();
        let times = step.settings.consumer_times(&image, &id);
        let beat = Beat {
            client,
            request,
            image: &image,
            now: step.now,
            size_max: step.settings.consumer_group_size_max,
            assignment_interval_ms: times.assignment_interval_ms,
        };
        let (records, told) = soft.with_sessions(&id, |sessions| {
            beat.decide((&id, group), before, sessions, times.session_timeout_ms)
        })?;
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

    /// Members whose time is over are removed.
    pub(super) fn give_up(
        &self,
        soft: &Soft,
        id: &GroupId,
        members: &[MemberId],
        step: &mut Step<'_>,
    ) {
        if let Some(group) = self.consumer(id) {
            let records = give_up(id, group, members, &soft.image);
            step.decision.records.extend(records);
        }
    }

    /// ConsumerGroupDescribe, one group.
    pub(super) fn describe_consumer(&self, soft: &Soft, id: &str) -> DescribedGroup {
        if let Err(refusal) = self.check_served(soft) {
            return describe::describe_refused(id, refusal);
        }
        match self.consumer(id) {
            Some(group) => describe::describe(id, group, &soft.image),
            None => {
                let is_classic = soft.classic(id).is_some() || self.groups.contains_key(id);
                describe::describe_absent(id, is_classic)
            }
        }
    }
}
