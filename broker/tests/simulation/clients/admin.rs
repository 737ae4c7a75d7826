//! An administrator: the topics that are there from the start, and one that comes and goes.

use std::time::Duration;

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use ottla_protocol::messages::topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, DeleteTopicsRequest,
};
use ottla_protocol::record::NewRecord;
use ottla_protocol::record_batch::Builder;

use super::{PAUSE, has_compaction, is_compaction_sought, keeper, pause_max_ms, produce_request};
use crate::connection::Connection;
use crate::world::{BUSY, Shared, TOPICS};

/// The topic that is deleted and made again under the same name.
pub const TOPIC: &str = "fleeting";

/// How long a segment is written to: logs have closed ones soon, which rot and may go by retention.
const SEGMENT_MS: &str = "1000";

/// How long the compacted topic keeps tombstones.
pub const DELETE_RETENTION_MS: u64 = 1000;

/// Who makes the topics at the start.
pub const NAME: &str = "admin";

/// In one run of so many topics have closed segments.
const SEGMENTS_ONE_IN: usize = 2;

fn has_segments(shared: &Shared) -> bool {
    shared.random(20).one_in(SEGMENTS_ONE_IN)
}

fn creation(
    shared: &Shared,
    (name, partitions): (&str, i32),
    factor: usize,
) -> CreateTopicsRequest {
    let segment = CreatableTopicConfig {
        name: "segment.ms".to_owned(),
        value: Some(SEGMENT_MS.to_owned()),
    };
    CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: name.to_owned(),
            num_partitions: partitions,
            replication_factor: factor as i16,
            configs: has_segments(shared)
                .then_some(segment)
                .into_iter()
                .collect(),
            ..CreatableTopic::default()
        }],
        timeout_ms: 1000,
        validate_only: false,
    }
}

fn compacted(shared: &Shared) -> CreateTopicsRequest {
    let mut request = creation(shared, (keeper::TOPIC, 1), 3);
    let has_segments = has_segments(shared) || is_compaction_sought(shared);
    let segment = has_segments.then_some(("segment.ms", "300"));
    let configs = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", &DELETE_RETENTION_MS.to_string()),
    ];
    let configs = configs.into_iter().chain(segment);
    let config = |(name, value): (&str, &str)| CreatableTopicConfig {
        name: name.to_owned(),
        value: Some(value.to_owned()),
    };
    request.topics[0].configs = configs.map(config).collect();
    request
}

/// Makes the topics, however long the cluster takes to form.
pub async fn create_topics(shared: Shared) {
    let mut connection = Connection::new(&shared, 0);
    for topic in &TOPICS {
        let mut request = creation(&shared, (topic.name, topic.partitions), topic.factor);
        if topic.name == BUSY && shared.has_retention() {
            request.topics[0].configs.push(CreatableTopicConfig {
                name: "retention.bytes".to_owned(),
                value: Some("65536".to_owned()),
            });
        }
        while !create(&mut connection, &request).await {
            tokio::time::sleep(PAUSE).await;
        }
    }
    if has_compaction(&shared) {
        let request = compacted(&shared);
        while !create(&mut connection, &request).await {
            tokio::time::sleep(PAUSE).await;
        }
    }
    shared.trace(format_args!("the topics are made"));
    shared.leave(NAME);
}

/// Says whether the topic is there.
async fn create(connection: &mut Connection, request: &CreateTopicsRequest) -> bool {
    let answer = connection.ask(7, request).await;
    let error = answer.and_then(|answer| Some(answer.topics.first()?.error_code));
    matches!(
        error.map(ErrorCode::from),
        Some(ErrorCode::None | ErrorCode::TopicAlreadyExists)
    )
}

/// Says whether the topic is gone.
async fn delete(connection: &mut Connection) -> bool {
    let request = DeleteTopicsRequest {
        topic_names: vec![TOPIC.to_owned()],
        timeout_ms: 1000,
        ..DeleteTopicsRequest::default()
    };
    let answer = connection.ask(5, &request).await;
    let error = answer.and_then(|answer| Some(answer.responses.first()?.error_code));
    matches!(
        error.map(ErrorCode::from),
        Some(ErrorCode::None | ErrorCode::UnknownTopicOrPartition)
    )
}

/// Makes a topic, writes to it, deletes it, again and again. Each time it takes writes.
pub async fn recreate(shared: &Shared) {
    shared.join(TOPIC);
    let mut connection = Connection::new(shared, 2);
    let request = creation(shared, (TOPIC, 1), 3);
    let mut random = shared.random(14);
    let pause_max_ms = pause_max_ms(shared);
    loop {
        let is_ending = shared.with(|world| world.is_ending);
        // a deletion of which nothing was heard may be carried out late, and is of a name: so
        // whoever is refused makes the topic again
        while !(create(&mut connection, &request).await && write(shared, &mut connection).await) {
            tokio::time::sleep(PAUSE).await;
            connection.turn();
        }
        if is_ending {
            break;
        }
        let pause = random.below(pause_max_ms) as u64;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        while !delete(&mut connection).await {
            tokio::time::sleep(PAUSE).await;
            connection.turn();
        }
        shared.trace(format_args!("{TOPIC} was made, written to and deleted"));
    }
    shared.leave(TOPIC);
}

/// Writes one record; says whether the whole ISR has it.
async fn write(shared: &Shared, connection: &mut Connection) -> bool {
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some(TOPIC.to_owned()),
            ..MetadataRequestTopic::default()
        }]),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    let found = connection.ask(9, &request).await;
    let topic = found.and_then(|found| found.topics.into_iter().next());
    let partition = topic.and_then(|topic| topic.partitions.into_iter().next());
    let leader = partition.and_then(|partition| usize::try_from(partition.leader_id).ok());
    let Some(leader) = leader else {
        let asked = connection.node();
        shared.trace(format_args!("{TOPIC} has no leader that {asked} knows of"));
        return false;
    };
    connection.turn_to(leader);
    let mut builder = Builder::new();
    builder.push(&NewRecord {
        value: Some(TOPIC.as_bytes()),
        ..NewRecord::default()
    });
    let request = produce_request((TOPIC, 0), builder);
    let answer = connection.ask(9, &request).await;
    let parts = answer.and_then(|answer| answer.responses.into_iter().next());
    let part = parts.and_then(|parts| parts.partition_responses.into_iter().next());
    let error = part.map(|part| ErrorCode::from(part.error_code));
    if error != Some(ErrorCode::None) {
        shared.trace(format_args!("refused {TOPIC} by {leader}: {error:?}"));
    }
    error == Some(ErrorCode::None)
}
