//! The classic group protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup.
//!
//! ```text
//!            join                    timer: all joined, or the rest removed
//!   Empty ─────────▶ PreparingRebalance ─────────▶ CompletingRebalance
//!     ▲                 ▲   │ nobody left               │ leader's sync (record)
//!     └─────────────────┼───┘ (record)                  ▼
//!                       └───────────────────────────  Stable
//!             join with another subscription, leader rejoins, leave, session over
//! ```
//! A group that was deleted is in state Dead; here it is simply absent.
//!
//! The record is written when the leader's assignments arrive (and when the group becomes empty,
//! and when a static member takes a new id). So a coordinator that fails in the middle of a
//! rebalance leaves the last stable generation behind, and members join again.

mod answers;
mod join;
mod leave;
mod member;
mod migration;
mod rebalance;
mod sync;

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::group_records::{GroupMetadataValue, MemberMetadata};
use ottla_protocol::messages::groups::DescribedGroupMember;

use super::consumer::classic::PROTOCOL_TYPE;
use super::{Decision, GroupId, Record};
use crate::shard::Now;
use member::{Member, ParkedJoin};
use rebalance::JoinTimer;

pub(super) use answers::{heartbeat, join_error, leave_unknown, sync_error};
pub(super) use join::{Join, SKIP_ASSIGNMENT_VERSION};
pub(super) use migration::not_upgraded;

/// A member's id; cheap to clone.
type MemberId = Arc<str>;

/// Where the group stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// No members; there may be offsets.
    #[default]
    Empty,
    /// Waits for members to join the next generation.
    PreparingRebalance,
    /// All have joined; waits for the leader's assignments.
    CompletingRebalance,
    /// Every member can have its assignment.
    Stable,
}

impl State {
    /// Kafka's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// The members of one group and their rebalance.
#[derive(Clone, Debug, Default)]
pub(super) struct Classic {
    state: State,
    /// When the state began, by the wall clock; none for records older than that field.
    state_since_ms: Option<i64>,
    /// Never goes back but by a coordinator's failure before the generation was in the log.
    generation: i32,
    protocol_type: Option<String>,
    protocol_name: Option<String>,
    leader: Option<MemberId>,
    members: BTreeMap<MemberId, Member>,
    /// Invariant: each value is a member with this instance id, and every static member is here.
    static_members: BTreeMap<String, MemberId>,
    /// Ids given out by MEMBER_ID_REQUIRED and not yet used, with their deadline (KIP-394).
    pending: BTreeMap<MemberId, u64>,
    /// How many members support a protocol; one supported by all can be chosen.
    supported: BTreeMap<String, usize>,
    /// How many members have a parked join.
    joined_count: usize,
    join_timer: Option<JoinTimer>,
    /// When members that have not sent SyncGroup are removed.
    sync_deadline_ms: Option<u64>,
    /// Never later than the earliest deadline of all in here.
    armed_ms: Option<u64>,
    /// Whether a record of this group was decided.
    is_in_log: bool,
}

impl Classic {
    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Whether nothing would be lost with it.
    pub(super) fn is_vestige(&self) -> bool {
        self.state == State::Empty && self.pending.is_empty() && !self.is_in_log
    }

    pub(super) fn parked_count(&self) -> usize {
        let syncs = self
            .members
            .values()
            .filter(|member| member.sync.is_some())
            .count();
        self.joined_count + syncs
    }

    /// When [`Self::on_time`] must be called at the latest.
    pub(super) fn next_deadline_ms(&self) -> Option<u64> {
        self.armed_ms
    }

    pub(super) fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    pub(super) fn state_since_ms(&self) -> Option<i64> {
        self.state_since_ms
    }

    fn arm(&mut self, deadline_ms: u64) {
        self.armed_ms = Some(self.armed_ms.map_or(deadline_ms, |at| at.min(deadline_ms)));
    }

    fn transition(&mut self, state: State, now: Now) {
        self.state = state;
        self.state_since_ms = Some(now.wall_ms);
    }

    fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    /// The wait of a rebalance: that of the most patient member.
    fn rebalance_timeout_ms(&self) -> i32 {
        let timeouts = self
            .members
            .values()
            .map(|member| member.rebalance_timeout_ms);
        timeouts.max().unwrap_or(0)
    }

    /// The member's session starts anew.
    fn heard_from(&mut self, member_id: &str, now: Now) {
        if let Some(member) = self.members.get_mut(member_id) {
            let deadline_ms = now.after(member.session_timeout_ms);
            member.session_deadline_ms = deadline_ms;
            self.arm(deadline_ms);
        }
    }

    /// The same, for a member whose request proves that it lives, where the group heeds that.
    pub(super) fn committed_offsets(&mut self, member_id: &str, now: Now) {
        if matches!(self.state, State::Stable | State::PreparingRebalance) {
            self.heard_from(member_id, now);
        }
    }

    /// Whether a request speaks for a member: its id is known, and is that of its instance.
    fn check_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(known) if **known != *member_id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) {
            Ok(())
        } else {
            Err(ErrorCode::UnknownMemberId)
        }
    }

    /// Whether offsets may be committed by this member in this generation.
    pub(super) fn check_commit(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        if generation < 0 && self.state == State::Empty {
            // an admin client, or a consumer that assigns partitions to itself
            return Ok(());
        }
        if generation < 0 && member_id.is_empty() && instance_id.is_none() {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.check_member(member_id, instance_id)?;
        if generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        if self.state == State::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// Whether a commit inside of a transaction is a member's, where it says so (KIP-447): older
    /// producers know nothing of their consumer's group.
    pub(super) fn check_commit_in_transaction(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        let is_anonymous = member_id.is_empty() && instance_id.is_none();
        if generation < 0 && (self.state == State::Empty || is_anonymous) {
            return Ok(());
        }
        self.check_member(member_id, instance_id)?;
        match generation == self.generation {
            true => Ok(()),
            false => Err(ErrorCode::IllegalGeneration),
        }
    }

    fn add_member(&mut self, member_id: MemberId, member: Member, protocol_type: &str) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.to_owned());
        }
        if self.leader.is_none() {
            self.leader = Some(member_id.clone());
        }
        if let Some(instance_id) = &member.instance_id {
            self.static_members
                .insert(instance_id.clone(), member_id.clone());
        }
        self.count_protocols(&member, true);
        self.arm(member.session_deadline_ms);
        let before = self.members.insert(member_id, member);
        assert!(before.is_none(), "a member is added once");
    }

    /// Takes a member out; whatever it waits for is answered with UNKNOWN_MEMBER_ID.
    fn remove_member(&mut self, member_id: &str, decision: &mut Decision) {
        let Some(mut member) = self.members.remove(member_id) else {
            return;
        };
        self.answer_parked(member_id, &mut member, ErrorCode::UnknownMemberId, decision);
        self.count_protocols(&member, false);
        if let Some(instance_id) = &member.instance_id {
            self.static_members.remove(instance_id);
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Answers a member's parked join and sync with an error.
    fn answer_parked(
        &mut self,
        member_id: &str,
        member: &mut Member,
        error: ErrorCode,
        decision: &mut Decision,
    ) {
        if let Some(ParkedJoin { token, version }) = member.join.take() {
            self.joined_count -= 1;
            decision.reply(token, answers::join_error(version, member_id, error));
        }
        if let Some(token) = member.sync.take() {
            decision.reply(token, sync_error(error));
        }
    }

    /// Everybody who waits is answered with an error.
    pub(super) fn send_away(&mut self, error: ErrorCode, decision: &mut Decision) {
        for (member_id, mut member) in std::mem::take(&mut self.members) {
            self.answer_parked(&member_id, &mut member, error, decision);
        }
    }

    fn count_protocols(&mut self, member: &Member, is_added: bool) {
        for name in member.protocol_names() {
            if is_added {
                *self.supported.entry(name.to_owned()).or_default() += 1;
            } else if let Some(count) = self.supported.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.supported.remove(name);
                }
            }
        }
    }

    /// Whether all members support a protocol.
    fn is_candidate(&self, name: &str) -> bool {
        self.supported.get(name) == Some(&self.members.len())
    }

    /// The protocol with the most votes among those that all support; each member votes for the
    /// first such one in its list. Ties go to the name that sorts first, so that runs repeat.
    fn select_protocol(&self) -> Option<String> {
        let mut votes = BTreeMap::<&str, usize>::new();
        for member in self.members.values() {
            if let Some(name) = member.protocol_names().find(|name| self.is_candidate(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        let most = votes.values().max()?;
        votes
            .iter()
            .find(|(_, count)| *count == most)
            .map(|(name, _)| (*name).to_owned())
    }

    /// The topics the members subscribe to, where they are consumers and can be read.
    pub(super) fn subscribed_topics(&self) -> Option<Vec<String>> {
        if !self.is_consumer_protocol() {
            return None;
        }
        let name = self.protocol_name.as_deref()?;
        let mut topics = Vec::new();
        for member in self.members.values() {
            topics.extend(member::subscribed_topics(&member.metadata(name))?);
        }
        Some(topics)
    }

    pub(super) fn is_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(PROTOCOL_TYPE)
    }

    /// The protocol in use, once everybody has it.
    pub(super) fn stable_protocol(&self) -> Option<&str> {
        self.protocol_name
            .as_deref()
            .filter(|_| self.state == State::Stable)
    }

    /// Members as DescribeGroups shows them; what they work on only while that is settled.
    pub(super) fn describe_members(&self) -> Vec<DescribedGroupMember> {
        let protocol = self.stable_protocol();
        let members = self
            .members
            .iter()
            .map(|(member_id, member)| DescribedGroupMember {
                member_id: member_id.to_string(),
                group_instance_id: member.instance_id.clone(),
                client_id: member.client.id.clone(),
                client_host: member.client.host.clone(),
                member_metadata: protocol
                    .map(|name| member.metadata(name))
                    .unwrap_or_default(),
                member_assignment: protocol
                    .map(|_| member.assignment.clone())
                    .unwrap_or_default(),
            });
        members.collect()
    }

    /// Writes the generation as it is now.
    pub(super) fn write(&mut self, id: &GroupId, decision: &mut Decision) {
        self.is_in_log = true;
        let value = Some(self.to_record());
        decision.records.push(Record::Group {
            group: id.clone(),
            value,
        });
    }

    fn to_record(&self) -> GroupMetadataValue {
        let name = self.protocol_name.as_deref().unwrap_or("");
        let members = self
            .members
            .iter()
            .map(|(member_id, member)| MemberMetadata {
                member_id: member_id.to_string(),
                group_instance_id: member.instance_id.clone(),
                client_id: member.client.id.clone(),
                client_host: member.client.host.clone(),
                rebalance_timeout: member.rebalance_timeout_ms,
                session_timeout: member.session_timeout_ms,
                subscription: member.metadata(name),
                assignment: member.assignment.clone(),
            });
        GroupMetadataValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol_name.clone(),
            leader: self.leader.as_deref().map(str::to_owned),
            current_state_timestamp: self.state_since_ms.unwrap_or(-1),
            members: members.collect(),
        }
    }

    /// What the log says of a group; sessions begin now.
    pub(super) fn restore(value: GroupMetadataValue, now: Now) -> Self {
        let mut group = Self {
            generation: value.generation,
            protocol_name: value.protocol.clone(),
            leader: value.leader.as_deref().map(Into::into),
            state_since_ms: Some(value.current_state_timestamp).filter(|at| *at >= 0),
            is_in_log: true,
            ..Self::default()
        };
        let awaits_rebalance = value.leader.is_none();
        let protocol_type = value.protocol_type;
        let name = value.protocol.unwrap_or_default();
        for stored in value.members {
            let (member_id, member) = Member::restore(&name, stored, now);
            // a record that names a member twice was not written by us; the first one counts
            if !group.members.contains_key(&member_id) {
                group.add_member(member_id, member, &protocol_type);
            }
        }
        if group.members.is_empty() {
            group.protocol_type = Some(protocol_type).filter(|name| !name.is_empty());
        } else {
            group.state = State::Stable;
        }
        if awaits_rebalance && !group.members.is_empty() {
            group.is_led_by(None);
            group.await_joins(now);
        }
        group
    }
}
