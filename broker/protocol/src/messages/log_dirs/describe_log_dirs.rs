//! DescribeLogDirs: the request and its answer.

use crate::codec::Kafka;

/// Asks for directories and what lies in them.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = DescribeLogDirs,
    versions = "1-5",
    flexible = "2+",
    response = DescribeLogDirsResponse
)]
pub struct DescribeLogDirsRequest {
    #[kafka(nullable = "0+")]
    pub topics: Option<Vec<DescribableLogDirTopic>>,
}

/// One entry of [`DescribeLogDirsRequest::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribableLogDirTopic {
    pub topic: String,
    pub partitions: Vec<i32>,
}

/// Directories, their space and their replicas.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "1-5", flexible = "2+")]
pub struct DescribeLogDirsResponse {
    pub throttle_time_ms: i32,
    #[kafka(versions = "3+", ignorable)]
    pub error_code: i16,
    pub results: Vec<DescribeLogDirsResult>,
}

/// One entry of [`DescribeLogDirsResponse::results`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribeLogDirsResult {
    pub error_code: i16,
    pub log_dir: String,
    pub topics: Vec<DescribeLogDirsTopic>,
    #[kafka(versions = "4+", default = -1, ignorable)]
    pub total_bytes: i64,
    #[kafka(versions = "4+", default = -1, ignorable)]
    pub usable_bytes: i64,
    #[kafka(versions = "5+", ignorable)]
    pub is_cordoned: bool,
}

/// One entry of [`DescribeLogDirsResult::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribeLogDirsTopic {
    pub name: String,
    pub partitions: Vec<DescribeLogDirsPartition>,
}

/// One entry of [`DescribeLogDirsTopic::partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribeLogDirsPartition {
    pub partition_index: i32,
    pub partition_size: i64,
    pub offset_lag: i64,
    pub is_future_key: bool,
}
