//! Parts of requests and records, from a word of a script.

use ottla_protocol::ids::Uuid;
use ottla_protocol::messages::groups as wire;

use crate::group::record::CommittedOffset;
use crate::group::request::OffsetFetch;
use crate::group::{Body, Record};

/// The group of all scripts.
pub(super) const GROUP: &str = "g";

/// `range` or `range:topic`; the metadata is a consumer's subscription to that topic.
pub(super) fn protocol(text: &str) -> wire::JoinGroupRequestProtocol {
    let (name, topic) = text.split_once(':').unwrap_or((text, "t"));
    let mut metadata = vec![
        0,
        0,
        0,
        0,
        0,
        1,
        0,
        u8::try_from(topic.len()).expect("short"),
    ];
    metadata.extend_from_slice(topic.as_bytes());
    wire::JoinGroupRequestProtocol {
        name: name.to_owned(),
        metadata: metadata.into(),
    }
}

pub(super) fn fetch(names: &[&str], require_stable: bool) -> Body {
    let topics = names.iter().map(|name| {
        let (topic, partition) = name.rsplit_once('-').expect("TOPIC-0");
        wire::OffsetFetchRequestTopics {
            name: topic.to_owned(),
            topic_id: Uuid::ZERO,
            partition_indexes: vec![partition.parse().expect("a partition")],
        }
    });
    let topics = (!names.is_empty()).then(|| topics.collect());
    let group = wire::OffsetFetchRequestGroup {
        group_id: GROUP.to_owned(),
        member_id: None,
        member_epoch: -1,
        topics,
    };
    Body::OffsetFetch(OffsetFetch {
        group,
        require_stable,
    })
}

pub(super) fn delete_offset(name: &str) -> Body {
    let (topic, partition) = name.rsplit_once('-').expect("TOPIC-0");
    let partition_index = partition.parse().expect("a partition");
    Body::OffsetDelete(wire::OffsetDeleteRequest {
        group_id: GROUP.to_owned(),
        topics: vec![wire::OffsetDeleteRequestTopic {
            name: topic.to_owned(),
            partitions: vec![wire::OffsetDeleteRequestPartition { partition_index }],
        }],
    })
}

/// `TOPIC-0=5`
pub(super) fn offset(text: &str) -> Record {
    let (place, offset) = text.split_once('=').expect("TOPIC-0=5");
    let (topic, partition) = place.rsplit_once('-').expect("TOPIC-0");
    Record::Offset {
        group: GROUP.into(),
        topic: topic.into(),
        partition: partition.parse().expect("a partition"),
        value: Some(CommittedOffset {
            offset: offset.parse().expect("an offset"),
            leader_epoch: -1,
            metadata: "".into(),
            commit_timestamp_ms: 0,
            expire_timestamp_ms: None,
            topic_id: Uuid::ZERO,
        }),
    }
}
