//! Requests that nobody means well: the broker answers or closes the connection, and lives on.

use std::time::Duration;

use bytes::BytesMut;
use ottla_protocol::api::ApiKey;
use ottla_protocol::codec::Writer;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::groups::*;

use crate::dev_node::DevNode;

const LONG: Duration = Duration::from_secs(20);

/// The longest string there is.
const STRING_BYTES_MAX: usize = i16::MAX as usize;

/// A node with topic `t`, which has coordinated a group.
async fn coordinator() -> DevNode {
    let mut node = DevNode::start().await;
    node.create_topic("t").await;
    commit(&mut node, "before").await;
    node
}

/// Finds the coordinator of a group and commits an offset there, until that works.
async fn commit(node: &mut DevNode, group: &str) {
    let find = FindCoordinatorRequest {
        key: group.into(),
        ..Default::default()
    };
    let partition = OffsetCommitRequestPartition {
        committed_offset: 1,
        ..Default::default()
    };
    let commit = OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    };
    for _ in 0..100 {
        node.ask(3, &find).await;
        let answer = node.ask(8, &commit).await;
        if answer.topics[0].partitions[0].error_code == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no offset can be committed");
}

/// A string of a flexible version, however long.
fn put_compact(writer: &mut Writer, text: &str) {
    writer.uvarint(text.len() as u32 + 1);
    writer.put(text.as_bytes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_id_longer_than_a_string_can_be_is_refused() {
    let mut node = coordinator().await;
    let mut writer = Writer::new();
    writer.put(&ApiKey::OffsetCommit.key().to_be_bytes());
    writer.put(b"\0\x08\0\0\0\x07\0\x01c\0"); // version 8, correlation id 7, client id, no tags
    put_compact(&mut writer, &"g".repeat(40_000));
    writer.put(&(-1_i32).to_be_bytes());
    writer.put(b"\x01\0\x02\x02t\x02"); // no member, no instance; one topic with one partition
    writer.put(b"\0\0\0\0\0\0\0\0\0\0\0\x05\xff\xff\xff\xff"); // index, offset, leader epoch
    writer.put(b"\x01\0\0\0"); // no metadata, no tags
    let bytes = BytesMut::from(&writer.into_bytes()[..]);
    let answer = node.call(bytes, LONG).await;
    let refused = answer.expect_err("no string is that long").to_string();
    assert!(refused.contains("impossible length 40000"), "{refused}");
    commit(&mut node, "after").await;
    node.node.stop().await;
}

fn join(group: &str, member_id: &str, name: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: group.into(),
        member_id: member_id.into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: name.into(),
        protocols: vec![JoinGroupRequestProtocol {
            name: name.into(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Joins and syncs the one member of a group of protocol `name` until its generation is in the log.
async fn form(node: &mut DevNode, client_id: &str, mut join: JoinGroupRequest) {
    commit(node, &join.group_id).await;
    let required = node.ask_as(client_id, 9, &join).await;
    if required.error_code == ErrorCode::MemberIdRequired.code() {
        join.member_id = required.member_id;
    }
    let joined = node.ask_as(client_id, 9, &join).await;
    assert_eq!(joined.error_code, 0);
    let sync = SyncGroupRequest {
        group_id: join.group_id.clone(),
        generation_id: joined.generation_id,
        member_id: joined.member_id,
        group_instance_id: join.group_instance_id.clone(),
        ..Default::default()
    };
    let synced = node.ask_as(client_id, 5, &sync).await;
    assert_eq!(synced.error_code, 0);
    let describe = DescribeGroupsRequest {
        groups: vec![join.group_id.clone()],
        ..Default::default()
    };
    let described = node.ask(5, &describe).await;
    assert_eq!(described.groups[0].group_state, "Stable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_names_of_a_member_are_taken() {
    let mut node = coordinator().await;
    let longest = "n".repeat(STRING_BYTES_MAX);
    // the id of a member begins with its client's id, or with its instance's
    form(&mut node, &longest, join("g1", "", "range")).await;
    form(
        &mut node,
        "é".repeat(16_380).as_str(),
        join("g2", "", "range"),
    )
    .await;
    let mut instance = join("g3", "", "range");
    instance.group_instance_id = Some(longest.clone());
    form(&mut node, "c", instance).await;
    form(&mut node, "c", join("g4", "", &longest)).await;
    form(&mut node, "c", join(&longest, "", "range")).await;
    commit(&mut node, "after").await;
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_protocol_that_is_named_twice_can_be_chosen() {
    let mut node = coordinator().await;
    let mut join = join("g", "", "range");
    join.protocols.push(join.protocols[0].clone());
    form(&mut node, "c", join).await;
    node.node.stop().await;
}
