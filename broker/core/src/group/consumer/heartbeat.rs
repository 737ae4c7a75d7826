//! ConsumerGroupHeartbeat: a member comes, stays or goes, and is told what it has.

use std::collections::BTreeSet;
use std::sync::Arc;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::consumer_groups::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
};

use super::advance::{Moves, Terms};
use super::reconcile::was_given;
use super::request::Heartbeat;
use super::sessions::Sessions;
use super::state::{AWAY_EPOCH, Consumer, Current, Entry, Given, Member, MemberId, MemberState};
use super::wire::{Refusal, assignment, owned};
use super::{Draft, subscription, wire};
use crate::group::{GroupId, Record};
use crate::image::MetadataImage;
use crate::shard::Now;

/// What a member sends that leaves for good.
pub const LEAVE_EPOCH: i32 = -1;

/// One heartbeat while it is decided.
pub struct Beat<'a> {
    /// What it asks.
    pub request: &'a Heartbeat,
    /// By which time and topics.
    pub terms: Terms<'a>,
}

/// What it comes to for the member.
pub struct Told {
    member_id: MemberId,
    current: Current,
    epoch: i32,
    is_assignment_told: bool,
    replaced: Option<MemberId>,
    rebalance_timeout_ms: i32,
    /// It is to give up others than before.
    revokes_others: bool,
}

impl Told {
    /// The answer.
    pub fn response(self, heartbeat_interval_ms: i32) -> ConsumerGroupHeartbeatResponse {
        let assigned = self.is_assignment_told.then_some(self.current.assigned);
        ConsumerGroupHeartbeatResponse {
            member_id: Some(self.member_id.to_string()),
            member_epoch: self.epoch,
            heartbeat_interval_ms,
            assignment: assigned.as_ref().map(assignment),
            ..ConsumerGroupHeartbeatResponse::default()
        }
    }

    fn note(&self, sessions: &mut Sessions, now: Now, session_timeout_ms: i32) {
        if let Some(replaced) = &self.replaced {
            sessions.forget(replaced);
        }
        sessions.heard_from(&self.member_id, now, session_timeout_ms);
        let has_to_revoke = self.current.state == MemberState::UnrevokedPartitions;
        let until = has_to_revoke.then(|| now.after(self.rebalance_timeout_ms));
        sessions.owes(&self.member_id, until, self.revokes_others);
    }
}

/// Removes members that leave, or whose time is over.
pub fn remove(
    id: &GroupId,
    group: &Consumer,
    members: &BTreeSet<MemberId>,
    image: &MetadataImage,
) -> Vec<Record> {
    let mut draft = Draft::of(id, group, Vec::new());
    let is_there = |id: &&MemberId| group.members.contains_key(*id);
    let gone: Vec<&MemberId> = members.iter().filter(is_there).collect();
    if !gone.is_empty() {
        // first: of many records only the first ones may get into the log
        draft.bump(image);
        gone.into_iter()
            .for_each(|member_id| draft.remove(member_id));
        draft.forget_regexes();
    }
    draft.records
}

impl Beat<'_> {
    /// What the heartbeat comes to, after the records that go before.
    pub fn decide(
        &self,
        (id, group): (&GroupId, &Consumer),
        before: Vec<Record>,
        sessions: &mut Sessions,
        session_timeout_ms: i32,
    ) -> Result<(Vec<Record>, Told), Refusal> {
        let mut draft = Draft::of(id, group, before);
        let told = match self.body().member_epoch {
            AWAY_EPOCH => self.go_away(&mut draft),
            _ => self.stay(&mut draft, sessions),
        }?;
        told.note(sessions, self.terms.now, session_timeout_ms);
        Ok((draft.records, told))
    }

    fn body(&self) -> &ConsumerGroupHeartbeatRequest {
        &self.request.body
    }

    /// Who asks, which is a member already.
    fn known(&self, group: &Consumer) -> Result<(MemberId, Arc<Member>), Refusal> {
        let body = self.body();
        known(group, &body.member_id, body.instance_id.as_deref())
    }

    /// A static member goes for a while.
    fn go_away(&self, draft: &mut Draft<'_>) -> Result<Told, Refusal> {
        let (member_id, member) = self.known(&draft.group)?;
        let current = draft.group.current.get(&member_id);
        let assigned = current.map(|current| current.assigned.clone());
        let mut assigned = assigned.unwrap_or_default();
        for epoch in assigned.values_mut().flat_map(|given| given.values_mut()) {
            *epoch = 0;
        }
        let away = Current {
            member_epoch: AWAY_EPOCH,
            previous_epoch: current.map_or(0, |current| current.member_epoch),
            state: MemberState::Stable,
            assigned,
            revoking: Given::new(),
        };
        let entry = Entry::Current(member_id.clone(), Some(Arc::new(away.clone())));
        draft.put(entry);
        Ok(Told {
            member_id,
            epoch: AWAY_EPOCH,
            current: away,
            is_assignment_told: false,
            replaced: None,
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            revokes_others: false,
        })
    }

    /// A member comes or stays.
    fn stay(&self, draft: &mut Draft<'_>, sessions: &mut Sessions) -> Result<Told, Refusal> {
        let body = self.body();
        let says = body.topic_partitions.as_deref().map(owned);
        let came = match body.member_epoch {
            0 => self.come(draft)?,
            _ => self.known(&draft.group).map(|(id, member)| Came {
                id,
                before: Some(member),
                replaced: None,
            })?,
        };
        let Came {
            id,
            before,
            replaced,
        } = came;
        let current = draft.group.current.get(&id).cloned();
        let current = current.unwrap_or_else(|| Arc::new(Current::joining(Given::new())));
        if body.member_epoch != 0 {
            self.check_epoch(&current, says.as_ref())?;
        }
        self.check_regex(before.as_deref())?;
        let member = self.member(before.as_ref());
        let moves = Moves {
            id: &id,
            before: before.as_ref(),
            member: &member,
            current: &current,
            owned: says.as_ref(),
        };
        let next = draft.advance(&self.terms, sessions, &moves);
        let is_full = body.rebalance_timeout_ms >= 0
            && (body.subscribed_topic_names.is_some() || body.subscribed_topic_regex.is_some())
            && body.topic_partitions.is_some();
        let is_news = wire::plain(&current.assigned) != wire::plain(&next.assigned);
        Ok(Told {
            revokes_others: current.revoking != next.revoking,
            member_id: id,
            epoch: next.member_epoch,
            current: next,
            is_assignment_told: body.member_epoch == 0 || is_full || is_news,
            replaced,
            rebalance_timeout_ms: member.rebalance_timeout_ms,
        })
    }

    /// A member joins, or joins again.
    fn come(&self, draft: &mut Draft<'_>) -> Result<Came, Refusal> {
        let body = self.body();
        let id: MemberId = match body.member_id.is_empty() {
            true => self.request.fresh.to_string().into(),
            false => body.member_id.as_str().into(),
        };
        let holder = body.instance_id.as_deref();
        let holder = holder.and_then(|name| draft.group.instance(name)).cloned();
        if let Some(old) = holder.filter(|holder| *holder != id) {
            return self.replace(draft, &old, id);
        }
        let before = draft.group.members.get(&id).cloned();
        if before.is_none() && draft.group.members.len() >= self.terms.size_max {
            let message = format!(
                "The group has {} members, as many as it may.",
                self.terms.size_max
            );
            return Err(Refusal::new(ErrorCode::GroupMaxSizeReached, message));
        }
        Ok(Came {
            id,
            before,
            replaced: None,
        })
    }

    /// A static member that had left for a while, or was of the classic protocol, is back under
    /// another id.
    fn replace(
        &self,
        draft: &mut Draft<'_>,
        old: &MemberId,
        id: MemberId,
    ) -> Result<Came, Refusal> {
        let current = draft.group.current.get(old);
        let is_away = current.is_some_and(|current| current.member_epoch == AWAY_EPOCH);
        let before = draft.group.members.get(old).cloned();
        let is_classic = before
            .as_ref()
            .is_some_and(|member| member.classic.is_some());
        if !is_away && !is_classic {
            let message = "The instance id is still that of another member.";
            return Err(Refusal::new(ErrorCode::UnreleasedInstanceId, message));
        }
        draft.replace(old, &id);
        Ok(Came {
            id,
            before,
            replaced: Some(old.clone()),
        })
    }

    /// Whether a new expression is one; compiled where it is new, and whoever sends it is a member.
    fn check_regex(&self, before: Option<&Member>) -> Result<(), Refusal> {
        let Some(regex) = self.body().subscribed_topic_regex.as_ref() else {
            return Ok(());
        };
        let is_known = before.is_some_and(|before| before.regex.as_ref() == Some(regex));
        if is_known || regex.is_empty() || subscription::compile(regex).is_some() {
            return Ok(());
        }
        let message = format!("SubscribedTopicRegex is none, or too large: {regex}");
        Err(Refusal::new(ErrorCode::InvalidRegularExpression, message))
    }

    fn check_epoch(
        &self,
        current: &Current,
        says: Option<&super::state::Partitions>,
    ) -> Result<(), Refusal> {
        let sent = self.body().member_epoch;
        // the answer that told the member of its epoch may have been lost
        let is_late =
            sent == current.previous_epoch && says.is_some_and(|owned| was_given(owned, current));
        let is_known = current.state != MemberState::Unknown;
        if is_known && (sent == current.member_epoch || (sent < current.member_epoch && is_late)) {
            return Ok(());
        }
        let message = format!(
            "The member's epoch is {}, not {sent}; it has to join again.",
            current.member_epoch
        );
        Err(Refusal::new(ErrorCode::FencedMemberEpoch, message))
    }

    /// The member as it is by this heartbeat, which names what has changed.
    fn member(&self, before: Option<&Arc<Member>>) -> Arc<Member> {
        let body = self.body();
        let says_nothing = body.instance_id.is_none()
            && body.rack_id.is_none()
            && body.rebalance_timeout_ms < 0
            && body.server_assignor.is_none()
            && body.subscribed_topic_names.is_none()
            && body.subscribed_topic_regex.is_none()
            && before.is_none_or(|before| before.classic.is_none());
        if let Some(before) =
            before.filter(|before| says_nothing && before.client == *self.terms.client)
        {
            return Arc::clone(before);
        }
        let mut member = before.map(|before| (**before).clone()).unwrap_or_default();
        member.client = self.terms.client.clone();
        member.classic = None;
        if body.instance_id.is_some() {
            member.instance_id.clone_from(&body.instance_id);
        }
        if body.rack_id.is_some() {
            member.rack_id.clone_from(&body.rack_id);
        }
        if body.rebalance_timeout_ms >= 0 {
            member.rebalance_timeout_ms = body.rebalance_timeout_ms;
        }
        if body.server_assignor.is_some() {
            member.server_assignor.clone_from(&body.server_assignor);
        }
        if let Some(names) = &body.subscribed_topic_names {
            member.topics = names.iter().map(|name| name.as_str().into()).collect();
        }
        if let Some(regex) = &body.subscribed_topic_regex {
            // an empty one ends the subscription
            member.regex = (!regex.is_empty()).then(|| regex.clone());
        }
        Arc::new(member)
    }
}

/// Who has come.
struct Came {
    id: MemberId,
    before: Option<Arc<Member>>,
    replaced: Option<MemberId>,
}

/// A member by its id, and by its instance id where it has one.
pub fn known(
    group: &Consumer,
    id: &str,
    instance_id: Option<&str>,
) -> Result<(MemberId, Arc<Member>), Refusal> {
    let unknown = |message| Refusal::new(ErrorCode::UnknownMemberId, message);
    if let Some(instance_id) = instance_id {
        let holder = group.instance(instance_id);
        let holder =
            holder.ok_or_else(|| unknown(format!("Instance id {instance_id} is unknown.")))?;
        if **holder != *id {
            let message = format!("Instance id {instance_id} is that of another member.");
            return Err(Refusal::new(ErrorCode::FencedInstanceId, message));
        }
    }
    let found = group.members.get_key_value(id);
    let (id, member) =
        found.ok_or_else(|| unknown(format!("Member {id} is not a member of the group.")))?;
    Ok((id.clone(), Arc::clone(member)))
}
