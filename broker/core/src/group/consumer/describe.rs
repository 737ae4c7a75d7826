//! ConsumerGroupDescribe, and what else shows of a group.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::TopicId;
use ottla_protocol::messages::consumer_groups::{DescribedGroup, Member as DescribedMember};

use super::state::{Consumer, Member, MemberId};
use super::wire::{Refusal, described, plain};
use crate::image::MetadataImage;

/// The protocol of a member, as [`DescribedMember::member_type`] says it.
const CLASSIC_MEMBER: i8 = 0;
const CONSUMER_MEMBER: i8 = 1;

/// A group.
pub fn describe(id: &str, group: &Consumer, image: &MetadataImage) -> DescribedGroup {
    // no order is promised; Kafka's own tests take the one of a hash table for what it is
    let members = group.members.iter().rev();
    DescribedGroup {
        group_id: id.to_owned(),
        group_state: group.state().to_owned(),
        group_epoch: group.group_epoch(),
        assignment_epoch: group.assignment_epoch(),
        assignor_name: group.assignor().to_owned(),
        members: members
            .map(|(id, member)| describe_member(group, id, member, image))
            .collect(),
        ..DescribedGroup::default()
    }
}

/// What is no such group.
pub fn describe_absent(id: &str, is_classic: bool) -> DescribedGroup {
    let message = match is_classic {
        true => format!("Group {id} is not a consumer group."),
        false => format!("Group {id} not found."),
    };
    describe_refused(id, Refusal::new(ErrorCode::GroupIdNotFound, message))
}

/// What is not told of.
pub fn describe_refused(id: &str, refusal: Refusal) -> DescribedGroup {
    DescribedGroup {
        error_code: refusal.error.code(),
        error_message: Some(refusal.message),
        group_id: id.to_owned(),
        ..DescribedGroup::default()
    }
}

fn describe_member(
    group: &Consumer,
    id: &MemberId,
    member: &Arc<Member>,
    image: &MetadataImage,
) -> DescribedMember {
    let current = group.current.get(id);
    // what it is to give up is still its own
    let assigned = current.map(|current| plain(&current.all()));
    let assigned: BTreeMap<TopicId, Vec<i32>> = assigned.unwrap_or_default();
    let target = group
        .target
        .get(id)
        .into_iter()
        .flat_map(|target| target.iter());
    let target = target.map(|(topic, partitions)| (topic, partitions.iter().copied().collect()));
    DescribedMember {
        member_id: id.to_string(),
        instance_id: member.instance_id.clone(),
        rack_id: member.rack_id.clone(),
        member_epoch: current.map_or(0, |current| current.member_epoch),
        client_id: member.client.id.clone(),
        client_host: member.client.host.clone(),
        subscribed_topic_names: member.topics.iter().map(ToString::to_string).collect(),
        subscribed_topic_regex: Some(member.regex.clone().unwrap_or_default()),
        assignment: described(assigned.iter().map(|(id, p)| (id, p.clone())), image),
        target_assignment: described(target, image),
        member_type: match member.classic {
            Some(_) => CLASSIC_MEMBER,
            None => CONSUMER_MEMBER,
        },
    }
}
