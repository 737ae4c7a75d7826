//! DeleteRecords: the request and its answer.

use crate::codec::Kafka;

/// Moves log start offsets forward.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = DeleteRecords, versions = "0-2", flexible = "2+", response = DeleteRecordsResponse)]
pub struct DeleteRecordsRequest {
    pub topics: Vec<DeleteRecordsTopic>,
    pub timeout_ms: i32,
}

/// One entry of [`DeleteRecordsRequest::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DeleteRecordsTopic {
    pub name: String,
    pub partitions: Vec<DeleteRecordsPartition>,
}

/// One entry of [`DeleteRecordsTopic::partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DeleteRecordsPartition {
    pub partition_index: i32,
    pub offset: i64,
}

/// The new log start offsets.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-2", flexible = "2+")]
pub struct DeleteRecordsResponse {
    pub throttle_time_ms: i32,
    pub topics: Vec<DeleteRecordsTopicResult>,
}

/// One entry of [`DeleteRecordsResponse::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DeleteRecordsTopicResult {
    pub name: String,
    pub partitions: Vec<DeleteRecordsPartitionResult>,
}

/// One entry of [`DeleteRecordsTopicResult::partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DeleteRecordsPartitionResult {
    pub partition_index: i32,
    pub low_watermark: i64,
    pub error_code: i16,
}
