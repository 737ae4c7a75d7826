//! Groups that change their protocol while they have members (KIP-848, online migration): what
//! members of the classic protocol ask of a group of the consumer protocol, and how a group becomes
//! the one or the other.

use std::collections::BTreeSet;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::groups::{HeartbeatRequest, JoinGroupResponse, SyncGroupRequest};

use super::classic::{self, Classic, Join, SKIP_ASSIGNMENT_VERSION, not_upgraded};
use super::consumer::Visible;
use super::consumer::advance::Terms;
use super::consumer::classic::{Joined, Joining, PROTOCOL_TYPE, heartbeat, supports, sync};
use super::consumer::heartbeat::remove;
use super::consumer::sessions::Sessions;
use super::consumer::state::{ClassicMember, Consumer, Member, MemberId, Partitions};
use super::consumer::wire::Refusal;
use super::describe::end_consumer;
use super::soft::Soft;
use super::{GroupId, Record, Response, Shard, Step};
use crate::shard::Token;

impl Shard {
    /// What a group with members of the classic protocol becomes when one of the consumer protocol
    /// joins, and the records that make it so.
    pub(super) fn upgrade(
        &self,
        soft: &Soft,
        id: &GroupId,
        classic: &Classic,
    ) -> Result<(Consumer, Vec<Record>), Refusal> {
        if !self.settings.migration.upgrades() {
            return Err(not_upgraded(id, "online upgrade is disabled"));
        }
        if classic.size() > self.settings.consumer_group_size_max {
            let why = "the group size exceeds the consumer group maximum size";
            return Err(not_upgraded(id, why));
        }
        let entries = classic.upgraded(id, &soft.image)?;
        let mut group = Consumer::default();
        let mut records: Vec<Record> = self.generation(id).map(|_| end(id)).into_iter().collect();
        for entry in entries {
            group.put(entry.clone());
            let group = id.clone();
            records.push(Record::Consumer { group, entry });
        }
        Ok((group, records))
    }

    /// Members leave a group of the consumer protocol, or their time is over. Where only members of
    /// the classic protocol stay, it becomes a group of theirs.
    pub(super) fn remove_members(
        &self,
        soft: &mut Soft,
        id: &GroupId,
        members: &BTreeSet<MemberId>,
        step: &mut Step<'_>,
    ) {
        let Some(group) = self.consumer(id).filter(|_| !members.is_empty()) else {
            return;
        };
        let stays = group
            .members
            .iter()
            .filter(|(id, _)| !members.contains(*id));
        let stays: Vec<(&MemberId, &Member)> = stays.map(|(id, one)| (id, &**one)).collect();
        if self.may_downgrade(&stays) {
            // what they have, not what they are to have: others may have that still
            let stays = stays.into_iter();
            let stays = stays.map(|(id, one)| (id, one, group.owned_by(id)));
            self.downgrade(soft, (id, group), (stays, None), step);
            soft.with(id, step, |id, classic, step| classic.rebalance(id, step));
            return;
        }
        let records = remove(id, group, members, &soft.image);
        step.decision.records.extend(records);
        soft.with_sessions(id, |sessions| {
            members.iter().for_each(|id| sessions.forget(id));
        });
    }

    /// Whether these members are a classic group.
    fn may_downgrade(&self, members: &[(&MemberId, &Member)]) -> bool {
        self.settings.migration.downgrades()
            && (1..=self.settings.group_size_max).contains(&members.len())
            && members.iter().all(|(_, member)| member.classic.is_some())
    }

    /// The group becomes one of the classic protocol, of these members, each with its partitions;
    /// without a leader they are to be assigned anew.
    fn downgrade<'a>(
        &self,
        soft: &mut Soft,
        (id, group): (&GroupId, &Consumer),
        (members, leader): (
            impl Iterator<Item = (&'a MemberId, &'a Member, Partitions)>,
            Option<&MemberId>,
        ),
        step: &mut Step<'_>,
    ) {
        let generation = group.group_epoch();
        let mut classic = Classic::downgraded(members, generation, &soft.image, step.now);
        classic.is_led_by(leader);
        end_consumer(id, group, step.decision);
        classic.write(id, step.decision);
        soft.become_classic(id, classic);
    }

    /// JoinGroup to a group with members of the consumer protocol.
    pub(super) fn join_consumers(
        &self,
        soft: &mut Soft,
        (id, group): (&GroupId, &Consumer),
        join: &Join,
        step: &mut Step<'_>,
    ) {
        let response = match self.joins(soft, (id, group), join, step) {
            Ok(response) => Response::JoinGroup(response),
            Err((error, member_id)) => classic::join_error(join.version, &member_id, error),
        };
        step.decision.reply(join.token, response);
    }

    fn joins(
        &self,
        soft: &mut Soft,
        (id, group): (&GroupId, &Consumer),
        join: &Join,
        step: &mut Step<'_>,
    ) -> Result<JoinGroupResponse, (ErrorCode, String)> {
        let body = &join.body;
        let refused = |error: ErrorCode| (error, String::new());
        join.check_session_timeout(step.settings)
            .map_err(|error| (error, body.member_id.clone()))?;
        let classic = ClassicMember {
            session_timeout_ms: body.session_timeout_ms,
            protocols: join.protocols(),
        };
        let is_served = self.settings.migration.is_enabled();
        if !is_served || !supports(group, &body.protocol_type, &classic) {
            return Err(refused(ErrorCode::InconsistentGroupProtocol));
        }
        let instance_id = body.group_instance_id.as_deref();
        let holder = instance_id.and_then(|name| group.instance(name));
        let is_in = group.member(&body.member_id).is_some() || holder.is_some();
        if !is_in && group.size() >= step.settings.consumer_group_size_max {
            return Err(refused(ErrorCode::GroupMaxSizeReached));
        }
        let is_new = body.member_id.is_empty();
        let member_id: MemberId = match is_new {
            true => join.new_member_id(),
            false => body.member_id.as_str().into(),
        };
        if join.needs_member_id() {
            return Err((ErrorCode::MemberIdRequired, member_id.to_string()));
        }
        let image = soft.image.clone();
        let times = step.settings.consumer_times(&image, id);
        let visible = Visible::default();
        let joining = Joining {
            terms: Terms {
                client: &join.client,
                image: &image,
                now: step.now,
                size_max: step.settings.consumer_group_size_max,
                assignment_interval_ms: times.assignment_interval_ms,
                visible: &visible,
            },
            id: member_id,
            is_new,
            instance_id,
            rebalance_timeout_ms: join.rebalance_timeout_ms(),
            classic,
        };
        let holder = holder.filter(|holder| is_new || ***holder == *body.member_id);
        if let Some(holder) = holder {
            let new = joining.member(group.member(holder)).map_err(refused)?;
            let new = (&joining.id, &new.0);
            let knows_skipping = join.version >= SKIP_ASSIGNMENT_VERSION;
            let place = (holder, new, knows_skipping);
            if let Some(response) = self.replaces(soft, (id, group), place, step) {
                return Ok(response);
            }
        }
        let decide = |sessions: &mut Sessions| joining.decide((id, group), sessions);
        let (records, joined) = soft.with_sessions(id, decide).map_err(refused)?;
        step.decision.records.extend(records);
        Ok(answer(joined))
    }

    /// A static member of the classic protocol takes the place of the last one of the consumer
    /// protocol, and leads; none where others of that protocol stay. All join again where what they
    /// have is not all there is, or where the new one cannot lead without assigning.
    fn replaces(
        &self,
        soft: &mut Soft,
        (id, group): (&GroupId, &Consumer),
        (holder, (new_id, new), knows_skipping): (&MemberId, (&MemberId, &Member), bool),
        step: &mut Step<'_>,
    ) -> Option<JoinGroupResponse> {
        let old = group.member(holder).filter(|old| old.classic.is_none())?;
        let mut stay = group.members.iter().filter(|(id, _)| *id != holder);
        // where members are still to give something up, targets are not what they have; and each
        // was told the assignor that it likes best, where a classic group has one
        let preferred = |member: &Member| member.preferred().map(str::to_owned);
        let ours = preferred(new);
        let is_stale = old.topics != new.topics
            || old.regex.is_some()
            || group.assignment_epoch() < group.group_epoch()
            || group.has_other_topics(&soft.image)
            || !knows_skipping
            || !stay.all(|(id, one)| group.has_target(id) && preferred(one) == ours);
        let others = group.members.iter().filter(|(id, _)| *id != holder);
        let mut members: Vec<(&MemberId, &Member)> = others.map(|(id, m)| (id, &**m)).collect();
        members.push((new_id, new));
        if !self.may_downgrade(&members) {
            return None;
        }
        let owned = |id: &MemberId| match id == new_id {
            true => group.target_of(holder).cloned().unwrap_or_default(),
            false => group.owned_by(id),
        };
        let members = members.into_iter().map(|(id, one)| (id, one, owned(id)));
        let leader = (!is_stale).then_some(new_id);
        self.downgrade(soft, (id, group), (members, leader), step);
        let mut response = None;
        soft.with(id, step, |id, classic, step| {
            response = Some(classic.joined_as_it_is(new_id));
            if is_stale {
                classic.rebalance(id, step);
            }
        });
        response
    }

    /// SyncGroup to a group of the consumer protocol.
    pub(super) fn sync_consumers(
        &self,
        soft: &mut Soft,
        token: Token,
        (id, group): (&GroupId, &Consumer),
        body: &SyncGroupRequest,
        step: &mut Step<'_>,
    ) {
        let (image, now) = (soft.image.clone(), step.now);
        let synced = soft.with_sessions(id, |sessions| sync(group, body, &image, (sessions, now)));
        let response = match synced {
            Ok(response) => Response::SyncGroup(response),
            Err(error) => classic::sync_error(error),
        };
        step.decision.reply(token, response);
    }

    /// Heartbeat to a group of the consumer protocol.
    pub(super) fn heartbeat_consumers(
        &self,
        soft: &mut Soft,
        (id, group): (&GroupId, &Consumer),
        body: &HeartbeatRequest,
        step: &mut Step<'_>,
    ) -> ErrorCode {
        let (image, now) = (soft.image.clone(), step.now);
        let times = step.settings.consumer_times(&image, id);
        let beat = soft.with_sessions(id, |sessions| {
            heartbeat(group, body, &image, (sessions, now), times)
        });
        beat.err().unwrap_or(ErrorCode::None)
    }
}

fn end(id: &GroupId) -> Record {
    Record::Group {
        group: id.clone(),
        value: None,
    }
}

fn answer(joined: Joined) -> JoinGroupResponse {
    JoinGroupResponse {
        error_code: ErrorCode::None.code(),
        generation_id: joined.epoch,
        protocol_type: Some(PROTOCOL_TYPE.to_owned()),
        protocol_name: Some(joined.protocol),
        member_id: joined.id.to_string(),
        ..JoinGroupResponse::default()
    }
}
