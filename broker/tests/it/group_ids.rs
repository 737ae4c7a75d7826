//! A group without a name.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::groups::*;
use ottla_protocol::messages::transactions::*;

use crate::dev_node::DevNode;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_without_a_name_has_offsets_and_nothing_else() {
    let mut node = DevNode::start().await;
    node.create_topic("t").await;
    let find = FindCoordinatorRequest {
        coordinator_keys: vec![String::new()],
        ..Default::default()
    };
    let found = node.ask(4, &find).await;
    assert_eq!(found.coordinators[0].error_code, 0);
    let delete = OffsetDeleteRequest::default();
    let deleted = node.ask(0, &delete).await;
    assert_eq!(deleted.error_code, ErrorCode::InvalidGroupId.code());
    let join = node.ask(5, &JoinGroupRequest::default()).await;
    assert_eq!(join.error_code, ErrorCode::InvalidGroupId.code());
    let commit = TxnOffsetCommitRequest {
        transactional_id: "id".into(),
        topics: vec![TxnOffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![TxnOffsetCommitRequestPartition::default()],
        }],
        ..Default::default()
    };
    let refused = node.ask(3, &commit).await;
    let error = refused.topics[0].partitions[0].error_code;
    assert_eq!(error, ErrorCode::InvalidGroupId.code());
    let commit = OffsetCommitRequest {
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![OffsetCommitRequestPartition {
                committed_offset: 5,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let committed = node.ask(8, &commit).await;
    assert_eq!(committed.topics[0].partitions[0].error_code, 0);
    node.node.stop().await;
}
