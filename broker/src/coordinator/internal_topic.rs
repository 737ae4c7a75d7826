//! An internal topic: created when the first client asks for a coordinator that lives in it.

use std::sync::Arc;
use std::time::Duration;

use ottla_core::image::{MetadataImage, Topic};
use ottla_core::placement::candidates;
use ottla_core::shard::partition_for;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{NodeId, PartitionIndex};
use ottla_protocol::messages::topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use tracing::{info, warn};

use crate::controller;

/// How long a client that made the topic be created waits for its leaders.
const CREATION_PATIENCE: Duration = Duration::from_secs(3);

/// How long the controller may take.
const CREATION_TIMEOUT_MS: i32 = 10_000;

/// How the topic is made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name.
    pub name: &'static str,
    /// How many partitions it gets.
    pub partition_count: i32,
    /// How many replicas each gets at most.
    pub replication_factor: i16,
    /// How many of them must be in sync, where there are so many.
    pub min_in_sync: Option<i16>,
    /// Its configs.
    pub configs: Vec<(&'static str, String)>,
    /// Who votes by the file: those that are no controllers alone are brokers that may still come.
    pub voters: Vec<NodeId>,
}

/// The topic, and the way to the coordinators in it.
pub(super) struct InternalTopic {
    settings: Settings,
    controller: controller::Handle,
    /// Whether it was said that brokers are missing.
    creation: tokio::sync::Mutex<bool>,
}

impl InternalTopic {
    pub(super) fn new(settings: Settings, controller: controller::Handle) -> Self {
        Self {
            settings,
            controller,
            creation: tokio::sync::Mutex::default(),
        }
    }

    /// The broker that coordinates what is under `key`; the topic is created where it is missing.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE while there is none.
    pub(super) async fn coordinator(&self, key: &str) -> Result<NodeId, ErrorCode> {
        self.ensure().await?;
        let leads = |image: &MetadataImage, node| self.leader(image, key) == Some(node);
        let image = self.controller.settled(leads).await;
        self.leader(&image, key)
            .filter(|node| image.is_unfenced(*node))
            .ok_or(ErrorCode::CoordinatorNotAvailable)
    }

    /// The leader of the partition that `key` is in.
    fn leader(&self, image: &MetadataImage, key: &str) -> Option<NodeId> {
        let topic = self.of(image)?;
        topic.partition(index(topic, key)?)?.leader
    }

    fn of<'a>(&self, image: &'a MetadataImage) -> Option<&'a Arc<Topic>> {
        image.topic(self.settings.name)
    }

    /// The partition that `key` is in; the topic is created where it is missing.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE while there is none.
    pub(super) async fn partition(&self, key: &str) -> Result<PartitionIndex, ErrorCode> {
        self.ensure().await?;
        let image = self.controller.image();
        let index = self.of(&image).and_then(|topic| index(topic, key));
        index.ok_or(ErrorCode::CoordinatorNotAvailable)
    }

    /// Makes sure that the topic is there; a new one has all its leaders.
    async fn ensure(&self) -> Result<(), ErrorCode> {
        if self.of(&self.controller.image()).is_some() {
            return Ok(());
        }
        // one creation at a time: the others wait for its outcome
        let mut has_said = self.creation.lock().await;
        if self.of(&self.controller.image()).is_none() {
            self.create(&mut has_said).await?;
        }
        let mut images = self.controller.subscribe();
        let is_there = |image: &Arc<MetadataImage>| {
            let topic = self.of(image);
            topic.is_some_and(|topic| topic.partitions.iter().all(|p| p.leader.is_some()))
        };
        let waiting = images.wait_for(is_there);
        match tokio::time::timeout(CREATION_PATIENCE, waiting).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(ErrorCode::CoordinatorNotAvailable),
        }
    }

    async fn create(&self, has_said: &mut bool) -> Result<(), ErrorCode> {
        let topic = self.settings.name;
        let image = self.controller.image();
        let Some(replication_factor) = replication_factor(&self.settings, &image) else {
            if !std::mem::replace(has_said, true) {
                warn!(
                    "{topic} is created once all brokers of controller.quorum.voters are \
                     registered, or as many as it has replicas; until then no group or \
                     transaction of it is served"
                );
            }
            return Err(ErrorCode::CoordinatorNotAvailable);
        };
        let request = request(&self.settings, replication_factor);
        let error = match self.controller.submit(request).await {
            Ok(response) => {
                let code = response.topics.first().map_or(0, |topic| topic.error_code);
                ErrorCode::from(code)
            }
            Err(error) => {
                warn!(%error, "{topic} was not created");
                return Err(ErrorCode::CoordinatorNotAvailable);
            }
        };
        match error {
            ErrorCode::None => {
                info!(replication_factor, "{topic} created");
                let wanted = self.settings.replication_factor;
                if replication_factor < wanted {
                    warn!(
                        "{topic} has {replication_factor} replicas of {wanted}, as there are no \
                         more brokers; kafka-reassign-partitions gives it more"
                    );
                }
                Ok(())
            }
            ErrorCode::TopicAlreadyExists => Ok(()),
            error => {
                warn!(error = error.name(), "{topic} was not created");
                Err(ErrorCode::CoordinatorNotAvailable)
            }
        }
    }
}

fn index(topic: &Topic, key: &str) -> Option<PartitionIndex> {
    let count = i32::try_from(topic.partitions.len()).ok();
    let count = count.filter(|count| *count > 0)?;
    Some(PartitionIndex(partition_for(key, count)))
}

/// As many replicas as are set, or as there are brokers that take new ones where that is fewer.
/// Brokers among the voters that are still to come count: a cluster of three that starts must not
/// end up with one copy because one was first. Those that are cordoned do not, nor controllers.
fn replication_factor(settings: &Settings, image: &MetadataImage) -> Option<i16> {
    let candidates = candidates(image).len();
    let cordoned = image.brokers.len().saturating_sub(candidates);
    let voters = settings.voters.iter();
    let voting = voters.filter(|voter| !image.controllers.contains_key(*voter));
    let expected = voting.count().max(image.brokers.len());
    let expected = i16::try_from(expected.saturating_sub(cordoned)).unwrap_or(i16::MAX);
    let wanted = settings.replication_factor.min(expected);
    let registered = i16::try_from(candidates).unwrap_or(i16::MAX);
    (registered >= wanted && wanted > 0).then_some(wanted)
}

fn request(settings: &Settings, replication_factor: i16) -> CreateTopicsRequest {
    let config = |(name, value): &(&str, String)| CreatableTopicConfig {
        name: (*name).to_owned(),
        value: Some(value.clone()),
    };
    let mut configs: Vec<_> = settings.configs.iter().map(config).collect();
    configs.extend(settings.min_in_sync.map(|count| {
        let count = count.min(replication_factor).to_string();
        config(&("min.insync.replicas", count))
    }));
    CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: settings.name.to_owned(),
            num_partitions: settings.partition_count,
            replication_factor,
            configs,
            ..CreatableTopic::default()
        }],
        timeout_ms: CREATION_TIMEOUT_MS,
        validate_only: false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ottla_core::image::{BrokerRegistration, ControllerRegistration};

    use super::*;

    /// Each line: what the file names as voters, which controllers and which brokers are
    /// registered, how many replicas are set; and with how many the topic is made.
    const CASES: &str = "
        0,1,2 | - | 0 | 3 => None
        0,1,2 | - | 0,1 | 3 => None
        0,1,2 | - | 0,1,2 | 3 => Some(3)
        0,1,2 | - | 1,2,3 | 3 => Some(3)
        0 | - | 0 | 3 => Some(1)
        - | - | 0 | 3 => Some(1)
        0 | - | 0,1,2,3 | 3 => Some(3)
        0,1 | - | 0 | 1 => Some(1)
        100,101,102 | 100,101,102 | 0 | 3 => Some(1)
        100,101,102 | 100,101,102 | 0,1 | 3 => Some(2)
        100,101,102 | 100,101,102 | 0,1,2,3 | 3 => Some(3)
        100,101,102 | 100 | 0 | 3 => None
        0,1,100 | 100 | 0 | 3 => None
        0,1,100 | 100 | 0,1 | 3 => Some(2)
        100 | 100 | - | 3 => None
    ";

    fn nodes(text: &str) -> Vec<NodeId> {
        let ids = text.split(',').filter_map(|id| id.trim().parse().ok());
        ids.map(NodeId).collect()
    }

    #[test]
    fn a_topic_waits_for_the_brokers_among_the_voters_and_for_no_controller() {
        for case in CASES.lines().filter(|case| case.contains("=>")) {
            let (given, wanted) = case.split_once(" => ").unwrap();
            let given: Vec<&str> = given.split('|').map(str::trim).collect();
            let settings = Settings {
                name: "__consumer_offsets",
                partition_count: 50,
                replication_factor: given[3].parse().unwrap(),
                min_in_sync: None,
                configs: Vec::new(),
                voters: nodes(given[0]),
            };
            let broker = |node_id| {
                let broker = BrokerRegistration {
                    node_id,
                    ..BrokerRegistration::default()
                };
                (node_id, Arc::new(broker))
            };
            let controller = |node_id| {
                let controller = ControllerRegistration {
                    node_id,
                    ..ControllerRegistration::default()
                };
                (node_id, Arc::new(controller))
            };
            let brokers: BTreeMap<_, _> = nodes(given[2]).into_iter().map(broker).collect();
            let controllers: BTreeMap<_, _> = nodes(given[1]).into_iter().map(controller).collect();
            let image = MetadataImage {
                brokers: Arc::new(brokers),
                controllers: Arc::new(controllers),
                ..MetadataImage::default()
            };
            let told = format!("{:?}", replication_factor(&settings, &image));
            assert_eq!(told, wanted, "{case}");
        }
    }
}
