//! The records of `__consumer_offsets`, as classic groups write them.

use bytes::Bytes;

use crate::codec::Kafka;
use crate::ids::Uuid;

/// The key of a committed offset: its version tells it from other keys.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0")]
pub struct OffsetCommitKey {
    pub group: String,
    pub topic: String,
    pub partition: i32,
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-4", flexible = "4+")]
pub struct OffsetCommitValue {
    pub offset: i64,
    #[kafka(versions = "3+", default = -1, ignorable)]
    pub leader_epoch: i32,
    pub metadata: String,
    pub commit_timestamp: i64,
    #[kafka(versions = "1", default = -1, ignorable)]
    pub expire_timestamp: i64,
    #[kafka(versions = "4+", tag = 0, ignorable)]
    pub topic_id: Uuid,
}

/// The key of a group's state.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0")]
pub struct GroupMetadataKey {
    pub group: String,
}

/// A group's state: its generation and members.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "0-4", flexible = "4+")]
pub struct GroupMetadataValue {
    pub protocol_type: String,
    pub generation: i32,
    #[kafka(nullable = "0+")]
    pub protocol: Option<String>,
    #[kafka(nullable = "0+")]
    pub leader: Option<String>,
    #[kafka(versions = "2+", default = -1, ignorable)]
    pub current_state_timestamp: i64,
    pub members: Vec<MemberMetadata>,
}

/// One entry of [`GroupMetadataValue::members`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct MemberMetadata {
    pub member_id: String,
    #[kafka(versions = "3+", nullable = "3+", default = null, ignorable)]
    pub group_instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    #[kafka(versions = "1+", default = -1, ignorable)]
    pub rebalance_timeout: i32,
    pub session_timeout: i32,
    pub subscription: Bytes,
    pub assignment: Bytes,
}
