//! What operators ask: DescribeGroups, ListGroups, DeleteGroups.

use std::collections::BTreeSet;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::groups::{DescribedGroup, ListGroupsRequest, ListedGroup};

use super::classic::{Classic, State};
use super::consumer::state::Consumer;
use super::soft::Soft;
use super::{Decision, GroupId, Record, Shard};
use crate::excerpt;

/// From this version on a group that does not exist is an error, not a dead one.
const DESCRIBE_NOT_FOUND_VERSION: i16 = 6;

/// The type of groups with the classic protocol.
const CLASSIC: &str = "classic";

/// The type, and the protocol type, of groups with the consumer protocol.
const CONSUMER: &str = "consumer";

impl Shard {
    /// DescribeGroups, one group.
    pub(super) fn describe(&self, soft: &Soft, id: &str, version: i16) -> DescribedGroup {
        let described = DescribedGroup {
            error_code: ErrorCode::None.code(),
            group_id: id.to_owned(),
            group_state: State::Empty.name().to_owned(),
            ..DescribedGroup::default()
        };
        match soft.classic(id).filter(|_| self.consumer(id).is_none()) {
            Some(classic) => DescribedGroup {
                group_state: classic.state().name().to_owned(),
                protocol_type: classic.protocol_type().unwrap_or("").to_owned(),
                protocol_data: classic.stable_protocol().unwrap_or("").to_owned(),
                members: classic.describe_members(),
                ..described
            },
            None if self.consumer(id).is_some() => describe_absent(id, version),
            // offsets without members
            None if self.groups.contains_key(id) => described,
            None => describe_absent(id, version),
        }
    }

    /// ListGroups: those of this shard that the filters let through.
    pub(super) fn list(&self, soft: &Soft, filter: &ListGroupsRequest) -> Vec<ListedGroup> {
        let is_wanted = |name: &str, wanted: &[String]| {
            wanted.is_empty() || wanted.iter().any(|one| one.eq_ignore_ascii_case(name))
        };
        let ids: BTreeSet<&GroupId> = self.groups.keys().chain(soft.groups()).collect();
        // no order is promised; Kafka's own tests take the one of a hash table for what it is
        let listed = ids.into_iter().rev().map(|id| {
            if let Some(group) = self.consumer(id) {
                return ListedGroup {
                    group_id: id.to_string(),
                    protocol_type: CONSUMER.to_owned(),
                    group_state: group.state().to_owned(),
                    group_type: CONSUMER.to_owned(),
                };
            }
            let classic = soft.classic(id);
            let protocol_type = classic.and_then(|classic| classic.protocol_type());
            ListedGroup {
                group_id: id.to_string(),
                protocol_type: protocol_type.unwrap_or("").to_owned(),
                group_state: state(classic).name().to_owned(),
                group_type: CLASSIC.to_owned(),
            }
        });
        listed
            .filter(|group| {
                is_wanted(&group.group_type, &filter.types_filter)
                    && is_wanted(&group.group_state, &filter.states_filter)
            })
            .collect()
    }

    /// DeleteGroups, one group.
    pub(super) fn delete_group(
        &self,
        soft: &mut Soft,
        id: &str,
        decision: &mut Decision,
    ) -> ErrorCode {
        let classic = soft.classic(id);
        if classic.is_none() && !self.groups.contains_key(id) {
            return ErrorCode::GroupIdNotFound;
        }
        let has_members = self.consumer(id).is_some_and(Consumer::has_members);
        if state(classic) != State::Empty || has_members {
            return ErrorCode::NonEmptyGroup;
        }
        self.end_group(soft, &id.into(), decision);
        ErrorCode::None
    }

    /// Ends a group without members, and all its offsets.
    pub(super) fn end_group(&self, soft: &mut Soft, id: &GroupId, decision: &mut Decision) {
        if let Some(classic) = soft.forget(id) {
            assert_eq!(
                classic.parked_count(),
                0,
                "a group without members has no waiters"
            );
        }
        self.end_open(id, decision);
        let Some(group) = self.groups.get(id) else {
            return;
        };
        group.offsets.end(id, |_, _, _| true, decision);
        end_consumer(id, &group.consumer, decision);
        if group.generation.is_some() {
            decision.records.push(Record::Group {
                group: id.clone(),
                value: None,
            });
        }
    }
}

/// Ends what the log has of a group with the consumer protocol.
pub(super) fn end_consumer(id: &GroupId, group: &Consumer, decision: &mut Decision) {
    let entries = group.tombstones().into_iter();
    decision
        .records
        .extend(entries.map(|entry| Record::Consumer {
            group: id.clone(),
            entry,
        }));
}

/// Where a group stands of which this is the soft state, if any.
pub(super) fn state(classic: Option<&Classic>) -> State {
    classic.map_or(State::Empty, Classic::state)
}

fn describe_absent(id: &str, version: i16) -> DescribedGroup {
    let mut described = DescribedGroup {
        error_code: ErrorCode::None.code(),
        group_id: id.to_owned(),
        group_state: "Dead".to_owned(),
        ..DescribedGroup::default()
    };
    if version >= DESCRIBE_NOT_FOUND_VERSION {
        described.error_code = ErrorCode::GroupIdNotFound.code();
        described.error_message = Some(excerpt::message(format!("Group {id} not found.")));
    }
    described
}
