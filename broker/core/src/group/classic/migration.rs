//! Between the two protocols: what a group with members becomes (KIP-848, online migration).

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::consumer_protocol::OwnedPartitions;
use ottla_protocol::messages::groups::JoinGroupResponse;

use super::member::Member;
use super::{Classic, MemberId, State};
use crate::group::GroupId;
use crate::group::consumer::classic::PROTOCOL_TYPE;
use crate::group::consumer::embedded;
use crate::group::consumer::state::{
    self, ClassicMember, Consumer, Current, Entry, Given, GroupEpoch, MemberState, Partitions,
};
use crate::group::consumer::wire::Refusal;
use crate::image::MetadataImage;
use crate::shard::Now;

/// Why a group stays one of the classic protocol.
pub(in crate::group) fn not_upgraded(id: &GroupId, why: &str) -> Refusal {
    let message = format!("Cannot upgrade classic group {id} to consumer group because {why}.");
    Refusal::new(ErrorCode::GroupIdNotFound, message)
}

const MALFORMED: &str = "the embedded consumer protocol is malformed";
const CUSTOM_ASSIGNOR: &str = "an unsupported custom assignor is in use. Please refer to the \
    documentation or switch to a default assignor before re-attempting the upgrade";

/// What a member said it had when it joined.
struct Claim {
    /// Of which generation it had that; -1 where it does not say.
    generation: i32,
    partitions: Vec<OwnedPartitions>,
}

impl Classic {
    /// How many members it has.
    pub(in crate::group) fn size(&self) -> usize {
        self.members.len()
    }

    /// The group of the consumer protocol that it becomes, each member with what it has; in the
    /// order in which it is written.
    ///
    /// # Errors
    /// Its members are no consumers, or what they said cannot be read or would be lost.
    pub(in crate::group) fn upgraded(
        &self,
        id: &GroupId,
        image: &MetadataImage,
    ) -> Result<Vec<Entry>, Refusal> {
        if !self.is_consumer_protocol() {
            let why = "the group does not use the consumer embedded protocol";
            return Err(not_upgraded(id, why));
        }
        let epoch = self.generation;
        let since = |partitions: Partitions| -> Given {
            let topics = partitions.into_iter();
            let given = |all: BTreeSet<i32>| all.into_iter().map(|p| (p, epoch)).collect();
            topics.map(|(topic, all)| (topic, given(all))).collect()
        };
        let mut taken = BTreeSet::new();
        // a partition that two members were given is the first one's
        let mut take = |mut partitions: Partitions| {
            for (topic, partitions) in &mut partitions {
                partitions.retain(|partition| taken.insert((*topic, *partition)));
            }
            partitions.retain(|_, partitions| !partitions.is_empty());
            partitions
        };
        let mut all = Vec::new();
        for (member_id, member) in &self.members {
            let has = assignment(member, image).map_err(|why| not_upgraded(id, why))?;
            let new = self.upgraded_member(member).ok_or(MALFORMED);
            let (new, claim) = new.map_err(|why| not_upgraded(id, why))?;
            all.push((member_id, new, take(has), claim));
        }
        // the newest claims first: a static member that was away for some generations may claim
        // what is another's since (KIP-792)
        all.sort_by_key(|(.., claim)| Reverse(claim.generation));
        let mut group = Consumer::default();
        let (mut members, mut targets, mut currents) = (Vec::new(), Vec::new(), Vec::new());
        for (member_id, new, given, claim) in all {
            // what its leader takes from it, it has until it joins again (KIP-429)
            let revoking = since(take(embedded::owned(&claim.partitions, image)));
            let current = Current {
                member_epoch: epoch,
                previous_epoch: epoch,
                state: match revoking.is_empty() {
                    true => MemberState::Stable,
                    false => MemberState::UnrevokedPartitions,
                },
                assigned: since(given.clone()),
                revoking,
            };
            let entry = Entry::Member(member_id.clone(), Some(Arc::new(new)));
            group.put(entry.clone());
            members.push(entry);
            targets.push(Entry::Target(member_id.clone(), Some(Arc::new(given))));
            currents.push(Entry::Current(member_id.clone(), Some(Arc::new(current))));
        }
        // no topics have this hash: what the members have is the target, and may be less than there
        // is. They were in the midst of a rebalance, or topics have grown. So whoever joins has the
        // epoch change, whatever it subscribes to.
        let topics_hash = !group.topics_hash(image);
        members.push(Entry::Group(Some(GroupEpoch { epoch, topics_hash })));
        targets.push(Entry::TargetEpoch(Some(epoch)));
        Ok([members, targets, currents].concat())
    }

    /// What the member says of itself, and what it said it had when it joined.
    fn upgraded_member(&self, member: &Member) -> Option<(state::Member, Claim)> {
        let name = self.protocol_name.as_deref().unwrap_or("");
        let protocols = &member.protocols;
        let ours = protocols.iter().find(|protocol| protocol.name == name);
        let said = embedded::subscription(&ours.or(protocols.first())?.metadata)?;
        let new = state::Member {
            instance_id: member.instance_id.clone(),
            rack_id: said.rack_id,
            client: member.client.clone(),
            topics: said.topics.into_iter().map(Into::into).collect(),
            regex: None,
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            server_assignor: None,
            classic: Some(ClassicMember {
                session_timeout_ms: member.session_timeout_ms,
                protocols: protocols.clone(),
            }),
        };
        let mut partitions = said.owned_partitions;
        partitions.retain(|one| new.topics.contains(one.topic.as_str()));
        let generation = said.generation_id;
        Some((
            new,
            Claim {
                generation,
                partitions,
            },
        ))
    }

    /// The classic group that members of the classic protocol become, with their partitions.
    pub(in crate::group) fn downgraded<'a>(
        members: impl Iterator<Item = (&'a MemberId, &'a state::Member, Partitions)>,
        generation: i32,
        image: &MetadataImage,
        now: Now,
    ) -> Self {
        let mut group = Self {
            generation,
            ..Self::default()
        };
        let mut all = Vec::new();
        for (id, member, partitions) in members {
            let Some(classic) = &member.classic else {
                continue;
            };
            let session_deadline_ms = now.after(classic.session_timeout_ms);
            let new = Member {
                instance_id: member.instance_id.clone(),
                client: member.client.clone(),
                session_timeout_ms: classic.session_timeout_ms,
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                protocols: classic.protocols.clone(),
                session_deadline_ms,
                ..Member::default()
            };
            group.add_member(id.clone(), new, PROTOCOL_TYPE);
            all.push((id, partitions));
        }
        group.protocol_name = group.select_protocol();
        let name = group.protocol_name.clone().unwrap_or_default();
        for (id, partitions) in all {
            if let Some(member) = group.members.get_mut(id) {
                let metadata = member.metadata(&name);
                member.assignment = embedded::assigned(&partitions, &metadata, image);
            }
        }
        group.transition(State::Stable, now);
        group
    }

    /// This member leads, and is who sees topics grow. Nobody where all are to be assigned anew,
    /// which is how a coordinator knows it that reads this from the log.
    pub(in crate::group) fn is_led_by(&mut self, member_id: Option<&MemberId>) {
        self.leader = member_id.cloned();
    }

    /// The answer to a member whose join made the group what it is: it asks for its assignment, and
    /// makes none, also where it leads (KIP-814).
    pub(in crate::group) fn joined_as_it_is(&self, member_id: &str) -> JoinGroupResponse {
        let leads = self.is_leader(member_id);
        let mut response = self.joined(member_id);
        response.skip_assignment = leads;
        if !leads {
            response.leader.clear();
            response.members.clear();
        }
        response
    }
}

/// What a member has; nothing before its first assignment.
fn assignment(member: &Member, image: &MetadataImage) -> Result<Partitions, &'static str> {
    if member.assignment.is_empty() {
        return Ok(Partitions::new());
    }
    let assignment = embedded::assignment(&member.assignment).ok_or(MALFORMED)?;
    match assignment.user_data.is_some_and(|data| !data.is_empty()) {
        true => Err(CUSTOM_ASSIGNOR),
        false => Ok(embedded::given(&assignment.assigned_partitions, image)),
    }
}
