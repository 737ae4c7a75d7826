//! ElectLeaders: the request and its answer.

use crate::codec::Kafka;

/// Asks for the preferred leader, or for any at the price of data.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = ElectLeaders, versions = "0-2", flexible = "2+", response = ElectLeadersResponse)]
pub struct ElectLeadersRequest {
    #[kafka(versions = "1+")]
    pub election_type: i8,
    #[kafka(nullable = "0+")]
    pub topic_partitions: Option<Vec<TopicPartitions>>,
    #[kafka(default = 60000)]
    pub timeout_ms: i32,
}

/// One entry of [`ElectLeadersRequest::topic_partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct TopicPartitions {
    pub topic: String,
    pub partitions: Vec<i32>,
}

/// What became of each election.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-2", flexible = "2+")]
pub struct ElectLeadersResponse {
    pub throttle_time_ms: i32,
    #[kafka(versions = "1+")]
    pub error_code: i16,
    pub replica_election_results: Vec<ReplicaElectionResult>,
}

/// One entry of [`ElectLeadersResponse::replica_election_results`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct ReplicaElectionResult {
    pub topic: String,
    pub partition_result: Vec<PartitionResult>,
}

/// One entry of [`ReplicaElectionResult::partition_result`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct PartitionResult {
    pub partition_id: i32,
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<String>,
}
