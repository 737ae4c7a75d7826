//! JoinGroup: who may join, and whether that makes a rebalance.

use std::collections::BTreeSet;

use bytes::Bytes;
use ottla_protocol::codec::STRING_BYTES_MAX;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::Uuid;
use ottla_protocol::messages::groups::{JoinGroupRequest, JoinGroupResponse};

use super::super::{Client, Decision, GroupId, Response, Settings, Step};
use super::member::{Member, ParkedJoin};
use super::{Classic, MemberId, State, answers};
use crate::excerpt::beginning;
use crate::group::consumer::state::Protocol;
use crate::shard::Token;

/// From this version on a dynamic member is first given its id, so that one that gives up on a slow
/// answer and tries again is not counted twice (KIP-394).
const MEMBER_ID_REQUIRED_VERSION: i16 = 4;

/// From this version on a static leader that comes back learns that it need not assign (KIP-814).
pub(in crate::group) const SKIP_ASSIGNMENT_VERSION: i16 = 9;

/// How long a new member's join may be parked before the member is taken for gone.
const NEW_MEMBER_JOIN_TIMEOUT_MS: i32 = 5 * 60 * 1_000;

/// How much of a client's name its members' ids begin with: a hyphen and a UUID follow.
const MEMBER_NAME_BYTES_MAX: usize = STRING_BYTES_MAX - 37;

/// A JoinGroup on its way.
#[derive(Clone, Debug)]
pub(in crate::group) struct Join {
    pub(in crate::group) token: Token,
    pub(in crate::group) version: i16,
    pub(in crate::group) client: Client,
    pub(in crate::group) body: JoinGroupRequest,
    pub(in crate::group) fresh: Uuid,
}

impl Join {
    /// The refusal.
    pub(in crate::group) fn error(&self, error: ErrorCode) -> Response {
        answers::join_error(self.version, &self.body.member_id, error)
    }

    fn instance_id(&self) -> Option<&str> {
        self.body.group_instance_id.as_deref()
    }

    /// A new id: the client's (or the instance's) own name and a random UUID as Java prints it. Of
    /// the longest names only the beginning, so that the id is a string too.
    pub(in crate::group) fn new_member_id(&self) -> MemberId {
        let name = self.instance_id().unwrap_or(&self.client.id);
        let name = beginning(name, MEMBER_NAME_BYTES_MAX);
        let bits = u128::from_be_bytes(self.fresh.0);
        let part = |shift: u32, digits: u32| (bits >> shift) & ((1 << (4 * digits)) - 1);
        format!(
            "{name}-{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            part(96, 8),
            part(80, 4),
            part(64, 4),
            part(48, 4),
            part(0, 12)
        )
        .into()
    }

    /// Before version 1 the session timeout was both.
    pub(in crate::group) fn rebalance_timeout_ms(&self) -> i32 {
        match self.body.rebalance_timeout_ms {
            timeout if timeout < 0 => self.body.session_timeout_ms,
            timeout => timeout,
        }
    }

    /// The subscriptions, copied out of the request's buffer, which is larger and shorter lived. A
    /// protocol that is named twice counts once, or it would have more members than there are.
    pub(in crate::group) fn protocols(&self) -> Vec<Protocol> {
        let mut seen = BTreeSet::new();
        let asked = self.body.protocols.iter();
        let protocols = asked
            .filter(|protocol| seen.insert(protocol.name.as_str()))
            .map(|protocol| Protocol {
                name: protocol.name.clone(),
                metadata: Bytes::copy_from_slice(&protocol.metadata),
            });
        protocols.collect()
    }

    /// Whether the member is first given its id.
    pub(in crate::group) fn needs_member_id(&self) -> bool {
        self.body.member_id.is_empty()
            && self.instance_id().is_none()
            && self.version >= MEMBER_ID_REQUIRED_VERSION
    }

    /// Whether the member may be silent for as long as it asks.
    pub(in crate::group) fn check_session_timeout(
        &self,
        settings: &Settings,
    ) -> Result<(), ErrorCode> {
        let asked_ms = self.body.session_timeout_ms;
        let may = settings.session_timeout_min_ms..=settings.session_timeout_max_ms;
        match may.contains(&asked_ms) {
            true => Ok(()),
            false => Err(ErrorCode::InvalidSessionTimeout),
        }
    }

    fn parked(&self) -> ParkedJoin {
        ParkedJoin {
            token: self.token,
            version: self.version,
        }
    }
}

impl Classic {
    /// JoinGroup.
    pub(in crate::group) fn join(&mut self, id: &GroupId, join: Join, step: &mut Step<'_>) {
        if let Err(error) = self.check_join(&join, step.settings) {
            return step.decision.reply(join.token, join.error(error));
        }
        if !self.has_room(&join.body.member_id, step.settings) {
            let refusal = answers::join_error(join.version, "", ErrorCode::GroupMaxSizeReached);
            step.decision.reply(join.token, refusal);
            self.remove_member(&join.body.member_id, step.decision);
            return self.complete_join_if_all_joined(id, step);
        }
        if join.body.member_id.is_empty() {
            self.join_new(id, join, step);
        } else {
            self.join_known(id, join, step);
        }
    }

    fn check_join(&self, join: &Join, settings: &Settings) -> Result<(), ErrorCode> {
        join.check_session_timeout(settings)?;
        if !self.supports(&join.body) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    /// Whether the members that are there and this one have a protocol in common.
    fn supports(&self, body: &JoinGroupRequest) -> bool {
        if self.state == State::Empty {
            return !body.protocol_type.is_empty() && !body.protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(body.protocol_type.as_str())
            && body
                .protocols
                .iter()
                .any(|protocol| self.is_candidate(&protocol.name))
    }

    /// Whether the group has room for one more, or knows the member already.
    fn has_room(&self, member_id: &str, settings: &Settings) -> bool {
        let member = self.members.get(member_id);
        match self.state {
            State::Empty => true,
            State::PreparingRebalance => {
                member.is_some_and(|member| member.join.is_some())
                    || self.joined_count < settings.group_size_max
            }
            State::CompletingRebalance | State::Stable => {
                member.is_some() || self.members.len() < settings.group_size_max
            }
        }
    }

    fn join_new(&mut self, id: &GroupId, join: Join, step: &mut Step<'_>) {
        let member_id = join.new_member_id();
        if let Some(instance_id) = join.instance_id() {
            return match self.static_members.get(instance_id).cloned() {
                Some(known) => self.replace_static(id, &known, member_id, join, step),
                None => self.add(id, member_id, join, step),
            };
        }
        if !join.needs_member_id() {
            return self.add(id, member_id, join, step);
        }
        if self.pending.len() >= step.settings.group_size_max {
            let refusal = answers::join_error(join.version, "", ErrorCode::GroupMaxSizeReached);
            return step.decision.reply(join.token, refusal);
        }
        let deadline_ms = step.now.after(join.body.session_timeout_ms);
        let required = ErrorCode::MemberIdRequired;
        let answer = answers::join_error(join.version, &member_id, required);
        self.pending.insert(member_id, deadline_ms);
        self.arm(deadline_ms);
        step.decision.reply(join.token, answer);
    }

    fn join_known(&mut self, id: &GroupId, join: Join, step: &mut Step<'_>) {
        let member_id = join.body.member_id.as_str();
        if join.instance_id().is_none() && self.pending.remove(member_id).is_some() {
            let member_id = member_id.into();
            return self.add(id, member_id, join, step);
        }
        if let Err(error) = self.check_member(member_id, join.instance_id()) {
            return step.decision.reply(join.token, join.error(error));
        }
        let is_unchanged = self.members[member_id].protocols == join.protocols();
        let is_repeated = match self.state {
            // it has not seen the answer to its last join
            State::CompletingRebalance => is_unchanged,
            // a leader joins again because it wants to assign anew
            State::Stable => is_unchanged && !self.is_leader(member_id),
            State::PreparingRebalance => false,
            State::Empty => unreachable!("an empty group has no members"),
        };
        if is_repeated {
            let response = self.joined(member_id);
            step.decision
                .reply(join.token, Response::JoinGroup(response));
            self.heard_from(&join.body.member_id, step.now);
        } else {
            self.update(&join.body.member_id, &join, step.decision);
            self.rebalance(id, step);
        }
    }

    /// A new member, which starts a rebalance or takes part in the one that runs.
    fn add(&mut self, id: &GroupId, member_id: MemberId, join: Join, step: &mut Step<'_>) {
        let member = Member {
            instance_id: join.body.group_instance_id.clone(),
            client: join.client.clone(),
            session_timeout_ms: join.body.session_timeout_ms,
            rebalance_timeout_ms: join.rebalance_timeout_ms(),
            protocols: join.protocols(),
            is_new: true,
            session_deadline_ms: step.now.after(NEW_MEMBER_JOIN_TIMEOUT_MS),
            ..Member::default()
        };
        self.note_new_member();
        self.add_member(member_id.clone(), member, &join.body.protocol_type);
        self.park_join(&member_id, join.parked(), step.decision);
        self.rebalance(id, step);
    }

    /// A member joins the next generation, perhaps with another subscription.
    fn update(&mut self, member_id: &str, join: &Join, decision: &mut Decision) {
        self.set_subscription(member_id, join);
        self.park_join(member_id, join.parked(), decision);
    }

    fn set_subscription(&mut self, member_id: &str, join: &Join) {
        let Some(mut member) = self.members.remove(member_id) else {
            return;
        };
        self.count_protocols(&member, false);
        member.protocols = join.protocols();
        member.session_timeout_ms = join.body.session_timeout_ms;
        member.rebalance_timeout_ms = join.rebalance_timeout_ms();
        member.client = join.client.clone();
        self.count_protocols(&member, true);
        self.members.insert(member_id.into(), member);
    }

    /// Parks a join. An older one of the same member is answered: its client no longer waits for
    /// it.
    fn park_join(&mut self, member_id: &str, parked: ParkedJoin, decision: &mut Decision) {
        let Some(member) = self.members.get_mut(member_id) else {
            return;
        };
        match member.join.replace(parked) {
            None => self.joined_count += 1,
            Some(old) => {
                let error = ErrorCode::RebalanceInProgress;
                decision.reply(
                    old.token,
                    answers::join_error(old.version, member_id, error),
                );
            }
        }
    }

    /// A static member is back under a new id. While its subscription leaves the choice of protocol
    /// as it is, it takes its old place without a rebalance (KIP-345).
    fn replace_static(
        &mut self,
        id: &GroupId,
        old_id: &MemberId,
        new_id: MemberId,
        join: Join,
        step: &mut Step<'_>,
    ) {
        let leader_before = self.leader.clone();
        let Some(mut member) = self.members.remove(old_id) else {
            unreachable!("static_members names members only");
        };
        self.answer_parked(
            old_id,
            &mut member,
            ErrorCode::FencedInstanceId,
            step.decision,
        );
        self.members.insert(new_id.clone(), member);
        if let Some(instance_id) = &join.body.group_instance_id {
            self.static_members
                .insert(instance_id.clone(), new_id.clone());
        }
        if self.is_leader(old_id) {
            self.leader = Some(new_id.clone());
        }
        self.set_subscription(&new_id, &join);
        self.heard_from(&new_id, step.now);
        let keeps_protocol = self.select_protocol() == self.protocol_name;
        match self.state {
            State::Stable if keeps_protocol => {
                self.write(id, step.decision);
                let response = self.rejoined(&new_id, leader_before, join.version);
                step.decision
                    .reply(join.token, Response::JoinGroup(response));
            }
            State::Stable | State::CompletingRebalance | State::PreparingRebalance => {
                self.park_join(&new_id, join.parked(), step.decision);
                self.rebalance(id, step);
            }
            State::Empty => unreachable!("an empty group has no members"),
        }
    }

    /// The answer to a static member that took its old place. A client that does not know of
    /// skipped assignments is shown the leader's old id: so it takes itself for a follower and gets
    /// its assignment by SyncGroup.
    fn rejoined(
        &self,
        member_id: &str,
        leader_before: Option<MemberId>,
        version: i16,
    ) -> JoinGroupResponse {
        let mut response = self.joined(member_id);
        if version >= SKIP_ASSIGNMENT_VERSION {
            response.skip_assignment = self.is_leader(member_id);
        } else {
            response.leader = leader_before.as_deref().unwrap_or("").to_owned();
            response.members.clear();
        }
        response
    }
}
