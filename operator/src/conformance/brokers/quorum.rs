//! The metadata quorum of brokers that are not there.

use std::collections::BTreeSet;

use ottla_protocol::ids::Uuid;
use ottla_protocol::messages::cluster::{
    DescribeQuorumResponse, DescribedQuorumPartition, DescribedQuorumTopic, ReplicaState,
};

use super::BROKERS;

/// All brokers vote, and none is behind but those that are down.
pub fn quorum(down: &BTreeSet<i32>) -> DescribeQuorumResponse {
    let voters = (0..BROKERS).map(|replica_id| ReplicaState {
        replica_id,
        replica_directory_id: Uuid::default(),
        log_end_offset: 0,
        last_fetch_timestamp: 0,
        last_caught_up_timestamp: if down.contains(&replica_id) {
            0
        } else {
            60_000
        },
    });
    let partition = DescribedQuorumPartition {
        partition_index: 0,
        error_code: 0,
        error_message: None,
        leader_id: (0..BROKERS).find(|id| !down.contains(id)).unwrap_or(0),
        leader_epoch: 0,
        high_watermark: 0,
        current_voters: voters.collect(),
        observers: Vec::new(),
    };
    let topic = DescribedQuorumTopic {
        topic_name: "__cluster_metadata".to_owned(),
        partitions: vec![partition],
    };
    DescribeQuorumResponse {
        error_code: 0,
        error_message: None,
        topics: vec![topic],
        nodes: Vec::new(),
    }
}
