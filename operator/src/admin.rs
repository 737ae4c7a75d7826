//! The Kafka admin client: the few calls the operator needs, in batches, over one connection.
//!
//! Any broker will do: brokers pass changes on to the active controller. The connection is opened
//! at the first call, kept, and opened again to another broker where it breaks.
//!
//! Invariant: one request is in flight at a time, and a call either has an answer or an [`Error`]
//! within [`CALL_TIMEOUT`]; what a broker refuses is a [`Refusal`], which is data.

mod access;
mod link;
pub mod moves;
mod portion;
mod quotas;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla_client::client::{Client, Options};
use ottla_protocol::codec::Request;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::cluster::{
    DescribeQuorumPartition, DescribeQuorumRequest, DescribeQuorumTopic, DescribedQuorumPartition,
};
use ottla_protocol::messages::configs::{
    DescribeConfigsRequest, DescribeConfigsResource, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResource, IncrementalAlterableConfig,
};
use ottla_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use ottla_protocol::messages::topics::{
    CreatableTopic, CreatableTopicConfig, CreatePartitionsRequest, CreatePartitionsTopic,
    CreateTopicsRequest, DeleteTopicState, DeleteTopicsRequest,
};
use tokio::time::Instant;

pub use self::access::Acls;
pub use self::link::Identity;
use self::link::Link;
use self::portion::{PORTION_MAX, Portion};
pub use self::quotas::Rates;
use crate::observed::{ObservedCluster, ObservedPartition, ObservedQuorum, ObservedTopic};

/// How long a call may take.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a broker may take to carry out a change before it answers.
const CHANGE_TIMEOUT_MS: i32 = 10_000;

/// Kafka's number for a topic among config resources.
const RESOURCE_TOPIC: i8 = 2;
/// Kafka's number for a broker among config resources; an empty name is all brokers.
const RESOURCE_BROKER: i8 = 4;
/// Kafka's number for a config that was set on the topic itself.
const SOURCE_TOPIC: i8 = 1;
/// The topic under whose name Kafka speaks of the metadata quorum.
const QUORUM_TOPIC: &str = "__cluster_metadata";
/// A voter that has not had everything for so long, by the leader's clock, does not count.
const VOTER_LAG_MAX_MS: i64 = 3_000;
const OPERATION_SET: i8 = 0;
const OPERATION_DELETE: i8 = 1;

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No broker could be reached, or the one that was did not answer.
    #[error(transparent)]
    Client(#[from] ottla_client::Error),
    /// The whole request was refused.
    #[error("{0}")]
    Refused(Refusal),
}

/// What a broker does not do, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Kafka's error.
    pub code: ErrorCode,
    /// The broker's sentence, or Kafka's name of the error.
    pub message: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

fn refusal(code: i16, message: Option<String>) -> Result<(), Refusal> {
    let code = ErrorCode::from(code);
    if code == ErrorCode::None {
        return Ok(());
    }
    let message = message.filter(|m| !m.is_empty());
    Err(Refusal {
        code,
        message: message.unwrap_or_else(|| code.name().to_owned()),
    })
}

/// The answer to each part of a batch, by topic.
pub type Answers = BTreeMap<String, Result<(), Refusal>>;

/// A topic to be created; none stands for the cluster's default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// How many partitions.
    pub partitions: Option<i32>,
    /// How many replicas of each.
    pub replication_factor: Option<i32>,
    /// The configs to begin with.
    pub config: BTreeMap<String, String>,
}

/// Changes of configs: to a value, or back to the default.
pub type ConfigChanges = BTreeMap<String, Option<String>>;

/// The client.
#[derive(Debug)]
pub struct Admin {
    client: Client<Link>,
    identity: Option<Identity>,
    portion: Portion,
}

impl Admin {
    /// A client that will find the cluster through any of these addresses.
    #[must_use]
    pub fn new(addresses: Vec<String>) -> Self {
        Self {
            client: Client::new(Link(None), options(CALL_TIMEOUT), addresses),
            identity: None,
            portion: Portion::default(),
        }
    }

    /// How many topics are to be changed at once, by how the brokers answered of late.
    #[must_use]
    pub fn portion(&self) -> usize {
        self.portion.topics()
    }

    /// Has brokers told who the operator is; none: they are not asked, and nothing is encrypted.
    pub fn set_identity(&mut self, identity: Option<Identity>) {
        if self.identity != identity {
            self.client.set_connector(Link(identity.clone()));
            self.identity = identity;
        }
    }

    /// Has brokers of any other cluster than this one asked nothing, where there is one: each call
    /// is an error then.
    pub fn set_cluster_id(&mut self, cluster_id: Option<String>) {
        self.client.set_cluster_id(cluster_id);
    }

    /// Replaces the addresses, as brokers come and go.
    pub fn set_addresses(&mut self, addresses: Vec<String>) {
        self.client.set_addresses(addresses);
    }

    /// Describes the brokers and the named topics, or all topics.
    ///
    /// # Errors
    /// See [`Error`]; this holds for every call.
    pub async fn describe(
        &mut self,
        topics: Option<&BTreeSet<String>>,
    ) -> Result<ObservedCluster, Error> {
        let request = MetadataRequest {
            topics: topics.map(|names| {
                names
                    .iter()
                    .map(|name| MetadataRequestTopic {
                        name: Some(name.clone()),
                        ..MetadataRequestTopic::default()
                    })
                    .collect()
            }),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let response = self.call(&request).await?;
        refusal(response.error_code, None).map_err(Error::Refused)?;
        Ok(observed(response))
    }

    /// The metadata quorum; what a broker says that knows no active controller is a [`Refusal`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn quorum(&mut self) -> Result<Result<ObservedQuorum, Refusal>, Error> {
        let partitions = vec![DescribeQuorumPartition { partition_index: 0 }];
        let request = DescribeQuorumRequest {
            topics: vec![DescribeQuorumTopic {
                topic_name: QUORUM_TOPIC.to_owned(),
                partitions,
            }],
        };
        let answer = self.call(&request).await?;
        if let Err(refusal) = refusal(answer.error_code, answer.error_message) {
            return Ok(Err(refusal));
        }
        let mut partitions = answer.topics.into_iter().flat_map(|topic| topic.partitions);
        Ok(observed_quorum(partitions.next().unwrap_or_default()))
    }

    /// The configs that were set on topics; topics that do not exist are left out.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn topic_configs(
        &mut self,
        topics: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, BTreeMap<String, String>>, Error> {
        let mut configs = BTreeMap::new();
        let topics: Vec<&String> = topics.iter().collect();
        for batch in topics.chunks(PORTION_MAX) {
            let request = DescribeConfigsRequest {
                resources: batch
                    .iter()
                    .map(|topic| DescribeConfigsResource {
                        resource_type: RESOURCE_TOPIC,
                        resource_name: (*topic).clone(),
                        configuration_keys: None,
                    })
                    .collect(),
                ..DescribeConfigsRequest::default()
            };
            for result in self.call(&request).await?.results {
                if refusal(result.error_code, None).is_err() {
                    continue;
                }
                let own = result.configs.into_iter().filter_map(|config| {
                    let value = config.value?;
                    (config.config_source == SOURCE_TOPIC).then_some((config.name, value))
                });
                configs.insert(result.resource_name, own.collect());
            }
        }
        Ok(configs)
    }

    /// Creates topics.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_topics(
        &mut self,
        topics: &BTreeMap<String, NewTopic>,
    ) -> Result<Answers, Error> {
        let request = CreateTopicsRequest {
            topics: topics.iter().map(creatable).collect(),
            timeout_ms: CHANGE_TIMEOUT_MS,
            validate_only: false,
        };
        let results = self
            .change(topics.len(), &request)
            .await?
            .topics
            .into_iter();
        Ok(results
            .map(|one| (one.name, refusal(one.error_code, one.error_message)))
            .collect())
    }

    /// Adds partitions until topics have so many.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_partitions(
        &mut self,
        totals: &BTreeMap<String, i32>,
    ) -> Result<Answers, Error> {
        let request = CreatePartitionsRequest {
            topics: totals
                .iter()
                .map(|(name, total)| CreatePartitionsTopic {
                    name: name.clone(),
                    count: *total,
                    assignments: None,
                })
                .collect(),
            timeout_ms: CHANGE_TIMEOUT_MS,
            validate_only: false,
        };
        let results = self
            .change(totals.len(), &request)
            .await?
            .results
            .into_iter();
        Ok(results
            .map(|one| (one.name, refusal(one.error_code, one.error_message)))
            .collect())
    }

    /// Deletes topics.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_topics(&mut self, topics: &BTreeSet<String>) -> Result<Answers, Error> {
        let request = DeleteTopicsRequest {
            topics: topics
                .iter()
                .map(|name| DeleteTopicState {
                    name: Some(name.clone()),
                    ..DeleteTopicState::default()
                })
                .collect(),
            timeout_ms: CHANGE_TIMEOUT_MS,
            ..DeleteTopicsRequest::default()
        };
        let results = self
            .change(topics.len(), &request)
            .await?
            .responses
            .into_iter();
        Ok(results
            .map(|one| {
                let answer = refusal(one.error_code, one.error_message);
                (one.name.unwrap_or_default(), answer)
            })
            .collect())
    }

    /// Changes configs of topics.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn alter_topic_configs(
        &mut self,
        topics: &BTreeMap<String, ConfigChanges>,
    ) -> Result<Answers, Error> {
        self.alter_configs(RESOURCE_TOPIC, topics).await
    }

    /// Changes settings of all brokers at once.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn alter_cluster_config(
        &mut self,
        changes: &ConfigChanges,
    ) -> Result<Result<(), Refusal>, Error> {
        let resources = BTreeMap::from([(String::new(), changes.clone())]);
        let mut answers = self.alter_configs(RESOURCE_BROKER, &resources).await?;
        Ok(answers.pop_first().map_or(Ok(()), |(_, answer)| answer))
    }

    async fn alter_configs(
        &mut self,
        resource_type: i8,
        resources: &BTreeMap<String, ConfigChanges>,
    ) -> Result<Answers, Error> {
        let request = IncrementalAlterConfigsRequest {
            resources: resources
                .iter()
                .map(|(name, changes)| IncrementalAlterConfigsResource {
                    resource_type,
                    resource_name: name.clone(),
                    configs: changes.iter().map(alterable).collect(),
                })
                .collect(),
            validate_only: false,
        };
        let results = self
            .change(resources.len(), &request)
            .await?
            .responses
            .into_iter();
        Ok(results
            .map(|one| {
                let answer = refusal(one.error_code, one.error_message);
                (one.resource_name, answer)
            })
            .collect())
    }

    /// A call that changes so many topics; how long it takes says how many the next one may change.
    async fn change<R: Request>(
        &mut self,
        topics: usize,
        request: &R,
    ) -> Result<R::Response, Error> {
        let begun = Instant::now();
        let answer = self.call(request).await;
        let took = answer.is_ok().then(|| begun.elapsed());
        self.portion = self.portion.after(topics, took);
        answer
    }

    /// Every call here may be made twice with the same outcome, as the client wants it.
    async fn call<R: Request>(&mut self, request: &R) -> Result<R::Response, Error> {
        Ok(self.client.call(request).await?)
    }
}

fn options(call_timeout: Duration) -> Options {
    Options {
        client_id: "ottla-operator".to_owned(),
        software_version: env!("CARGO_PKG_VERSION").to_owned(),
        connect_timeout: CONNECT_TIMEOUT,
        call_timeout,
        answer_bytes_max: ANSWER_BYTES_MAX,
    }
}

fn observed(response: MetadataResponse) -> ObservedCluster {
    let topics = response.topics.into_iter().filter_map(|topic| {
        let name = topic.name?;
        refusal(topic.error_code, None).ok()?;
        let mut partitions = topic.partitions;
        partitions.sort_by_key(|partition| partition.partition_index);
        let partitions = partitions
            .into_iter()
            .map(|partition| ObservedPartition {
                has_leader: partition.leader_id >= 0,
                replicas: partition.replica_nodes,
                isr: partition.isr_nodes,
                ..ObservedPartition::default()
            })
            .collect();
        let observed = ObservedTopic {
            topic_id: topic.topic_id.to_string(),
            partitions,
            config: BTreeMap::new(),
        };
        Some((name, observed))
    });
    ObservedCluster {
        topics: topics.collect(),
        cluster_id: response.cluster_id,
    }
}

fn observed_quorum(partition: DescribedQuorumPartition) -> Result<ObservedQuorum, Refusal> {
    refusal(partition.error_code, partition.error_message)?;
    let leader = partition.leader_id;
    let voters = partition.current_voters;
    let Some(now) = voters.iter().find(|voter| voter.replica_id == leader) else {
        return Err(Refusal {
            code: ErrorCode::NotController,
            message: "no voter is the active controller".to_owned(),
        });
    };
    let now = now.last_caught_up_timestamp;
    let voters = voters.iter().map(|voter| {
        let is_up = now.saturating_sub(voter.last_caught_up_timestamp) <= VOTER_LAG_MAX_MS;
        (voter.replica_id, is_up)
    });
    Ok(ObservedQuorum {
        leader,
        voters: voters.collect(),
    })
}

fn creatable((name, topic): (&String, &NewTopic)) -> CreatableTopic {
    CreatableTopic {
        name: name.clone(),
        num_partitions: topic.partitions.unwrap_or(-1),
        replication_factor: topic
            .replication_factor
            .map_or(-1, |factor| i16::try_from(factor).unwrap_or(i16::MAX)),
        assignments: Vec::new(),
        configs: topic
            .config
            .iter()
            .map(|(name, value)| CreatableTopicConfig {
                name: name.clone(),
                value: Some(value.clone()),
            })
            .collect(),
    }
}

fn alterable((name, value): (&String, &Option<String>)) -> IncrementalAlterableConfig {
    IncrementalAlterableConfig {
        name: name.clone(),
        config_operation: if value.is_some() {
            OPERATION_SET
        } else {
            OPERATION_DELETE
        },
        value: value.clone(),
    }
}
