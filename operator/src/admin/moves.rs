//! Calls about replicas that move from broker to broker.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla_client::client::Client;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::cluster::{
    AddRaftVoterRequest, AlterPartitionReassignmentsRequest, ListPartitionReassignmentsRequest,
    OngoingTopicReassignment, ReassignablePartition, ReassignableTopic, RemoveRaftVoterRequest,
    UnregisterBrokerRequest,
};
use ottla_protocol::messages::log_dirs::{DescribableLogDirTopic, DescribeLogDirsRequest};
use ottla_protocol::messages::metadata::DescribeClusterRequest;

use super::link::Link;
use super::{Admin, CHANGE_TIMEOUT_MS, Error, RESOURCE_BROKER, Refusal, options, refusal};
use crate::observed::{ObservedCluster, PartitionKey, RegisteredBroker, Sizes};

/// The setting that keeps new replicas away from a broker.
const CORDONED: &str = "cordoned.log.dirs";
/// How long a broker may take to become a voter.
const VOTERS_TIMEOUT_MS: i32 = 5000;
/// The setting that holds a broker's copies to a rate.
const THROTTLED: &str = "follower.replication.throttled.rate";
/// How long a broker may take to say how large its replicas are: nothing waits for that.
const SIZES_TIMEOUT: Duration = Duration::from_secs(3);

/// Replicas that partitions shall have, the preferred leader first; none cancels what is under way.
pub type Targets = BTreeMap<PartitionKey, Option<Vec<i32>>>;

impl Admin {
    /// The brokers that are registered, those that do not serve among them.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn brokers(&mut self) -> Result<BTreeMap<i32, RegisteredBroker>, Error> {
        let request = DescribeClusterRequest {
            include_fenced_brokers: true,
            ..DescribeClusterRequest::default()
        };
        let response = self.call(&request).await?;
        refusal(response.error_code, response.error_message).map_err(Error::Refused)?;
        let brokers = response.brokers.into_iter().map(|broker| {
            let registered = RegisteredBroker {
                address: format!("{}:{}", broker.host, broker.port),
                rack: broker.rack,
                is_fenced: broker.is_fenced,
                is_cordoned: false,
            };
            (broker.broker_id, registered)
        });
        Ok(brokers.collect())
    }

    /// Describes the named topics, or all, with the replicas that are being added and removed. What
    /// is under way is asked for before and after: a move that ends or begins meanwhile shows as
    /// one, never as more replicas than there are to be.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn describe_moves(
        &mut self,
        topics: Option<&BTreeSet<String>>,
    ) -> Result<ObservedCluster, Error> {
        let before = self.reassignments().await?;
        let mut cluster = self.describe(topics).await?;
        let after = self.reassignments().await?;
        for topic in before.into_iter().chain(after) {
            let Some(observed) = cluster.topics.get_mut(&topic.name) else {
                continue;
            };
            for moving in topic.partitions {
                let index = usize::try_from(moving.partition_index).unwrap_or(usize::MAX);
                if let Some(partition) = observed.partitions.get_mut(index) {
                    partition.replicas = moving.replicas;
                    partition.adding = moving.adding_replicas;
                    partition.removing = moving.removing_replicas;
                }
            }
        }
        Ok(cluster)
    }

    async fn reassignments(&mut self) -> Result<Vec<OngoingTopicReassignment>, Error> {
        let request = ListPartitionReassignmentsRequest {
            timeout_ms: CHANGE_TIMEOUT_MS,
            topics: None,
        };
        let response = self.call(&request).await?;
        refusal(response.error_code, response.error_message).map_err(Error::Refused)?;
        Ok(response.topics)
    }

    /// Begins and cancels reassignments. What was not under way any more counts as cancelled.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn reassign(
        &mut self,
        targets: &Targets,
    ) -> Result<BTreeMap<PartitionKey, Result<(), Refusal>>, Error> {
        let mut topics: BTreeMap<&String, Vec<ReassignablePartition>> = BTreeMap::new();
        for ((topic, partition), replicas) in targets {
            let partitions = topics.entry(topic).or_default();
            partitions.push(ReassignablePartition {
                partition_index: *partition,
                replicas: replicas.clone(),
            });
        }
        let topics = topics.into_iter().map(|(name, partitions)| {
            let name = name.clone();
            ReassignableTopic { name, partitions }
        });
        let request = AlterPartitionReassignmentsRequest {
            timeout_ms: CHANGE_TIMEOUT_MS,
            allow_replication_factor_change: true,
            topics: topics.collect(),
        };
        let response = self.call(&request).await?;
        refusal(response.error_code, response.error_message).map_err(Error::Refused)?;
        let answers = response.responses.into_iter().flat_map(|topic| {
            let name = topic.name;
            topic.partitions.into_iter().map(move |partition| {
                let answer = match refusal(partition.error_code, partition.error_message) {
                    Err(refusal) if refusal.code == ErrorCode::NoReassignmentInProgress => Ok(()),
                    answer => answer,
                };
                ((name.clone(), partition.partition_index), answer)
            })
        });
        Ok(answers.collect())
    }

    /// Has new replicas placed on a broker no more, or again (KIP-1066).
    ///
    /// # Errors
    /// See [`Error`]; what the brokers refuse is one too.
    pub async fn cordon(&mut self, broker: i32, is_cordoned: bool) -> Result<(), Error> {
        let value = is_cordoned.then(|| "*".to_owned());
        let changes = BTreeMap::from([(CORDONED.to_owned(), value)]);
        let resources = BTreeMap::from([(broker.to_string(), changes)]);
        let answers = self.alter_configs(RESOURCE_BROKER, &resources).await?;
        let mut answers = answers.into_values();
        answers.next().unwrap_or(Ok(())).map_err(Error::Refused)
    }

    /// Has brokers copy replicas no faster than so many bytes a second, or as they are set to.
    ///
    /// # Errors
    /// See [`Error`]; what the brokers refuse is one too, but not of one that is gone.
    pub async fn throttle(&mut self, brokers: &[i32], rate: Option<i64>) -> Result<(), Error> {
        if brokers.is_empty() {
            return Ok(());
        }
        let changes = BTreeMap::from([(THROTTLED.to_owned(), rate.map(|rate| rate.to_string()))]);
        let brokers = brokers.iter().map(|id| (id.to_string(), changes.clone()));
        let resources: BTreeMap<String, _> = brokers.collect();
        for answer in self
            .alter_configs(RESOURCE_BROKER, &resources)
            .await?
            .into_values()
        {
            match answer {
                Err(refusal) if refusal.code != ErrorCode::BrokerIdNotRegistered => {
                    return Err(Error::Refused(refusal));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Has the cluster forget a broker that is gone. One that it does not know is forgotten.
    ///
    /// # Errors
    /// See [`Error`]; what the brokers refuse is one too.
    pub async fn unregister(&mut self, broker_id: i32) -> Result<(), Error> {
        let answer = self.call(&UnregisterBrokerRequest { broker_id }).await?;
        match refusal(answer.error_code, answer.error_message) {
            Err(refusal) if refusal.code != ErrorCode::BrokerIdNotRegistered => {
                Err(Error::Refused(refusal))
            }
            _ => Ok(()),
        }
    }

    /// Has a broker vote in the metadata quorum that follows it. One that votes is none to change.
    ///
    /// # Errors
    /// See [`Error`]; what the brokers refuse is one too.
    pub async fn add_voter(&mut self, voter_id: i32) -> Result<(), Error> {
        let request = AddRaftVoterRequest {
            // whichever it is: the connection was made to the right one
            cluster_id: None,
            voter_id,
            timeout_ms: VOTERS_TIMEOUT_MS,
            ..AddRaftVoterRequest::default()
        };
        let answer = self.call(&request).await?;
        match refusal(answer.error_code, answer.error_message) {
            Err(refusal) if refusal.code != ErrorCode::DuplicateVoter => {
                Err(Error::Refused(refusal))
            }
            _ => Ok(()),
        }
    }

    /// Has a broker vote no more, which follows on. One that does not vote is none to change.
    ///
    /// # Errors
    /// See [`Error`]; what the brokers refuse is one too.
    pub async fn remove_voter(&mut self, voter_id: i32) -> Result<(), Error> {
        let request = RemoveRaftVoterRequest {
            cluster_id: None,
            voter_id,
            ..RemoveRaftVoterRequest::default()
        };
        let answer = self.call(&request).await?;
        match refusal(answer.error_code, answer.error_message) {
            Err(refusal) if refusal.code != ErrorCode::VoterNotFound => {
                Err(Error::Refused(refusal))
            }
            _ => Ok(()),
        }
    }

    /// A client of that broker alone.
    fn client_of(&self, address: &str) -> Client<Link> {
        let link = Link(self.identity.clone());
        Client::new(link, options(SIZES_TIMEOUT), vec![address.to_owned()])
    }

    /// How many replicas the broker at this address has in its log directory, whoever may describe
    /// their topics.
    ///
    /// # Errors
    /// See [`Error`]; a directory that cannot be read is one too.
    pub async fn count_replicas(&self, address: &str) -> Result<usize, Error> {
        let mut client = self.client_of(address);
        let request = DescribeLogDirsRequest { topics: None };
        let response = client.call(&request).await?;
        refusal(response.error_code, None).map_err(Error::Refused)?;
        let mut count = 0;
        for directory in response.results {
            refusal(directory.error_code, None).map_err(Error::Refused)?;
            let partitions = directory.topics.into_iter().map(|topic| topic.partitions);
            count += partitions.map(|partitions| partitions.len()).sum::<usize>();
        }
        Ok(count)
    }

    /// How large the replicas of these partitions are; brokers are marked that are to get no
    /// replicas. Each broker knows its own: who does not answer soon is left out.
    pub async fn sizes(
        &mut self,
        brokers: &mut BTreeMap<i32, RegisteredBroker>,
        partitions: impl Iterator<Item = PartitionKey>,
    ) -> Sizes {
        let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in partitions {
            topics.entry(topic).or_default().push(partition);
        }
        let topics = topics
            .into_iter()
            .map(|(topic, partitions)| DescribableLogDirTopic { topic, partitions });
        let request = DescribeLogDirsRequest {
            topics: Some(topics.collect()),
        };
        let serving = brokers.iter().filter(|(_, broker)| !broker.is_fenced);
        let client_of = |broker: &RegisteredBroker| self.client_of(&broker.address);
        let asked = serving.map(async |(id, broker)| {
            let mut client = client_of(broker);
            (*id, client.call(&request).await)
        });
        let mut sizes = Sizes::new();
        for (broker, answer) in futures::future::join_all(asked).await {
            let directories = answer.map(|answer| answer.results).unwrap_or_default();
            if let Some(registered) = brokers.get_mut(&broker) {
                registered.is_cordoned = directories.iter().any(|one| one.is_cordoned);
            }
            for topic in directories
                .into_iter()
                .flat_map(|directory| directory.topics)
            {
                for partition in topic.partitions {
                    let key = (topic.name.clone(), partition.partition_index);
                    let bytes = u64::try_from(partition.partition_size).unwrap_or(0);
                    sizes.entry(key).or_default().insert(broker, bytes);
                }
            }
        }
        sizes
    }
}
