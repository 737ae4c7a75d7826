//! The words that consumers of the classic protocol pass to each other through their group, in
//! bytes that say their version first (`ConsumerProtocol`).

use bytes::Bytes;
use ottla_protocol::ids::PartitionIndex;
use ottla_protocol::messages::consumer_protocol::{
    AssignedPartitions, ConsumerProtocolAssignment, ConsumerProtocolSubscription, OwnedPartitions,
};

use super::state::Partitions;
use crate::image::MetadataImage;
use crate::shard::versioned::{decode_fields, encode_value, split_version};

/// The last version that is known. A later one begins with what this one has.
const VERSION_MAX: i16 = 3;

/// What a member subscribes to.
pub fn subscription(metadata: &[u8]) -> Option<ConsumerProtocolSubscription> {
    let (version, fields) = split_version(metadata).ok()?;
    decode_fields(fields, version.clamp(0, VERSION_MAX)).ok()
}

/// What a member was assigned.
pub fn assignment(bytes: &[u8]) -> Option<ConsumerProtocolAssignment> {
    let (version, fields) = split_version(bytes).ok()?;
    decode_fields(fields, version.clamp(0, VERSION_MAX)).ok()
}

/// An assignment, in the version of the member's subscription; empty where its names are too long
/// for any member to have been given them.
pub fn assigned(partitions: &Partitions, metadata: &[u8], image: &MetadataImage) -> Bytes {
    let version = split_version(metadata).map_or(0, |(version, _)| version);
    let topics = partitions.iter().filter_map(|(id, partitions)| {
        Some(AssignedPartitions {
            topic: image.topic_by_id(*id)?.name.to_string(),
            partitions: partitions.iter().copied().collect(),
        })
    });
    let assignment = ConsumerProtocolAssignment {
        assigned_partitions: topics.collect(),
        user_data: None,
    };
    encode_value(version.clamp(0, VERSION_MAX), &assignment).unwrap_or_default()
}

/// What a member says that it has, of the topics that are there.
pub fn owned(owned: &[OwnedPartitions], image: &MetadataImage) -> Partitions {
    let topics = owned.iter();
    known(topics.map(|one| (&*one.topic, &*one.partitions)), image)
}

/// What a member was assigned, of the topics that are there.
pub fn given(assigned: &[AssignedPartitions], image: &MetadataImage) -> Partitions {
    let topics = assigned.iter();
    known(topics.map(|one| (&*one.topic, &*one.partitions)), image)
}

fn known<'a>(
    topics: impl Iterator<Item = (&'a str, &'a [i32])>,
    image: &MetadataImage,
) -> Partitions {
    let mut all = Partitions::new();
    for (name, partitions) in topics {
        let Some(topic) = image.topic(name) else {
            continue;
        };
        let is_there = |index: &&i32| topic.partition(PartitionIndex(**index)).is_some();
        for index in partitions.iter().filter(is_there) {
            all.entry(topic.id).or_default().insert(*index);
        }
    }
    all
}
