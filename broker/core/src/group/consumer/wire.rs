//! Between the coordinator's words and those of the wire.

use std::collections::BTreeMap;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::TopicId;
use ottla_protocol::messages::consumer_groups::{
    AssignedTopicPartitions, Assignment, ConsumerGroupHeartbeatResponse, DescribedAssignment,
    DescribedTopicPartitions, OwnedTopicPartitions,
};

use super::state::{Given, Partitions};
use crate::excerpt;
use crate::image::MetadataImage;

/// Why a request is refused.
#[derive(Debug)]
pub struct Refusal {
    pub error: ErrorCode,
    pub message: String,
}

impl Refusal {
    /// In one sentence.
    pub fn new(error: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            error,
            message: excerpt::message(message.into()),
        }
    }

    /// As the client is told.
    pub fn response(self) -> ConsumerGroupHeartbeatResponse {
        ConsumerGroupHeartbeatResponse {
            error_code: self.error.code(),
            error_message: Some(self.message),
            ..ConsumerGroupHeartbeatResponse::default()
        }
    }
}

/// What a member says that it has.
pub fn owned(topics: &[OwnedTopicPartitions]) -> Partitions {
    let mut owned = Partitions::new();
    for topic in topics.iter().filter(|topic| !topic.partitions.is_empty()) {
        let partitions = owned.entry(TopicId(topic.topic_id)).or_default();
        partitions.extend(&topic.partitions);
    }
    owned
}

/// What a member has, as it is told.
pub fn assignment(given: &Given) -> Assignment {
    let topics = given
        .iter()
        .map(|(topic, partitions)| AssignedTopicPartitions {
            topic_id: topic.0,
            partitions: partitions.keys().copied().collect(),
        });
    Assignment {
        topic_partitions: topics.collect(),
    }
}

/// The same for who describes the group. A topic that is gone has no name.
pub fn described<'a>(
    topics: impl Iterator<Item = (&'a TopicId, Vec<i32>)>,
    image: &MetadataImage,
) -> DescribedAssignment {
    let topics = topics.filter_map(|(id, partitions)| {
        Some(DescribedTopicPartitions {
            topic_id: id.0,
            topic_name: image.topic_by_id(*id)?.name.to_string(),
            partitions,
        })
    });
    DescribedAssignment {
        topic_partitions: topics.collect(),
    }
}

/// Partitions without their epochs.
pub fn plain(given: &Given) -> BTreeMap<TopicId, Vec<i32>> {
    let topics = given.iter();
    topics
        .map(|(topic, partitions)| (*topic, partitions.keys().copied().collect()))
        .collect()
}
