//! The metadata quorum of brokers that are not there.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::Uuid;
use ottla_protocol::messages::cluster::{
    AddRaftVoterRequest, AddRaftVoterResponse, DescribeQuorumResponse, DescribedQuorumPartition,
    DescribedQuorumTopic, RemoveRaftVoterRequest, RemoveRaftVoterResponse, ReplicaState,
};

use super::{Brokers, Kafka};

impl Brokers {
    /// Who votes.
    pub fn voters(&self) -> Vec<i32> {
        self.kafka.voters.borrow().iter().copied().collect()
    }

    /// Has nobody be told who votes, or everybody again.
    pub fn hide_quorum(&self, is_hidden: bool) {
        self.kafka.is_quorum_hidden.set(is_hidden);
    }

    /// Has these vote, as somebody's own tool does.
    pub fn set_voters(&self, voters: &[i32]) {
        *self.kafka.voters.borrow_mut() = voters.iter().copied().collect();
    }
}

impl Kafka {
    /// None is behind but those that are down.
    pub(super) fn quorum(&self) -> DescribeQuorumResponse {
        if self.is_quorum_hidden.get() {
            return DescribeQuorumResponse {
                error_code: ErrorCode::ClusterAuthorizationFailed.code(),
                ..DescribeQuorumResponse::default()
            };
        }
        let (voters, down) = (self.voters.borrow(), self.out_of_sync());
        let states = voters.iter().map(|replica_id| ReplicaState {
            replica_id: *replica_id,
            replica_directory_id: Uuid::default(),
            log_end_offset: 0,
            last_fetch_timestamp: 0,
            last_caught_up_timestamp: if down.contains(replica_id) { 0 } else { 60_000 },
        });
        let leader = voters.iter().find(|id| !down.contains(id));
        let partition = DescribedQuorumPartition {
            partition_index: 0,
            error_code: 0,
            error_message: None,
            leader_id: leader.copied().unwrap_or(0),
            leader_epoch: 0,
            high_watermark: 0,
            current_voters: states.collect(),
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

    /// Whether a request that names a cluster, if it names one, is for this one.
    fn is_meant(&self, cluster_id: Option<&str>) -> bool {
        cluster_id.is_none_or(|id| *id == **self.cluster_id.borrow())
    }

    pub(super) fn add_voter(&self, request: AddRaftVoterRequest) -> AddRaftVoterResponse {
        let is_new = || self.voters.borrow_mut().insert(request.voter_id);
        let error = match self.is_meant(request.cluster_id.as_deref()) {
            false => ErrorCode::InconsistentClusterId,
            true if is_new() => ErrorCode::None,
            true => ErrorCode::DuplicateVoter,
        };
        AddRaftVoterResponse {
            error_code: error.code(),
            ..AddRaftVoterResponse::default()
        }
    }

    pub(super) fn remove_voter(&self, request: RemoveRaftVoterRequest) -> RemoveRaftVoterResponse {
        let was_there = || self.voters.borrow_mut().remove(&request.voter_id);
        let error = match self.is_meant(request.cluster_id.as_deref()) {
            false => ErrorCode::InconsistentClusterId,
            true if was_there() => ErrorCode::None,
            true => ErrorCode::VoterNotFound,
        };
        RemoveRaftVoterResponse {
            error_code: error.code(),
            ..RemoveRaftVoterResponse::default()
        }
    }
}
