//! Records and answers as one line of text.

use std::fmt::Write as _;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::groups as wire;

use crate::group::{Record, Response};

/// `A-0000…0003` as `A3`.
fn name(member_id: &str) -> String {
    match member_id.split_once('-') {
        Some((name, uuid)) => {
            let number = u128::from_str_radix(&uuid.replace('-', ""), 16).expect("a UUID");
            format!("{name}{number}")
        }
        None => format!("{member_id:?}"),
    }
}

pub(super) fn show_record(record: &Record) -> String {
    match record {
        Record::Offset {
            topic,
            partition,
            value: Some(value),
            ..
        } => {
            format!("{topic}-{partition}={} {:?}", value.offset, value.metadata)
        }
        Record::Offset {
            topic,
            partition,
            value: None,
            ..
        } => {
            format!("{topic}-{partition} tombstone")
        }
        Record::Group { value: None, .. } => "group tombstone".to_owned(),
        Record::Consumer { entry, .. } => format!("{entry:?}"),
        Record::Group {
            value: Some(value), ..
        } => {
            let members = value.members.iter().map(|member| {
                let assignment = String::from_utf8_lossy(&member.assignment);
                format!(" {}={assignment}", name(&member.member_id))
            });
            let members: String = members.collect();
            format!("generation {}:{members}", value.generation)
        }
    }
}

pub(super) fn show_response(response: &Response) -> String {
    match response {
        // these have a language of their own
        Response::ConsumerGroupHeartbeat(_) | Response::ConsumerGroupDescribe(_) => {
            format!("{response:?}")
        }
        Response::JoinGroup(response) if response.error_code == 0 => show_join(response),
        Response::JoinGroup(response) => error(response.error_code),
        Response::SyncGroup(response) if response.error_code == 0 => {
            format!("assigned {}", String::from_utf8_lossy(&response.assignment))
        }
        Response::SyncGroup(response) => error(response.error_code),
        Response::Heartbeat(response) => error(response.error_code),
        Response::LeaveGroup(response) => response
            .members
            .iter()
            .map(|member| error(member.error_code))
            .collect(),
        Response::OffsetCommit(response) | Response::TxnOffsetCommit(response) => {
            error(response.topics[0].partitions[0].error_code)
        }
        Response::OffsetFetch(response) => show_fetch(response),
        Response::OffsetDelete(response) => {
            let partition = response.topics.first().map(|topic| &topic.partitions[0]);
            error(partition.map_or(response.error_code, |partition| partition.error_code))
        }
        Response::DeleteGroup(code) => code.name().to_owned(),
        Response::DescribeGroup(group) => show_group(group),
        Response::ListGroups(groups) => {
            let groups = groups.iter().map(|group| {
                format!(
                    "{} {} {:?} {}",
                    group.group_id, group.group_state, group.protocol_type, group.group_type
                )
            });
            format!("[{}]", groups.collect::<Vec<_>>().join(", "))
        }
    }
}

fn show_join(response: &wire::JoinGroupResponse) -> String {
    let members = response
        .members
        .iter()
        .map(|member| name(&member.member_id));
    let role = if response.leader == response.member_id {
        "leads"
    } else {
        "follows"
    };
    let leader = name(&response.leader);
    format!(
        "{} in generation {}, {}, {role} {leader} [{}]{}",
        name(&response.member_id),
        response.generation_id,
        response.protocol_name.as_deref().unwrap_or("-"),
        members.collect::<Vec<_>>().join(" "),
        if response.skip_assignment {
            " skip"
        } else {
            ""
        }
    )
}

fn show_fetch(response: &wire::OffsetFetchResponseGroup) -> String {
    let mut seen = error(response.error_code);
    for topic in &response.topics {
        for at in &topic.partitions {
            if at.error_code != 0 {
                let (name, index) = (&topic.name, at.partition_index);
                write!(seen, " {name}-{index} {}", error(at.error_code)).expect("a string");
                continue;
            }
            let metadata = at.metadata.as_deref().unwrap_or("-");
            let place = format!("{}-{}", topic.name, at.partition_index);
            write!(seen, " {place}={} {metadata:?}", at.committed_offset).expect("a string");
        }
    }
    seen
}

fn show_group(group: &wire::DescribedGroup) -> String {
    let members = group.members.iter().map(|member| {
        let assignment = String::from_utf8_lossy(&member.member_assignment);
        format!(" {}={assignment}", name(&member.member_id))
    });
    format!(
        "{} {} {:?} {:?}{}",
        error(group.error_code),
        group.group_state,
        group.protocol_type,
        group.protocol_data,
        members.collect::<String>()
    )
}

fn error(code: i16) -> String {
    ErrorCode::from(code).name().to_owned()
}
