//! AlterReplicaLogDirs: the request and its answer.

use crate::codec::Kafka;

/// Moves replicas between the directories of a broker.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = AlterReplicaLogDirs,
    versions = "1-2",
    flexible = "2+",
    response = AlterReplicaLogDirsResponse
)]
pub struct AlterReplicaLogDirsRequest {
    pub dirs: Vec<AlterReplicaLogDir>,
}

/// One entry of [`AlterReplicaLogDirsRequest::dirs`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct AlterReplicaLogDir {
    pub path: String,
    pub topics: Vec<AlterReplicaLogDirTopic>,
}

/// One entry of [`AlterReplicaLogDir::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct AlterReplicaLogDirTopic {
    pub name: String,
    pub partitions: Vec<i32>,
}

/// Whether each move was taken up.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "1-2", flexible = "2+")]
pub struct AlterReplicaLogDirsResponse {
    pub throttle_time_ms: i32,
    pub results: Vec<AlterReplicaLogDirTopicResult>,
}

/// One entry of [`AlterReplicaLogDirsResponse::results`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct AlterReplicaLogDirTopicResult {
    pub topic_name: String,
    pub partitions: Vec<AlterReplicaLogDirPartitionResult>,
}

/// One entry of [`AlterReplicaLogDirTopicResult::partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct AlterReplicaLogDirPartitionResult {
    pub partition_index: i32,
    pub error_code: i16,
}
