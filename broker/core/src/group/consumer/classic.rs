//! Members of the classic protocol in a group of the consumer protocol, while its members change
//! from the one to the other (KIP-848, online migration).
//!
//! A generation is the member's epoch, and nobody leads: the coordinator assigns. JoinGroup says
//! what the member subscribes to and has still, SyncGroup asks for what it has from now on, and
//! Heartbeat is told when the member shall join again: to learn of a new target, when it has given
//! up what it shall not keep, or when what it waits for is free.

use std::sync::Arc;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::TopicId;
use ottla_protocol::messages::groups::{HeartbeatRequest, SyncGroupRequest, SyncGroupResponse};

use super::advance::{Moves, Terms};
use super::heartbeat::known;
use super::sessions::Sessions;
use super::state::{
    ClassicMember, Consumer, Current, Given, Member, MemberId, MemberState, Partitions,
};
use super::{Draft, embedded};
use crate::group::settings::ConsumerTimes;
use crate::group::{GroupId, Record};
use crate::image::MetadataImage;
use crate::shard::Now;

/// The protocol type of consumers.
pub const PROTOCOL_TYPE: &str = "consumer";

/// A JoinGroup while it is decided.
pub struct Joining<'a> {
    /// By what.
    pub terms: Terms<'a>,
    /// The member's id; a new one where it has none.
    pub id: MemberId,
    /// Whether it has none.
    pub is_new: bool,
    /// `group.instance.id`
    pub instance_id: Option<&'a str>,
    /// `max.poll.interval.ms`
    pub rebalance_timeout_ms: i32,
    /// What else it says of itself.
    pub classic: ClassicMember,
}

/// A member that joined.
pub struct Joined {
    /// Which.
    pub id: MemberId,
    /// Its generation.
    pub epoch: i32,
    /// The assignor that it likes best.
    pub protocol: String,
}

/// Whether all members of the classic protocol know one of these assignors.
pub fn supports(group: &Consumer, protocol_type: &str, classic: &ClassicMember) -> bool {
    let knows = |member: &ClassicMember, name: &str| {
        let mut protocols = member.protocols.iter();
        protocols.any(|protocol| protocol.name == name)
    };
    let others = group.members.values();
    let others: Vec<&ClassicMember> = others.filter_map(|m| m.classic.as_ref()).collect();
    let is_known_to_all = |name: &str| others.iter().all(|member| knows(member, name));
    protocol_type == PROTOCOL_TYPE
        && classic
            .protocols
            .iter()
            .any(|protocol| is_known_to_all(&protocol.name))
}

impl Joining<'_> {
    /// What the request comes to; the group has room for the member and supports its protocols.
    pub fn decide(
        self,
        (id, group): (&GroupId, &Consumer),
        sessions: &mut Sessions,
    ) -> Result<(Vec<Record>, Joined), ErrorCode> {
        let mut draft = Draft::of(id, group, Vec::new());
        let before = self.come(&mut draft, sessions)?;
        let (member, owned) = self.member(before.as_deref())?;
        let current = draft.group.current.get(&self.id).cloned();
        let current = current.unwrap_or_else(|| Arc::new(Current::joining(Given::new())));
        let moves = Moves {
            id: &self.id,
            before: before.as_ref(),
            member: &Arc::new(member),
            current: &current,
            owned: Some(&owned),
        };
        let next = draft.advance(&self.terms, sessions, &moves);
        let now = self.terms.now;
        sessions.heard_from(&self.id, now, self.classic.session_timeout_ms);
        // who still has what it is to give up has no more time for it
        let is_other =
            next.state != MemberState::UnrevokedPartitions || next.revoking != current.revoking;
        sessions.owes(
            &self.id,
            Some(now.after(self.rebalance_timeout_ms)),
            is_other,
        );
        let protocol = self.classic.preferred().0.to_owned();
        let joined = Joined {
            id: self.id,
            epoch: next.member_epoch,
            protocol,
        };
        Ok((draft.records, joined))
    }

    /// The member as it is by this request, and what it has still.
    pub fn member(&self, before: Option<&Member>) -> Result<(Member, Partitions), ErrorCode> {
        let (_, metadata) = self.classic.preferred();
        let said = embedded::subscription(metadata);
        let said = said.ok_or(ErrorCode::InconsistentGroupProtocol)?;
        let mut member = before.cloned().unwrap_or_default();
        member.client = self.terms.client.clone();
        member.instance_id = self.instance_id.map(str::to_owned);
        member.rack_id = said.rack_id.or(member.rack_id);
        member.topics = said
            .topics
            .iter()
            .map(|name| name.as_str().into())
            .collect();
        member.regex = None;
        member.rebalance_timeout_ms = self.rebalance_timeout_ms;
        member.classic = Some(self.classic.clone());
        let owned = embedded::owned(&said.owned_partitions, self.terms.image);
        Ok((member, owned))
    }

    /// The member as it was; a static one takes the place of the member with its instance id.
    fn come(
        &self,
        draft: &mut Draft<'_>,
        sessions: &mut Sessions,
    ) -> Result<Option<Arc<Member>>, ErrorCode> {
        let holder = self.instance_id.and_then(|name| draft.group.instance(name));
        match holder.cloned() {
            Some(holder) if self.is_new => {
                draft.replace(&holder, &self.id);
                sessions.forget(&holder);
            }
            _ if self.instance_id.is_some() && !self.is_new => {
                let known = known(&draft.group, &self.id, self.instance_id);
                known.map_err(|refusal| refusal.error)?;
            }
            _ => {}
        }
        Ok(draft.group.members.get(&self.id).cloned())
    }
}

/// A member of the classic protocol, in its generation.
fn in_generation<'a>(
    group: &'a Consumer,
    (id, instance_id): (&str, Option<&str>),
    generation: i32,
) -> Result<(MemberId, Arc<Member>, &'a Current), ErrorCode> {
    let found = known(group, id, instance_id);
    let (id, member) = found.map_err(|refusal| refusal.error)?;
    if member.classic.is_none() {
        return Err(ErrorCode::UnknownMemberId);
    }
    let current = group.current.get(&id);
    let current = current.filter(|current| current.member_epoch == generation);
    let current = current.ok_or(ErrorCode::IllegalGeneration)?;
    Ok((id, member, current))
}

/// The member has to join again, for which it has some time.
fn join_again(sessions: &mut Sessions, id: &MemberId, member: &Member, now: Now) -> ErrorCode {
    sessions.owes(id, Some(now.after(member.rebalance_timeout_ms)), false);
    ErrorCode::RebalanceInProgress
}

/// SyncGroup.
pub fn sync(
    group: &Consumer,
    body: &SyncGroupRequest,
    image: &MetadataImage,
    (sessions, now): (&mut Sessions, Now),
) -> Result<SyncGroupResponse, ErrorCode> {
    let who = (&*body.member_id, body.group_instance_id.as_deref());
    let (id, member, current) = in_generation(group, who, body.generation_id)?;
    let Some(classic) = &member.classic else {
        return Err(ErrorCode::UnknownMemberId);
    };
    // before what it says of the protocol: a group that was upgraded went by one for all
    let is_revoking = current.state == MemberState::UnrevokedPartitions;
    if group.assignment_epoch() > current.member_epoch && !is_revoking {
        return Err(join_again(sessions, &id, &member, now));
    }
    let is_of_consumers = |said: &String| said == PROTOCOL_TYPE;
    let metadata = match &body.protocol_name {
        Some(name) => classic.subscription(name),
        None => Some(classic.preferred().1),
    };
    let is_known = body.protocol_type.as_ref().is_none_or(is_of_consumers);
    let metadata = metadata.filter(|_| is_known);
    let metadata = metadata.ok_or(ErrorCode::InconsistentGroupProtocol)?;
    sessions.heard_from(&id, now, classic.session_timeout_ms);
    if !is_revoking {
        sessions.owes(&id, None, false);
    }
    let assigned = current.assigned.iter();
    let assigned = assigned.map(|(topic, given)| (*topic, given.keys().copied().collect()));
    Ok(SyncGroupResponse {
        protocol_type: body.protocol_type.clone(),
        protocol_name: body.protocol_name.clone(),
        assignment: embedded::assigned(&assigned.collect(), metadata, image),
        ..SyncGroupResponse::default()
    })
}

/// Heartbeat.
pub fn heartbeat(
    group: &Consumer,
    body: &HeartbeatRequest,
    image: &MetadataImage,
    (sessions, now): (&mut Sessions, Now),
    times: ConsumerTimes,
) -> Result<(), ErrorCode> {
    let who = (&*body.member_id, body.group_instance_id.as_deref());
    let (id, member, current) = in_generation(group, who, body.generation_id)?;
    sessions.heard_from(&id, now, member.session_timeout_ms(0));
    let joins_again = match current.state {
        MemberState::UnrevokedPartitions | MemberState::Unknown => true,
        _ if current.member_epoch < group.assignment_epoch() => true,
        MemberState::UnreleasedPartitions if group.is_target_free(&id, current) => true,
        // a consumer makes the target; where there is none, a member that joins again does
        _ => {
            let is_behind = group.assignment_epoch() < group.group_epoch();
            (is_behind || sessions.are_topics_news)
                && !group.is_seen_to(sessions, now, times)
                && (is_behind || group.has_news(sessions, image))
        }
    };
    match joins_again {
        true => Err(join_again(sessions, &id, &member, now)),
        false => Ok(()),
    }
}

impl Consumer {
    /// Whether a member of the consumer protocol is there: not away, and not silent for as long as
    /// two heartbeats take.
    fn is_seen_to(&self, sessions: &Sessions, now: Now, times: ConsumerTimes) -> bool {
        let silent_ms = times.heartbeat_interval_ms.saturating_mul(2);
        let mut members = self.members.iter();
        let is_here = |id| self.current.get(id).is_some_and(|c| c.member_epoch >= 0);
        members.any(|(id, member)| {
            member.classic.is_none()
                && is_here(id)
                && sessions.was_heard_within(id, now, times.session_timeout_ms, silent_ms)
        })
    }

    /// Whether the group's own topics have changed, where any have.
    fn has_news(&self, sessions: &mut Sessions, image: &MetadataImage) -> bool {
        sessions.are_topics_news = self.has_other_topics(image);
        sessions.are_topics_news
    }

    /// Whether nobody else has any of a member's target still.
    fn is_target_free(&self, id: &MemberId, current: &Current) -> bool {
        let target = self.target.get(id);
        let all = target.into_iter().flat_map(|target| target.iter());
        let mut all = all.flat_map(|(topic, indexes)| indexes.iter().map(|i| (*topic, *i)));
        let has = |topic: TopicId, index: i32| {
            let given = current.assigned.get(&topic);
            given.is_some_and(|given| given.contains_key(&index))
        };
        all.all(|(topic, index)| has(topic, index) || self.is_free_for(topic, index, id))
    }
}
