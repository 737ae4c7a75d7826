//! RemoveRaftVoter: the request and its answer.

use crate::codec::Kafka;
use crate::ids::Uuid;

/// Takes the vote of one of the metadata quorum's voters, which follows on without.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = RemoveRaftVoter, versions = "0", flexible = "0+", response = RemoveRaftVoterResponse)]
pub struct RemoveRaftVoterRequest {
    #[kafka(nullable = "0+")]
    pub cluster_id: Option<String>,
    pub voter_id: i32,
    pub voter_directory_id: Uuid,
}

/// Whether it votes no more.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct RemoveRaftVoterResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<String>,
}
