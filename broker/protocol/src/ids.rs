//! The identities and offsets of Kafka, a newtype each, so that none is taken for another.
//!
//! Wire structs in [`crate::messages`] hold the raw numbers that the schema names; the request
//! handlers turn them into these at the border, and everything inside speaks these only.

use std::fmt;
use std::sync::Arc;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }
    };
}

number! {
    /// A broker's id; equals the ordinal of its pod.
    NodeId(i32)
}
number! {
    /// The index of a partition within its topic.
    PartitionIndex(i32)
}
number! {
    /// The position of a record in a partition's log.
    Offset(i64)
}
number! {
    /// Counts the leaders a partition has had; every batch carries its leader's.
    LeaderEpoch(i32)
}
number! {
    /// Counts the changes of a partition's replicas, ISR and leader (KIP-497).
    PartitionEpoch(i32)
}
number! {
    /// One incarnation of a broker, given at registration (KIP-631).
    BrokerEpoch(i64)
}
number! {
    /// An idempotent or transactional producer (KIP-98).
    ProducerId(i64)
}
number! {
    /// Counts the incarnations of one producer id; an older one is fenced.
    ProducerEpoch(i16)
}
number! {
    /// The number of a record among one producer's records to a partition; wraps at 2³¹ − 1.
    Sequence(i32)
}

impl Offset {
    /// Before any offset that exists.
    pub const ZERO: Self = Self(0);

    /// This offset moved by `count` records.
    #[must_use]
    pub const fn plus(self, count: i64) -> Self {
        Self(self.0 + count)
    }
}

impl LeaderEpoch {
    /// What the wire says where an epoch is not known.
    pub const NONE: Self = Self(-1);
}

impl ProducerId {
    /// What a batch says that no idempotent producer wrote.
    pub const NONE: Self = Self(-1);
}

/// A 128-bit identity, written as Kafka writes it: URL-safe base64 without padding.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// All zero: "no id" on the wire.
    pub const ZERO: Self = Self([0; 16]);

    /// Whether this is [`Self::ZERO`].
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.0);
        for place in 0..22 {
            // 22 digits of 6 bits hold 132: the last digit carries 2 bits and 4 of padding
            let digit = if place < 21 {
                (bits >> (122 - 6 * place)) & 63
            } else {
                (bits << 4) & 63
            };
            write!(f, "{}", BASE64_URL[digit as usize] as char)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Uuid {
    type Err = InvalidUuid;

    fn from_str(text: &str) -> Result<Self, InvalidUuid> {
        if text.len() != 22 {
            return Err(InvalidUuid);
        }
        let mut bits: u128 = 0;
        for (place, byte) in text.bytes().enumerate() {
            let digit = BASE64_URL
                .iter()
                .position(|&b| b == byte)
                .ok_or(InvalidUuid)? as u128;
            bits = if place < 21 {
                (bits << 6) | digit
            } else {
                (bits << 2) | (digit >> 4)
            };
        }
        Ok(Self(bits.to_be_bytes()))
    }
}

/// The text is not 22 characters of URL-safe base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a Kafka UUID: expected 22 characters of URL-safe base64")]
pub struct InvalidUuid;

/// A topic's identity; a deleted and recreated topic has another one (KIP-516).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub Uuid);

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A topic's name; cheap to clone.
pub type TopicName = Arc<str>;

/// One partition of a topic, by name: what clients and logs speak of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: TopicName,
    /// The partition's index.
    pub partition: PartitionIndex,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// One partition of one incarnation of a topic: what the broker's own state is keyed by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicIdPartition {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partition's index.
    pub partition: PartitionIndex,
}

impl fmt::Display for TopicIdPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic_id, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_reads_back_what_it_writes() {
        let uuid = Uuid(*b"0123456789abcdef");
        assert_eq!(uuid.to_string(), "MDEyMzQ1Njc4OWFiY2RlZg");
        assert_eq!("MDEyMzQ1Njc4OWFiY2RlZg".parse(), Ok(uuid));
        assert_eq!("short".parse::<Uuid>(), Err(InvalidUuid));
    }
}
