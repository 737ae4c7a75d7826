//! `__consumer_offsets` itself: created when the first group asks for its coordinator.

use std::sync::Arc;
use std::time::Duration;

use ottla_core::group::OFFSETS_TOPIC;
use ottla_core::image::MetadataImage;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use tracing::{info, warn};

use super::Inner;

/// How long a client that made the topic be created waits for its leaders.
const CREATION_PATIENCE: Duration = Duration::from_secs(3);

/// How long the controller may take.
const CREATION_TIMEOUT_MS: i32 = 10_000;

/// How the topic is made.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `offsets.topic.num.partitions`
    pub partition_count: i32,
    /// `offsets.topic.replication.factor`
    pub replication_factor: i16,
    /// `offsets.topic.segment.bytes`
    pub segment_bytes: i32,
    /// How many voters the quorum has: so many brokers are to be expected at least.
    pub voter_count: usize,
}

/// Makes sure that the topic is there; a new one has all its leaders.
pub(super) async fn ensure(inner: &Inner) -> Result<(), ErrorCode> {
    if inner.controller.image().topic(OFFSETS_TOPIC).is_some() {
        return Ok(());
    }
    // one creation at a time: the others wait for its outcome
    let _creation = inner.creation.lock().await;
    if inner.controller.image().topic(OFFSETS_TOPIC).is_none() {
        create(inner).await?;
    }
    let mut images = inner.controller.subscribe();
    let is_there = |image: &Arc<MetadataImage>| {
        let topic = image.topic(OFFSETS_TOPIC);
        topic.is_some_and(|topic| topic.partitions.iter().all(|p| p.leader.is_some()))
    };
    let waiting = images.wait_for(is_there);
    match tokio::time::timeout(CREATION_PATIENCE, waiting).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(ErrorCode::CoordinatorNotAvailable),
    }
}

async fn create(inner: &Inner) -> Result<(), ErrorCode> {
    let image = inner.controller.image();
    let Some(replication_factor) = replication_factor(&inner.settings.topic, &image) else {
        return Err(ErrorCode::CoordinatorNotAvailable);
    };
    let request = request(&inner.settings.topic, replication_factor);
    let error = match inner.controller.submit(request).await {
        Ok(response) => {
            let code = response.topics.first().map_or(0, |topic| topic.error_code);
            ErrorCode::from(code)
        }
        Err(error) => {
            warn!(%error, "{OFFSETS_TOPIC} was not created");
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
    };
    match error {
        ErrorCode::None => {
            info!(replication_factor, "{OFFSETS_TOPIC} created");
            Ok(())
        }
        ErrorCode::TopicAlreadyExists => Ok(()),
        error => {
            warn!(error = error.name(), "{OFFSETS_TOPIC} was not created");
            Err(ErrorCode::CoordinatorNotAvailable)
        }
    }
}

/// As many replicas as are set, or as there are brokers where that is fewer. Brokers that are still
/// to come count: a cluster of three that starts must not end up with one copy because one was
/// first.
fn replication_factor(settings: &Settings, image: &MetadataImage) -> Option<i16> {
    let expected = settings.voter_count.max(image.brokers.len());
    let expected = i16::try_from(expected).unwrap_or(i16::MAX);
    let wanted = settings.replication_factor.min(expected);
    let registered = i16::try_from(image.brokers.len()).unwrap_or(i16::MAX);
    (registered >= wanted && wanted > 0).then_some(wanted)
}

fn request(settings: &Settings, replication_factor: i16) -> CreateTopicsRequest {
    let config = |name: &str, value: String| CreatableTopicConfig {
        name: name.to_owned(),
        value: Some(value),
    };
    CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: OFFSETS_TOPIC.to_owned(),
            num_partitions: settings.partition_count,
            replication_factor,
            configs: vec![
                config("cleanup.policy", "compact".to_owned()),
                config("segment.bytes", settings.segment_bytes.to_string()),
                config("compression.type", "producer".to_owned()),
            ],
            ..CreatableTopic::default()
        }],
        timeout_ms: CREATION_TIMEOUT_MS,
        validate_only: false,
    }
}
