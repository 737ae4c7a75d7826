//! What operators ask: DescribeGroups, ListGroups, DeleteGroups.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::groups::{DescribedGroup, ListGroupsRequest, ListedGroup};

use super::classic::State;
use super::{GroupId, Output, Record, Shard};
use crate::excerpt;

/// From this version on a group that does not exist is an error, not a dead one.
const DESCRIBE_NOT_FOUND_VERSION: i16 = 6;

/// The type of groups with the classic protocol.
const CLASSIC: &str = "classic";

impl Shard {
    /// DescribeGroups, one group.
    pub(super) fn describe(&self, id: &str, version: i16) -> DescribedGroup {
        let Some(group) = self.groups.get(id) else {
            return describe_absent(id, version);
        };
        let membership = &group.membership;
        DescribedGroup {
            error_code: ErrorCode::None.code(),
            group_id: id.to_owned(),
            group_state: membership.state().name().to_owned(),
            protocol_type: membership.protocol_type().unwrap_or("").to_owned(),
            protocol_data: membership.stable_protocol().unwrap_or("").to_owned(),
            members: membership.describe_members(),
            ..DescribedGroup::default()
        }
    }

    /// ListGroups: those of this shard that the filters let through.
    pub(super) fn list(&self, filter: &ListGroupsRequest) -> Vec<ListedGroup> {
        let wants_type = filter.types_filter.is_empty()
            || filter
                .types_filter
                .iter()
                .any(|name| name.eq_ignore_ascii_case(CLASSIC));
        let wants_state = |state: State| {
            let wanted = &filter.states_filter;
            wanted.is_empty()
                || wanted
                    .iter()
                    .any(|name| name.eq_ignore_ascii_case(state.name()))
        };
        let groups = self
            .groups
            .iter()
            .filter(|(_, group)| wants_type && wants_state(group.membership.state()));
        let listed = groups.map(|(id, group)| ListedGroup {
            group_id: id.to_string(),
            protocol_type: group.membership.protocol_type().unwrap_or("").to_owned(),
            group_state: group.membership.state().name().to_owned(),
            group_type: CLASSIC.to_owned(),
        });
        listed.collect()
    }

    /// DeleteGroups, one group.
    pub(super) fn delete_group(&mut self, id: &str, output: &mut Output) -> ErrorCode {
        let id: GroupId = id.into();
        match self.groups.get(&id) {
            None => ErrorCode::GroupIdNotFound,
            Some(group) if group.membership.state() != State::Empty => ErrorCode::NonEmptyGroup,
            Some(_) => {
                self.remove_group(&id, output);
                ErrorCode::None
            }
        }
    }

    /// Ends a group and all its offsets.
    pub(super) fn remove_group(&mut self, id: &GroupId, output: &mut Output) {
        let Some(mut group) = self.groups.remove(id) else {
            return;
        };
        assert_eq!(
            group.membership.parked_count(),
            0,
            "a group without members has no waiters"
        );
        self.deadlines.forget(id, &group);
        group.offsets.remove(id, |_, _, _| true, output);
        if group.membership.is_in_log() {
            output.records.push(Record::Group {
                group: id.clone(),
                value: None,
            });
        }
    }
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
