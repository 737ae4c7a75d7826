//! ConsumerGroupDescribe: the request and its answer.

use crate::codec::Kafka;
use crate::ids::Uuid;

/// Asks for groups of the new protocol.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = ConsumerGroupDescribe,
    versions = "0-1",
    flexible = "0+",
    response = ConsumerGroupDescribeResponse
)]
pub struct ConsumerGroupDescribeRequest {
    pub group_ids: Vec<String>,
    pub include_authorized_operations: bool,
}

/// Their epochs, members and assignments.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-1", flexible = "0+")]
pub struct ConsumerGroupDescribeResponse {
    pub throttle_time_ms: i32,
    pub groups: Vec<DescribedGroup>,
}

/// One entry of [`ConsumerGroupDescribeResponse::groups`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribedGroup {
    pub error_code: i16,
    #[kafka(nullable = "0+", default = null)]
    pub error_message: Option<String>,
    pub group_id: String,
    pub group_state: String,
    pub group_epoch: i32,
    pub assignment_epoch: i32,
    pub assignor_name: String,
    pub members: Vec<Member>,
    #[kafka(default = i32::MIN)]
    pub authorized_operations: i32,
}

/// One entry of [`DescribedGroup::members`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct Member {
    pub member_id: String,
    #[kafka(nullable = "0+", default = null)]
    pub instance_id: Option<String>,
    #[kafka(nullable = "0+", default = null)]
    pub rack_id: Option<String>,
    pub member_epoch: i32,
    pub client_id: String,
    pub client_host: String,
    pub subscribed_topic_names: Vec<String>,
    #[kafka(nullable = "0+", default = null)]
    pub subscribed_topic_regex: Option<String>,
    pub assignment: DescribedAssignment,
    pub target_assignment: DescribedAssignment,
    #[kafka(versions = "1+", default = -1, ignorable)]
    pub member_type: i8,
}

/// The value of [`Member::assignment`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribedAssignment {
    pub topic_partitions: Vec<DescribedTopicPartitions>,
}

/// One entry of [`DescribedAssignment::topic_partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct DescribedTopicPartitions {
    pub topic_id: Uuid,
    pub topic_name: String,
    pub partitions: Vec<i32>,
}
