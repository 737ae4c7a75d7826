//! The records of `__consumer_offsets` that groups of the consumer protocol write (KIP-848).

use bytes::Bytes;

use crate::codec::Kafka;
use crate::ids::Uuid;

/// The key of what there is once a group: its version tells of what.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0")]
pub struct ConsumerGroupMetadataKey {
    pub group_id: String,
}

/// The key of what there is once a member.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0")]
pub struct ConsumerGroupMemberMetadataKey {
    pub group_id: String,
    pub member_id: String,
}

/// The key of a regular expression.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0")]
pub struct ConsumerGroupRegularExpressionKey {
    pub group_id: String,
    pub regular_expression: String,
}

/// The group's epoch.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct ConsumerGroupMetadataValue {
    pub epoch: i32,
    #[kafka(versions = "0+", tag = 0)]
    pub metadata_hash: i64,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct ConsumerGroupMemberMetadataValue {
    #[kafka(nullable = "0+")]
    pub instance_id: Option<String>,
    #[kafka(nullable = "0+")]
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub subscribed_topic_names: Vec<String>,
    #[kafka(nullable = "0+")]
    pub subscribed_topic_regex: Option<String>,
    #[kafka(default = -1)]
    pub rebalance_timeout_ms: i32,
    #[kafka(nullable = "0+")]
    pub server_assignor: Option<String>,
    #[kafka(versions = "0+", tag = 0, nullable = "0+")]
    pub classic_member_metadata: Option<ClassicMemberMetadata>,
}

/// What a member of the classic protocol would have said, while a group changes its protocol.
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct ClassicMemberMetadata {
    pub session_timeout_ms: i32,
    pub supported_protocols: Vec<ClassicProtocol>,
}

/// One entry of [`ClassicMemberMetadata::supported_protocols`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct ClassicProtocol {
    pub name: String,
    pub metadata: Bytes,
}

/// The epoch of the target.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct ConsumerGroupTargetAssignmentMetadataValue {
    pub assignment_epoch: i32,
    #[kafka(versions = "0+", tag = 0, ignorable)]
    pub assignment_timestamp: i64,
}

/// A member's target.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct ConsumerGroupTargetAssignmentMemberValue {
    pub topic_partitions: Vec<TargetTopicPartition>,
}

/// One entry of [`ConsumerGroupTargetAssignmentMemberValue::topic_partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct TargetTopicPartition {
    pub topic_id: Uuid,
    pub partitions: Vec<i32>,
}

/// What a member was told.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct ConsumerGroupCurrentMemberAssignmentValue {
    pub member_epoch: i32,
    pub previous_member_epoch: i32,
    pub state: i8,
    pub assigned_partitions: Vec<CurrentTopicPartitions>,
    pub partitions_pending_revocation: Vec<CurrentTopicPartitions>,
}

/// One entry of [`ConsumerGroupCurrentMemberAssignmentValue::assigned_partitions`], or of what is
/// to be given up.
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct CurrentTopicPartitions {
    pub topic_id: Uuid,
    pub partitions: Vec<i32>,
    #[kafka(versions = "0+", tag = 0, nullable = "0+")]
    pub assignment_epochs: Option<Vec<i32>>,
}

/// The topics that a regular expression matches.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0", flexible = "0+")]
pub struct ConsumerGroupRegularExpressionValue {
    pub topics: Vec<String>,
    pub version: i64,
    pub timestamp: i64,
}
