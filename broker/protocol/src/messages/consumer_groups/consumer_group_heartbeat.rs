//! ConsumerGroupHeartbeat: the request and its answer.

use crate::codec::Kafka;
use crate::ids::Uuid;

/// Joins, stays in or leaves a group; says what changed.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = ConsumerGroupHeartbeat,
    versions = "0-1",
    flexible = "0+",
    response = ConsumerGroupHeartbeatResponse
)]
pub struct ConsumerGroupHeartbeatRequest {
    pub group_id: String,
    pub member_id: String,
    pub member_epoch: i32,
    #[kafka(nullable = "0+", default = null)]
    pub instance_id: Option<String>,
    #[kafka(nullable = "0+", default = null)]
    pub rack_id: Option<String>,
    #[kafka(default = -1)]
    pub rebalance_timeout_ms: i32,
    #[kafka(nullable = "0+", default = null)]
    pub subscribed_topic_names: Option<Vec<String>>,
    #[kafka(versions = "1+", nullable = "1+", default = null)]
    pub subscribed_topic_regex: Option<String>,
    #[kafka(nullable = "0+", default = null)]
    pub server_assignor: Option<String>,
    #[kafka(nullable = "0+", default = null)]
    pub topic_partitions: Option<Vec<OwnedTopicPartitions>>,
}

/// One entry of [`ConsumerGroupHeartbeatRequest::topic_partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct OwnedTopicPartitions {
    pub topic_id: Uuid,
    pub partitions: Vec<i32>,
}

/// The member's epoch and, when it changes, its assignment.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-1", flexible = "0+")]
pub struct ConsumerGroupHeartbeatResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[kafka(nullable = "0+", default = null)]
    pub error_message: Option<String>,
    #[kafka(nullable = "0+", default = null)]
    pub member_id: Option<String>,
    pub member_epoch: i32,
    pub heartbeat_interval_ms: i32,
    #[kafka(nullable = "0+", default = null)]
    pub assignment: Option<Assignment>,
}

/// The value of [`ConsumerGroupHeartbeatResponse::assignment`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct Assignment {
    pub topic_partitions: Vec<AssignedTopicPartitions>,
}

/// One entry of [`Assignment::topic_partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct AssignedTopicPartitions {
    pub topic_id: Uuid,
    pub partitions: Vec<i32>,
}
