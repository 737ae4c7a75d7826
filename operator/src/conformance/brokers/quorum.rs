//! The metadata quorum of brokers that are not there.

use ottla_protocol::ids::Uuid;
use ottla_protocol::messages::cluster::{
    DescribeQuorumResponse, DescribedQuorumPartition, DescribedQuorumTopic, ReplicaState,
};

use super::BROKERS;

/// All brokers vote, and none is behind.
pub fn quorum() -> DescribeQuorumResponse {
    let voters = (0..BROKERS).map(|replica_id| ReplicaState {
        replica_id,
        replica_directory_id: Uuid::default(),
        log_end_offset: 0,
        last_fetch_timestamp: 0,
        last_caught_up_timestamp: 0,
    });
    let partition = DescribedQuorumPartition {
        partition_index: 0,
        error_code: 0,
        error_message: None,
        leader_id: 0,
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
