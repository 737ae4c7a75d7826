//! DescribeQuorum: the request and its answer.

use crate::codec::Kafka;
use crate::ids::Uuid;

/// Asks for the state of the metadata quorum.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(key = DescribeQuorum, versions = "0-2", flexible = "0+", response = DescribeQuorumResponse)]
pub struct DescribeQuorumRequest {
    pub topics: Vec<DescribeQuorumTopic>,
}

/// One entry of [`DescribeQuorumRequest::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribeQuorumTopic {
    pub topic_name: String,
    pub partitions: Vec<DescribeQuorumPartition>,
}

/// One entry of [`DescribeQuorumTopic::partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribeQuorumPartition {
    pub partition_index: i32,
}

/// Its leader, epoch, voters and observers.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-2", flexible = "0+")]
pub struct DescribeQuorumResponse {
    pub error_code: i16,
    #[kafka(versions = "2+", nullable = "2+", ignorable)]
    pub error_message: Option<String>,
    pub topics: Vec<DescribedQuorumTopic>,
    #[kafka(versions = "2+")]
    pub nodes: Vec<Node>,
}

/// One entry of [`DescribeQuorumResponse::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribedQuorumTopic {
    pub topic_name: String,
    pub partitions: Vec<DescribedQuorumPartition>,
}

/// One entry of [`DescribedQuorumTopic::partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribedQuorumPartition {
    pub partition_index: i32,
    pub error_code: i16,
    #[kafka(versions = "2+", nullable = "2+", ignorable)]
    pub error_message: Option<String>,
    pub leader_id: i32,
    pub leader_epoch: i32,
    pub high_watermark: i64,
    pub current_voters: Vec<ReplicaState>,
    pub observers: Vec<ReplicaState>,
}

/// One entry of [`DescribedQuorumPartition::current_voters`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct ReplicaState {
    pub replica_id: i32,
    #[kafka(versions = "2+")]
    pub replica_directory_id: Uuid,
    pub log_end_offset: i64,
    #[kafka(versions = "1+", default = -1, ignorable)]
    pub last_fetch_timestamp: i64,
    #[kafka(versions = "1+", default = -1, ignorable)]
    pub last_caught_up_timestamp: i64,
}

/// One entry of [`DescribeQuorumResponse::nodes`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct Node {
    pub node_id: i32,
    pub listeners: Vec<Listener>,
}

/// One entry of [`Node::listeners`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct Listener {
    pub name: String,
    pub host: String,
    pub port: u16,
}
