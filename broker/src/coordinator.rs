//! Coordinators: consumer groups and their offsets, over the partitions of `__consumer_offsets`;
//! transactional ids and their transactions, over those of `__transaction_state`.
//!
//! A coordinator is a shard of decisions in the core, driven by the runtime over a partition of
//! an [`internal_topic`]. The partition follows from a group's id, or from a transactional one, so
//! all brokers agree on who coordinates it.
//!
//! # Layout, in reading order
//! - [`internal_topic`]: the topic itself, and who leads what in it
//! - `runtime`: a task for each partition led here: load, decide, append, commit, answer
//! - [`log`]: what the runtime asks of the replicas
//! - [`transactions`]: the shards of transactional ids, and who carries out what they order
//! - [`producer_ids`]: ids for producers
//! - [`verifier`]: asks the coordinators of transactions

pub mod internal_topic;
pub mod log;
pub mod producer_ids;
mod runtime;
pub mod transactions;
pub mod verifier;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ottla_core::ask;
use ottla_core::group::{self, Body, Client, OFFSETS_TOPIC, Request, Response};
use ottla_core::image::MetadataImage;
use ottla_core::image::delta::MetadataDelta;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::ids::{NodeId, PartitionIndex};

use self::internal_topic::InternalTopic;
use self::runtime::Runtime;
use self::transactions::Transactions;
use crate::brokers::Brokers;
use crate::config;
use crate::controller;
use crate::env::Env;

pub use log::Log;
pub use producer_ids::ProducerIds;
pub use runtime::EndMarker;
pub use verifier::Verifier;

/// What the coordinator is set to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Groups and offsets.
    pub group: group::Settings,
    /// `__consumer_offsets`.
    pub topic: internal_topic::Settings,
    /// Transactional ids and `__transaction_state`.
    pub transactions: transactions::Settings,
    /// How long an answer waits for its records to be committed.
    pub commit_timeout: Duration,
}

impl From<&config::Settings> for Settings {
    fn from(settings: &config::Settings) -> Self {
        let ms = |duration: Duration| i32::try_from(duration.as_millis()).unwrap_or(i32::MAX);
        let check_interval = ms(settings.offsets_retention_check_interval);
        let voters = settings.controller_quorum_voters.iter();
        let voters = voters.map(|voter| voter.node_id);
        let segment_bytes = settings.offsets_topic_segment_bytes.to_string();
        Self {
            group: group::Settings {
                session_timeout_min_ms: ms(settings.group_session_timeout_min),
                session_timeout_max_ms: ms(settings.group_session_timeout_max),
                initial_rebalance_delay_ms: ms(settings.group_initial_rebalance_delay),
                group_size_max: settings.group_size_max,
                consumer_group_size_max: settings.consumer_group_size_max,
                serves_consumers: settings.group_protocols.contains("consumer"),
                migration: group::Migration::named(&settings.consumer_group_migration_policy),
                statics: Arc::new(settings.statics.clone()),
                offset_metadata_bytes_max: settings.offset_metadata_bytes_max,
                offsets_retention_ms: i64::from(settings.offsets_retention_minutes) * 60_000,
                offsets_retention_check_interval_ms: i64::from(check_interval),
            },
            topic: internal_topic::Settings {
                name: OFFSETS_TOPIC,
                partition_count: settings.offsets_topic_num_partitions,
                replication_factor: settings.offsets_topic_replication_factor,
                min_in_sync: None,
                configs: vec![
                    ("cleanup.policy", "compact".to_owned()),
                    ("segment.bytes", segment_bytes),
                    ("compression.type", "producer".to_owned()),
                ],
                voters: voters.collect(),
            },
            transactions: transactions::Settings::from(settings),
            commit_timeout: settings.offsets_commit_timeout,
        }
    }
}

/// What a shard of groups can be asked.
pub trait Ask: ask::Ask<Request = Body, Response = Response> + 'static {}

impl<R: ask::Ask<Request = Body, Response = Response> + 'static> Ask for R {}

struct Inner {
    controller: controller::Handle,
    group: group::Settings,
    groups: Runtime<group::Shard>,
    offsets_topic: InternalTopic,
    transactions: Transactions,
    verifier: Verifier,
    env: Env,
}

/// The way to the coordinators. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    inner: Arc<Inner>,
}

impl Handle {
    /// Coordinators without shards; [`Self::apply`] brings them. Call it from within tokio.
    pub fn new(
        log: Arc<dyn Log>,
        controller: controller::Handle,
        brokers: Brokers,
        settings: Settings,
        env: Env,
    ) -> Self {
        let transactions = Transactions::start(
            Arc::clone(&log),
            controller.clone(),
            brokers.clone(),
            settings.transactions,
            settings.commit_timeout,
            env.clone(),
        );
        let groups = runtime::Settings {
            shard: settings.group.clone(),
            commit_timeout: settings.commit_timeout,
            carry_out: Box::new(|_, _, order| match order {}),
        };
        let inner = Inner {
            controller: controller.clone(),
            group: settings.group,
            groups: Runtime::new(log, controller.clone(), groups, env.clone()),
            verifier: Verifier::new(controller.clone(), brokers),
            offsets_topic: InternalTopic::new(settings.topic, controller),
            transactions,
            env,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Transactional ids and their transactions.
    #[must_use]
    pub fn transactions(&self) -> &Transactions {
        &self.inner.transactions
    }

    /// The way to the coordinators of transactions.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.inner.verifier
    }

    /// Takes over what this broker leads now, and lets go of what it no longer leads.
    ///
    /// Call it from within tokio, after the replicas have applied the same image, and before
    /// requests can come that have seen it.
    pub fn apply(&self, image: &Arc<MetadataImage>, delta: &MetadataDelta) {
        self.inner.groups.apply(image, delta);
        self.inner.transactions.apply(image, delta);
    }

    /// Asks the shard of a group. The request is on its way when this returns; the future waits for
    /// the answer.
    ///
    /// # Errors
    /// NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE: the client looks
    /// for the coordinator again, or tries again.
    pub fn request<R: Ask>(
        &self,
        group_id: &str,
        version: i16,
        client: Client,
        body: R,
    ) -> impl Future<Output = Result<R::Answer, ErrorCode>> + Send + 'static + use<R> {
        let request = Request {
            version,
            client,
            body: body.into_request(),
        };
        let sent = self.inner.groups.request(group_id, request);
        runtime::answer::<group::Shard, R>(sent)
    }

    /// Ends a transaction with offsets in a partition of `__consumer_offsets`: the marker is in the
    /// queue when this returns; the future is done once it is committed.
    ///
    /// # Errors
    /// As of [`Self::request`]; and what the partition's leader refuses a marker with.
    pub fn end_transaction(
        &self,
        partition: PartitionIndex,
        marker: EndMarker,
    ) -> impl Future<Output = Result<(), ErrorCode>> + Send + use<> {
        let sent = self.inner.groups.end_transaction(partition, marker);
        async move { sent?.await.unwrap_or(Err(ErrorCode::NotCoordinator)) }
    }

    /// Asks every shard of this broker.
    pub fn request_all<R: Ask + Clone>(
        &self,
        version: i16,
        client: &Client,
        body: &R,
    ) -> Vec<impl Future<Output = Result<R::Answer, ErrorCode>> + Send + 'static + use<R>> {
        let request = || Request {
            version,
            client: client.clone(),
            body: body.clone().into_request(),
        };
        let sent = self.inner.groups.request_all(request).into_iter();
        sent.map(runtime::answer::<group::Shard, R>).collect()
    }

    /// Whether groups of the consumer protocol are served in this cluster.
    #[must_use]
    pub fn serves_consumers(&self) -> bool {
        let image = self.inner.controller.image();
        self.inner.group.serves_consumers(&image)
    }

    /// Randomness for a new member's id.
    #[must_use]
    pub fn fresh(&self) -> ottla_protocol::ids::Uuid {
        self.inner.env.random_uuid()
    }

    /// The broker that coordinates a group, creating `__consumer_offsets` when it is first needed.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE while there is none.
    pub async fn find(&self, group_id: &str) -> Result<NodeId, ErrorCode> {
        self.inner.offsets_topic.coordinator(group_id).await
    }

    /// The partition of `__consumer_offsets` that a group's offsets are in, creating it when it is
    /// first needed.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE while there is none.
    pub async fn offsets_partition(&self, group_id: &str) -> Result<PartitionIndex, ErrorCode> {
        self.inner.offsets_topic.partition(group_id).await
    }
}
