//! The records of `__consumer_offsets`, in Apache Kafka's own format: tools and backups can read
//! them.
//!
//! ```text
//!   key:   version i16   0, 1 offset │ 2 group        value:  version i16
//!          group string                                       the fields of that version
//!          topic string   (offset only)               no value: a tombstone
//!          partition i32  (offset only)
//! ```

mod consumer;

use bytes::Bytes;
use ottla_protocol::codec::Error as CodecError;
use ottla_protocol::ids::{TopicId, TopicName, Uuid};
use ottla_protocol::messages::group_records::{
    GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue,
};

use super::GroupId;
use super::consumer::state::Entry;
use crate::shard::versioned::{decode_key, decode_value, encode_key, encode_value, split_version};

/// Offsets have had two key versions of the same fields.
const OFFSET_KEY_VERSIONS: std::ops::RangeInclusive<i16> = 0..=1;
const OFFSET_KEY_VERSION: i16 = 1;
const GROUP_KEY_VERSION: i16 = 2;

/// What every broker since 2.1 can read.
const OFFSET_VALUE_VERSION: i16 = 3;
/// Has the topic's id.
const OFFSET_VALUE_TOPIC_ID_VERSION: i16 = 4;
/// The only one with a time of its own to expire at.
const OFFSET_VALUE_EXPIRE_VERSION: i16 = 1;
/// What every broker since 2.3 can read.
const GROUP_VALUE_VERSION: i16 = 3;

/// Where a group has got to in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The offset of the next record to read.
    pub offset: i64,
    /// The epoch of the last record read, -1 where not known.
    pub leader_epoch: i32,
    /// The client's own words, kept byte for byte.
    pub metadata: Box<str>,
    /// When it was committed, by the coordinator's wall clock.
    pub commit_timestamp_ms: i64,
    /// When it expires, where a client of old said so itself.
    pub expire_timestamp_ms: Option<i64>,
    /// Which incarnation of the topic is meant; zero where not known.
    pub topic_id: Uuid,
}

impl CommittedOffset {
    /// Which incarnation of the topic is meant, where that is known.
    #[must_use]
    pub fn topic(&self) -> Option<TopicId> {
        (!self.topic_id.is_zero()).then_some(TopicId(self.topic_id))
    }
}

/// A record.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// An offset, or its end.
    Offset {
        /// The group.
        group: GroupId,
        /// The topic.
        topic: TopicName,
        /// The partition's index.
        partition: i32,
        /// None is a tombstone.
        value: Option<CommittedOffset>,
    },
    /// A group's generation, or its end.
    Group {
        /// The group.
        group: GroupId,
        /// None is a tombstone.
        value: Option<GroupMetadataValue>,
    },
    /// A part of a group with the consumer protocol.
    Consumer {
        /// The group.
        group: GroupId,
        /// Which part, and what it is.
        entry: Entry,
    },
}

/// Why a record cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are no key or value.
    #[error("a record of {OFFSETS} is malformed: {0}", OFFSETS = super::OFFSETS_TOPIC)]
    Malformed(#[from] CodecError),
}

impl Record {
    /// The key and the value.
    ///
    /// # Errors
    /// A string is longer than any that a request can bring.
    pub fn encode(&self) -> Result<(Bytes, Option<Bytes>), CodecError> {
        match self {
            Self::Offset {
                group,
                topic,
                partition,
                value,
            } => {
                let key = OffsetCommitKey {
                    group: group.to_string(),
                    topic: topic.to_string(),
                    partition: *partition,
                };
                let value = value.as_ref().map(encode_offset).transpose()?;
                Ok((encode_key(OFFSET_KEY_VERSION, &key)?, value))
            }
            Self::Group { group, value } => {
                let key = GroupMetadataKey {
                    group: group.to_string(),
                };
                let value = value
                    .as_ref()
                    .map(|value| encode_value(GROUP_VALUE_VERSION, value));
                Ok((encode_key(GROUP_KEY_VERSION, &key)?, value.transpose()?))
            }
            Self::Consumer { group, entry } => consumer::encode(group, entry),
        }
    }

    /// Reads a record; none where it is of a kind that this broker does not know and must skip.
    ///
    /// # Errors
    /// The record is of a known kind, but its bytes are not.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, Error> {
        let (version, key) = split_version(key)?;
        if OFFSET_KEY_VERSIONS.contains(&version) {
            let key: OffsetCommitKey = decode_key(key)?;
            Ok(Some(Self::Offset {
                group: key.group.into(),
                topic: key.topic.into(),
                partition: key.partition,
                value: value.map(decode_offset).transpose()?,
            }))
        } else if version == GROUP_KEY_VERSION {
            let key: GroupMetadataKey = decode_key(key)?;
            Ok(Some(Self::Group {
                group: key.group.into(),
                value: value.map(decode_value).transpose()?,
            }))
        } else {
            consumer::decode(version, key, value)
        }
    }
}

fn encode_offset(value: &CommittedOffset) -> Result<Bytes, CodecError> {
    let version = if value.expire_timestamp_ms.is_some() {
        OFFSET_VALUE_EXPIRE_VERSION
    } else if !value.topic_id.is_zero() {
        OFFSET_VALUE_TOPIC_ID_VERSION
    } else {
        OFFSET_VALUE_VERSION
    };
    let value = OffsetCommitValue {
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: value.metadata.to_string(),
        commit_timestamp: value.commit_timestamp_ms,
        expire_timestamp: value.expire_timestamp_ms.unwrap_or(-1),
        topic_id: value.topic_id,
    };
    encode_value(version, &value)
}

fn decode_offset(bytes: &[u8]) -> Result<CommittedOffset, Error> {
    let value: OffsetCommitValue = decode_value(bytes)?;
    Ok(CommittedOffset {
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: value.metadata.into(),
        commit_timestamp_ms: value.commit_timestamp,
        expire_timestamp_ms: Some(value.expire_timestamp).filter(|at| *at >= 0),
        topic_id: value.topic_id,
    })
}
